/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"
#include "codec/inflate_engine.h"

#define GZIP_ONLY (15 + 16) /* windowBits of inflateInit2(): largest window, gzip wrapper */

static void *zlib_open(void)
{
	z_stream *z = NEW(z_stream);

	if (inflateInit2(z, GZIP_ONLY) != Z_OK) {
		fputs("zlib: out of memory\n", stderr);
		abort();
	}
	return z;
}

static void zlib_close(void *state)
{
	inflateEnd(state);
	free(state);
}

static void zlib_restart(void *state)
{
	inflateReset(state);
}

static int zlib_run(void *state, struct inflate_io *io, struct error *e)
{
	z_stream *z = state;
	uInt in = io->in_len > 1U << 30 ? 1U << 30 : (uInt)io->in_len;
	uInt out = io->out_len > 1U << 30 ? 1U << 30 : (uInt)io->out_len;
	int r;

	z->next_in = (Bytef *)io->in;
	z->avail_in = in;
	z->next_out = io->out;
	z->avail_out = out;
	r = inflate(z, Z_NO_FLUSH);
	io->in += in - z->avail_in;
	io->in_len -= in - z->avail_in;
	io->out += out - z->avail_out;
	io->out_len -= out - z->avail_out;
	if (r == Z_STREAM_END)
		return 1;
	if (r == Z_OK || r == Z_BUF_ERROR)
		return 0;
	return err_new(e, ERR_CORRUPT, "the gzip stream is damaged: %s", z->msg ? z->msg : zError(r));
}

const struct inflate_engine inflate_zlib = { "gzip", zlib_open, zlib_close, zlib_restart, zlib_run };
