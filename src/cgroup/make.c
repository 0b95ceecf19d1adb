/* SPDX-License-Identifier: Apache-2.0 */
/* Making a cgroup goes hierarchy by hierarchy, each from its root downward with one directory fd after the other. On
 * the way a directory that will have a child gets ready for it:
 *   v2      the controllers that we use are enabled in cgroup.subtree_control. The kernel refuses that with
 *           EBUSY where the directory (not the root) holds processes: the "no internal processes" rule of
 *           cgroups(7). That is an error only if the resources need a controller that is then missing.
 *   cpuset  on v1 a new directory has no cpus and no memory nodes, and takes no process until it has: they are
 *           copied from its parent.
 * A parent of a container's cgroup is marked as made by us, so that whichever container below it is the last removes
 * it. What was made is remembered, and removed deepest first when a later step fails. Another process may remove an
 * empty parent between our open and our mkdir (a rollback of its own, or its last pod): then the walk starts
 * again from the root. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "cgroup/path.h"
#include "cgroup/plan.h"
#include "cgroup/systemd.h"
#include "cgroup/systemd_props.h"
#include "sys/cgroupfs.h"

#define DEPTH_MAX 64
#define MAKE_TRIES 8

struct maker {
	struct cgroup *cg;
	const struct cgroup_host *host;
	struct strv parts;		/* of the path */
	unsigned made[CGROUP_HIER_MAX]; /* directories made, counted from the leaf upward */
	uint32_t v2_on;			/* bits enabled for the leaf */
	int v2_sys;			/* why others are not, and where */
	char v2_where[CGROUP_PATH_MAX];
	bool has_scope;	       /* of systemd */
	bool is_claimed;       /* the lock is ours */
	bool marks;	       /* parents that are made are marked */
	uint32_t out_of_reach; /* controllers whose hierarchies were left out for lack of access; and why */
	struct error why;
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

int cgroup_make_one(int dfd, const char *name, int *ret_dfd)
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
	on = cgroup_enable_controllers(dfd, &sys);
	if (sys && !m->v2_sys) {
		m->v2_sys = sys;
		path_of(m, at, m->v2_where);
	}
	m->v2_on = on;
}

static void mark_parent(struct maker *m, int dfd, unsigned up)
{
	if ((!m->marks || cgroupfs_mark(dfd) < 0) && up > m->cg->made_parents)
		m->cg->made_parents = up;
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
		made = cgroup_make_one(dfd, m->parts.v[at], &child);
		if (made < 0) {
			int sys = errno, r;

			r = cgroup_fail(e, sys, "make cgroup \"%s\" in %s", path_of(m, at + 1, path),
					h->mount_point);
			errno = sys;
			return r;
		}
		if (made && at < *made_from)
			*made_from = at;
		if (made && at + 1 < m->parts.n)
			mark_parent(m, child, (unsigned)(m->parts.n - 1 - at));
		if (!h->is_v2 && h->controllers & 1u << CGROUP_CPUSET &&
		    cgroup_fill_cpuset(dfd, child, &file) < 0) {
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

/* ---- without full access -------------------------------------------------------------------------- */

/* cgroup.h, "Access": go on without hierarchy i, whose error is m->why if it is the first. */
static void leave_out(struct maker *m, size_t i, const struct error *why)
{
	if (m->made[i] > 0)
		unmake_chain(m, i, m->parts.n - m->made[i]);
	m->made[i] = 0;
	if (m->cg->dfd[i] >= 0)
		close(m->cg->dfd[i]);
	m->cg->dfd[i] = -1;
	if (!m->out_of_reach)
		m->why = *why;
	m->out_of_reach |= m->host->hier[i].controllers;
}

static void check_entrance(struct maker *m)
{
	struct error why = ERROR_INIT;

	if (cgroup_check_entrance(m->cg, &why) == 0)
		return;
	leave_out(m, (size_t)m->host->v2, &why);
}

/* What was left out must not be needed. */
static int check_reach(const struct maker *m, uint32_t needed, struct error *e)
{
	char names[128] = "";
	size_t n = 0;

	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
		if (needed & m->out_of_reach & 1u << c)
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? " " : "",
					      cgroup_controller_name(c));
	if (n == 0)
		return 0;
	return err_new(
		e, ERR_DENIED,
		"the limits for \"%s\" need a cgroup that we may not make or enter (%s); have one delegated "
		"(systemd: Delegate=yes), or take the limits out of linux.resources",
		names, err_msg(&m->why));
}

/* A directory of this name that is there already may be somebody else's: root's container of the same id. */
static int check_owner(const struct maker *m, size_t i, struct error *e)
{
	if (m->made[i] > 0 || faccessat(m->cg->dfd[i], "cgroup.procs", W_OK, AT_EACCESS) == 0)
		return 0;
	return cgroup_fail(e, errno, "use cgroup \"%s\" in %s, which is there already", m->cg->path,
			   m->host->hier[i].mount_point);
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

/* A leaf that was there before is taken over only if nothing runs in it. */
static int check_taken_over(struct cgroup *cg, struct error *e)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	int r = cgroup_procs(cg, &pids, &count, e);

	if (r < 0)
		return r;
	if (count > 0)
		return err_new(e, ERR_EXISTS,
			       "container's cgroup is not empty: \"%s\" exists and holds %zu processes, pid "
			       "%d first",
			       cg->path, count, pids[0]);
	return 0;
}

/* Whoever has frozen it, or a cgroup above it, wants things to stand still; and what we would start in it hangs before
 * its first step, and we with it. */
static int check_not_frozen(const struct cgroup *cg, struct error *e)
{
	const char *file;

	if (!cgroup_stands_still(cg, &file))
		return 0;
	return err_new(
		e, ERR_STATE,
		"container's cgroup unexpectedly frozen: write %s to its %s, or to that of the cgroup above "
		"it that is frozen, or choose another cgroup (linux.cgroupsPath)",
		str_eq(file, "freezer.state") ? "THAWED" : "0", file);
}

/* Two that make the same cgroup at once would both find it empty. It is whose lock is on the first of its directories, for as
 * long as the handle is open; and as all come there first, nobody else has made any of the others. */
static int claim(struct maker *m, size_t i, struct error *e)
{
	if (m->is_claimed || flock(m->cg->dfd[i], LOCK_EX | LOCK_NB) == 0) {
		m->is_claimed = true;
		return 0;
	}
	if (errno != EWOULDBLOCK)
		return cgroup_fail(e, errno, "lock cgroup \"%s\"", m->cg->path);
	m->made[i] = 0; /* we may have made it, but it is theirs */
	err_new(e, ERR_EXISTS, "container's cgroup is not empty: another container is being made in \"%s\"",
		m->cg->path);
	return err_hint(e, "choose another cgroup (linux.cgroupsPath)");
}

static int make_hierarchies(struct maker *m, bool may_exist, bool *ret_is_new, struct error *e)
{
	bool is_new = true;

	for (size_t i = 0; i < m->host->hier_count; i++) {
		struct error why = ERROR_INIT;
		int r = make_in(m, i, m->host->may_lack_access ? &why : e);

		if (r >= 0 && m->host->may_lack_access)
			r = check_owner(m, i, &why);
		if (r == -ERR_DENIED && m->host->may_lack_access) {
			leave_out(m, i, &why);
			continue;
		}
		if (r < 0)
			return m->host->may_lack_access && e ? (*e = why, r) : r;
		r = may_exist ? 0 : claim(m, i, e);
		if (r < 0)
			return r;
		if (m->made[i] == 0)
			is_new = false;
	}
	if (m->host->may_lack_access)
		check_entrance(m);
	*ret_is_new = is_new;
	return 0;
}

static int make_all(struct maker *m, const struct cgroup_resources *res, const struct cgroup_plan *plan,
		    bool may_exist, struct error *e)
{
	bool is_new = true;
	int r = make_hierarchies(m, may_exist, &is_new, e);

	if (r >= 0)
		r = check_reach(m, plan->needs, e);
	if (r >= 0 && !is_new && !may_exist)
		r = check_taken_over(m->cg, e);
	if (r >= 0 && !may_exist)
		r = check_not_frozen(m->cg, e);
	if (r >= 0)
		r = check_enabled(m, plan->needs, e);
	if (r < 0)
		return r;
	return is_new ? cgroup_apply_plan(m->cg, res, plan, e) : cgroup_apply(m->cg, res, e);
}

static bool is_nowhere(const struct cgroup *cg)
{
	for (size_t i = 0; i < cg->host->hier_count; i++)
		if (cg->dfd[i] >= 0)
			return false;
	return true;
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static int make_at(struct maker *m, const char *path, const struct cgroup_resources *res,
		   const struct cgroup_plan *plan, bool may_exist, struct error *e)
{
	char resolved[CGROUP_PATH_MAX] = "";
	int r = cgroup_path_resolve(m->host, path, resolved, e);

	if (r >= 0 && m->host->driver == CGROUP_DRIVER_SYSTEMD && cgroup_path_is_unit(path)) {
		r = cgroup_start_scope(m->cg, path, res, resolved, e);
		m->has_scope = r >= 0;
	}
	if (r < 0)
		return r;
	str_set(&m->cg->path, resolved);
	strv_split(&m->parts, resolved, "/");
	if (m->parts.n > DEPTH_MAX)
		return err_new(e, ERR_INVALID, "cgroup path \"%s\" has more than %d parts", resolved,
			       DEPTH_MAX);
	r = make_all(m, res, plan, may_exist || m->has_scope, e);
	return r < 0 ? err_ctx(e, "create cgroup \"%s\"", resolved) : 0;
}

static void take_back(struct maker *m)
{
	struct error ignored = ERROR_INIT;

	cgroup_settle(m->cg);
	if (m->has_scope)
		(void)!systemd_scope_end(m->host, m->cg->path, &ignored);
	unmake(m);
}

static int make(const struct cgroup_host *host, const char *path, const struct cgroup_resources *res,
		bool may_exist, struct cgroup **ret_cg, struct error *e)
{
	CLEANUP(cgroup_plan_done) struct cgroup_plan plan = CGROUP_PLAN_INIT;
	CLEANUP(maker_done) struct maker m = { .host = host, .why = ERROR_INIT, .marks = !may_exist };
	CLEANUP(cgroup_free) struct cgroup *cg = cgroup_handle_new(host, "");
	struct cgroup_resources rounded;
	int r;

	m.cg = cg;
	if (res && host->driver == CGROUP_DRIVER_SYSTEMD && cgroup_path_is_unit(path)) {
		rounded = *res;
		systemd_round_quota(&rounded);
		res = &rounded;
	}
	/* Before anything is made: what the values and this host's controllers say. */
	r = cgroup_plan_new(host, res, &plan, e);
	if (r >= 0)
		r = make_at(&m, path, res, &plan, may_exist, e);
	if (r < 0) {
		take_back(&m);
		return r;
	}
	if (is_nowhere(cg)) {
		*ret_cg = NULL;
		return 0;
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

unsigned cgroup_missing_parents(const struct cgroup_host *host, const char *path)
{
	cleanup_strv struct strv parts = STRV_INIT;
	char resolved[CGROUP_PATH_MAX];
	unsigned most = 0;

	if (cgroup_path_resolve(host, path, resolved, NULL) < 0)
		return 0;
	strv_split(&parts, resolved, "/");
	for (size_t i = 0; i < host->hier_count; i++) {
		unsigned missing = 0;

		for (size_t n = parts.n - 1; n > 0; n--) {
			cleanup_close int dfd = cgroup_open_chain(host->hier[i].root_dfd, &parts, n);

			if (dfd >= 0 || errno != ENOENT)
				break;
			missing++;
		}
		most = missing > most ? missing : most;
	}
	return most;
}
