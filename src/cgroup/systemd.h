/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd cgroup driver. Under systemd the cgroup tree belongs to systemd (the single-writer rule,
 * systemd's CGROUP_DELEGATION.md): others may make cgroups only below a unit that was delegated to them. hull asks for
 * one such unit a pod, a scope; the cgroups of the pod's containers are plain directories in it, without a job of
 * systemd for each.
 *
 *	/kubepods.slice/kubepods-pod1.slice/hull-POD.scope	delegated, holds no process itself
 *		monitor						hull-pod
 *		hull-CONTAINER					...
 *
 * A library of its own (cgroup_systemd_dep): libsystemd is loaded by dlopen(3) at the first call, which a static
 * program cannot do. */
#ifndef HULL_CGROUP_SYSTEMD_H
#define HULL_CGROUP_SYSTEMD_H

#include "cgroup/cgroup.h"

struct cgroup_scope {
	const char *path; /* "slice:prefix:name", as cgroup_path_below() gives it, or what that resolves to */
	const char *description; /* shown by systemctl; NULL: the name */
	pid_t pid;	  /* the process for which the scope is made; it is moved to the child `leaf` */
	const char *leaf; /* "monitor": a scope that has children with controllers holds no process itself */
	int timeout_ms;	  /* for systemd to answer */
};

/* Make the scope (with its slices) and wait until it is there. systemd removes it when the last process in it
 * has ended.
 * Fails: UNSUPPORTED  libsystemd is not installed, or systemd is not running
 *        EXISTS       a unit of this name is there already
 *        UNAVAILABLE  D-Bus or systemd does not answer
 *        TIMEOUT, INVALID, and as cgroup_create() for the leaf (then the scope is stopped) */
int cgroup_scope_start(const struct cgroup_host *host, const struct cgroup_scope *scope,
		       struct error *e) MUST_USE;

/* Kill everything in the scope, and wait until systemd has removed it. One that is gone is fine.
 * Fails: UNSUPPORTED, UNAVAILABLE, INVALID, TIMEOUT */
int cgroup_scope_remove(const struct cgroup_host *host, const char *path, int timeout_ms,
			struct error *e) MUST_USE;

#endif
