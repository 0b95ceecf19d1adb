/* SPDX-License-Identifier: Apache-2.0 */
/* Owner, mode, attributes and times, in the order in which none undoes another: chown clears setuid bits and
 * capabilities, so it comes first. Times of directories come at the very end, since each entry made in one
 * changes them. */
#include "image/untar_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

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

int untar_set_meta(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e)
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

int untar_set_file_meta(struct writer *w, struct tar *t, const struct tar_entry *x, int fd, struct error *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry_time(x) };
	int r;

	if (!w->o->is_layer)
		return 0;
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

void untar_remember_dir(struct writer *w, const struct tar_entry *x)
{
	if (!w->o->is_layer)
		return;
	if (w->dir_count == w->dir_room) {
		w->dir_room = w->dir_room ? w->dir_room * 2 : 64;
		w->dirs = mem_regrow(w->dirs, w->dir_room, sizeof(*w->dirs));
	}
	w->dirs[w->dir_count++] = (struct dir_time){ .path = str_dup(w->path), .mtime = entry_time(x) };
}

/* The last entry of a directory counts, so from first to last. One that was replaced is skipped. */
void untar_set_dir_times(struct writer *w)
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
