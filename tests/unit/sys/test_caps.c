/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/caps.h"

static void names_and_numbers_agree(void **state)
{
	(void)state;
	assert_int_equal(caps_from_name("CAP_SYS_ADMIN"), CAP_SYS_ADMIN);
	assert_int_equal(caps_from_name("sys_admin"), CAP_SYS_ADMIN);
	assert_int_equal(caps_from_name("cap_checkpoint_restore"), CAP_CHECKPOINT_RESTORE);
	assert_int_equal(caps_from_name("CAP_"), -1);
	assert_int_equal(caps_from_name("CAP_CAP_KILL"), -1);
	assert_int_equal(caps_from_name(""), -1);
	for (unsigned int n = 0; caps_name(n); n++)
		assert_int_equal(caps_from_name(caps_name(n)), n);
	assert_null(caps_name(CAP_LAST_CAP + 1));
}

static void the_bounding_set_is_part_of_what_the_kernel_has(void **state)
{
	(void)state;
	assert_true(caps_kernel_mask() & CAP_BIT(CAP_CHECKPOINT_RESTORE));
	assert_int_equal(caps_bounding() & ~caps_kernel_mask(), 0);
	assert_int_equal(caps_kernel_mask() & (caps_kernel_mask() + 1), 0); /* no holes */
}

/* Returns a step's number as the exit status when it fails. */
static int apply(void)
{
	uint64_t effective = 0, permitted = 0, inheritable = 0, keep = CAP_BIT(CAP_KILL) | CAP_BIT(CAP_CHOWN);
	struct error e = ERROR_INIT;

	if (caps_drop_bounding(keep, &e) < 0 || (caps_bounding() & ~keep))
		return 1;
	if (caps_set(CAP_BIT(CAP_KILL), keep, CAP_BIT(CAP_KILL), &e) < 0)
		return 2;
	if (caps_get(&effective, &permitted, &inheritable, &e) < 0 || effective != CAP_BIT(CAP_KILL) ||
	    permitted != keep || inheritable != CAP_BIT(CAP_KILL))
		return 3;
	if (!caps_have(CAP_KILL) || caps_have(CAP_CHOWN))
		return 4;
	if (caps_set_ambient(CAP_BIT(CAP_KILL), &e) < 0)
		return 5;
	if (caps_set_ambient(CAP_BIT(CAP_CHOWN), &e) != -ERR_SYS || !strstr(err_msg(&e), "CAP_CHOWN"))
		return 6;
	if (caps_set(0, CAP_BIT(CAP_SYS_ADMIN), 0, &e) != -ERR_SYS)
		return 7;
	/* CAP_SETPCAP is gone. What is not there needs none. */
	if (caps_drop_bounding(keep, &e) < 0)
		return 8;
	return caps_drop_bounding(0, &e) == -ERR_SYS && strstr(err_msg(&e), "CAP_CHOWN") ? 0 : 9;
}

static void sets_are_applied_to_the_thread(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (!caps_have(CAP_SETPCAP)) {
		print_message("needs CAP_SETPCAP\n");
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(apply());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_agree),
		cmocka_unit_test(the_bounding_set_is_part_of_what_the_kernel_has),
		cmocka_unit_test(sets_are_applied_to_the_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
