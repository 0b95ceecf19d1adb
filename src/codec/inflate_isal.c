/* SPDX-License-Identifier: Apache-2.0 */
/* isa-l 2.30 ignores the reserved FLG bits of a gzip header and never checks the header's CRC, so the
 * header (RFC 1952 2.3) is read here, byte by byte, in the same strictness as zlib's. isa-l does the deflate
 * data and the trailer (CRC-32 and length): in the mode with a trailer the at most 8 bytes that it holds in
 * its bit register belong to that trailer, so what comes behind a member is never swallowed. */
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/inflate_engine.h"

enum { FLG_HCRC = 0x02, FLG_EXTRA = 0x04, FLG_NAME = 0x08, FLG_COMMENT = 0x10, FLG_RESERVED = 0xe0 };

enum part { FIXED, EXTRA_LEN, EXTRA, NAME, COMMENT, HEADER_CRC, BODY };

struct isal {
	struct inflate_state s; /* 88 KiB; first, for its alignment */
	enum part part;
	uint8_t flags;
	unsigned int have; /* bytes of this part seen */
	unsigned int extra_len;
	uint32_t crc, stored_crc;
};

static void isal_restart(void *state)
{
	struct isal *z = state;

	isal_inflate_reset(&z->s);
	z->s.crc_flag = ISAL_GZIP_NO_HDR_VER;
	z->part = FIXED;
	z->flags = 0;
	z->have = z->extra_len = 0;
	z->crc = z->stored_crc = 0;
}

static void *isal_open(void)
{
	struct isal *z = NULL;

	if (posix_memalign((void **)&z, 64, sizeof(*z)) != 0)
		abort();
	*z = (struct isal){ .part = FIXED };
	isal_inflate_init(&z->s);
	isal_restart(z);
	return z;
}

static void isal_close(void *state)
{
	free(state);
}

static void next_part(struct isal *z, enum part part)
{
	static const uint8_t wants[] = { [EXTRA_LEN] = FLG_EXTRA,
					 [EXTRA] = FLG_EXTRA,
					 [NAME] = FLG_NAME,
					 [COMMENT] = FLG_COMMENT,
					 [HEADER_CRC] = FLG_HCRC };

	z->have = 0;
	while (part < BODY && !(z->flags & wants[part]))
		part++;
	if (part == EXTRA && z->extra_len == 0)
		return next_part(z, NAME);
	z->part = part;
}

static int fixed_byte(struct isal *z, uint8_t c, struct error *e)
{
	static const uint8_t magic[] = { 0x1f, 0x8b, 8 };

	if (z->have < sizeof(magic) && c != magic[z->have])
		return err_new(e, ERR_CORRUPT,
			       z->have < 2 ? "the gzip stream is damaged: no gzip header"
					   : "the gzip stream is damaged: unknown method");
	if (z->have == 3) {
		z->flags = c;
		if (c & FLG_RESERVED)
			return err_new(e, ERR_CORRUPT,
				       "the gzip stream is damaged: reserved header flags are set");
	}
	if (++z->have == 10)
		next_part(z, EXTRA_LEN);
	return 0;
}

static int header_byte(struct isal *z, uint8_t c, struct error *e)
{
	if (z->part != HEADER_CRC)
		z->crc = crc32_gzip_refl(z->crc, &c, 1);
	switch (z->part) {
	case FIXED:
		return fixed_byte(z, c, e);
	case EXTRA_LEN:
		z->extra_len |= (unsigned int)c << (8 * z->have);
		if (++z->have == 2)
			next_part(z, EXTRA);
		return 0;
	case EXTRA:
		if (++z->have == z->extra_len)
			next_part(z, NAME);
		return 0;
	case NAME:
	case COMMENT:
		if (c == 0)
			next_part(z, z->part + 1);
		return 0;
	case HEADER_CRC:
		z->stored_crc |= (uint32_t)c << (8 * z->have);
		if (++z->have < 2)
			return 0;
		if (z->stored_crc != (z->crc & 0xffff))
			return err_new(e, ERR_CORRUPT, "the gzip stream is damaged: header crc mismatch");
		next_part(z, BODY);
		return 0;
	case BODY:
		break;
	}
	return 0;
}

static const char *isal_problem(int r)
{
	switch (r) {
	case ISAL_INVALID_BLOCK:
		return "invalid block";
	case ISAL_INVALID_SYMBOL:
		return "invalid symbol";
	case ISAL_INVALID_LOOKBACK:
		return "invalid distance";
	case ISAL_INCORRECT_CHECKSUM:
		return "incorrect data check";
	default:
		return "not readable";
	}
}

static int isal_run(void *state, struct inflate_io *io, struct error *e)
{
	struct isal *z = state;
	uint32_t in, out;
	int r;

	while (z->part != BODY && io->in_len > 0) {
		r = header_byte(z, *io->in, e);
		if (r < 0)
			return r;
		io->in++;
		io->in_len--;
	}
	if (z->part != BODY)
		return 0;
	in = io->in_len > 1U << 30 ? 1U << 30 : (uint32_t)io->in_len;
	out = io->out_len > 1U << 30 ? 1U << 30 : (uint32_t)io->out_len;
	z->s.next_in = (uint8_t *)io->in;
	z->s.avail_in = in;
	z->s.next_out = io->out;
	z->s.avail_out = out;
	r = isal_inflate(&z->s);
	io->in += in - z->s.avail_in;
	io->in_len -= in - z->s.avail_in;
	io->out += out - z->s.avail_out;
	io->out_len -= out - z->s.avail_out;
	if (r < 0 || r > ISAL_NAME_OVERFLOW)
		return err_new(e, ERR_CORRUPT, "the gzip stream is damaged: %s", isal_problem(r));
	return z->s.block_state == ISAL_BLOCK_FINISH;
}

const struct inflate_engine inflate_isal = { "gzip", isal_open, isal_close, isal_restart, isal_run };
