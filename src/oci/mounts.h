/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of a plan, made and attached. Three steps in three places:
 *
 *   mounts_open()    by the caller, with the host's privileges: bind sources, given trees, /dev with its
 *                    nodes, as detached mounts with all their attributes
 *   mounts_fresh()   by the init, inside its namespaces but with the host's mounts still around: file systems
 *                    that show a namespace (the kernel gives out a fresh proc or sysfs in a user namespace only
 *                    while another one can be seen whole)
 *   mounts_attach()  by the init, when nothing of the host can be reached any more: each to its destination
 *
 * The latter two may allocate: the init is a fork of a single-threaded process. */
#ifndef HULL_OCI_MOUNTS_H
#define HULL_OCI_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/plan.h"
#include "userns/idmap.h"

/* The container's part of one cgroup hierarchy, for mounts of type cgroup. */
struct mount_cgroup {
	char name[64]; /* of the directory under the destination: "memory"; "" is the destination itself */
	char links
		[64]; /* v1 controllers mounted together: "cpu,cpuacct", of which name is another spelling */
	int tree_fd;
	bool is_attached; /* then it is cloned for one more mount */
};

struct mount_state {
	int tree_fd; /* the mount: detached, then attached; of PLAN_REMOUNT one of before; -1 not yet made */
	int fallback_fd;   /* detached copy of plan_mount.fallback, or of the cgroup v2 hierarchy; -1 */
	char *late_source; /* of a bind that the init opens, mount_late.c; NULL: none */
	bool is_dir;
};

struct mount_set {
	const struct oci_plan *plan;
	struct mount_state *state; /* one a mount of the plan */
	struct mount_cgroup cgroups[CGROUP_HIER_MAX];
	size_t cgroup_count;
	bool cgroup_is_v2;
	int *node_fds; /* one a device of devices_list(): the host's node, to be bound, where the caller
				 * could not make one of its own and the init cannot either; else -1 */
	size_t node_count;
	int null_tree; /* a clone of the host's /dev/null, for masking files */
};
#define MOUNT_SET_INIT ((struct mount_set){ .null_tree = -1 })
void mount_set_done(struct mount_set *s);
DEFINE_CLEANUP_VALUE(struct mount_set, mount_set_done)

struct mounts_env {
	const struct oci_create *create;
	int bundle_dfd; /* create->bundle_dfd, or the same directory in the mount namespace in which we work; -1 */
	const struct oci_plan *plan;
	const struct cgroup *cgroup;	 /* NULL: none */
	int user_fd;			 /* the user namespace to be joined; -1 */
	const struct idmap *uids, *gids; /* of the container's user namespace; NULL: ids are the host's */
};

/* Fails: NOT_FOUND (a bind source is missing), INVALID, UNSUPPORTED (a file system that cannot be idmapped), SYS;
 * every message names the mount's destination. */
int mounts_open(const struct mounts_env *env, struct mount_set *ret, struct error *e) MUST_USE;
int mounts_fresh(struct mount_set *s, const struct oci_create *o, struct error *e) MUST_USE;
int mounts_attach(struct mount_set *s, const struct oci_create *o, int root_fd, struct error *e) MUST_USE;
/* The read-only flags that had to wait until nothing is made inside any more; the root's too. */
int mounts_finish(const struct mount_set *s, int root_fd, struct error *e) MUST_USE;

/* mount_target.c. Open what `path` leads to inside the root, as O_PATH (links followed, inside); make it (a directory, or an empty file) when it is
 * missing, with its parents. A dangling symlink is followed, inside the root. */
int mount_target(int root_fd, const char *path, bool is_dir, int *ret_fd, struct error *e) MUST_USE;

/* The same for what the image's author has no say in (devices, the console): not on a procfs, where it would cover the
 * kernel's word (CVE-2025-52565). Fails: DENIED. */
int mount_place(int root_fd, const char *path, bool is_dir, int *ret_fd, struct error *e) MUST_USE;

/* Set an option of a file system as the spec has it ("size=1m", "newinstance"), or those MS_* that are of it. */
int mount_set_word(int context, const char *word, struct error *e) MUST_USE;
int mount_set_flags(int context, unsigned long set, unsigned long clear, struct error *e) MUST_USE;

/* Set the spec's mountLabel (SELinux) on a new file system of a type that takes one. */
int mount_label(int context, const char *type, const struct oci_spec *spec, struct error *e) MUST_USE;

/* devices.c: the nodes of a container: the defaults and the spec's, the latter's word last. */
struct device_node {
	const char *path;  /* absolute, in the container */
	mode_t mode;	   /* with S_IFCHR, S_IFBLK or S_IFIFO */
	uint32_t uid, gid; /* in the container */
	unsigned int major, minor;
};
/* The caller frees the array. */
size_t devices_list(const struct oci_spec *spec, struct device_node **ret_nodes);
/* By the caller: fill the new tmpfs of /dev (-1: none) with nodes and symlinks. The tmpfs belongs to the
 * caller's user namespace, so its nodes work, and they belong to the container's root. Nodes that neither
 * the caller nor the init can make are opened to be bound. */
int devices_fill(int dev_fd, const struct mounts_env *env, struct mount_set *s, struct error *e) MUST_USE;
/* The symlinks of a /dev, given to uid and gid when they are not 0. */
int devices_link(int dev_fd, uint32_t uid, uint32_t gid, struct error *e) MUST_USE;
/* In the init: the nodes that are not there yet: bound ones, and those outside of a /dev of ours. */
int devices_place(struct mount_set *s, const struct oci_create *o, int root_fd, struct error *e) MUST_USE;

/* remount.c, in the init: find the mount that is there; change it; make it read-only, if it shall be. */
int remount_open(const struct plan_mount *pm, int root_fd, int *ret_fd, struct error *e) MUST_USE;
int remount(const struct plan_mount *pm, int fd, struct error *e) MUST_USE;
int remount_readonly(const struct plan_mount *pm, int fd, struct error *e) MUST_USE;

/* mask.c. Paths that do not exist are passed over (OCI: maskedPaths, readonlyPaths). */
int mask_paths(struct mount_set *s, const struct oci_spec *spec, int root_fd, struct error *e) MUST_USE;

/* pivot.c: attach root_tree (a detached mount) in our own mount namespace, at `place` if we can come there, else (or
 * NULL) on top of "/". Then make it the root of this process and drop all that was there before. */
int pivot_attach(int root_tree, const char *place, unsigned long propagation, struct error *e) MUST_USE;
int pivot_enter(int root_tree, bool no_pivot, struct error *e) MUST_USE;

#endif
