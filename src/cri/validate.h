/* SPDX-License-Identifier: Apache-2.0 */
/* Every field of a request is bounded and checked before anything is made. These functions look at
 * the message alone, make nothing and touch nothing; what depends on the host comes later. All fail
 * with INVALID (or LIMIT), and the message names the field in the proto's words. */
#ifndef HULL_CRI_VALIDATE_H
#define HULL_CRI_VALIDATE_H

#include "base/error.h"
#include "cri/api.h"

int validate_sandbox_config(const PB(PodSandboxConfig) *config, struct error *e) MUST_USE;
int validate_container_config(const PB(ContainerConfig) *config, struct error *e) MUST_USE;

/* An id in a request: not empty, and of a length that an id or an unambiguous prefix can have. */
int validate_id(const char *field, const char *id, struct error *e) MUST_USE;

/* A log path relative to the log directory: no "..", not absolute, at most PATH_MAX. */
int validate_log_path(const char *log_path, struct error *e) MUST_USE;

#endif
