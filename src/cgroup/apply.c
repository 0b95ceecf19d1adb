/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a plan: the errors name file, value and cgroup. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/handle.h"
#include "cgroup/plan.h"
#include "sys/cgroupfs.h"

static int write_failed(const struct cgroup *cg, const struct cgroup_write *w, int sys, struct error *e)
{
	bool is_cpuset = str_starts(w->file, "cpuset.");
	int r;

	if (sys == ENOENT)
		return err_new(e, ERR_UNSUPPORTED,
			       "write \"%s\" to %s of cgroup \"%s\": there is no such file (this kernel does "
			       "not have it, or "
			       "the controller \"%s\" is not enabled for the cgroup)",
			       w->value, w->file, cg->path, cgroup_controller_name(w->controller));
	r = cgroup_fail(e, is_cpuset && sys == EACCES ? EINVAL : sys, "write \"%s\" to %s of cgroup \"%s\"",
			w->value, w->file, cg->path);
	/* What an errno means for files whose rule can be named. */
	if (is_cpuset &&
	    (sys == EACCES || sys == EINVAL || sys == ERANGE || sys == ENOSPC || sys == ENODEV)) {
		err_hint(e, "the set must be within the parent's, and not empty");
		return err_kind(e, ERR_INVALID);
	}
	if (sys == EINVAL || sys == ERANGE)
		return err_kind(e, ERR_INVALID);
	if (sys == EBUSY && str_starts(w->file, "memory."))
		err_hint(e, "more memory is in use than the new limit allows, and it cannot be reclaimed");
	return r;
}

static int write_plan(const struct cgroup *cg, const struct cgroup_plan *plan, struct error *e)
{
	size_t later[8], later_count = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct cgroup_write *w = &plan->w[i];
		int dfd = cgroup_dfd(cg, w->controller);

		if (dfd >= 0 && cgroupfs_write(dfd, w->file, w->value) == 0) {
			while (plan->w[i].flags & CGROUP_WRITE_ELSE_NEXT)
				i++;
			continue;
		}
		if (dfd < 0)
			errno = ENOENT;
		if (errno == ENOENT && w->flags & (CGROUP_WRITE_ELSE_NEXT | CGROUP_WRITE_IF_EXISTS))
			continue;
		/* Without access there is a user namespace, in which no node can be made that is not allowed. */
		if (w->controller == CGROUP_DEVICES && cg->host->may_lack_access &&
		    (errno == ENOENT || errno == EPERM || errno == EACCES))
			continue;
		if (errno == EINVAL && w->flags & CGROUP_WRITE_RETRY_LAST &&
		    later_count < sizeof(later) / sizeof(*later)) {
			later[later_count++] = i;
			continue;
		}
		return write_failed(cg, w, errno, e);
	}
	for (size_t i = 0; i < later_count; i++) {
		const struct cgroup_write *w = &plan->w[later[i]];

		if (cgroupfs_write(cgroup_dfd(cg, w->controller), w->file, w->value) < 0)
			return write_failed(cg, w, errno, e);
	}
	return 0;
}

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

static int check_memory_use(const struct cgroup *cg, const struct cgroup_resources *res, struct error *e)
{
	bool v2 = cgroup_host_is_v2(cg->host, CGROUP_MEMORY);
	int dfd = cgroup_dfd(cg, CGROUP_MEMORY);
	uint64_t use;

	if (!res->memory_check_before_update || !res->has_memory_limit || res->memory_limit < 0 || dfd < 0)
		return 0;
	if (cgroupfs_read_u64(dfd, v2 ? "memory.current" : "memory.usage_in_bytes", &use) < 0)
		return cgroup_fail(e, errno, "read the memory use of cgroup \"%s\"", cg->path);
	if (use <= (uint64_t)res->memory_limit)
		return 0;
	return err_new(e, ERR_LIMIT, "memory limit %lld of cgroup \"%s\" is below its present use of %llu",
		       (long long)res->memory_limit, cg->path, (unsigned long long)use);
}

static uint32_t have_mask(const struct cgroup_host *host, bool only_v2)
{
	uint32_t mask = 0;

	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
		if (only_v2 ? cgroup_host_is_v2(host, c) : cgroup_host_has(host, c))
			mask |= 1u << c;
	return mask;
}

int cgroup_plan_new(const struct cgroup_host *host, const struct cgroup_resources *res,
		    struct cgroup_plan *ret_plan, struct error *e)
{
	const struct cgroup_now now = CGROUP_NOW_NEW;

	if (!res)
		return 0;
	return cgroup_plan_resources(res, &now, have_mask(host, false), have_mask(host, true), ret_plan, e);
}

int cgroup_apply_plan(const struct cgroup *cg, const struct cgroup_resources *res,
		      const struct cgroup_plan *plan, struct error *e)
{
	int r = write_plan(cg, plan, e);

	if (r < 0 || !plan->device_filter || cgroup_dfd_v2(cg) < 0)
		return r;
	r = cgroup_devices_attach(cgroup_dfd_v2(cg), res->devices, res->device_count, e);
	if (r == -ERR_DENIED && cg->host->may_lack_access)
		return 0;
	return r < 0 ? err_ctx(e, "cgroup \"%s\"", cg->path) : 0;
}

int cgroup_apply(struct cgroup *cg, const struct cgroup_resources *res, struct error *e)
{
	CLEANUP(cgroup_plan_done) struct cgroup_plan plan = CGROUP_PLAN_INIT;
	struct cgroup_now now;
	int r;

	if (!res)
		return 0;
	now = read_now(cg);
	r = check_memory_use(cg, res, e);
	if (r >= 0)
		r = cgroup_plan_resources(res, &now, have_mask(cg->host, false), have_mask(cg->host, true),
					  &plan, e);
	return r < 0 ? r : cgroup_apply_plan(cg, res, &plan, e);
}

int cgroup_update(struct cgroup *cg, const struct cgroup_resources *res, struct error *e)
{
	return cgroup_apply(cg, res, e);
}
