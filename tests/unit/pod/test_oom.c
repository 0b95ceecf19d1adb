/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pod/client.h"
#include "pod/oom.h"

static char text[MONITOR_MESSAGE_SIZE];

static bool describe(struct oom_facts f)
{
	return oom_describe(&f, text, sizeof(text));
}

static void without_a_kill_there_is_no_message(void **state)
{
	(void)state;
	assert_false(describe((struct oom_facts){ .init_was_killed = true }));
	assert_string_equal(text, "");
}

static void the_limit_that_was_hit_is_named(void **state)
{
	(void)state;
	assert_true(describe((struct oom_facts){ .kills = 1,
						 .limit_hits = 1,
						 .has_limit_hits = true,
						 .init_was_killed = true,
						 .limit_bytes = 1048576 }));
	assert_non_null(strstr(text, "1 process of the container"));
	assert_non_null(strstr(text, "limit of 1048576 bytes"));
	assert_true(describe((struct oom_facts){
		.kills = 2, .has_limit_hits = true, .init_was_killed = true, .parent = "/kubepods/pod1" }));
	assert_non_null(strstr(text, "2 processes"));
	assert_non_null(strstr(text, "/kubepods/pod1"));
}

static void a_kill_of_another_process_is_told_but_not_reported(void **state)
{
	(void)state;
	assert_false(describe((struct oom_facts){ .kills = 1, .limit_hits = 1, .has_limit_hits = true }));
	assert_non_null(strstr(text, "its first process was not among them"));
}

static void a_message_is_cut_not_overrun(void **state)
{
	char parent[600], small[32];
	struct oom_facts f = { .kills = 1, .has_limit_hits = true, .parent = parent };

	(void)state;
	memset(parent, 'p', sizeof(parent) - 1);
	parent[sizeof(parent) - 1] = '\0';
	oom_describe(&f, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_kill_there_is_no_message),
		cmocka_unit_test(the_limit_that_was_hit_is_named),
		cmocka_unit_test(a_kill_of_another_process_is_told_but_not_reported),
		cmocka_unit_test(a_message_is_cut_not_overrun),
	};

	return cmocka_run_group_tests_name("pod oom", tests, NULL, NULL);
}
