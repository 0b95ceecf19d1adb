/* SPDX-License-Identifier: Apache-2.0 */
/* Where an entry goes: its name cleaned, its parent opened and made where it is missing, and what is in the
 * way removed. */
#include "image/untar_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"

#define OVERLAY_OPAQUE "user.overlay.opaque"

int untar_clean_name(const char *name, char out[PATH_MAX], struct error *e)
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

void untar_forget_open(struct writer *w)
{
	if (w->open_fd >= 0)
		close(w->open_fd);
	w->open_fd = -1;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

int untar_make_opaque(int dfd, const char *name, struct error *e)
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
	return was_whiteout ? untar_make_opaque(dfd, name, e) : 0;
}

int untar_open_beneath(struct writer *w, const char *path, int *ret_fd)
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
		r = untar_open_beneath(w, path, &next);
		if (r == -ENOENT || r == -ENOTDIR) {
			r = make_parent(w, fd >= 0 ? fd : w->o->root_dfd, part, e);
			if (r == 0 && (r = untar_open_beneath(w, path, &next)) < 0)
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

int untar_open_parent(struct writer *w, struct error *e)
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

		untar_forget_open(w);
		if (untar_open_beneath(w, w->path, &fd) < 0) {
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

int untar_make_way(struct writer *w, struct error *e)
{
	int r = path_remove_tree(w->parent_fd, w->name, e);

	/* The directory that is kept open may have been in there. */
	if (w->parent_fd != w->open_fd || w->open_fd < 0)
		untar_forget_open(w);
	return r;
}
