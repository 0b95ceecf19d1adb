/* SPDX-License-Identifier: Apache-2.0 */
/* Root file systems as detached mounts: made by the caller with the host's privileges, held by one fd,
 * never visible in the host's mount namespace. */
#ifndef HULL_OCI_ROOTFS_H
#define HULL_OCI_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum oci_rootfs_kind {
	ROOTFS_DIR,	/* path: a directory, taken with the mounts below it */
	ROOTFS_OVERLAY, /* lowers under upper (work beside it) */
};

struct oci_rootfs {
	enum oci_rootfs_kind kind;
	const char *path;	   /* ROOTFS_DIR: absolute, or relative to dfd */
	int dfd;		   /* of ROOTFS_DIR's path; -1 or AT_FDCWD when path is absolute */
	const char *const *lowers; /* absolute directories; lowers[0] is the topmost layer */
	size_t lower_count;
	const char *upper, *work; /* absolute; both NULL: a read-only overlay of the lowers. They
					 * belong to the mapped root and are never idmapped. For one mount
					 * only: it is volatile, a power cut spoils it */
	bool readonly;
	bool is_slave;	/* of ROOTFS_DIR: what the host mounts there later appears in it */
	int mapping_fd; /* user namespace by which path or lowers are idmapped; -1 none */
};
#define OCI_ROOTFS_INIT ((struct oci_rootfs){ .dfd = -1, .mapping_fd = -1 })

#define ROOTFS_LOWERS_MAX 500 /* as overlayfs: OVL_MAX_STACK */

/* Make the detached mount. ret_tree_fd is an O_PATH fd of its root: openat2 and move_mount(2) work on
 * it, and closing it unattached unmounts everything.
 * Fails: INVALID      no lowers, upper without work, too many lowers
 *        NOT_FOUND    a directory is missing; the message names it
 *        UNSUPPORTED  the file system of a layer cannot be idmapped
 *        STATE        the overlay came up read-only where a writable one was asked
 *        SYS */
int rootfs_open(const struct oci_rootfs *o, int *ret_tree_fd, struct error *e) MUST_USE;

#endif
