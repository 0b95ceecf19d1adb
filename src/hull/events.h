/* SPDX-License-Identifier: Apache-2.0 */
/* Inside `hull events`. */
#ifndef HULL_HULL_EVENTS_H
#define HULL_HULL_EVENTS_H

#include <stdint.h>

#include "base/error.h"

/* A duration as Go writes them (time.ParseDuration): "5s", "1.5h", "1m30s", "300ms". Fails: INVALID. */
int duration_parse(const char *text, int64_t *ret_ns, struct error *e) MUST_USE;

#endif
