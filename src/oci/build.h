/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the bootstrap: what the caller holds while it builds a container, and the steps that have files of their own.
 * bootstrap.c tells the whole story, and runs them in their order. */
#ifndef HULL_OCI_BUILD_H
#define HULL_OCI_BUILD_H

#include "oci/confine.h"
#include "oci/init.h"
#include "oci/intel_rdt.h"
#include "oci/mounts.h"
#include "oci/net_devices.h"
#include "oci/oom_lend.h"
#include "oci/plan.h"
#include "oci/runtime.h"
#include "oci/spawn.h"
#include "sys/netns_ahead.h"

struct build {
	const struct oci_create *o;
	struct oci_plan plan;
	struct mount_set mounts;
	struct spawn spawn;
	int opened_ns[OCI_NS_COUNT]; /* those of join_fd that are ours to close */
	struct idmap *uids, *gids;   /* of the container's user namespace; NULL without one */
	struct cgroup *cgroup;
	const char *cgroup_path;
	char *own_cgroup_path;
	char *bundle, *root_path; /* only with hooks */
	bool is_prepared;	  /* hooks have run, or were about to: poststop is their other half */
	struct intel_rdt rdt;
	int rdt_dfd; /* -1 without linux.intelRdt */
	struct net_devices net_devices;
	struct confine *confine;
	int root_tree, null_fd, console_fd, sync[2];
	bool setgroups_denied; /* in the container's user namespace, as far as is known before */
	struct oom_lend oom;
	struct netns_ahead net;
	struct init_container init;
};

/* bootstrap_ids.c: the namespaces to join, the maps of the user namespace, and the ids by them. */
int build_open_namespaces(struct build *b, struct error *e) MUST_USE;
int build_find_maps(struct build *b, struct error *e) MUST_USE;
int build_check_ids(struct build *b, struct error *e) MUST_USE;
int build_make_user_ns(struct build *b, struct error *e) MUST_USE;
/* Of a user namespace that came with the clone; then the init may go on. */
int build_write_maps(struct build *b, struct error *e) MUST_USE;

/* bootstrap_cgroup.c: the cgroup with its limits, and the resctrl group. */
int build_make_cgroup(struct build *b, struct error *e) MUST_USE;
int build_open_rdt(struct build *b, struct error *e) MUST_USE;
int build_make_rdt(struct build *b, struct error *e) MUST_USE;

#endif
