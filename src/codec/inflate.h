/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression of a byte stream: bytes in, bytes out, no I/O. gzip by isa-l (twice as fast) or zlib; both
 * are always built and give the same bytes, and refuse the same inputs. zstd by libzstd. */
#ifndef HULL_CODEC_INFLATE_H
#define HULL_CODEC_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

enum inflate_kind { INFLATE_NONE, INFLATE_GZIP_ISAL, INFLATE_GZIP_ZLIB, INFLATE_ZSTD };

/* A zstd frame that wants a larger window than this is refused: memory is bounded. */
#define INFLATE_ZSTD_WINDOW_LOG_MAX 27

struct inflate_io {
	const uint8_t *in; /* advanced by what was consumed */
	size_t in_len;
	bool is_last;	/* no input will come after this */
	uint8_t *out;	/* advanced by what was produced */
	size_t out_len; /* room; reduced by what was produced */
};

struct inflate;

struct inflate *inflate_new(enum inflate_kind kind);
void inflate_free(struct inflate *f);
DEFINE_CLEANUP(struct inflate, inflate_free)

/* Work until the input is used up or the output is full. Concatenated gzip members and zstd frames are one
 * stream. Returns 1 when the stream has ended (is_last, all input used, at the boundary of a member), or 0
 * when it needs more input or more room.
 * Fails: CORRUPT  damaged, cut off, or something else behind its end
 *        LIMIT    a zstd window above the limit */
int inflate_run(struct inflate *f, struct inflate_io *io, struct error *e) MUST_USE;

/* By the first bytes (at least 4, or all there are): gzip, zstd, or none. */
enum inflate_kind inflate_detect(const void *data, size_t len);

#endif
