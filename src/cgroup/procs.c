/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of a cgroup: list, signal, kill, freeze.
 *
 * v2 (and a hybrid host, whose v2 hierarchy has our cgroup too) kills with one write to cgroup.kill, which no
 * fork escapes, and tells by cgroup.events whether anything is left. v1 has neither: freeze, so that nothing
 * forks, signal each process, thaw, and again until none is there. A frozen v1 task does not even die of
 * SIGKILL before it is thawed.
 *
 * A pid that was read from cgroup.procs may belong to somebody else when it is used. So a pidfd is opened
 * first and the list is read again: a pid that is still in it and whose pidfd is still alive is the process
 * meant, whatever happened between. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "sys/cgroupfs.h"

#define PROCS_MAX 4194304u /* PID_MAX_LIMIT of the kernel */
#define BATCH 128
#define FREEZE_FOR_SIGNAL_MS 100

struct pids {
	pid_t *v;
	size_t n, cap;
};

static void pids_done(struct pids *p)
{
	free(p->v);
}
DEFINE_CLEANUP_VALUE(struct pids, pids_done)

static void pids_add(struct pids *p, pid_t pid)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->v = mem_regrow(p->v, p->cap, sizeof(*p->v));
	}
	p->v[p->n++] = pid;
}

static bool is_gone(int sys)
{
	return sys == ENOENT || sys == ENODEV;
}

/* Read cgroup.procs of one directory. A pid of 0 is a process outside our pid namespace: it counts, and cannot
 * be signalled by us. */
static int read_procs(const struct cgroupfs_visit *v, void *arg)
{
	cleanup_close int fd = openat(v->dfd, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct pids *out = arg;
	char text[4096];
	long long pid = -1;
	ssize_t n;

	if (fd < 0)
		return is_gone(errno) ? 0 : -1;
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = (pid < 0 ? 0 : pid) * 10 + (text[i] - '0');
			} else if (pid >= 0 && out->n < PROCS_MAX) {
				pids_add(out, (pid_t)pid);
				pid = -1;
			}
		}
	/* EOPNOTSUPP: a threaded cgroup; its processes are listed in the domain above it, which is in the
	 * subtree too. */
	return n < 0 && !is_gone(errno) && errno != EOPNOTSUPP ? -1 : 0;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static void sort_unique(struct pids *p)
{
	size_t out = 0;

	if (p->n < 2)
		return;
	qsort(p->v, p->n, sizeof(*p->v), compare_pids);
	for (size_t i = 0; i < p->n; i++)
		if (out == 0 || p->v[i] != p->v[out - 1])
			p->v[out++] = p->v[i];
	p->n = out;
}

static int anchor_dfd(const struct cgroup *cg)
{
	return cg->host->anchor < 0 ? -1 : cg->dfd[cg->host->anchor];
}

static int list(const struct cgroup *cg, struct pids *out, struct error *e)
{
	const int dfds[] = { cgroup_dfd_v2(cg), anchor_dfd(cg) };

	for (size_t i = 0; i < ARRAY_LEN(dfds); i++) {
		if (dfds[i] < 0)
			continue;
		/* A directory that is removed while it is walked leaves ENOENT: look again. */
		for (int tries = 0;; tries++) {
			if (cgroupfs_walk(dfds[i], CGROUPFS_PARENT_FIRST, read_procs, out) == 0)
				break;
			if (!is_gone(errno) || tries == 16)
				return cgroup_fail(e, errno, "read the processes of cgroup \"%s\"", cg->path);
		}
	}
	sort_unique(out);
	return 0;
}

int cgroup_procs(const struct cgroup *cg, pid_t **ret_pids, size_t *ret_count, struct error *e)
{
	CLEANUP(pids_done) struct pids pids = { 0 };
	int r = list(cg, &pids, e);

	if (r < 0)
		return r;
	*ret_count = pids.n;
	*ret_pids = pids.n ? take_ptr(pids.v) : NULL;
	return 0;
}

/* Is v2's "populated" set? A cgroup that is gone is not. -1 with errno. */
static int is_populated_v2(int dfd)
{
	char text[256];
	uint64_t n;

	if (cgroupfs_read(dfd, "cgroup.events", text, sizeof(text)) < 0)
		return is_gone(errno) ? 0 : -1;
	return cgroupfs_keyed(text, "populated", &n) && n > 0;
}

int cgroup_is_empty(const struct cgroup *cg, bool *ret_empty, struct error *e)
{
	CLEANUP(pids_done) struct pids pids = { 0 };
	int dfd = cgroup_dfd_v2(cg), r;

	if (dfd >= 0) {
		r = is_populated_v2(dfd);
		if (r < 0)
			return cgroup_fail(e, errno, "read cgroup.events of cgroup \"%s\"", cg->path);
		if (r > 0 || anchor_dfd(cg) < 0) {
			*ret_empty = r == 0;
			return 0;
		}
	}
	r = list(cg, &pids, e);
	if (r < 0)
		return r;
	*ret_empty = pids.n == 0;
	return 0;
}

/* ---- freezing ------------------------------------------------------------------------------------ */

/* v1's own freezer, also on a hybrid host where somebody else may have used it; -1 when there is none. */
static int freezer_dfd(const struct cgroup *cg)
{
	return cgroup_host_is_v2(cg->host, CGROUP_FREEZER) ? -1 : cgroup_dfd(cg, CGROUP_FREEZER);
}

#define V1_FREEZER "freezer.state"
#define V2_FREEZER "cgroup.freeze"

bool cgroup_is_frozen(const struct cgroup *cg)
{
	int v1 = freezer_dfd(cg), v2 = cgroup_dfd_v2(cg);
	char text[64];
	uint64_t n;

	if (v1 >= 0 && cgroupfs_read(v1, V1_FREEZER, text, sizeof(text)) > 0 && !str_eq(text, "THAWED"))
		return true;
	return v2 >= 0 && cgroupfs_read_u64(v2, V2_FREEZER, &n) == 0 && n == 1;
}

void cgroup_freezer_files(const struct cgroup *cg, struct strv *ret)
{
	int v1 = freezer_dfd(cg), v2 = cgroup_dfd_v2(cg);

	for (size_t i = 0; i < cg->host->hier_count; i++) {
		cleanup_free char *path = NULL;

		if (cg->dfd[i] < 0 || (cg->dfd[i] != v1 && cg->dfd[i] != v2))
			continue;
		path = str_fmt("%s%s/%s", cg->host->hier[i].mount_point, cg->path,
			       cg->dfd[i] == v2 ? V2_FREEZER : V1_FREEZER);
		strv_add(ret, path);
	}
}

int cgroup_is_frozen_at(const struct strv *files)
{
	for (size_t i = 0; i < files->n; i++) {
		cleanup_close int fd = open(files->v[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		char text[64];

		if (fd < 0 || !cgroupfs_is(fd) || cgroupfs_read_fd(fd, text, sizeof(text)) <= 0)
			return -1;
		if (!str_eq(text, "THAWED") && !str_eq(text, "0"))
			return 1;
	}
	return files->n ? 0 : -1;
}

/* freezer.state speaks of the cgroups above as well; on v2 that is in cgroup.events. */
bool cgroup_stands_still(const struct cgroup *cg, const char **ret_file)
{
	int v1 = freezer_dfd(cg), v2 = cgroup_dfd_v2(cg);
	char text[256];
	uint64_t n;

	*ret_file = V1_FREEZER;
	if (v1 >= 0 && cgroupfs_read(v1, V1_FREEZER, text, sizeof(text)) > 0 && !str_eq(text, "THAWED"))
		return true;
	*ret_file = V2_FREEZER;
	if (v2 < 0)
		return false;
	return (cgroupfs_read_u64(v2, V2_FREEZER, &n) == 0 && n == 1) ||
	       (cgroupfs_read(v2, "cgroup.events", text, sizeof(text)) > 0 &&
		cgroupfs_keyed(text, "frozen", &n) && n == 1);
}

int cgroup_thaw(struct cgroup *cg, struct error *e)
{
	int v1 = freezer_dfd(cg), v2 = cgroup_dfd_v2(cg);

	if (v1 >= 0 && cgroupfs_write(v1, V1_FREEZER, "THAWED") < 0 && !is_gone(errno))
		return cgroup_fail(e, errno, "thaw cgroup \"%s\"", cg->path);
	if (v2 >= 0 && cgroupfs_write(v2, V2_FREEZER, "0") < 0 && !is_gone(errno))
		return cgroup_fail(e, errno, "thaw cgroup \"%s\"", cg->path);
	return 0;
}

/* Wait for a change of cgroup.events (cgroups v2: POLLPRI). */
static void wait_events(int fd, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	poll(&p, 1, deadline_left_ms(deadline));
}

/* The same for a moment: the kernel holds changes back that follow each other fast (10 ms). fd may be -1. */
static void wait_moment(int fd, unsigned us)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	ppoll(&p, 1, &(struct timespec){ .tv_nsec = (long)us * 1000 }, NULL);
}

/* 1: frozen, 0: not in time, -1: errno. */
static int freeze_v2(int dfd, int64_t deadline)
{
	cleanup_close int fd = openat(dfd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char text[256];
	uint64_t n;

	if (fd < 0 || cgroupfs_write(dfd, V2_FREEZER, "1") < 0)
		return -1;
	for (;;) {
		if (cgroupfs_read_fd(fd, text, sizeof(text)) < 0)
			return -1;
		if (cgroupfs_keyed(text, "frozen", &n) && n == 1)
			return 1;
		if (deadline_left_ms(deadline) == 0)
			return 0;
		wait_events(fd, deadline);
	}
}

/* A task that forks while the cgroup is freezing leaves it FREEZING until the state is written again. */
static int freeze_v1(int dfd, int64_t deadline)
{
	for (unsigned pause_us = 100;; pause_us = pause_us < 10000 ? pause_us * 2 : pause_us) {
		char text[64];

		if (cgroupfs_write(dfd, V1_FREEZER, "FROZEN") < 0 ||
		    cgroupfs_read(dfd, V1_FREEZER, text, sizeof(text)) < 0)
			return -1;
		if (str_eq(text, "FROZEN"))
			return 1;
		if (deadline_left_ms(deadline) == 0)
			return 0;
		usleep(pause_us);
	}
}

int cgroup_freeze(struct cgroup *cg, int timeout_ms, struct error *e)
{
	int64_t deadline = deadline_in_ms(timeout_ms > 0 ? timeout_ms : 1);
	int v1 = freezer_dfd(cg), v2 = cgroup_dfd_v2(cg), r;

	if (v1 < 0 && v2 < 0)
		return err_new(e, ERR_UNSUPPORTED, "freeze cgroup \"%s\": this host has no freezer",
			       cg->path);
	/* v2's is better where both are: frozen processes can still be killed. */
	r = v2 >= 0 ? freeze_v2(v2, deadline) : freeze_v1(v1, deadline);
	if (r < 0)
		return cgroup_fail(e, errno, "freeze cgroup \"%s\"", cg->path);
	if (r > 0)
		return 0;
	r = cgroup_thaw(cg, e);
	if (r < 0)
		return r;
	return err_new(e, ERR_TIMEOUT, "freeze cgroup \"%s\": not all processes stopped within %d ms",
		       cg->path, timeout_ms);
}

/* ---- signals ------------------------------------------------------------------------------------- */

static bool has_pid(const struct pids *p, pid_t pid)
{
	return bsearch(&pid, p->v, p->n, sizeof(*p->v), compare_pids);
}

static int signal_batch(const struct cgroup *cg, const pid_t *pids, size_t count, int sig, struct error *e)
{
	CLEANUP(pids_done) struct pids now = { 0 };
	int fds[BATCH], r, sys = 0;
	pid_t failed = 0;

	for (size_t i = 0; i < count; i++)
		if (pids[i] == 0 || pidfd_open_(pids[i], &fds[i], NULL) < 0)
			fds[i] = -1;
	r = list(cg, &now, e);
	for (size_t i = 0; i < count; i++) {
		if (fds[i] < 0)
			continue;
		if (r == 0 && has_pid(&now, pids[i]) && pidfd_send(fds[i], sig) < 0 && errno != ESRCH &&
		    !sys) {
			sys = errno;
			failed = pids[i];
		}
		close(fds[i]);
	}
	if (r == 0 && sys)
		return cgroup_fail(e, sys, "send signal %d to process %d of cgroup \"%s\"", sig, failed,
				   cg->path);
	return r;
}

static int signal_all(const struct cgroup *cg, int sig, struct error *e)
{
	CLEANUP(pids_done) struct pids pids = { 0 };
	int r = list(cg, &pids, e);

	for (size_t at = 0; r == 0 && at < pids.n; at += BATCH)
		r = signal_batch(cg, pids.v + at, pids.n - at < BATCH ? pids.n - at : BATCH, sig, e);
	return r;
}

/* Thaw in any case; r is the result of what was done while it was frozen. */
static int thaw_after(struct cgroup *cg, int r, struct error *e)
{
	int thawed = cgroup_thaw(cg, r < 0 ? NULL : e);

	return r < 0 ? r : thawed;
}

int cgroup_signal(struct cgroup *cg, int sig, struct error *e)
{
	/* Frozen, a process that forks does not slip through. One that cannot be frozen is signalled anyway. */
	bool thaw = !cgroup_is_frozen(cg) && cgroup_freeze(cg, FREEZE_FOR_SIGNAL_MS, NULL) == 0;
	int r = signal_all(cg, sig, e);

	return thaw ? thaw_after(cg, r, e) : r;
}

/* ---- killing ------------------------------------------------------------------------------------- */

/* cgroup.kill came with Linux 5.14. */
static bool kill_v2(int dfd)
{
	return cgroupfs_write(dfd, "cgroup.kill", "1") == 0;
}

static int thaw_visited(const struct cgroupfs_visit *v, void *arg)
{
	(void)arg;
	(void)!cgroupfs_write(v->dfd, V1_FREEZER, "THAWED");
	return 0;
}

/* A container that may write to its v1 freezer can have frozen a cgroup of its own making, which thawing those above it
 * leaves frozen. */
static void thaw_below(int v1)
{
	if (v1 >= 0)
		(void)!cgroupfs_walk(v1, CGROUPFS_PARENT_FIRST, thaw_visited, NULL);
}

/* What cgroup.kill does, by hand. */
static int kill_round(struct cgroup *cg, struct error *e)
{
	int64_t deadline = deadline_in_ms(FREEZE_FOR_SIGNAL_MS);
	int v1 = freezer_dfd(cg), v2 = cgroup_dfd_v2(cg), r;

	/* Not frozen in time, it may still fork: there will be another round. */
	if (v1 >= 0)
		freeze_v1(v1, deadline);
	else if (v2 >= 0)
		freeze_v2(v2, deadline);
	r = thaw_after(cg, signal_all(cg, SIGKILL, e), e);
	thaw_below(v1);
	return r;
}

static int still_there(const struct cgroup *cg, int timeout_ms, struct error *e)
{
	CLEANUP(pids_done) struct pids pids = { 0 };

	if (list(cg, &pids, NULL) < 0 || pids.n == 0)
		return 0;
	return err_new(e, ERR_TIMEOUT,
		       "kill cgroup \"%s\": %zu processes remain after %d ms, pid %d first (waiting in the "
		       "kernel?)",
		       cg->path, pids.n, timeout_ms, pids.v[0]);
}

int cgroup_kill(struct cgroup *cg, int timeout_ms, struct error *e)
{
	int64_t deadline = deadline_in_ms(timeout_ms > 0 ? timeout_ms : 1);
	int v2 = cgroup_dfd_v2(cg);
	cleanup_close int events = v2 < 0 ? -1 : openat(v2, "cgroup.events", O_RDONLY | O_CLOEXEC);
	unsigned pause_us = 200;
	char text[256];
	bool empty = false, is_again = false;
	int r;

	/* A v1-frozen process cannot die. */
	if (v2 >= 0 && kill_v2(v2) && freezer_dfd(cg) >= 0 && cgroup_is_frozen(cg)) {
		r = cgroup_thaw(cg, e);
		if (r < 0)
			return r;
	}
	for (;;) {
		r = cgroup_is_empty(cg, &empty, e);
		if (r < 0 || empty)
			return r;
		/* v1, a kernel without cgroup.kill, or a process that is in the v1 hierarchies only. */
		if (v2 < 0 || is_populated_v2(v2) <= 0 || !kill_v2(v2)) {
			r = kill_round(cg, e);
			if (r < 0)
				return r;
		} else if (is_again) {
			thaw_below(freezer_dfd(cg));
		}
		is_again = true;
		if (timeout_ms <= 0)
			return 0;
		if (deadline_left_ms(deadline) == 0)
			return still_there(cg, timeout_ms, e);
		wait_moment(events, pause_us);
		if (events >= 0 && cgroupfs_read_fd(events, text, sizeof(text)) < 0 && !is_gone(errno))
			return cgroup_fail(e, errno, "read cgroup.events of cgroup \"%s\"", cg->path);
		pause_us = pause_us < 20000 ? pause_us * 2 : pause_us;
	}
}
