/* SPDX-License-Identifier: Apache-2.0 */
/* The names that config.json may contain, from the very tables that read it: for `hull features`. */
#ifndef HULL_OCI_KNOWN_H
#define HULL_OCI_KNOWN_H

#include <stddef.h>

#include "base/str.h"

enum oci_known {
	OCI_KNOWN_HOOKS,
	OCI_KNOWN_MOUNT_OPTIONS, /* those that are not data of the file system */
	OCI_KNOWN_NAMESPACES,
	OCI_KNOWN_CAPABILITIES,
	OCI_KNOWN_SECCOMP_ACTIONS,
	OCI_KNOWN_SECCOMP_OPERATORS,
	OCI_KNOWN_SECCOMP_ARCHS,
	OCI_KNOWN_SECCOMP_FLAGS,
	OCI_SUPPORTED_SECCOMP_FLAGS, /* of those, what the running kernel has */
	OCI_KNOWN_MEMPOLICY_MODES,
	OCI_KNOWN_MEMPOLICY_FLAGS,
};

/* Appends; sorted where the specification shows them so (all but hooks and capabilities). */
void oci_known_names(enum oci_known which, struct strv *ret_names);

#endif
