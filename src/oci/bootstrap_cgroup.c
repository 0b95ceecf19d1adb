/* SPDX-License-Identifier: Apache-2.0 */
/* The bootstrap: what limits the container. */
#include "oci/build.h"

#include <sys/mount.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "oci/cgroup_resources.h"

/* Whether the container is to rule over what is below its cgroup: config-linux.md, "Cgroup ownership", has the
 * conditions. */
static bool owns_cgroup(const struct build *b)
{
	const struct oci_spec *spec = b->o->spec;

	if (!b->plan.makes[OCI_NS_CGROUP] || cgroup_host_mode(b->o->cgroups) != CGROUP_V2)
		return false;
	for (size_t i = 0; i < spec->mounts.n; i++) {
		const struct oci_mount *m = &spec->mounts.v[i];

		if (str_eq(m->source, "cgroup") && str_eq(m->destination, "/sys/fs/cgroup"))
			return !(m->options.flags & MS_RDONLY);
	}
	return false;
}

static int give_cgroup(struct build *b, struct error *e)
{
	uint32_t uid = b->o->spec->process.user.uid;
	int r = 0;

	if (!owns_cgroup(b))
		return 0;
	if (b->uids)
		r = idmap_to_host(b->uids, uid, &uid, e);
	/* What is root's, or was delegated to us, is so already. A runtime "SHOULD", and not everybody can. */
	if (r < 0 || uid == geteuid())
		return r;
	r = cgroup_give_to(b->cgroup, uid, e);
	return r == -ERR_DENIED ? 0 : r;
}

int build_make_cgroup(struct build *b, struct error *e)
{
	const struct oci_linux *l = &b->o->spec->linux;
	cleanup_free struct cgroup_lists *lists = NULL;
	struct cgroup_resources res;
	int r;

	if (b->o->without_cgroup && resources_limit(&l->resources))
		return err_new(e, ERR_INVALID,
			       "linux.resources: a limit for %s needs a cgroup, and none is to be made",
			       resources_limit(&l->resources));
	if (!b->o->cgroups || b->o->without_cgroup)
		return 0;
	b->cgroup_path = b->o->cgroup_path ? b->o->cgroup_path : l->cgroups_path;
	if (!b->cgroup_path)
		b->cgroup_path = b->own_cgroup_path = cgroup_default_path(b->o->cgroups, b->o->id);
	cgroup_resources_of(&l->resources, &b->o->spec->annotations, &res, &lists);
	r = cgroup_create(b->o->cgroups, b->cgroup_path, &res, &b->cgroup, e);
	/* None: we may make none, and none is needed (cgroup_host_may_lack_access()). */
	if (r >= 0 && !b->cgroup)
		return 0;
	if (r >= 0)
		r = give_cgroup(b, e);
	if (r >= 0)
		r = cgroup_enter_fds(b->cgroup, b->init.p.cgroup_fds, &b->init.p.cgroup_fd_count, e);
	if (r < 0)
		return err_ctx(e, "cgroup \"%s\"", b->cgroup_path);
	b->spawn.cgroup_fd = cgroup_clone_fd(b->cgroup);
	return 0;
}

int build_open_rdt(struct build *b, struct error *e)
{
	const struct oci_intel_rdt *spec = b->o->spec->linux.intel_rdt;
	int r;

	if (!spec)
		return 0;
	r = intel_rdt_plan(spec, b->o->id, &b->rdt, e);
	if (r >= 0)
		r = intel_rdt_open(&b->rdt_dfd, e);
	return r < 0 ? r : intel_rdt_check(b->rdt_dfd, &b->rdt, e);
}

int build_make_rdt(struct build *b, struct error *e)
{
	return b->rdt_dfd < 0 ? 0 : intel_rdt_make(b->rdt_dfd, &b->rdt, e);
}
