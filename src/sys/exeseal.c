/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/exeseal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/mountapi.h"

extern char **environ;

static int clone_readonly(int dfd, const char *path, int *ret_fd, struct error *e)
{
	const struct mount_change readonly = { .set = MOUNT_ATTR_RDONLY };
	cleanup_close int tree = -1;
	int r = mount_clone(dfd, path, false, false, &tree, e);

	if (r >= 0)
		r = mount_change(tree, false, &readonly, e);
	if (r < 0)
		return e && e->sys == EPERM ? err_kind(e, ERR_DENIED) : r;
	*ret_fd = take_fd(tree);
	return 0;
}

int exe_open_sealed(const char *path, int *ret_fd, struct error *e)
{
	return clone_readonly(AT_FDCWD, path, ret_fd, e);
}

int exe_seal(char **argv, struct error *e)
{
	cleanup_close int self = open("/proc/self/exe", O_PATH | O_CLOEXEC), tree = -1;
	struct statvfs vfs;
	int r;

	if (self < 0 || fstatvfs(self, &vfs) < 0)
		return err_sys(e, "look at our own program");
	if (vfs.f_flag & ST_RDONLY)
		return 0;
	r = clone_readonly(self, "", &tree, e);
	if (r < 0)
		return r;
	syscall(SYS_execveat, tree, "", argv, environ, AT_EMPTY_PATH);
	return err_sys(e, "execute our own program from a read-only mount");
}
