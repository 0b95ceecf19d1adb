/* SPDX-License-Identifier: Apache-2.0 */
/* v1 keeps memory <= memory+swap at every instant, so raising writes memsw first and lowering writes it last. In v2
 * swap is a limit of its own: the difference. 0 is "not given", as in every engine that sends these fields.
 * The limits of kernel memory are ignored: the kernel has none any more (since Linux 5.16, v2 never had). */
#include "cgroup/plan_internal.h"

static uint64_t limit_of(int64_t value)
{
	return value < 0 ? CGROUP_NO_LIMIT : (uint64_t)value;
}

/* 0 is "not given". */
static bool has_limit(const struct cgroup_resources *r)
{
	return r->has_memory_limit && r->memory_limit != 0;
}

static bool has_reservation(const struct cgroup_resources *r)
{
	return r->has_memory_reservation && r->memory_reservation != 0;
}

static bool has_swap(const struct cgroup_resources *r)
{
	return r->has_memory_swap && r->memory_swap != 0;
}

/* What shall be in force afterwards; in v2 `swap` is swap alone. */
struct targets {
	uint64_t memory, swap;
	bool writes_swap;
};

static int find_targets(struct planner *p, struct targets *t)
{
	const struct cgroup_resources *r = p->res;
	bool v2 = planner_is_v2(p, CGROUP_MEMORY);

	t->memory = has_limit(r) ? limit_of(r->memory_limit) : p->now->memory_limit;
	t->swap = has_swap(r) ? limit_of(r->memory_swap) : p->now->memsw_limit;
	t->writes_swap = has_swap(r);
	/* Without any memory limit a bound of memory and swap has no meaning left. */
	if (has_limit(r) && t->memory == CGROUP_NO_LIMIT && !has_swap(r)) {
		t->swap = CGROUP_NO_LIMIT;
		t->writes_swap = true;
	}
	if (t->writes_swap && t->swap != CGROUP_NO_LIMIT && t->memory == CGROUP_NO_LIMIT) {
		/* Asked for together, memory without a bound and swap with one are a bound of swap alone. */
		if (v2 && has_limit(r))
			return 0;
		return err_new(p->e, ERR_INVALID, "memory+swap limit %lld is given without a memory limit",
			       (long long)r->memory_swap);
	}
	if (t->swap < t->memory && (t->writes_swap || !v2))
		return err_new(p->e, ERR_INVALID, "memory+swap limit %llu is below the memory limit %llu",
			       (unsigned long long)t->swap, (unsigned long long)t->memory);
	if (v2 && t->writes_swap && t->swap != CGROUP_NO_LIMIT)
		t->swap -= t->memory;
	return 0;
}

static void put_memsw(struct planner *p, const struct targets *t)
{
	/* A host without swap accounting has no memsw file. That is no matter when no swap is wanted beyond
	 * what the memory limit bounds, or no bound at all. */
	bool may_lack = t->swap == t->memory || t->swap == CGROUP_NO_LIMIT;

	planner_put_limit(p, CGROUP_MEMORY, may_lack ? CGROUP_WRITE_IF_EXISTS : 0,
			  "memory.memsw.limit_in_bytes", t->swap == CGROUP_NO_LIMIT ? -1 : (int64_t)t->swap);
}

static void plan_memory_v1(struct planner *p, const struct targets *t)
{
	const struct cgroup_resources *r = p->res;
	bool swap_first = t->memory > p->now->memsw_limit;

	if (t->writes_swap && swap_first)
		put_memsw(p, t);
	if (has_limit(r))
		planner_put_limit(p, CGROUP_MEMORY, 0, "memory.limit_in_bytes", r->memory_limit);
	if (t->writes_swap && !swap_first)
		put_memsw(p, t);
	if (has_reservation(r))
		planner_put_limit(p, CGROUP_MEMORY, 0, "memory.soft_limit_in_bytes", r->memory_reservation);
	if (r->has_memory_swappiness)
		planner_put(p, CGROUP_MEMORY, 0, "memory.swappiness", "%llu",
			    (unsigned long long)r->memory_swappiness);
	if (r->has_oom_kill_disable)
		planner_put(p, CGROUP_MEMORY, r->oom_kill_disable ? 0 : CGROUP_WRITE_IF_EXISTS,
			    "memory.oom_control", "%d", r->oom_kill_disable ? 1 : 0);
}

static void plan_memory_v2(struct planner *p, const struct targets *t)
{
	const struct cgroup_resources *r = p->res;
	/* A kernel without swap accounting has no such file, and no swap to bound. */
	bool may_lack = t->swap == 0 || t->swap == CGROUP_NO_LIMIT;

	if (t->writes_swap)
		planner_put_limit(p, CGROUP_MEMORY, may_lack ? CGROUP_WRITE_IF_EXISTS : 0, "memory.swap.max",
				  t->swap == CGROUP_NO_LIMIT ? -1 : (int64_t)t->swap);
	if (has_limit(r))
		planner_put_limit(p, CGROUP_MEMORY, 0, "memory.max", r->memory_limit);
	if (has_reservation(r))
		planner_put_limit(p, CGROUP_MEMORY, 0, "memory.low", r->memory_reservation);
}

int plan_memory(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	bool v2 = planner_is_v2(p, CGROUP_MEMORY);
	struct targets t = { 0 };

	/* What is so anyhow needs no controller. */
	if (!has_limit(r) && !has_reservation(r) && !has_swap(r) && !r->has_memory_swappiness &&
	    !(r->has_oom_kill_disable && (r->oom_kill_disable || planner_has(p, CGROUP_MEMORY))))
		return 0;
	if (planner_need(p, CGROUP_MEMORY, "a memory limit") < 0)
		return -ERR_UNSUPPORTED;
	if (v2 && r->has_memory_swappiness)
		return err_new(
			p->e, ERR_UNSUPPORTED,
			"cgroup v2 has no swappiness of a cgroup; memory.swap.max in linux.resources.unified "
			"bounds its swap");
	if (v2 && r->has_oom_kill_disable && r->oom_kill_disable)
		return err_new(p->e, ERR_UNSUPPORTED, "cgroup v2 cannot disable the OOM killer for a cgroup");
	if (r->has_memory_swappiness && r->memory_swappiness > 100)
		return err_new(p->e, ERR_INVALID, "swappiness %llu is not in 0..100",
			       (unsigned long long)r->memory_swappiness);
	if (find_targets(p, &t) < 0)
		return -ERR_INVALID;
	(v2 ? plan_memory_v2 : plan_memory_v1)(p, &t);
	return 0;
}
