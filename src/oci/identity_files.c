// SPDX-License-Identifier: Apache-2.0
/* Reading /etc/passwd and /etc/group of an image: from a root, or through overlay layers that nobody has mounted.
 *
 * What is found is first opened O_PATH, which does nothing to a FIFO or a device, and read only when it is a
 * regular file; never does an open or a read wait. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/identity.h"

#define SYMLINKS_MAX 16
#define PARTS_MAX 64

/* A file of a procfs may be called regular and still block its reader (/proc/kmsg). */
static int check_regular(int fd, const char *path, struct stat *ret, struct error *e)
{
	struct statfs fs;

	if (fstat(fd, ret) < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(e, "stat the image's \"%s\"", path);
	if (!S_ISREG(ret->st_mode) || fs.f_type == PROC_SUPER_MAGIC)
		return err_new(e, ERR_INVALID, "the image's \"%s\" is not a regular file", path);
	return 0;
}

static int read_open(int fd, const char *path, struct buf *b, struct error *e)
{
	int r = fd_read_all(fd, IDENTITY_FILE_MAX, b, e);

	return r < 0 ? err_ctx(e, "the image's \"%s\"", path) : 0;
}

static int read_regular(int path_fd, const char *path, struct buf *b, struct error *e)
{
	char proc[PATH_FD_SIZE];
	cleanup_close int fd = -1;
	struct stat st;
	int r = check_regular(path_fd, path, &st, e);

	if (r < 0)
		return r;
	fd = open(path_of_fd(path_fd, proc), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "open the image's \"%s\"", path) : read_open(fd, path, b, e);
}

static int read_in_root(int root_dfd, const char *path, struct buf *b, struct error *e)
{
	cleanup_close int look = -1, fd = -1;
	struct error found = ERROR_INIT;
	struct stat seen, st;
	int r;

	r = path_open_in_root(root_dfd, path, O_PATH, 0, &look, &found);
	if (r < 0 && (found.sys == ENOENT || found.sys == ENOTDIR))
		return 0;
	if (r < 0) {
		if (e)
			*e = found;
		return r;
	}
	/* Not through /proc, which may be the image's: opened once more, and looked at once more. */
	r = check_regular(look, path, &seen, e);
	if (r >= 0)
		r = path_open_in_root(root_dfd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, &fd, e);
	if (r >= 0)
		r = check_regular(fd, path, &st, e);
	if (r < 0)
		return r;
	if (st.st_dev != seen.st_dev || st.st_ino != seen.st_ino)
		return err_new(e, ERR_INVALID, "the image's \"%s\" changed under our hands", path);
	return read_open(fd, path, b, e);
}

typedef int (*read_file_fn)(const void *from, const char *path, struct buf *b, struct error *e);

static int read_both(read_file_fn read_file, const void *from, struct identity_files *ret_files,
		     struct error *e)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	int r;

	r = read_file(from, "/etc/passwd", &files.passwd, e);
	if (r == 0)
		r = read_file(from, "/etc/group", &files.group, e);
	if (r < 0)
		return r;
	*ret_files = files;
	files = (struct identity_files){ 0 };
	return 0;
}

static int read_root(const void *from, const char *path, struct buf *b, struct error *e)
{
	return read_in_root(*(const int *)from, path, b, e);
}

int identity_files_read(int root_dfd, struct identity_files *ret_files, struct error *e)
{
	return read_both(read_root, &root_dfd, ret_files, e);
}

/* ---- layers ------------------------------------------------------------------------------------- */

/* The directories, one a layer and topmost first, that overlayfs would merge into the directory where we are. */
struct merged {
	int *fds;
	size_t n;
};

static void merged_done(struct merged *m)
{
	for (size_t i = 0; i < m->n; i++)
		close(m->fds[i]);
	free(m->fds);
	*m = (struct merged){ 0 };
}
DEFINE_CLEANUP_VALUE(struct merged, merged_done)

struct layers {
	const int *dfds;
	size_t n;
};

static bool has_mark(int fd, const char *name, const char *value)
{
	char found[4], proc[PATH_FD_SIZE];
	ssize_t n = getxattr(path_of_fd(fd, proc), name, found, sizeof(found));

	return n >= 0 && (!value || (n == (ssize_t)strlen(value) && memcmp(found, value, (size_t)n) == 0));
}

/* Overlayfs marks with trusted.overlay., or user.overlay. when mounted with userxattr. */
static bool is_opaque(int fd)
{
	return has_mark(fd, "user.overlay.opaque", "y") || has_mark(fd, "trusted.overlay.opaque", "y");
}

static bool is_whiteout(int fd, const struct stat *st)
{
	if (S_ISCHR(st->st_mode))
		return st->st_rdev == 0;
	return S_ISREG(st->st_mode) && st->st_size == 0 &&
	       (has_mark(fd, "user.overlay.whiteout", NULL) ||
		has_mark(fd, "trusted.overlay.whiteout", NULL));
}

/* One step down. Directories are merged into ret_dir; anything else that is on top goes to *ret_fd (O_PATH), and
 * then ret_dir is empty. Both empty: there is no such name. */
static int step(const struct merged *dir, const char *name, struct merged *ret_dir, int *ret_fd,
		struct error *e)
{
	CLEANUP(merged_done) struct merged below = { mem_array(dir->n + 1, sizeof(int)), 0 };

	*ret_fd = -1;
	for (size_t i = 0; i < dir->n; i++) {
		cleanup_close int fd = openat(dir->fds[i], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;
		bool ends;

		if (fd < 0 && errno != ENOENT)
			return err_sys(e, "open \"%s\" in a layer", name);
		if (fd >= 0 && fstat(fd, &st) < 0)
			return err_sys(e, "stat \"%s\" in a layer", name);
		ends = is_opaque(dir->fds[i]);
		if (fd >= 0 && S_ISDIR(st.st_mode)) {
			below.fds[below.n++] = take_fd(fd);
		} else if (fd >= 0) {
			if (below.n == 0 && !is_whiteout(fd, &st))
				*ret_fd = take_fd(fd);
			ends = true;
		}
		if (ends)
			break;
	}
	*ret_dir = below;
	below = (struct merged){ 0 };
	return 0;
}

static void roots(const struct layers *layers, struct merged *ret)
{
	struct merged m = { mem_array(layers->n + 1, sizeof(int)), 0 };

	for (size_t i = 0; i < layers->n; i++) {
		int fd = openat(layers->dfds[i], ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			m.fds[m.n++] = fd;
	}
	*ret = m;
}

/* Walk without following a symlink. Returns how many parts were walked; *ret_fd is what the last one is, or -1
 * when it is a directory or missing. */
static int walk(const struct layers *layers, const struct strv *parts, size_t *ret_walked, int *ret_fd,
		struct error *e)
{
	CLEANUP(merged_done) struct merged dir = { 0 };
	size_t i = 0;

	*ret_fd = -1;
	roots(layers, &dir);
	while (i < parts->n && *ret_fd < 0 && dir.n > 0) {
		struct merged next = { 0 };
		int r = step(&dir, parts->v[i], &next, ret_fd, e);

		if (r < 0)
			return r;
		merged_done(&dir);
		dir = next;
		i++;
	}
	*ret_walked = i;
	return 0;
}

/* Put the target of the symlink that parts[at] is in its place. What is before it has no symlink, so ".." can be
 * taken by the text; it ends at the root. */
static int replace(struct strv *parts, size_t at, const char *target, struct error *e)
{
	cleanup_strv struct strv all = STRV_INIT, raw = STRV_INIT;

	for (size_t i = 0; i < at && target[0] != '/'; i++)
		strv_add(&raw, parts->v[i]);
	strv_split(&raw, target, "/");
	for (size_t i = at + 1; i < parts->n; i++)
		strv_add(&raw, parts->v[i]);
	for (size_t i = 0; i < raw.n; i++) {
		if (!str_eq(raw.v[i], "..") && !str_eq(raw.v[i], ".")) {
			strv_add(&all, raw.v[i]);
		} else if (str_eq(raw.v[i], "..") && all.n > 0) {
			free(all.v[--all.n]);
			all.v[all.n] = NULL;
		}
	}
	if (all.n > PARTS_MAX)
		return err_new(e, ERR_LIMIT, "more than %d parts in a path of the image", PARTS_MAX);
	strv_done(parts);
	*parts = all;
	all = STRV_INIT;
	return 0;
}

static int read_layers(const void *from, const char *path, struct buf *b, struct error *e)
{
	cleanup_strv struct strv parts = STRV_INIT;

	strv_split(&parts, path, "/");
	for (int links = 0; links <= SYMLINKS_MAX; links++) {
		cleanup_close int fd = -1;
		char target[PATH_MAX];
		size_t walked = 0;
		struct stat st;
		ssize_t n;
		int r;

		r = walk(from, &parts, &walked, &fd, e);
		if (r < 0 || fd < 0)
			return r;
		if (fstat(fd, &st) < 0)
			return err_sys(e, "stat the image's \"%s\"", path);
		if (!S_ISLNK(st.st_mode))
			return walked == parts.n ? read_regular(fd, path, b, e) : 0;
		n = readlinkat(fd, "", target, sizeof(target) - 1);
		if (n < 0)
			return err_sys(e, "read a symlink on the way to the image's \"%s\"", path);
		target[n] = 0;
		r = replace(&parts, walked - 1, target, e);
		if (r < 0)
			return r;
	}
	return err_new(e, ERR_INVALID, "the image's \"%s\": more than %d symlinks on the way", path,
		       SYMLINKS_MAX);
}

int identity_files_read_layers(const int *layer_dfds, size_t layer_count, struct identity_files *ret_files,
			       struct error *e)
{
	const struct layers layers = { layer_dfds, layer_count };

	return read_both(read_layers, &layers, ret_files, e);
}
