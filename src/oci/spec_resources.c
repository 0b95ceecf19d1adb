// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "oci/spec_internal.h"

/* ---- device rules ------------------------------------------------------------------------------- */

static int read_access(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct oci_device_rule *rule = (void *)((char *)dst - offsetof(struct oci_device_rule, read));
	const char *s = NULL;
	int k = read_str(r, v, &s, arg);

	if (k < 0)
		return k;
	/* runc passes over other letters, and configs live by it ("rwa"); where none is left, its rule means nothing. */
	if (*s && !strpbrk(s, "rwm"))
		return reader_fail(r, ERR_INVALID, "\"%s\" has none of the letters r, w and m", s);
	rule->read = strchr(s, 'r');
	rule->write = strchr(s, 'w');
	rule->mknod = strchr(s, 'm');
	return 0;
}

static const struct word rule_types[] = { { "a", 'a' }, { "", 'a' },  { "c", 'c' },
					  { "u", 'c' }, { "b", 'b' }, { NULL, 0 } };
static const struct words rule_type = { rule_types, sizeof(char) };
static const struct range rule_number = { -1, UINT32_MAX };
static const struct field rule_fields[] = {
	NEEDED(struct oci_device_rule, allow, "allow", read_bool, NULL),
	FIELD(struct oci_device_rule, type, "type", read_word, &rule_type),
	FIELD(struct oci_device_rule, major, "major", read_i64, &rule_number),
	FIELD(struct oci_device_rule, minor, "minor", read_i64, &rule_number),
	FIELD(struct oci_device_rule, read, "access", read_access, NULL),
	FIELDS_END,
};

/* Without access all of it is meant. */
static int check_rule(struct reader *r, void *item)
{
	struct oci_device_rule *rule = item;

	(void)r;
	if (!rule->read && !rule->write && !rule->mknod)
		rule->read = rule->write = rule->mknod = true;
	return 0;
}
static const struct oci_device_rule rule_defaults = { .type = 'a', .major = -1, .minor = -1 };
static const struct list_of rule_list = {
	.size = sizeof(struct oci_device_rule),
	.fields = rule_fields,
	.check = check_rule,
	.defaults = &rule_defaults,
};

/* ---- memory, cpu, pids -------------------------------------------------------------------------- */

static const struct range limit_range = { -1, INT64_MAX }; /* -1: unlimited */
static const struct range swappiness_range = { 0, 200 };

#define R struct oci_resources
static const struct field memory_fields[] = {
	FIELD(R, memory.limit, "limit", read_opt_i64, &limit_range),
	FIELD(R, memory.reservation, "reservation", read_opt_i64, &limit_range),
	FIELD(R, memory.swap, "swap", read_opt_i64, &limit_range),
	FIELD(R, memory.kernel, "kernel", read_opt_i64, &limit_range),
	FIELD(R, memory.kernel_tcp, "kernelTCP", read_opt_i64, &limit_range),
	FIELD(R, memory.swappiness, "swappiness", read_opt_u64, &swappiness_range),
	FIELD(R, memory.disable_oom_killer, "disableOOMKiller", read_opt_bool, NULL),
	FIELD(R, memory.use_hierarchy, "useHierarchy", read_opt_bool, NULL),
	FIELD(R, memory.check_before_update, "checkBeforeUpdate", read_opt_bool, NULL),
	FIELDS_END,
};
static const struct range idle_range = { 0, 1 };
static const struct field cpu_fields[] = {
	FIELD(R, cpu.shares, "shares", read_opt_u64, NULL),
	FIELD(R, cpu.quota, "quota", read_opt_i64, NULL),
	FIELD(R, cpu.burst, "burst", read_opt_u64, NULL),
	FIELD(R, cpu.period, "period", read_opt_u64, NULL),
	FIELD(R, cpu.realtime_runtime, "realtimeRuntime", read_opt_i64, NULL),
	FIELD(R, cpu.realtime_period, "realtimePeriod", read_opt_u64, NULL),
	FIELD(R, cpu.idle, "idle", read_opt_i64, &idle_range),
	FIELD(R, cpu.cpus, "cpus", read_cpu_list, NULL),
	FIELD(R, cpu.mems, "mems", read_cpu_list, NULL),
	FIELDS_END,
};
static const struct field pids_fields[] = {
	FIELD(R, pids_limit, "limit", read_opt_i64, NULL),
	FIELDS_END,
};

/* ---- block I/O ---------------------------------------------------------------------------------- */

static const struct range number_range = { 0, UINT32_MAX };
static const struct range weight_range = { 0, 1000 };
static const struct field weight_fields[] = {
	NEEDED(struct oci_block_weight, major, "major", read_i64, &number_range),
	NEEDED(struct oci_block_weight, minor, "minor", read_i64, &number_range),
	FIELD(struct oci_block_weight, weight, "weight", read_opt_u32, &weight_range),
	FIELD(struct oci_block_weight, leaf_weight, "leafWeight", read_opt_u32, &weight_range),
	FIELDS_END,
};
static const struct list_of weight_list = { .size = sizeof(struct oci_block_weight),
					    .fields = weight_fields };
static const struct field rate_fields[] = {
	NEEDED(struct oci_block_rate, major, "major", read_i64, &number_range),
	NEEDED(struct oci_block_rate, minor, "minor", read_i64, &number_range),
	NEEDED(struct oci_block_rate, rate, "rate", read_u64, NULL),
	FIELDS_END,
};
static const struct list_of rate_list = { .size = sizeof(struct oci_block_rate), .fields = rate_fields };
static const struct field block_fields[] = {
	FIELD(R, block_io.weight, "weight", read_opt_u32, &weight_range),
	FIELD(R, block_io.leaf_weight, "leafWeight", read_opt_u32, &weight_range),
	FIELD(R, block_io.weight_device, "weightDevice", read_list, &weight_list),
	FIELD(R, block_io.read_bps, "throttleReadBpsDevice", read_list, &rate_list),
	FIELD(R, block_io.write_bps, "throttleWriteBpsDevice", read_list, &rate_list),
	FIELD(R, block_io.read_iops, "throttleReadIOPSDevice", read_list, &rate_list),
	FIELD(R, block_io.write_iops, "throttleWriteIOPSDevice", read_list, &rate_list),
	FIELDS_END,
};

/* ---- network, huge pages, rdma, unified --------------------------------------------------------- */

static const struct field priority_fields[] = {
	NEEDED(struct oci_net_priority, name, "name", read_name, NULL),
	NEEDED(struct oci_net_priority, priority, "priority", read_u32, NULL),
	FIELDS_END,
};
static const struct list_of priority_list = { .size = sizeof(struct oci_net_priority),
					      .fields = priority_fields };
static const struct field network_fields[] = {
	FIELD(R, net_class_id, "classID", read_opt_u32, NULL),
	FIELD(R, net_priorities, "priorities", read_list, &priority_list),
	FIELDS_END,
};

/* Parts of struct oci_resources without a tag: their rows count from the resources themselves. */
struct part {
	const struct field *fields;
	size_t offset;
};
static int read_part(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct part *part = arg;

	return reader_fields(r, v, part->fields, (char *)dst - part->offset);
}
static const struct part memory_part = { memory_fields, offsetof(R, memory) };
static const struct part cpu_part = { cpu_fields, offsetof(R, cpu) };
static const struct part pids_part = { pids_fields, offsetof(R, pids_limit) };
static const struct part block_part = { block_fields, offsetof(R, block_io) };
static const struct part network_part = { network_fields, offsetof(R, net_class_id) };

/* The name becomes part of a file name: "<digits>[KMG]B". */
static int check_hugepage(struct reader *r, void *item)
{
	const struct oci_hugepage_limit *h = item;
	size_t n = strspn(h->page_size, "0123456789");

	if (n == 0 || n > 12 || !strchr("KMG", h->page_size[n]) || !h->page_size[n] ||
	    strcmp(h->page_size + n + 1, "B") != 0)
		return reader_fail_at(r, "pageSize", ERR_INVALID, "\"%s\" is not a size like \"2MB\"",
				      h->page_size);
	return 0;
}
static const struct field hugepage_fields[] = {
	NEEDED(struct oci_hugepage_limit, page_size, "pageSize", read_name, NULL),
	NEEDED(struct oci_hugepage_limit, limit, "limit", read_u64, NULL),
	FIELDS_END,
};
static const struct list_of hugepage_list = { .size = sizeof(struct oci_hugepage_limit),
					      .fields = hugepage_fields,
					      .check = check_hugepage };

static const struct field rdma_fields[] = {
	FIELD(struct oci_rdma_limit, handles, "hcaHandles", read_opt_u32, NULL),
	FIELD(struct oci_rdma_limit, objects, "hcaObjects", read_opt_u32, NULL),
	FIELDS_END,
};
static const struct list_of rdma_map = {
	.size = sizeof(struct oci_rdma_limit),
	.fields = rdma_fields,
	.key_offset = offsetof(struct oci_rdma_limit, name),
};

/* "a cgroup v2 file name": a '/' would write somewhere else. */
static int read_unified(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct oci_kvs *kvs = dst;
	int k = read_kvs(r, v, dst, arg);

	for (size_t i = 0; k == 0 && i < kvs->n; i++) {
		const char *key = kvs->v[i].key;

		if (strchr(key, '/') || !strchr(key, '.') || *key == '.')
			return reader_fail_at(r, key, ERR_INVALID, "is not the name of a cgroup v2 file");
	}
	return k;
}

static const struct field resources_fields[] = {
	FIELD(R, devices, "devices", read_list, &rule_list),
	FIELD(R, memory, "memory", read_part, &memory_part),
	FIELD(R, cpu, "cpu", read_part, &cpu_part),
	FIELD(R, pids_limit, "pids", read_part, &pids_part),
	FIELD(R, block_io, "blockIO", read_part, &block_part),
	FIELD(R, hugepage_limits, "hugepageLimits", read_list, &hugepage_list),
	FIELD(R, net_class_id, "network", read_part, &network_part),
	FIELD(R, rdma, "rdma", read_map, &rdma_map),
	FIELD(R, unified, "unified", read_unified, NULL),
	FIELDS_END,
};
const struct object_of oci_resources_object = { .fields = resources_fields };
