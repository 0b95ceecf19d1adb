/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "sys/seccomp.h"

static void the_kernel_says_what_it_has(void **state)
{
	(void)state;
	assert_true(seccomp_has_action(SECCOMP_RET_ERRNO));
	assert_true(seccomp_has_action(SECCOMP_RET_KILL_PROCESS));
	assert_false(seccomp_has_action(0x12340000));
	assert_int_equal(seccomp_unknown_flags(0), 0);
	assert_int_equal(seccomp_unknown_flags(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG |
					       SECCOMP_FILTER_FLAG_SPEC_ALLOW),
			 0);
	assert_int_equal(seccomp_unknown_flags(1u << 25 | SECCOMP_FILTER_FLAG_LOG), 1u << 25);
}

static void an_installed_filter_answers(void **state)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    seccomp_install(code, ARRAY_LEN(code), 0, NULL) < 0)
			_exit(1);
		errno = 0;
		_exit(syscall(SYS_getppid) == -1 && errno == 77 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_says_what_it_has),
		cmocka_unit_test(an_installed_filter_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
