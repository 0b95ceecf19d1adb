/* SPDX-License-Identifier: Apache-2.0 */
/* Live: entering and delegation. */
#include "live.h"

static void in_every_hierarchy(struct cgroup *cg, pid_t pid)
{
	for (size_t i = 0; i < host->hier_count; i++) {
		char text[4096], word[16];

		assert_true(cgroupfs_read(cg->dfd[i], "cgroup.procs", text, sizeof(text)) >= 0);
		snprintf(word, sizeof(word), "%d", pid);
		if (!cgroupfs_has_word(text, word))
			fail_msg("pid %d is not in %s", pid, host->hier[i].mount_point);
	}
}

static void a_child_enters_every_hierarchy_itself(void **state)
{
	struct cgroup *cg;

	(void)state;
	skip_if_denied();
	cg = make("enter", NULL);
	in_every_hierarchy(cg, start(cg, sleep_long, NULL));
	unmake(cg);
}

static void another_process_is_moved_whole(void **state)
{
	struct cgroup *cg;
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("attach", NULL);
	pid = fork();
	if (pid == 0)
		sleep_long(NULL);
	ok(cgroup_attach(cg, pid, &err));
	in_every_hierarchy(cg, pid);
	unmake(cg);
	assert_int_equal(cgroup_remove(host, below("attach"), 0, &err), 0);
}

/* The fds were opened by the parent with its rights; writing needs none. */
static void a_child_may_enter_after_it_gave_up_everything(void **state)
{
	int fds[CGROUP_HIER_MAX];
	size_t count = 0;
	struct cgroup *cg;
	int status;
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("userns", NULL);
	ok(cgroup_enter_fds(cg, fds, &count, &err));
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER) < 0)
			_exit(101);
		if (cgroup_enter(fds, count) < 0)
			_exit(errno);
		_exit(0);
	}
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	status = wait_for(pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 101)
		print_message("no user namespaces here\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	unmake(cg);
}

/* ---- delegation ---- */

#define NOBODY 65534

/* As an unprivileged user in a cgroup that was given to it (cgroups(7), "Delegation"): what systemd does for a user's
 * session. */
static void work_in_a_delegated_cgroup(void *arg)
{
	struct cgroup_resources res = {
		.has_memory_limit = true, .memory_limit = 16 * MIB, .has_pids_limit = true, .pids_limit = 5
	};
	const char *given = arg;
	struct cgroup *cg = NULL;
	char path[128];

	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
	snprintf(path, sizeof(path), "%s/pod/container", given);
	if (cgroup_create(host, path, &res, &cg, &err) < 0) {
		fprintf(stderr, "%s\n", err_msg(&err));
		_exit(2);
	}
	/* Entering from within the delegated part needs no more. */
	if (wait_for(start(cg, fork_many, NULL)) != 4 << 8)
		_exit(3);
	if (cgroup_kill(cg, 5000, &err) < 0 || cgroup_remove(host, path, 1, &err) < 0)
		_exit(4);
	cgroup_free(cg);
	/* Outside of it the answer has a name. */
	snprintf(path, sizeof(path), "%s-other", given);
	_exit(cgroup_create(host, path, NULL, &cg, &err) == -ERR_DENIED ? 0 : 5);
}

static void a_delegated_cgroup_is_enough(void **state)
{
	struct cgroup_resources all = {
		.has_memory_limit = true, .memory_limit = 256 * MIB, .has_pids_limit = true, .pids_limit = 100
	};
	static const char *const files[] = { ".", "cgroup.procs", "cgroup.subtree_control",
					     "cgroup.threads" };
	struct cgroup *given, *own;

	(void)state;
	need(CGROUP_MEMORY);
	if (host->mode != CGROUP_V2) {
		print_message("skipped: v1 cannot be delegated\n");
		skip();
	}
	given = make("given", &all);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_int_equal(fchownat(cgroup_dfd_v2(given), files[i], NOBODY, NOBODY, 0), 0);
	own = make("given/own", &all);
	assert_int_equal(wait_for(start(own, work_in_a_delegated_cgroup, (void *)cgroup_path(given))), 0);
	cgroup_free(own);
	unmake(given);
}

static const struct CMUnitTest enter_tests[] = {
	cmocka_unit_test_teardown(a_child_enters_every_hierarchy_itself, sweep),
	cmocka_unit_test_teardown(another_process_is_moved_whole, sweep),
	cmocka_unit_test_teardown(a_child_may_enter_after_it_gave_up_everything, sweep),
	cmocka_unit_test_teardown(a_delegated_cgroup_is_enough, sweep),
};
LIVE_TESTS(enter);
