/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "codec/inflate_engine.h"

static void *zstd_open(void)
{
	ZSTD_DStream *z = ZSTD_createDStream();

	if (!z || ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, INFLATE_ZSTD_WINDOW_LOG_MAX))) {
		fputs("libzstd: cannot make a stream\n", stderr);
		abort();
	}
	return z;
}

static void zstd_close(void *state)
{
	ZSTD_freeDStream(state);
}

static void zstd_restart(void *state)
{
	ZSTD_DCtx_reset(state, ZSTD_reset_session_only);
}

static int zstd_run(void *state, struct inflate_io *io, struct error *e)
{
	ZSTD_inBuffer in = { io->in, io->in_len, 0 };
	ZSTD_outBuffer out = { io->out, io->out_len, 0 };
	size_t r = ZSTD_decompressStream(state, &out, &in);

	io->in += in.pos;
	io->in_len -= in.pos;
	io->out += out.pos;
	io->out_len -= out.pos;
	if (!ZSTD_isError(r))
		return r == 0;
	if (ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge)
		return err_new(e, ERR_LIMIT, "the zstd stream wants a window above %u MiB",
			       1U << (INFLATE_ZSTD_WINDOW_LOG_MAX - 20));
	return err_new(e, ERR_CORRUPT, "the zstd stream is damaged: %s", ZSTD_getErrorName(r));
}

const struct inflate_engine inflate_zstd = { "zstd", zstd_open, zstd_close, zstd_restart, zstd_run };
