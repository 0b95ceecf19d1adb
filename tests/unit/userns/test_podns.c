/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "common.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/fd.h"
#include "sys/netlink.h"
#include "sys/ns.h"
#include "userns/netns.h"

/* Run fn in a child that joined the namespaces; its words come back. The user namespace first: it gives
 * the right to join the others. */
static void in_pod(const struct podns *ns, void (*fn)(struct buf *), char *out, size_t size)
{
	int pipe_fds[2];
	pid_t pid;
	ssize_t n;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct buf b = BUF_INIT;

		if ((ns->user_fd >= 0 && setns(ns->user_fd, CLONE_NEWUSER) < 0) ||
		    (ns->net_fd >= 0 && setns(ns->net_fd, CLONE_NEWNET) < 0) ||
		    (ns->ipc_fd >= 0 && setns(ns->ipc_fd, CLONE_NEWIPC) < 0) ||
		    (ns->uts_fd >= 0 && setns(ns->uts_fd, CLONE_NEWUTS) < 0))
			_exit(1);
		fn(&b);
		_exit(fd_write_full(pipe_fds[1], b.data, b.len) < 0);
	}
	close(pipe_fds[1]);
	n = fd_read_full(pipe_fds[0], out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	close(pipe_fds[0]);
	waitpid(pid, NULL, 0);
}

static void add_file(struct buf *b, const char *path)
{
	(void)!file_read(AT_FDCWD, path, 1000, b, NULL);
}

static void tell_all(struct buf *b)
{
	struct utsname u;
	bool up = false;

	uname(&u);
	(void)!netlink_link_is_up("lo", &up, NULL);
	buf_addf(b, "%s lo=%d ", u.nodename, up);
	add_file(b, "/proc/sys/net/ipv4/ip_unprivileged_port_start");
	add_file(b, "/proc/sys/net/ipv4/ping_group_range");
	add_file(b, "/proc/sys/kernel/shm_rmid_forced");
	add_file(b, "/proc/sys/kernel/msgmax");
}

static void assert_owner(int fd, int user_fd)
{
	struct error e = ERROR_INIT;
	cleanup_close int owner = -1;
	bool same = false;

	assert_ok(ns_owner(fd, &owner, &e));
	assert_ok(ns_is_same(owner, user_fd, &same, &e));
	assert_true(same);
}

static void a_user_namespace_owns_all_that_is_made_with_it(void **state)
{
	struct idmap map = map_for_test(3000000000U), uids = IDMAP_INIT, gids = IDMAP_INIT;
	char range[SYSCTL_PING_RANGE_SIZE], out[512], expect[256];
	cleanup_podns struct podns ns = PODNS_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	need_root();
	assert_ok(sysctl_ping_group_range(&map, range, &e));
	struct sysctl_item sysctls[] = {
		{ SYSCTL_UNPRIVILEGED_PORT_START, "0" },
		{ "kernel.shm_rmid_forced", "1" },
		{ SYSCTL_PING_GROUP_RANGE, range },
		{ "kernel.msgmax", "4096" },
	};

	assert_ok(podns_create(&(struct podns_opts){ .user = true,
						     .net = true,
						     .ipc = true,
						     .uts = true,
						     .uids = &map,
						     .gids = &map,
						     .hostname = "pod-a",
						     .sysctls = sysctls,
						     .sysctl_count = ARRAY_LEN(sysctls) },
			       &ns, &e));
	assert_owner(ns.net_fd, ns.user_fd);
	assert_owner(ns.ipc_fd, ns.user_fd);
	assert_owner(ns.uts_fd, ns.user_fd);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	in_pod(&ns, tell_all, out, sizeof(out));
	snprintf(expect, sizeof(expect), "pod-a lo=1 0\n0\t%u\n1\n4096\n", map.x[0].length - 1);
	assert_string_equal(out, expect);
	assert_ok(userns_read_maps(ns.user_fd, &uids, &gids, &e));
	assert_true(idmap_equal(&uids, &map) && idmap_equal(&gids, &map));
	assert_int_equal(fcntl(ns.user_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(ns.net_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void the_same_works_without_a_user_namespace(void **state)
{
	struct sysctl_item sysctls[] = { { "kernel.shm_rmid_forced", "1" }, { "kernel.msgmax", "4096" } };
	cleanup_podns struct podns ns = PODNS_INIT;
	struct error e = ERROR_INIT;
	cleanup_close int own = -1;
	char out[512];

	(void)state;
	need_root();
	assert_ok(podns_create(&(struct podns_opts){ .net = true,
						     .ipc = true,
						     .uts = true,
						     .hostname = "pod-b",
						     .sysctls = sysctls,
						     .sysctl_count = ARRAY_LEN(sysctls) },
			       &ns, &e));
	assert_int_equal(ns.user_fd, -1);
	assert_ok(ns_open_own(CLONE_NEWUSER, &own, &e));
	assert_owner(ns.net_fd, own);
	in_pod(&ns, tell_all, out, sizeof(out));
	assert_memory_equal(out, "pod-b lo=1 ", 11);
	assert_non_null(strstr(out, "\n1\n4096\n"));
}

static void namespaces_are_made_inside_a_given_user_namespace(void **state)
{
	struct idmap map = map_for_test(3000000000U);
	struct sysctl_item sysctls[] = { { SYSCTL_PING_GROUP_RANGE, "0 0" }, { "kernel.msgmax", "4096" } };
	cleanup_podns struct podns ns = PODNS_INIT;
	cleanup_close int user_fd = -1;
	struct error e = ERROR_INIT;
	char out[512];

	(void)state;
	need_root();
	assert_ok(userns_mapping_fd(&map, &map, &user_fd, &e));
	assert_ok(podns_create(&(struct podns_opts){ .join_user = true,
						     .join_user_fd = user_fd,
						     .net = true,
						     .ipc = true,
						     .uts = true,
						     .hostname = "pod-c",
						     .sysctls = sysctls,
						     .sysctl_count = 2 },
			       &ns, &e));
	assert_int_equal(ns.user_fd, -1);
	assert_owner(ns.net_fd, user_fd);
	assert_owner(ns.uts_fd, user_fd);
	ns.user_fd = dup(user_fd);
	in_pod(&ns, tell_all, out, sizeof(out));
	assert_memory_equal(out, "pod-c lo=1 ", 11);
	assert_non_null(strstr(out, "\n0\t0\n"));
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void a_failure_in_the_child_comes_back_whole_and_leaves_nothing(void **state)
{
	struct sysctl_item none[] = { { "net.ipv4.no_such_thing", "1" } };
	struct sysctl_item bad[] = { { "net.ipv4.ip_forward", "x" } };
	struct idmap map = map_for_test(3000000000U);
	struct podns ns = PODNS_INIT;
	struct error e = ERROR_INIT;
	int fds = count_fds();

	(void)state;
	need_root();
	assert_int_equal(podns_create(&(struct podns_opts){ .user = true,
							    .net = true,
							    .uids = &map,
							    .gids = &map,
							    .sysctls = none,
							    .sysctl_count = 1 },
				      &ns, &e),
			 -ERR_NOT_FOUND);
	assert_says(&e, "make the namespaces of the pod: set sysctl \"net.ipv4.no_such_thing\" to \"1\"");
	assert_int_equal(
		podns_create(&(struct podns_opts){ .net = true, .sysctls = bad, .sysctl_count = 1 }, &ns, &e),
		-ERR_INVALID);
	assert_int_equal(e.sys, EINVAL);
	assert_int_equal(ns.net_fd, -1);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void options_that_make_no_sense_are_refused(void **state)
{
	struct idmap no_zero = { .x = { { 1, 100000, 10 } }, .n = 1 }, map = map_for_test(3000000000U);
	char name[66];
	const struct podns_opts rows[] = {
		{ .user = false },
		{ .user = true, .net = true },
		{ .user = true, .uids = &no_zero, .gids = &map },
		{ .user = true, .uids = &map, .gids = &no_zero },
		{ .user = true, .join_user = true, .net = true, .uids = &map, .gids = &map },
		{ .net = true, .hostname = "x" },
		{ .uts = true, .hostname = name },
	};
	struct podns ns = PODNS_INIT;

	(void)state;
	memset(name, 'x', 65);
	name[65] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error e = ERROR_INIT;

		assert_int_equal(podns_create(&rows[i], &ns, &e), -ERR_INVALID);
	}
}

static void host_ids_that_are_not_ours_are_denied(void **state)
{
	struct idmap map = { .x = { { 0, 7, 1 } }, .n = 1 };
	struct podns ns = PODNS_INIT;
	struct error e = ERROR_INIT;
	struct userns_self self;

	(void)state;
	need_root();
	assert_ok(userns_detect(&self, &e));
	if (self.full_map)
		SKIP("all ids are ours: this needs a user namespace of few ids");
	assert_int_equal(
		podns_create(&(struct podns_opts){ .user = true, .net = true, .uids = &map, .gids = &map },
			     &ns, &e),
		-ERR_DENIED);
	assert_says(&e, "container id 0 to host id 7");
}

static void tell_net_namespaces(struct buf *b)
{
	add_file(b, "/proc/sys/user/max_net_namespaces");
}

static void a_limit_of_the_user_namespace_is_set_and_kept(void **state)
{
	struct sysctl_item sysctl = { "user.max_net_namespaces", "1" };
	struct idmap map = map_for_test(3000000000U);
	cleanup_podns struct podns ns = PODNS_INIT;
	struct error e = ERROR_INIT;
	char out[64];
	int status;
	pid_t pid;

	(void)state;
	need_root();
	assert_ok(podns_create(&(struct podns_opts){ .user = true,
						     .net = true,
						     .uids = &map,
						     .gids = &map,
						     .sysctls = &sysctl,
						     .sysctl_count = 1 },
			       &ns, &e));
	in_pod(&ns, tell_net_namespaces, out, sizeof(out));
	assert_string_equal(out, "1\n");
	pid = fork();
	if (pid == 0) {
		struct podns more = PODNS_INIT;

		_exit(setns(ns.user_fd, CLONE_NEWUSER) < 0 ? 1
		      : podns_create(&(struct podns_opts){ .net = true }, &more, &e) == -ERR_LIMIT &&
				      e.sys == ENOSPC
			      ? 0
			      : 2);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void maps_of_many_extents_are_written(void **state)
{
	struct idmap map = IDMAP_INIT, uids = IDMAP_INIT, gids = IDMAP_INIT;
	struct error e = ERROR_INIT;
	struct userns_self self;
	int fd = -1;

	(void)state;
	need_root();
	assert_ok(userns_detect(&self, &e));
	if (!self.full_map)
		SKIP("needs all ids");
	for (uint32_t i = 0; i < IDMAP_MAX; i++)
		assert_ok(idmap_add(&map, (struct idmap_extent){ i, 2 * i + 5, 1 }, &e));
	assert_ok(userns_mapping_fd(&map, &map, &fd, &e));
	assert_ok(userns_read_maps(fd, &uids, &gids, &e));
	assert_true(idmap_equal(&map, &uids) && idmap_equal(&map, &gids));
	close(fd);
	for (uint32_t i = 0; i < IDMAP_MAX; i++)
		map.x[i].host_id = 4000000000U + 2 * i;
	assert_int_equal(userns_mapping_fd(&map, &map, &fd, &e), -ERR_LIMIT);
	assert_says(&e, "shorter than a page");
}

static void the_highest_ids_can_be_mapped(void **state)
{
	struct idmap map = { .x = { { 0, 4170514432U, 65536 }, { 65536, UINT32_MAX - 1, 1 } }, .n = 2 };
	struct error e = ERROR_INIT;
	struct userns_self self;
	struct idmap uids = IDMAP_INIT, gids = IDMAP_INIT;
	cleanup_close int fd = -1;

	(void)state;
	need_root();
	assert_ok(userns_detect(&self, &e));
	if (!self.full_map)
		SKIP("needs all ids");
	assert_ok(userns_mapping_fd(&map, &map, &fd, &e));
	assert_ok(userns_read_maps(fd, &uids, &gids, &e));
	assert_true(idmap_equal(&map, &uids));
}

static void our_own_maps_are_read_too(void **state)
{
	struct idmap uids = IDMAP_INIT, gids = IDMAP_INIT;
	struct error e = ERROR_INIT;
	struct userns_self self;
	cleanup_close int own = -1;

	(void)state;
	assert_ok(ns_open_own(CLONE_NEWUSER, &own, &e));
	assert_ok(userns_detect(&self, &e));
	assert_ok(userns_read_maps(own, &uids, &gids, &e));
	assert_true(idmap_equal(&uids, &self.uids) && idmap_equal(&gids, &self.gids));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_namespace_owns_all_that_is_made_with_it),
		cmocka_unit_test(the_same_works_without_a_user_namespace),
		cmocka_unit_test(namespaces_are_made_inside_a_given_user_namespace),
		cmocka_unit_test(a_failure_in_the_child_comes_back_whole_and_leaves_nothing),
		cmocka_unit_test(options_that_make_no_sense_are_refused),
		cmocka_unit_test(host_ids_that_are_not_ours_are_denied),
		cmocka_unit_test(a_limit_of_the_user_namespace_is_set_and_kept),
		cmocka_unit_test(maps_of_many_extents_are_written),
		cmocka_unit_test(the_highest_ids_can_be_mapped),
		cmocka_unit_test(our_own_maps_are_read_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
