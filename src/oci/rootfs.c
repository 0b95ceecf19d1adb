/* SPDX-License-Identifier: Apache-2.0 */
/* An overlay takes its layers by fd ("lowerdir+", Linux 6.13; detached ones since 6.15). With id mapping,
 * the layers' common parent is cloned and idmapped once, and each layer is opened through that clone; a
 * layer that is not on the parent's own mount gets a clone of its own. The layer fds stay open until the
 * superblock is there: closing the last fd of a clone dissolves it, and overlayfs then answers EINVAL.
 *
 * Upper and work are never idmapped: overlayfs could not make work/work (EOVERFLOW) and would come up
 * read-only without a word. Hence also the look at ST_RDONLY.
 *
 * On older kernels the same is done with path strings in the private mount namespace of a short-lived
 * child: a tmpfs holds symlinks 0, 1, 2, ... to the layers (so that 500 of them fit the page that mount(2)
 * takes), and the overlay is cloned out of there before that namespace goes. */
#include "oci/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "sys/mountapi.h"
#include "sys/vchild.h"

struct layers {
	const struct oci_rootfs *o;
	char *parent;	/* the lowers' common directory; NULL without id mapping */
	int parent_fd;	/* its idmapped clone */
	int *fds;	/* one a lower */
	bool *is_clone; /* fds[i] is a clone of its own, not a directory in parent_fd */
	int upper_fd, work_fd;
};

static void layers_done(struct layers *l)
{
	for (size_t i = 0; l->fds && i < l->o->lower_count; i++)
		if (l->fds[i] >= 0)
			close(l->fds[i]);
	free(l->fds);
	free(l->is_clone);
	free(l->parent);
	if (l->parent_fd >= 0)
		close(l->parent_fd);
	if (l->upper_fd >= 0)
		close(l->upper_fd);
	if (l->work_fd >= 0)
		close(l->work_fd);
}
DEFINE_CLEANUP_VALUE(struct layers, layers_done)

static int open_dir(int dfd, const char *path, const char *what, int *ret_fd, struct error *e)
{
	int fd = openat(dfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_sysk(e, ERR_NOT_FOUND, errno, "open %s \"%s\"", what, path);
	if (fd < 0)
		return err_sys(e, "open %s \"%s\"", what, path);
	*ret_fd = fd;
	return 0;
}

static int clone_dir(int dir_fd, const char *path, bool recursive, int mapping_fd, int *ret_fd,
		     struct error *e)
{
	cleanup_close int fd = -1;
	int r = mount_clone(dir_fd, "", recursive, true, &fd, e);

	if (r < 0)
		return err_ctx(e, "root file system \"%s\"", path);
	if (mapping_fd >= 0) {
		r = mount_change(fd, false, &(struct mount_change){ .idmap = true, .userns_fd = mapping_fd },
				 e);
		if (r < 0 && e && (e->sys == EINVAL || e->sys == EPERM))
			err_kind(e, ERR_UNSUPPORTED);
		if (r < 0)
			return err_ctx(
				e,
				"map the ids of \"%s\" (its file system, or its owner, does not allow that)",
				path);
	}
	*ret_fd = take_fd(fd);
	return 0;
}

static int open_tree_of_dir(const struct oci_rootfs *o, int *ret_fd, struct error *e)
{
	cleanup_close int dir = -1, tree = -1;
	int r = open_dir(o->dfd >= 0 ? o->dfd : AT_FDCWD, o->path, "root file system", &dir, e);

	if (r >= 0)
		r = clone_dir(dir, o->path, true, o->mapping_fd, &tree, e);
	/* What is mounted or unmounted in there, on either side, is nobody else's business, unless it was asked for
	 * to hear of it. */
	if (r >= 0)
		r = mount_change(tree, true,
				 &(struct mount_change){ .propagation = o->is_slave ? MS_SLAVE : MS_PRIVATE },
				 e);
	if (r >= 0 && o->readonly)
		r = mount_change(tree, false, &(struct mount_change){ .set = MOUNT_ATTR_RDONLY }, e);
	if (r >= 0)
		*ret_fd = take_fd(tree);
	return r;
}

/* "/a/b" of "/a/b/c" and "/a/b/d/e"; "/" when there is nothing else in common. */
static char *common_parent(const char *const *paths, size_t n)
{
	size_t len = strlen(paths[0]);
	char *parent;

	for (size_t i = 1; i < n; i++) {
		size_t same = 0;

		while (same < len && paths[0][same] == paths[i][same])
			same++;
		len = same;
	}
	while (len > 0 && paths[0][len - 1] != '/')
		len--;
	while (len > 1 && paths[0][len - 1] == '/')
		len--;
	parent = str_ndup(paths[0], len ? len : 1);
	return parent;
}

static const char *below_parent(const struct layers *l, size_t i)
{
	const char *rel = l->o->lowers[i] + strlen(l->parent);

	while (*rel == '/')
		rel++;
	return *rel ? rel : ".";
}

/* The layer through the idmapped clone of the parent, if what is there is the same directory. */
static bool open_through_parent(struct layers *l, size_t i, int plain_fd)
{
	struct stat a, b;
	int fd = openat(l->parent_fd, below_parent(l, i), O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (fstat(fd, &a) == 0 && fstat(plain_fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
		l->fds[i] = fd;
		return true;
	}
	close(fd);
	return false;
}

static int open_layers(struct layers *l, struct error *e)
{
	const struct oci_rootfs *o = l->o;
	int r;

	l->fds = mem_array(o->lower_count, sizeof(*l->fds));
	l->is_clone = mem_array(o->lower_count, sizeof(*l->is_clone));
	for (size_t i = 0; i < o->lower_count; i++)
		l->fds[i] = -1;
	if (o->mapping_fd >= 0) {
		cleanup_close int parent = -1;

		l->parent = common_parent(o->lowers, o->lower_count);
		r = open_dir(AT_FDCWD, l->parent, "the layers' directory", &parent, e);
		if (r >= 0)
			r = clone_dir(parent, l->parent, false, o->mapping_fd, &l->parent_fd, e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < o->lower_count; i++) {
		cleanup_close int plain = -1;

		r = open_dir(AT_FDCWD, o->lowers[i], "layer", &plain, e);
		if (r < 0)
			return r;
		if (o->mapping_fd < 0) {
			l->fds[i] = take_fd(plain);
		} else if (!open_through_parent(l, i, plain)) {
			r = clone_dir(plain, o->lowers[i], false, o->mapping_fd, &l->fds[i], e);
			if (r < 0)
				return r;
			l->is_clone[i] = true;
		}
	}
	if (!o->upper)
		return 0;
	r = open_dir(AT_FDCWD, o->upper, "upper directory", &l->upper_fd, e);
	return r < 0 ? r : open_dir(AT_FDCWD, o->work, "work directory", &l->work_fd, e);
}

static int overlay_by_fd(const struct layers *l, int *ret_fd, struct error *e)
{
	cleanup_close int context = -1;
	int r = mount_context("overlay", &context, e);

	for (size_t i = 0; i < l->o->lower_count && r >= 0; i++)
		r = mount_context_set(context, &MOUNT_PARAM_FD("lowerdir+", l->fds[i]), e);
	if (r >= 0 && l->upper_fd >= 0)
		r = mount_context_set(context, &MOUNT_PARAM_FD("upperdir", l->upper_fd), e);
	if (r >= 0 && l->work_fd >= 0)
		r = mount_context_set(context, &MOUNT_PARAM_FD("workdir", l->work_fd), e);
	if (r >= 0)
		r = mount_context_set(context, &MOUNT_PARAM_FLAG("userxattr"), e);
	/* A writable layer is never mounted a second time, so nothing of it has to reach the disk: without
	 * this the end of each container would sync the upper's whole file system (overlayfs, "Volatile mount"). */
	if (r >= 0 && l->upper_fd >= 0)
		r = mount_context_set(context, &MOUNT_PARAM_FLAG("volatile"), e);
	if (r >= 0)
		r = mount_context_create(context, 0, ret_fd, e);
	return r;
}

struct by_path {
	const struct layers *l;
	const char *options;
	int tree_fd;
};

/* Any directory serves as the place of the scratch tmpfs: nobody else sees this mount namespace. */
#define SCRATCH "/proc"

static int link_layer(const struct layers *l, size_t i, struct error *e)
{
	cleanup_close int dir = -1;
	cleanup_free char *through_parent = NULL;
	const char *target = l->o->lowers[i];
	char name[24];
	int r;

	snprintf(name, sizeof(name), "%zu", i);
	if (!l->is_clone[i]) {
		if (l->parent) {
			through_parent = str_fmt("parent/%s", below_parent(l, i));
			target = through_parent;
		}
		return symlink(target, name) < 0 ? err_sys(e, "link layer \"%s\"", target) : 0;
	}
	if (mkdir(name, 0700) < 0)
		return err_sys(e, "make a mount point for layer \"%s\"", target);
	r = open_dir(AT_FDCWD, name, "mount point", &dir, e);
	return r < 0 ? r : mount_attach(l->fds[i], dir, e);
}

/* In a child with a mount namespace of its own. */
static int overlay_in_private_ns(void *arg, struct error *e)
{
	struct by_path *b = arg;
	const struct layers *l = b->l;
	int r = 0;

	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "make the mounts private");
	if (mount("tmpfs", SCRATCH, "tmpfs", 0, "mode=0700") < 0 || chdir(SCRATCH) < 0)
		return err_sys(e, "mount a scratch tmpfs");
	if (mkdir("merged", 0700) < 0 || mkdir("parent", 0700) < 0)
		return err_sys(e, "make mount points");
	if (l->parent_fd >= 0) {
		cleanup_close int dir = -1;

		r = open_dir(AT_FDCWD, "parent", "mount point", &dir, e);
		if (r >= 0)
			r = mount_attach(l->parent_fd, dir, e);
	}
	for (size_t i = 0; i < l->o->lower_count && r >= 0; i++)
		r = link_layer(l, i, e);
	if (r < 0)
		return r;
	if (l->o->upper && (symlink(l->o->upper, "upper") < 0 || symlink(l->o->work, "work") < 0))
		return err_sys(e, "link the upper directory");
	if (mount("overlay", "merged", "overlay", 0, b->options) < 0)
		return err_sys(e, "mount an overlay of %zu layers on upper \"%s\"", l->o->lower_count,
			       l->o->upper ? l->o->upper : "");
	return mount_clone(AT_FDCWD, "merged", false, true, &b->tree_fd, e);
}

static int overlay_by_path(const struct layers *l, int *ret_fd, struct error *e)
{
	struct by_path b = { .l = l, .tree_fd = -1 };
	cleanup_buf struct buf options = BUF_INIT;
	int r;

	buf_adds(&options, "userxattr,lowerdir=");
	for (size_t i = 0; i < l->o->lower_count; i++)
		buf_addf(&options, i ? ":%zu" : "%zu", i);
	if (l->o->upper)
		buf_adds(&options, ",upperdir=upper,workdir=work,volatile");
	b.options = buf_str(&options);
	r = vchild_run(overlay_in_private_ns, &b, e);
	if (r < 0) {
		if (b.tree_fd >= 0)
			close(b.tree_fd);
		return err_ctx(e, "overlay in a private mount namespace");
	}
	*ret_fd = b.tree_fd;
	return 0;
}

/* Kernels before 6.5 have no fd parameters for overlayfs at all (EOPNOTSUPP), those before 6.13 do not know
 * "lowerdir+" with an fd, those before 6.15 take no detached layer: both say EINVAL. So does overlayfs about
 * layers that do not fit together, and will say it again. */
static int overlay_of_layers(const struct layers *l, int *ret_fd, struct error *e)
{
	cleanup_close int tree = -1;
	struct statvfs vfs;
	struct error first = ERROR_INIT;
	int r = overlay_by_fd(l, &tree, &first);

	if (r < 0 && (first.sys == EINVAL || first.sys == EOPNOTSUPP))
		r = overlay_by_path(l, &tree, e);
	else if (r < 0 && e)
		*e = first;
	if (r < 0)
		return r;
	if (l->o->upper) {
		if (fstatvfs(tree, &vfs) < 0)
			return err_sys(e, "look at the new overlay");
		if (vfs.f_flag & ST_RDONLY)
			return err_new(e, ERR_STATE,
				       "the overlay on upper \"%s\" came up read-only (can its work "
				       "directory \"%s\" be written?)",
				       l->o->upper, l->o->work);
	}
	if (l->o->readonly) {
		r = mount_change(tree, false, &(struct mount_change){ .set = MOUNT_ATTR_RDONLY }, e);
		if (r < 0)
			return r;
	}
	*ret_fd = take_fd(tree);
	return 0;
}

static int open_overlay(const struct oci_rootfs *o, int *ret_fd, struct error *e)
{
	CLEANUP(layers_done) struct layers l = { .o = o, .parent_fd = -1, .upper_fd = -1, .work_fd = -1 };
	int r;

	if (!o->lower_count || o->lower_count > ROOTFS_LOWERS_MAX)
		return err_new(e, ERR_INVALID, "a root file system of %zu layers (1 to %d are possible)",
			       o->lower_count, ROOTFS_LOWERS_MAX);
	if (!o->upper != !o->work)
		return err_new(e, ERR_INVALID, "an overlay needs both an upper and a work directory");
	for (size_t i = 0; i < o->lower_count; i++)
		if (o->lowers[i][0] != '/')
			return err_new(e, ERR_INVALID, "layer \"%s\" is no absolute path", o->lowers[i]);
	/* overlayfs refuses a single layer without an upper: it is the root file system itself. */
	if (o->lower_count == 1 && !o->upper) {
		struct oci_rootfs dir = *o;

		dir.kind = ROOTFS_DIR;
		dir.path = o->lowers[0];
		dir.dfd = -1;
		dir.readonly = true;
		return open_tree_of_dir(&dir, ret_fd, e);
	}
	r = open_layers(&l, e);
	return r < 0 ? r : overlay_of_layers(&l, ret_fd, e);
}

int rootfs_open(const struct oci_rootfs *o, int *ret_tree_fd, struct error *e)
{
	return o->kind == ROOTFS_OVERLAY ? open_overlay(o, ret_tree_fd, e)
					 : open_tree_of_dir(o, ret_tree_fd, e);
}
