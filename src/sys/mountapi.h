/* SPDX-License-Identifier: Apache-2.0 */
/* The mount system calls that work on fds: fsopen, fsconfig, fsmount, open_tree, move_mount and
 * mount_setattr(2). A mount made here is detached: no mount namespace shows it until it is attached, and
 * closing its last fd takes it away. No allocation, so all of this may be called between clone and exec. */
#ifndef HULL_SYS_MOUNTAPI_H
#define HULL_SYS_MOUNTAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include "base/error.h"

/* One parameter of a file system: key=value, a flag (value NULL, fd < 0), or an fd. */
struct mount_param {
	const char *key, *value;
	int fd;
};
#define MOUNT_PARAM(k, v) ((struct mount_param){ .key = (k), .value = (v), .fd = -1 })
#define MOUNT_PARAM_FLAG(k) ((struct mount_param){ .key = (k), .fd = -1 })
#define MOUNT_PARAM_FD(k, f) ((struct mount_param){ .key = (k), .fd = (f) })

/* A context of a file system, to be configured; then mounted with these MOUNT_ATTR_*. What the kernel
 * says about a failure in the context's own log (fsopen(2)) stands at the end of the message.
 * Fails: UNSUPPORTED (no such file system in this kernel), SYS. */
int mount_context(const char *fs_type, int *ret_context_fd, struct error *e) MUST_USE;
int mount_context_set(int context_fd, const struct mount_param *p, struct error *e) MUST_USE;
int mount_context_create(int context_fd, uint64_t attrs, int *ret_tree_fd, struct error *e) MUST_USE;
/* A context of the file system that is mounted already where fd is; what was set in it takes effect at once. */
int mount_context_of(int fd, int *ret_context_fd, struct error *e) MUST_USE;
int mount_context_reconfigure(int context_fd, struct error *e) MUST_USE;
/* All of it at once. */
int mount_new(const char *fs_type, const struct mount_param *params, size_t count, uint64_t attrs,
	      int *ret_tree_fd, struct error *e) MUST_USE;

/* A detached copy of what is mounted at path (relative to dfd; "" is dfd itself), or of a directory or
 * file in a mount; with recursive of all mounts below too. A last symlink is followed unless nofollow.
 * Fails: NOT_FOUND (ENOENT, ENOTDIR), SYS. */
int mount_clone(int dfd, const char *path, bool recursive, bool nofollow, int *ret_tree_fd,
		struct error *e) MUST_USE;

/* Change a mount, or with recursive the tree below it too. */
struct mount_change {
	uint64_t set, clear;	   /* MOUNT_ATTR_*, without MOUNT_ATTR_IDMAP */
	unsigned long propagation; /* one of MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE; 0 as it is */
	bool idmap;		   /* map ids by the user namespace of userns_fd: only of a detached mount,
					 * once, and only where the file system can do it (EINVAL) */
	int userns_fd;
};
int mount_change(int tree_fd, bool recursive, const struct mount_change *c, struct error *e) MUST_USE;

/* Attach a detached mount (or move an attached one) on what target_fd is open on. */
int mount_attach(int tree_fd, int target_fd, struct error *e) MUST_USE;

#endif
