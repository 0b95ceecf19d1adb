// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "ctl/pod_dir.h"

static int open_dir(const char *data, const char *uid, int *ret_fd, struct error *e)
{
	cleanup_free char *path = NULL;

	if (!path_is_name(uid))
		return err_new(e, ERR_INVALID, "metadata.uid \"%s\" can not be the name of a directory", uid);
	path = str_fmt("%s/%s", data, uid);
	*ret_fd = open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, "open \"%s\"", path) : 0;
}

int pod_dir_make(const char *data, const char *uid, const char *log_dir, struct error *e)
{
	cleanup_close int dfd = -1;
	cleanup_free char *path = NULL;
	int r;

	if (!path_is_name(uid))
		return err_new(e, ERR_INVALID, "metadata.uid \"%s\" can not be the name of a directory", uid);
	r = path_mkdir_all(data, 0711, NULL, e);
	if (r < 0)
		return r;
	path = str_fmt("%s/%s", data, uid);
	if (mkdir(path, 0711) < 0)
		return errno == EEXIST
			       ? err_sysk(e, ERR_EXISTS, errno, "pod with uid \"%s\": make \"%s\"", uid, path)
			       : err_sys(e, "make \"%s\"", path);
	r = open_dir(data, uid, &dfd, e);
	if (r < 0)
		return r;
	if (symlinkat(log_dir, dfd, "logs") < 0)
		return err_sys(e, "make \"%s/logs\"", path);
	return path_mkdir_all(log_dir, 0755, NULL, e);
}

int pod_dir_volume(const char *data, const char *uid, const char *name, int64_t fs_group, char **ret_path,
		   struct error *e)
{
	cleanup_free char *path = NULL;
	cleanup_close int fd = -1;
	int r;

	if (!path_is_name(name))
		return err_new(e, ERR_INVALID, "volume \"%s\": the name can not be that of a directory",
			       name);
	path = str_fmt("%s/%s/volumes/empty-dir/%s", data, uid, name);
	r = path_mkdir_all(path, 0711, &fd, e);
	if (r < 0)
		return r;
	if (fs_group >= 0 && fchown(fd, (uid_t)-1, (gid_t)fs_group) < 0)
		return err_sys(e, "give \"%s\" to group %lld", path, (long long)fs_group);
	if (fchmod(fd, fs_group >= 0 ? 02777 : 0777) < 0)
		return err_sys(e, "set the mode of \"%s\"", path);
	*ret_path = take_ptr(path);
	return 0;
}

/* The log directory is removed only under the name that a pod of this uid has: the link is followed as data. */
static int remove_logs(int dfd, const char *uid, struct error *e)
{
	char target[PATH_MAX];
	cleanup_free char *tail = str_fmt("_%s", uid);
	ssize_t n = readlinkat(dfd, "logs", target, sizeof(target) - 1);

	if (n < 0)
		return errno == ENOENT ? 0 : err_sys(e, "read the link \"logs\" of pod %s", uid);
	target[n] = 0;
	if (!path_is_clean_abs(target) || !str_ends(target, tail))
		return 0;
	return path_remove_tree(AT_FDCWD, target, e);
}

int pod_dir_remove(const char *data, const char *uid, struct error *e)
{
	cleanup_close int dfd = -1, data_dfd = -1;
	int r;

	if (!path_is_name(uid))
		return 0;
	data_dfd = open(data, O_DIRECTORY | O_CLOEXEC);
	if (data_dfd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open \"%s\"", data);
	dfd = openat(data_dfd, uid, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dfd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open \"%s/%s\"", data, uid);
	r = remove_logs(dfd, uid, e);
	if (r == 0)
		r = path_remove_tree(data_dfd, uid, e);
	return r < 0 ? err_ctx(e, "pod \"%s\" is removed, but not what it left on disk", uid) : 0;
}
