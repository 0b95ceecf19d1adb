/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf messages as JSON, by the mapping of protobuf's own language guide: lowerCamelCase names, 64-bit
 * integers as strings, bytes in base64, enums by name, maps as objects; fields with default values included,
 * absent messages not. What crictl prints, too. */
#ifndef HULL_CTL_PBJSON_H
#define HULL_CTL_PBJSON_H

#include <protobuf-c/protobuf-c.h>

#include "codec/json.h"

/* The caller owns the new object. */
struct json_object *pbjson_of(const void *message) MUST_USE;
/* The same of a status with its verbose info: values of the map `info` that are JSON become members. */
struct json_object *pbjson_of_status(const void *message) MUST_USE;
/* Print a document, indented, on stdout, and free it. */
void pbjson_print(struct json_object *doc);
/* "pod_sandbox_id" -> "podSandboxId"; the buffer is the caller's. */
const char *pbjson_name(const char *field, char *out, size_t size);

#endif
