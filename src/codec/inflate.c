/* SPDX-License-Identifier: Apache-2.0 */
/* An engine knows one gzip member or zstd frame; the chain of them is followed here, once for all
 * (RFC 1952 2.2: "a gzip file consists of a series of members"; RFC 8878 3: frames). A stream is over only
 * at the boundary of a member. */
#include "codec/inflate.h"

#include <string.h>

#include "base/mem.h"
#include "codec/inflate_engine.h"

struct inflate {
	const struct inflate_engine *engine; /* NULL: bytes are passed on as they are */
	void *state;
	bool is_inside; /* a member was begun and has not ended */
	bool is_begun;	/* there was at least one */
};

struct inflate *inflate_new(enum inflate_kind kind)
{
	static const struct inflate_engine *const engines[] = {
		[INFLATE_NONE] = NULL,
		[INFLATE_GZIP_ISAL] = &inflate_isal,
		[INFLATE_GZIP_ZLIB] = &inflate_zlib,
		[INFLATE_ZSTD] = &inflate_zstd,
	};
	struct inflate *f = NEW(struct inflate);

	f->engine = engines[kind];
	if (f->engine)
		f->state = f->engine->open();
	return f;
}

void inflate_free(struct inflate *f)
{
	if (!f)
		return;
	if (f->engine)
		f->engine->close(f->state);
	free(f);
}

static int pass_on(struct inflate_io *io)
{
	size_t n = io->in_len < io->out_len ? io->in_len : io->out_len;

	if (n > 0)
		memcpy(io->out, io->in, n);
	io->in += n;
	io->in_len -= n;
	io->out += n;
	io->out_len -= n;
	return io->is_last && io->in_len == 0;
}

int inflate_run(struct inflate *f, struct inflate_io *io, struct error *e)
{
	if (!f->engine)
		return pass_on(io);
	for (;;) {
		size_t in_before = io->in_len, out_before = io->out_len;
		int r;

		if (!f->is_inside) {
			if (io->in_len == 0) {
				if (!io->is_last)
					return 0;
				if (f->is_begun)
					return 1;
				return err_new(e, ERR_CORRUPT, "the %s stream is empty", f->engine->name);
			}
			if (f->is_begun)
				f->engine->restart(f->state);
			f->is_inside = f->is_begun = true;
		}
		r = f->engine->run(f->state, io, e);
		if (r < 0)
			return r;
		if (r == 1) {
			f->is_inside = false;
			continue;
		}
		if (io->out_len == 0)
			return 0;
		if (io->in_len == 0) {
			if (io->is_last && out_before == io->out_len && in_before == 0)
				return err_new(e, ERR_CORRUPT, "the %s stream is cut off", f->engine->name);
			if (!io->is_last)
				return 0;
			continue; /* the last input: what is still held inside comes out now */
		}
		if (in_before == io->in_len && out_before == io->out_len)
			return err_new(e, ERR_CORRUPT, "the %s stream makes no progress", f->engine->name);
	}
}

enum inflate_kind inflate_detect(const void *data, size_t len)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	const uint8_t *p = data;

	if (len >= sizeof(gzip) && memcmp(p, gzip, sizeof(gzip)) == 0)
		return INFLATE_GZIP_ISAL;
	/* A zstd stream may begin with a skippable frame (RFC 8878 3.1.2). */
	if (len >= 4 &&
	    (memcmp(p, zstd, 4) == 0 || ((p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0)))
		return INFLATE_ZSTD;
	return INFLATE_NONE;
}
