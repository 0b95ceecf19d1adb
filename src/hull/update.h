/* SPDX-License-Identifier: Apache-2.0 */
/* Inside `hull update`: from options to the change that they ask for. */
#ifndef HULL_HULL_UPDATE_H
#define HULL_HULL_UPDATE_H

#include "codec/json.h"
#include "hull/options.h"

struct update_opts {
	const char *resources; /* a file, "-" for stdin; then the options that follow do not count */
	const char *blkio_weight;
	const char *cpu_period, *cpu_quota, *cpu_burst, *cpu_share, *cpu_rt_period, *cpu_rt_runtime,
		*cpu_idle;
	const char *cpuset_cpus, *cpuset_mems;
	const char *memory, *memory_reservation, *memory_swap, *kernel_memory, *kernel_memory_tcp;
	const char *pids_limit;
	const char *l3_cache_schema, *mem_bw_schema; /* of resctrl, and not of resources */
};
extern const struct option_word update_options[];

/* The change as linux.resources of a config.json; the caller owns *ret.
 * Fails: INVALID (names option and text), NOT_FOUND (the file), LIMIT, SYS */
int update_change(const struct update_opts *o, struct json_object **ret, struct error *e) MUST_USE;

/* "512m", "1.5G", "100 kb", "7": bytes, with steps of 1024 whatever the letters; "-1" is no limit. Fails: INVALID */
int update_size(const char *text, int64_t *ret, struct error *e) MUST_USE;

#endif
