/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes quantities: "500m", "1.5", "128Mi", "2e3". Exact: no floating point. */
#ifndef HULL_CTL_QUANTITY_H
#define HULL_CTL_QUANTITY_H

#include <stdint.h>

#include "base/error.h"

/* The value in units of 1/scale, rounded up as Kubernetes does it: scale 1000 gives millicores, 1 gives bytes.
 * Only values from 0 on. Fails: INVALID, LIMIT (more than 63 bits). */
int quantity_parse(const char *text, uint32_t scale, int64_t *ret, struct error *e) MUST_USE;

#endif
