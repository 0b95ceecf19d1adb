/* SPDX-License-Identifier: Apache-2.0 */
/* With the systemd cgroup driver a pod has one delegated scope in its slice (cgroup/systemd.h): it is made for hull-pod
 * before anything of the pod is, holds the containers' cgroups, and is journaled like a cgroup of the pod's own.
 * Its path takes the place of the slice as the parent of containers. */
#include "cgroup/systemd.h"
#include "base/str.h"
#include "cri/sandbox.h"

#define SYSTEMD_TIMEOUT_MS 30000

int sandbox_scope_name(struct node *n, struct sandbox *s, struct error *e)
{
	char unit[CGROUP_PATH_MAX] = "", path[CGROUP_PATH_MAX] = "";
	int r;

	if (cgroup_host_driver(n->cgroups) != CGROUP_DRIVER_SYSTEMD)
		return 0;
	if ((r = cgroup_path_below(n->cgroups, s->rec->cgroup_parent, "hull", s->rec->id, unit, e)) < 0 ||
	    (r = cgroup_path_resolve(n->cgroups, unit, path, e)) < 0)
		return r;
	rec_set(&s->rec->cgroup_parent, path);
	s->rec->owns_cgroup = true;
	return 0;
}

int sandbox_scope_start(struct node *n, const struct sandbox *s, struct error *e)
{
	cleanup_free char *description = NULL;
	struct cgroup_scope scope = { .path = s->rec->cgroup_parent,
				      .pid = s->monitor.pid,
				      .leaf = "monitor",
				      .timeout_ms = SYSTEMD_TIMEOUT_MS };

	if (cgroup_host_driver(n->cgroups) != CGROUP_DRIVER_SYSTEMD)
		return 0;
	description = str_fmt("hull pod %s/%s", s->rec->config->metadata->namespace_,
			      s->rec->config->metadata->name);
	scope.description = description;
	return cgroup_scope_start(n->cgroups, &scope, e);
}

bool sandbox_scope_is(const struct node *n, const char *path)
{
	return cgroup_host_driver(n->cgroups) == CGROUP_DRIVER_SYSTEMD && str_ends(path, ".scope");
}

int sandbox_scope_remove(const struct node *n, const char *path, struct error *e)
{
	return cgroup_scope_remove(n->cgroups, path, SYSTEMD_TIMEOUT_MS, e);
}
