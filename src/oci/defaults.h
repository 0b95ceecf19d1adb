/* SPDX-License-Identifier: Apache-2.0 */
/* What a container gets when nobody says otherwise, as data and as parts of a config.json: for src/cri and
 * `hull spec`. */
#ifndef HULL_OCI_DEFAULTS_H
#define HULL_OCI_DEFAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/json.h"

/* NULL-terminated. */
extern const char *const oci_default_masked_paths[];
extern const char *const oci_default_readonly_paths[];

/* The 14 capabilities that container engines grant by default, as bits and as names "CAP_CHOWN", ... */
extern const char *const oci_default_capabilities[];
uint64_t oci_default_capability_mask(void);

struct oci_default_mount {
	const char *destination, *type, *source;
	const char *options; /* separated by commas */
};
/* /proc, /dev, /dev/pts, /dev/shm, /dev/mqueue, /sys, /sys/fs/cgroup; ended by a NULL destination. */
extern const struct oci_default_mount oci_default_mounts[];

struct oci_default_device {
	const char *path;
	uint32_t major, minor, mode;
};
/* The nodes that every container has: null zero full random urandom tty; ended by a NULL path. The runtime
 * makes them on its own, whether the spec lists them or not (OCI "Default Devices"). */
extern const struct oci_default_device oci_default_devices[];

/* linux.seccomp of the RuntimeDefault profile: an allow-list that opens more calls for the capabilities in
 * caps (bit n: capability n). The caller owns the new object. */
struct json_object *oci_default_seccomp(uint64_t caps) MUST_USE;

/* linux.resources.devices of an unprivileged container: deny all, then allow mknod of any and use of the default
 * devices and ptys. The caller owns the new array. */
struct json_object *oci_default_device_rules(void) MUST_USE;

/* The config.json of `hull spec`: a shell in a root file system "rootfs"; rootless adds a user namespace that maps
 * the caller to 0. A cgroup namespace where cgroups are v2's, as runc has it: in v1's hierarchies it hides nothing that
 * the mounts do not hide already. The caller owns the new object. */
struct json_object *oci_default_spec(bool rootless, bool cgroup_v2, uint32_t uid, uint32_t gid) MUST_USE;

#endif
