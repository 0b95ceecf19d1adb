// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "oci/spec_internal.h"
#include "sys/netdev.h"
#include "userns/idmap.h"

#define HOST_NAME_BYTES 64 /* HOST_NAME_MAX: __NEW_UTS_LEN */

static int check_map(struct reader *r, const char *key, const struct oci_id_mappings *m)
{
	cleanup_free struct idmap *map = NEW(struct idmap);

	for (size_t i = 0; i < m->n; i++) {
		struct idmap_extent x = { m->v[i].container_id, m->v[i].host_id, m->v[i].size };
		int k = idmap_add(map, x, r->e);

		if (k < 0)
			return err_ctx(r->e, "linux.%s[%zu]", key, i);
	}
	return 0;
}

static int check_ids(struct reader *r, const struct oci_spec *spec)
{
	const struct oci_namespace *user = &spec->linux.namespaces[OCI_NS_USER];
	bool has_maps = spec->linux.uid_mappings.n || spec->linux.gid_mappings.n;
	int k;

	if (has_maps && !user->is_set)
		return reader_fail_at(r, "linux", ERR_INVALID,
				      "uidMappings and gidMappings without a user namespace in namespaces");
	if (user->is_set && !user->path && (!spec->linux.uid_mappings.n || !spec->linux.gid_mappings.n))
		return reader_fail_at(r, "linux", ERR_INVALID,
				      "a new user namespace needs uidMappings and gidMappings");
	k = check_map(r, "uidMappings", &spec->linux.uid_mappings);
	return k < 0 ? k : check_map(r, "gidMappings", &spec->linux.gid_mappings);
}

static int check_uts_name(struct reader *r, const struct oci_spec *spec, const char *key, const char *name)
{
	if (!name || !*name)
		return 0;
	if (strlen(name) > HOST_NAME_BYTES)
		return reader_fail_at(r, key, ERR_INVALID, "longer than %d bytes", HOST_NAME_BYTES);
	if (!spec->linux.namespaces[OCI_NS_UTS].is_set)
		return reader_fail_at(r, key, ERR_INVALID,
				      "is set, but the container has no uts namespace of its own");
	return 0;
}

static int check_time(struct reader *r, const struct oci_spec *spec)
{
	const struct oci_namespace *time = &spec->linux.namespaces[OCI_NS_TIME];

	for (size_t i = 0; i < spec->linux.time_offsets.n; i++) {
		const char *clock = spec->linux.time_offsets.v[i].clock;

		if (strcmp(clock, "monotonic") != 0 && strcmp(clock, "boottime") != 0)
			return reader_fail_at(r, "linux.timeOffsets", ERR_INVALID,
					      "\"%s\" is neither monotonic nor boottime", clock);
	}
	if (spec->linux.time_offsets.n && (!time->is_set || time->path))
		return reader_fail_at(r, "linux.timeOffsets", ERR_INVALID, "needs a new time namespace");
	return 0;
}

/* The specification leaves open what names are; that of the kernel's dev_valid_name() decides. */
static int check_net_devices(struct reader *r, const struct oci_spec *spec)
{
	const struct oci_linux *l = &spec->linux;

	if (l->net_devices.n && !l->namespaces[OCI_NS_NETWORK].is_set)
		return reader_fail_at(r, "linux.netDevices", ERR_INVALID,
				      "needs a network namespace for the container (linux.namespaces)");
	for (size_t i = 0; i < l->net_devices.n; i++) {
		const struct oci_net_device *d = &l->net_devices.v[i];
		const char *name = d->name && *d->name ? d->name : d->host_name;

		if (!netdev_is_name(d->host_name) || !netdev_is_name(name))
			return reader_fail_at(r, "linux.netDevices", ERR_INVALID,
					      "\"%.64s\" is no name of a network interface",
					      netdev_is_name(d->host_name) ? name : d->host_name);
		for (size_t j = 0; j < i; j++) {
			const struct oci_net_device *other = &l->net_devices.v[j];

			if (!strchr(name, '%') &&
			    strcmp(name, other->name && *other->name ? other->name : other->host_name) == 0)
				return reader_fail_at(r, "linux.netDevices", ERR_INVALID,
						      "\"%s\" would be there twice in the container", name);
		}
	}
	return 0;
}

int oci_spec_check(struct reader *r, const struct oci_spec *spec)
{
	int k;

	if (!spec->has_linux)
		return reader_fail_at(r, "linux", ERR_INVALID, "is missing: hull runs Linux containers");
	k = check_ids(r, spec);
	if (k == 0)
		k = check_uts_name(r, spec, "hostname", spec->hostname);
	if (k == 0)
		k = check_uts_name(r, spec, "domainname", spec->domainname);
	if (k == 0)
		k = check_time(r, spec);
	return k == 0 ? check_net_devices(r, spec) : k;
}
