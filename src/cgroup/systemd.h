/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd cgroup driver. Under systemd the cgroup tree belongs to systemd (the single-writer rule,
 * systemd's CGROUP_DELEGATION.md): others may make cgroups only below a unit that was delegated to them. Such a unit is
 * a scope.
 *
 * A container of `hull` has a scope of its own (cgroup_create() with a path "slice:prefix:name"), whose properties say
 * what its limits are. hulld asks for one scope a pod; the cgroups of the pod's containers are plain directories in it,
 * without a job of systemd for each:
 *
 *	/kubepods.slice/kubepods-pod1.slice/hull-POD.scope	delegated, holds no process itself
 *		monitor						hull-pod
 *		hull-CONTAINER					... */
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
 * Fails: EXISTS       a unit of this name is there already
 *        UNAVAILABLE  systemd does not answer
 *        TIMEOUT, INVALID, and as cgroup_create() for the leaf (then the scope is stopped) */
int cgroup_scope_start(const struct cgroup_host *host, const struct cgroup_scope *scope,
		       struct error *e) MUST_USE;

/* Kill everything in the scope, and wait until systemd has removed it. One that is gone is fine.
 * Fails: UNAVAILABLE, INVALID, TIMEOUT */
int cgroup_scope_remove(const struct cgroup_host *host, const char *path, int timeout_ms,
			struct error *e) MUST_USE;

/* ---- for the rest of src/cgroup ---- */

struct cgroup_unit_name;
/* A scope with the resources as its properties (NULL: none), around the process pid. *ret_path is where it is: below the
 * user's systemd for who is not root of the host. A failed unit of the same name is reset. Fails: as above. */
int systemd_scope_start(const struct cgroup_host *host, const struct cgroup_unit_name *u, pid_t pid,
			const struct cgroup_resources *r, bool is_v2, char ret_path[CGROUP_PATH_MAX],
			struct error *e) MUST_USE;
/* Other resources for a unit. */
int systemd_unit_set(const char *unit, const struct cgroup_resources *r, bool is_v2,
		     struct error *e) MUST_USE;
/* Wait until systemd has removed a scope in which nothing lives any more, and stop it if it does not. */
int systemd_scope_end(const struct cgroup_host *host, const char *path, struct error *e) MUST_USE;
/* The name of the unit that a resolved path is the cgroup of, or NULL: "/a.slice/x.scope" is x.scope. */
const char *systemd_unit_of(const char *path);

#endif
