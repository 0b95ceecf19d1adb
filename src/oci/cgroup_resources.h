/* SPDX-License-Identifier: Apache-2.0 */
/* The spec's resources as src/cgroup takes them. */
#ifndef HULL_OCI_CGROUP_RESOURCES_H
#define HULL_OCI_CGROUP_RESOURCES_H

#include "cgroup/cgroup.h"
#include "oci/spec.h"

/* The arrays that *ret points into: freed by the caller after use. Strings stay the spec's. */
struct cgroup_lists;
/* The device rules are those of r, and behind them what every container may use. Of annotations (NULL: none) those that
 * are properties of a scope. */
void cgroup_resources_of(const struct oci_resources *r, const struct oci_kvs *annotations,
			 struct cgroup_resources *ret, struct cgroup_lists **ret_lists);

/* What is asked to be limited, "memory" or the like; NULL: nothing, and a process outside of the container's cgroup has
 * nothing more than one inside. Device rules do not count: in a user namespace no node can be made. */
const char *resources_limit(const struct oci_resources *r);

#endif
