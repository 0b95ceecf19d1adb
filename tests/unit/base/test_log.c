/* SPDX-License-Identifier: Apache-2.0 */
/* What others parse of the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"

/* The line that this makes, without its time and its end. */
static void line_of(enum log_format format, enum log_level level, const char *msg, char out[256])
{
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	log_setup(fds[1], format, LOG_LEVEL_DEBUG);
	log_write(level, "%s", msg);
	log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	close(fds[1]);
	n = read(fds[0], out, 255);
	close(fds[0]);
	assert_true(n > 0 && out[n - 1] == '\n');
	out[n - 1] = '\0';
}

static void logfmt_is_as_logrus_writes_it(void **state)
{
	static const struct {
		enum log_level level;
		const char *msg, *rest;
	} rows[] = {
		{ LOG_LEVEL_ERROR, "plain", " level=error msg=plain" },
		{ LOG_LEVEL_WARN, "two words", " level=warning msg=\"two words\"" },
		{ LOG_LEVEL_INFO, "a/b-c_d.e@f^g+h", " level=info msg=a/b-c_d.e@f^g+h" },
		{ LOG_LEVEL_DEBUG, "say \"x\" \\ y", " level=debug msg=\"say \\\"x\\\" \\\\ y\"" },
		{ LOG_LEVEL_ERROR, "a\nb\tc\rd", " level=error msg=\"a\\nb\\tc\\rd\"" },
		{ LOG_LEVEL_ERROR, "\x01\xff", " level=error msg=\"\\x01\\xff\"" },
		{ LOG_LEVEL_ERROR, "gr\xc3\xbc\xc3\x9f", " level=error msg=\"gr\xc3\xbc\xc3\x9f\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char line[256], *rest;

		line_of(LOG_FORMAT_LOGFMT, rows[i].level, rows[i].msg, line);
		rest = strchr(line, ' ');
		assert_non_null(rest);
		assert_string_equal(rest, rows[i].rest);
		/* time="2026-01-02T03:04:05Z" */
		assert_int_equal(rest - line, strlen("time=\"2026-01-02T03:04:05Z\""));
		assert_true(str_starts(line, "time=\"20") && rest[-1] == '"' && rest[-2] == 'Z');
	}
}

static void fields_follow_the_message(void **state)
{
	char line[256];

	(void)state;
	log_field("pod", "a b");
	line_of(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "x", line);
	log_field("pod", NULL);
	assert_true(str_ends(line, " level=info msg=x pod=\"a b\""));
}

static void json_has_level_msg_and_time(void **state)
{
	char line[256];

	(void)state;
	line_of(LOG_FORMAT_JSON, LOG_LEVEL_ERROR, "say \"x\"\n", line);
	assert_true(str_starts(line, "{\"time\":\"20"));
	assert_true(str_ends(line, "Z\",\"level\":\"error\",\"msg\":\"say \\\"x\\\"\\u000a\"}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logfmt_is_as_logrus_writes_it),
		cmocka_unit_test(fields_follow_the_message),
		cmocka_unit_test(json_has_level_msg_and_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
