/* SPDX-License-Identifier: Apache-2.0 */
/* Inside `hull events`: the statistics of a container as runc shows them. */
#ifndef HULL_HULL_STATS_H
#define HULL_HULL_STATS_H

#include "cgroup/cgroup.h"
#include "codec/json.h"
#include "oci/intel_rdt.h"

/* Where they come from. */
struct stats_source {
	const struct cgroup *cg;
	int rdt_dfd;	      /* resctrl, when the container has a group of it; else -1 */
	struct intel_rdt rdt; /* its groups */
};
/* {"cpu": ..., "cpuset": ..., "memory": ..., "pids": ..., "blkio": ..., "hugetlb": ..., "intel_rdt": ...,
 * "network_interfaces": null} as runc's types.Stats; what this host does not count is 0 or left out, as there. The
 * caller owns the result. */
struct json_object *stats_json(const struct stats_source *s) MUST_USE;

/* Parts of it. */
#define STATS_TEXT_SIZE 65536
struct stats_reader {
	const struct cgroup *cg;
	char *text; /* STATS_TEXT_SIZE bytes: what was read last */
};
/* Read a file into r->text; false when it is not there. */
bool stats_read(struct stats_reader *r, enum cgroup_controller c, const char *file);
/* One number; 0 when it is not there. "max" is UINT64_MAX. */
uint64_t stats_number(struct stats_reader *r, enum cgroup_controller c, const char *file);
/* Go's omitempty: 0 is left out. */
void stats_put(struct json_object *o, const char *key, uint64_t n);
void stats_put_psi(struct stats_reader *r, struct json_object *o, const char *file);

void stats_add_blkio(struct stats_reader *r, struct json_object *data);
void stats_add_hugetlb(struct stats_reader *r, struct json_object *data);
/* "intel_rdt": what the resctrl at root_dfd (-1: none) says of the groups of p. */
void stats_add_rdt(int root_dfd, const struct intel_rdt *p, struct json_object *data);

/* Pure: lists of entries from the text of a file of v1's blkio, "8:0 Read 4096"; NULL when it has none. */
struct json_object *stats_blkio_v1(const char *text) MUST_USE;
/* Pure: "0-2,5" as [0,1,2,5]. */
struct json_object *stats_cpu_list(const char *text) MUST_USE;

#endif
