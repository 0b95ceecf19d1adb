/* SPDX-License-Identifier: Apache-2.0 */
/* What will be done for a container, computed from its spec before anything is: namespaces to make and
 * to join, mounts in order and who makes each. Pure: needs no privilege and opens nothing. */
#ifndef HULL_OCI_PLAN_H
#define HULL_OCI_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/runtime.h"
#include "userns/sysctl.h"

/* Who makes the detached mount that is later attached at the destination, and of what. */
enum plan_mount_kind {
	PLAN_BIND,    /* the caller, with the host's privileges: a clone of the source */
	PLAN_TREE,    /* the caller: a clone of a tree that it was given */
	PLAN_DEV,     /* the caller: the tmpfs of /dev, with the device nodes in it */
	PLAN_FRESH,   /* the init, inside its namespaces: proc, sysfs, devpts, mqueue, tmpfs, ... */
	PLAN_CGROUP,  /* v2 as PLAN_FRESH, or binds of the container's own cgroup in each hierarchy */
	PLAN_REMOUNT, /* none: what an earlier one of the list has put there is changed */
};

struct plan_mount {
	enum plan_mount_kind kind;
	const struct oci_mount *m; /* of the spec */
	char *destination;	   /* cleaned, absolute */
	const char *type;	   /* file system type of PLAN_FRESH */
	size_t tree;		   /* PLAN_TREE: index in oci_create.mount_fds */
	const char *fallback;	   /* PLAN_FRESH: this host path, bound read-only with all below it, where the
					 * kernel refuses a fresh mount (EPERM); NULL: none */
	uint64_t set, clear;	   /* MOUNT_ATTR_* */
	uint64_t rec_set, rec_clear;
	bool late_readonly; /* made read-only when all mounts are in place: others go on top of it */
	bool on_procfs;	    /* the destination may lie on a procfs */
};

struct oci_plan {
	bool makes[OCI_NS_COUNT], joins[OCI_NS_COUNT];
	uint64_t clone_flags; /* CLONE_NEW* of those made by the clone itself: all but cgroup and time */
	bool late_ipc; /* nor, with a user namespace, the ipc namespace: the init makes it once its ids are mapped */
	bool in_user_ns; /* the container's user namespace is not the caller's */
	struct plan_mount *mounts;
	size_t mount_count;
	bool makes_dev;	  /* one of mounts is PLAN_DEV */
	bool dev_by_init; /* and the init makes it: the caller may mount nothing (oci_create.needs_user_ns) */
	bool binds_dev;	  /* the spec binds a /dev: nothing is made in there */
	bool has_devpts;
	bool readonly_root;
	struct sysctl_item *sysctls; /* of the spec, checked; names in dotted form, ours */
	size_t sysctl_count;
};
#define OCI_PLAN_INIT ((struct oci_plan){ 0 })
void oci_plan_done(struct oci_plan *p);
DEFINE_CLEANUP_VALUE(struct oci_plan, oci_plan_done)

/* Fails: INVALID      no root, no new mount namespace; a mount over "/", inside of /proc, or with a
 *                     relative destination; ids to be mapped of what is no
 *                     bind, or by no mapping; ids that cannot be mapped; a new user namespace without maps; a
 *                     sysctl that is no name
 *        DENIED       a sysctl of no namespace that the container has of its own
 *        UNSUPPORTED  joining a mount namespace */
int oci_plan_make(const struct oci_create *o, struct oci_plan *ret, struct error *e) MUST_USE;

/* Once it is known which of the namespaces to join are those that we are in ourselves: then a sysctl or a hostname would
 * be the host's. Fails: DENIED (a sysctl), INVALID (a name). */
int oci_plan_check_shared(const struct oci_plan *p, const struct oci_spec *spec,
			  const bool is_shared[OCI_NS_COUNT], struct error *e) MUST_USE;

/* Whether a mount may be placed at this cleaned destination on a procfs: /proc itself, and the few files that
 * lxcfs and its like give their own version of. All else there is the kernel's word about processes, which
 * LSMs and the runtime rely on (CVE-2019-19921, CVE-2025-52881). */
bool plan_may_cover_proc(const char *destination);

#endif
