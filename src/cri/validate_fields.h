/* SPDX-License-Identifier: Apache-2.0 */
/* What the validations of sandboxes and containers share. Internal to validate*.c. Each fails with INVALID
 * or LIMIT, and begins its message with field. */
#ifndef HULL_CRI_VALIDATE_FIELDS_H
#define HULL_CRI_VALIDATE_FIELDS_H

#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "cri/api.h"

/* Kubernetes bounds names by DNS (253) and annotations by 256 KiB an object; ours are wider, since the
 * CRI states none, but they are bounds. */
#define VALIDATE_NAME_MAX 512
#define VALIDATE_MAP_MAX (1024 * 1024)
#define VALIDATE_LIST_MAX 4096
#define VALIDATE_ARG_MAX (2 * 1024 * 1024) /* the kernel's own bound on argv and envp is stack / 4 */
#define VALIDATE_GROUPS_MAX 65536	   /* NGROUPS_MAX of the kernel */

/* labels and annotations have one shape, and two generated types. */
#define VALIDATE_MAP(field, entries, n)                                                                \
	({                                                                                             \
		size_t bytes_ = 0;                                                                     \
		int r_ = (n) > VALIDATE_LIST_MAX                                                       \
				 ? err_new(e, ERR_LIMIT, "%s has %zu entries; at most %d are allowed", \
					   field, (size_t)(n), VALIDATE_LIST_MAX)                      \
				 : 0;                                                                  \
		for (size_t i_ = 0; r_ == 0 && i_ < (n); i_++) {                                       \
			bytes_ += strlen((entries)[i_]->key) + strlen((entries)[i_]->value);           \
			if (*(entries)[i_]->key == '\0')                                               \
				r_ = err_new(e, ERR_INVALID, "%s has an empty key", field);            \
			else if (bytes_ > VALIDATE_MAP_MAX)                                            \
				r_ = err_new(e, ERR_LIMIT, "%s has more than %d bytes", field,         \
					     VALIDATE_MAP_MAX);                                        \
		}                                                                                      \
		r_;                                                                                    \
	})

int validate_name(const char *field, const char *name, bool required, struct error *e) MUST_USE;
int validate_strings(const char *field, char *const *v, size_t n, size_t bytes_max, struct error *e) MUST_USE;
int validate_id_value(const char *field, const PB(Int64Value) *v, struct error *e) MUST_USE;
int validate_groups(const char *field, const int64_t *groups, size_t n, struct error *e) MUST_USE;
int validate_profile(const char *field, const PB(SecurityProfile) *p, struct error *e) MUST_USE;
int validate_namespaces(const PB(NamespaceOption) *o, bool of_sandbox, struct error *e) MUST_USE;
int validate_resources(const char *field, const PB(LinuxContainerResources) *res, struct error *e) MUST_USE;

#endif
