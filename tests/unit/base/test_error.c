/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"

static void chain_reads_from_the_outside_in(void **state)
{
	struct error e = ERROR_INIT;
	int r;

	(void)state;
	errno = ENOENT;
	r = err_sys(&e, "mount \"%s\"", "/a");
	assert_int_equal(r, -ERR_SYS);
	assert_int_equal(e.sys, ENOENT);
	r = err_ctx(&e, "start container \"%s\"", "web");
	assert_int_equal(r, -ERR_SYS);
	assert_string_equal(err_msg(&e), "start container \"web\": mount \"/a\": No such file or directory");
	err_hint(&e, "make it first");
	assert_string_equal(
		err_msg(&e),
		"start container \"web\": mount \"/a\": No such file or directory (make it first)");
}

static void the_cause_survives_any_context(void **state)
{
	struct error e = ERROR_INIT;
	char large[900];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	err_new(&e, ERR_INVALID, "the cause");
	for (int i = 0; i < 5; i++)
		assert_int_equal(err_ctx(&e, "%s", large), -ERR_INVALID);
	assert_true(e.lost > 0);
	assert_int_equal(strlen(err_msg(&e)), sizeof(e.text) - 1);
	assert_string_equal(err_msg(&e) + strlen(err_msg(&e)) - 9, "the cause");
}

static void foreign_control_bytes_do_not_break_lines(void **state)
{
	struct error e = ERROR_INIT;

	(void)state;
	err_new(&e, ERR_INVALID, "name \"%s\"", "a\nb\x1b[0m");
	assert_string_equal(err_msg(&e), "name \"a b [0m\"");
}

static void a_malformed_import_is_refused(void **state)
{
	struct error e = ERROR_INIT;

	(void)state;
	err_new(&e, ERR_INVALID, "fine");
	assert_int_equal(err_import(&e), 0);
	e.start = 5000;
	assert_int_equal(err_import(&e), -ERR_CORRUPT);
	err_new(&e, ERR_INVALID, "fine");
	memset(e.text, 'a', sizeof(e.text));
	assert_int_equal(err_import(&e), -ERR_CORRUPT);
	err_new(&e, ERR_INVALID, "fine");
	e.kind = 99;
	assert_int_equal(err_import(&e), -ERR_CORRUPT);
}

static void null_gives_the_kind_only(void **state)
{
	(void)state;
	assert_int_equal(err_new(NULL, ERR_LIMIT, "x"), -ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_reads_from_the_outside_in),
		cmocka_unit_test(the_cause_survives_any_context),
		cmocka_unit_test(foreign_control_bytes_do_not_break_lines),
		cmocka_unit_test(a_malformed_import_is_refused),
		cmocka_unit_test(null_gives_the_kind_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
