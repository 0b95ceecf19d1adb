/* SPDX-License-Identifier: Apache-2.0 */
#include "hull/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "sys/cgroupfs.h"

#define CPU_LIST_MAX 65536 /* entries that are shown */

bool stats_read(struct stats_reader *r, enum cgroup_controller c, const char *file)
{
	return cgroup_read_file(r->cg, c, file, r->text, STATS_TEXT_SIZE) >= 0;
}

uint64_t stats_number(struct stats_reader *r, enum cgroup_controller c, const char *file)
{
	if (!stats_read(r, c, file))
		return 0;
	return str_eq(r->text, "max") ? UINT64_MAX : strtoull(r->text, NULL, 10);
}

void stats_put(struct json_object *o, const char *key, uint64_t n)
{
	if (n)
		json_put_u64(o, key, n);
}

/* ---- pressure ------------------------------------------------------------------------------------- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0": numbers of JSON as they stand. */
static void put_psi_line(struct json_object *psi, const char *line)
{
	cleanup_strv struct strv words = STRV_INIT;
	struct json_object *o;

	strv_split(&words, line, " ");
	if (words.n < 2)
		return;
	o = json_put_object(psi, words.v[0]);
	for (size_t i = 1; i < words.n; i++) {
		char *value = strchr(words.v[i], '=');

		if (!value)
			continue;
		*value++ = '\0';
		if (strchr(value, '.'))
			json_put(o, words.v[i], json_object_new_double_s(strtod(value, NULL), value));
		else
			json_put_u64(o, words.v[i], strtoull(value, NULL, 10));
	}
}

void stats_put_psi(struct stats_reader *r, struct json_object *o, const char *file)
{
	cleanup_strv struct strv lines = STRV_INIT;
	struct json_object *psi;

	if (!stats_read(r, CGROUP_CONTROLLER_COUNT, file))
		return;
	strv_split(&lines, r->text, "\n");
	if (!lines.n)
		return;
	psi = json_put_object(o, "psi");
	for (size_t i = 0; i < lines.n; i++)
		put_psi_line(psi, lines.v[i]);
}

/* ---- cpu ------------------------------------------------------------------------------------------- */

static void put_numbers(struct json_object *o, const char *key, const char *text)
{
	cleanup_strv struct strv words = STRV_INIT;
	struct json_object *list;

	strv_split(&words, text, " \n");
	if (!words.n)
		return;
	list = json_put_array(o, key);
	for (size_t i = 0; i < words.n; i++)
		json_push(list, json_object_new_uint64(strtoull(words.v[i], NULL, 10)));
}

/* cpuacct.usage_all: "cpu user system", then a line a cpu. */
static void put_cpu_modes(struct json_object *usage, const char *text)
{
	cleanup_strv struct strv lines = STRV_INIT;
	struct json_object *kernel, *user;

	strv_split(&lines, text, "\n");
	if (lines.n < 2)
		return;
	kernel = json_put_array(usage, "percpu_kernel");
	user = json_put_array(usage, "percpu_user");
	for (size_t i = 1; i < lines.n; i++) {
		unsigned long long cpu = 0, u = 0, k = 0;

		if (sscanf(lines.v[i], "%llu %llu %llu", &cpu, &u, &k) != 3)
			continue;
		json_push(user, json_object_new_uint64(u));
		json_push(kernel, json_object_new_uint64(k));
	}
}

static void add_usage_v1(struct stats_reader *r, struct json_object *usage)
{
	uint64_t user = 0, system = 0;
	uint64_t tick_ns = (uint64_t)(NS_PER_S / sysconf(_SC_CLK_TCK));

	stats_put(usage, "total", stats_number(r, CGROUP_CPUACCT, "cpuacct.usage"));
	if (stats_read(r, CGROUP_CPUACCT, "cpuacct.usage_percpu"))
		put_numbers(usage, "percpu", r->text);
	if (stats_read(r, CGROUP_CPUACCT, "cpuacct.usage_all"))
		put_cpu_modes(usage, r->text);
	if (stats_read(r, CGROUP_CPUACCT, "cpuacct.stat")) {
		cgroupfs_keyed(r->text, "user", &user);
		cgroupfs_keyed(r->text, "system", &system);
	}
	json_put_u64(usage, "kernel", system * tick_ns);
	json_put_u64(usage, "user", user * tick_ns);
}

/* cpu.stat of v2 has the time with or without the controller. */
static void add_usage_v2(struct stats_reader *r, struct json_object *usage)
{
	uint64_t total = 0, user = 0, system = 0;

	if (stats_read(r, CGROUP_CONTROLLER_COUNT, "cpu.stat")) {
		cgroupfs_keyed(r->text, "usage_usec", &total);
		cgroupfs_keyed(r->text, "user_usec", &user);
		cgroupfs_keyed(r->text, "system_usec", &system);
	}
	stats_put(usage, "total", total * 1000);
	json_put_u64(usage, "kernel", system * 1000);
	json_put_u64(usage, "user", user * 1000);
}

static void add_cpu(struct stats_reader *r, struct json_object *data)
{
	struct json_object *cpu = json_put_object(data, "cpu"), *usage = json_put_object(cpu, "usage"),
			   *throttling = json_put_object(cpu, "throttling");
	uint64_t periods = 0, throttled = 0, us = 0, ns = 0;
	char probe[64];

	if (cgroup_read_file(r->cg, CGROUP_CPUACCT, "cpuacct.usage", probe, sizeof(probe)) >= 0)
		add_usage_v1(r, usage);
	else
		add_usage_v2(r, usage);
	if (stats_read(r, CGROUP_CPU, "cpu.stat")) {
		cgroupfs_keyed(r->text, "nr_periods", &periods);
		cgroupfs_keyed(r->text, "nr_throttled", &throttled);
		if (cgroupfs_keyed(r->text, "throttled_usec", &us))
			ns = us * 1000;
		else
			cgroupfs_keyed(r->text, "throttled_time", &ns);
	}
	stats_put(throttling, "periods", periods);
	stats_put(throttling, "throttledPeriods", throttled);
	stats_put(throttling, "throttledTime", ns);
	stats_put_psi(r, cpu, "cpu.pressure");
}

/* ---- cpuset ---------------------------------------------------------------------------------------- */

struct json_object *stats_cpu_list(const char *text)
{
	cleanup_strv struct strv ranges = STRV_INIT;
	struct json_object *list = json_new_array();

	strv_split(&ranges, text, ", \n");
	for (size_t i = 0; i < ranges.n; i++) {
		char *end;
		unsigned long from = strtoul(ranges.v[i], &end, 10);
		unsigned long to = *end == '-' ? strtoul(end + 1, NULL, 10) : from;

		for (; from <= to && json_object_array_length(list) < CPU_LIST_MAX; from++)
			json_push(list, json_object_new_uint64(from));
	}
	return list;
}

static void put_cpu_list(struct stats_reader *r, struct json_object *o, const char *key, const char *file)
{
	if (stats_read(r, CGROUP_CPUSET, file) && *r->text)
		json_put(o, key, stats_cpu_list(r->text));
}

static void add_cpuset(struct stats_reader *r, struct json_object *data)
{
	static const char *const flags[] = { "mem_hardwall",	   "mem_exclusive",	 "memory_migrate",
					     "memory_spread_page", "memory_spread_slab", "memory_pressure",
					     "sched_load_balance" };
	struct json_object *o = json_put_object(data, "cpuset");
	bool v2 = cgroup_has_v2_files(r->cg, CGROUP_CPUSET);
	char file[64];

	put_cpu_list(r, o, "cpus", v2 ? "cpuset.cpus.effective" : "cpuset.cpus");
	json_put_u64(o, "cpu_exclusive", stats_number(r, CGROUP_CPUSET, "cpuset.cpu_exclusive"));
	put_cpu_list(r, o, "mems", v2 ? "cpuset.mems.effective" : "cpuset.mems");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		snprintf(file, sizeof(file), "cpuset.%s", flags[i]);
		json_put_u64(o, flags[i], stats_number(r, CGROUP_CPUSET, file));
	}
	json_put_i64(o, "sched_relax_domain_level",
		     stats_read(r, CGROUP_CPUSET, "cpuset.sched_relax_domain_level") ? atol(r->text) : 0);
}

/* ---- memory ----------------------------------------------------------------------------------------- */

struct memory_entry {
	uint64_t limit, usage, max, failcnt;
};

static void put_entry(struct json_object *memory, const char *key, const struct memory_entry *m)
{
	struct json_object *o = json_put_object(memory, key);

	json_put_u64(o, "limit", m->limit);
	stats_put(o, "usage", m->usage);
	stats_put(o, "max", m->max);
	json_put_u64(o, "failcnt", m->failcnt);
}

static struct memory_entry entry_v1(struct stats_reader *r, const char *prefix)
{
	static const char *const files[] = { "limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes",
					     "failcnt" };
	uint64_t n[ARRAY_LEN(files)];
	char file[64];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(file, sizeof(file), "%s.%s", prefix, files[i]);
		n[i] = stats_number(r, CGROUP_MEMORY, file);
	}
	return (struct memory_entry){ n[0], n[1], n[2], n[3] };
}

/* v2's swap is swap alone; shown is the sum, as v1 has it. */
static void put_entries_v2(struct stats_reader *r, struct json_object *memory)
{
	const struct memory_entry none = { 0 };
	struct memory_entry m = { .limit = stats_number(r, CGROUP_MEMORY, "memory.max"),
				  .usage = stats_number(r, CGROUP_MEMORY, "memory.current"),
				  .max = stats_number(r, CGROUP_MEMORY, "memory.peak") };
	uint64_t swap = stats_number(r, CGROUP_MEMORY, "memory.swap.max");
	struct memory_entry both = { .usage = m.usage +
					      stats_number(r, CGROUP_MEMORY, "memory.swap.current") };

	both.limit = m.limit == UINT64_MAX || swap == UINT64_MAX ? UINT64_MAX : m.limit + swap;
	put_entry(memory, "usage", &m);
	put_entry(memory, "swap", &both);
	put_entry(memory, "kernel", &none);
	put_entry(memory, "kernelTCP", &none);
}

static void put_entries_v1(struct stats_reader *r, struct json_object *memory)
{
	static const struct {
		const char *key, *prefix;
	} kinds[] = { { "usage", "memory" },
		      { "swap", "memory.memsw" },
		      { "kernel", "memory.kmem" },
		      { "kernelTCP", "memory.kmem.tcp" } };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct memory_entry m = entry_v1(r, kinds[i].prefix);

		put_entry(memory, kinds[i].key, &m);
	}
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* memory.stat as a map, by key. */
static void put_raw(struct json_object *memory, const char *text)
{
	cleanup_strv struct strv lines = STRV_INIT;
	struct json_object *raw;

	strv_split(&lines, text, "\n");
	if (!lines.n)
		return;
	qsort(lines.v, lines.n, sizeof(*lines.v), compare_lines);
	raw = json_put_object(memory, "raw");
	for (size_t i = 0; i < lines.n; i++) {
		char *value = strchr(lines.v[i], ' ');

		if (!value)
			continue;
		*value++ = '\0';
		json_put_u64(raw, lines.v[i], strtoull(value, NULL, 10));
	}
}

static void add_memory(struct stats_reader *r, struct json_object *data)
{
	struct json_object *memory = json_put_object(data, "memory");
	bool v2 = cgroup_has_v2_files(r->cg, CGROUP_MEMORY);
	uint64_t cache = 0;

	if (stats_read(r, CGROUP_MEMORY, "memory.stat"))
		cgroupfs_keyed(r->text, v2 ? "file" : "cache", &cache);
	stats_put(memory, "cache", cache);
	(v2 ? put_entries_v2 : put_entries_v1)(r, memory);
	if (stats_read(r, CGROUP_MEMORY, "memory.stat"))
		put_raw(memory, r->text);
	stats_put_psi(r, memory, "memory.pressure");
}

static void add_pids(struct stats_reader *r, struct json_object *data)
{
	struct json_object *pids = json_put_object(data, "pids");
	uint64_t limit = stats_number(r, CGROUP_PIDS, "pids.max");

	stats_put(pids, "current", stats_number(r, CGROUP_PIDS, "pids.current"));
	stats_put(pids, "limit", limit == UINT64_MAX ? 0 : limit);
}

struct json_object *stats_json(const struct stats_source *s)
{
	cleanup_free char *text = mem_alloc(STATS_TEXT_SIZE);
	struct stats_reader r = { .cg = s->cg, .text = text };
	struct json_object *data = json_new();

	add_cpu(&r, data);
	add_cpuset(&r, data);
	add_memory(&r, data);
	add_pids(&r, data);
	stats_add_blkio(&r, data);
	stats_add_hugetlb(&r, data);
	stats_add_rdt(s->rdt_dfd, &s->rdt, data);
	/* runc counts the interfaces that it made itself, which a config.json cannot ask for: it says null, too. */
	json_put(data, "network_interfaces", NULL);
	return data;
}
