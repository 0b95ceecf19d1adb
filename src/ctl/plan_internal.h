/* SPDX-License-Identifier: Apache-2.0 */
/* Between pod_plan.c and pod_plan_container.c. */
#ifndef HULL_CTL_PLAN_INTERNAL_H
#define HULL_CTL_PLAN_INTERNAL_H

#include <string.h>

#include "base/str.h"
#include "codec/pb.h"
#include "ctl/pod_plan.h"

#define PB(name) Runtime__V1__##name
#define PLAN_NEW(p, name, lower) PB_NEW((p)->arena, PB(name), runtime__v1__##lower)

PB(IDMapping) **plan_mapping(const struct pod_plan *p, size_t *ret_n);
PB(NamespaceOption) *plan_namespaces(const struct pod_plan *p);
PB(Int64Value) *plan_int(const struct pod_plan *p, int64_t value); /* NULL for -1 */
PB(SecurityProfile) *plan_profile(const struct pod_plan *p, const char *type, const char *ref);
PB(SELinuxOption) *plan_selinux(const struct pod_plan *p, const struct manifest_security *s);
int64_t *plan_groups(const struct pod_plan *p, size_t *ret_n);

#endif
