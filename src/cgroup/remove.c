/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "cgroup/path.h"
#include "cgroup/systemd.h"
#include "sys/cgroupfs.h"

#define REMOVE_BUSY_MS 2000
static int remove_visited(const struct cgroupfs_visit *v, void *arg)
{
	(void)arg;
	if (!v->name)
		return 0;
	return unlinkat(v->parent_dfd, v->name, AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENODEV ? -1
													: 0;
}

/* Remove parent_dfd/name with all below it. The usual case is one rmdir. Returns 0 or -1 with errno. */
static int remove_tree(int parent_dfd, const char *name, int64_t deadline)
{
	for (unsigned pause_us = 500;; pause_us = pause_us < 32000 ? pause_us * 2 : pause_us) {
		cleanup_close int dfd = -1;

		if (unlinkat(parent_dfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENODEV)
			return 0;
		if (errno != EBUSY && errno != ENOTEMPTY)
			return -1;
		dfd = cgroupfs_open_dir(parent_dfd, name);
		if (dfd >= 0 && cgroupfs_walk(dfd, CGROUPFS_CHILDREN_FIRST, remove_visited, NULL) < 0 &&
		    errno != EBUSY && errno != ENOTEMPTY && errno != ENOENT)
			return -1;
		if (unlinkat(parent_dfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENODEV)
			return 0;
		if (deadline_left_ms(deadline) == 0) {
			errno = EBUSY;
			return -1;
		}
		usleep(pause_us);
	}
}

static int remove_failed(const struct cgroup_host *host, const char *path, size_t i, int sys, struct error *e)
{
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	if (sys == EBUSY && cgroup_open(host, path, &cg, NULL) == 0 &&
	    cgroup_procs(cg, &pids, &count, NULL) == 0 && count > 0)
		return err_new(e, ERR_STATE,
			       "remove cgroup \"%s\": it still holds %zu processes, pid %d first", path,
			       count, pids[0]);
	return cgroup_fail(e, sys, "remove cgroup \"%s\" in %s", path, host->hier[i].mount_point);
}

/* Of one hierarchy, above the cgroup itself. What is gone already is passed over. */
static void remove_parents(int root_dfd, const struct strv *parts, unsigned parents)
{
	for (size_t n = parts->n - 1; n > 0; n--) {
		cleanup_close int up = cgroup_open_chain(root_dfd, parts, n - 1);
		cleanup_close int dfd = up < 0 ? -1 : cgroupfs_open_dir(up, parts->v[n - 1]);

		if (dfd < 0 && errno == ENOENT)
			continue;
		if (dfd < 0 || (parts->n - 1 - n >= parents && !cgroupfs_is_marked(dfd)))
			return;
		if (unlinkat(up, parts->v[n - 1], AT_REMOVEDIR) < 0 && errno != ENOENT)
			return;
	}
}

int cgroup_remove(const struct cgroup_host *host, const char *path, unsigned parents, struct error *e)
{
	int64_t deadline = deadline_in_ms(REMOVE_BUSY_MS);
	cleanup_strv struct strv parts = STRV_INIT;
	char resolved[CGROUP_PATH_MAX];
	int r, worst = 0;

	r = cgroup_path_resolve(host, path, resolved, e);
	if (r < 0)
		return r;
	strv_split(&parts, resolved, "/");
	/* systemd removes what it made; the rest is ours, and is looked at in any case. */
	if (host->driver == CGROUP_DRIVER_SYSTEMD && systemd_unit_of(resolved))
		worst = systemd_scope_end(host, resolved, e);
	for (size_t i = 0; i < host->hier_count; i++) {
		cleanup_close int dfd = cgroup_open_chain(host->hier[i].root_dfd, &parts, parts.n - 1);

		/* Without its parent there may still be one further up. */
		if ((dfd < 0 && errno != ENOENT) ||
		    (dfd >= 0 && remove_tree(dfd, parts.v[parts.n - 1], deadline) < 0)) {
			/* Go on with the other hierarchies, and report the first. */
			if (worst == 0)
				worst = remove_failed(host, resolved, i, errno, e);
			continue;
		}
		/* Most often it is somebody else's. */
		if (dfd < 0 || parents > 0 || cgroupfs_is_marked(dfd))
			remove_parents(host->hier[i].root_dfd, &parts, parents);
	}
	return worst;
}
