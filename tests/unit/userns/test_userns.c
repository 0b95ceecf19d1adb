/* SPDX-License-Identifier: Apache-2.0 */
#include <grp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common.h"
#include "base/str.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

#define FULL "         0          0 4294967295\n"
#define INIT_INO 0xEFFFFFFDU

static void the_map_and_the_number_decide_together(void **state)
{
	static const struct {
		const char *uids, *gids, *setgroups;
		uint64_t ino;
		bool in_child, full_map, is_mapped, cannot_setgroups;
	} rows[] = {
		{ FULL, FULL, "allow\n", INIT_INO, false, true, true, false },
		{ FULL, FULL, "allow\n", 0, false, true, true, false },
		{ FULL, FULL, "allow\n", 4026532000, true, true, true, false },
		{ "0 1000 1\n", "0 1000 1\n", "deny\n", 4026532000, true, false, true, true },
		{ "0 1000 1\n", "0 1000 1\n", "deny\n", 0, true, false, true, true },
		{ "0 100000 65536\n", "0 100000 65536\n", "allow\n", 4026532000, true, false, true, false },
		{ FULL, "0 0 65536\n", "allow\n", 4026532000, true, false, true, false },
		{ "0 0 4294967294\n", FULL, "allow\n", 0, true, false, true, false },
		{ "", "", "allow\n", 4026532000, true, false, false, true },
		{ FULL, FULL, "deny\n", 4026532000, true, true, true, true },
		{ "0 0 2147483648\n2147483648 2147483648 2147483647\n", FULL, "allow\n", 4026532000, true,
		  true, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error e = ERROR_INIT;
		struct userns_self self;

		assert_ok(
			userns_judge(rows[i].uids, rows[i].gids, rows[i].setgroups, rows[i].ino, &self, &e));
		assert_int_equal(self.in_child, rows[i].in_child);
		assert_int_equal(self.full_map, rows[i].full_map);
		assert_int_equal(self.is_mapped, rows[i].is_mapped);
		assert_int_equal(self.cannot_setgroups, rows[i].cannot_setgroups);
		assert_int_equal(self.cannot_choose_ids, !rows[i].full_map);
		assert_int_equal(self.cannot_mknod, rows[i].in_child);
		assert_int_equal(self.cannot_trust_xattrs, rows[i].in_child);
	}
}

static void a_map_that_makes_no_sense_is_an_error(void **state)
{
	struct error e = ERROR_INIT;
	struct userns_self self;

	(void)state;
	assert_int_equal(userns_judge("0 0\n", FULL, "", 0, &self, &e), -ERR_INVALID);
	assert_says(&e, "our uid_map: line 1");
}

/* Detect in a child that ran enter() first; exit code: bit 0 in_child, bit 1 full_map, bit 2 is_initial. */
static int detect_in(int user_fd, int unshare_flags)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct userns_self self;

		if ((user_fd >= 0 && setns(user_fd, CLONE_NEWUSER) < 0) ||
		    (unshare_flags && unshare(unshare_flags) < 0) || userns_detect(&self, NULL) < 0)
			_exit(99);
		_exit(self.in_child | self.full_map << 1 | userns_is_initial() << 2);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_child_namespace_with_the_full_map_is_not_the_initial_one(void **state)
{
	struct idmap full = { .x = { { 0, 0, UINT32_MAX } }, .n = 1 };
	cleanup_close int fd = -1;
	struct error e = ERROR_INIT;
	struct userns_self self;

	(void)state;
	need_root();
	assert_ok(userns_detect(&self, &e));
	if (!self.full_map)
		SKIP("only a namespace with all ids can give them all to a child");
	assert_ok(userns_mapping_fd(&full, &full, &fd, &e));
	assert_int_equal(detect_in(fd, 0), 1 | 2);
}

static void where_we_are_is_found_out(void **state)
{
	struct idmap map = map_for_test(2000000000U);
	cleanup_close int fd = -1;
	struct error e = ERROR_INIT;
	struct stat st;

	(void)state;
	need_root();
	assert_int_equal(stat("/proc/self/ns/user", &st), 0);
	assert_ok(userns_mapping_fd(&map, &map, &fd, &e));
	assert_int_equal(detect_in(fd, 0), 1);
	assert_int_equal(detect_in(-1, CLONE_NEWUSER), 1); /* no map at all yet */
	/* Last: the answer is remembered, and the children above would inherit it. */
	assert_int_equal(userns_is_initial(), st.st_ino == INIT_INO);
}

static void a_mapping_fd_is_a_user_namespace_of_its_own(void **state)
{
	struct idmap map = map_for_test(2000000000U), uids = IDMAP_INIT, gids = IDMAP_INIT;
	cleanup_close int a = -1, b = -1;
	struct error e = ERROR_INIT;
	bool same = true;

	(void)state;
	need_root();
	assert_ok(userns_mapping_fd(&map, &map, &a, &e));
	assert_ok(userns_mapping_fd(&map, &map, &b, &e));
	assert_ok(ns_check_type(a, CLONE_NEWUSER, &e));
	assert_ok(ns_is_same(a, b, &same, &e));
	assert_false(same);
	assert_ok(userns_read_maps(a, &uids, &gids, &e));
	assert_true(idmap_equal(&uids, &map) && idmap_equal(&gids, &map));
	assert_int_equal(fcntl(a, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(userns_read_maps(STDIN_FILENO, &uids, &gids, &e), -ERR_STATE);
	assert_int_equal(userns_mapping_fd(&map, &IDMAP_INIT, &a, &e), -ERR_INVALID);
}

static void *make_mappings(void *arg)
{
	struct idmap map = map_for_test(2000000000U);
	int *failures = arg;

	for (int i = 0; i < 20; i++) {
		int fd = -1;

		*failures += userns_mapping_fd(&map, &map, &fd, NULL) < 0;
		close(fd);
	}
	return NULL;
}

static void threads_make_mappings_at_once(void **state)
{
	pthread_t threads[4];
	int failures[4] = { 0 };

	(void)state;
	need_root();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_mappings, &failures[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(failures[i], 0);
	}
}

/* A user without a capability may map only itself, and has to give up setgroups for it. */
static void without_capabilities_setgroups_is_denied_first(void **state)
{
	struct userns_self self;
	struct error e = ERROR_INIT;
	int status;
	pid_t pid;

	(void)state;
	need_root();
	assert_ok(userns_detect(&self, &e));
	if (!self.full_map)
		SKIP("needs a second user to become");
	pid = fork();
	if (pid == 0) {
		struct idmap map = { .x = { { 0, 65534, 1 } }, .n = 1 },
			     more = { .x = { { 0, 65534, 2 } }, .n = 1 };
		char word[8] = "";
		int fd = -1, text;

		if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
		    setresuid(65534, 65534, 65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
			_exit(1);
		if (userns_mapping_fd(&more, &map, &fd, &e) != -ERR_DENIED)
			_exit(2);
		if (userns_mapping_fd(&map, &map, &fd, &e) < 0)
			_exit(3);
		if (setns(fd, CLONE_NEWUSER) < 0)
			_exit(4);
		text = open("/proc/self/setgroups", O_RDONLY);
		_exit(read(text, word, 4) == 4 && str_eq(word, "deny") ? 0 : 5);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_map_is_written_once(void **state)
{
	struct idmap map = map_for_test(2000000000U);
	struct proc child = PROC_INIT;
	struct error e = ERROR_INIT;
	cleanup_close int dfd = -1;
	int r;

	(void)state;
	need_root();
	r = pidfd_clone(CLONE_NEWUSER, &child, &e);
	if (r == 0)
		for (;;)
			pause();
	assert_int_equal(r, 1);
	assert_ok(pidfd_proc_dir(child.pid_fd, &dfd, &e));
	assert_ok(idmap_write_both(dfd, &map, &map, &e));
	assert_int_equal(idmap_write(dfd, "uid_map", &map, &e), -ERR_STATE);
	assert_says(&e, "it was written before");
	proc_kill(&child);
	assert_int_equal(idmap_write(dfd, "uid_map", &map, &e), -ERR_STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_map_and_the_number_decide_together),
		cmocka_unit_test(a_map_that_makes_no_sense_is_an_error),
		cmocka_unit_test(a_child_namespace_with_the_full_map_is_not_the_initial_one),
		cmocka_unit_test(where_we_are_is_found_out),
		cmocka_unit_test(a_mapping_fd_is_a_user_namespace_of_its_own),
		cmocka_unit_test(threads_make_mappings_at_once),
		cmocka_unit_test(without_capabilities_setgroups_is_denied_first),
		cmocka_unit_test(a_map_is_written_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
