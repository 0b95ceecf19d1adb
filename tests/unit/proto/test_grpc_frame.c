/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proto/grpc_frame.h"

static void a_message_is_read_however_it_is_cut(void **state)
{
	static const uint8_t bytes[] = { 0, 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0 };

	(void)state;
	for (size_t piece = 1; piece <= sizeof(bytes); piece++) {
		struct grpc_reader r = GRPC_READER_INIT(100);
		unsigned messages = 0;

		for (size_t at = 0; at < sizeof(bytes);) {
			size_t n = sizeof(bytes) - at < piece ? sizeof(bytes) - at : piece, used;

			assert_int_equal(grpc_reader_feed(&r, bytes + at, n, &used, NULL), 0);
			at += used;
			if (!grpc_reader_is_complete(&r))
				continue;
			assert_string_equal(buf_str(&r.message), messages++ == 0 ? "abc" : "");
			grpc_reader_next(&r);
		}
		assert_int_equal(messages, 2);
		assert_true(grpc_reader_is_empty(&r));
		grpc_reader_done(&r);
	}
}

static void a_prefix_that_cannot_be_taken_is_refused_before_its_bytes(void **state)
{
	static const struct {
		uint8_t bytes[5];
		int want;
	} cases[] = {
		{ { 0, 0, 0, 0, 101 }, -ERR_LIMIT },
		{ { 0, 0xff, 0xff, 0xff, 0xff }, -ERR_LIMIT },
		{ { 1, 0, 0, 0, 1 }, -ERR_UNSUPPORTED },
		{ { 2, 0, 0, 0, 1 }, -ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct grpc_reader r = GRPC_READER_INIT(100);
		size_t used;

		assert_int_equal(grpc_reader_feed(&r, cases[i].bytes, 5, &used, NULL), cases[i].want);
		assert_int_equal(r.message.cap, 0);
	}
}

static void timeouts_have_digits_and_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "1n", 1 },
		{ "20u", 20000 },
		{ "300m", 300 * NS_PER_MS },
		{ "4S", 4 * NS_PER_S },
		{ "5M", 300 * NS_PER_S },
		{ "6H", 21600 * NS_PER_S },
		{ "0S", 0 },
		{ "99999999H", INT64_MAX },
	};
	static const char *const bad[] = { "",	   "S",	 "1",	"123456789S", "-1S",
					   "1.5S", "1s", " 1S", "1 S",	      "1SS" };
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(grpc_timeout_parse(good[i].text, strlen(good[i].text), &ns, NULL), 0);
		assert_true(ns == good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(grpc_timeout_parse(bad[i], strlen(bad[i]), &ns, NULL), -ERR_INVALID);
}

static void a_timeout_is_never_told_shorter(void **state)
{
	static const int64_t cases[] = { 1,	   999, 99999999, 100000000, 123456789012, 7 * NS_PER_S + 1,
					 INT64_MAX };
	char text[GRPC_TIMEOUT_SIZE];
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		grpc_timeout_format(cases[i], text);
		assert_int_equal(grpc_timeout_parse(text, strlen(text), &ns, NULL), 0);
		assert_true(ns >= cases[i]);
		assert_true(ns / 2 <= cases[i]);
	}
	grpc_timeout_format(-5, text);
	assert_string_equal(text, "1n");
}

static void messages_are_escaped_to_plain_ascii(void **state)
{
	cleanup_buf struct buf out = BUF_INIT, back = BUF_INIT;

	(void)state;
	grpc_message_escape("100% \xc3\xa9\n~", &out);
	assert_string_equal(buf_str(&out), "100%25 %C3%A9%0A~");
	grpc_message_unescape(buf_str(&out), out.len, &back);
	assert_string_equal(buf_str(&back), "100% \xc3\xa9\n~");
	buf_clear(&back);
	grpc_message_unescape("%zz%4", 5, &back);
	assert_string_equal(buf_str(&back), "%zz%4");
}

static void content_types_of_grpc_are_known(void **state)
{
	static const char *const good[] = { "application/grpc", "application/grpc+proto",
					    "Application/GRPC;x=y" };
	static const char *const bad[] = { "", "application/grpc-web", "application/grpc+json", "text/html",
					   "application/json" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(grpc_content_type_is_ok(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(grpc_content_type_is_ok(bad[i], strlen(bad[i])));
}

static void statuses_have_names_and_numbers(void **state)
{
	(void)state;
	assert_int_equal(grpc_status_parse("5", 1), GRPC_NOT_FOUND);
	assert_int_equal(grpc_status_parse("16", 2), GRPC_UNAUTHENTICATED);
	assert_int_equal(grpc_status_parse("17", 2), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_parse("", 0), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_parse("-1", 2), GRPC_UNKNOWN);
	assert_string_equal(grpc_status_name(GRPC_NOT_FOUND), "NotFound");
	assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
	assert_string_equal(grpc_status_name(99), "Unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_read_however_it_is_cut),
		cmocka_unit_test(a_prefix_that_cannot_be_taken_is_refused_before_its_bytes),
		cmocka_unit_test(timeouts_have_digits_and_a_unit),
		cmocka_unit_test(a_timeout_is_never_told_shorter),
		cmocka_unit_test(messages_are_escaped_to_plain_ascii),
		cmocka_unit_test(content_types_of_grpc_are_known),
		cmocka_unit_test(statuses_have_names_and_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
