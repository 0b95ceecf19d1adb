/* SPDX-License-Identifier: Apache-2.0 */
/* To be told of the OOM killer. v2: memory.events changes (POLLPRI), and its count says whether it was that. v1: an
 * eventfd that is registered at cgroup.event_control (Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control");
 * it is signalled by the removal of the cgroup, too. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cgroup/handle.h"
#include "sys/cgroupfs.h"

void cgroup_oom_watch_done(struct cgroup_oom_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	if (w->control_dfd >= 0)
		close(w->control_dfd);
	*w = CGROUP_OOM_WATCH_INIT;
}

static int watch_v1(const struct cgroup *cg, int dfd, struct cgroup_oom_watch *w, struct error *e)
{
	char text[64];

	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->control_dfd = fcntl(dfd, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0 || w->control_dfd < 0)
		return err_sys(e, "make an eventfd");
	w->events = POLLIN;
	snprintf(text, sizeof(text), "%d %d", w->fd, cg->oom_fd);
	if (cgroupfs_write(dfd, "cgroup.event_control", text) < 0)
		return cgroup_fail(e, errno, "watch the OOM killer in cgroup \"%s\"", cg->path);
	return 0;
}

static int watch_v2(const struct cgroup *cg, int dfd, struct cgroup_oom_watch *w, struct error *e)
{
	w->fd = openat(dfd, "memory.events", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (w->fd < 0)
		return cgroup_fail(e, errno, "open memory.events of cgroup \"%s\"", cg->path);
	w->events = POLLPRI;
	return cgroup_oom_kills(w->fd, &w->kills, e);
}

int cgroup_oom_watch_open(const struct cgroup *cg, struct cgroup_oom_watch *ret, struct error *e)
{
	CLEANUP(cgroup_oom_watch_done) struct cgroup_oom_watch w = CGROUP_OOM_WATCH_INIT;
	int dfd = cgroup_dfd(cg, CGROUP_MEMORY), r;

	if (dfd < 0 || cg->oom_fd < 0)
		return err_new(e, ERR_UNSUPPORTED, "cgroup \"%s\" has no memory controller", cg->path);
	r = cgroup_host_is_v2(cg->host, CGROUP_MEMORY) ? watch_v2(cg, dfd, &w, e) : watch_v1(cg, dfd, &w, e);
	if (r < 0)
		return r;
	*ret = w;
	w = CGROUP_OOM_WATCH_INIT;
	return 0;
}

bool cgroup_oom_watch_take(struct cgroup_oom_watch *w)
{
	uint64_t n = 0;
	bool is_new;

	if (w->control_dfd >= 0)
		return read(w->fd, &n, sizeof(n)) == sizeof(n) &&
		       faccessat(w->control_dfd, "cgroup.event_control", F_OK, 0) == 0;
	if (cgroup_oom_kills(w->fd, &n, NULL) < 0)
		return false;
	is_new = n > w->kills;
	w->kills = n;
	return is_new;
}
