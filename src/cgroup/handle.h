/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: the handle, and what its parts share. */
#ifndef HULL_CGROUP_HANDLE_H
#define HULL_CGROUP_HANDLE_H

#include "base/proc.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "cgroup/host.h"

struct cgroup {
	const struct cgroup_host *host; /* borrowed */
	char *path;
	int dfd[CGROUP_HIER_MAX]; /* by hierarchy; -1: not there */
	int oom_fd, oom_local_fd; /* -1: none */
	unsigned made_parents;
	struct proc holder; /* the first process of a scope, see make.c; pid 0: none */
};

/* The directory in the hierarchy of this controller, or -1. */
int cgroup_dfd(const struct cgroup *cg, enum cgroup_controller c);
/* In v2, or -1. */
int cgroup_dfd_v2(const struct cgroup *cg);

/* Set e from errno of a step on a cgroup file or directory: missing rights are DENIED with a remedy, other
 * values keep the kind SYS. Returns -kind. */
int cgroup_fail(struct error *e, int sys, const char *fmt, ...) PRINTF(3, 4);

struct cgroup *cgroup_handle_new(const struct cgroup_host *host, const char *path);
/* Walk down the first count parts from a hierarchy's root; the fd, or -1 with errno. */
int cgroup_open_chain(int root_dfd, const struct strv *parts, size_t count);
/* One directory: make it if needed and open it. 1: made, 0: was there, -1 with errno. */
int cgroup_make_one(int dfd, const char *name, int *ret_dfd);

/* Frozen, by itself or by a cgroup above it; *ret_file is the file that thaws it (procs.c). */
bool cgroup_stands_still(const struct cgroup *cg, const char **ret_file);

/* v2: enable for the children of dfd what is available and not enabled yet; returns the bits that are enabled
 * then, and in *ret_sys why others are not. Best effort: whether one is needed is known later (controllers.c). */
uint32_t cgroup_enable_controllers(int dfd, int *ret_sys);
/* v1: a cpuset without cpus or nodes takes no process; fill it from its parent. -1 with errno. */
int cgroup_fill_cpuset(int parent_dfd, int dfd, const char **ret_file);
/* The scope of a path "slice:prefix:name", with a process of ours in it until cgroup_settle() (scope.c). */
int cgroup_start_scope(struct cgroup *cg, const char *path, const struct cgroup_resources *res,
		       char ret_path[CGROUP_PATH_MAX], struct error *e) MUST_USE;

struct cgroup_plan;
/* The plan for a new cgroup: the values and the host's controllers are checked (apply.c). */
int cgroup_plan_new(const struct cgroup_host *host, const struct cgroup_resources *res,
		    struct cgroup_plan *ret_plan, struct error *e) MUST_USE;
/* Write it, and attach the device filter. */
int cgroup_apply_plan(const struct cgroup *cg, const struct cgroup_resources *res,
		      const struct cgroup_plan *plan, struct error *e) MUST_USE;
/* Plan by what is in force now, and write. */
int cgroup_apply(struct cgroup *cg, const struct cgroup_resources *res, struct error *e) MUST_USE;
/* Load and attach a device filter for the rules, in place of one that we attached before (devices.c). */
int cgroup_devices_attach(int dfd, const struct cgroup_device *rules, size_t count, struct error *e) MUST_USE;
/* Open the fds of oom.c. */
void cgroup_oom_open(struct cgroup *cg);

#endif
