/* SPDX-License-Identifier: Apache-2.0 */
/* Between inflate.c and its engines. */
#ifndef HULL_CODEC_INFLATE_ENGINE_H
#define HULL_CODEC_INFLATE_ENGINE_H

#include "codec/inflate.h"

struct inflate_engine {
	const char *name; /* "gzip", "zstd" in messages */
	void *(*open)(void);
	void (*close)(void *state);
	/* Make ready for the next member or frame. */
	void (*restart)(void *state);
	/* Work on one member. Returns 1 at its end, with io->in right behind it; 0 when it needs more input
	 * (then io->in_len is 0) or more room (then io->out_len is 0). */
	int (*run)(void *state, struct inflate_io *io, struct error *e);
};

extern const struct inflate_engine inflate_isal, inflate_zlib, inflate_zstd;

#endif
