/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/str.h"

static void numbers_are_strict(void **state)
{
	struct error e = ERROR_INIT;
	uint32_t v = 7;
	int64_t i = 7;

	(void)state;
	assert_int_equal(str_to_u32("4294967295", &v, &e), 0);
	assert_int_equal(v, UINT32_MAX);
	assert_int_equal(str_to_u32("4294967296", &v, &e), -ERR_INVALID);
	assert_int_equal(v, UINT32_MAX);
	assert_int_equal(str_to_u32("+1", &v, &e), -ERR_INVALID);
	assert_int_equal(str_to_u32("", &v, &e), -ERR_INVALID);
	assert_int_equal(str_to_u32(" 1", &v, &e), -ERR_INVALID);
	assert_int_equal(str_to_i64("-9223372036854775808", &i, &e), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(str_to_i64("9223372036854775808", &i, &e), -ERR_INVALID);
}

static void utf8_is_checked(void **state)
{
	(void)state;
	assert_true(str_is_utf8("gr\xc3\xbc\xc3\x9f", 6));
	assert_false(str_is_utf8("\xc0\xaf", 2));	  /* overlong */
	assert_false(str_is_utf8("\xed\xa0\x80", 3));	  /* surrogate */
	assert_false(str_is_utf8("\xf4\x90\x80\x80", 4)); /* past U+10FFFF */
	assert_false(str_is_utf8("a\0b", 3));
	assert_false(str_is_utf8("\xe2\x82", 2));
}

static void ids(void **state)
{
	char id[ID_LEN + 1];

	(void)state;
	str_random_hex(id, 32);
	assert_true(str_is_id(id));
	id[3] = 'G';
	assert_false(str_is_id(id));
	assert_false(str_is_id("abc"));
	assert_false(str_is_id(NULL));
}

static void time_is_rfc3339_with_nine_digits(void **state)
{
	char out[CLOCK_RFC3339_SIZE];

	(void)state;
	clock_rfc3339(INT64_C(1700000000000000042), out);
	assert_string_equal(out, "2023-11-14T22:13:20.000000042Z");
	clock_rfc3339(-1, out);
	assert_string_equal(out, "1969-12-31T23:59:59.999999999Z");
}

/* The dates are those of date -u -d @SECONDS. */
static void time_knows_leap_years(void **state)
{
	static const struct {
		int64_t s;
		const char *text;
	} times[] = {
		{ 951868799, "2000-02-29T23:59:59.000000000Z" },
		{ 1709164800, "2024-02-29T00:00:00.000000000Z" },
		{ 4107542400, "2100-03-01T00:00:00.000000000Z" },
		{ 4102444800, "2100-01-01T00:00:00.000000000Z" },
		{ -31536000, "1969-01-01T00:00:00.000000000Z" },
		{ 1798761599, "2026-12-31T23:59:59.000000000Z" },
	};
	char out[CLOCK_RFC3339_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		clock_rfc3339(times[i].s * NS_PER_S, out);
		assert_string_equal(out, times[i].text);
	}
}

static void buffers_grow_and_consume(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	assert_int_equal(b.len, strlen(b.data));
	buf_consume(&b, 2);
	assert_memory_equal(b.data, "1,2,", 4);
	buf_consume(&b, 1 << 20);
	assert_string_equal(buf_str(&b), "");
}

static void a_buffer_that_got_nothing_is_an_empty_string(void **state)
{
	/* A freed block of this size, full of other bytes, is what the allocator gives out next. */
	char *junk = malloc(20000);

	(void)state;
	memset(junk, 'x', 20000);
	free(junk);
	for (int i = 0; i < 4; i++) {
		cleanup_buf struct buf b = BUF_INIT;

		buf_reserve(&b, 16384);
		assert_string_equal(buf_str(&b), "");
		memset(b.data, 'x', 16384);
	}
}

static void maps_keep_what_is_put(void **state)
{
	struct map m = MAP_INIT;
	static int values[500];
	char key[16];
	size_t pos = 0, n = 0;

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_null(map_put(&m, key, &values[i]));
	}
	for (int i = 0; i < 500; i += 2) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(map_remove(&m, key), &values[i]);
		assert_null(map_get(&m, key));
	}
	for (int i = 1; i < 500; i += 2) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(map_get(&m, key), &values[i]);
	}
	while (map_next(&m, &pos, NULL))
		n++;
	assert_int_equal(n, 250);
	assert_int_equal(m.count, 250);
	assert_null(map_put(&m, "k0", &values[0]));
	assert_ptr_equal(map_put(&m, "k0", &values[1]), &values[0]);
	map_done(&m);
}

static void split(void **state)
{
	cleanup_strv struct strv s = STRV_INIT, copy = STRV_INIT;

	(void)state;
	strv_split(&s, "//a/b//c", "/");
	assert_int_equal(s.n, 3);
	assert_string_equal(s.v[2], "c");
	assert_true(strv_has(&s, "b"));
	assert_false(strv_has(&s, "d"));
	strv_add_all(&copy, &s);
	assert_int_equal(copy.n, 3);
	assert_string_equal(copy.v[1], "b");
	assert_ptr_not_equal(copy.v[1], s.v[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(utf8_is_checked),
		cmocka_unit_test(ids),
		cmocka_unit_test(time_is_rfc3339_with_nine_digits),
		cmocka_unit_test(time_knows_leap_years),
		cmocka_unit_test(buffers_grow_and_consume),
		cmocka_unit_test(a_buffer_that_got_nothing_is_an_empty_string),
		cmocka_unit_test(maps_keep_what_is_put),
		cmocka_unit_test(split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
