/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a plan: the errors name file, value and cgroup. A plan for a living cgroup is a transaction: what was
 * written before a failure is taken back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/handle.h"
#include "cgroup/plan.h"
#include "cgroup/systemd.h"
#include "cgroup/systemd_props.h"
#include "sys/cgroupfs.h"

#define FILE_SIZE 8192 /* of what is read to be restored */

/* What an errno means for files whose rule can be named; NULL when it says enough. */
static const char *remedy(const struct cgroup_write *w, int sys)
{
	if (str_starts(w->file, "cpuset.") && (sys == EACCES || sys == EINVAL || sys == ERANGE ||
					       sys == ENOSPC || sys == ENODEV || sys == EBUSY))
		return "the set must be within the parent's, and not empty";
	if (sys == EBUSY && str_starts(w->file, "memory."))
		return "more memory is in use than the new limit allows, and it cannot be reclaimed";
	if (sys == EINVAL && str_starts(w->file, "cpu.rt_"))
		return "the cgroup above must have real-time runtime to give: write its cpu.rt_runtime_us";
	if (sys == ENODEV && (str_starts(w->file, "io.") || str_starts(w->file, "blkio.")))
		return "there is no such block device";
	if (sys == EINVAL && (str_eq(w->file, "cpu.weight") || str_eq(w->file, "cpu.shares")))
		return "a cgroup that is idle takes no weight: cpu.idle must be 0 first";
	return NULL;
}

static int write_failed(const struct cgroup *cg, const struct cgroup_write *w, int sys, struct error *e)
{
	bool is_cpuset = str_starts(w->file, "cpuset.");
	const char *why = remedy(w, sys);
	int r;

	if (sys == ENOENT)
		return err_new(e, ERR_UNSUPPORTED,
			       "write \"%s\" to %s of cgroup \"%s\": there is no such file (this kernel does "
			       "not have it, or the controller \"%.*s\" is not enabled for the cgroup)",
			       w->value, w->file, cg->path, (int)strcspn(w->file, "."), w->file);
	r = cgroup_fail(e, is_cpuset && sys == EACCES ? EINVAL : sys, "write \"%s\" to %s of cgroup \"%s\"",
			w->value, w->file, cg->path);
	if (why)
		err_hint(e, "%s", why);
	if (sys == EINVAL || sys == ERANGE || (is_cpuset && why))
		return err_kind(e, ERR_INVALID);
	return r;
}

static int write_dfd(const struct cgroup *cg, const struct cgroup_write *w)
{
	return w->controller == CGROUP_V2_CORE ? cgroup_dfd_v2(cg) : cgroup_dfd(cg, w->controller);
}

/* ---- the writes ------------------------------------------------------------------------------------ */

/* What was done, to be taken back; NULL where a failure removes the cgroup anyway. */
struct undo {
	struct {
		int dfd; /* borrowed */
		char file[64];
		char *value;
	} * v;
	size_t n;
};

static void undo_done(struct undo *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->v[i].value);
	free(u->v);
}
DEFINE_CLEANUP_VALUE(struct undo, undo_done)

/* Last first. What the kernel refuses, for values that bound each other, is tried once more at the end. Returns how
 * many could not be taken back. */
static size_t undo_all(const struct undo *u)
{
	size_t failed = 0;

	for (int round = 0; round < 2; round++) {
		failed = 0;
		for (size_t i = u->n; i > 0; i--)
			if (cgroupfs_write(u->v[i - 1].dfd, u->v[i - 1].file, u->v[i - 1].value) < 0)
				failed++;
	}
	return failed;
}

/* Device rules are many writes to one file: it stays open for those that follow. */
struct last_file {
	int dfd; /* borrowed */
	const char *name;
	int fd;
};

static void last_file_done(struct last_file *l)
{
	if (l->fd >= 0)
		close(l->fd);
}
DEFINE_CLEANUP_VALUE(struct last_file, last_file_done)

/* 0, or -1 with errno. */
static int write_to(struct last_file *l, int dfd, const struct cgroup_write *w)
{
	if (l->fd < 0 || l->dfd != dfd || strcmp(l->name, w->file) != 0) {
		last_file_done(l);
		l->fd = cgroupfs_open_file(dfd, w->file);
		l->dfd = dfd;
		l->name = w->file;
	}
	return l->fd < 0 ? -1 : cgroupfs_write_fd(l->fd, w->value);
}

/* 0, or -1 with errno. */
static int write_one(const struct cgroup *cg, const struct cgroup_write *w, struct undo *undo,
		     struct last_file *last)
{
	cleanup_free char *value = NULL;
	int dfd = write_dfd(cg, w);
	char old[FILE_SIZE];

	if (dfd < 0) {
		errno = ENOENT;
		return -1;
	}
	if (undo && cgroupfs_read(dfd, w->file, old, sizeof(old)) >= 0)
		value = cgroup_undo_value(w, old);
	if (write_to(last, dfd, w) < 0)
		return -1;
	if (!value)
		return 0;
	undo->v = mem_regrow(undo->v, undo->n + 1, sizeof(*undo->v));
	undo->v[undo->n].dfd = dfd;
	memcpy(undo->v[undo->n].file, w->file, sizeof(w->file));
	undo->v[undo->n++].value = take_ptr(value);
	return 0;
}

static bool is_passed_over(const struct cgroup *cg, const struct cgroup_write *w, int sys)
{
	if (sys == ENOENT && w->flags & (CGROUP_WRITE_ELSE_NEXT | CGROUP_WRITE_IF_EXISTS))
		return true;
	/* Without access there is a user namespace, in which no node can be made that is not allowed. */
	return w->controller == CGROUP_DEVICES && cg->host->may_lack_access &&
	       (sys == ENOENT || sys == EPERM || sys == EACCES);
}

static int write_plan(const struct cgroup *cg, const struct cgroup_plan *plan, struct undo *undo,
		      struct error *e)
{
	CLEANUP(last_file_done) struct last_file last = { .fd = -1 };
	size_t later[8], later_count = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct cgroup_write *w = &plan->w[i];

		if (write_one(cg, w, undo, &last) == 0) {
			while (plan->w[i].flags & CGROUP_WRITE_ELSE_NEXT)
				i++;
			continue;
		}
		if (is_passed_over(cg, w, errno))
			continue;
		if (errno == EINVAL && w->flags & CGROUP_WRITE_RETRY_LAST &&
		    later_count < sizeof(later) / sizeof(*later))
			later[later_count++] = i;
		else
			return write_failed(cg, w, errno, e);
	}
	for (size_t i = 0; i < later_count; i++)
		if (write_one(cg, &plan->w[later[i]], undo, &last) < 0)
			return write_failed(cg, &plan->w[later[i]], errno, e);
	return 0;
}

/* ---- the state ------------------------------------------------------------------------------------- */

/* Limits that are in force; what cannot be read counts as none. */
static struct cgroup_now read_now(const struct cgroup *cg)
{
	struct cgroup_now now = CGROUP_NOW_NEW;
	bool v2 = cgroup_host_is_v2(cg->host, CGROUP_MEMORY);
	int memory = cgroup_dfd(cg, CGROUP_MEMORY), cpu = cgroup_dfd(cg, CGROUP_CPU);
	char text[64];
	uint64_t n;

	/* v1 shows "none" as the largest page-aligned number of bytes. */
	if (memory >= 0 && cgroupfs_read_u64(memory, v2 ? "memory.max" : "memory.limit_in_bytes", &n) == 0 &&
	    n < INT64_MAX / 2)
		now.memory_limit = n;
	if (memory >= 0 && !v2 && cgroupfs_read_u64(memory, "memory.memsw.limit_in_bytes", &n) == 0 &&
	    n < INT64_MAX / 2)
		now.memsw_limit = n;
	if (cpu >= 0 && cgroup_host_is_v2(cg->host, CGROUP_CPU) &&
	    cgroupfs_read(cpu, "cpu.max", text, sizeof(text)) > 0 && text[0] != 'm')
		now.cpu_quota = strtoll(text, NULL, 10);
	return now;
}

/* v1 refuses a limit below what is in use and cannot be reclaimed; v2 takes it and kills. */
static int check_memory_use(const struct cgroup *cg, const struct cgroup_resources *res, struct error *e)
{
	bool v2 = cgroup_host_is_v2(cg->host, CGROUP_MEMORY);
	int dfd = cgroup_dfd(cg, CGROUP_MEMORY);
	const struct {
		bool is_given;
		int64_t limit;
		const char *what;
	} checks[] = { { res->has_memory_limit, res->memory_limit, "memory" },
		       { res->has_memory_swap, res->memory_swap, "memory+swap" } };
	uint64_t use;

	if (!res->memory_check_before_update || dfd < 0)
		return 0;
	if (cgroupfs_read_u64(dfd, v2 ? "memory.current" : "memory.usage_in_bytes", &use) < 0)
		return cgroup_fail(e, errno, "read the memory use of cgroup \"%s\"", cg->path);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		if (checks[i].is_given && checks[i].limit > 0 && use > (uint64_t)checks[i].limit)
			return err_new(e, ERR_LIMIT,
				       "%s limit %lld of cgroup \"%s\" is below its present use of %llu",
				       checks[i].what, (long long)checks[i].limit, cg->path,
				       (unsigned long long)use);
	return 0;
}

static struct cgroup_caps caps_of(const struct cgroup_host *host)
{
	struct cgroup_caps caps = { .v2_words = host->v2 < 0 ? NULL : host->v2_words };

	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
		if (cgroup_host_has(host, c))
			caps.have |= 1u << c;
		if (cgroup_host_is_v2(host, c))
			caps.v2 |= 1u << c;
	}
	return caps;
}

int cgroup_plan_new(const struct cgroup_host *host, const struct cgroup_resources *res,
		    struct cgroup_plan *ret_plan, struct error *e)
{
	const struct cgroup_caps caps = caps_of(host);
	const struct cgroup_now now = CGROUP_NOW_NEW;

	return res ? cgroup_plan_resources(res, &now, &caps, ret_plan, e) : 0;
}

static int attach_filter(const struct cgroup *cg, const struct cgroup_resources *res, struct error *e)
{
	int r;

	if (cgroup_dfd_v2(cg) < 0)
		return 0;
	r = cgroup_devices_attach(cgroup_dfd_v2(cg), res->devices, res->device_count, e);
	if (r == -ERR_DENIED && cg->host->may_lack_access)
		return 0;
	return r < 0 ? err_ctx(e, "cgroup \"%s\"", cg->path) : 0;
}

int cgroup_apply_plan(const struct cgroup *cg, const struct cgroup_resources *res,
		      const struct cgroup_plan *plan, struct error *e)
{
	int r = write_plan(cg, plan, NULL, e);

	return r >= 0 && plan->device_filter ? attach_filter(cg, res, e) : r;
}

static int plan_update(const struct cgroup *cg, const struct cgroup_resources *res,
		       struct cgroup_plan *ret_plan, struct error *e)
{
	const struct cgroup_caps caps = caps_of(cg->host);
	struct cgroup_now now = read_now(cg);
	int r = check_memory_use(cg, res, e);

	return r < 0 ? r : cgroup_plan_resources(res, &now, &caps, ret_plan, e);
}

int cgroup_apply(struct cgroup *cg, const struct cgroup_resources *res, struct error *e)
{
	CLEANUP(cgroup_plan_done) struct cgroup_plan plan = CGROUP_PLAN_INIT;
	int r = res ? plan_update(cg, res, &plan, e) : 0;

	return r < 0 ? r : cgroup_apply_plan(cg, res, &plan, e);
}

/* ---- the update of a living cgroup -------------------------------------------------------------------- */

static bool is_written_again(const struct cgroup_plan *plan, size_t i)
{
	for (size_t k = i + 1; k < plan->n; k++)
		if (str_eq(plan->w[k].file, plan->w[i].file))
			return true;
	return false;
}

/* The kernel takes some numbers and makes others of them. Sizes are rounded to pages. */
static int check_written(const struct cgroup *cg, const struct cgroup_plan *plan, struct error *e)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct cgroup_write *w = &plan->w[i];
		uint64_t asked, seen, slack = str_starts(w->file, "memory.") ? 65535 : 0;
		int dfd = write_dfd(cg, w);

		if (dfd < 0 || str_starts(w->file, "hugetlb.") || str_to_u64(w->value, &asked, NULL) < 0 ||
		    is_written_again(plan, i) || cgroupfs_read_u64(dfd, w->file, &seen) < 0)
			continue;
		if (asked > seen ? asked - seen > slack : seen - asked > slack)
			return err_new(e, ERR_INVALID,
				       "write \"%s\" to %s of cgroup \"%s\": the kernel made %llu of it",
				       w->value, w->file, cg->path, (unsigned long long)seen);
	}
	return 0;
}

int cgroup_update(struct cgroup *cg, const struct cgroup_resources *given, struct error *e)
{
	CLEANUP(cgroup_plan_done) struct cgroup_plan plan = CGROUP_PLAN_INIT;
	CLEANUP(undo_done) struct undo undo = { 0 };
	const char *unit = cg->host->driver == CGROUP_DRIVER_SYSTEMD ? systemd_unit_of(cg->path) : NULL;
	struct cgroup_resources rounded = *given, *res = &rounded;
	int r;

	if (unit)
		systemd_round_quota(res);
	r = plan_update(cg, res, &plan, e);

	if (r >= 0)
		r = write_plan(cg, &plan, &undo, e);
	if (r >= 0)
		r = check_written(cg, &plan, e);
	if (r >= 0 && plan.device_filter)
		r = attach_filter(cg, res, e);
	/* Last, as nothing can fail behind it. systemd writes what was written. */
	if (r >= 0 && unit)
		r = systemd_unit_set(unit, res, cgroup_host_is_v2(cg->host, CGROUP_MEMORY), e);
	if (r < 0 && undo_all(&undo) > 0)
		err_hint(e, "not all of the old limits could be restored");
	return r;
}
