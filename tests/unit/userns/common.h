/* SPDX-License-Identifier: Apache-2.0 */
/* What the namespace tests share. They run as root on the host and, with the ids that are there, inside
 * `unshare -Urn`; what cannot run is skipped with its reason. */
#ifndef TEST_USERNS_COMMON_H
#define TEST_USERNS_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userns/userns.h"

#define SKIP(...)                           \
	do {                                \
		print_message("skipped: "); \
		print_message(__VA_ARGS__); \
		print_message("\n");        \
		skip();                     \
	} while (0)

#define assert_ok(call)                                                      \
	do {                                                                 \
		int result_ = (call);                                        \
		if (result_ < 0)                                             \
			fail_msg("%s: %d: %s", #call, result_, err_msg(&e)); \
	} while (0)

#define assert_says(e, text)                                                               \
	do {                                                                               \
		if (!strstr(err_msg(e), text))                                             \
			fail_msg("\"%s\" is not in the message \"%s\"", text, err_msg(e)); \
	} while (0)

/* A map that we may give to a child: a block far up where all ids are ours, or our only id. */
static inline struct idmap map_for_test(uint32_t host_id)
{
	struct idmap map = IDMAP_INIT;
	struct userns_self self;

	if (userns_detect(&self, NULL) < 0 || !self.full_map)
		map.x[0] = (struct idmap_extent){ 0, 0, 1 };
	else
		map.x[0] = (struct idmap_extent){ 0, host_id, 65536 };
	map.n = 1;
	return map;
}

/* Namespaces can be made at all: root, or root of a user namespace. */
static inline void need_root(void)
{
	if (geteuid() != 0)
		SKIP("needs root, on the host or in a user namespace");
}

#endif
