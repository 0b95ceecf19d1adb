/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of cgroups on the kernel that runs them, in one program: what its files share. */
#ifndef HULL_TESTS_CGROUP_LIVE_H
#define HULL_TESTS_CGROUP_LIVE_H

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <linux/sched.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "sys/bpf.h"
#include "sys/cgroupfs.h"

#define MIB (1024 * 1024)

extern struct cgroup_host *host;
extern char base[64]; /* "/hull-test-cgroup-PID" */
extern struct error err;
extern const char *denied; /* why nothing can be tested here */

#define ok(call)                                                  \
	do {                                                      \
		if ((call) < 0)                                   \
			fail_msg("%s: %s", #call, err_msg(&err)); \
	} while (0)

void skip_if_denied(void);
void need(enum cgroup_controller c);
const char *below(const char *name);
struct cgroup *make(const char *name, const struct cgroup_resources *res);
void unmake(struct cgroup *cg);
int count_dirs(const char *path);
pid_t start(struct cgroup *cg, void (*fn)(void *), void *arg);
int wait_for(pid_t pid);
void sleep_long(void *arg);
void text_of(struct cgroup *cg, enum cgroup_controller c, const char *file, char *out, size_t size);
void assert_file(struct cgroup *cg, enum cgroup_controller c, const char *v1_file, const char *v1_text,
		 const char *v2_file, const char *v2_text);
void eat_memory(void *arg);
void burn(void *arg);
void fork_many(void *arg);
/* A failed test must not make the others fail. */
int sweep(void **state);

struct live_tests {
	const struct CMUnitTest *v;
	size_t n;
};
extern const struct live_tests live_life;
extern const struct live_tests live_limits;
extern const struct live_tests live_enter;
extern const struct live_tests live_procs;
extern const struct live_tests live_watch;

#define LIVE_TESTS(name) const struct live_tests live_##name = { name##_tests, ARRAY_LEN(name##_tests) }

#endif
