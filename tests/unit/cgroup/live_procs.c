/* SPDX-License-Identifier: Apache-2.0 */
/* Live: freezing, signals and killing. */
#include "live.h"

static void count_up(void *arg)
{
	for (;; usleep(500))
		++*(volatile unsigned *)arg;
}

static bool is_counting(const volatile unsigned *n)
{
	unsigned before = *n;

	for (int i = 0; i < 2000 && *n < before + 3; i++)
		usleep(1000);
	return *n >= before + 3;
}

static void a_frozen_process_stands_still(void **state)
{
	volatile unsigned *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CLEANUP(strv_done) struct strv files = STRV_INIT;
	struct cgroup *cg;
	unsigned before;

	(void)state;
	need(CGROUP_FREEZER);
	assert_true(n != MAP_FAILED);
	cg = make("freeze", NULL);
	start(cg, count_up, (void *)n);
	assert_true(is_counting(n));
	assert_false(cgroup_is_frozen(cg));
	cgroup_freezer_files(cg, &files);
	assert_int_equal(cgroup_is_frozen_at(&files), 0);
	ok(cgroup_freeze(cg, 5000, &err));
	assert_true(cgroup_is_frozen(cg));
	assert_int_equal(cgroup_is_frozen_at(&files), 1);
	before = *n;
	usleep(20000);
	assert_int_equal(*n, before);
	ok(cgroup_thaw(cg, &err));
	assert_int_equal(cgroup_is_frozen_at(&files), 0);
	assert_true(is_counting(n));
	ok(cgroup_freeze(cg, 5000, &err));
	unmake(cg); /* frozen */
	assert_int_equal(cgroup_is_frozen_at(&files), -1);
	munmap((void *)n, 4096);
}

static void only_files_of_a_cgroup_tell(void **state)
{
	CLEANUP(strv_done) struct strv files = STRV_INIT;
	char path[] = "/tmp/ht-frozen-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(cgroup_is_frozen_at(&files), -1); /* of no file */
	assert_int_equal(write(fd, "FROZEN\n", 7), 7);
	strv_add(&files, path);
	assert_int_equal(cgroup_is_frozen_at(&files), -1);
	close(fd);
	unlink(path);
}

static void fork_deep(void *arg)
{
	signal(SIGTERM, SIG_IGN);
	for (int i = 0; i < 4; i++)
		fork();
	sleep_long(arg);
}

static void a_kill_reaches_every_descendant(void **state)
{
	struct cgroup *cg;
	bool empty = true;

	(void)state;
	skip_if_denied();
	cg = make("kill", NULL);
	start(cg, fork_deep, NULL);
	for (size_t n = 0; n < 16;) {
		cleanup_free pid_t *pids = NULL;

		ok(cgroup_procs(cg, &pids, &n, &err));
		usleep(1000);
	}
	ok(cgroup_is_empty(cg, &empty, &err));
	assert_false(empty);
	ok(cgroup_kill(cg, 5000, &err));
	ok(cgroup_is_empty(cg, &empty, &err));
	assert_true(empty);
	/* An empty one, and a removed one, are killed already. */
	ok(cgroup_kill(cg, 0, &err));
	ok(cgroup_remove(host, cgroup_path(cg), 1, &err));
	ok(cgroup_kill(cg, 100, &err));
	ok(cgroup_is_empty(cg, &empty, &err));
	assert_true(empty);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	cgroup_free(cg);
}

static void fork_for_ever(void *arg)
{
	(void)arg;
	for (;;) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		usleep(100);
	}
}

static void a_kill_outruns_a_process_that_forks_away(void **state)
{
	struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 64 };
	struct cgroup *cg;

	(void)state;
	need(CGROUP_PIDS);
	cg = make("forker", &res);
	wait_for(start(cg, fork_for_ever, NULL));
	ok(cgroup_kill(cg, 10000, &err));
	unmake(cg);
}

static void a_kill_reaches_cgroups_below(void **state)
{
	struct cgroup *cg, *child;
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("nest", NULL);
	child = make("nest/child", NULL);
	pid = start(child, sleep_long, NULL);
	ok(cgroup_kill(cg, 5000, &err));
	assert_int_equal(WTERMSIG(wait_for(pid)), SIGKILL);
	cgroup_free(child);
	unmake(cg);
}

static void a_signal_reaches_all(void **state)
{
	struct cgroup *cg;
	pid_t a, b;

	(void)state;
	skip_if_denied();
	cg = make("signal", NULL);
	a = start(cg, sleep_long, NULL);
	b = start(cg, sleep_long, NULL);
	ok(cgroup_signal(cg, SIGUSR1, &err));
	assert_int_equal(WTERMSIG(wait_for(a)), SIGUSR1);
	assert_int_equal(WTERMSIG(wait_for(b)), SIGUSR1);
	unmake(cg);
}

static const struct CMUnitTest procs_tests[] = {
	cmocka_unit_test_teardown(a_frozen_process_stands_still, sweep),
	cmocka_unit_test(only_files_of_a_cgroup_tell),
	cmocka_unit_test_teardown(a_kill_reaches_every_descendant, sweep),
	cmocka_unit_test_teardown(a_kill_outruns_a_process_that_forks_away, sweep),
	cmocka_unit_test_teardown(a_kill_reaches_cgroups_below, sweep),
	cmocka_unit_test_teardown(a_signal_reaches_all, sweep),
};
LIVE_TESTS(procs);
