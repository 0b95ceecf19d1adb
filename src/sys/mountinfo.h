/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/mountinfo as a list (proc(5)). Pure: works on its text, in which paths may be a container's choice. */
#ifndef HULL_SYS_MOUNTINFO_H
#define HULL_SYS_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define MOUNTINFO_MAX_BYTES (16u << 20) /* of a text that is worth reading */

struct mountinfo_entry {
	int id, parent;
	uint64_t dev;
	char *point, *type; /* point as the process sees it */
	bool is_null;	    /* the null device is mounted there */
	bool is_device;	    /* a device node is */
};
struct mountinfo {
	struct mountinfo_entry *v; /* owned */
	size_t n;
};
#define MOUNTINFO_INIT ((struct mountinfo){ 0 })
void mountinfo_done(struct mountinfo *m);
DEFINE_CLEANUP_VALUE(struct mountinfo, mountinfo_done)

/* Fill an empty list. is_null and is_device are left to the caller. Lines that are none are passed over. */
void mountinfo_parse(struct mountinfo *m, const char *text);
/* Borrowed, NULL when it is not there. */
const struct mountinfo_entry *mountinfo_find(const struct mountinfo *m, int id);

#endif
