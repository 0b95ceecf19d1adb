/* SPDX-License-Identifier: Apache-2.0 */
/* isa-l and zlib give the same bytes and the same verdict; zstd only has to survive. The first two bytes
 * choose the sizes of the pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/inflate.h"

#define OUT_MAX (1U << 20)

static int run(enum inflate_kind kind, const uint8_t *data, size_t size, size_t piece, size_t room,
	       struct buf *out)
{
	CLEANUP(inflate_free) struct inflate *f = inflate_new(kind);
	static uint8_t space[256 * 64];
	struct error e = ERROR_INIT;
	int r = 0;

	while (r == 0 && out->len < OUT_MAX) {
		size_t n = size < piece ? size : piece;
		struct inflate_io io = {
			.in = data, .in_len = n, .is_last = n == size, .out = space, .out_len = room
		};

		r = inflate_run(f, &io, &e);
		buf_add(out, space, room - io.out_len);
		data += n - io.in_len;
		size -= n - io.in_len;
		if (r == 0 && io.in_len == n && n > 0 && io.out_len == room)
			abort(); /* no progress */
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf isal = BUF_INIT, zlib = BUF_INIT, zstd = BUF_INIT;
	size_t piece, room;
	int a, b;

	if (size < 2)
		return 0;
	piece = 1 + data[0] * 16u;
	room = 1 + data[1] * 64u;
	data += 2;
	size -= 2;
	a = run(INFLATE_GZIP_ISAL, data, size, piece, room, &isal);
	b = run(INFLATE_GZIP_ZLIB, data, size, piece, room, &zlib);
	if (a != b ||
	    (a == 1 && (isal.len != zlib.len || memcmp(buf_str(&isal), buf_str(&zlib), isal.len) != 0)))
		abort();
	if (run(INFLATE_ZSTD, data, size, piece, room, &zstd) == 1 &&
	    inflate_detect(data, size) != INFLATE_ZSTD)
		abort();
	return 0;
}
