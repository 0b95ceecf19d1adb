/* SPDX-License-Identifier: Apache-2.0 */
/* Quota, period and burst bound each other (burst <= quota, and the share of a child may not pass its parent's);
 * which must come first depends on the old values, so the kernel is asked: the write that it refuses is tried
 * again at the end. So it is with the two values of the real-time scheduler, which v1 alone has. */
#include <math.h>
#include <stdio.h>

#include "cgroup/plan_internal.h"

#define CPU_SHARES_MIN 2u
#define CPU_SHARES_MAX 262144u

/* With l = log2(shares): weight = 10^((l*l + 125*l) / 612 - 7/34), the curve through (2, 1), (1024, 100) and
 * (262144, 10000). The linear one gave 39 for the default 1024 and so halved every container beside
 * processes that keep the default weight. */
uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	double l;

	if (shares <= CPU_SHARES_MIN)
		return 1;
	if (shares >= CPU_SHARES_MAX)
		return 10000;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34));
}

/* 0 is "not given" of all but burst and idle. */
static bool has_quota(const struct cgroup_resources *r)
{
	return r->has_cpu_quota && r->cpu_quota;
}

static bool has_period(const struct cgroup_resources *r)
{
	return r->has_cpu_period && r->cpu_period;
}

static bool has_realtime(const struct cgroup_resources *r)
{
	return (r->has_cpu_rt_period && r->cpu_rt_period) || (r->has_cpu_rt_runtime && r->cpu_rt_runtime);
}

/* The kernel refuses a weight while the cgroup is idle. */
static bool has_shares(const struct cgroup_resources *r)
{
	return r->has_cpu_shares && r->cpu_shares && !(r->has_cpu_idle && r->cpu_idle);
}

static void plan_cpu_v1(struct planner *p)
{
	const struct cgroup_resources *r = p->res;

	if (has_period(r))
		planner_put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.cfs_period_us", "%llu",
			    (unsigned long long)r->cpu_period);
	if (has_quota(r))
		planner_put_limit(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.cfs_quota_us",
				  r->cpu_quota < 0 ? -1 : r->cpu_quota);
	if (r->has_cpu_burst)
		planner_put(p, CGROUP_CPU,
			    CGROUP_WRITE_RETRY_LAST | (r->cpu_burst ? 0 : CGROUP_WRITE_IF_EXISTS),
			    "cpu.cfs_burst_us", "%llu", (unsigned long long)r->cpu_burst);
	if (r->has_cpu_idle)
		planner_put(p, CGROUP_CPU, r->cpu_idle ? 0 : CGROUP_WRITE_IF_EXISTS, "cpu.idle", "%lld",
			    (long long)r->cpu_idle);
	if (has_shares(r))
		planner_put(p, CGROUP_CPU, 0, "cpu.shares", "%llu", (unsigned long long)r->cpu_shares);
	if (r->has_cpu_rt_period && r->cpu_rt_period)
		planner_put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.rt_period_us", "%llu",
			    (unsigned long long)r->cpu_rt_period);
	if (r->has_cpu_rt_runtime && r->cpu_rt_runtime)
		planner_put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.rt_runtime_us", "%lld",
			    (long long)r->cpu_rt_runtime);
}

static void plan_cpu_v2(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	int64_t quota = has_quota(r) ? r->cpu_quota : p->now->cpu_quota;
	char max[32] = "max";

	if (quota > 0)
		snprintf(max, sizeof(max), "%lld", (long long)quota);
	/* cpu.max takes a quota alone, but no period alone. */
	if (has_period(r))
		planner_put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.max", "%s %llu", max,
			    (unsigned long long)r->cpu_period);
	else if (has_quota(r))
		planner_put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.max", "%s", max);
	if (r->has_cpu_burst)
		planner_put(p, CGROUP_CPU,
			    CGROUP_WRITE_RETRY_LAST | (r->cpu_burst ? 0 : CGROUP_WRITE_IF_EXISTS),
			    "cpu.max.burst", "%llu", (unsigned long long)r->cpu_burst);
	if (r->has_cpu_idle)
		planner_put(p, CGROUP_CPU, r->cpu_idle ? 0 : CGROUP_WRITE_IF_EXISTS, "cpu.idle", "%lld",
			    (long long)r->cpu_idle);
	if (has_shares(r))
		planner_put(p, CGROUP_CPU, 0, "cpu.weight", "%llu",
			    (unsigned long long)cgroup_weight_of_shares(r->cpu_shares));
}

static int check_cpu(struct planner *p, bool v2)
{
	const struct cgroup_resources *r = p->res;

	if (r->has_cpu_idle && r->cpu_idle != 0 && r->cpu_idle != 1)
		return err_new(p->e, ERR_INVALID, "cpu idle %lld is neither 0 nor 1", (long long)r->cpu_idle);
	/* The kernel would take the nearest it knows, and say nothing. */
	if (!v2 && has_shares(r) && (r->cpu_shares < CPU_SHARES_MIN || r->cpu_shares > CPU_SHARES_MAX))
		return err_new(p->e, ERR_INVALID, "the %s allowed cpu shares are %u, not %llu",
			       r->cpu_shares < CPU_SHARES_MIN ? "minimum" : "maximum",
			       r->cpu_shares < CPU_SHARES_MIN ? CPU_SHARES_MIN : CPU_SHARES_MAX,
			       (unsigned long long)r->cpu_shares);
	if (has_quota(r) && r->cpu_quota > 0 && r->has_cpu_burst && r->cpu_burst > (uint64_t)r->cpu_quota)
		return err_new(p->e, ERR_INVALID, "cpu burst %llu is larger than the quota %lld",
			       (unsigned long long)r->cpu_burst, (long long)r->cpu_quota);
	if (v2 && has_realtime(r))
		return err_new(p->e, ERR_UNSUPPORTED,
			       "cgroup v2 has no limits of real-time processes (cpu realtimeRuntime and "
			       "realtimePeriod)");
	return 0;
}

int plan_cpu(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	bool v2 = planner_is_v2(p, CGROUP_CPU);
	int k;

	if (!has_shares(r) && !has_quota(r) && !has_period(r) && !has_realtime(r) && !r->has_cpu_burst &&
	    !r->has_cpu_idle)
		return 0;
	if (planner_need(p, CGROUP_CPU, "a cpu limit") < 0)
		return -ERR_UNSUPPORTED;
	k = check_cpu(p, v2);
	if (k < 0)
		return k;
	(v2 ? plan_cpu_v2 : plan_cpu_v1)(p);
	return 0;
}
