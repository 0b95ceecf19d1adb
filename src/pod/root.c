/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

int root_tmpfs(const char *const *options, uint64_t attributes, int *ret_tree_fd, struct error *e)
{
	const unsigned int attr =
		(unsigned int)(attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	cleanup_close int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int tree;

	if (fs < 0)
		return err_sys(e, "open a tmpfs");
	for (; options[0]; options += 2)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[0], options[1], 0) < 0)
			return err_sys(e, "set %s=%s of a tmpfs", options[0], options[1]);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, "make a tmpfs");
	tree = fsmount(fs, FSMOUNT_CLOEXEC, attr);
	if (tree < 0)
		return err_sys(e, "mount a tmpfs");
	*ret_tree_fd = tree;
	return 0;
}

int root_enter(int tree_fd, struct error *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "make all mounts private");
	/* Any directory that every host has. It is covered in this namespace only. */
	if (move_mount(tree_fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, "attach the new root");
	if (fchdir(tree_fd) < 0)
		return err_sys(e, "enter the new root");
	/* The old root lands on top of the new one, at the same place (pivot_root(2), NOTES). */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, "change the root");
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(e, "leave the old root");
	if (chdir("/") < 0)
		return err_sys(e, "enter the root");
	return 0;
}
