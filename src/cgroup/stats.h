/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: what the files of statistics say. Pure. */
#ifndef HULL_CGROUP_STATS_H
#define HULL_CGROUP_STATS_H

#include "cgroup/cgroup.h"

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123" (us) and the same with "full". */
void cgroup_parse_psi(const char *text, struct cgroup_psi *out);
/* io.stat of v2: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...", summed over devices. */
void cgroup_parse_io_v2(const char *text, struct cgroup_stats *out);
/* blkio.throttle.io_service_bytes_recursive, or io_serviced_recursive, of v1: "8:0 Read 1". */
void cgroup_parse_io_v1(const char *text, uint64_t *ret_read, uint64_t *ret_write);
/* memory.stat of either version, and the use: working set, rss, cache, faults. */
void cgroup_parse_memory(const char *text, bool is_v2, struct cgroup_stats *out);

#endif
