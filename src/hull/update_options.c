/* SPDX-License-Identifier: Apache-2.0 */
#include "hull/update.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "oci/spec.h"

#define O(field) OPTION(struct update_opts, field)
const struct option_word update_options[] = {
	{ "resources", 'r', O(resources), "FILE",
	  "read the change from a file as JSON (linux.resources), - is stdin; the limits below do not count "
	  "then" },
	{ "memory", 0, O(memory), "SIZE", "limit of memory; -1 is none" },
	{ "memory-reservation", 0, O(memory_reservation), "SIZE", "memory that is kept as long as possible" },
	{ "memory-swap", 0, O(memory_swap), "SIZE", "limit of memory and swap together; -1 is none" },
	{ "kernel-memory", 0, O(kernel_memory), "SIZE", "ignored: no kernel has this limit any more" },
	{ "kernel-memory-tcp", 0, O(kernel_memory_tcp), "SIZE", "ignored likewise" },
	{ "cpu-share", 0, O(cpu_share), "N", "weight beside others, 2 to 262144" },
	{ "cpu-quota", 0, O(cpu_quota), "US", "time on cpus in each period; -1 is all" },
	{ "cpu-period", 0, O(cpu_period), "US", "that period" },
	{ "cpu-burst", 0, O(cpu_burst), "US", "time that may be saved up beyond the quota" },
	{ "cpu-rt-runtime", 0, O(cpu_rt_runtime), "US", "the same for real-time processes (cgroup v1)" },
	{ "cpu-rt-period", 0, O(cpu_rt_period), "US", "and its period (cgroup v1)" },
	{ "cpu-idle", 0, O(cpu_idle), "0|1", "1: run only when no other process wants to" },
	{ "cpuset-cpus", 0, O(cpuset_cpus), "LIST", "cpus to run on: 0-3,7" },
	{ "cpuset-mems", 0, O(cpuset_mems), "LIST", "memory nodes to use" },
	{ "pids-limit", 0, O(pids_limit), "N", "limit of tasks; -1 is none" },
	{ "blkio-weight", 0, O(blkio_weight), "N", "weight of block I/O, 10 to 1000" },
	{ "l3-cache-schema", 0, O(l3_cache_schema), "SCHEMA", "share of the L3 cache (resctrl)" },
	{ "mem-bw-schema", 0, O(mem_bw_schema), "SCHEMA", "share of the memory's bandwidth (resctrl)" },
	OPTIONS_END,
};
#undef O

/* ---- values ------------------------------------------------------------------------------------- */

static int bad_size(const char *text, struct error *e)
{
	return err_new(e, ERR_INVALID, "\"%s\" is not a size like 512m, 1.5g or 1048576", text);
}

int update_size(const char *text, int64_t *ret, struct error *e)
{
	static const char letters[] = "kmgtp";
	const char *at = text + strspn(text, "0123456789");
	const char *letter;
	double value;
	char *end;

	if (str_eq(text, "-1")) {
		*ret = -1;
		return 0;
	}
	if (at == text)
		return bad_size(text, e);
	if (!*at)
		return str_to_i64(text, ret, e);
	if (*at == '.')
		at += 1 + strspn(at + 1, "0123456789");
	errno = 0;
	/* The locale is C: nobody sets another. */
	value = strtod(text, &end);
	if (end != at || errno)
		return bad_size(text, e);
	if (*at == ' ')
		at++;
	letter = *at ? strchr(letters, tolower((unsigned char)*at)) : NULL;
	if (letter) {
		value *= (double)(INT64_C(1) << (10 * (letter - letters + 1)));
		at++;
		if (tolower((unsigned char)*at) == 'i')
			at++;
	}
	if (tolower((unsigned char)*at) == 'b')
		at++;
	if (*at)
		return bad_size(text, e);
	if (value >= (double)INT64_MAX)
		return err_new(e, ERR_INVALID, "size \"%s\" is too large", text);
	*ret = (int64_t)value;
	return 0;
}

enum value_kind { VALUE_SIZE, VALUE_SIGNED, VALUE_UNSIGNED, VALUE_LIST };

struct value {
	const char *option, *text;
	enum value_kind kind;
	const char *part, *key; /* in linux.resources */
};

static struct json_object *part_of(struct json_object *o, const char *name)
{
	struct json_object *part = NULL;

	return json_object_object_get_ex(o, name, &part) ? part : json_put_object(o, name);
}

static int add_value(struct json_object *change, const struct value *v, struct error *e)
{
	struct json_object *part;
	uint64_t u = 0;
	int64_t n = 0;
	int r = 0;

	if (str_is_empty(v->text))
		return 0;
	if (v->kind == VALUE_SIZE)
		r = update_size(v->text, &n, e);
	else if (v->kind == VALUE_SIGNED)
		r = str_to_i64(v->text, &n, e);
	else if (v->kind == VALUE_UNSIGNED)
		r = str_to_u64(v->text, &u, e);
	if (r < 0)
		return err_ctx(e, "invalid value for --%s", v->option);
	part = part_of(change, v->part);
	if (v->kind == VALUE_LIST)
		json_put_str(part, v->key, v->text);
	else if (v->kind == VALUE_UNSIGNED)
		json_put_u64(part, v->key, u);
	else
		json_put_i64(part, v->key, n);
	return 0;
}

static int change_of_options(const struct update_opts *o, struct json_object *change, struct error *e)
{
	const struct value values[] = {
		{ "memory", o->memory, VALUE_SIZE, "memory", "limit" },
		{ "memory-reservation", o->memory_reservation, VALUE_SIZE, "memory", "reservation" },
		{ "memory-swap", o->memory_swap, VALUE_SIZE, "memory", "swap" },
		{ "kernel-memory", o->kernel_memory, VALUE_SIZE, "memory", "kernel" },
		{ "kernel-memory-tcp", o->kernel_memory_tcp, VALUE_SIZE, "memory", "kernelTCP" },
		{ "cpu-share", o->cpu_share, VALUE_UNSIGNED, "cpu", "shares" },
		{ "cpu-quota", o->cpu_quota, VALUE_SIGNED, "cpu", "quota" },
		{ "cpu-period", o->cpu_period, VALUE_UNSIGNED, "cpu", "period" },
		{ "cpu-burst", o->cpu_burst, VALUE_UNSIGNED, "cpu", "burst" },
		{ "cpu-rt-runtime", o->cpu_rt_runtime, VALUE_SIGNED, "cpu", "realtimeRuntime" },
		{ "cpu-rt-period", o->cpu_rt_period, VALUE_UNSIGNED, "cpu", "realtimePeriod" },
		{ "cpu-idle", o->cpu_idle, VALUE_SIGNED, "cpu", "idle" },
		{ "cpuset-cpus", o->cpuset_cpus, VALUE_LIST, "cpu", "cpus" },
		{ "cpuset-mems", o->cpuset_mems, VALUE_LIST, "cpu", "mems" },
		{ "pids-limit", o->pids_limit, VALUE_SIGNED, "pids", "limit" },
		{ "blkio-weight", o->blkio_weight, VALUE_UNSIGNED, "blockIO", "weight" },
	};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		int r = add_value(change, &values[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_change(const char *path, struct json_object **ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r;

	if (str_eq(path, "-"))
		r = fd_read_all(STDIN_FILENO, OCI_SPEC_MAX_BYTES, &text, e);
	else
		r = file_read(AT_FDCWD, path, OCI_SPEC_MAX_BYTES, &text, e);
	if (r >= 0)
		r = json_parse_object(buf_str(&text), text.len, OCI_SPEC_MAX_BYTES, ret, e);
	return r < 0 ? err_ctx(e, "resources \"%s\"", path) : 0;
}

int update_change(const struct update_opts *o, struct json_object **ret, struct error *e)
{
	cleanup_json struct json_object *change = NULL;
	int r;

	if (o->resources) {
		r = read_change(o->resources, &change, e);
	} else {
		change = json_new();
		r = change_of_options(o, change, e);
	}
	if (r < 0)
		return r;
	*ret = take_ptr(change);
	return 0;
}
