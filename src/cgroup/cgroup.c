/* SPDX-License-Identifier: Apache-2.0 */
/* The handle: making, opening, removing.
 *
 * Making goes hierarchy by hierarchy, each from its root downward with one directory fd after the other. On
 * the way a directory that will have a child gets ready for it:
 *   v2      the controllers that we use are enabled in cgroup.subtree_control. The kernel refuses that with
 *           EBUSY where the directory (not the root) holds processes: the "no internal processes" rule of
 *           cgroups(7). That is an error only if the resources need a controller that is then missing.
 *   cpuset  on v1 a new directory has no cpus and no memory nodes, and takes no process until it has: they are
 *           copied from its parent.
 * What was made is remembered, and removed deepest first when a later step fails. Another process may remove an
 * empty parent between our open and our mkdir (a rollback of its own, or its last pod): then the walk starts
 * again from the root. */
#include "cgroup/handle.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cgroup/path.h"
#include "sys/cgroupfs.h"

#define DEPTH_MAX 64
#define MAKE_TRIES 8
#define REMOVE_BUSY_MS 2000

int cgroup_fail(struct error *e, int sys, const char *fmt, ...)
{
	bool is_denied = sys == EACCES || sys == EPERM || sys == EROFS;
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!is_denied)
		return err_sysk(e, ERR_SYS, sys, "%s", what);
	err_sysk(e, ERR_DENIED, sys, "%s", what);
	err_hint(e, sys == EROFS ? "the hierarchy is mounted read-only here"
				 : "the cgroup is not delegated to us");
	return -ERR_DENIED;
}

int cgroup_dfd(const struct cgroup *cg, enum cgroup_controller c)
{
	int at = cg->host->by_controller[c];

	return at < 0 ? -1 : cg->dfd[at];
}

int cgroup_dfd_v2(const struct cgroup *cg)
{
	return cg->host->v2 < 0 ? -1 : cg->dfd[cg->host->v2];
}

static struct cgroup *handle_new(const struct cgroup_host *host, const char *path)
{
	struct cgroup *cg = NEW(struct cgroup);

	cg->host = host;
	cg->path = str_dup(path);
	for (size_t i = 0; i < CGROUP_HIER_MAX; i++)
		cg->dfd[i] = -1;
	cg->oom_fd = cg->oom_local_fd = -1;
	return cg;
}

void cgroup_free(struct cgroup *cg)
{
	if (!cg)
		return;
	for (size_t i = 0; i < CGROUP_HIER_MAX; i++)
		if (cg->dfd[i] >= 0)
			close(cg->dfd[i]);
	if (cg->oom_fd >= 0)
		close(cg->oom_fd);
	if (cg->oom_local_fd >= 0)
		close(cg->oom_local_fd);
	free(cg->path);
	free(cg);
}

const char *cgroup_path(const struct cgroup *cg)
{
	return cg->path;
}

unsigned cgroup_made_parents(const struct cgroup *cg)
{
	return cg->made_parents;
}

/* ---- making -------------------------------------------------------------------------------------- */

/* Does this directory itself, not the root of all, hold processes? The kernel would say EBUSY for most controllers,
 * but take cpu, cpuset and pids: then it becomes a "threaded domain", and no process can enter a child. */
static bool has_processes(int dfd)
{
	char first[16];
	int fd;
	ssize_t n;

	if (faccessat(dfd, "cgroup.type", F_OK, 0) < 0)
		return false;
	fd = openat(dfd, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, first, sizeof(first));
	close(fd);
	return n > 0;
}

/* v2: enable for the children of dfd what is available and not enabled yet; returns the bits that are enabled
 * then, and in *ret_sys why others are not. Best effort: whether one is needed is known later. */
static uint32_t enable_controllers(const struct cgroup_hier *h, int dfd, int *ret_sys)
{
	char available[512], enabled[512], line[256];
	uint32_t on = 0, missing = 0;
	size_t n = 0;

	*ret_sys = 0;
	if (cgroupfs_read(dfd, "cgroup.controllers", available, sizeof(available)) < 0 ||
	    cgroupfs_read(dfd, "cgroup.subtree_control", enabled, sizeof(enabled)) < 0) {
		*ret_sys = errno;
		return 0;
	}
	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
		const char *name = cgroup_v2_name(c);

		if (!name || !(h->controllers & 1u << c))
			continue;
		if (cgroupfs_has_word(enabled, name)) {
			on |= 1u << c;
		} else if (cgroupfs_has_word(available, name)) {
			missing |= 1u << c;
			n += (size_t)snprintf(line + n, sizeof(line) - n, "+%s ", name);
		}
	}
	if (!missing)
		return on;
	if (has_processes(dfd)) {
		*ret_sys = EBUSY;
		return on;
	}
	if (cgroupfs_write(dfd, "cgroup.subtree_control", line) == 0)
		return on | missing;
	*ret_sys = errno;
	if (errno == EBUSY)
		return on;
	/* All or nothing for one write; a single controller may be the one that cannot be had. */
	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
		if (!(missing & 1u << c))
			continue;
		snprintf(line, sizeof(line), "+%s", cgroup_v2_name(c));
		if (cgroupfs_write(dfd, "cgroup.subtree_control", line) == 0)
			on |= 1u << c;
	}
	return on;
}

/* v1: a cpuset without cpus or nodes takes no process; fill it from its parent. */
static int fill_cpuset(int parent_dfd, int dfd, const char **ret_file)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char mine[4096], parents[4096];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		*ret_file = files[i];
		if (cgroupfs_read(dfd, files[i], mine, sizeof(mine)) < 0)
			return -1;
		if (mine[0])
			continue;
		if (cgroupfs_read(parent_dfd, files[i], parents, sizeof(parents)) < 0 ||
		    cgroupfs_write(dfd, files[i], parents) < 0)
			return -1;
	}
	return 0;
}

struct maker {
	struct cgroup *cg;
	const struct cgroup_host *host;
	struct strv parts;		/* of the path */
	unsigned made[CGROUP_HIER_MAX]; /* directories made, counted from the leaf upward */
	uint32_t v2_on;			/* bits enabled for the leaf */
	int v2_sys;			/* why others are not, and where */
	char v2_where[CGROUP_PATH_MAX];
};

static void maker_done(struct maker *m)
{
	strv_done(&m->parts);
}
DEFINE_CLEANUP_VALUE(struct maker, maker_done)

/* The path of the first n parts. */
static const char *path_of(const struct maker *m, size_t n, char out[CGROUP_PATH_MAX])
{
	size_t len = 0;

	out[0] = '/';
	out[1] = '\0';
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(out + len, CGROUP_PATH_MAX - len, "/%s", m->parts.v[i]);
	return out;
}

/* One directory: make it if needed and open it. 1: made, 0: was there, -1 with errno. */
static int make_one(int dfd, const char *name, int *ret_dfd)
{
	int made = 1;

	if (mkdirat(dfd, name, 0755) < 0) {
		if (errno != EEXIST) {
			int sys = errno;

			/* A read-only or foreign hierarchy where the directory is there already. */
			*ret_dfd = cgroupfs_open_dir(dfd, name);
			errno = sys;
			return *ret_dfd >= 0 ? 0 : -1;
		}
		made = 0;
	}
	*ret_dfd = cgroupfs_open_dir(dfd, name);
	return *ret_dfd < 0 ? -1 : made;
}

/* Before dfd (the first `at` parts) gets a child. */
static void prepare_parent(struct maker *m, const struct cgroup_hier *h, int dfd, size_t at)
{
	uint32_t on;
	int sys;

	if (!h->is_v2)
		return;
	on = enable_controllers(h, dfd, &sys);
	if (sys && !m->v2_sys) {
		m->v2_sys = sys;
		path_of(m, at, m->v2_where);
	}
	m->v2_on = on;
}

/* The chain of directories in hierarchy i. *made_from is the index of the first part that was made.
 * Fails with errno kept, too (ENOENT: a parent went away under us). */
static int make_chain(struct maker *m, size_t i, size_t *made_from, struct error *e)
{
	const struct cgroup_hier *h = &m->host->hier[i];
	cleanup_close int dfd = dup(h->root_dfd);
	char path[CGROUP_PATH_MAX];

	for (size_t at = 0; at < m->parts.n; at++) {
		cleanup_close int child = -1;
		const char *file;
		int made;

		prepare_parent(m, h, dfd, at);
		made = make_one(dfd, m->parts.v[at], &child);
		if (made < 0) {
			int sys = errno, r;

			r = cgroup_fail(e, sys, "make cgroup \"%s\" in %s", path_of(m, at + 1, path),
					h->mount_point);
			errno = sys;
			return r;
		}
		if (made && at < *made_from)
			*made_from = at;
		if (!h->is_v2 && h->controllers & 1u << CGROUP_CPUSET && fill_cpuset(dfd, child, &file) < 0) {
			int sys = errno, r;

			r = cgroup_fail(e, sys, "copy %s of the parent to cgroup \"%s\"", file,
					path_of(m, at + 1, path));
			errno = sys;
			return r;
		}
		close(dfd);
		dfd = take_fd(child);
	}
	m->cg->dfd[i] = take_fd(dfd);
	return 0;
}

/* Remove what was made in hierarchy i, deepest first; others may have put something there: then it stays. */
static void unmake_chain(const struct maker *m, size_t i, size_t made_from)
{
	for (size_t last = m->parts.n; last > made_from; last--) {
		cleanup_close int dfd = dup(m->host->hier[i].root_dfd);

		for (size_t at = 0; dfd >= 0 && at + 1 < last; at++) {
			int child = cgroupfs_open_dir(dfd, m->parts.v[at]);

			close(dfd);
			dfd = child;
		}
		if (dfd >= 0 && unlinkat(dfd, m->parts.v[last - 1], AT_REMOVEDIR) < 0 && errno != ENOENT)
			return;
	}
}

static void unmake(struct maker *m)
{
	int sys = errno;

	for (size_t i = 0; i < m->host->hier_count; i++)
		if (m->made[i] > 0)
			unmake_chain(m, i, m->parts.n - m->made[i]);
	errno = sys;
}

static int make_in(struct maker *m, size_t i, struct error *e)
{
	size_t made_from = m->parts.n;
	int r = -1;

	for (int tries = 0; r < 0 && tries < MAKE_TRIES; tries++) {
		r = make_chain(m, i, &made_from, e);
		m->made[i] = (unsigned)(m->parts.n - made_from);
		if (r < 0 && errno != ENOENT && errno != ENODEV)
			break;
	}
	if (m->made[i] > m->cg->made_parents + 1)
		m->cg->made_parents = m->made[i] - 1;
	return r;
}

/* v2: are all controllers there whose files res will need? */
static int check_enabled(const struct maker *m, uint32_t needed, struct error *e)
{
	const struct cgroup_hier *h;
	char names[128] = "";
	size_t n = 0;

	if (m->host->v2 < 0)
		return 0;
	h = &m->host->hier[m->host->v2];
	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
		if (needed & h->controllers & ~m->v2_on & 1u << c && cgroup_v2_name(c)) {
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? " " : "",
					      cgroup_v2_name(c));
		}
	if (n == 0)
		return 0;
	if (m->v2_sys == EBUSY)
		return err_new(
			e, ERR_STATE,
			"enable the controllers \"%s\" below cgroup \"%s\": it holds processes itself, and a "
			"cgroup "
			"with processes has no children with controllers; move them to a child of it first",
			names, m->v2_where);
	if (m->v2_sys)
		return cgroup_fail(e, m->v2_sys, "enable the controllers \"%s\" below cgroup \"%s\"", names,
				   m->v2_where);
	return err_new(e, ERR_UNSUPPORTED,
		       "the controllers \"%s\" are not available to cgroup \"%s\": a cgroup above it does "
		       "not delegate them",
		       names, m->cg->path);
}

/* Which controllers of v2 have to be enabled for res; the filter for devices is none. */
static uint32_t controllers_of(const struct cgroup_resources *r)
{
	uint32_t c = 0;

	if (!r)
		return 0;
	if (r->has_memory_limit || r->has_memory_reservation || r->has_memory_swap)
		c |= 1u << CGROUP_MEMORY;
	if (r->has_cpu_shares || r->has_cpu_quota || r->has_cpu_period || r->has_cpu_burst || r->has_cpu_idle)
		c |= 1u << CGROUP_CPU;
	if (!str_is_empty(r->cpuset_cpus) || !str_is_empty(r->cpuset_mems))
		c |= 1u << CGROUP_CPUSET;
	if (r->has_pids_limit && r->pids_limit > 0)
		c |= 1u << CGROUP_PIDS;
	if (r->has_blkio_weight || r->blkio_count)
		c |= 1u << CGROUP_BLKIO;
	for (size_t i = 0; i < r->hugepage_count; i++)
		if (r->hugepages[i].limit)
			c |= 1u << CGROUP_HUGETLB;
	return c;
}

/* A leaf that was there before is taken over only if nothing runs in it. */
static int check_taken_over(struct cgroup *cg, struct error *e)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	int r = cgroup_procs(cg, &pids, &count, e);

	if (r < 0)
		return r;
	if (count > 0)
		return err_new(e, ERR_EXISTS, "cgroup \"%s\" exists and holds %zu processes, pid %d first",
			       cg->path, count, pids[0]);
	return cgroup_is_frozen(cg) ? cgroup_thaw(cg, e) : 0;
}

static int make_all(struct maker *m, const struct cgroup_resources *res, bool may_exist, struct error *e)
{
	struct cgroup *cg = m->cg;
	bool is_new = true;
	int r;

	for (size_t i = 0; i < m->host->hier_count; i++) {
		r = make_in(m, i, e);
		if (r < 0)
			return r;
		if (m->made[i] == 0)
			is_new = false;
	}
	if (!is_new && !may_exist) {
		r = check_taken_over(cg, e);
		if (r < 0)
			return r;
	}
	r = check_enabled(m, controllers_of(res), e);
	if (r < 0)
		return r;
	return cgroup_apply(cg, res, is_new, e);
}

static int make(const struct cgroup_host *host, const char *path, const struct cgroup_resources *res,
		bool may_exist, struct cgroup **ret_cg, struct error *e)
{
	CLEANUP(maker_done) struct maker m = { .host = host };
	char resolved[CGROUP_PATH_MAX];
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	int r;

	r = cgroup_path_resolve(host, path, resolved, e);
	if (r < 0)
		return r;
	cg = handle_new(host, resolved);
	m.cg = cg;
	strv_split(&m.parts, resolved, "/");
	if (m.parts.n > DEPTH_MAX)
		return err_new(e, ERR_INVALID, "cgroup path \"%s\" has more than %d parts", resolved,
			       DEPTH_MAX);
	r = make_all(&m, res, may_exist, e);
	if (r < 0) {
		unmake(&m);
		return err_ctx(e, "create cgroup \"%s\"", resolved);
	}
	cgroup_oom_open(cg);
	*ret_cg = take_ptr(cg);
	return 0;
}

int cgroup_create(const struct cgroup_host *host, const char *path, const struct cgroup_resources *res,
		  struct cgroup **ret_cg, struct error *e)
{
	return make(host, path, res, false, ret_cg, e);
}

int cgroup_ensure(const struct cgroup_host *host, const char *path, const struct cgroup_resources *res,
		  struct cgroup **ret_cg, struct error *e)
{
	return make(host, path, res, true, ret_cg, e);
}

/* ---- opening ------------------------------------------------------------------------------------- */

/* Walk down the parts; -1 with errno. */
static int open_chain(int root_dfd, const struct strv *parts, size_t count)
{
	int dfd = dup(root_dfd);

	for (size_t at = 0; dfd >= 0 && at < count; at++) {
		int child = cgroupfs_open_dir(dfd, parts->v[at]);
		int sys = errno;

		close(dfd);
		dfd = child;
		errno = sys;
	}
	return dfd;
}

int cgroup_open(const struct cgroup_host *host, const char *path, struct cgroup **ret_cg, struct error *e)
{
	cleanup_strv struct strv parts = STRV_INIT;
	char resolved[CGROUP_PATH_MAX];
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	size_t found = 0;
	int r;

	r = cgroup_path_resolve(host, path, resolved, e);
	if (r < 0)
		return r;
	cg = handle_new(host, resolved);
	strv_split(&parts, resolved, "/");
	for (size_t i = 0; i < host->hier_count; i++) {
		cg->dfd[i] = open_chain(host->hier[i].root_dfd, &parts, parts.n);
		if (cg->dfd[i] >= 0)
			found++;
		else if (errno != ENOENT)
			return cgroup_fail(e, errno, "open cgroup \"%s\" in %s", resolved,
					   host->hier[i].mount_point);
	}
	if (found == 0)
		return err_new(e, ERR_NOT_FOUND, "cgroup \"%s\" does not exist", resolved);
	cgroup_oom_open(cg);
	*ret_cg = take_ptr(cg);
	return 0;
}

/* ---- removing ------------------------------------------------------------------------------------ */

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
	for (size_t i = 0; i < host->hier_count; i++) {
		cleanup_close int dfd = open_chain(host->hier[i].root_dfd, &parts, parts.n - 1);

		if (dfd < 0 && errno == ENOENT)
			continue;
		if (dfd < 0 || remove_tree(dfd, parts.v[parts.n - 1], deadline) < 0) {
			/* Go on with the other hierarchies, and report the first. */
			if (worst == 0)
				worst = remove_failed(host, resolved, i, errno, e);
			continue;
		}
		for (size_t n = parts.n - 1; n > 0 && parts.n - 1 - n < parents; n--) {
			cleanup_close int up = open_chain(host->hier[i].root_dfd, &parts, n - 1);

			if (up >= 0 && unlinkat(up, parts.v[n - 1], AT_REMOVEDIR) < 0 && errno != ENOENT)
				break;
		}
	}
	return worst;
}

/* ---- entering ------------------------------------------------------------------------------------ */

int cgroup_clone_fd(const struct cgroup *cg)
{
	return cgroup_dfd_v2(cg);
}

int cgroup_narrow(struct cgroup *cg, const char *name, struct error *e)
{
	int dfd = cgroup_dfd_v2(cg), child;

	if (dfd < 0)
		return err_new(e, ERR_UNSUPPORTED, "cgroup \"%s\" is in no v2 hierarchy", cg->path);
	if (make_one(dfd, name, &child) < 0)
		return cgroup_fail(e, errno, "make cgroup \"%s/%s\"", cg->path, name);
	close(dfd);
	cg->dfd[cg->host->v2] = child;
	return 0;
}

int cgroup_enter_fds(struct cgroup *cg, int ret_fds[CGROUP_HIER_MAX], size_t *ret_count, struct error *e)
{
	size_t n = 0;

	for (size_t i = 0; i < cg->host->hier_count; i++) {
		if (cg->host->hier[i].is_v2 || cg->dfd[i] < 0)
			continue;
		ret_fds[n] = openat(cg->dfd[i], "tasks", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
		if (ret_fds[n] < 0) {
			int sys = errno;

			while (n > 0)
				close(ret_fds[--n]);
			return cgroup_fail(e, sys, "open tasks of cgroup \"%s\" in %s", cg->path,
					   cg->host->hier[i].mount_point);
		}
		n++;
	}
	*ret_count = n;
	return 0;
}

int cgroup_enter(const int fds[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (write(fds[i], "0", 1) < 0)
			return -1;
	return 0;
}

int cgroup_attach(struct cgroup *cg, pid_t pid, struct error *e)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	for (size_t i = 0; i < cg->host->hier_count; i++) {
		if (cg->dfd[i] < 0 || cgroupfs_write(cg->dfd[i], "cgroup.procs", text) == 0)
			continue;
		if (errno == ESRCH)
			return err_sysk(e, ERR_STATE, ESRCH, "move process %d to cgroup \"%s\"", pid,
					cg->path);
		if (errno == EBUSY)
			return err_sysk(e, ERR_STATE, EBUSY,
					"move process %d to cgroup \"%s\", which has controllers enabled for "
					"its children",
					pid, cg->path);
		return cgroup_fail(e, errno, "move process %d to cgroup \"%s\" in %s", pid, cg->path,
				   cg->host->hier[i].mount_point);
	}
	return 0;
}
