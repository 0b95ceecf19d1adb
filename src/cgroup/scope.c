/* SPDX-License-Identifier: Apache-2.0 */
/* A container's scope of systemd, when its cgroup is made. */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/bus.h"
#include "cgroup/handle.h"
#include "cgroup/path.h"
#include "cgroup/systemd.h"
#include "sys/pidfd.h"

/* A scope begins with a process in it. Ours comes later, by a clone into the cgroup, so this one waits in its place. It
 * ends with us if nobody ends it before. */
static int start_holder(struct cgroup *cg, struct error *e)
{
	struct proc child;
	int r = pidfd_clone(0, &child, e);

	if (r < 0)
		return err_ctx(e, "start the first process of a scope");
	if (r > 0) {
		cg->holder = child;
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

int cgroup_start_scope(struct cgroup *cg, const char *path, const struct cgroup_resources *res,
		       char ret_path[CGROUP_PATH_MAX], struct error *e)
{
	struct cgroup_unit_name u = { 0 };
	int r = cgroup_unit_parse(path, &u, e);

	if (r < 0)
		return r;
	if (!str_ends(u.unit, ".scope"))
		return err_new(e, ERR_INVALID, "cgroup path \"%s\" names a slice, which holds no processes",
			       path);
	if (path[0] == ':' && bus_is_user())
		memcpy(u.slice, "user.slice", sizeof("user.slice"));
	r = start_holder(cg, e);
	if (r >= 0)
		r = systemd_scope_start(cg->host, &u, cg->holder.pid, res,
					cgroup_host_is_v2(cg->host, CGROUP_MEMORY), ret_path, e);
	return r;
}
