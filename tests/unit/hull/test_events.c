/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hull/events.h"
#include "hull/stats.h"

static struct error err;

static void durations_are_gos(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} known[] = {
		{ "0", 0 },
		{ "5s", 5 * NS_PER_S },
		{ "+5s", 5 * NS_PER_S },
		{ "-5s", -5 * NS_PER_S },
		{ "300ms", 300 * NS_PER_MS },
		{ "1.5h", 5400 * NS_PER_S },
		{ ".5s", NS_PER_S / 2 },
		{ "1.s", NS_PER_S },
		{ "1h2m3s4ms5us6ns", 3723 * NS_PER_S + 4 * NS_PER_MS + 5006 },
		{ "7\xc2\xb5s", 7000 },
		{ "7\xce\xbcs", 7000 },
		{ "0.0000000001s", 0 },
		{ "2562047h", 2562047LL * 3600 * NS_PER_S },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		int64_t ns = 1;

		if (duration_parse(known[i].text, &ns, &err) < 0)
			fail_msg("%s: %s", known[i].text, err_msg(&err));
		assert_true(ns == known[i].ns);
	}
}

static void what_is_no_duration_is_refused(void **state)
{
	static const char *const bad[] = {
		"",    "5",  "s",     ".s", "-",    "5 s",	"5x",
		"1s1", "m5", "1..5s", "5S", "--5s", "2562048h", "99999999999999999999s"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ns = 1;

		if (duration_parse(bad[i], &ns, &err) != -ERR_INVALID)
			fail_msg("\"%s\" is taken for %lld", bad[i], (long long)ns);
	}
}

static void assert_json(struct json_object *o, const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;

	json_text(o, false, &b);
	json_free(o);
	assert_string_equal(buf_str(&b), text);
}

static void entries_of_block_devices(void **state)
{
	(void)state;
	assert_json(stats_blkio_v1("8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096"),
		    "[{\"major\":8,\"op\":\"Read\",\"value\":4096},{\"major\":8,\"op\":\"Write\"},"
		    "{\"major\":8,\"op\":\"Total\",\"value\":4096}]");
	assert_json(stats_blkio_v1("8:16 77"), "[{\"major\":8,\"minor\":16,\"value\":77}]");
	assert_null(stats_blkio_v1("Total 0"));
	assert_null(stats_blkio_v1(""));
}

static void lists_of_cpus(void **state)
{
	(void)state;
	assert_json(stats_cpu_list("0-2,5"), "[0,1,2,5]");
	assert_json(stats_cpu_list("7"), "[7]");
	assert_json(stats_cpu_list(""), "[]");
	assert_json(stats_cpu_list("3-1"), "[]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_gos),
		cmocka_unit_test(what_is_no_duration_is_refused),
		cmocka_unit_test(entries_of_block_devices),
		cmocka_unit_test(lists_of_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
