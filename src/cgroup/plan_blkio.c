/* SPDX-License-Identifier: Apache-2.0 */
/* Block I/O. A weight is a matter of the I/O scheduler: BFQ has files of its own, and which there are is known only
 * when they are written. */
#include "cgroup/plan_internal.h"

/* io.weight is 1..10000 where blkio.weight and io.bfq.weight are 1..1000. */
static unsigned io_weight(uint64_t weight)
{
	return (unsigned)(1 + (weight - 10) * 9999 / 990);
}

static int check_weight(struct planner *p, uint64_t weight)
{
	if (weight >= 10 && weight <= 1000)
		return 0;
	return err_new(p->e, ERR_INVALID, "block I/O weight %llu is not in 10..1000",
		       (unsigned long long)weight);
}

static int leaf_weight_v2(struct planner *p)
{
	return err_new(p->e, ERR_UNSUPPORTED,
		       "cgroup v2 has no leaf weights of block I/O: processes live in leaves only");
}

static void plan_weight_device(struct planner *p, const struct cgroup_blkio *b)
{
	unsigned long long value = b->value;

	if (b->kind == BLKIO_LEAF_WEIGHT) {
		planner_put(p, CGROUP_BLKIO, 0, "blkio.leaf_weight_device", "%u:%u %llu", b->major, b->minor,
			    value);
	} else if (planner_is_v2(p, CGROUP_BLKIO)) {
		planner_put(p, CGROUP_BLKIO, CGROUP_WRITE_ELSE_NEXT, "io.bfq.weight", "%u:%u %llu", b->major,
			    b->minor, value);
		planner_put(p, CGROUP_BLKIO, 0, "io.weight", "%u:%u %u", b->major, b->minor,
			    io_weight(b->value));
	} else {
		planner_put(p, CGROUP_BLKIO, CGROUP_WRITE_ELSE_NEXT, "blkio.weight_device", "%u:%u %llu",
			    b->major, b->minor, value);
		planner_put(p, CGROUP_BLKIO, 0, "blkio.bfq.weight_device", "%u:%u %llu", b->major, b->minor,
			    value);
	}
}

static void plan_rate(struct planner *p, const struct cgroup_blkio *b)
{
	static const struct {
		const char *v1, *v2_key;
	} limits[] = {
		[BLKIO_READ_BPS] = { "blkio.throttle.read_bps_device", "rbps" },
		[BLKIO_WRITE_BPS] = { "blkio.throttle.write_bps_device", "wbps" },
		[BLKIO_READ_IOPS] = { "blkio.throttle.read_iops_device", "riops" },
		[BLKIO_WRITE_IOPS] = { "blkio.throttle.write_iops_device", "wiops" },
	};
	unsigned long long value = b->value;

	/* A rate of 0 is none. */
	if (!planner_is_v2(p, CGROUP_BLKIO))
		planner_put(p, CGROUP_BLKIO, 0, limits[b->kind].v1, "%u:%u %llu", b->major, b->minor, value);
	else if (value == 0)
		planner_put(p, CGROUP_BLKIO, 0, "io.max", "%u:%u %s=max", b->major, b->minor,
			    limits[b->kind].v2_key);
	else
		planner_put(p, CGROUP_BLKIO, 0, "io.max", "%u:%u %s=%llu", b->major, b->minor,
			    limits[b->kind].v2_key, value);
}

static int plan_device(struct planner *p, const struct cgroup_blkio *b)
{
	if ((unsigned)b->kind > BLKIO_WRITE_IOPS)
		return err_new(p->e, ERR_INVALID, "unknown kind of block I/O limit");
	if (b->kind != BLKIO_WEIGHT && b->kind != BLKIO_LEAF_WEIGHT) {
		plan_rate(p, b);
		return 0;
	}
	if (b->kind == BLKIO_LEAF_WEIGHT && planner_is_v2(p, CGROUP_BLKIO))
		return leaf_weight_v2(p);
	if (check_weight(p, b->value) < 0)
		return err_ctx(p->e, "device %u:%u", b->major, b->minor);
	plan_weight_device(p, b);
	return 0;
}

static int plan_weight(struct planner *p)
{
	const struct cgroup_resources *r = p->res;

	if (check_weight(p, r->blkio_weight) < 0)
		return -ERR_INVALID;
	if (planner_is_v2(p, CGROUP_BLKIO)) {
		planner_put(p, CGROUP_BLKIO, CGROUP_WRITE_ELSE_NEXT, "io.bfq.weight", "%u", r->blkio_weight);
		planner_put(p, CGROUP_BLKIO, 0, "io.weight", "%u", io_weight(r->blkio_weight));
	} else {
		planner_put(p, CGROUP_BLKIO, CGROUP_WRITE_ELSE_NEXT, "blkio.weight", "%u", r->blkio_weight);
		planner_put(p, CGROUP_BLKIO, 0, "blkio.bfq.weight", "%u", r->blkio_weight);
	}
	return 0;
}

static int plan_leaf_weight(struct planner *p)
{
	const struct cgroup_resources *r = p->res;

	if (planner_is_v2(p, CGROUP_BLKIO))
		return leaf_weight_v2(p);
	if (check_weight(p, r->blkio_leaf_weight) < 0)
		return -ERR_INVALID;
	/* CFQ's alone: no kernel since Linux 5.0 has it. */
	planner_put(p, CGROUP_BLKIO, 0, "blkio.leaf_weight", "%u", r->blkio_leaf_weight);
	return 0;
}

int plan_blkio(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	/* 0 is "not given", as with cpu shares. */
	bool has_weight = r->has_blkio_weight && r->blkio_weight;
	bool has_leaf_weight = r->has_blkio_leaf_weight && r->blkio_leaf_weight;
	int k = 0;

	if (!has_weight && !has_leaf_weight && r->blkio_count == 0)
		return 0;
	if (planner_need(p, CGROUP_BLKIO, "a block I/O limit") < 0)
		return -ERR_UNSUPPORTED;
	if (has_weight)
		k = plan_weight(p);
	if (k >= 0 && has_leaf_weight)
		k = plan_leaf_weight(p);
	for (size_t i = 0; k >= 0 && i < r->blkio_count; i++)
		k = plan_device(p, &r->blkio[i]);
	return k;
}
