/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics in the terms of CRI (ContainerStats) and cAdvisor: the working set is the use without inactive
 * file pages, rss is anonymous memory, time is in ns whatever the file has. */
#include "cgroup/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "sys/cgroupfs.h"

#define TEXT_SIZE 16384
#define V1_NO_LIMIT (INT64_MAX / 2) /* v1 shows "none" as the largest page-aligned number */

/* ---- text ---------------------------------------------------------------------------------------- */

static const char *line_after(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : NULL;
}

/* The number behind "key=" before the end of the line. */
static bool assigned(const char *line, const char *key, const char **ret_value)
{
	const char *end = line + strcspn(line, "\n");
	size_t n = strlen(key);

	for (const char *at = line; (at = strstr(at, key)) && at < end; at += n)
		if ((at == line || at[-1] == ' ') && at[n] == '=') {
			*ret_value = at + n + 1;
			return true;
		}
	return false;
}

static uint64_t assigned_u64(const char *line, const char *key)
{
	const char *value;

	return assigned(line, key, &value) ? strtoull(value, NULL, 10) : 0;
}

/* "12.34" without the locale that strtod(3) asks for. */
static double assigned_fixed(const char *line, const char *key)
{
	const char *value;
	double out, unit = 0.1;
	char *end;

	if (!assigned(line, key, &value))
		return 0;
	out = (double)strtoull(value, &end, 10);
	if (*end != '.')
		return out;
	for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
		out += (*end - '0') * unit;
	return out;
}

void cgroup_parse_psi(const char *text, struct cgroup_psi *out)
{
	for (const char *line = text; line && *line; line = line_after(line)) {
		struct cgroup_psi_line *to = str_starts(line, "some ")	 ? &out->some
					     : str_starts(line, "full ") ? &out->full
									 : NULL;

		if (!to)
			continue;
		out->is_known = true;
		to->avg10 = assigned_fixed(line, "avg10");
		to->avg60 = assigned_fixed(line, "avg60");
		to->avg300 = assigned_fixed(line, "avg300");
		to->total_ns = assigned_u64(line, "total") * 1000;
	}
}

void cgroup_parse_io_v2(const char *text, struct cgroup_stats *out)
{
	for (const char *line = text; line && *line; line = line_after(line)) {
		out->io_read_bytes += assigned_u64(line, "rbytes");
		out->io_write_bytes += assigned_u64(line, "wbytes");
		out->io_reads += assigned_u64(line, "rios");
		out->io_writes += assigned_u64(line, "wios");
	}
}

void cgroup_parse_io_v1(const char *text, uint64_t *ret_read, uint64_t *ret_write)
{
	for (const char *line = text; line && *line; line = line_after(line)) {
		const char *word = line + strcspn(line, " \n");

		if (str_starts(word, " Read "))
			*ret_read += strtoull(word + 6, NULL, 10);
		else if (str_starts(word, " Write "))
			*ret_write += strtoull(word + 7, NULL, 10);
	}
}

void cgroup_parse_memory(const char *text, bool is_v2, struct cgroup_stats *out)
{
	uint64_t inactive_file = 0;

	cgroupfs_keyed(text, is_v2 ? "inactive_file" : "total_inactive_file", &inactive_file);
	cgroupfs_keyed(text, is_v2 ? "anon" : "total_rss", &out->memory_rss);
	cgroupfs_keyed(text, is_v2 ? "file" : "total_cache", &out->memory_cache);
	cgroupfs_keyed(text, is_v2 ? "pgfault" : "total_pgfault", &out->memory_faults);
	cgroupfs_keyed(text, is_v2 ? "pgmajfault" : "total_pgmajfault", &out->memory_major_faults);
	out->memory_working_set = out->memory_usage > inactive_file ? out->memory_usage - inactive_file : 0;
}

/* ---- files --------------------------------------------------------------------------------------- */

static void read_cpu(const struct cgroup *cg, char *text, struct cgroup_stats *out)
{
	bool v2 = cgroup_host_is_v2(cg->host, CGROUP_CPUACCT) || cgroup_dfd(cg, CGROUP_CPUACCT) < 0;
	int acct = v2 ? cgroup_dfd_v2(cg) : cgroup_dfd(cg, CGROUP_CPUACCT), cpu = cgroup_dfd(cg, CGROUP_CPU);
	uint64_t n;

	/* cpu.stat of v2 has the time with or without the controller. */
	if (acct >= 0 && v2 && cgroupfs_read(acct, "cpu.stat", text, TEXT_SIZE) > 0) {
		out->has_cpu = cgroupfs_keyed(text, "usage_usec", &out->cpu_usage_ns);
		cgroupfs_keyed(text, "user_usec", &out->cpu_user_ns);
		cgroupfs_keyed(text, "system_usec", &out->cpu_system_ns);
		out->cpu_usage_ns *= 1000;
		out->cpu_user_ns *= 1000;
		out->cpu_system_ns *= 1000;
	} else if (acct >= 0 && cgroupfs_read_u64(acct, "cpuacct.usage", &out->cpu_usage_ns) == 0) {
		out->has_cpu = true;
		if (cgroupfs_read_u64(acct, "cpuacct.usage_user", &n) == 0)
			out->cpu_user_ns = n;
		if (cgroupfs_read_u64(acct, "cpuacct.usage_sys", &n) == 0)
			out->cpu_system_ns = n;
	}
	if (cpu < 0 || cgroupfs_read(cpu, "cpu.stat", text, TEXT_SIZE) <= 0)
		return;
	cgroupfs_keyed(text, "nr_periods", &out->cpu_periods);
	cgroupfs_keyed(text, "nr_throttled", &out->cpu_throttled);
	if (cgroupfs_keyed(text, "throttled_usec", &n))
		out->cpu_throttled_ns = n * 1000;
	else
		cgroupfs_keyed(text, "throttled_time", &out->cpu_throttled_ns);
}

static uint64_t v1_limit(uint64_t n)
{
	return n > V1_NO_LIMIT ? CGROUP_NO_LIMIT : n;
}

static void read_swap_v1(int dfd, struct cgroup_stats *out)
{
	uint64_t use, limit;

	if (cgroupfs_read_u64(dfd, "memory.memsw.usage_in_bytes", &use) < 0 ||
	    cgroupfs_read_u64(dfd, "memory.memsw.limit_in_bytes", &limit) < 0)
		return;
	out->has_swap = true;
	out->swap_usage = use > out->memory_usage ? use - out->memory_usage : 0;
	limit = v1_limit(limit);
	if (limit == CGROUP_NO_LIMIT || out->memory_limit == CGROUP_NO_LIMIT)
		out->swap_limit = CGROUP_NO_LIMIT;
	else
		out->swap_limit = limit - out->memory_limit;
}

static void read_memory(const struct cgroup *cg, char *text, struct cgroup_stats *out)
{
	bool v2 = cgroup_host_is_v2(cg->host, CGROUP_MEMORY);
	int dfd = cgroup_dfd(cg, CGROUP_MEMORY);
	uint64_t n;

	out->memory_limit = out->swap_limit = CGROUP_NO_LIMIT;
	if (dfd < 0 ||
	    cgroupfs_read_u64(dfd, v2 ? "memory.current" : "memory.usage_in_bytes", &out->memory_usage) < 0)
		return;
	out->has_memory = true;
	if (cgroupfs_read_u64(dfd, v2 ? "memory.max" : "memory.limit_in_bytes", &n) == 0)
		out->memory_limit = v2 ? n : v1_limit(n);
	/* memory.peak came with Linux 5.19. */
	if (cgroupfs_read_u64(dfd, v2 ? "memory.peak" : "memory.max_usage_in_bytes", &n) == 0)
		out->memory_peak = n;
	if (cgroupfs_read(dfd, "memory.stat", text, TEXT_SIZE) > 0)
		cgroup_parse_memory(text, v2, out);
	if (!v2) {
		read_swap_v1(dfd, out);
	} else if (cgroupfs_read_u64(dfd, "memory.swap.current", &out->swap_usage) == 0) {
		out->has_swap = true;
		if (cgroupfs_read_u64(dfd, "memory.swap.max", &n) == 0)
			out->swap_limit = n;
	}
}

static void read_pids(const struct cgroup *cg, struct cgroup_stats *out)
{
	int dfd = cgroup_dfd(cg, CGROUP_PIDS);

	out->pids_limit = CGROUP_NO_LIMIT;
	if (dfd < 0 || cgroupfs_read_u64(dfd, "pids.current", &out->pids) < 0)
		return;
	out->has_pids = true;
	cgroupfs_read_u64(dfd, "pids.max", &out->pids_limit);
}

static void read_io(const struct cgroup *cg, char *text, struct cgroup_stats *out)
{
	int dfd = cgroup_dfd(cg, CGROUP_BLKIO);

	if (dfd < 0)
		return;
	if (cgroup_host_is_v2(cg->host, CGROUP_BLKIO)) {
		if (cgroupfs_read(dfd, "io.stat", text, TEXT_SIZE) < 0)
			return;
		cgroup_parse_io_v2(text, out);
	} else {
		if (cgroupfs_read(dfd, "blkio.throttle.io_service_bytes_recursive", text, TEXT_SIZE) < 0)
			return;
		cgroup_parse_io_v1(text, &out->io_read_bytes, &out->io_write_bytes);
		if (cgroupfs_read(dfd, "blkio.throttle.io_serviced_recursive", text, TEXT_SIZE) >= 0)
			cgroup_parse_io_v1(text, &out->io_reads, &out->io_writes);
	}
	out->has_io = true;
}

/* Every v2 cgroup has pressure files, on a hybrid host too. */
static void read_psi(const struct cgroup *cg, char *text, struct cgroup_stats *out)
{
	const struct {
		const char *file;
		struct cgroup_psi *to;
	} files[] = { { "cpu.pressure", &out->cpu_psi },
		      { "memory.pressure", &out->memory_psi },
		      { "io.pressure", &out->io_psi } };
	int dfd = cgroup_dfd_v2(cg);

	for (size_t i = 0; dfd >= 0 && i < ARRAY_LEN(files); i++)
		if (cgroupfs_read(dfd, files[i].file, text, TEXT_SIZE) > 0)
			cgroup_parse_psi(text, files[i].to);
}

int cgroup_stats(const struct cgroup *cg, struct cgroup_stats *ret, struct error *e)
{
	cleanup_free char *text = mem_alloc(TEXT_SIZE);
	struct cgroup_stats s = { .time_ns = clock_wall_ns() };

	read_cpu(cg, text, &s);
	read_memory(cg, text, &s);
	read_pids(cg, &s);
	read_io(cg, text, &s);
	read_psi(cg, text, &s);
	if (!s.has_cpu && !s.has_memory && !s.has_pids)
		return err_new(e, ERR_NOT_FOUND,
			       "cgroup \"%s\" has no statistics: it was removed, or has no controllers",
			       cg->path);
	if (cgroup_oom(cg, &s.oom, NULL) < 0)
		s.oom = (struct cgroup_oom){ 0 };
	*ret = s;
	return 0;
}
