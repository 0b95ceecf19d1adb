/* SPDX-License-Identifier: Apache-2.0 */
/* A hull-pod of the build tree with a pod's directory, a root file system of busybox, and a network
 * namespace directory, all in a mount namespace of the test's own, so that the host sees no mount. */
#ifndef HULL_TEST_POD_FIXTURE_H
#define HULL_TEST_POD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pod/client.h"

#define POD_ID "pod-of-the-test"
#define POD_HOST_ID 3000000 /* what root of the pod is on the host */

struct pod {
	char dir[64], netns_dir[80], pin[128], rootfs[80], cgroup[64];
	int dfd;
	struct monitor_call call;
	struct proc proc;
	bool is_on_disk; /* dir is a directory of the disk: a tmpfs cannot be idmapped here */
	bool is_chowned; /* nor can the disk: the root file system belongs to the pod */
};

/* Group setup: skips everything with a printed reason where this cannot run. */
int pod_group_setup(void **state);
bool pod_can_run(void);

/* A pod's directory and a running hull-pod without a sandbox; and its end, whatever state it is in. */
int pod_setup(void **state);
int pod_teardown(void **state);

struct pod_flavour {
	bool node_user, no_shared_pid, no_shm;
};
/* Make the sandbox. */
void pod_sandbox(struct pod *p, const struct pod_flavour *f, pid_t *ret_init_pid);
int pod_try_sandbox(struct pod *p, const struct pod_flavour *f, pid_t *ret_init_pid, struct error *e);

struct pod_run {
	const char *id;
	const char *script;    /* for sh -c */
	const char *resources; /* JSON of linux.resources, or NULL */
	const char *program;   /* in place of sh */
	enum monitor_pid_mode pid_mode;
	const char *pid_target;
	int log_fd; /* 0: none */
	bool tty, node_user;
};
int pod_try_create(struct pod *p, const struct pod_run *r, struct error *e);
void pod_create(struct pod *p, const struct pod_run *r);
void pod_start(struct pod *p, const char *id);
void pod_run(struct pod *p, const struct pod_run *r);

/* Run sh -c script in the container; its output is in *ret_output (may be NULL), 4 KiB at most. */
int pod_exec(struct pod *p, const char *id, const char *script, int64_t timeout_ms, char ret_output[4096],
	     int *ret_code, struct error *e);
/* A memfd with the process of an exec. */
int pod_process(const char *script, bool tty);

/* Wait for the end, without a stop. */
void pod_wait_exited(struct pod *p, const char *id, struct monitor_container_status *ret);
struct monitor_container_status pod_status_of(struct pod *p, const char *id);

/* A log file in the pod's directory, for appending, and its content (static storage). */
int pod_log(struct pod *p, const char *name);
const char *pod_read(struct pod *p, const char *name);

/* Whether any cgroup of the pod exists. */
bool pod_has_cgroup(const struct pod *p, const char *name);
/* Processes of the whole host whose command line contains text. */
unsigned pod_count_processes(const char *text);

/* Until condition, five seconds at most. */
#define POD_WAIT_UNTIL(condition)                                               \
	do {                                                                    \
		int64_t until_ = deadline_in_ms(5000);                          \
		bool is_so_;                                                    \
		while (!(is_so_ = (condition)) && deadline_left_ms(until_) > 0) \
			usleep(2000);                                           \
		if (!is_so_)                                                    \
			fail_msg("not within 5 s: %s", #condition);             \
	} while (0)

#endif
