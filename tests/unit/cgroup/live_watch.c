/* SPDX-License-Identifier: Apache-2.0 */
/* Live: devices and statistics. */
#include "live.h"

static void open_devices(void *arg)
{
	int null = open("/dev/null", O_RDWR), zero;

	(void)arg;
	if (null < 0)
		_exit(1);
	zero = open("/dev/zero", O_RDONLY);
	if (zero >= 0 || errno != EPERM)
		_exit(2);
	/* Reading is allowed and writing is not. */
	if (open("/dev/full", O_RDONLY) < 0)
		_exit(3);
	if (open("/dev/full", O_WRONLY) >= 0 || errno != EPERM)
		_exit(4);
	if (open("/dev/full", O_RDWR) >= 0)
		_exit(5);
	if (mknod("/tmp/hull-test-cgroup-node", S_IFCHR | 0600, makedev(1, 3)) == 0 || errno != EPERM)
		_exit(6);
	_exit(0);
}

static const struct cgroup_device some_devices[] = {
	{ false, 'a', "rwm", -1, -1 },
	{ true, 'c', "rw", 1, 3 },
	{ true, 'c', "rw", 1, 7 },
	{ false, 'c', "w", 1, 7 },
};
static const struct cgroup_device all_devices[] = { { true, 'a', "rwm", -1, -1 } };

static void open_zero(void *arg)
{
	(void)arg;
	_exit(open("/dev/zero", O_RDONLY) < 0);
}

static void device_rules_hold(void **state)
{
	struct cgroup_resources res = { .devices = some_devices, .device_count = ARRAY_LEN(some_devices) };
	struct cgroup *cg = NULL;

	(void)state;
	need(CGROUP_DEVICES);
	if (cgroup_create(host, below("devices"), &res, &cg, &err) == -ERR_DENIED) {
		print_message("skipped: %s\n", err_msg(&err));
		skip();
	}
	assert_non_null(cg);
	assert_int_equal(wait_for(start(cg, open_devices, NULL)), 0);
	assert_int_equal(WEXITSTATUS(wait_for(start(cg, open_zero, NULL))), 1);
	res.devices = all_devices;
	res.device_count = 1;
	ok(cgroup_update(cg, &res, &err));
	assert_int_equal(wait_for(start(cg, open_zero, NULL)), 0);
	unmake(cg);
}

/* The program, on any host that has v2 mounted. */
static void the_device_program_filters(void **state)
{
	struct cgroup *cg;
	int fd;

	(void)state;
	skip_if_denied();
	if (host->v2 < 0) {
		print_message("skipped: no v2 hierarchy\n");
		skip();
	}
	cg = make("bpf", NULL);
	if (cgroup_devices_attach(cgroup_dfd_v2(cg), some_devices, ARRAY_LEN(some_devices), &err) ==
	    -ERR_DENIED) {
		print_message("not permitted here: %s\n", err_msg(&err));
	} else {
		assert_int_equal(wait_for(start(cg, open_devices, NULL)), 0);
		ok(cgroup_devices_attach(cgroup_dfd_v2(cg), all_devices, 1, &err));
		assert_int_equal(wait_for(start(cg, open_zero, NULL)), 0);
		/* Replaced, not added: when it goes there is none. */
		fd = bpf_find_device(cgroup_dfd_v2(cg), "hull_devices");
		assert_true(fd >= 0);
		assert_int_equal(bpf_detach_device(cgroup_dfd_v2(cg), fd), 0);
		close(fd);
		assert_int_equal(bpf_find_device(cgroup_dfd_v2(cg), "hull_devices"), -1);
	}
	unmake(cg);
}

/* ---- statistics ---- */

static void statistics_tell_what_was_used(void **state)
{
	struct cgroup_resources res = {
		.has_memory_limit = true, .memory_limit = 64 * MIB, .has_pids_limit = true, .pids_limit = 9
	};
	struct cgroup_stats s;
	struct cgroup *cg;
	int fds[2];
	char c;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("stats", &res);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	start(cg, burn, &fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	ok(cgroup_stats(cg, &s, &err));
	assert_true(s.has_cpu && s.cpu_usage_ns > 20 * NS_PER_MS && s.cpu_usage_ns < 60 * NS_PER_S);
	assert_true(s.has_memory && s.memory_usage >= 8 * MIB && s.memory_usage < 64 * MIB);
	assert_true(s.memory_rss >= 8 * MIB && s.memory_working_set <= s.memory_usage);
	assert_true(s.memory_faults > 0);
	assert_int_equal(s.memory_limit, 64 * MIB);
	assert_true(s.has_pids);
	assert_int_equal(s.pids, 1);
	assert_int_equal(s.pids_limit, 9);
	assert_int_equal(s.oom.kills, 0);
	close(fds[0]);
	close(fds[1]);
	ok(cgroup_kill(cg, 5000, &err));
	ok(cgroup_remove(host, cgroup_path(cg), 0, &err));
	assert_int_equal(cgroup_stats(cg, &s, &err), -ERR_NOT_FOUND);
	unmake(cg);
}

static const struct CMUnitTest watch_tests[] = {
	cmocka_unit_test_teardown(device_rules_hold, sweep),
	cmocka_unit_test_teardown(the_device_program_filters, sweep),
	cmocka_unit_test_teardown(statistics_tell_what_was_used, sweep),
};
LIVE_TESTS(watch);
