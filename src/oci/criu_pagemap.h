/* SPDX-License-Identifier: Apache-2.0 */
/* criu's pagemap-*.img: which memory of a process is in which pages-*.img. Pure. */
#ifndef HULL_OCI_CRIU_PAGEMAP_H
#define HULL_OCI_CRIU_PAGEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CRIU_PAGEMAP_MAX_BYTES (64u << 20)

struct criu_pagemap {
	uint32_t pages_id; /* of "pages-ID.img" */
	uint64_t pages;	   /* that are due in there */
};

/* Fails: INVALID. */
int criu_pagemap_read(const char *data, size_t len, struct criu_pagemap *ret, struct error *e) MUST_USE;

#endif
