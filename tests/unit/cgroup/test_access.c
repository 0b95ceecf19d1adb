/* SPDX-License-Identifier: Apache-2.0 */
/* Without access to cgroups: a process that gave up its rights makes none, which is fine as long as no limit is
 * asked for. Each test runs in a child that has become somebody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/str.h"
#include "cgroup/handle.h"

#define NOBODY 65534

/* What the child found out, in its exit status. */
enum { AS_EXPECTED, NO_HOST, OTHER_RESULT, OTHER_MESSAGE, NOT_NULL, NO_SUCH_ID };

static struct error err;
static char path[64];

static int in_child_as_nobody(int (*fn)(struct cgroup_host *host))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct cgroup_host *host = NULL;

		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(errno == EINVAL ? NO_SUCH_ID
					      : NO_HOST); /* our user namespace does not map it */
		if (cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &host, &err) < 0)
			_exit(NO_HOST);
		_exit(fn(host));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_SUCH_ID)
		skip();
	return WEXITSTATUS(status);
}

static int create_strictly(struct cgroup_host *host)
{
	struct cgroup *cg = NULL;

	if (cgroup_create(host, path, NULL, &cg, &err) != -ERR_DENIED)
		return OTHER_RESULT;
	return cg ? NOT_NULL : AS_EXPECTED;
}

static int create_without_limits(struct cgroup_host *host)
{
	/* The rules that every spec has are no limits. */
	const struct cgroup_device rule = { .allow = false, .type = 'a', .major = -1, .minor = -1 };
	const struct cgroup_resources res = { .devices = &rule, .device_count = 1 };
	struct cgroup *cg = NULL;

	cgroup_host_may_lack_access(host);
	if (cgroup_create(host, path, &res, &cg, &err) < 0)
		return OTHER_RESULT;
	return cg ? NOT_NULL : AS_EXPECTED;
}

static int create_with_limits(struct cgroup_host *host)
{
	const struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 10 };
	struct cgroup *cg = NULL;

	cgroup_host_may_lack_access(host);
	if (cgroup_create(host, path, &res, &cg, &err) != -ERR_DENIED)
		return OTHER_RESULT;
	if (!strstr(err_msg(&err), "pids") || !strstr(err_msg(&err), "Delegate=yes")) {
		fprintf(stderr, "%s\n", err_msg(&err));
		return OTHER_MESSAGE;
	}
	return cg ? NOT_NULL : AS_EXPECTED;
}

static void need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void without_the_word_it_is_denied(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(in_child_as_nobody(create_strictly), AS_EXPECTED);
}

static void no_limits_need_no_cgroup(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(in_child_as_nobody(create_without_limits), AS_EXPECTED);
}

static void limits_are_refused_with_the_remedy(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(in_child_as_nobody(create_with_limits), AS_EXPECTED);
}

static void full_access_makes_all_the_same(void **state)
{
	const struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 10 };
	struct cgroup_host *host = NULL;
	struct cgroup *cg = NULL;

	(void)state;
	need_root();
	assert_true(cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &host, &err) >= 0);
	cgroup_host_may_lack_access(host);
	if (cgroup_create(host, path, &res, &cg, &err) < 0)
		fail_msg("%s", err_msg(&err));
	assert_non_null(cg);
	assert_true(cgroup_dfd(cg, CGROUP_PIDS) >= 0);
	cgroup_free(cg);
	assert_true(cgroup_remove(host, path, 0, &err) >= 0);
	cgroup_host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_word_it_is_denied),
		cmocka_unit_test(no_limits_need_no_cgroup),
		cmocka_unit_test(limits_are_refused_with_the_remedy),
		cmocka_unit_test(full_access_makes_all_the_same),
	};

	snprintf(path, sizeof(path), "/hull-test-access-%d", getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
