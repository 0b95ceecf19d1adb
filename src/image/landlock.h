/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HULL_IMAGE_LANDLOCK_H
#define HULL_IMAGE_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Restrict this process (landlock(7)) to reading the directories given and, with has_network, the files of
 * name resolution and TLS. Nothing can be written, made, removed or executed; no TCP port be bound.
 * Needs no_new_privs. Fails: UNSUPPORTED (no Landlock here), SYS. */
int landlock_apply(bool has_network, const int *read_dfds, size_t count, struct error *e) MUST_USE;

#endif
