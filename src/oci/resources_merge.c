/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/resources_merge.h"

#include <string.h>

/* ---- what is not given ---------------------------------------------------------------------------- */

/* Numbers that mean nothing when they are 0 (see struct cgroup_resources). Not among them: pids.limit, cpu.idle and
 * cpu.burst, where 0 is a value. */
static const struct {
	const char *part, *key;
} zero_is_nothing[] = {
	{ "memory", "limit" },	     { "memory", "reservation" }, { "memory", "swap" },
	{ "memory", "kernel" },	     { "memory", "kernelTCP" },	  { "cpu", "shares" },
	{ "cpu", "quota" },	     { "cpu", "period" },	  { "cpu", "realtimeRuntime" },
	{ "cpu", "realtimePeriod" }, { "cpu", "cpus" },		  { "cpu", "mems" },
	{ "blockIO", "weight" },     { "blockIO", "leafWeight" },
};

static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static bool is_nothing(struct json_object *v)
{
	if (!v)
		return true;
	if (json_object_is_type(v, json_type_int))
		return json_object_get_int64(v) == 0;
	return json_object_is_type(v, json_type_string) && json_object_get_string_len(v) == 0;
}

void resources_normalize(struct json_object *change)
{
	json_object_object_del(change, "devices");
	for (size_t i = 0; i < ARRAY_LEN(zero_is_nothing); i++) {
		struct json_object *part = member(change, zero_is_nothing[i].part);

		if (part && is_nothing(member(part, zero_is_nothing[i].key)))
			json_object_object_del(part, zero_is_nothing[i].key);
	}
}

/* ---- merging ----------------------------------------------------------------------------------------- */

/* By what the entries of a list are told apart. */
struct list_keys {
	const char *list, *keys[2];
};
static const struct list_keys lists[] = {
	{ "weightDevice", { "major", "minor" } },
	{ "throttleReadBpsDevice", { "major", "minor" } },
	{ "throttleWriteBpsDevice", { "major", "minor" } },
	{ "throttleReadIOPSDevice", { "major", "minor" } },
	{ "throttleWriteIOPSDevice", { "major", "minor" } },
	{ "hugepageLimits", { "pageSize", NULL } },
	{ "priorities", { "name", NULL } },
};

static const struct list_keys *keys_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (str_eq(lists[i].list, name))
			return &lists[i];
	return NULL;
}

static bool is_same_entry(const struct list_keys *k, struct json_object *a, struct json_object *b)
{
	for (size_t i = 0; i < ARRAY_LEN(k->keys) && k->keys[i]; i++)
		if (!json_object_equal(member(a, k->keys[i]), member(b, k->keys[i])))
			return false;
	return true;
}

static void merge_entry(const struct list_keys *k, struct json_object *list, struct json_object *entry)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *old = json_object_array_get_idx(list, i);

		if (is_same_entry(k, old, entry)) {
			resources_merge(old, entry);
			return;
		}
	}
	json_push(list, json_object_get(entry));
}

void resources_merge(struct json_object *resources, struct json_object *change)
{
	json_object_object_foreach(change, key, value) {
		struct json_object *old = member(resources, key);
		const struct list_keys *k = keys_of(key);

		if (!value)
			continue;
		if (old && json_object_is_type(old, json_type_object) &&
		    json_object_is_type(value, json_type_object)) {
			resources_merge(old, value);
		} else if (old && k && json_object_is_type(old, json_type_array) &&
			   json_object_is_type(value, json_type_array)) {
			for (size_t i = 0; i < json_object_array_length(value); i++)
				merge_entry(k, old, json_object_array_get_idx(value, i));
		} else {
			struct json_object *copy = NULL;

			if (json_object_deep_copy(value, &copy, NULL) < 0)
				abort();
			json_put(resources, key, copy);
		}
	}
}

/* ---- what depends on what -------------------------------------------------------------------------- */

static void repeat(struct json_object *merged, struct json_object *change, const char *part, const char *key)
{
	struct json_object *to = member(change, part), *v = member(member(merged, part), key);

	if (to && v && !member(to, key))
		json_put(to, key, json_object_get(v));
}

struct json_object *resources_to_apply(struct json_object *merged, struct json_object *change)
{
	struct json_object *apply = NULL, *memory, *cpu, *limit;

	if (json_object_deep_copy(change, &apply, NULL) < 0)
		abort();
	memory = member(apply, "memory");
	cpu = member(apply, "cpu");
	limit = member(memory, "limit");
	/* v2 has a limit of swap alone, which is the difference. Without a limit of memory nothing is left of it. */
	if (limit && json_object_get_int64(limit) >= 0)
		repeat(merged, apply, "memory", "swap");
	if (member(memory, "swap"))
		repeat(merged, apply, "memory", "limit");
	/* One share of time, in systemd. */
	if (member(cpu, "quota"))
		repeat(merged, apply, "cpu", "period");
	if (member(cpu, "period"))
		repeat(merged, apply, "cpu", "quota");
	/* The kernel takes no weight while the cgroup is idle, and forgets it by that. */
	if (member(cpu, "shares"))
		repeat(merged, apply, "cpu", "idle");
	if (member(cpu, "idle"))
		repeat(merged, apply, "cpu", "shares");
	return apply;
}
