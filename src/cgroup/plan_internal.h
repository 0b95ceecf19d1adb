/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the plan: one file a group of controllers, which share this. */
#ifndef HULL_CGROUP_PLAN_INTERNAL_H
#define HULL_CGROUP_PLAN_INTERNAL_H

#include "base/str.h"
#include "cgroup/host.h"
#include "cgroup/plan.h"

/* Bounds of what others may send. */
#define PLAN_LIST_MAX 4096
#define PLAN_TEXT_MAX 4096

struct planner {
	const struct cgroup_resources *res;
	const struct cgroup_now *now;
	const struct cgroup_caps *caps;
	struct cgroup_plan plan;
	struct error *e;
};

static inline bool planner_is_v2(const struct planner *p, enum cgroup_controller c)
{
	return p->caps->v2 & 1u << c;
}
static inline bool planner_has(const struct planner *p, enum cgroup_controller c)
{
	return p->caps->have & 1u << c;
}

/* One more write at the end. */
void planner_put(struct planner *p, enum cgroup_controller c, uint32_t flags, const char *file,
		 const char *fmt, ...) PRINTF(5, 6);
/* A limit where a negative number is none: v1 wants -1 and v2 "max". */
void planner_put_limit(struct planner *p, enum cgroup_controller c, uint32_t flags, const char *file,
		       int64_t value);
/* Fails: UNSUPPORTED: "WHAT needs the cgroup controller ..." */
int planner_need(struct planner *p, enum cgroup_controller c, const char *what) MUST_USE;

int plan_memory(struct planner *p) MUST_USE;
int plan_cpu(struct planner *p) MUST_USE;
int plan_blkio(struct planner *p) MUST_USE;
int plan_devices(struct planner *p) MUST_USE;
int plan_unified(struct planner *p) MUST_USE;

#endif
