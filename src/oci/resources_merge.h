/* SPDX-License-Identifier: Apache-2.0 */
/* A change of a container's resources (`hull update`), as JSON of config-linux.md: what it means beside those that the
 * container has. Pure; the values are checked elsewhere (oci_resources_parse()). */
#ifndef HULL_OCI_RESOURCES_MERGE_H
#define HULL_OCI_RESOURCES_MERGE_H

#include "codec/json.h"

/* Take out of a change what is not one: numbers of 0 and empty lists where those mean "not given", null, and device
 * rules, which engines send along and no runtime updates. */
void resources_normalize(struct json_object *change);

/* Lay a normalized change over resources: a value replaces the one of the same name, an entry of a list the one of the
 * same device, page size or interface; all else stays. */
void resources_merge(struct json_object *resources, struct json_object *change);

/* What the kernel has to be told for that change, when merged is what comes out: the change, and those values that stay
 * but have to be said again since another moved. The caller owns the result. */
struct json_object *resources_to_apply(struct json_object *merged, struct json_object *change) MUST_USE;

#endif
