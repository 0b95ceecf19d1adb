/* SPDX-License-Identifier: Apache-2.0 */
/* All of this happens in a mount namespace of the test's own, on a tmpfs of its own: nothing is left on
 * the host, and it runs inside a user namespace too. "/" is made shared there, as systemd does on most
 * hosts, which is where a careless bind mount shows each pin twice. */
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common.h"
#include "base/file.h"
#include "base/str.h"
#include "sys/netlink.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "userns/netns.h"

static char top[] = "/tmp/hull-test-userns-XXXXXX", dir[64];
static bool is_ready;

static int set_up(void **state)
{
	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		return 0;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(NULL, "/", NULL, MS_SHARED, NULL) < 0)
		return 0;
	if (!mkdtemp(top) || mount("hull-test", top, "tmpfs", 0, "mode=0755") < 0)
		return -1;
	if (mount(NULL, top, NULL, MS_SHARED, NULL) < 0)
		return -1;
	snprintf(dir, sizeof(dir), "%s/a/netns", top);
	is_ready = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (!is_ready)
		return 0;
	umount2(top, MNT_DETACH);
	return rmdir(top);
}

static void need_mounts(void)
{
	if (!is_ready)
		SKIP("needs CAP_SYS_ADMIN, on the host or in a user namespace");
}

/* How many mounts there are at or below path, and of what propagation the first is. */
static int count_mounts(const char *path, bool *ret_shared)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct error e = ERROR_INIT;
	int n = 0;

	assert_ok(file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, &e));
	for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
		char point[256], optional[256];

		if (sscanf(line, "%*s %*s %*s %*s %255s %*s %255s", point, optional) != 2 ||
		    !str_starts(point, path))
			continue;
		if (n++ == 0)
			*ret_shared = str_starts(optional, "shared:");
	}
	return n;
}

static void the_directory_is_mounted_once_and_shared(void **state)
{
	struct error e = ERROR_INIT;
	bool shared = false;

	(void)state;
	need_mounts();
	assert_ok(netns_dir_prepare(dir, &e));
	assert_int_equal(count_mounts(dir, &shared), 1);
	assert_true(shared);
	assert_ok(netns_dir_prepare(dir, &e));
	assert_int_equal(count_mounts(dir, &shared), 1);
	assert_int_equal(mount(NULL, dir, NULL, MS_PRIVATE, NULL), 0);
	assert_ok(netns_dir_prepare(dir, &e));
	assert_int_equal(count_mounts(dir, &shared), 1);
	assert_true(shared);
	assert_int_equal(netns_dir_prepare("relative/netns", &e), -ERR_INVALID);
	assert_int_equal(netns_dir_prepare("/run/../netns", &e), -ERR_INVALID);
}

static void *prepare_dir(void *path)
{
	return netns_dir_prepare(path, NULL) == 0 ? path : NULL;
}

static void many_at_once_mount_the_directory_once(void **state)
{
	char path[80];
	pthread_t threads[8];
	bool shared;

	(void)state;
	need_mounts();
	snprintf(path, sizeof(path), "%s/race", top);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, prepare_dir, path), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *r;

		pthread_join(threads[i], &r);
		assert_non_null(r);
	}
	assert_int_equal(count_mounts(path, &shared), 1);
}

static void names_are_random_in_the_form_of_cni(void **state)
{
	char a[NETNS_NAME_SIZE], b[NETNS_NAME_SIZE];
	static const char form[] = "cni-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	(void)state;
	netns_random_name(a);
	netns_random_name(b);
	assert_string_not_equal(a, b);
	assert_int_equal(strlen(a), strlen(form));
	for (size_t i = 4; form[i]; i++)
		assert_true(form[i] == 'x' ? isxdigit(a[i]) && !isupper(a[i]) : a[i] == '-');
	assert_memory_equal(a, "cni-", 4);
}

static void make(struct netns *ns)
{
	struct idmap map = map_for_test(2500000000U);
	struct netns_opts opts = { .user_fd = -1, .uids = &map, .gids = &map };
	struct error e = ERROR_INIT;

	*ns = NETNS_INIT;
	assert_ok(netns_dir_prepare(dir, &e));
	assert_ok(netns_new(dir, &opts, ns, &e));
}

static void the_owner_is_found_by_the_path_alone(void **state)
{
	cleanup_netns struct netns ns = NETNS_INIT, other = NETNS_INIT;
	cleanup_close int net_fd = -1, user_fd = -1;
	struct error e = ERROR_INIT;
	struct ns_id id, wrong;
	bool is = false, shared;

	(void)state;
	need_mounts();
	make(&ns);
	make(&other);
	assert_int_equal(count_mounts(ns.path, &shared), 1);
	assert_ok(ns_identify(ns.user_fd, &id, &e));
	assert_ok(ns_identify(other.user_fd, &wrong, &e));
	netns_done(&other);
	assert_ok(netns_open_with_owner(ns.path, &id, &net_fd, &user_fd, &e));
	assert_ok(ns_is_same(user_fd, ns.user_fd, &is, &e));
	assert_true(is);
	assert_ok(netns_is_owned_by(ns.net_fd, ns.user_fd, &is, &e));
	assert_true(is);
	assert_int_equal(netns_open_with_owner(ns.path, &wrong, &net_fd, &user_fd, &e), -ERR_STATE);
	assert_says(&e, "is owned by user namespace");
	assert_int_equal(netns_owner(ns.user_fd, &user_fd, &e), -ERR_STATE);
	assert_ok(netns_remove(ns.path, &e));
	assert_ok(netns_remove(other.path, &e));
}

static void a_pin_outlives_every_fd(void **state)
{
	cleanup_close int net_fd = -1, user_fd = -1;
	struct idmap uids = IDMAP_INIT, gids = IDMAP_INIT, map = map_for_test(2500000000U);
	struct error e = ERROR_INIT;
	struct netns ns;

	(void)state;
	need_mounts();
	make(&ns);
	netns_done(&ns);
	assert_ok(netns_open_with_owner(ns.path, NULL, &net_fd, &user_fd, &e));
	assert_ok(userns_read_maps(user_fd, &uids, &gids, &e));
	assert_true(idmap_equal(&uids, &map));
	assert_ok(netns_remove(ns.path, &e));
}

static void one_is_made_inside_a_given_user_namespace(void **state)
{
	struct idmap map = map_for_test(2500000000U);
	cleanup_netns struct netns in = NETNS_INIT, own = NETNS_INIT;
	cleanup_close int user_fd = -1, our_user = -1;
	struct error e = ERROR_INIT;
	bool is = false;

	(void)state;
	need_mounts();
	assert_ok(netns_dir_prepare(dir, &e));
	assert_ok(userns_mapping_fd(&map, &map, &user_fd, &e));
	assert_ok(netns_new(dir, &(struct netns_opts){ .user_fd = user_fd }, &in, &e));
	assert_ok(netns_is_owned_by(in.net_fd, user_fd, &is, &e));
	assert_true(is);
	assert_int_equal(in.user_fd, -1);
	assert_ok(netns_new(dir, &(struct netns_opts){ .user_fd = -1 }, &own, &e));
	assert_ok(ns_open_own(CLONE_NEWUSER, &our_user, &e));
	assert_ok(netns_is_owned_by(own.net_fd, our_user, &is, &e));
	assert_true(is);
	assert_ok(netns_remove(in.path, &e));
	assert_ok(netns_remove(own.path, &e));
}

static void a_pin_is_exclusive_and_only_for_network_namespaces(void **state)
{
	cleanup_netns struct netns ns = NETNS_INIT;
	struct error e = ERROR_INIT;
	char path[160];

	(void)state;
	need_mounts();
	make(&ns);
	assert_int_equal(netns_pin(dir, strrchr(ns.path, '/') + 1, ns.net_fd, &e), -ERR_EXISTS);
	assert_int_equal(netns_pin(dir, "../x", ns.net_fd, &e), -ERR_INVALID);
	assert_int_equal(netns_pin(dir, "user", ns.user_fd, &e), -ERR_STATE);
	assert_says(&e, "of type user, not net");
	assert_int_equal(netns_pin(dir, "file", STDIN_FILENO, &e), -ERR_STATE);
	assert_int_equal(netns_pin("/nonexistent", "x", ns.net_fd, &e), -ERR_NOT_FOUND);
	snprintf(path, sizeof(path), "%s/user", dir);
	assert_int_equal(access(path, F_OK), -1);
	assert_ok(netns_remove(ns.path, &e));
}

static void one_is_pinned_from_a_pidfd(void **state)
{
	struct proc child = PROC_INIT;
	struct error e = ERROR_INIT;
	cleanup_close int dup_fd = -1, net_fd = -1;
	char path[160];
	int r;

	(void)state;
	need_mounts();
	assert_ok(netns_dir_prepare(dir, &e));
	r = pidfd_clone(CLONE_NEWNET, &child, &e);
	if (r == 0)
		for (;;)
			pause();
	assert_int_equal(r, 1);
	assert_ok(netns_pin_from_pidfd(dir, "from-pidfd", child.pid_fd, &e));
	dup_fd = dup(child.pid_fd);
	proc_kill(&child);
	snprintf(path, sizeof(path), "%s/from-pidfd", dir);
	assert_ok(netns_open(path, &net_fd, &e));
	assert_int_equal(netns_pin_from_pidfd(dir, "too-late", dup_fd, &e), -ERR_NOT_FOUND);
	assert_ok(netns_remove(path, &e));
}

static void removal_is_idempotent(void **state)
{
	cleanup_netns struct netns ns = NETNS_INIT, twice = NETNS_INIT;
	cleanup_close int held = -1;
	struct error e = ERROR_INIT;
	char source[64];
	int fd = -1;

	(void)state;
	need_mounts();
	make(&ns);
	netns_done(&ns);
	assert_ok(netns_remove(ns.path, &e)); /* mounted */
	assert_int_equal(access(ns.path, F_OK), -1);
	assert_ok(netns_remove(ns.path, &e)); /* gone */
	make(&ns);
	assert_int_equal(umount2(ns.path, 0), 0);
	assert_ok(netns_remove(ns.path, &e)); /* there, not mounted */
	assert_int_equal(access(ns.path, F_OK), -1);
	netns_done(&ns);
	make(&ns);
	held = dup(ns.net_fd);
	assert_int_equal(umount2(ns.path, MNT_DETACH), 0);
	assert_ok(netns_remove(ns.path, &e)); /* unmounted lazily, the namespace lives on */
	assert_int_equal(netns_open(ns.path, &fd, &e), -ERR_NOT_FOUND);
	make(&twice);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", twice.net_fd);
	assert_int_equal(mount(source, twice.path, NULL, MS_BIND, NULL), 0);
	assert_ok(netns_remove(twice.path, &e)); /* mounted over itself */
	assert_int_equal(access(twice.path, F_OK), -1);
	assert_ok(netns_remove("/nonexistent/cni-x", &e));
}

static void what_is_no_pin_is_left_alone(void **state)
{
	struct error e = ERROR_INIT;
	char path[160], target[160];
	bool closed;
	int fd = -1;

	(void)state;
	need_mounts();
	assert_ok(netns_dir_prepare(dir, &e));
	snprintf(path, sizeof(path), "%s/odd", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(netns_remove(path, &e), -ERR_STATE);
	assert_int_equal(netns_is_closed(path, &closed, &e), -ERR_STATE);
	assert_int_equal(netns_open(path, &fd, &e), -ERR_STATE);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(netns_open(path, &fd, &e), -ERR_STATE);
	assert_int_equal(netns_remove(path, &e), -ERR_STATE);
	assert_int_equal(unlink(path), 0);
	snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(mknod(target, S_IFREG | 0644, 0), 0);
	assert_int_equal(symlink("target", path), 0);
	assert_int_equal(netns_remove(path, &e), -ERR_STATE);
	assert_int_equal(access(target, F_OK), 0);
	unlink(path);
	unlink(target);
}

static void a_stale_file_is_closed_and_removed(void **state)
{
	cleanup_netns struct netns ns = NETNS_INIT;
	struct error e = ERROR_INIT;
	bool closed = true;
	int fd = -1;

	(void)state;
	need_mounts();
	make(&ns);
	assert_ok(netns_is_closed(ns.path, &closed, &e));
	assert_false(closed);
	assert_int_equal(umount2(ns.path, 0), 0);
	assert_int_equal(netns_open(ns.path, &fd, &e), -ERR_STATE);
	assert_ok(netns_is_closed(ns.path, &closed, &e));
	assert_true(closed);
	assert_int_equal(access(ns.path, F_OK), -1);
	closed = false;
	assert_ok(netns_is_closed(ns.path, &closed, &e));
	assert_true(closed);
}

struct seen {
	struct ns_id id;
	bool lo_is_up;
};

static int look_around(void *arg, struct error *e)
{
	struct seen *seen = arg;
	cleanup_close int fd = -1;
	int r = ns_open_own(CLONE_NEWNET, &fd, e);

	if (r == 0)
		r = ns_identify(fd, &seen->id, e);
	if (r == 0)
		r = netlink_link_is_up("lo", &seen->lo_is_up, e);
	return r;
}

static int fail_inside(void *arg, struct error *e)
{
	return err_new(e, ERR_CORRUPT, "inside %s", (const char *)arg);
}

static void a_function_runs_inside_and_the_caller_stays(void **state)
{
	cleanup_netns struct netns ns = NETNS_INIT;
	struct seen before, inside, after;
	struct error e = ERROR_INIT;
	char word[] = "x";
	struct ns_id id;

	(void)state;
	need_mounts();
	make(&ns);
	assert_ok(look_around(&before, &e));
	assert_ok(netns_run_path(ns.path, look_around, &inside, &e));
	assert_ok(look_around(&after, &e));
	assert_ok(ns_identify(ns.net_fd, &id, &e));
	assert_true(ns_id_equal(inside.id, id));
	assert_true(inside.lo_is_up);
	assert_true(ns_id_equal(before.id, after.id));
	assert_false(ns_id_equal(before.id, inside.id));
	assert_int_equal(netns_run(ns.net_fd, fail_inside, word, &e), -ERR_CORRUPT);
	assert_says(&e, "inside x");
	assert_int_equal(netns_run(ns.user_fd, fail_inside, word, &e), -ERR_STATE);
	assert_ok(netns_remove(ns.path, &e));
	assert_int_equal(netns_run_path(ns.path, look_around, &inside, &e), -ERR_NOT_FOUND);
}

static void *run_often(void *arg)
{
	struct netns *ns = arg;

	for (int i = 0; i < 50; i++) {
		struct seen before, inside, after;
		struct ns_id id;

		if (look_around(&before, NULL) < 0 || netns_run(ns->net_fd, look_around, &inside, NULL) < 0 ||
		    look_around(&after, NULL) < 0 || ns_identify(ns->net_fd, &id, NULL) < 0 ||
		    !ns_id_equal(inside.id, id) || !ns_id_equal(before.id, after.id))
			return NULL;
	}
	return ns;
}

static void threads_run_inside_different_ones_at_once(void **state)
{
	struct netns ns[4];
	pthread_t threads[4];
	struct error e = ERROR_INIT;

	(void)state;
	need_mounts();
	for (int i = 0; i < 4; i++)
		make(&ns[i]);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_often, &ns[i]), 0);
	for (int i = 0; i < 4; i++) {
		void *r;

		pthread_join(threads[i], &r);
		assert_ptr_equal(r, &ns[i]);
		netns_done(&ns[i]);
		assert_ok(netns_remove(ns[i].path, &e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_directory_is_mounted_once_and_shared),
		cmocka_unit_test(many_at_once_mount_the_directory_once),
		cmocka_unit_test(names_are_random_in_the_form_of_cni),
		cmocka_unit_test(the_owner_is_found_by_the_path_alone),
		cmocka_unit_test(a_pin_outlives_every_fd),
		cmocka_unit_test(one_is_made_inside_a_given_user_namespace),
		cmocka_unit_test(a_pin_is_exclusive_and_only_for_network_namespaces),
		cmocka_unit_test(one_is_pinned_from_a_pidfd),
		cmocka_unit_test(removal_is_idempotent),
		cmocka_unit_test(what_is_no_pin_is_left_alone),
		cmocka_unit_test(a_stale_file_is_closed_and_removed),
		cmocka_unit_test(a_function_runs_inside_and_the_caller_stays),
		cmocka_unit_test(threads_run_inside_different_ones_at_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
