/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of the pins as a mount point with shared propagation. A plain bind of it onto itself
 * would be a member of its parent's peer group (where "/" or "/run" is shared), and each pin would
 * then be mounted a second time underneath. So a detached copy is taken out of that group and made
 * one of its own, and only then moved into place: nobody ever sees a half-made one, and copies of the
 * mount in other mount namespaces are its peers from the start. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "userns/netns.h"

static int set_propagation(int tree_fd, uint64_t propagation)
{
	struct mount_attr attr = { .propagation = propagation };

	return mount_setattr(tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

static int is_mount_point(const char *dir, bool *ret, struct error *e)
{
	struct statx sx;

	if (statx(AT_FDCWD, dir, 0, STATX_MNT_ID, &sx) < 0)
		return err_sys(e, "look at \"%s\"", dir);
	if (!(sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return err_new(e, ERR_UNSUPPORTED,
			       "this kernel does not tell mount points (statx, Linux 5.8)");
	*ret = sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return 0;
}

static int mount_onto_itself(const char *dir, struct error *e)
{
	cleanup_close int tree =
		open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (unsigned)AT_RECURSIVE);
	const char *step = "clone";

	if (tree < 0)
		goto failed;
	step = "set the propagation of";
	if (set_propagation(tree, MS_PRIVATE) < 0 || set_propagation(tree, MS_SHARED) < 0)
		goto failed;
	step = "mount";
	if (move_mount(tree, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		goto failed;
	return 0;
failed:
	return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno, "%s directory \"%s\"", step, dir);
}

static int prepare(const char *dir, struct error *e)
{
	cleanup_close int lock = -1;
	bool is_mounted;
	int r = path_mkdir_all(dir, 0755, &lock, e);

	if (r < 0)
		return r;
	/* The inode is the same below and in the mount over it, so whoever comes later waits for us. */
	if (flock(lock, LOCK_EX) < 0)
		return err_sys(e, "lock directory \"%s\"", dir);
	r = is_mount_point(dir, &is_mounted, e);
	if (r < 0)
		return r;
	if (!is_mounted)
		return mount_onto_itself(dir, e);
	if (mount(NULL, dir, NULL, MS_SHARED, NULL) < 0)
		return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
				"make the mount of \"%s\" shared", dir);
	return 0;
}

int netns_dir_prepare(const char *dir, struct error *e)
{
	int r;

	if (!path_is_clean_abs(dir))
		return err_new(e, ERR_INVALID, "\"%s\" is no clean absolute path for network namespaces",
			       dir);
	r = prepare(dir, e);
	return r < 0 ? err_ctx(e, "prepare the directory of network namespaces") : 0;
}
