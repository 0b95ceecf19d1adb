/* SPDX-License-Identifier: Apache-2.0 */
#include "common.h"
#include "base/str.h"
#include "userns/sysctl.h"

static const struct sysctl_scope all = { true, true, true, true }, none = { false, false, false, false };

static void sysctls_of_own_namespaces_are_allowed(void **state)
{
	static const char *const names[] = {
		"net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.conf.eth0/100.rp_filter",
		"net.core.somaxconn",
		"kernel.shmmax",
		"kernel.shm_rmid_forced",
		"kernel.msgmax",
		"kernel.sem",
		"fs.mqueue.msg_max",
		"kernel.domainname",
		"user.max_user_namespaces",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct error e = ERROR_INIT;

		assert_ok(sysctl_check(names[i], "1", &all, &e));
		assert_int_equal(sysctl_check(names[i], "1", &none, &e), -ERR_DENIED);
		assert_says(&e, names[i]);
		assert_says(&e, "which is the host's");
	}
}

static void the_namespace_that_is_missing_is_named(void **state)
{
	struct sysctl_scope host_network = { .user = true, .ipc = true, .uts = true };
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(sysctl_check("net.ipv4.ip_forward", "1", &host_network, &e), -ERR_DENIED);
	assert_says(&e, "network namespace");
	assert_ok(sysctl_check("kernel.shmall", "1", &host_network, &e));
	host_network.ipc = false;
	assert_int_equal(sysctl_check("fs.mqueue.queues_max", "1", &host_network, &e), -ERR_DENIED);
	assert_says(&e, "ipc namespace");
}

static void sysctls_of_the_node_are_denied(void **state)
{
	static const char *const names[] = {
		"kernel.core_pattern",
		"kernel.hostname",
		"kernel.pid_max",
		"vm.swappiness",
		"fs.file-max",
		"fs.mqueue",
		"kernel.shm",
		"kernel.semaphore",
		"kernel.msgmax.x",
		"net",
		"netx.ipv4",
		"user",
		"kernel.shmmaxx",
		"kernel.ns_last_pid",
		"sunrpc.x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct error e = ERROR_INIT;

		assert_int_equal(sysctl_check(names[i], "1", &all, &e), -ERR_DENIED);
		assert_says(&e, str_eq(names[i], "kernel.hostname") ? "configured hostname"
								    : "belongs to no namespace");
	}
}

static void names_and_values_that_could_mean_more_are_refused(void **state)
{
	char long_name[300] = "net.", long_value[1100];
	const struct {
		const char *name, *value;
	} rows[] = {
		{ "net.ipv4.ip_forward+kernel.core_pattern", "1" }, /* CVE-2022-0811 */
		{ "kernel.shm_rmid_forced", "1+kernel.core_pattern=|/tmp/x" },
		{ "", "1" },
		{ NULL, "1" },
		{ "net..ipv4", "1" },
		{ "net.", "1" },
		{ ".net.ipv4", "1" },
		{ "net.//.kernel.core_pattern", "1" },
		{ "net./.ipv4", "1" },
		{ "net.ipv4.///", "1" },
		{ "net.ipv4 ip_forward", "1" },
		{ "net.ipv4.ip_forward=1", "1" },
		{ "net.ipv4.\xc3\xa9", "1" },
		{ "net.ipv4.a\n", "1" },
		{ "net.ipv4.ip_forward", NULL },
		{ "net.ipv4.ip_forward", "1\n2" },
		{ "net.ipv4.ip_forward", "\x7f" },
		{ "net.ipv4.ip_forward", long_value },
		{ long_name, "1" },
	};

	(void)state;
	memset(long_name + 4, 'a', 252);
	memset(long_value, '1', 1025);
	long_value[1025] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error e = ERROR_INIT;

		assert_int_equal(sysctl_check(rows[i].name, rows[i].value, &all, &e), -ERR_INVALID);
	}
}

static void a_slash_in_a_part_is_a_dot_of_the_path(void **state)
{
	char path[SYSCTL_NAME_MAX + 1];

	(void)state;
	sysctl_path("net.ipv4.conf.eth0/100.rp_filter", path);
	assert_string_equal(path, "net/ipv4/conf/eth0.100/rp_filter");
	sysctl_path("kernel.shmmax", path);
	assert_string_equal(path, "kernel/shmmax");
}

static void the_ping_group_range_fits_the_gid_map(void **state)
{
	static const struct {
		struct idmap gids;
		const char *range; /* NULL: refused */
	} rows[] = {
		{ { .x = { { 0, 100000, 65536 } }, .n = 1 }, "0 65535" },
		{ { .x = { { 0, 0, 1 } }, .n = 1 }, "0 0" },
		{ { .x = { { 0, 4170514432U, 65536 } }, .n = 1 }, "0 65535" },
		{ { .x = { { 0, 0, UINT32_MAX } }, .n = 1 }, "0 2147483647" },
		/* neighbours on both sides are one run; on one side only they are not */
		{ { .x = { { 10, 110, 5 }, { 0, 100, 10 } }, .n = 2 }, "0 14" },
		{ { .x = { { 10, 500, 5 }, { 0, 100, 10 } }, .n = 2 }, "0 9" },
		{ { .x = { { 11, 110, 5 }, { 0, 100, 10 } }, .n = 2 }, "0 9" },
		{ { .x = { { 7, 100, 3 } }, .n = 1 }, "7 9" },
		{ { .x = { { 2147483640U, 100, 100 } }, .n = 1 }, "2147483640 2147483647" },
		{ { .x = { { 2147483648U, 100, 100 } }, .n = 1 }, NULL },
		{ { .n = 0 }, NULL },
	};
	struct error e = ERROR_INIT;
	char range[SYSCTL_PING_RANGE_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = sysctl_ping_group_range(&rows[i].gids, range, &e);

		assert_int_equal(r, rows[i].range ? 0 : -ERR_INVALID);
		if (rows[i].range)
			assert_string_equal(range, rows[i].range);
	}
	assert_ok(sysctl_ping_group_range(NULL, range, &e));
	assert_string_equal(range, "0 2147483647");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sysctls_of_own_namespaces_are_allowed),
		cmocka_unit_test(the_namespace_that_is_missing_is_named),
		cmocka_unit_test(sysctls_of_the_node_are_denied),
		cmocka_unit_test(names_and_values_that_could_mean_more_are_refused),
		cmocka_unit_test(a_slash_in_a_part_is_a_dot_of_the_path),
		cmocka_unit_test(the_ping_group_range_fits_the_gid_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
