/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"

/* openat2(2). RESOLVE_IN_ROOT and RESOLVE_BENEATH answer EAGAIN when a rename raced with a ".." step:
 * the manual page asks to try again. */
static int open2(int dfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve };
	long fd;

	if (flags & (O_CREAT | __O_TMPFILE))
		how.mode = mode;
	for (int tries = 0; tries < 128; tries++) {
		fd = syscall(SYS_openat2, dfd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			return (int)fd;
	}
	return -1;
}

int path_open_in_root(int root_dfd, const char *path, int flags, mode_t mode, int *ret_fd, struct error *e)
{
	int fd = open2(root_dfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return err_sys(e, "open \"%s\" inside the root", path);
	*ret_fd = fd;
	return 0;
}

int path_open_beneath(int dfd, const char *path, int flags, mode_t mode, bool no_symlinks, int *ret_fd,
		      struct error *e)
{
	uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
	int fd = open2(dfd, path, flags, mode, no_symlinks ? resolve | RESOLVE_NO_SYMLINKS : resolve);

	if (fd < 0)
		return err_sys(e, "open \"%s\"", path);
	*ret_fd = fd;
	return 0;
}

/* Make the one directory at the end of prefix, whose parent exists. The parent is opened inside the
 * root first, then the name is made in it by fd. */
static int mkdir_step(int root_dfd, char *prefix, mode_t mode, uid_t uid, gid_t gid, struct error *e)
{
	char *slash = strrchr(prefix, '/');
	cleanup_close int parent = -1;
	const char *name;
	int r;

	if (slash) {
		*slash = '\0';
		name = slash + 1;
		r = path_open_in_root(root_dfd, *prefix ? prefix : "/", O_PATH | O_DIRECTORY, 0, &parent, e);
		*slash = '/';
	} else {
		name = prefix;
		r = path_open_in_root(root_dfd, "/", O_PATH | O_DIRECTORY, 0, &parent, e);
	}
	if (r < 0)
		return r;
	if (mkdirat(parent, name, mode) < 0) {
		if (errno == EEXIST)
			return 0;
		return err_sys(e, "make directory \"%s\"", prefix);
	}
	if ((uid != (uid_t)-1 || gid != (gid_t)-1) &&
	    fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "give directory \"%s\" to %u:%u", prefix, uid, gid);
	return 0;
}

int path_mkdir_in_root(int root_dfd, const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd,
		       struct error *e)
{
	cleanup_free char *work = str_dup(path);

	for (char *p = work; *p;) {
		char *end = p + strspn(p, "/");
		char saved;
		struct error ignored;
		cleanup_close int fd = -1;

		end += strcspn(end, "/");
		if (end == p || strspn(p, "/") == (size_t)(end - p))
			break;
		saved = *end;
		*end = '\0';
		if (path_open_in_root(root_dfd, work, O_PATH | O_DIRECTORY, 0, &fd, &ignored) < 0) {
			int r = mkdir_step(root_dfd, work, mode, uid, gid, e);

			if (r < 0)
				return r;
		}
		*end = saved;
		p = end;
	}
	return path_open_in_root(root_dfd, path, O_PATH | O_DIRECTORY, 0, ret_fd, e);
}

int path_mkdir_all(const char *path, mode_t mode, int *ret_fd, struct error *e)
{
	cleanup_free char *work = str_dup(path);
	int fd;

	for (char *p = work + 1;; p++) {
		char saved = *p;

		if (saved != '/' && saved != '\0')
			continue;
		*p = '\0';
		if (mkdir(work, mode) < 0 && errno != EEXIST)
			return err_sys(e, "make directory \"%s\"", work);
		if (saved == '\0')
			break;
		*p = saved;
	}
	if (!ret_fd)
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open directory \"%s\"", path);
	*ret_fd = fd;
	return 0;
}

#define REMOVE_DEPTH_MAX 4096

/* The mount id of what dfd/name is, without following a link (statx(2), STATX_MNT_ID). */
static int mount_id(int dfd, const char *name, uint64_t *ret_id)
{
	struct statx sx;

	if (statx(dfd, name, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH) | AT_NO_AUTOMOUNT,
		  STATX_MNT_ID, &sx) < 0)
		return -1;
	*ret_id = sx.stx_mnt_id;
	return 0;
}

/* Remove all that is in the directory of this fd, which is taken over. */
static int remove_inside(int fd, uint64_t id, const char *shown, int depth, struct error *e)
{
	DIR *dir;
	struct dirent *d;
	int r = 0;

	if (depth > REMOVE_DEPTH_MAX) {
		close(fd);
		return err_new(e, ERR_LIMIT, "\"%s\" is nested deeper than %d", shown, REMOVE_DEPTH_MAX);
	}
	dir = fdopendir(fd);
	if (!dir) {
		r = err_sys(e, "read directory \"%s\"", shown);
		close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, d = readdir(dir))) {
		uint64_t child_id;
		int child;

		if (str_eq(d->d_name, ".") || str_eq(d->d_name, ".."))
			continue;
		if (unlinkat(dirfd(dir), d->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM && errno != EBUSY) {
			r = err_sys(e, "remove \"%s\"", d->d_name);
			break;
		}
		if (mount_id(dirfd(dir), d->d_name, &child_id) < 0) {
			r = errno == ENOENT ? 0 : err_sys(e, "look at \"%s\"", d->d_name);
			continue;
		}
		if (child_id != id) {
			r = err_sysk(e, ERR_STATE, EXDEV, "\"%s\" in \"%s\" is a mount: not removed",
				     d->d_name, shown);
			break;
		}
		child = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0) {
			r = errno == ENOENT ? 0 : err_sys(e, "open directory \"%s\"", d->d_name);
			continue;
		}
		r = remove_inside(child, id, d->d_name, depth + 1, e);
		if (r == 0 && unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			r = err_sys(e, "remove directory \"%s\"", d->d_name);
	}
	closedir(dir);
	return r;
}

int path_remove_tree(int dfd, const char *name, struct error *e)
{
	uint64_t parent_id, id;
	int fd, r;

	if (unlinkat(dfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(e, "remove \"%s\"", name);
	if (mount_id(dfd, "", &parent_id) < 0 || mount_id(dfd, name, &id) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "look at \"%s\"", name);
	if (dfd != AT_FDCWD && id != parent_id)
		return err_sysk(e, ERR_STATE, EXDEV, "\"%s\" is a mount: not removed", name);
	fd = openat(dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open directory \"%s\"", name);
	r = remove_inside(fd, id, name, 0, e);
	if (r < 0)
		return err_ctx(e, "remove tree \"%s\"", name);
	if (unlinkat(dfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, "remove directory \"%s\"", name);
	return 0;
}

bool path_is_clean_abs(const char *path)
{
	size_t len = path ? strlen(path) : 0;

	if (len == 0 || len >= PATH_MAX || path[0] != '/')
		return false;
	if (len == 1)
		return true;
	for (const char *p = path; *p;) {
		size_t n = strcspn(p + 1, "/");

		if (n == 0 || (n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return false;
		p += n + 1;
	}
	return true;
}

bool path_is_name(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len > 0 && len <= NAME_MAX && !strchr(name, '/') && !str_eq(name, ".") && !str_eq(name, "..");
}

/* Drop the last part of out, unless it is ".." of a relative path or the root itself. */
static void clean_up(struct buf *out, bool absolute)
{
	const char *slash = out->len ? strrchr(buf_str(out), '/') : NULL;
	const char *last = slash ? slash + 1 : buf_str(out);

	if (out->len == 0 || str_eq(last, "..")) {
		if (!absolute)
			buf_adds(out, out->len ? "/.." : "..");
		return;
	}
	out->len = slash ? (size_t)(slash - out->data) : 0;
	out->data[out->len] = '\0';
}

char *path_clean(const char *path)
{
	bool absolute = path[0] == '/';
	cleanup_strv struct strv parts = STRV_INIT;
	cleanup_buf struct buf out = BUF_INIT;

	strv_split(&parts, path, "/");
	for (size_t i = 0; i < parts.n; i++) {
		if (str_eq(parts.v[i], "."))
			continue;
		if (str_eq(parts.v[i], "..")) {
			clean_up(&out, absolute);
			continue;
		}
		if (out.len || absolute)
			buf_addc(&out, '/');
		buf_adds(&out, parts.v[i]);
	}
	if (out.len == 0)
		buf_addc(&out, absolute ? '/' : '.');
	return buf_take(&out);
}

const char *path_of_fd(int fd, char out[PATH_FD_SIZE])
{
	snprintf(out, PATH_FD_SIZE, "/proc/self/fd/%d", fd);
	return out;
}
