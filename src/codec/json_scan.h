/* SPDX-License-Identifier: Apache-2.0 */
/* A check of JSON's tokens before json-c sees them (RFC 8259): what json-c lets pass even when strict. */
#ifndef HULL_CODEC_JSON_SCAN_H
#define HULL_CODEC_JSON_SCAN_H

#include <stddef.h>

#include "base/error.h"

/* Every token is one that RFC 8259 knows: strings in double quotes without raw control characters and
 * without \u0000, numbers whose integers fit in 64 bits, true, false, null and the six signs; brackets nest
 * at most max_depth deep, and there are about max_values values at most. How tokens may follow each other is left to the parser.
 * Fails: INVALID, with the byte offset; LIMIT, depth or count. */
int json_scan(const char *text, size_t len, unsigned int max_depth, size_t max_values,
	      struct error *e) MUST_USE;

#endif
