/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: names of cgroups. Pure. */
#ifndef HULL_CGROUP_PATH_H
#define HULL_CGROUP_PATH_H

#include "cgroup/cgroup.h"

/* Absolute, without "." and "..", no control byte; "/" alone is refused. Fails: INVALID. */
int cgroup_path_check(const char *path, struct error *e) MUST_USE;

/* systemd.slice(5): "a-b.slice" lies in "/a.slice/a-b.slice"; "-.slice" is "". Fails: INVALID. */
int cgroup_slice_expand(const char *slice, char ret_path[CGROUP_PATH_MAX], struct error *e) MUST_USE;

/* "slice:prefix:name". An empty slice is system.slice (runc's rule); an empty prefix gives a slice unit
 * when name ends so, otherwise a scope called name. */
struct cgroup_unit_name {
	char slice[256];
	char unit[256]; /* "hull-x.scope" */
};
bool cgroup_path_is_unit(const char *path);
int cgroup_unit_parse(const char *path, struct cgroup_unit_name *ret, struct error *e) MUST_USE;

#endif
