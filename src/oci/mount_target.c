/* SPDX-License-Identifier: Apache-2.0 */
/* Where a mount goes. What the image has there is followed inside the root, and what is missing is made. */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"

#define LINKS_MAX 40
#define DEPTH_MAX 256 /* directories that we make for one path */

static int make_target(int root_fd, const char *path, bool is_dir, int depth, int *ret_fd, struct error *e);

/* When path ends in a symlink that leads to nothing, replace *path by where it points. 1: replaced. */
static int follow_dangling(int parent, const char *name, const char *dir, char **path, struct error *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);
	char *next;

	if (n < 0)
		return errno == EINVAL || errno == ENOENT ? 0 : err_sys(e, "read the link \"%s\"", *path);
	target[n] = '\0';
	next = target[0] == '/' ? str_dup(target) : str_fmt("%s/%s", dir, target);
	free(*path);
	*path = next;
	return 1;
}

/* Make the last part of *path, or follow it. 0: made, or it was a race that made it. 1: *path is another now. */
static int make_last(int root_fd, char **path, bool is_dir, int depth, struct error *e)
{
	cleanup_free char *clean = path_clean(*path);
	char *slash = strrchr(clean, '/');
	cleanup_close int parent = -1, file = -1;
	struct statfs fs;
	const char *name;
	int r;

	if (!slash || !slash[1])
		return err_new(e, ERR_INVALID, "\"%s\" names nothing that can be made", *path);
	name = slash + 1;
	*slash = '\0';
	r = make_target(root_fd, *clean ? clean : "/", true, depth + 1, &parent, e);
	if (r < 0)
		return r;
	/* Nothing can be made there, and the text of a magic link is no path. */
	if (fstatfs(parent, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
		return err_new(e, ERR_NOT_FOUND, "\"%s\" is not in /proc", *path);
	r = follow_dangling(parent, name, clean, path, e);
	if (r)
		return r;
	if (is_dir)
		return mkdirat(parent, name, 0755) < 0 && errno != EEXIST
			       ? err_sys(e, "make directory \"%s\"", *path)
			       : 0;
	file = openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);
	return file < 0 && errno != EEXIST ? err_sys(e, "make file \"%s\"", *path) : 0;
}

static int make_target(int root_fd, const char *path, bool is_dir, int depth, int *ret_fd, struct error *e)
{
	cleanup_free char *at = str_dup(path);

	if (depth > DEPTH_MAX)
		return err_new(e, ERR_LIMIT, "more than %d directories would have to be made", DEPTH_MAX);
	for (int i = 0; i < LINKS_MAX; i++) {
		struct error first = ERROR_INIT;
		int r = path_open_in_root(root_fd, at, O_PATH, 0, ret_fd, &first);

		if (r >= 0)
			return 0;
		if (first.sys != ENOENT) {
			if (e)
				*e = first;
			return r;
		}
		r = make_last(root_fd, &at, is_dir, depth, e);
		if (r < 0)
			return r;
	}
	return err_sysk(e, ERR_SYS, ELOOP, "follow \"%s\"", path);
}

int mount_target(int root_fd, const char *path, bool is_dir, int *ret_fd, struct error *e)
{
	return make_target(root_fd, path, is_dir, 0, ret_fd, e);
}

int mount_place(int root_fd, const char *path, bool is_dir, int *ret_fd, struct error *e)
{
	cleanup_close int fd = -1;
	struct statfs fs;
	int r = mount_target(root_fd, path, is_dir, &fd, e);

	if (r < 0)
		return r;
	if (fstatfs(fd, &fs) < 0)
		return err_sys(e, "look at \"%s\"", path);
	if (fs.f_type == PROC_SUPER_MAGIC)
		return err_new(e, ERR_DENIED, "\"%s\" leads into /proc", path);
	*ret_fd = take_fd(fd);
	return 0;
}
