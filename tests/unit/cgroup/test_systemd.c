/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd driver, where systemd is process 1: in the guest of tests/vm. */
#include <setjmp.h>
#include <signal.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "cgroup/systemd.h"
#include "sys/cgroupfs.h"

static struct cgroup_host *host;
static struct error err;

#define ok(call)                                                  \
	do {                                                      \
		if ((call) < 0)                                   \
			fail_msg("%s: %s", #call, err_msg(&err)); \
	} while (0)

static pid_t start_sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	assert_true(pid > 0);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool is_in(pid_t pid, const char *path)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *file = str_fmt("/proc/%d/cgroup", pid), *line = str_fmt("0::%s\n", path);

	ok(file_read(AT_FDCWD, file, 4096, &text, &err));
	return strstr(buf_str(&text), line);
}

static bool is_gone(const char *path)
{
	for (int i = 0; i < 500; i++) {
		struct cgroup *cg = NULL;

		if (cgroup_open(host, path, &cg, &err) == -ERR_NOT_FOUND)
			return true;
		cgroup_free(cg);
		usleep(10000);
	}
	return false;
}

static void a_pod_gets_one_delegated_scope(void **state)
{
	struct cgroup_resources res = { .has_memory_limit = true,
					.memory_limit = 16 << 20,
					.has_pids_limit = true,
					.pids_limit = 9,
					.has_cpu_shares = true,
					.cpu_shares = 512,
					.cpuset_cpus = "0" };
	char unit[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX], container[CGROUP_PATH_MAX], text[64];
	struct cgroup_scope scope = {
		.path = path, .leaf = "monitor", .timeout_ms = 60000, .pid = start_sleeper()
	};
	cleanup_free char *leaf = NULL;
	struct cgroup *cg = NULL;
	pid_t second;

	(void)state;
	ok(cgroup_path_below(host, "/hulltest.slice/hulltest-pod1.slice", "hull", "a", unit, &err));
	ok(cgroup_path_resolve(host, unit, path, &err));
	ok(cgroup_scope_start(host, &scope, &err));
	assert_string_equal(path, "/hulltest.slice/hulltest-pod1.slice/hull-a.scope");
	leaf = str_fmt("%s/monitor", path);
	assert_true(is_in(scope.pid, leaf));

	/* Containers: plain cgroups in it, with every controller. */
	ok(cgroup_path_below(host, path, "hull", "c1", container, &err));
	assert_string_equal(container, "/hulltest.slice/hulltest-pod1.slice/hull-a.scope/hull-c1");
	ok(cgroup_create(host, container, &res, &cg, &err));
	assert_true(cgroupfs_read(cgroup_dfd(cg, CGROUP_MEMORY), "memory.max", text, sizeof(text)) > 0);
	assert_string_equal(text, "16777216");
	ok(cgroup_remove(host, container, 0, &err));
	cgroup_free(cg);

	/* The name is taken while it lives. */
	second = scope.pid;
	scope.pid = start_sleeper();
	assert_int_equal(cgroup_scope_start(host, &scope, &err), -ERR_EXISTS);
	end(scope.pid);
	assert_true(is_in(second, leaf));

	/* With its last process it goes by itself, and can be stopped and made again. */
	end(second);
	assert_true(is_gone(path));
	ok(cgroup_scope_remove(host, path, 60000, &err));
	scope.path = unit;
	scope.pid = start_sleeper();
	ok(cgroup_scope_start(host, &scope, &err));
	ok(cgroup_create(host, container, &res, &cg, &err));
	cgroup_free(cg);
	ok(cgroup_scope_remove(host, unit, 60000, &err));
	assert_int_equal(waitpid(scope.pid, NULL, 0), scope.pid);
	assert_int_equal(cgroup_open(host, path, &cg, &err), -ERR_NOT_FOUND);
}

static void a_scope_for_a_dead_process_is_an_error(void **state)
{
	struct cgroup_scope scope = { .path = "hulltest.slice:hull:dead",
				      .leaf = "monitor",
				      .timeout_ms = 60000,
				      .pid = start_sleeper() };

	(void)state;
	end(scope.pid);
	assert_true(cgroup_scope_start(host, &scope, &err) < 0);
	print_message("%s\n", err_msg(&err));
	scope.path = "hulltest.slice::hulltest-x.slice";
	assert_int_equal(cgroup_scope_start(host, &scope, &err), -ERR_INVALID);
	scope.path = "/elsewhere/hulltest.slice/x.scope";
	assert_int_equal(cgroup_scope_start(host, &scope, &err), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_gets_one_delegated_scope),
		cmocka_unit_test(a_scope_for_a_dead_process_is_an_error),
	};
	int failed;

	if (cgroup_host_open(CGROUP_DRIVER_SYSTEMD, &host, &err) < 0) {
		printf("skipped: %s\n", err_msg(&err));
		return err.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cgroup_host_free(host);
	return failed;
}
