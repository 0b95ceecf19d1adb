/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the kernel's OOM killer was here. The fds are opened with the cgroup and not when the question comes:
 * by then the path may be another cgroup's. Both versions have a line "oom_kill N" that counts the killed
 * processes; v2 counts those of the cgroups below, too, and has memory.events.local (Linux 5.12) for its own. */
#include <errno.h>
#include <fcntl.h>

#include "cgroup/handle.h"
#include "sys/cgroupfs.h"

#define EVENTS_SIZE 1024

void cgroup_oom_open(struct cgroup *cg)
{
	bool v2 = cgroup_host_is_v2(cg->host, CGROUP_MEMORY);
	int dfd = cgroup_dfd(cg, CGROUP_MEMORY);

	if (dfd < 0)
		return;
	cg->oom_fd =
		openat(dfd, v2 ? "memory.events" : "memory.oom_control", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (v2)
		cg->oom_local_fd = openat(dfd, "memory.events.local", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int cgroup_oom_fd(const struct cgroup *cg)
{
	return cg->oom_fd;
}

static int read_events(int fd, char text[EVENTS_SIZE], struct error *e)
{
	if (cgroupfs_read_fd(fd, text, EVENTS_SIZE) >= 0)
		return 0;
	if (errno == ENODEV)
		return err_sysk(e, ERR_NOT_FOUND, ENODEV, "read the OOM kill count: the cgroup was removed");
	return err_sys(e, "read the OOM kill count");
}

int cgroup_oom_kills(int oom_fd, uint64_t *ret_kills, struct error *e)
{
	char text[EVENTS_SIZE];
	int r = read_events(oom_fd, text, e);

	if (r < 0)
		return r;
	if (!cgroupfs_keyed(text, "oom_kill", ret_kills))
		return err_new(e, ERR_UNSUPPORTED,
			       "this kernel does not count OOM kills (it is older than Linux 4.13)");
	return 0;
}

/* v1: failcnt counts how often a limit was hit, but newer kernels (seen with 6.18) leave it 0. A peak that is as
 * high as the limit tells at least that it was. */
static uint64_t hits_v1(int dfd)
{
	static const char *const kinds[][3] = {
		{ "memory.failcnt", "memory.max_usage_in_bytes", "memory.limit_in_bytes" },
		{ "memory.memsw.failcnt", "memory.memsw.max_usage_in_bytes", "memory.memsw.limit_in_bytes" },
	};
	uint64_t hits = 0, n, peak, limit;
	bool was_reached = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (cgroupfs_read_u64(dfd, kinds[i][0], &n) == 0)
			hits += n;
		if (cgroupfs_read_u64(dfd, kinds[i][1], &peak) == 0 &&
		    cgroupfs_read_u64(dfd, kinds[i][2], &limit) == 0)
			was_reached = was_reached || peak >= limit;
	}
	return hits ? hits : was_reached;
}

int cgroup_oom(const struct cgroup *cg, struct cgroup_oom *ret, struct error *e)
{
	bool v2 = cgroup_host_is_v2(cg->host, CGROUP_MEMORY);
	struct cgroup_oom oom = { 0 };
	char text[EVENTS_SIZE];
	int r;

	if (cg->oom_fd < 0)
		return err_new(e, ERR_UNSUPPORTED, "cgroup \"%s\" has no memory controller", cg->path);
	r = cgroup_oom_kills(cg->oom_fd, &oom.kills, e);
	if (r < 0)
		return err_ctx(e, "cgroup \"%s\"", cg->path);
	oom.kills_local = oom.kills;
	if (!v2) {
		oom.limit_hits = hits_v1(cgroup_dfd(cg, CGROUP_MEMORY));
	} else if (cg->oom_local_fd >= 0) {
		r = read_events(cg->oom_local_fd, text, e);
		if (r < 0)
			return err_ctx(e, "cgroup \"%s\"", cg->path);
		cgroupfs_keyed(text, "oom_kill", &oom.kills_local);
		cgroupfs_keyed(text, "oom", &oom.limit_hits);
	} else {
		r = read_events(cg->oom_fd, text, e);
		if (r < 0)
			return err_ctx(e, "cgroup \"%s\"", cg->path);
		cgroupfs_keyed(text, "oom", &oom.limit_hits);
	}
	*ret = oom;
	return 0;
}
