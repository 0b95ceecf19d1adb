/* SPDX-License-Identifier: Apache-2.0 */
/* Binds whose source is what an earlier mount of the same list has put into the root. */
#ifndef HULL_OCI_MOUNT_LATE_H
#define HULL_OCI_MOUNT_LATE_H

#include "oci/mounts.h"

/* The source of mount i, a PLAN_BIND, as a path in the root, when it is one of these; else NULL. The caller frees it. */
char *mount_late_source(const struct mounts_env *env, size_t i) MUST_USE;

/* For who attaches no mounts one by one. Fails: UNSUPPORTED (there is such a mount; it is named). */
int mount_late_refuse(const struct mounts_env *env, struct error *e) MUST_USE;

/* In the init, when all mounts before this one are attached: st->tree_fd of st->late_source.
 * Fails: NOT_FOUND, SYS, UNSUPPORTED (ids to be mapped) */
int mount_late_open(const struct oci_create *o, const struct oci_plan *plan, size_t i, int root_fd,
		    struct mount_state *st, struct error *e) MUST_USE;

/* mount_open.c: give a detached clone of the source its attributes; st gets a copy of its fd. */
int mount_bind_finish(const struct mounts_env *env, const struct plan_mount *pm, int tree,
		      struct mount_state *st, struct error *e) MUST_USE;

#endif
