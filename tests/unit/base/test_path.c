/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

static int make_dir(void **state)
{
	static char dir[] = "/tmp/hull-test-path-XXXXXX";

	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	return path_remove_tree(AT_FDCWD, *state, NULL);
}

static int open_dir(void **state)
{
	int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void a_symlink_cannot_leave_the_root(void **state)
{
	cleanup_close int root = open_dir(state);
	struct error e = ERROR_INIT;
	struct stat in, made;
	int fd;

	assert_int_equal(symlinkat("/../../etc", root, "evil"), 0);
	assert_int_equal(path_mkdir_in_root(root, "/etc", 0755, -1, -1, &fd, &e), 0);
	fstat(fd, &made);
	close(fd);
	assert_int_equal(path_open_in_root(root, "evil", O_PATH, 0, &fd, &e), 0);
	fstat(fd, &in);
	close(fd);
	assert_true(in.st_ino == made.st_ino && in.st_dev == made.st_dev);
	assert_int_equal(path_open_beneath(root, "evil", O_PATH, 0, false, &fd, &e), -ERR_SYS);
	assert_int_equal(e.sys, EXDEV);
	assert_int_equal(path_open_beneath(root, "etc/../../x", O_PATH, 0, false, &fd, &e), -ERR_SYS);
	assert_int_equal(e.sys, EXDEV);
}

static void directories_are_made_inside(void **state)
{
	cleanup_close int root = open_dir(state);
	cleanup_close int fd = -1;
	struct error e = ERROR_INIT;

	assert_int_equal(symlinkat("b", root, "a"), 0);
	assert_int_equal(mkdirat(root, "b", 0755), 0);
	assert_int_equal(path_mkdir_in_root(root, "/a/c/d/", 0755, -1, -1, &fd, &e), 0);
	assert_int_equal(faccessat(root, "b/c/d", F_OK, 0), 0);
}

static void a_tree_is_removed_and_links_are_not_followed(void **state)
{
	cleanup_close int root = open_dir(state);
	struct error e = ERROR_INIT;

	assert_int_equal(mkdirat(root, "keep", 0755), 0);
	assert_int_equal(mkdirat(root, "tree", 0755), 0);
	assert_int_equal(mkdirat(root, "tree/x", 0700), 0);
	assert_int_equal(symlinkat("../keep", root, "tree/x/link"), 0);
	assert_int_equal(file_write_atomic(root, "keep/file", "x", 1, 0600, false, &e), 0);
	assert_int_equal(file_write_atomic(root, "tree/x/file", "x", 1, 0600, true, &e), 0);
	assert_int_equal(path_remove_tree(root, "tree", &e), 0);
	assert_int_equal(path_remove_tree(root, "tree", &e), 0);
	assert_int_equal(faccessat(root, "tree", F_OK, 0), -1);
	assert_int_equal(faccessat(root, "keep/file", F_OK, 0), 0);
}

static void files_are_replaced_whole(void **state)
{
	cleanup_close int root = open_dir(state);
	cleanup_buf struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;

	assert_int_equal(file_write_atomic(root, "f", "one", 3, 0640, false, &e), 0);
	assert_int_equal(file_write_atomic(root, "f", "two", 3, 0640, false, &e), 0);
	assert_int_equal(file_read(root, "f", 100, &b, &e), 0);
	assert_string_equal(buf_str(&b), "two");
	assert_int_equal(file_read(root, "f", 2, &b, &e), -ERR_LIMIT);
	assert_int_equal(file_read(root, "g", 2, &b, &e), -ERR_NOT_FOUND);
}

static void clean_paths(void **state)
{
	static const char *const cases[][2] = {
		{ "/a/./b/../c", "/a/c" }, { "/..", "/" },     { "", "." },	{ "a/../..", ".." },
		{ "//a//", "/a" },	   { "../x", "../x" }, { "a/..", "." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_free char *got = path_clean(cases[i][0]);

		assert_string_equal(got, cases[i][1]);
	}
	assert_true(path_is_clean_abs("/"));
	assert_true(path_is_clean_abs("/a/b..c"));
	assert_false(path_is_clean_abs("/a/../b"));
	assert_false(path_is_clean_abs("/a//b"));
	assert_false(path_is_clean_abs("/a/"));
	assert_false(path_is_clean_abs("a"));
	assert_true(path_is_name("a.b"));
	assert_false(path_is_name(".."));
	assert_false(path_is_name("a/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_symlink_cannot_leave_the_root, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(directories_are_made_inside, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_tree_is_removed_and_links_are_not_followed, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(files_are_replaced_whole, make_dir, remove_dir),
		cmocka_unit_test(clean_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
