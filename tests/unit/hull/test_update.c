/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "hull/update.h"

static struct error err;

static void sizes_are_of_1024(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} known[] = {
		{ "0", 0 },
		{ "-1", -1 },
		{ "1048576", 1048576 },
		{ "1k", 1024 },
		{ "1K", 1024 },
		{ "2kb", 2048 },
		{ "2KiB", 2048 },
		{ "3m", 3 << 20 },
		{ "1.5G", (3LL << 30) / 2 },
		{ "1 g", 1 << 30 },
		{ "2t", 2LL << 40 },
		{ "1p", 1LL << 50 },
		{ "7b", 7 },
		{ "9223372036854775807", INT64_MAX },
		{ "9007199254740993", 9007199254740993 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		int64_t n = 5;

		if (update_size(known[i].text, &n, &err) < 0)
			fail_msg("%s: %s", known[i].text, err_msg(&err));
		assert_true(n == known[i].bytes);
	}
}

static void what_is_no_size_is_refused(void **state)
{
	static const char *const bad[] = { "",
					   "x",
					   "m",
					   "12x",
					   "-2",
					   "1..5",
					   "1e3",
					   "0x10",
					   " 1",
					   "1  m",
					   "1mm",
					   "1ki3",
					   "+1",
					   "1m ",
					   "inf",
					   "nan",
					   "99999999999999999999",
					   "9000p" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t n = 5;

		if (update_size(bad[i], &n, &err) != -ERR_INVALID)
			fail_msg("\"%s\" is taken for %lld", bad[i], (long long)n);
		assert_int_equal(n, 5);
	}
}

static void options_become_resources(void **state)
{
	const struct update_opts o = { .memory = "1m",
				       .memory_swap = "-1",
				       .cpu_share = "5",
				       .cpu_quota = "-1",
				       .cpuset_cpus = "0-1",
				       .pids_limit = "0",
				       .blkio_weight = "10",
				       .cpu_idle = "1" };
	cleanup_json struct json_object *change = NULL;
	cleanup_buf struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(update_change(&o, &change, &err), 0);
	json_text(change, false, &text);
	assert_string_equal(buf_str(&text), "{\"memory\":{\"limit\":1048576,\"swap\":-1},"
					    "\"cpu\":{\"shares\":5,\"quota\":-1,\"idle\":1,\"cpus\":\"0-1\"},"
					    "\"pids\":{\"limit\":0},\"blockIO\":{\"weight\":10}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_of_1024),
		cmocka_unit_test(what_is_no_size_is_refused),
		cmocka_unit_test(options_become_resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
