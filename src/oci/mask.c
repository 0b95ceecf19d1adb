/* SPDX-License-Identifier: Apache-2.0 */
/* A masked file gets the null device over it, a masked directory one empty read-only tmpfs; each is attached
 * by fd to what was opened and looked at, so nothing can be swapped in between (CVE-2025-31133). The first
 * attachment of each is the mount itself, the others are clones of it. */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "sys/mountapi.h"

#define QUIET (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* 1: opened; 0: there is no such path. */
static int open_existing(int root_fd, const char *path, int *ret_fd, struct stat *sb, struct error *e)
{
	struct error first = ERROR_INIT;
	cleanup_close int fd = -1;

	if (path_open_in_root(root_fd, path, O_PATH, 0, &fd, &first) < 0) {
		if (first.sys == ENOENT || first.sys == ENOTDIR)
			return 0;
		if (e)
			*e = first;
		return -ERR_SYS;
	}
	if (fstat(fd, sb) < 0)
		return err_sys(e, "look at \"%s\"", path);
	*ret_fd = take_fd(fd);
	return 1;
}

/* Attach *tree, or a clone of it when it is attached already. */
static int attach_shared(int tree, bool *is_attached, int target, struct error *e)
{
	cleanup_close int clone = -1;
	int r;

	if (!*is_attached) {
		*is_attached = true;
		return mount_attach(tree, target, e);
	}
	r = mount_clone(tree, "", false, true, &clone, e);
	return r < 0 ? r : mount_attach(clone, target, e);
}

static int empty_dir(int *ret_tree, struct error *e)
{
	const struct mount_param params[] = { MOUNT_PARAM("mode", "555"), MOUNT_PARAM("nr_inodes", "1"),
					      MOUNT_PARAM("nr_blocks", "1"), MOUNT_PARAM("source", "tmpfs") };

	return mount_new("tmpfs", params, ARRAY_LEN(params), MOUNT_ATTR_RDONLY | QUIET, ret_tree, e);
}

struct masks {
	int null_tree, empty_tree;
	bool null_attached, empty_attached;
};

/* What is listed twice, or once by a link to it, is covered already. */
static bool is_mask(const struct masks *m, const struct stat *sb)
{
	int tree = S_ISDIR(sb->st_mode) ? m->empty_tree : m->null_tree;
	struct stat mask;

	return tree >= 0 && fstat(tree, &mask) == 0 && mask.st_dev == sb->st_dev && mask.st_ino == sb->st_ino;
}

static int mask_one(struct masks *m, int root_fd, const char *path, struct error *e)
{
	cleanup_close int target = -1;
	struct stat sb;
	int r = open_existing(root_fd, path, &target, &sb, e);

	if (r <= 0)
		return r;
	if (is_mask(m, &sb))
		return 0;
	if (!S_ISDIR(sb.st_mode))
		return attach_shared(m->null_tree, &m->null_attached, target, e);
	if (m->empty_tree < 0) {
		r = empty_dir(&m->empty_tree, e);
		if (r < 0)
			return r;
	}
	return attach_shared(m->empty_tree, &m->empty_attached, target, e);
}

static int readonly_one(int root_fd, const char *path, struct error *e)
{
	cleanup_close int target = -1, tree = -1;
	struct stat sb;
	int r = open_existing(root_fd, path, &target, &sb, e);

	if (r <= 0)
		return r;
	r = mount_clone(target, "", true, true, &tree, e);
	if (r >= 0)
		r = mount_change(tree, false, &(struct mount_change){ .set = MOUNT_ATTR_RDONLY }, e);
	return r < 0 ? r : mount_attach(tree, target, e);
}

int mask_paths(struct mount_set *s, const struct oci_spec *spec, int root_fd, struct error *e)
{
	const struct oci_strs *masked = &spec->linux.masked_paths, *readonly = &spec->linux.readonly_paths;
	struct masks m = { .null_tree = s->null_tree, .empty_tree = -1 };
	int r = 0;

	for (size_t i = 0; i < readonly->n && r >= 0; i++) {
		r = readonly_one(root_fd, readonly->v[i], e);
		if (r < 0)
			err_ctx(e, "make \"%s\" read-only", readonly->v[i]);
	}
	for (size_t i = 0; i < masked->n && r >= 0; i++) {
		r = mask_one(&m, root_fd, masked->v[i], e);
		if (r < 0)
			err_ctx(e, "mask \"%s\"", masked->v[i]);
	}
	if (m.empty_tree >= 0)
		close(m.empty_tree);
	return r;
}
