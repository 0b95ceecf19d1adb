/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "codec/json.h"

static int parse(const char *text)
{
	cleanup_json struct json_object *doc = NULL;
	struct error e = ERROR_INIT;
	/* An exact heap copy, so that a read past the end is seen by ASan. */
	size_t len = strlen(text);
	cleanup_free char *copy = mem_dup(text, len ? len : 1);

	return json_parse(copy, len, 0, &doc, &e);
}

static void what_rfc_8259_allows_is_read(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"null",
		"true",
		"false",
		"0",
		"-1",
		"12",
		"1.5",
		"1e3",
		"-0.5E-3",
		"\"x\"",
		" [1, 2] \n",
		"{\"a\":{\"b\":[null,true,\"\\u00e9\\n\\\"\"]}}",
		"18446744073709551615",
		"-9223372036854775808",
		"\"\\\\u0000\"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (parse(good[i]) != 0)
			fail_msg("refused: %s", good[i]);
	}
}

static void what_json_c_would_let_pass_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"  ",
		"{",
		"[1,]",
		"{\"a\":1,}",
		"{'a':1}",
		"['x']",
		"NaN",
		"[NaN]",
		"Infinity",
		"-Infinity",
		"[-]",
		"// x\n{}",
		"/* x */{}",
		"[1 /* x */]",
		"{} {}",
		"{}x",
		"01",
		"+1",
		".5",
		"1.",
		"1e",
		"0x10",
		"\"a\nb\"",
		"\"a\tb\"",
		"\"\\u0000\"",
		"{\"a\\u0000b\":1}",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\xff\"",
		"\"\xed\xa0\x80\"",
		"18446744073709551616",
		"-9223372036854775809",
		"123456789012345678901234567890",
		"TRUE",
		"True",
		"nulll",
		"[1 2]",
		"{\"a\" 1}",
		"{a:1}",
		"\"x",
		"]",
		"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (parse(bad[i]) != -ERR_INVALID)
			fail_msg("not refused: %s", bad[i]);
	}
}

static void depth_and_size_are_bounded(void **state)
{
	cleanup_json struct json_object *doc = NULL;
	struct error e = ERROR_INIT;
	char text[4 * JSON_MAX_DEPTH];

	(void)state;
	memset(text, '[', JSON_MAX_DEPTH);
	memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	text[2 * JSON_MAX_DEPTH] = 0;
	assert_int_equal(parse(text), 0);
	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	text[2 * JSON_MAX_DEPTH + 2] = 0;
	assert_int_equal(parse(text), -ERR_LIMIT);
	assert_int_equal(json_parse("[1,2,3]", 7, 6, &doc, &e), -ERR_LIMIT);
	assert_int_equal(json_parse("[1,2,3]", 7, 7, &doc, &e), 0);
}

static void a_nul_byte_in_the_text_is_refused(void **state)
{
	cleanup_json struct json_object *doc = NULL;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(json_parse("{}\0", 3, 0, &doc, &e), -ERR_INVALID);
	assert_int_equal(json_parse("\0{}", 3, 0, &doc, &e), -ERR_INVALID);
	assert_null(doc);
}

static struct json_object *object(const char *text)
{
	struct json_object *doc = NULL;
	struct error e = ERROR_INIT;

	if (json_parse_object(text, strlen(text), 0, &doc, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return doc;
}

static void numbers_are_exact_and_checked_by_range(void **state)
{
	cleanup_json struct json_object *o =
		object("{\"max\":18446744073709551615,\"min\":-9223372036854775808,\"u32\":4294967295,"
		       "\"over\":4294967296,"
		       "\"neg\":-1,\"half\":1.5,\"text\":\"5\",\"null\":null}");
	struct error e = ERROR_INIT;
	uint64_t u64 = 7;
	int64_t i64 = 7;
	uint32_t u32 = 7;
	int32_t i32 = 7;

	(void)state;
	assert_int_equal(json_get_u64(o, "max", &u64, &e), 1);
	assert_true(u64 == UINT64_MAX);
	assert_int_equal(json_get_i64(o, "min", &i64, &e), 1);
	assert_true(i64 == INT64_MIN);
	assert_int_equal(json_get_i64(o, "max", &i64, &e), -ERR_INVALID);
	assert_int_equal(json_get_u64(o, "neg", &u64, &e), -ERR_INVALID);
	assert_int_equal(json_get_u32(o, "u32", &u32, &e), 1);
	assert_true(u32 == UINT32_MAX);
	assert_int_equal(json_get_u32(o, "over", &u32, &e), -ERR_INVALID);
	assert_string_equal(err_msg(&e), "\"over\": 4294967296 is not in the range 0 to 4294967295");
	assert_int_equal(json_get_i32(o, "u32", &i32, &e), -ERR_INVALID);
	assert_int_equal(json_get_u32(o, "half", &u32, &e), -ERR_INVALID);
	assert_int_equal(json_get_u32(o, "text", &u32, &e), -ERR_INVALID);
	assert_true(u32 == UINT32_MAX && i32 == 7);
	assert_int_equal(json_get_u32(o, "null", &u32, &e), 0);
	assert_int_equal(json_need(json_get_u32(o, "absent", &u32, &e), "absent", &e), -ERR_INVALID);
	assert_string_equal(err_msg(&e), "\"absent\" is missing");
}

static void a_wrong_type_is_named(void **state)
{
	cleanup_json struct json_object *o = object("{\"a\":[1,\"x\"],\"s\":[\"x\",\"y\"]}");
	cleanup_strv struct strv v = STRV_INIT;
	struct error e = ERROR_INIT;
	const char *s = NULL;

	(void)state;
	assert_int_equal(json_get_str(o, "a", &s, &e), -ERR_INVALID);
	assert_string_equal(err_msg(&e), "\"a\": wanted a string, found an array");
	assert_int_equal(json_get_strv(o, "a", 10, &v, &e), -ERR_INVALID);
	assert_int_equal(v.n, 0);
	assert_int_equal(json_get_strv(o, "s", 1, &v, &e), -ERR_LIMIT);
	assert_int_equal(json_get_strv(o, "s", 2, &v, &e), 1);
	assert_int_equal(v.n, 2);
	assert_string_equal(v.v[1], "y");
}

static void the_last_of_equal_keys_wins(void **state)
{
	cleanup_json struct json_object *o = object("{\"a\":1,\"a\":2}");
	struct error e = ERROR_INIT;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(json_get_u32(o, "a", &n, &e), 1);
	assert_int_equal(n, 2);
}

static void what_is_written_reads_back(void **state)
{
	cleanup_json struct json_object *o = json_new(), *back = NULL;
	static const char *const items[] = { "x", "y" };
	cleanup_buf struct buf b = BUF_INIT;
	struct json_object *list;

	(void)state;
	json_put_str(o, "s", "a/b \"q\" \n\x01");
	json_put_str(o, "none", NULL);
	json_put_u64(o, "max", UINT64_MAX);
	json_put_i64(o, "min", INT64_MIN);
	json_put_bool(o, "b", true);
	json_put_strs(o, "v", items, 2);
	list = json_put_array(o, "l");
	json_put_str(json_push_object(list), "k", "v");
	json_put_object(o, "o");
	json_text(o, false, &b);
	assert_string_equal(buf_str(&b), "{\"s\":\"a/b \\\"q\\\" \\n\\u0001\",\"max\":18446744073709551615,"
					 "\"min\":-9223372036854775808,\"b\":true,\"v\":[\"x\",\"y\"],"
					 "\"l\":[{\"k\":\"v\"}],\"o\":{}}");
	back = object(buf_str(&b));
	assert_true(json_object_equal(o, back));
}

static void wrong_utf8_is_replaced_when_written(void **state)
{
	cleanup_json struct json_object *s = json_new_str("a\xff\xc3\xa9\xe2\x82");

	(void)state;
	assert_string_equal(json_object_get_string(s), "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_rfc_8259_allows_is_read),
		cmocka_unit_test(what_json_c_would_let_pass_is_refused),
		cmocka_unit_test(depth_and_size_are_bounded),
		cmocka_unit_test(a_nul_byte_in_the_text_is_refused),
		cmocka_unit_test(numbers_are_exact_and_checked_by_range),
		cmocka_unit_test(a_wrong_type_is_named),
		cmocka_unit_test(the_last_of_equal_keys_wins),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(wrong_utf8_is_replaced_when_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
