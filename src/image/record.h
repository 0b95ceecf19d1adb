/* SPDX-License-Identifier: Apache-2.0 */
/* The database's rows of images and layers. */
#ifndef HULL_IMAGE_RECORD_H
#define HULL_IMAGE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct image_record {
	char *manifest_digest; /* "" when the source had none */
	struct strv chain_ids; /* lowest first */
	uint64_t size_bytes;
	int64_t pulled_at;
	bool is_removed; /* by its user; kept until no container uses it */
};
struct layer_record {
	uint64_t disk_bytes, inodes;
};

void image_record_done(struct image_record *r);
DEFINE_CLEANUP_VALUE(struct image_record, image_record_done)

void image_record_write(const struct image_record *r, struct buf *b);
/* Fails: CORRUPT. */
int image_record_read(const void *data, size_t len, struct image_record *ret, struct error *e) MUST_USE;
void layer_record_write(const struct layer_record *r, struct buf *b);
int layer_record_read(const void *data, size_t len, struct layer_record *ret, struct error *e) MUST_USE;

#endif
