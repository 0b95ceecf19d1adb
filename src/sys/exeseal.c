/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/exeseal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/mountapi.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

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

static bool is_sealed_copy(void)
{
	cleanup_close int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int seals = self < 0 ? -1 : fcntl(self, F_GET_SEALS);

	return seals >= 0 && seals & F_SEAL_WRITE;
}

/* By us, or by whoever has the same id. */
static bool may_become_writable(int self)
{
	struct stat sb;

	return fstat(self, &sb) < 0 || sb.st_uid == geteuid() ||
	       faccessat(self, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

static int copy_sealed(int *ret_fd, struct error *e)
{
	cleanup_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cleanup_close int to = memfd_create("hull", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	ssize_t n;

	/* Linux before 6.3 does not know MFD_EXEC, and makes every one executable. */
	if (to < 0 && errno == EINVAL)
		to = memfd_create("hull", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (from < 0 || to < 0)
		return err_sys(e, "make a copy of our own program in memory");
	while ((n = sendfile(to, from, NULL, 1 << 24)) > 0)
		;
	if (n < 0 || fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_sys(e, "make a copy of our own program in memory");
	*ret_fd = take_fd(to);
	return 0;
}

int exe_seal(char **argv, struct error *e)
{
	cleanup_close int self = open("/proc/self/exe", O_PATH | O_CLOEXEC), tree = -1;
	struct error denied = ERROR_INIT;
	struct statvfs vfs;
	int r;

	if (self < 0 || fstatvfs(self, &vfs) < 0)
		return err_sys(e, "look at our own program");
	if (vfs.f_flag & ST_RDONLY)
		return 0;
	r = clone_readonly(self, "", &tree, &denied);
	if (r == -ERR_DENIED && (!may_become_writable(self) || is_sealed_copy()))
		return 0;
	if (r == -ERR_DENIED)
		r = copy_sealed(&tree, e);
	else if (r < 0 && e)
		*e = denied;
	if (r < 0)
		return r;
	syscall(SYS_execveat, tree, "", argv, environ, AT_EMPTY_PATH);
	return err_sys(e, "execute our own program where it cannot be written");
}
