/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/setup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"

int setup_open_proc(int *ret_dfd, struct error *e)
{
	cleanup_close int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(e, "open /proc");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return err_new(e, ERR_STATE, "/proc is no proc file system");
	*ret_dfd = take_fd(fd);
	return 0;
}

/* A program that opens /dev/stdout again opens the pipe's inode anew, which belongs to who made it: it is given to
 * the container's user. */
static void give_pipe(int fd, uid_t host_uid)
{
	struct stat sb;

	if (fstat(fd, &sb) == 0 && (S_ISFIFO(sb.st_mode) || S_ISSOCK(sb.st_mode)) && sb.st_uid != host_uid)
		(void)!fchown(fd, host_uid, (gid_t)-1);
}

int setup_stdio(const int given[3], const struct oci_process *p, const struct idmap *uids, int *null_fd,
		int ret_stdio[3], struct error *e)
{
	struct error ignored = ERROR_INIT;
	uint32_t uid = p->user.uid;

	if (uids && idmap_to_host(uids, p->user.uid, &uid, &ignored) < 0)
		uid = (uint32_t)-1;
	for (int i = 0; i < 3; i++) {
		ret_stdio[i] = given[i];
		if (given[i] >= 0) {
			give_pipe(given[i], uid);
			continue;
		}
		if (*null_fd < 0)
			*null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (*null_fd < 0)
			return err_sys(e, "open /dev/null");
		ret_stdio[i] = *null_fd;
	}
	return 0;
}
