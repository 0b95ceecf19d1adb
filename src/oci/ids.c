/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/ids.h"

int ids_map(const struct oci_id_mappings *m, const char *field, struct idmap *ret, struct error *e)
{
	for (size_t i = 0; i < m->n; i++) {
		struct idmap_extent x = { m->v[i].container_id, m->v[i].host_id, m->v[i].size };
		int r = idmap_add(ret, x, e);

		if (r < 0)
			return err_ctx(e, "%s[%zu]", field, i);
	}
	return 0;
}

static int check_id(const struct idmap *map, const char *kind, const char *field, uint32_t id,
		    struct error *e)
{
	uint32_t ignored, first = UINT32_MAX, last = 0;

	if (idmap_to_host(map, id, &ignored, NULL) >= 0)
		return 0;
	for (size_t i = 0; i < map->n; i++) {
		uint32_t end = map->x[i].container_id + (map->x[i].length - 1);

		first = map->x[i].container_id < first ? map->x[i].container_id : first;
		last = end > last ? end : last;
	}
	return err_new(
		e, ERR_INVALID,
		"%s: %s %u has no host %s in the container's user namespace: linux.%sMappings map container "
		"%ss %u to %u%s",
		field, kind, id, kind, kind, kind, first, last, map->n > 1 ? ", in part" : "");
}

int ids_check(const struct oci_user *u, const struct idmap *uids, const struct idmap *gids, struct error *e)
{
	int r = check_id(uids, "uid", "process.user.uid", u->uid, e);

	if (r >= 0)
		r = check_id(gids, "gid", "process.user.gid", u->gid, e);
	for (size_t i = 0; i < u->additional_gid_count && r >= 0; i++)
		r = check_id(gids, "gid", "process.user.additionalGids", u->additional_gids[i], e);
	return r;
}

int ids_root(const struct idmap *map, uint32_t instead, uint32_t *ret_host_id, struct error *e)
{
	if (!map) {
		*ret_host_id = 0;
		return 0;
	}
	if (idmap_to_host(map, 0, ret_host_id, NULL) >= 0)
		return 0;
	return idmap_to_host(map, instead, ret_host_id, e);
}
