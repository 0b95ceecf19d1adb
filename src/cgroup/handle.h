/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: the handle, and what its parts share. */
#ifndef HULL_CGROUP_HANDLE_H
#define HULL_CGROUP_HANDLE_H

#include "cgroup/cgroup.h"
#include "cgroup/host.h"

struct cgroup {
	const struct cgroup_host *host; /* borrowed */
	char *path;
	int dfd[CGROUP_HIER_MAX]; /* by hierarchy; -1: not there */
	int oom_fd, oom_local_fd; /* -1: none */
	unsigned made_parents;
};

/* The directory in the hierarchy of this controller, or -1. */
int cgroup_dfd(const struct cgroup *cg, enum cgroup_controller c);
/* In v2, or -1. */
int cgroup_dfd_v2(const struct cgroup *cg);

/* Set e from errno of a step on a cgroup file or directory: missing rights are DENIED with a remedy, other
 * values keep the kind SYS. Returns -kind. */
int cgroup_fail(struct error *e, int sys, const char *fmt, ...) PRINTF(3, 4);

/* Write res into the files of cg (apply.c). is_new: everything is still as the kernel made it. */
int cgroup_apply(struct cgroup *cg, const struct cgroup_resources *res, bool is_new,
		 struct error *e) MUST_USE;
/* Load and attach a device filter for the rules, in place of one that we attached before (devices.c). */
int cgroup_devices_attach(int dfd, const struct cgroup_device *rules, size_t count, struct error *e) MUST_USE;
/* Open the fds of oom.c. */
void cgroup_oom_open(struct cgroup *cg);

#endif
