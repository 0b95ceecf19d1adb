/* SPDX-License-Identifier: Apache-2.0 */
/* One entry at a time: clean the name, open its parent (the last one is kept: archives are sorted by
 * directory), make the object with an exclusive call, and only when something is in the way look at what.
 * Owner, mode, attributes and times follow in the order in which none undoes another: chown clears setuid
 * bits and capabilities, so it comes first. Times of directories come at the very end, since each entry
 * made in one changes them.
 *
 * The caller has made root_dfd its root directory and runs alone in there, so there are no races: a name
 * that was looked at is still the same when it is used. */
#include "image/untar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define AUFS_BOOKKEEPING ".wh..wh."
#define OVERLAY_OPAQUE "user.overlay.opaque"
#define DISK_CHECK_BYTES (16U << 20)
#define INODES_FREE_MIN 1024

struct dir_time {
	char *path;
	struct timespec mtime;
};

struct writer {
	const struct untar_opts *o;
	struct untar_result result;
	char path[PATH_MAX];	  /* the cleaned name of this entry; "" is the root itself */
	const char *name;	  /* its last part, in path */
	int parent_fd;		  /* of name: root_dfd or open_fd */
	int open_fd;		  /* kept open for the next entry; -1 none */
	char open_path[PATH_MAX]; /* the directory of open_fd */
	struct dir_time *dirs;
	size_t dir_count, dir_room;
	uint64_t unchecked_bytes;
};

/* A cleaned copy of a name in the archive: without "./" and double slashes. */
static int clean_name(const char *name, char out[PATH_MAX], struct error *e)
{
	size_t len = 0, parts = 0;

	if (name[0] == '/')
		return err_new(e, ERR_INVALID, "is absolute: it would leave the layer");
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			return err_new(e, ERR_INVALID, "has a \"..\" part: it would leave the layer");
		if (n > NAME_MAX)
			return err_new(e, ERR_INVALID, "has a part of %zu bytes, more than %d", n, NAME_MAX);
		if (n > 0 && !(n == 1 && p[0] == '.')) {
			if (len + n + 2 > PATH_MAX || ++parts > UNTAR_DEPTH_MAX)
				return err_new(e, ERR_INVALID, "is longer than %d bytes or %d parts",
					       PATH_MAX - 1, UNTAR_DEPTH_MAX);
			if (len)
				out[len++] = '/';
			memcpy(out + len, p, n);
			len += n;
		}
		p += n + (p[n] == '/');
	}
	out[len] = '\0';
	return 0;
}

static void forget_open(struct writer *w)
{
	if (w->open_fd >= 0)
		close(w->open_fd);
	w->open_fd = -1;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Make the directory dfd/name opaque: overlayfs then shows nothing of the layers below in it. */
static int make_opaque(int dfd, const char *name, struct error *e)
{
	if (fchdir(dfd) < 0 || lsetxattr(*name ? name : ".", OVERLAY_OPAQUE, "y", 1, 0) < 0)
		return err_sys(e, "set %s", OVERLAY_OPAQUE);
	return 0;
}

/* A directory on the way to an entry, when it is missing or is a whiteout. */
static int make_parent(struct writer *w, int dfd, const char *name, struct error *e)
{
	struct stat st;
	bool was_whiteout = false;

	if (fstatat(dfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!w->o->is_layer || !is_whiteout(&st))
			return err_new(e, ERR_INVALID, "\"%s\" on its way is not a directory", name);
		if (unlinkat(dfd, name, 0) < 0)
			return err_sys(e, "remove the whiteout of \"%s\"", name);
		was_whiteout = true;
	}
	if (mkdirat(dfd, name, 0755) < 0)
		return err_sys(e, "make directory \"%s\"", name);
	w->result.inodes++;
	return was_whiteout ? make_opaque(dfd, name, e) : 0;
}

/* Open a directory below the root; a symlink on the way is followed as long as it stays below. Returns 0 or
 * -errno, and no message: most callers have a way on. */
static int open_beneath(struct writer *w, const char *path, int *ret_fd)
{
	struct error why = ERROR_INIT;

	return path_open_beneath(w->o->root_dfd, path, O_PATH | O_DIRECTORY, 0, false, ret_fd, &why) < 0
		       ? -why.sys
		       : 0;
}

static int open_fault(int sys, const char *path, struct error *e)
{
	if (sys == EXDEV || sys == ELOOP)
		return err_new(e, ERR_INVALID, "leaves the layer through the symlink \"%s\"", path);
	return err_sysk(e, ERR_SYS, sys, "open directory \"%s\"", path);
}

/* Open path below the root, making what is missing. */
static int open_dir(struct writer *w, char *path, int *ret_fd, struct error *e)
{
	cleanup_close int fd = -1;
	int r;

	for (char *part = path, *end; part; part = end ? end + 1 : NULL) {
		int next = -1;

		end = strchr(part, '/');
		if (end)
			*end = '\0';
		r = open_beneath(w, path, &next);
		if (r == -ENOENT || r == -ENOTDIR) {
			r = make_parent(w, fd >= 0 ? fd : w->o->root_dfd, part, e);
			if (r == 0 && (r = open_beneath(w, path, &next)) < 0)
				r = open_fault(-r, path, e);
		} else if (r < 0) {
			r = open_fault(-r, path, e);
		}
		if (end)
			*end = '/';
		if (r < 0)
			return r;
		if (fd >= 0)
			close(fd);
		fd = next;
	}
	*ret_fd = take_fd(fd);
	return 0;
}

/* Set w->parent_fd and w->name for w->path. */
static int open_parent(struct writer *w, struct error *e)
{
	char *slash = strrchr(w->path, '/');
	int r;

	w->name = slash ? slash + 1 : w->path;
	if (!slash) {
		w->parent_fd = w->o->root_dfd;
		return 0;
	}
	*slash = '\0';
	if (w->open_fd < 0 || !str_eq(w->open_path, w->path)) {
		int fd;

		forget_open(w);
		if (open_beneath(w, w->path, &fd) < 0) {
			r = open_dir(w, w->path, &fd, e);
			if (r < 0) {
				*slash = '/';
				return r;
			}
		}
		w->open_fd = fd;
		strcpy(w->open_path, w->path);
	}
	*slash = '/';
	w->parent_fd = w->open_fd;
	return 0;
}

/* Something has this name already: a later entry wins. */
static int make_way(struct writer *w, struct error *e)
{
	int r = path_remove_tree(w->parent_fd, w->name, e);

	/* The directory that is kept open may have been in there. */
	if (w->parent_fd != w->open_fd || w->open_fd < 0)
		forget_open(w);
	return r;
}

static int check_disk(struct writer *w, uint64_t added, struct error *e)
{
	struct statvfs vfs;
	uint64_t free_bytes;

	w->unchecked_bytes += added;
	if (w->unchecked_bytes < DISK_CHECK_BYTES)
		return 0;
	w->unchecked_bytes = 0;
	if (fstatvfs(w->o->root_dfd, &vfs) < 0)
		return err_sys(e, "look at the free disk space");
	free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (free_bytes < w->o->reserve_bytes)
		return err_new(e, ERR_LIMIT, "the disk has %llu MiB left, and %llu MiB are kept in reserve",
			       (unsigned long long)(free_bytes >> 20),
			       (unsigned long long)(w->o->reserve_bytes >> 20));
	if (vfs.f_files > 0 && vfs.f_favail < INODES_FREE_MIN)
		return err_new(e, ERR_LIMIT, "the disk has %llu inodes left",
			       (unsigned long long)vfs.f_favail);
	return 0;
}

static int write_content(struct writer *w, struct tar *t, int fd, uint64_t size, struct error *e)
{
	uint64_t end = 0, offset, written = 0;
	const void *data;
	size_t len;
	int r;

	while ((r = tar_data(t, &data, &len, &offset, e)) > 0) {
		if (offset > size || len > size - offset)
			return err_new(e, ERR_CORRUPT, "has more content than its size of %llu bytes",
				       (unsigned long long)size);
		for (const char *p = data; len > 0;) {
			ssize_t n = pwrite(fd, p, len, (off_t)offset);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return err_sys(e, "write");
			p += n;
			len -= (size_t)n;
			offset += (uint64_t)n;
			written += (uint64_t)n;
			r = check_disk(w, (uint64_t)n, e);
			if (r < 0)
				return r;
		}
		end = offset;
	}
	if (r < 0)
		return r;
	if (end != size && ftruncate(fd, (off_t)size) < 0)
		return err_sys(e, "set the size to %llu", (unsigned long long)size);
	w->result.disk_bytes += (written + 4095) / 4096 * 4096;
	return 0;
}

static bool xattr_is_overlay(const char *name)
{
	return strstr(name, ".overlay.") != NULL || str_ends(name, ".overlay");
}

/* fd, or when it is -1 the name in the parent directory. What this host or our capabilities cannot set is
 * left out and counted, as others do, but for the capabilities of a file: a program without them fails
 * later and nobody knows why. */
static int set_xattrs(struct writer *w, struct tar *t, int fd, struct error *e)
{
	const char *name;
	const void *value;
	size_t len;
	bool is_there = false;

	while (tar_xattr(t, &name, &value, &len)) {
		int r;

		if (xattr_is_overlay(name)) {
			w->result.dropped_xattrs++;
			continue;
		}
		if (fd < 0 && !is_there && fchdir(w->parent_fd) < 0)
			return err_sys(e, "enter the parent directory");
		is_there = true;
		r = fd >= 0 ? fsetxattr(fd, name, value, len, 0)
			    : lsetxattr(*w->name ? w->name : ".", name, value, len, 0);
		if (r == 0)
			continue;
		if ((errno != ENOTSUP && errno != EPERM) ||
		    (str_eq(name, "security.capability") && w->o->has_devices))
			return err_sys(e, "set attribute \"%.100s\"", name);
		w->result.dropped_xattrs++;
	}
	return 0;
}

static struct timespec entry_time(const struct tar_entry *x)
{
	return (struct timespec){ .tv_sec = x->mtime_s,
				  .tv_nsec = x->mtime_ns < 1000000000 ? x->mtime_ns : 0 };
}

static int chown_hint(const struct tar_entry *x, struct error *e)
{
	return err_sys(e, "give to %u:%u%s", x->uid, x->gid,
		       errno == EINVAL ? " (not mapped in the user namespace that hulld runs in)" : "");
}

/* Owner, mode, attributes, time of anything but a file that is open. */
static int set_meta(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry_time(x) };
	int flags = AT_SYMLINK_NOFOLLOW | (*w->name ? 0 : AT_EMPTY_PATH);
	int r;

	if (!w->o->is_layer)
		return 0;
	if (fchownat(w->parent_fd, w->name, x->uid, x->gid, flags) < 0)
		return chown_hint(x, e);
	if (x->type != TAR_SYMLINK && fchmodat(w->parent_fd, *w->name ? w->name : ".", x->mode, 0) < 0)
		return err_sys(e, "set mode %04o", x->mode);
	r = set_xattrs(w, t, -1, e);
	if (r < 0)
		return r;
	if (x->type != TAR_DIR && utimensat(w->parent_fd, w->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "set the time");
	return 0;
}

static int write_file(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry_time(x) };
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	cleanup_close int fd = openat(w->parent_fd, w->name, flags, 0644);
	int r;

	if (fd < 0 && errno == EEXIST) {
		r = make_way(w, e);
		if (r < 0)
			return r;
		fd = openat(w->parent_fd, w->name, flags, 0644);
	}
	if (fd < 0)
		return err_sys(e, "create");
	w->result.inodes++;
	r = write_content(w, t, fd, x->size_bytes, e);
	if (r < 0 || !w->o->is_layer)
		return r;
	if (fchown(fd, x->uid, x->gid) < 0)
		return chown_hint(x, e);
	if (fchmod(fd, x->mode) < 0)
		return err_sys(e, "set mode %04o", x->mode);
	r = set_xattrs(w, t, fd, e);
	if (r < 0)
		return r;
	if (futimens(fd, times) < 0)
		return err_sys(e, "set the time");
	return 0;
}

static void remember_dir(struct writer *w, const struct tar_entry *x)
{
	if (!w->o->is_layer)
		return;
	if (w->dir_count == w->dir_room) {
		w->dir_room = w->dir_room ? w->dir_room * 2 : 64;
		w->dirs = mem_regrow(w->dirs, w->dir_room, sizeof(*w->dirs));
	}
	w->dirs[w->dir_count++] = (struct dir_time){ .path = str_dup(w->path), .mtime = entry_time(x) };
}

static int write_dir(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
{
	bool is_opaque = false;
	struct stat st;
	int r = 0;

	if (*w->name && mkdirat(w->parent_fd, w->name, 0755) < 0) {
		if (errno != EEXIST)
			return err_sys(e, "make the directory");
		if (fstatat(w->parent_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, "look at what is there");
		if (!S_ISDIR(st.st_mode)) {
			/* What was there hid the lower layers' directory of this name; it must stay hidden.
			 */
			is_opaque = w->o->is_layer;
			r = make_way(w, e);
			if (r == 0 && mkdirat(w->parent_fd, w->name, 0755) < 0)
				r = err_sys(e, "make the directory");
		}
	}
	if (r == 0)
		r = set_meta(w, t, x, e);
	if (r == 0 && is_opaque)
		r = make_opaque(w->parent_fd, w->name, e);
	if (r < 0)
		return r;
	w->result.inodes++;
	w->result.disk_bytes += 4096;
	remember_dir(w, x);
	return 0;
}

static int make_node(struct writer *w, const struct tar_entry *x, mode_t type)
{
	return mknodat(w->parent_fd, w->name, type | 0600,
		       type == S_IFIFO ? 0 : makedev(x->dev_major, x->dev_minor));
}

static int make_special(struct writer *w, const struct tar_entry *x)
{
	switch (x->type) {
	case TAR_SYMLINK:
		return symlinkat(x->link, w->parent_fd, w->name);
	case TAR_CHAR:
		return make_node(w, x, S_IFCHR);
	case TAR_BLOCK:
		return make_node(w, x, S_IFBLK);
	default:
		return make_node(w, x, S_IFIFO);
	}
}

/* Symlinks, devices, FIFOs. A symlink's own target may be anything: nothing here ever goes through one
 * that leaves the layer. */
static int write_special(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
{
	int r;

	if (x->type != TAR_SYMLINK && !w->o->is_layer)
		return err_new(e, ERR_INVALID, "is a device or FIFO");
	if (x->type != TAR_SYMLINK && x->type != TAR_FIFO && !w->o->has_devices &&
	    (x->dev_major || x->dev_minor)) {
		w->result.skipped_devices++;
		return 0;
	}
	if (make_special(w, x) < 0) {
		if (errno != EEXIST)
			return err_sys(e, "make");
		r = make_way(w, e);
		if (r < 0)
			return r;
		if (make_special(w, x) < 0)
			return err_sys(e, "make");
	}
	w->result.inodes++;
	return set_meta(w, t, x, e);
}

/* The target is a name of this layer, opened by its parent in the same way as an entry's; its last part is
 * not followed, as link(2) does not. */
static int write_hardlink(struct writer *w, const struct tar_entry *x, struct error *e)
{
	char target[PATH_MAX], *slash;
	cleanup_close int dfd = -1;
	const char *last;
	struct stat a, b;
	int r;

	r = clean_name(x->link, target, e);
	if (r < 0)
		return err_ctx(e, "its hardlink target \"%.256s\"", x->link);
	slash = strrchr(target, '/');
	last = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	r = open_beneath(w, slash ? target : ".", &dfd);
	if (r == -EXDEV || r == -ELOOP)
		return err_new(e, ERR_INVALID,
			       "its hardlink target \"%.256s\" leaves the layer through a symlink", x->link);
	if (r < 0 || fstatat(dfd, last, &a, AT_SYMLINK_NOFOLLOW) < 0)
		return err_new(e, ERR_INVALID, "is a hardlink to \"%.256s\", which this layer does not have",
			       x->link);
	if (fstatat(w->parent_fd, w->name, &b, AT_SYMLINK_NOFOLLOW) == 0) {
		if (a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return 0;
		r = make_way(w, e);
		if (r < 0)
			return r;
	}
	if (linkat(dfd, last, w->parent_fd, w->name, 0) < 0)
		return err_sysk(e, ERR_INVALID, errno, "link to \"%.256s\"", x->link);
	return 0;
}

static int write_whiteout(struct writer *w, struct error *e)
{
	const char *hidden = w->name + strlen(WHITEOUT);
	struct stat st;

	if (str_eq(w->name, OPAQUE))
		return make_opaque(w->parent_fd, "", e);
	if (str_starts(w->name, AUFS_BOOKKEEPING))
		return 0;
	if (!path_is_name(hidden))
		return err_new(e, ERR_INVALID, "is a whiteout of \"%s\", which is no name", hidden);
	if (fstatat(w->parent_fd, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0)
		/* What this layer itself has of that name stays (OCI: a whiteout is for lower layers only):
		 * anything but a directory hides the lower one by itself. */
		return S_ISDIR(st.st_mode) ? make_opaque(w->parent_fd, hidden, e) : 0;
	if (mknodat(w->parent_fd, hidden, S_IFCHR | 0600, 0) < 0)
		return err_sys(e, "make the whiteout");
	w->result.inodes++;
	return 0;
}

static int write_entry(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
{
	int r = clean_name(x->path, w->path, e);

	if (r < 0)
		return r;
	r = open_parent(w, e);
	if (r < 0)
		return r;
	if (!*w->name && x->type != TAR_DIR)
		return err_new(e, ERR_INVALID, "would replace the root directory");
	if (w->o->is_layer && str_starts(w->name, WHITEOUT))
		return write_whiteout(w, e);
	switch (x->type) {
	case TAR_FILE:
		return write_file(w, t, x, e);
	case TAR_DIR:
		return write_dir(w, t, x, e);
	case TAR_HARDLINK:
		return write_hardlink(w, x, e);
	case TAR_SYMLINK:
	case TAR_CHAR:
	case TAR_BLOCK:
	case TAR_FIFO:
		return write_special(w, t, x, e);
	case TAR_OTHER:
		break;
	}
	return err_new(e, ERR_INVALID, "is neither file, directory, link, device nor FIFO");
}

/* The last entry of a directory counts, so from first to last. One that was replaced is skipped. */
static void set_dir_times(struct writer *w)
{
	for (size_t i = 0; i < w->dir_count; i++) {
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, w->dirs[i].mtime };
		cleanup_close int fd = -1;
		const char *path = *w->dirs[i].path ? w->dirs[i].path : ".";

		if (path_open_beneath(w->o->root_dfd, path, O_RDONLY | O_DIRECTORY, 0, true, &fd, NULL) == 0)
			futimens(fd, times);
		free(w->dirs[i].path);
	}
	free(w->dirs);
}

int untar(struct tar *t, const struct untar_opts *o, struct untar_result *ret, struct error *e)
{
	struct writer *w = NEW(struct writer);
	struct tar_entry x;
	int r;

	w->o = o;
	w->open_fd = -1;
	umask(0);
	r = check_disk(w, DISK_CHECK_BYTES, e);
	while (r >= 0 && (r = tar_next(t, &x, e)) > 0) {
		if (++w->result.entries > UNTAR_ENTRIES_MAX) {
			r = err_new(e, ERR_LIMIT, "the archive has more than %u entries", UNTAR_ENTRIES_MAX);
			break;
		}
		r = write_entry(w, t, &x, e);
		if (r >= 0)
			r = check_disk(w, 4096, e);
		if (r < 0)
			err_ctx(e, "entry \"%.512s\"", x.path);
	}
	set_dir_times(w);
	forget_open(w);
	*ret = w->result;
	free(w);
	return r;
}
