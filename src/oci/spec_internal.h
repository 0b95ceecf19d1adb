/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of config.json, one .c file a part, for each other. */
#ifndef HULL_OCI_SPEC_INTERNAL_H
#define HULL_OCI_SPEC_INTERNAL_H

#include "oci/reader.h"
#include "oci/spec.h"

extern const struct object_of oci_process_object;   /* struct oci_process */
extern const struct object_of oci_resources_object; /* struct oci_resources */
extern const struct object_of oci_linux_object;	    /* struct oci_linux */
extern const struct list_of oci_mount_list;	    /* struct oci_mount */
extern const struct list_of oci_id_mapping_list;    /* struct oci_id_mapping */
extern const struct words oci_propagation_words;    /* unsigned long */

/* What `hull features` lists. */
extern const struct word oci_mempolicy_modes[], oci_mempolicy_flags[];
extern const struct word oci_seccomp_actions[], oci_seccomp_operators[], oci_seccomp_archs[],
	oci_seccomp_flags[];

/* (struct oci_seccomp *), allocated. */
int read_seccomp(struct reader *r, struct json_object *v, void *dst, const void *arg);

/* What only the whole document shows: namespaces against mappings, hostname, sysctls, mounts. */
int oci_spec_check(struct reader *r, const struct oci_spec *spec) MUST_USE;

#endif
