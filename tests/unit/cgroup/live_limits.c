/* SPDX-License-Identifier: Apache-2.0 */
/* Live: limits. */
#include "live.h"

static void limits_are_what_the_files_say(void **state)
{
	struct cgroup_resources res = {
		.has_memory_limit = true,
		.memory_limit = 64 * MIB,
		.has_memory_swap = true,
		.memory_swap = 64 * MIB,
		.has_cpu_shares = true,
		.cpu_shares = 512,
		.has_cpu_quota = true,
		.cpu_quota = 50000,
		.has_cpu_period = true,
		.cpu_period = 100000,
		.has_pids_limit = true,
		.pids_limit = 33,
		.cpuset_cpus = "0",
		.cpuset_mems = "0",
	};
	struct cgroup *cg;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("limits", &res);
	assert_file(cg, CGROUP_MEMORY, "memory.limit_in_bytes", "67108864", "memory.max", "67108864");
	assert_file(cg, CGROUP_CPU, "cpu.shares", "512", "cpu.weight", "59");
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000");
	assert_file(cg, CGROUP_PIDS, "pids.max", "33", "pids.max", "33");
	assert_file(cg, CGROUP_CPUSET, "cpuset.cpus", "0", "cpuset.cpus", "0");
	unmake(cg);
}

static void limits_move_up_and_down_while_it_lives(void **state)
{
	struct cgroup_resources res = {
		.has_memory_limit = true,
		.memory_limit = 32 * MIB,
		.has_memory_swap = true,
		.memory_swap = 32 * MIB,
		.has_cpu_quota = true,
		.cpu_quota = 10000,
		.has_cpu_period = true,
		.cpu_period = 100000,
		.has_cpu_burst = true,
		.cpu_burst = 10000,
	};
	struct cgroup *cg;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("resize", &res);
	res.memory_limit = res.memory_swap = 128 * MIB;
	res.cpu_quota = 400000;
	res.cpu_period = 200000;
	res.cpu_burst = 300000;
	ok(cgroup_update(cg, &res, &err));
	assert_file(cg, CGROUP_MEMORY, "memory.limit_in_bytes", "134217728", "memory.max", "134217728");
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "400000", "cpu.max", "400000 200000");
	res.memory_limit = res.memory_swap = 16 * MIB;
	res.cpu_quota = 5000;
	res.cpu_period = 50000;
	res.cpu_burst = 0;
	ok(cgroup_update(cg, &res, &err));
	assert_file(cg, CGROUP_MEMORY, "memory.limit_in_bytes", "16777216", "memory.max", "16777216");
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "5000", "cpu.max", "5000 50000");
	res = (struct cgroup_resources){
		.has_memory_limit = true, .memory_limit = -1, .has_cpu_quota = true, .cpu_quota = -1
	};
	ok(cgroup_update(cg, &res, &err));
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "-1", "cpu.max", "max 50000");
	unmake(cg);
}

static const struct cgroup_resources small = {
	.has_memory_limit = true, .memory_limit = 16 * MIB, .has_memory_swap = true, .memory_swap = 16 * MIB
};

static void an_oom_kill_is_counted_where_it_happened(void **state)
{
	size_t much = 64 * MIB, little = MIB;
	struct cgroup_oom oom;
	struct cgroup *cg;
	uint64_t kills = 99;
	int status;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("oom", &small);
	assert_int_equal(wait_for(start(cg, eat_memory, &little)), 0);
	ok(cgroup_oom_kills(cgroup_oom_fd(cg), &kills, &err));
	assert_int_equal(kills, 0);
	status = wait_for(start(cg, eat_memory, &much));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* After the reap, before the removal. */
	ok(cgroup_oom(cg, &oom, &err));
	assert_int_equal(oom.kills, 1);
	assert_int_equal(oom.kills_local, 1);
	assert_true(oom.limit_hits > 0);
	ok(cgroup_remove(host, cgroup_path(cg), 1, &err));
	assert_int_equal(cgroup_oom_kills(cgroup_oom_fd(cg), &kills, &err), -ERR_NOT_FOUND);
	cgroup_free(cg);
}

static void a_kill_by_the_parents_limit_is_told_apart(void **state)
{
	struct cgroup *pod = NULL, *cg;
	size_t much = 64 * MIB;
	struct cgroup_oom oom;

	(void)state;
	need(CGROUP_MEMORY);
	if (!cgroup_host_is_v2(host, CGROUP_MEMORY)) {
		print_message("skipped: v1 counts allocation failures of the limit that is nearest only\n");
		skip();
	}
	ok(cgroup_ensure(host, below("pod"), &small, &pod, &err));
	cg = make("pod/container", NULL);
	assert_true(WIFSIGNALED(wait_for(start(cg, eat_memory, &much))));
	ok(cgroup_oom(cg, &oom, &err));
	assert_int_equal(oom.kills, 1);
	assert_int_equal(oom.limit_hits, 0);
	ok(cgroup_oom(pod, &oom, &err));
	assert_int_equal(oom.kills, 1);
	assert_int_equal(oom.kills_local, 0);
	assert_true(oom.limit_hits > 0);
	unmake(cg);
	unmake(pod);
}

static void the_pids_limit_holds(void **state)
{
	struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 4 };
	struct cgroup *cg;
	int status;

	(void)state;
	need(CGROUP_PIDS);
	cg = make("pids", &res);
	status = wait_for(start(cg, fork_many, NULL));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	unmake(cg);
}

static void huge_pages_are_limited(void **state)
{
	struct cgroup_hugepage huge = { "2MB", 4 * MIB };
	struct cgroup_resources res = { .hugepages = &huge, .hugepage_count = 1 };
	struct cgroup *cg;

	(void)state;
	need(CGROUP_HUGETLB);
	if (access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) < 0) {
		print_message("skipped: no huge pages of 2 MB\n");
		skip();
	}
	cg = make("huge", &res);
	assert_file(cg, CGROUP_HUGETLB, "hugetlb.2MB.limit_in_bytes", "4194304", "hugetlb.2MB.max",
		    "4194304");
	huge.page_size = "3MB";
	assert_int_equal(cgroup_update(cg, &res, &err), -ERR_UNSUPPORTED);
	unmake(cg);
}

static void unified_writes_files_of_v2_only(void **state)
{
	struct cgroup_unified u = { "memory.high", "33554432" };
	struct cgroup_resources res = { .unified = &u, .unified_count = 1 };
	struct cgroup *cg = NULL;
	int r;

	(void)state;
	need(CGROUP_MEMORY);
	r = cgroup_create(host, below("unified"), &res, &cg, &err);
	if (cgroup_host_is_v2(host, CGROUP_MEMORY)) {
		ok(r);
		assert_file(cg, CGROUP_MEMORY, "", "", "memory.high", "33554432");
		unmake(cg);
	} else {
		assert_int_equal(r, -ERR_UNSUPPORTED);
		assert_int_equal(count_dirs(base), 0);
	}
}

static void a_limit_below_the_use_is_refused_when_asked(void **state)
{
	struct cgroup_resources res = { .has_memory_limit = true,
					.memory_limit = 4096,
					.memory_check_before_update = true };
	struct cgroup *cg;
	int fds[2];
	char c;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("check", NULL);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	start(cg, burn, &fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	assert_int_equal(cgroup_update(cg, &res, &err), -ERR_LIMIT);
	close(fds[0]);
	close(fds[1]);
	unmake(cg);
}

static void controllers_are_refused_below_a_parent_with_processes(void **state)
{
	struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 4 };
	struct cgroup *parent = NULL, *cg = NULL;

	(void)state;
	need(CGROUP_PIDS);
	if (!cgroup_host_is_v2(host, CGROUP_PIDS)) {
		print_message("skipped: pids is a v1 controller here\n");
		skip();
	}
	parent = make("busy", NULL);
	start(parent, sleep_long, NULL);
	assert_int_equal(cgroup_create(host, below("busy/child"), &res, &cg, &err), -ERR_STATE);
	assert_non_null(strstr(err_msg(&err), "busy\": it holds processes"));
	assert_int_equal(count_dirs(below("busy/child")), 0);
	/* Without a limit it needs no controller. */
	ok(cgroup_create(host, below("busy/child"), NULL, &cg, &err));
	unmake(cg);
	unmake(parent);
}

/* Values that are taken one after the other are given back when a later one is refused. */
static void a_refused_update_changes_nothing(void **state)
{
	struct cgroup_resources res = {
		.has_memory_limit = true,
		.memory_limit = 64 * MIB,
		.has_memory_swap = true,
		.memory_swap = 64 * MIB,
		.has_cpu_shares = true,
		.cpu_shares = 512,
		.has_cpu_quota = true,
		.cpu_quota = 50000,
		.has_cpu_period = true,
		.cpu_period = 100000,
	};
	struct cgroup *cg;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("refused", &res);
	res.memory_limit = 128 * MIB;
	res.memory_swap = 256 * MIB;
	res.cpu_shares = 2048;
	res.cpu_quota = 20000;
	res.cpu_period = 50000;
	res.cpuset_cpus = "100000";
	assert_int_equal(cgroup_update(cg, &res, &err), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "cpuset.cpus"));
	assert_file(cg, CGROUP_MEMORY, "memory.limit_in_bytes", "67108864", "memory.max", "67108864");
	assert_file(cg, CGROUP_CPU, "cpu.shares", "512", "cpu.weight", "59");
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000");
	if (!cgroup_host_is_v2(host, CGROUP_MEMORY))
		assert_file(cg, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "67108864", NULL, NULL);
	unmake(cg);
}

static void what_the_host_lacks_is_refused_before_anything_is_made(void **state)
{
	struct cgroup_resources res = { .has_net_class_id = true, .net_class_id = 5 };
	struct cgroup *cg = NULL;

	(void)state;
	skip_if_denied();
	if (cgroup_host_has(host, CGROUP_NET_CLS))
		skip();
	assert_int_equal(cgroup_create(host, below("lacks"), &res, &cg, &err), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&err), "net_cls"));
	assert_int_equal(count_dirs(base), 0);
}

static const struct CMUnitTest limits_tests[] = {
	cmocka_unit_test_teardown(limits_are_what_the_files_say, sweep),
	cmocka_unit_test_teardown(limits_move_up_and_down_while_it_lives, sweep),
	cmocka_unit_test_teardown(a_refused_update_changes_nothing, sweep),
	cmocka_unit_test_teardown(what_the_host_lacks_is_refused_before_anything_is_made, sweep),
	cmocka_unit_test_teardown(an_oom_kill_is_counted_where_it_happened, sweep),
	cmocka_unit_test_teardown(a_kill_by_the_parents_limit_is_told_apart, sweep),
	cmocka_unit_test_teardown(the_pids_limit_holds, sweep),
	cmocka_unit_test_teardown(huge_pages_are_limited, sweep),
	cmocka_unit_test_teardown(unified_writes_files_of_v2_only, sweep),
	cmocka_unit_test_teardown(a_limit_below_the_use_is_refused_when_asked, sweep),
	cmocka_unit_test_teardown(controllers_are_refused_below_a_parent_with_processes, sweep),
};
LIVE_TESTS(limits);
