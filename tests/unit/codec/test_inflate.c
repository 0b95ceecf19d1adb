/* SPDX-License-Identifier: Apache-2.0 */
/* isa-l and zlib must agree on every input, whole, cut, damaged, and fed in pieces of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/inflate.h"

#define TEXT_BYTES 70000

static uint32_t state = 12345;

static uint32_t next_random(void)
{
	state = state * 1664525 + 1013904223;
	return state >> 8;
}

/* Text with some order in it. */
static void make_text(struct buf *b, size_t n)
{
	while (b->len < n)
		buf_addf(b, "%u line of %u words\n", next_random() % 1000, next_random() % 7);
	b->len = n;
}

static void add_gzip_member(struct buf *out, const void *data, size_t n, bool has_name)
{
	uint8_t *to = (uint8_t *)buf_reserve(out, n + 4096);
	gz_header head = { .name = (Bytef *)(char[]){ "a name" },
			   .extra = (Bytef *)(char[]){ "xy" },
			   .extra_len = 2,
			   .hcrc = 1 };
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	if (has_name)
		deflateSetHeader(&z, &head);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)n;
	z.next_out = to;
	z.avail_out = (uInt)(n + 4096);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_added(out, n + 4096 - z.avail_out);
	deflateEnd(&z);
}

/* Inflate in pieces: up to in_max bytes of input and out_max of room a call. Returns 1, or the error. */
static int run(enum inflate_kind kind, const void *data, size_t len, size_t in_max, size_t out_max,
	       struct buf *out)
{
	CLEANUP(inflate_free) struct inflate *f = inflate_new(kind);
	uint8_t *room = mem_alloc(out_max);
	const uint8_t *p = data;
	struct error e = ERROR_INIT;
	int r = 0;

	while (r == 0) {
		size_t n = len < in_max ? len : in_max;
		struct inflate_io io = {
			.in = p, .in_len = n, .is_last = n == len, .out = room, .out_len = out_max
		};

		r = inflate_run(f, &io, &e);
		buf_add(out, room, out_max - io.out_len);
		len -= n - io.in_len;
		p += n - io.in_len;
		if (r == 0)
			assert_true(io.in_len == 0 || io.out_len == 0);
	}
	if (r < 0)
		assert_true(err_msg(&e)[0] != '\0');
	free(room);
	return r;
}

static void check(enum inflate_kind kind, const struct buf *packed, const struct buf *want)
{
	static const size_t sizes[][2] = {
		{ 1 << 20, 1 << 20 }, { 1, 1 << 16 }, { 1 << 16, 1 }, { 7, 13 }, { 4096, 100 }
	};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		cleanup_buf struct buf got = BUF_INIT;

		assert_int_equal(run(kind, packed->data, packed->len, sizes[i][0], sizes[i][1], &got), 1);
		assert_int_equal(got.len, want->len);
		assert_memory_equal(buf_str(&got), buf_str(want), want->len);
	}
}

static void both_engines_inflate_members_in_any_pieces(void **unused)
{
	cleanup_buf struct buf text = BUF_INIT, packed = BUF_INIT;

	(void)unused;
	make_text(&text, TEXT_BYTES);
	add_gzip_member(&packed, text.data, 30000, true);
	add_gzip_member(&packed, "", 0, false);
	add_gzip_member(&packed, text.data + 30000, 1, false);
	add_gzip_member(&packed, text.data + 30001, TEXT_BYTES - 30001, true);
	check(INFLATE_GZIP_ISAL, &packed, &text);
	check(INFLATE_GZIP_ZLIB, &packed, &text);
}

static void zstd_frames_are_one_stream(void **unused)
{
	cleanup_buf struct buf text = BUF_INIT, packed = BUF_INIT;

	(void)unused;
	make_text(&text, TEXT_BYTES);
	for (size_t at = 0; at < TEXT_BYTES; at += 35000) {
		char *to = buf_reserve(&packed, ZSTD_compressBound(35000));

		buf_added(&packed, ZSTD_compress(to, ZSTD_compressBound(35000), text.data + at, 35000, 3));
	}
	check(INFLATE_ZSTD, &packed, &text);
	assert_int_equal(inflate_detect(packed.data, packed.len), INFLATE_ZSTD);
}

static void what_is_cut_off_is_corrupt(void **unused)
{
	static const enum inflate_kind kinds[] = { INFLATE_GZIP_ISAL, INFLATE_GZIP_ZLIB };
	cleanup_buf struct buf text = BUF_INIT, packed = BUF_INIT;

	(void)unused;
	make_text(&text, 3000);
	add_gzip_member(&packed, text.data, text.len, true);
	for (size_t len = 0; len < packed.len; len++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			cleanup_buf struct buf got = BUF_INIT;

			assert_int_equal(run(kinds[k], packed.data, len, 1 << 20, 1 << 16, &got),
					 -ERR_CORRUPT);
		}
}

static void something_behind_the_end_is_corrupt(void **unused)
{
	cleanup_buf struct buf packed = BUF_INIT, isal = BUF_INIT, zlib = BUF_INIT;

	(void)unused;
	add_gzip_member(&packed, "text", 4, false);
	buf_adds(&packed, "more");
	assert_int_equal(run(INFLATE_GZIP_ISAL, packed.data, packed.len, 1 << 20, 100, &isal), -ERR_CORRUPT);
	assert_int_equal(run(INFLATE_GZIP_ZLIB, packed.data, packed.len, 1 << 20, 100, &zlib), -ERR_CORRUPT);
}

static void engines_agree_on_damaged_input(void **unused)
{
	cleanup_buf struct buf text = BUF_INIT, packed = BUF_INIT;

	(void)unused;
	make_text(&text, 5000);
	add_gzip_member(&packed, text.data, 2500, true);
	add_gzip_member(&packed, text.data + 2500, 2500, false);
	for (int i = 0; i < 4000; i++) {
		cleanup_buf struct buf isal = BUF_INIT, zlib = BUF_INIT;
		char *damaged = mem_dup(packed.data, packed.len);
		size_t piece = 1 + next_random() % 3000;
		int a, b;

		for (unsigned n = 1 + next_random() % 3; n > 0; n--)
			damaged[next_random() % packed.len] ^= (char)(1u << next_random() % 8);
		a = run(INFLATE_GZIP_ISAL, damaged, packed.len, piece, 1 + next_random() % 9000, &isal);
		b = run(INFLATE_GZIP_ZLIB, damaged, packed.len, piece, 1 + next_random() % 9000, &zlib);
		free(damaged);
		assert_int_equal(a, b);
		if (a == 1) {
			assert_int_equal(isal.len, zlib.len);
			assert_memory_equal(buf_str(&isal), buf_str(&zlib), isal.len);
		}
	}
}

static void sha256_is_the_known_one(void **unused)
{
	char out[DIGEST_TEXT_SIZE];
	struct digest *d = digest_new();

	(void)unused;
	digest_of("abc", 3, out);
	assert_string_equal(out, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_add(d, "a", 1);
	digest_add(d, "bc", 2);
	memset(out, 0, sizeof(out));
	digest_end(d, out);
	digest_free(d);
	assert_string_equal(out, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_engines_inflate_members_in_any_pieces),
		cmocka_unit_test(zstd_frames_are_one_stream),
		cmocka_unit_test(what_is_cut_off_is_corrupt),
		cmocka_unit_test(something_behind_the_end_is_corrupt),
		cmocka_unit_test(engines_agree_on_damaged_input),
		cmocka_unit_test(sha256_is_the_known_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
