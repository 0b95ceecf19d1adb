// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "sys/numlist.h"

static void lists_are_read(void **state)
{
	static const struct {
		const char *text;
		size_t count;
		size_t in, out; /* a number that is in it, and one that is not */
	} cases[] = {
		{ "0", 1, 0, 1 },
		{ "0-3,7", 5, 7, 4 },
		{ " 1 - 2 , 64 \n", 3, 64, 63 },
		{ "5,5,4-6", 3, 6, 7 },
		{ "8191", 1, 8191, 0 },
		{ "0-8191", 8192, 4096, 8192 },
		{ "63-64,127-128,", 4, 127, 65 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error e = ERROR_INIT;
		struct numlist l;

		if (numlist_parse(cases[i].text, &l, &e) < 0)
			fail_msg("%s: %s", cases[i].text, err_msg(&e));
		assert_int_equal(l.count, cases[i].count);
		assert_true(numlist_has(&l, cases[i].in));
		assert_false(numlist_has(&l, cases[i].out));
	}
}

static void nothing_is_an_empty_list(void **state)
{
	struct error e = ERROR_INIT;
	struct numlist l;

	(void)state;
	assert_int_equal(numlist_parse(" ", &l, &e), 0);
	assert_int_equal(l.count, 0);
}

static void nonsense_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		int kind;
	} cases[] = {
		{ "x", ERR_INVALID },	  { "1-", ERR_INVALID },  { "-1", ERR_INVALID },
		{ "3-1", ERR_INVALID },	  { "1;2", ERR_INVALID }, { "1 2", ERR_INVALID },
		{ "8192", ERR_LIMIT },	  { ",1", ERR_INVALID },  { "99999999999999999999999", ERR_LIMIT },
		{ "0-4:2", ERR_INVALID }, { "0x3", ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct numlist l = { .count = 77 };
		struct error e = ERROR_INIT;

		if (numlist_parse(cases[i].text, &l, &e) != -cases[i].kind)
			fail_msg("%s", cases[i].text);
		assert_non_null(strstr(err_msg(&e), cases[i].text));
		assert_int_equal(l.count, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(nothing_is_an_empty_list),
		cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
