/* SPDX-License-Identifier: Apache-2.0 */
/* The host ids of a pod with hostUsers: false, which in a cluster its kubelet chooses. */
#ifndef HULL_CTL_USERNS_CHOICE_H
#define HULL_CTL_USERNS_CHOICE_H

#include "ctl/ctl.h"
#include "userns/idrange.h"

#define USERNS_LENGTH 65536

/* "100000:65536". Fails: INVALID. */
int userns_range_parse(const char *text, struct idrange_block *ret, struct error *e) MUST_USE;

/* A block of USERNS_LENGTH ids that no pod of hulld has: out of what /etc/subuid and /etc/subgid give to user hull, or
 * else to root; where neither has lines, out of a fixed range far above the ids that people use.
 * Fails: LIMIT (all are taken), INVALID (a malformed file), as ctl_call(). */
int userns_choose(struct ctl *c, struct idrange_block *ret, struct error *e) MUST_USE;

#endif
