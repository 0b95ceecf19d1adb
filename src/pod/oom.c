/* SPDX-License-Identifier: Apache-2.0 */
/* Which end was an OOM kill, and of which limit. The counter is read through an fd held since the cgroup
 * was made, after the init was reaped and before the cgroup goes: no event can be missed or be early.
 *
 * A container counts as OOM-killed when its cgroup counts a kill and its init died of SIGKILL itself, or
 * said 137 as a shell does whose last command was killed. A kill of some other process (an exec, a child
 * that the program outlived) is told in the message only. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "pod/monitor.h"

/* memory.events reports a change by EPOLLPRI. On v1 there is no such thing but an eventfd that fires late;
 * there the counter is looked at when something ends. */
static void on_oom(struct source *s, uint32_t events)
{
	struct container *c = container_of(s, struct container, oom);
	uint64_t kills = 0;

	(void)events;
	if (cgroup_oom_kills(c->oom_fd, &kills, NULL) < 0) {
		source_close(c->m, &c->oom);
		return;
	}
	if (kills > c->oom_seen) {
		c->oom_seen = c->st.oom_kills = kills;
		container_changed(c, MONITOR_EVENT_OOM);
	}
}

void oom_watch(struct container *c)
{
	int copy;

	if (c->oom_fd < 0 || !c->m->cgroups || cgroup_host_mode(c->m->cgroups) != CGROUP_V2)
		return;
	copy = fcntl(c->oom_fd, F_DUPFD_CLOEXEC, 3);
	if (copy >= 0 && source_add(c->m, &c->oom, copy, EPOLLPRI, on_oom, NULL) < 0)
		close(copy);
}

/* A number from a file beside the held one: its path is where the kernel says it is now. */
static bool read_beside(int fd, const char *name, const char *key, uint64_t *ret)
{
	char link[PATH_FD_SIZE], path[1024], text[1024], *at = text;
	cleanup_close int file = -1;
	ssize_t n = readlink(path_of_fd(fd, link), path, sizeof(path) - 64);

	if (n <= 0)
		return false;
	path[n] = '\0';
	if (!strrchr(path, '/'))
		return false;
	snprintf(strrchr(path, '/') + 1, 64, "%s", name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	n = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (key) {
		at = strstr(text, key);
		if (!at)
			return false;
		at += strlen(key);
	}
	errno = 0;
	*ret = strtoull(at, NULL, 10);
	return errno == 0;
}

/* v1 has no count of OOMs by limit, and its failcnt stays 0 on kernels of today (6.18). But use that came up
 * to the limit says the same; the kernel charges in batches of 64 pages, so it may stop a little below. */
static bool came_up_to(const struct container *c, const char *use_file, const char *limit_file,
		       uint64_t *ret_limit)
{
	const uint64_t batch = 64 * 4096;
	uint64_t use = 0, limit = 0;

	if (!read_beside(c->oom_fd, use_file, NULL, &use) ||
	    !read_beside(c->oom_fd, limit_file, NULL, &limit))
		return false;
	if (limit >= INT64_MAX / 2)
		return false;
	*ret_limit = limit;
	return use + batch >= limit;
}

static void find_limit_v1(const struct container *c, struct oom_facts *f)
{
	f->has_limit_hits = true;
	f->limit_hits =
		came_up_to(c, "memory.max_usage_in_bytes", "memory.limit_in_bytes", &f->limit_bytes) ||
		came_up_to(c, "memory.memsw.max_usage_in_bytes", "memory.memsw.limit_in_bytes",
			   &f->limit_bytes);
}

/* "oom N": how often this cgroup's own limit was what was hit (cgroup-v2.rst, memory.events). */
static void find_limit_v2(const struct container *c, struct oom_facts *f)
{
	uint64_t limit = 0;

	f->has_limit_hits = read_beside(c->oom_fd, "memory.events", "\noom ", &f->limit_hits);
	if (read_beside(c->oom_fd, "memory.max", NULL, &limit)) /* 0 stands for "max" */
		f->limit_bytes = limit;
}

void oom_judge(struct container *c)
{
	struct oom_facts f = { .parent = c->m->sandbox.cgroup_parent,
			       .init_was_killed = c->st.signal == SIGKILL ||
						  c->st.exit_code == 128 + SIGKILL };

	if (c->oom_fd < 0 || cgroup_oom_kills(c->oom_fd, &f.kills, NULL) < 0 || f.kills == 0)
		return;
	if (c->m->cgroups && cgroup_host_mode(c->m->cgroups) == CGROUP_V2)
		find_limit_v2(c, &f);
	else
		find_limit_v1(c, &f);
	c->st.oom_kills = f.kills;
	c->st.oom_killed = oom_describe(&f, c->st.message, sizeof(c->st.message));
	if (f.kills > c->oom_seen) {
		c->oom_seen = f.kills;
		event_send(c->m, MONITOR_EVENT_OOM, c);
	}
}
