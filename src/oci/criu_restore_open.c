/* SPDX-License-Identifier: Apache-2.0 */
/* The restore, before criu: what a create opens and makes as well. */
#include "oci/criu_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/cgroup_resources.h"
#include "oci/mount_late.h"
#include "oci/rootfs.h"
#include "sys/mountapi.h"
#include "sys/ns.h"
#include "userns/userns.h"

int restore_open_namespaces(struct restore *x, struct error *e)
{
	int r = criu_ns_refuse(x->o->spec, e);

	if (r < 0)
		return r;
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		const char *path = x->o->spec->linux.namespaces[ns].path;

		if (!x->plan.joins[ns])
			continue;
		x->ns_fd[ns] = x->o->ns_fd[ns] >= 0
				       ? fcntl(x->o->ns_fd[ns], F_DUPFD_CLOEXEC, 3)
				       : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (x->ns_fd[ns] < 0)
			return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno,
					"open the %s namespace \"%s\"", oci_ns_info[ns].name,
					path ? path : "");
		r = ns_check_type(x->ns_fd[ns], oci_ns_info[ns].clone_flag, e);
		if (r < 0)
			return err_ctx(e, "%s namespace", oci_ns_info[ns].name);
	}
	return 0;
}

static int add_maps(const struct oci_id_mappings *m, struct idmap *ret, struct error *e)
{
	for (size_t i = 0; i < m->n; i++) {
		struct idmap_extent x = { m->v[i].container_id, m->v[i].host_id, m->v[i].size };
		int r = idmap_add(ret, x, e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Those of the namespace itself come from the images; they are needed for what is opened here. */
int restore_find_maps(struct restore *x, struct error *e)
{
	const struct oci_linux *l = &x->o->spec->linux;
	int r;

	if (!x->plan.in_user_ns)
		return 0;
	x->uids = NEW(struct idmap);
	x->gids = NEW(struct idmap);
	if (!l->uid_mappings.n || !l->gid_mappings.n)
		return userns_read_maps(x->ns_fd[OCI_NS_USER], x->uids, x->gids, e);
	r = add_maps(&l->uid_mappings, x->uids, e);
	return r < 0 ? r : add_maps(&l->gid_mappings, x->gids, e);
}

int restore_make_cgroup(struct restore *x, struct error *e)
{
	const struct oci_linux *l = &x->o->spec->linux;
	cleanup_free struct cgroup_lists *lists = NULL;
	struct cgroup_resources res;
	int r;

	if (!x->o->cgroups)
		return 0;
	if (x->o->cgroup_path || l->cgroups_path)
		x->cgroup_path = str_dup(x->o->cgroup_path ? x->o->cgroup_path : l->cgroups_path);
	else
		x->cgroup_path = cgroup_default_path(x->o->cgroups, x->o->id);
	cgroup_resources_of(&l->resources, &x->o->spec->annotations, &res, &lists);
	r = cgroup_create(x->o->cgroups, x->cgroup_path, &res, &x->cgroup, e);
	return r < 0 ? err_ctx(e, "cgroup \"%s\"", x->cgroup_path) : 0;
}

/* Where cgroup2 is all there is, a container mounts it itself, and sees its own cgroup as the root. criu gets the same
 * as a bind: what it would have to know about cgroup namespaces otherwise depends on its age. */
static int open_cgroup2(struct restore *x, struct error *e)
{
	const char *mount_point, *option;

	if (!x->cgroup || cgroup_host_mode(x->o->cgroups) != CGROUP_V2 ||
	    !cgroup_host_hierarchy(x->o->cgroups, 0, &mount_point, &option))
		return 0;
	for (size_t i = 0; i < x->plan.mount_count; i++) {
		cleanup_free char *path = str_fmt(
			"%s%s", mount_point,
			x->o->spec->linux.namespaces[OCI_NS_CGROUP].is_set ? cgroup_path(x->cgroup) : "");
		int *tree = &x->mounts.state[i].fallback_fd, r;

		if (x->plan.mounts[i].kind != PLAN_CGROUP || *tree >= 0)
			continue;
		r = mount_clone(AT_FDCWD, path, false, true, tree, e);
		if (r >= 0)
			r = mount_change(*tree, false,
					 &(struct mount_change){ .set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
									MOUNT_ATTR_NOEXEC,
								 .propagation = MS_PRIVATE },
					 e);
		if (r < 0)
			return err_ctx(e, "cgroup of the container");
	}
	return 0;
}

static int open_images(struct restore *x, struct error *e)
{
	struct error none = ERROR_INIT;
	int r;

	if (!x->plan.in_user_ns)
		return 0;
	r = mount_clone(x->job.images_dfd, "", false, true, &x->images_tree, e);
	if (r >= 0 && mount_clone(x->job.images_dfd, "parent", false, false, &x->parent_tree, &none) < 0 &&
	    none.sys != ENOENT)
		log_debug("the checkpoint's parent: %s", err_msg(&none));
	return r;
}

int restore_open_trees(struct restore *x, struct error *e)
{
	struct oci_rootfs own = OCI_ROOTFS_INIT, use;
	const struct mounts_env env = {
		.create = x->o,
		.bundle_dfd = x->o->bundle_dfd,
		.plan = &x->plan,
		.cgroup = x->cgroup,
		.user_fd = x->ns_fd[OCI_NS_USER],
		.uids = x->uids,
		.gids = x->gids,
	};
	int r;

	own.path = x->o->spec->root.path;
	own.dfd = x->o->bundle_dfd;
	use = x->o->rootfs ? *x->o->rootfs : own;
	use.is_slave = x->o->spec->linux.rootfs_propagation & MS_SLAVE;
	use.readonly = false; /* criu makes it so, as it was */
	r = mount_late_refuse(&env, e);
	if (r >= 0)
		r = rootfs_open(&use, &x->root_tree, e);
	if (r >= 0)
		r = mounts_open(&env, &x->mounts, e);
	if (r >= 0)
		r = open_cgroup2(x, e);
	if (r >= 0)
		r = mount_clone(x->job.work_dfd, "", false, true, &x->work_tree, e);
	return r < 0 ? r : open_images(x, e);
}
