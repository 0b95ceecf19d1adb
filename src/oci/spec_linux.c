// SPDX-License-Identifier: Apache-2.0
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>

#include "base/path.h"
#include "oci/spec_internal.h"
#include "sys/numlist.h"

/* ---- namespaces and ids ------------------------------------------------------------------------- */

/* clang-format off */
struct raw_namespace { uint32_t kind; const char *path; };
static const struct word ns_words[] = {
	{ "user", OCI_NS_USER },   { "mount", OCI_NS_MOUNT },	{ "pid", OCI_NS_PID },
	{ "network", OCI_NS_NETWORK }, { "ipc", OCI_NS_IPC },	{ "uts", OCI_NS_UTS },
	{ "cgroup", OCI_NS_CGROUP }, { "time", OCI_NS_TIME },
	{ NULL, 0 },
};
static const struct words ns_type = { ns_words, sizeof(uint32_t) };
static const struct field ns_fields[] = {
	NEEDED(struct raw_namespace, kind, "type", read_word, &ns_type),
	FIELD(struct raw_namespace, path, "path", read_str, NULL),
	FIELDS_END,
};
static const struct list_of ns_list = { .size = sizeof(struct raw_namespace), .fields = ns_fields };
/* clang-format on */

/* "The runtime MUST generate an error if there are duplicated namespaces with same type." */
static int read_namespaces(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	OCI_LIST(struct raw_namespace) raw = { 0 };
	struct oci_namespace *set = dst;
	int k = read_list(r, v, &raw, &ns_list);

	(void)arg;
	for (size_t i = 0; k == 0 && i < raw.n; i++) {
		const struct raw_namespace *n = &raw.v[i];
		const char *path = n->path && *n->path ? n->path : NULL; /* "" is what Go writes for none */

		if (set[n->kind].is_set)
			return reader_fail(r, ERR_INVALID, "\"%s\" is there twice",
					   oci_ns_info[n->kind].name);
		if (path && *path != '/')
			return reader_fail(r, ERR_INVALID, "the path of \"%s\", \"%s\", is not absolute",
					   oci_ns_info[n->kind].name, path);
		set[n->kind] = (struct oci_namespace){ true, path };
	}
	return k;
}

static const struct range size_range = { 1, UINT32_MAX };
static int check_id_mapping(struct reader *r, void *item)
{
	const struct oci_id_mapping *m = item;

	if ((uint64_t)m->container_id + m->size > UINT32_MAX || (uint64_t)m->host_id + m->size > UINT32_MAX)
		return reader_fail(r, ERR_INVALID, "%u ids from %u (on the host from %u) pass 4294967294",
				   m->size, m->container_id, m->host_id);
	return 0;
}

static const struct field id_mapping_fields[] = {
	NEEDED(struct oci_id_mapping, container_id, "containerID", read_id, NULL),
	NEEDED(struct oci_id_mapping, host_id, "hostID", read_id, NULL),
	NEEDED(struct oci_id_mapping, size, "size", read_u32, &size_range),
	FIELDS_END,
};
const struct list_of oci_id_mapping_list = { .size = sizeof(struct oci_id_mapping),
					     .fields = id_mapping_fields,
					     .check = check_id_mapping };

static int check_time_offset(struct reader *r, void *item)
{
	const struct oci_time_offset *t = item;

	if (t->nanosecs > 999999999)
		return reader_fail_at(r, "nanosecs", ERR_INVALID, "%u is a second or more", t->nanosecs);
	return 0;
}

static const struct field time_offset_fields[] = {
	FIELD(struct oci_time_offset, secs, "secs", read_i64, NULL),
	FIELD(struct oci_time_offset, nanosecs, "nanosecs", read_u32, NULL),
	FIELDS_END,
};
static const struct list_of time_offset_map = {
	.size = sizeof(struct oci_time_offset),
	.fields = time_offset_fields,
	.check = check_time_offset,
	.key_offset = offsetof(struct oci_time_offset, clock),
};

/* ---- devices ------------------------------------------------------------------------------------ */

static const struct word device_types[] = {
	{ "c", 'c' }, { "u", 'c' }, { "b", 'b' }, { "p", 'p' }, { NULL, 0 }
};
static const struct words device_type = { device_types, sizeof(char) };
static const struct range number_range = { 0, UINT32_MAX };
static const struct range mode_range = { 0, 07777 };

static int check_device(struct reader *r, void *item)
{
	struct oci_device *d = item;
	cleanup_free char *clean = path_clean(d->path);

	if (strcmp(clean, "/") == 0)
		return reader_fail_at(r, "path", ERR_INVALID, "\"%s\" is the root", d->path);
	d->path = arena_str(r->arena, clean);
	if (d->type != 'p' && (d->major < 0 || d->minor < 0))
		return reader_fail_at(r, d->major < 0 ? "major" : "minor", ERR_INVALID,
				      "is missing: \"%s\" is a device", d->path);
	if (d->type == 'p')
		d->major = d->minor = 0;
	return 0;
}

static int read_file_mode(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct oci_opt_u32 *mode = dst;
	int k = read_opt_u32(r, v, dst, NULL);

	(void)arg;
	/* Go's os.FileMode has bits of its own above the permissions, for the type. */
	mode->v &= (uint32_t)mode_range.max;
	return k;
}

static const struct oci_device device_defaults = { .major = -1, .minor = -1 };
static const struct field device_fields[] = {
	NEEDED(struct oci_device, type, "type", read_word, &device_type),
	NEEDED(struct oci_device, path, "path", read_abs_path, NULL),
	FIELD(struct oci_device, major, "major", read_i64, &number_range),
	FIELD(struct oci_device, minor, "minor", read_i64, &number_range),
	FIELD(struct oci_device, file_mode, "fileMode", read_file_mode, NULL),
	FIELD(struct oci_device, uid, "uid", read_opt_id, NULL),
	FIELD(struct oci_device, gid, "gid", read_opt_id, NULL),
	FIELDS_END,
};
static const struct list_of device_list = {
	.size = sizeof(struct oci_device),
	.fields = device_fields,
	.check = check_device,
	.defaults = &device_defaults,
};

static const struct field net_device_fields[] = {
	FIELD(struct oci_net_device, name, "name", read_str, NULL),
	FIELDS_END,
};
static const struct list_of net_device_map = {
	.size = sizeof(struct oci_net_device),
	.fields = net_device_fields,
	.key_offset = offsetof(struct oci_net_device, host_name),
};

/* ---- the rest ----------------------------------------------------------------------------------- */

/* clang-format off */
static const struct word propagation_words[] = {
	{ "private", MS_PRIVATE },	{ "rprivate", MS_PRIVATE | MS_REC },
	{ "slave", MS_SLAVE },		{ "rslave", MS_SLAVE | MS_REC },
	{ "shared", MS_SHARED },	{ "rshared", MS_SHARED | MS_REC },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
	{ "", 0 },
	{ NULL, 0 },
};
const struct words oci_propagation_words = { propagation_words, sizeof(unsigned long) };
/* clang-format on */

static const struct word personality_words[] = { { "LINUX", PER_LINUX },
						 { "LINUX32", PER_LINUX32 },
						 { NULL, 0 } };
static const struct words personality_domain = { personality_words, sizeof(unsigned long) };
#define PERSONALITY_OFFSET offsetof(struct oci_linux, personality)
static const struct field personality_fields[] = {
	NEEDED(struct oci_linux, personality.domain, "domain", read_word, &personality_domain),
	FIELD(struct oci_linux, personality.is_set, "domain", read_present, NULL),
	FIELDS_END,
};

static int read_personality(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct json_object *flags = NULL;

	(void)arg;
	/* "no flag values are supported at this time" */
	if (json_object_is_type(v, json_type_object) && json_object_object_get_ex(v, "flags", &flags) &&
	    json_object_is_type(flags, json_type_array) && json_object_array_length(flags) > 0)
		return reader_fail_at(r, "flags", ERR_UNSUPPORTED, "no flags are defined");
	return reader_fields(r, v, personality_fields, (char *)dst - PERSONALITY_OFFSET);
}

static const struct field rdt_fields[] = {
	FIELD(struct oci_intel_rdt, clos_id, "closID", read_str, NULL),
	FIELD(struct oci_intel_rdt, l3_cache_schema, "l3CacheSchema", read_str, NULL),
	FIELD(struct oci_intel_rdt, mem_bw_schema, "memBwSchema", read_str, NULL),
	FIELD(struct oci_intel_rdt, schemata, "schemata", read_strs, NULL),
	FIELD(struct oci_intel_rdt, enable_monitoring, "enableMonitoring", read_bool, NULL),
	FIELDS_END,
};
static const struct object_of rdt_object = { .size = sizeof(struct oci_intel_rdt),
					     .fields = rdt_fields,
					     .is_pointer = true };

/* Since Linux 6.9; Debian 12's headers do not have it. */
#define WEIGHTED_INTERLEAVE 6
/* clang-format off */
const struct word oci_mempolicy_modes[] = {
	{ "MPOL_DEFAULT", MPOL_DEFAULT },	{ "MPOL_BIND", MPOL_BIND },
	{ "MPOL_INTERLEAVE", MPOL_INTERLEAVE }, { "MPOL_WEIGHTED_INTERLEAVE", WEIGHTED_INTERLEAVE },
	{ "MPOL_PREFERRED", MPOL_PREFERRED },	{ "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
	{ "MPOL_LOCAL", MPOL_LOCAL },
	{ NULL, 0 },
};
const struct word oci_mempolicy_flags[] = {
	{ "MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING },
	{ "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
	{ "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
	{ NULL, 0 },
};
/* clang-format on */
static const struct words memory_policy_mode = { oci_mempolicy_modes, sizeof(int) };
static const struct words memory_policy_flag = { oci_mempolicy_flags, sizeof(int) };

/* What set_mempolicy(2) says of its arguments. */
static int check_memory_policy(struct reader *r, void *base)
{
	const struct oci_memory_policy *p = base;
	bool takes_none = p->mode == MPOL_DEFAULT || p->mode == MPOL_LOCAL;
	struct numlist nodes = { 0 };
	int k = p->nodes ? numlist_parse(p->nodes, &nodes, r->e) : 0;

	if (k < 0) {
		err_ctx(r->e, "nodes");
		return reader_ctx(r);
	}
	if (takes_none && nodes.count)
		return reader_fail_at(r, "nodes", ERR_INVALID, "the mode takes no nodes");
	if (!takes_none && p->mode != MPOL_PREFERRED && !nodes.count)
		return reader_fail_at(r, "nodes", ERR_INVALID, "the mode needs at least one node");
	if ((p->flags & MPOL_F_STATIC_NODES) && (p->flags & MPOL_F_RELATIVE_NODES))
		return reader_fail_at(r, "flags", ERR_INVALID,
				      "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
	if (takes_none && p->flags)
		return reader_fail_at(r, "flags", ERR_INVALID, "the mode takes no flags");
	return 0;
}

static const struct field memory_policy_fields[] = {
	NEEDED(struct oci_memory_policy, mode, "mode", read_word, &memory_policy_mode),
	FIELD(struct oci_memory_policy, nodes, "nodes", read_str, NULL),
	FIELD(struct oci_memory_policy, flags, "flags", read_word_flags, &memory_policy_flag),
	FIELDS_END,
};
static const struct object_of memory_policy_object = { .size = sizeof(struct oci_memory_policy),
						       .fields = memory_policy_fields,
						       .check = check_memory_policy,
						       .is_pointer = true };

static const struct field linux_fields[] = {
	FIELD(struct oci_linux, namespaces, "namespaces", read_namespaces, NULL),
	FIELD(struct oci_linux, uid_mappings, "uidMappings", read_list, &oci_id_mapping_list),
	FIELD(struct oci_linux, gid_mappings, "gidMappings", read_list, &oci_id_mapping_list),
	FIELD(struct oci_linux, time_offsets, "timeOffsets", read_map, &time_offset_map),
	FIELD(struct oci_linux, devices, "devices", read_list, &device_list),
	FIELD(struct oci_linux, net_devices, "netDevices", read_map, &net_device_map),
	FIELD(struct oci_linux, cgroups_path, "cgroupsPath", read_str, NULL),
	FIELD(struct oci_linux, has_resources, "resources", read_present, NULL),
	FIELD(struct oci_linux, resources, "resources", read_object, &oci_resources_object),
	FIELD(struct oci_linux, sysctl, "sysctl", read_kvs, NULL),
	FIELD(struct oci_linux, seccomp, "seccomp", read_seccomp, NULL),
	FIELD(struct oci_linux, rootfs_propagation, "rootfsPropagation", read_word, &oci_propagation_words),
	FIELD(struct oci_linux, masked_paths, "maskedPaths", read_abs_paths, NULL),
	FIELD(struct oci_linux, readonly_paths, "readonlyPaths", read_abs_paths, NULL),
	FIELD(struct oci_linux, mount_label, "mountLabel", read_str, NULL),
	FIELD(struct oci_linux, personality, "personality", read_personality, NULL),
	FIELD(struct oci_linux, intel_rdt, "intelRdt", read_object, &rdt_object),
	FIELD(struct oci_linux, memory_policy, "memoryPolicy", read_object, &memory_policy_object),
	FIELDS_END,
};
const struct object_of oci_linux_object = { .fields = linux_fields };
