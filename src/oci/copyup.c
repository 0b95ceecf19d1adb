/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/copyup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

struct copy {
	dev_t dev; /* of the source: what is on another one is a mount */
	size_t files;
	int depth;
};

static int copy_dir(struct copy *c, int from_fd, int to_fd, struct error *e);

static int copy_owner(int dfd, const char *name, const struct stat *sb, struct error *e)
{
	const struct timespec times[2] = { sb->st_atim, sb->st_mtim };

	if (fchownat(dfd, name, sb->st_uid, sb->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "give \"%s\" to %u:%u", name, sb->st_uid, sb->st_gid);
	/* After the owner: chown(2) takes the set-id bits away. */
	if (!S_ISLNK(sb->st_mode) && fchmodat(dfd, name, sb->st_mode & 07777, 0) < 0)
		return err_sys(e, "set the mode of \"%s\"", name);
	if (utimensat(dfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "set the times of \"%s\"", name);
	return 0;
}

/* Who else has the directory may have put something else there since it was looked at: *sb is what is copied. */
static int copy_file(int from_dfd, int to_dfd, const char *name, struct stat *sb, struct error *e)
{
	cleanup_close int from = openat(from_dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_close int to =
		openat(to_dfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (from < 0 || to < 0)
		return err_sys(e, "open \"%s\"", name);
	if (fstat(from, sb) < 0 || !S_ISREG(sb->st_mode))
		return err_new(e, ERR_STATE, "\"%s\" changed under our hands", name);
	while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	return n < 0 ? err_sys(e, "copy \"%s\"", name) : 0;
}

static int copy_link(int from_dfd, int to_dfd, const char *name, struct error *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dfd, name, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(e, "read the link \"%s\"", name);
	target[n] = '\0';
	return symlinkat(target, to_dfd, name) < 0 ? err_sys(e, "link \"%s\"", name) : 0;
}

static int copy_below(struct copy *c, int from_dfd, int to_dfd, const char *name, struct error *e)
{
	cleanup_close int from = -1, to = -1;

	if (mkdirat(to_dfd, name, 0700) < 0)
		return err_sys(e, "make directory \"%s\"", name);
	from = openat(from_dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	to = openat(to_dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || to < 0)
		return err_sys(e, "open directory \"%s\"", name);
	return copy_dir(c, from, to, e);
}

static int copy_one(struct copy *c, int from_dfd, int to_dfd, const char *name, struct error *e)
{
	struct stat sb;
	int r;

	if (fstatat(from_dfd, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "look at \"%s\"", name);
	if (sb.st_dev != c->dev)
		return 0;
	if (++c->files > COPYUP_FILES_MAX)
		return err_new(e, ERR_LIMIT, "more than %d files", COPYUP_FILES_MAX);
	if (S_ISDIR(sb.st_mode))
		r = copy_below(c, from_dfd, to_dfd, name, e);
	else if (S_ISREG(sb.st_mode))
		r = copy_file(from_dfd, to_dfd, name, &sb, e);
	else if (S_ISLNK(sb.st_mode))
		r = copy_link(from_dfd, to_dfd, name, e);
	else
		return 0;
	return r < 0 ? r : copy_owner(to_dfd, name, &sb, e);
}

static int copy_dir(struct copy *c, int from_fd, int to_fd, struct error *e)
{
	int list_fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);
	struct dirent *d;

	if (!dir)
		return err_sys(e, "read a directory");
	if (++c->depth > COPYUP_DEPTH_MAX)
		r = err_new(e, ERR_LIMIT, "directories nested deeper than %d", COPYUP_DEPTH_MAX);
	while (r >= 0 && (d = readdir(dir)))
		if (!str_eq(d->d_name, ".") && !str_eq(d->d_name, ".."))
			r = copy_one(c, from_fd, to_fd, d->d_name, e);
	c->depth--;
	closedir(dir);
	return r;
}

int copyup(int from_fd, int to_fd, struct error *e)
{
	struct copy c = { 0 };
	struct stat sb;
	int r;

	if (fstat(from_fd, &sb) < 0)
		return err_sys(e, "look at the directory");
	c.dev = sb.st_dev;
	r = copy_dir(&c, from_fd, to_fd, e);
	if (r >= 0 && (fchownat(to_fd, ".", sb.st_uid, sb.st_gid, 0) < 0 ||
		       fchmodat(to_fd, ".", sb.st_mode & 07777, 0) < 0))
		r = err_sys(e, "give the copy its owner");
	return r < 0 ? err_ctx(e, "tmpcopyup") : 0;
}
