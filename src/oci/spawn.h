/* SPDX-License-Identifier: Apache-2.0 */
/* Clone a process into namespaces: some joined, some new. */
#ifndef HULL_OCI_SPAWN_H
#define HULL_OCI_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/spec.h"

/* clang-format off */
struct spawn {
	int join_fd[OCI_NS_COUNT];	/* -1: not joined */
	int join_pid_fd;		/* join those of join_flags of this process, all at once; -1 */
	uint64_t join_flags;
	uint64_t clone_flags;		/* CLONE_NEW* */
	int cgroup_fd;			/* v2, CLONE_INTO_CGROUP; -1 */
	bool clone_parent;
	int (*main)(void *arg);		/* of the new process: a fork, all of our memory is there; returns its
					 * exit status */
	void *arg;
	pid_t pid;			/* out */
	int pid_fd;
};
#define SPAWN_INIT \
	((struct spawn){ .join_fd = { [0 ... OCI_NS_COUNT - 1] = -1 }, .join_pid_fd = -1, .cgroup_fd = -1, .pid_fd = -1 })
/* clang-format on */

/* Namespaces of join_fd that we are in already are left out.
 * Fails: STATE (the process of join_pid_fd is gone), DENIED, LIMIT (pids, namespaces), SYS. */
int spawn_run(struct spawn *s, struct error *e) MUST_USE;
/* Kill what spawn_run() made; reaps it, unless that is our parent's business. */
void spawn_kill(struct spawn *s);

#endif
