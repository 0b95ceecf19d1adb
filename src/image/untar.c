/* SPDX-License-Identifier: Apache-2.0 */
/* One entry at a time: clean the name, open its parent (the last one is kept: archives are sorted by
 * directory), make the object with an exclusive call, and only when something is in the way look at what.
 * Owner, mode, attributes and times follow.
 *
 * The caller has made root_dfd its root directory and runs alone in there, so there are no races: a name
 * that was looked at is still the same when it is used. */
#include "image/untar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "image/untar_internal.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define AUFS_BOOKKEEPING ".wh..wh."
#define DISK_CHECK_BYTES (16U << 20)
#define INODES_FREE_MIN 1024

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

static int write_file(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	cleanup_close int fd = openat(w->parent_fd, w->name, flags, 0644);
	int r;

	if (fd < 0 && errno == EEXIST) {
		r = untar_make_way(w, e);
		if (r < 0)
			return r;
		fd = openat(w->parent_fd, w->name, flags, 0644);
	}
	if (fd < 0)
		return err_sys(e, "create");
	w->result.inodes++;
	r = write_content(w, t, fd, x->size_bytes, e);
	return r < 0 ? r : untar_set_file_meta(w, t, x, fd, e);
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
			r = untar_make_way(w, e);
			if (r == 0 && mkdirat(w->parent_fd, w->name, 0755) < 0)
				r = err_sys(e, "make the directory");
		}
	}
	if (r == 0)
		r = untar_set_meta(w, t, x, e);
	if (r == 0 && is_opaque)
		r = untar_make_opaque(w->parent_fd, w->name, e);
	if (r < 0)
		return r;
	w->result.inodes++;
	w->result.disk_bytes += 4096;
	untar_remember_dir(w, x);
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
		r = untar_make_way(w, e);
		if (r < 0)
			return r;
		if (make_special(w, x) < 0)
			return err_sys(e, "make");
	}
	w->result.inodes++;
	return untar_set_meta(w, t, x, e);
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

	r = untar_clean_name(x->link, target, e);
	if (r < 0)
		return err_ctx(e, "its hardlink target \"%.256s\"", x->link);
	slash = strrchr(target, '/');
	last = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	r = untar_open_beneath(w, slash ? target : ".", &dfd);
	if (r == -EXDEV || r == -ELOOP)
		return err_new(e, ERR_INVALID,
			       "its hardlink target \"%.256s\" leaves the layer through a symlink", x->link);
	if (r < 0 || fstatat(dfd, last, &a, AT_SYMLINK_NOFOLLOW) < 0)
		return err_new(e, ERR_INVALID, "is a hardlink to \"%.256s\", which this layer does not have",
			       x->link);
	if (fstatat(w->parent_fd, w->name, &b, AT_SYMLINK_NOFOLLOW) == 0) {
		if (a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return 0;
		r = untar_make_way(w, e);
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
		return untar_make_opaque(w->parent_fd, "", e);
	if (str_starts(w->name, AUFS_BOOKKEEPING))
		return 0;
	if (!path_is_name(hidden))
		return err_new(e, ERR_INVALID, "is a whiteout of \"%s\", which is no name", hidden);
	if (fstatat(w->parent_fd, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0)
		/* What this layer itself has of that name stays (OCI: a whiteout is for lower layers only):
		 * anything but a directory hides the lower one by itself. */
		return S_ISDIR(st.st_mode) ? untar_make_opaque(w->parent_fd, hidden, e) : 0;
	if (mknodat(w->parent_fd, hidden, S_IFCHR | 0600, 0) < 0)
		return err_sys(e, "make the whiteout");
	w->result.inodes++;
	return 0;
}

static int write_entry(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
{
	int r = untar_clean_name(x->path, w->path, e);

	if (r < 0)
		return r;
	r = untar_open_parent(w, e);
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
	untar_set_dir_times(w);
	untar_forget_open(w);
	*ret = w->result;
	free(w);
	return r;
}
