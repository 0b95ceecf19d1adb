/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cgroupfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

int cgroupfs_open_dir(int dfd, const char *name)
{
	return openat(dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

#define MARK "user.hull.made"

int cgroupfs_mark(int dfd)
{
	return fsetxattr(dfd, MARK, "1", 1, 0);
}

bool cgroupfs_is_marked(int dfd)
{
	struct stat sb;

	return fgetxattr(dfd, MARK, NULL, 0) >= 0 && fstat(dfd, &sb) == 0 && sb.st_uid == geteuid() &&
	       !(sb.st_mode & (S_IWGRP | S_IWOTH));
}

int cgroupfs_open_file(int dfd, const char *file)
{
	return openat(dfd, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
}

int cgroupfs_write_fd(int fd, const char *value)
{
	ssize_t n;

	do
		n = pwrite(fd, value, strlen(value), 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

int cgroupfs_write(int dfd, const char *file, const char *value)
{
	cleanup_close int fd = cgroupfs_open_file(dfd, file);

	return fd < 0 ? -1 : cgroupfs_write_fd(fd, value);
}

bool cgroupfs_is(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == CGROUP2_SUPER_MAGIC || fs.f_type == CGROUP_SUPER_MAGIC);
}

ssize_t cgroupfs_read_fd(int fd, char *text, size_t size)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = pread(fd, text + len, size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len == size) {
			errno = EFBIG;
			return -1;
		}
	}
	if (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	return (ssize_t)len;
}

ssize_t cgroupfs_read(int dfd, const char *file, char *text, size_t size)
{
	cleanup_close int fd = openat(dfd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -1 : cgroupfs_read_fd(fd, text, size);
}

int cgroupfs_read_u64(int dfd, const char *file, uint64_t *ret)
{
	char text[64];

	if (cgroupfs_read(dfd, file, text, sizeof(text)) < 0)
		return -1;
	if (strcmp(text, "max") == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	if (str_to_u64(text, ret, NULL) < 0) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

bool cgroupfs_keyed(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, key, n) != 0 || line[n] != ' ' || line[n + 1] < '0' || line[n + 1] > '9')
			continue;
		*ret = strtoull(line + n + 1, NULL, 10);
		return true;
	}
	return false;
}

bool cgroupfs_has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	while (*text) {
		size_t len = strcspn(text, " \n");

		if (len == n && memcmp(text, word, n) == 0)
			return true;
		text += len;
		text += strspn(text, " \n");
	}
	return false;
}

/* ---- the walk: a stack of the names that are still to be visited at each level; the way up is "..",
 * which in a cgroup hierarchy cannot be made to lead elsewhere (no links, no renames out of a level). */

struct level {
	struct strv names;
	size_t next;
};

static int list_dirs(int dfd, struct strv *names)
{
	struct dirent *d;
	struct stat sb;
	DIR *dir;
	int fd;

	/* A directory has a link a subdirectory beside its two own. One of cgroups has dozens of files, whose names we
	 * need not read to see that there is none. */
	if (fstat(dfd, &sb) == 0 && sb.st_nlink == 2)
		return 0;
	fd = openat(dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -1;
	}
	while ((d = readdir(dir)))
		if (d->d_type == DT_DIR && strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			strv_add(names, d->d_name);
	closedir(dir);
	return 0;
}

static bool is_gone(int sys)
{
	return sys == ENOENT || sys == ENODEV;
}

struct walk {
	struct level *levels;
	size_t depth; /* levels in use; the top is level 0 */
	int cur;      /* the directory of the deepest level */
	enum cgroupfs_order order;
	int (*fn)(const struct cgroupfs_visit *v, void *arg);
	void *arg;
};

static void walk_done(struct walk *w)
{
	while (w->depth > 0)
		strv_done(&w->levels[--w->depth].names);
	free(w->levels);
	if (w->cur >= 0)
		close(w->cur);
}
DEFINE_CLEANUP_VALUE(struct walk, walk_done)

/* Take the directory fd as the new deepest level. */
static int walk_enter(struct walk *w, int fd)
{
	struct cgroupfs_visit v = { .dfd = fd, .parent_dfd = -1 };
	struct level *l;

	w->levels = mem_regrow(w->levels, w->depth + 1, sizeof(*w->levels));
	l = &w->levels[w->depth++];
	*l = (struct level){ 0 };
	if (w->cur >= 0)
		close(w->cur);
	w->cur = fd;
	if (w->order == CGROUPFS_PARENT_FIRST) {
		if (w->depth > 1)
			v.name = w->levels[w->depth - 2].names.v[w->levels[w->depth - 2].next - 1];
		int r = w->fn(&v, w->arg);

		if (r)
			return r;
	}
	return list_dirs(fd, &l->names) < 0 && !is_gone(errno) ? -1 : 0;
}

/* The deepest level is done: visit it (children first) and go up. */
static int walk_leave(struct walk *w)
{
	struct cgroupfs_visit v = { .dfd = w->cur, .parent_dfd = -1 };
	int up = -1, r = 0;

	if (w->depth > 1) {
		struct level *l = &w->levels[w->depth - 2];

		up = openat(w->cur, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			return -1;
		v.name = l->names.v[l->next - 1];
		v.parent_dfd = up;
	}
	if (w->order == CGROUPFS_CHILDREN_FIRST)
		r = w->fn(&v, w->arg);
	strv_done(&w->levels[--w->depth].names);
	close(w->cur);
	w->cur = up;
	return r;
}

int cgroupfs_walk(int dfd, enum cgroupfs_order order, int (*fn)(const struct cgroupfs_visit *v, void *arg),
		  void *arg)
{
	CLEANUP(walk_done) struct walk w = { .cur = -1, .order = order, .fn = fn, .arg = arg };
	int top = openat(dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (top < 0)
		return is_gone(errno) ? 0 : -1;
	r = walk_enter(&w, top);
	while (r == 0 && w.depth > 0) {
		struct level *l = &w.levels[w.depth - 1];

		if (l->next == l->names.n) {
			r = walk_leave(&w);
			continue;
		}
		int child = cgroupfs_open_dir(w.cur, l->names.v[l->next++]);

		if (child >= 0)
			r = walk_enter(&w, child);
		else if (!is_gone(errno))
			r = -1;
	}
	return r;
}
