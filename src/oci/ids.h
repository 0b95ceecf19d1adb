/* SPDX-License-Identifier: Apache-2.0 */
/* The ids of a container's user namespace: its maps, and whether those of a process are among them. */
#ifndef HULL_OCI_IDS_H
#define HULL_OCI_IDS_H

#include "oci/spec.h"
#include "userns/idmap.h"

/* A list of the spec as a map; field ("linux.uidMappings") begins the message. Fails: INVALID, EXISTS, LIMIT. */
int ids_map(const struct oci_id_mappings *m, const char *field, struct idmap *ret, struct error *e) MUST_USE;

/* Each id that the process gets has to have one outside. Fails: INVALID, naming the id and what is mapped. */
int ids_check(const struct oci_user *u, const struct idmap *uids, const struct idmap *gids,
	      struct error *e) MUST_USE;

/* The host id of a container's root, or, where 0 is not mapped, of `instead`, the process's own, which then makes
 * what root would (process_become_root()). A NULL map maps each id to itself. Fails: NOT_FOUND. */
int ids_root(const struct idmap *map, uint32_t instead, uint32_t *ret_host_id, struct error *e) MUST_USE;

#endif
