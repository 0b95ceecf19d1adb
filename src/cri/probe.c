/* SPDX-License-Identifier: Apache-2.0 */
/* What this node can do, found by trying it once at start: a kubelet believes what Status says. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cri/probe.h"
#include "userns/userns.h"

/* A detached clone of a directory with attributes, made and dropped. */
static int try_attributes(int dfd, struct mount_attr *attr)
{
	cleanup_close int tree =
		(int)syscall(SYS_open_tree, dfd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (tree < 0)
		return -1;
	return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, attr, sizeof(*attr));
}

static int probe_userns(int *ret_fd, struct error *e)
{
	struct idmap map = IDMAP_INIT;
	struct podns_opts opts = { .user = true, .net = true, .uids = &map, .gids = &map };
	cleanup_podns struct podns ns = PODNS_INIT;
	int r = idmap_add(&map, (struct idmap_extent){ 0, 100000, 65536 }, e);

	if (r < 0 || (r = podns_create(&opts, &ns, e)) < 0)
		return r;
	*ret_fd = take_fd(ns.user_fd);
	return 0;
}

void probe_features(int root_dfd, const char *root_dir, struct features *ret)
{
	struct features f = { 0 };
	struct mount_attr rro = { .attr_set = MOUNT_ATTR_RDONLY };
	struct mount_attr idmap = { .attr_set = MOUNT_ATTR_IDMAP };
	cleanup_close int user_fd = -1;
	struct error e = ERROR_INIT;

	f.recursive_read_only = try_attributes(root_dfd, &rro) == 0;
	if (probe_userns(&user_fd, &e) < 0) {
		snprintf(f.missing, sizeof(f.missing), "%.250s", err_msg(&e));
		*ret = f;
		return;
	}
	idmap.userns_fd = (uint64_t)user_fd;
	f.idmapped_mounts = try_attributes(root_dfd, &idmap) == 0;
	if (!f.idmapped_mounts)
		snprintf(f.missing, sizeof(f.missing),
			 "the file system of \"%.100s\" cannot be id-mapped: %s (mount_setattr(2); ext4 and "
			 "xfs since "
			 "Linux 5.12, overlay lower layers since 5.19)",
			 root_dir, strerrordesc_np(errno));
	f.user_namespaces = f.idmapped_mounts;
	*ret = f;
}
