/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the restore: what the caller holds, how that is opened, and what is looked at in the end. criu_restore.c
 * tells the whole. */
#ifndef HULL_OCI_CRIU_RESTORE_H
#define HULL_OCI_CRIU_RESTORE_H

#include "codec/arena.h"
#include "oci/criu.h"
#include "oci/criu_images.h"
#include "oci/criu_job.h"
#include "oci/criu_stage.h"
#include "oci/mounts.h"
#include "oci/plan.h"

struct restore {
	const struct criu_restore *r;
	const struct oci_create *o;
	struct criu_job job;
	struct criu_descriptors descriptors;
	struct oci_plan plan;
	struct idmap *uids, *gids;
	struct cgroup *cgroup;
	char *cgroup_path;
	struct mount_set mounts;
	int root_tree, null_fd, work_tree, images_tree, parent_tree, dfds[2], stdio[3], ns_fd[OCI_NS_COUNT];
	struct criu_stage stage;
	struct criu_worker worker;
	struct criu_pairs names;
	struct arena arena;
	struct oci_init init;
	char *bundle; /* only with hooks */
};

/* criu_restore_open.c, in this order. */
int restore_open_namespaces(struct restore *x, struct error *e) MUST_USE;
int restore_find_maps(struct restore *x, struct error *e) MUST_USE;
int restore_make_cgroup(struct restore *x, struct error *e) MUST_USE;
int restore_open_trees(struct restore *x, struct error *e) MUST_USE;

/* criu_restored.c: what criu has made, when all of it is there and nothing runs. x->init is its process.
 * Fails: DENIED  the images put the processes into other namespaces than the bundle says
 *        SYS */
int restored_check_namespaces(const struct restore *x, struct error *e) MUST_USE;
/* Make the root file system read-only if the bundle's is. */
int restored_protect_root(const struct restore *x, struct error *e) MUST_USE;

#endif
