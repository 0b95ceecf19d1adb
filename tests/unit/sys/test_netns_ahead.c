/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "sys/netns_ahead.h"
#include "sys/ns.h"

static struct error err;

static size_t entries(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Whether it had begun in time is up to the scheduler; what it makes is not. */
static void it_is_a_new_one_or_none(void **state)
{
	cleanup_close int proc = open("/proc", O_PATH | O_CLOEXEC), own = -1;
	size_t fds = entries("/proc/self/fd");
	int made = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(ns_open_own(CLONE_NEWNET, &own, &err), 0);
	for (int i = 0; i < 20; i++) {
		struct netns_ahead a = NETNS_AHEAD_INIT;
		cleanup_close int fd = -1, still = -1;
		bool same = true, lo_up = false;

		netns_ahead_begin(&a, proc);
		if (i >= 10)
			usleep(20000);
		if (i % 5 != 4)
			fd = netns_ahead_take(&a, &lo_up);
		netns_ahead_done(&a);
		assert_int_equal(ns_open_own(CLONE_NEWNET, &still, &err), 0);
		assert_int_equal(ns_is_same(own, still, &same, &err), 0);
		assert_true(same);
		if (fd < 0)
			continue;
		made++;
		assert_int_equal(ns_check_type(fd, CLONE_NEWNET, &err), 0);
		assert_int_equal(ns_is_same(own, fd, &same, &err), 0);
		assert_false(same);
		assert_true(lo_up);
	}
	assert_int_equal(entries("/proc/self/fd"), fds + 1);
	assert_int_equal(entries("/proc/self/task"), 3);
	print_message("%d of 16 had begun in time\n", made);
}

static void nothing_is_begun_on_one_processor(void **state)
{
	struct netns_ahead a = NETNS_AHEAD_INIT;
	cpu_set_t all, one;
	bool lo_up = false;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	netns_ahead_begin(&a, -1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_false(a.has_thread);
	assert_int_equal(netns_ahead_take(&a, &lo_up), -1);
	assert_false(lo_up);
	netns_ahead_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_a_new_one_or_none),
		cmocka_unit_test(nothing_is_begun_on_one_processor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
