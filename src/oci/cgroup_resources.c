/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/cgroup_resources.h"

#include <stddef.h>

#include "base/mem.h"
#include "base/str.h"

/* One block: the struct, then its arrays, each aligned alike. */
struct cgroup_lists {
	max_align_t start[1];
};

/* Rates come as four lists of the same shape. */
static size_t blkio_count(const struct oci_resources *r)
{
	return 2 * r->block_io.weight_device.n + r->block_io.read_bps.n + r->block_io.write_bps.n +
	       r->block_io.read_iops.n + r->block_io.write_iops.n;
}

static struct cgroup_blkio *add_rates(struct cgroup_blkio *at, enum cgroup_blkio_kind kind,
				      const struct oci_block_rate *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*at++ = (struct cgroup_blkio){ kind, (uint32_t)v[i].major, (uint32_t)v[i].minor, v[i].rate };
	return at;
}

/* Returns how many there are. */
static size_t fill_blkio(const struct oci_resources *r, struct cgroup_blkio *start)
{
	struct cgroup_blkio *at = start;

	for (size_t i = 0; i < r->block_io.weight_device.n; i++) {
		const struct oci_block_weight *w = &r->block_io.weight_device.v[i];
		uint32_t major = (uint32_t)w->major, minor = (uint32_t)w->minor;

		if (w->weight.is_set && w->weight.v)
			*at++ = (struct cgroup_blkio){ BLKIO_WEIGHT, major, minor, w->weight.v };
		if (w->leaf_weight.is_set && w->leaf_weight.v)
			*at++ = (struct cgroup_blkio){ BLKIO_LEAF_WEIGHT, major, minor, w->leaf_weight.v };
	}
	at = add_rates(at, BLKIO_READ_BPS, r->block_io.read_bps.v, r->block_io.read_bps.n);
	at = add_rates(at, BLKIO_WRITE_BPS, r->block_io.write_bps.v, r->block_io.write_bps.n);
	at = add_rates(at, BLKIO_READ_IOPS, r->block_io.read_iops.v, r->block_io.read_iops.n);
	at = add_rates(at, BLKIO_WRITE_IOPS, r->block_io.write_iops.v, r->block_io.write_iops.n);
	return (size_t)(at - start);
}

/* What every container may use, whatever the rules before say (OCI "Default Devices"; runc appends the like): nodes
 * may be made (only /dev's own can be opened), the default devices and terminals work. */
static const struct cgroup_device default_rules[] = {
	{ true, 'c', "m", -1, -1 },    { true, 'b', "m", -1, -1 }, { true, 'c', "rwm", 1, 3 },
	{ true, 'c', "rwm", 1, 5 },    { true, 'c', "rwm", 1, 7 }, { true, 'c', "rwm", 1, 8 },
	{ true, 'c', "rwm", 1, 9 },    { true, 'c', "rwm", 5, 0 }, { true, 'c', "rwm", 5, 2 },
	{ true, 'c', "rwm", 136, -1 },
};

static bool has_rule(const struct cgroup_device *list, size_t n, const struct cgroup_device *rule)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		/* A denial behind it takes it back. */
		if (!list[i].allow)
			found = false;
		else if (list[i].type == rule->type && list[i].major == rule->major &&
			 list[i].minor == rule->minor && str_eq(list[i].access, rule->access))
			found = true;
	}
	return found;
}

/* Behind the n rules of the spec. Returns how many there are then. */
static size_t add_default_rules(struct cgroup_device *list, size_t n)
{
	size_t all = n;

	for (size_t i = 0; i < ARRAY_LEN(default_rules); i++)
		if (!has_rule(list, n, &default_rules[i]))
			list[all++] = default_rules[i];
	return all;
}

static void fill_device(const struct oci_device_rule *rule, struct cgroup_device *d)
{
	char *access = d->access;

	*d = (struct cgroup_device){
		.allow = rule->allow,
		.type = rule->type,
		.major = rule->major,
		.minor = rule->minor,
	};
	if (rule->read)
		*access++ = 'r';
	if (rule->write)
		*access++ = 'w';
	if (rule->mknod)
		*access++ = 'm';
}

static void fill_numbers(const struct oci_resources *r, struct cgroup_resources *c)
{
	c->has_memory_limit = r->memory.limit.is_set;
	c->memory_limit = r->memory.limit.v;
	c->has_memory_reservation = r->memory.reservation.is_set;
	c->memory_reservation = r->memory.reservation.v;
	c->has_memory_swap = r->memory.swap.is_set;
	c->memory_swap = r->memory.swap.v;
	c->has_memory_swappiness = r->memory.swappiness.is_set;
	c->memory_swappiness = r->memory.swappiness.v;
	c->has_oom_kill_disable = r->memory.disable_oom_killer.is_set;
	c->oom_kill_disable = r->memory.disable_oom_killer.v;
	c->memory_check_before_update = r->memory.check_before_update.is_set &&
					r->memory.check_before_update.v;
	c->has_cpu_shares = r->cpu.shares.is_set;
	c->cpu_shares = r->cpu.shares.v;
	c->has_cpu_quota = r->cpu.quota.is_set;
	c->cpu_quota = r->cpu.quota.v;
	c->has_cpu_period = r->cpu.period.is_set;
	c->cpu_period = r->cpu.period.v;
	c->has_cpu_burst = r->cpu.burst.is_set;
	c->cpu_burst = r->cpu.burst.v;
	c->has_cpu_idle = r->cpu.idle.is_set;
	c->cpu_idle = r->cpu.idle.v;
	c->has_cpu_rt_runtime = r->cpu.realtime_runtime.is_set;
	c->cpu_rt_runtime = r->cpu.realtime_runtime.v;
	c->has_cpu_rt_period = r->cpu.realtime_period.is_set;
	c->cpu_rt_period = r->cpu.realtime_period.v;
	c->cpuset_cpus = r->cpu.cpus;
	c->cpuset_mems = r->cpu.mems;
	c->has_pids_limit = r->pids_limit.is_set;
	c->pids_limit = r->pids_limit.v;
	c->has_blkio_weight = r->block_io.weight.is_set;
	c->blkio_weight = (uint16_t)r->block_io.weight.v; /* the parser has checked the range */
	c->has_blkio_leaf_weight = r->block_io.leaf_weight.is_set;
	c->blkio_leaf_weight = (uint16_t)r->block_io.leaf_weight.v;
	c->has_net_class_id = r->net_class_id.is_set;
	c->net_class_id = r->net_class_id.v;
}

/* The arrays within the one block, widest alignment first. */
struct arrays {
	struct cgroup_blkio *blkio;
	struct cgroup_device *devices;
	struct cgroup_hugepage *hugepages;
	struct cgroup_unified *unified;
	struct cgroup_rdma *rdma;
	struct cgroup_net_priority *priorities;
	struct cgroup_unit_property *properties;
};

static struct cgroup_lists *allocate(const struct oci_resources *r, size_t properties, struct arrays *a)
{
	size_t blkio = blkio_count(r), devices = r->devices.n + ARRAY_LEN(default_rules);
	struct cgroup_lists *block =
		mem_zalloc(blkio * sizeof(*a->blkio) + devices * sizeof(*a->devices) +
			   r->hugepage_limits.n * sizeof(*a->hugepages) + r->unified.n * sizeof(*a->unified) +
			   r->rdma.n * sizeof(*a->rdma) + r->net_priorities.n * sizeof(*a->priorities) +
			   properties * sizeof(*a->properties) + sizeof(*block));

	a->blkio = (struct cgroup_blkio *)(void *)block;
	a->devices = (struct cgroup_device *)(void *)(a->blkio + blkio);
	a->hugepages = (struct cgroup_hugepage *)(void *)(a->devices + devices);
	a->unified = (struct cgroup_unified *)(void *)(a->hugepages + r->hugepage_limits.n);
	a->rdma = (struct cgroup_rdma *)(void *)(a->unified + r->unified.n);
	a->priorities = (struct cgroup_net_priority *)(void *)(a->rdma + r->rdma.n);
	a->properties = (struct cgroup_unit_property *)(void *)(a->priorities + r->net_priorities.n);
	return block;
}

static void fill_lists(const struct oci_resources *r, struct arrays *a)
{
	for (size_t i = 0; i < r->devices.n; i++)
		fill_device(&r->devices.v[i], &a->devices[i]);
	for (size_t i = 0; i < r->hugepage_limits.n; i++)
		a->hugepages[i] = (struct cgroup_hugepage){ r->hugepage_limits.v[i].page_size,
							    r->hugepage_limits.v[i].limit };
	for (size_t i = 0; i < r->unified.n; i++)
		a->unified[i] = (struct cgroup_unified){ r->unified.v[i].key, r->unified.v[i].value };
	for (size_t i = 0; i < r->rdma.n; i++) {
		const struct oci_rdma_limit *l = &r->rdma.v[i];

		a->rdma[i] = (struct cgroup_rdma){ l->name, l->handles.is_set, l->objects.is_set,
						   l->handles.v, l->objects.v };
	}
	for (size_t i = 0; i < r->net_priorities.n; i++)
		a->priorities[i] = (struct cgroup_net_priority){ r->net_priorities.v[i].name,
								 r->net_priorities.v[i].priority };
}

static size_t fill_properties(const struct oci_kvs *annotations, struct cgroup_unit_property *list)
{
	size_t n = 0;

	for (size_t i = 0; annotations && i < annotations->n; i++)
		if (str_starts(annotations->v[i].key, CGROUP_UNIT_ANNOTATION))
			list[n++] = (struct cgroup_unit_property){ annotations->v[i].key,
								   annotations->v[i].value };
	return n;
}

void cgroup_resources_of(const struct oci_resources *r, const struct oci_kvs *annotations,
			 struct cgroup_resources *ret, struct cgroup_lists **ret_lists)
{
	struct arrays a;
	struct cgroup_lists *block = allocate(r, annotations ? annotations->n : 0, &a);

	fill_lists(r, &a);
	*ret = (struct cgroup_resources){
		.blkio = a.blkio,
		.blkio_count = fill_blkio(r, a.blkio),
		.devices = a.devices,
		.device_count = add_default_rules(a.devices, r->devices.n),
		.hugepages = a.hugepages,
		.hugepage_count = r->hugepage_limits.n,
		.unified = a.unified,
		.unified_count = r->unified.n,
		.rdma = a.rdma,
		.rdma_count = r->rdma.n,
		.net_priorities = a.priorities,
		.net_priority_count = r->net_priorities.n,
		.unit_properties = a.properties,
		.unit_property_count = fill_properties(annotations, a.properties),
	};
	fill_numbers(r, ret);
	*ret_lists = block;
}

const char *resources_limit(const struct oci_resources *r)
{
	const struct {
		bool is_asked;
		const char *what;
	} parts[] = {
		{ r->memory.limit.is_set || r->memory.reservation.is_set || r->memory.swap.is_set, "memory" },
		{ r->cpu.shares.is_set || r->cpu.quota.is_set || r->cpu.idle.is_set ||
			  r->cpu.realtime_runtime.is_set,
		  "cpu" },
		{ !str_is_empty(r->cpu.cpus) || !str_is_empty(r->cpu.mems), "cpuset" },
		{ r->pids_limit.is_set && r->pids_limit.v > 0, "pids" },
		{ r->block_io.weight.is_set || blkio_count(r), "blockIO" },
		{ r->hugepage_limits.n, "hugepageLimits" },
		{ r->rdma.n, "rdma" },
		{ r->unified.n, "unified" },
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i].is_asked)
			return parts[i].what;
	return NULL;
}
