/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities (capabilities(7)) as 64-bit masks: bit n is capability n. */
#ifndef HULL_SYS_CAPS_H
#define HULL_SYS_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CAP_BIT(n) (UINT64_C(1) << (n))

/* "CAP_SYS_ADMIN", "cap_sys_admin" or "SYS_ADMIN" to its number; -1 when there is none such. */
int caps_from_name(const char *name);
/* "CAP_SYS_ADMIN"; NULL when n is not a capability that we know. */
const char *caps_name(unsigned int n);

/* All that the running kernel has (cap_last_cap). */
uint64_t caps_kernel_mask(void);
/* Our own sets, of the calling thread. */
uint64_t caps_bounding(void);
int caps_get(uint64_t *ret_effective, uint64_t *ret_permitted, uint64_t *ret_inheritable,
	     struct error *e) MUST_USE;
bool caps_have(unsigned int n); /* in our effective set */

/* Appliers for the calling thread; no allocation. Fails: SYS, naming the capability where there is one. */
int caps_set(uint64_t effective, uint64_t permitted, uint64_t inheritable, struct error *e) MUST_USE;
int caps_drop_bounding(uint64_t keep, struct error *e) MUST_USE;  /* drop all that is not in keep */
int caps_set_ambient(uint64_t ambient, struct error *e) MUST_USE; /* clear, then raise */

#endif
