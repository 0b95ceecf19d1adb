/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/identity.h"

static const char passwd_text[] = "# comment:x:9:9::/:/\n"
				  "root:x:0:0:root:/root:/bin/sh\n"
				  "garbage\n"
				  "short:x:5\n"
				  "app:x:1000:1001:App,,,:/home/app:/bin/sh\n"
				  "app:x:0:0:second:/root:/bin/sh\n"
				  "big:x:4294967296:0::/:/\n"
				  "minus:x:-1:0::/:/\n"
				  "last:x:4294967295:0::/:/\n"
				  "wrap:x:18446744073709551616:0::/:/\n"
				  "plus:x:+7:0::/:/\n"
				  "space:x: 7:0::/:/\n"
				  "max:x:4294967294:4294967294::relative:/\n"
				  "1000:x:0:0:a number as a name:/root:/bin/sh\n"
				  ":x:77:77::/:/\n"
				  "min:x:80:81";
static const char group_text[] = "root:x:0:\n"
				 "app:x:1001:\n"
				 "wheel:x:10:root,app\n"
				 "disk:x:6:xapp,appx,app\n"
				 "none:x:11:xapp\n"
				 "bad:x:4294967296:app\n"
				 "words:x:x:app\n"
				 "\n"
				 "2000:x:0:\n"
				 "users:x:100:app\n"
				 "users:x:0:app";

static struct identity_files files_of(const char *passwd, size_t passwd_len, const char *group)
{
	struct identity_files f = { 0 };

	buf_add(&f.passwd, passwd, passwd_len);
	buf_adds(&f.group, group);
	return f;
}

struct row {
	struct identity_request req;
	int result; /* 0, or -kind */
	uint32_t uid, gid;
	const char *groups; /* "0,10" */
	const char *home;
};

/* clang-format off */
static const int64_t asked[] = { 50, 10, 50 };
static const int64_t negative[] = { -1 };
static const int64_t too_big[] = { 4294967295 };
static const struct row rows[] = {
	{ { .user = NULL }, 0, 0, 0, "0,10", "/root" },
	{ { .user = "" }, 0, 0, 0, "0,10", "/root" },
	{ { .user = "app" }, 0, 1000, 1001, "0,6,10,100,1001", "/home/app" },
	{ { .user = "app", .policy = IDENTITY_STRICT }, 0, 1000, 1001, "1001", "/home/app" },
	{ { .user = "app", .groups = asked, .group_count = 3, .policy = IDENTITY_STRICT }, 0, 1000, 1001, "10,50,1001",
	  "/home/app" },
	{ { .user = "app", .groups = asked, .group_count = 3 }, 0, 1000, 1001, "0,6,10,50,100,1001", "/home/app" },
	/* Digits are a number, whatever names there are: the line "1000" must not make root of uid 1000. */
	{ { .user = "1000" }, 0, 1000, 1001, "0,6,10,100,1001", "/home/app" },
	{ { .user = "1000:2000" }, 0, 1000, 2000, "0,6,10,100,2000", "/home/app" },
	{ { .user = "4711" }, 0, 4711, 0, "0", "/" },
	{ { .user = "4711:wheel" }, 0, 4711, 10, "10", "/" },
	{ { .user = "app:users" }, 0, 1000, 100, "0,6,10,100", "/home/app" },
	{ { .user = "min" }, 0, 80, 81, "81", "/" },
	{ { .user = "max" }, 0, 4294967294, 4294967294, "4294967294", "/" },
	{ { .has_uid = true, .uid = 1000, .user = "root:root" }, 0, 1000, 1001, "0,6,10,100,1001", "/home/app" },
	{ { .has_uid = true, .uid = 5, .has_gid = true, .gid = 6 }, 0, 5, 6, "6", "/" },
	{ { .has_uid = true, .uid = 1000, .has_gid = true, .gid = 7 }, 0, 1000, 7, "0,6,7,10,100", "/home/app" },
	{ { .username = "app" }, 0, 1000, 1001, "0,6,10,100,1001", "/home/app" },
	{ { .username = "1000" }, 0, 0, 0, "0", "/root" },
	{ { .username = "nobody" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "nobody" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "app:nogroup" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	/* CVE-2024-40635: what does not fit in 32 bits is no id, neither asked for nor in the file. */
	{ { .user = "4294967296" }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .user = "4294967295" }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .user = "18446744073709551616" }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .user = "0:4294967296" }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .user = "big" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "minus" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "last" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "wrap" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "plus" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "space" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "short" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "-1" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = "0:bad" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .user = ":10" }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .user = "app:" }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .user = "a:b:c" }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .user = "app\nroot" }, -ERR_NOT_FOUND, 0, 0, NULL, NULL },
	{ { .has_uid = true, .uid = -1 }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .has_uid = true, .uid = INT64_C(1) << 32 }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .has_uid = true, .has_gid = true, .gid = UINT32_MAX }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .groups = negative, .group_count = 1 }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .groups = too_big, .group_count = 1 }, -ERR_INVALID, 0, 0, NULL, NULL },
	{ { .groups = asked, .group_count = IDENTITY_GROUPS_MAX + 1 }, -ERR_LIMIT, 0, 0, NULL, NULL },
};
/* clang-format on */

static void users_are_resolved_as_the_table_says(void **state)
{
	CLEANUP(identity_files_done)
	struct identity_files files = files_of(passwd_text, sizeof(passwd_text) - 1, group_text);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(oci_identity_done) struct oci_identity id = OCI_IDENTITY_INIT;
		cleanup_buf struct buf groups = BUF_INIT;
		struct error e = ERROR_INIT;
		int r = identity_resolve(&files, &rows[i].req, &id, &e);

		if (r != rows[i].result)
			fail_msg("row %zu: %d, not %d (%s)", i, r, rows[i].result, err_msg(&e));
		if (r < 0)
			continue;
		for (size_t g = 0; g < id.group_count; g++)
			buf_addf(&groups, "%s%u", g ? "," : "", id.groups[g]);
		if (id.uid != rows[i].uid || id.gid != rows[i].gid ||
		    !str_eq(buf_str(&groups), rows[i].groups) || !str_eq(id.home, rows[i].home))
			fail_msg("row %zu: %u:%u groups %s home %s", i, id.uid, id.gid, buf_str(&groups),
				 id.home);
	}
}

static void a_line_with_a_nul_is_no_line(void **state)
{
	static const char text[] = "evil\0:x:0:0::/:/\nroot:x:5:5::/:/\n";
	CLEANUP(identity_files_done) struct identity_files files = files_of(text, sizeof(text) - 1, "");
	CLEANUP(oci_identity_done) struct oci_identity id = OCI_IDENTITY_INIT;
	struct identity_request req = { .user = "evil" };
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(identity_resolve(&files, &req, &id, &e), -ERR_NOT_FOUND);
	req.user = "root";
	assert_int_equal(identity_resolve(&files, &req, &id, &e), 0);
	assert_int_equal(id.uid, 5);
}

/* ---- files -------------------------------------------------------------------------------------- */

static char dir[64];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/hull-test-identity-XXXXXX");
	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	return path_remove_tree(AT_FDCWD, *state, NULL);
}

static int root_fd(void)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void put(int dfd, const char *path, const char *text)
{
	int fd = openat(dfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void absent_files_are_empty(void **state)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	cleanup_close int root = root_fd();
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(identity_files_read(root, &files, &e), 0);
	assert_int_equal(files.passwd.len + files.group.len, 0);
	put(root, "etc", "a file where a directory is expected");
	assert_int_equal(identity_files_read(root, &files, &e), 0);
	assert_int_equal(files.passwd.len, 0);
}

static void a_symlink_stays_in_the_root(void **state)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	cleanup_close int root = root_fd();
	struct error e = ERROR_INIT;

	(void)state;
	mkdirat(root, "etc", 0755);
	mkdirat(root, "usr", 0755);
	put(root, "usr/passwd", "inside:x:1:1::/:/\n");
	assert_int_equal(symlinkat("../../../../usr/passwd", root, "etc/passwd"), 0);
	assert_int_equal(identity_files_read(root, &files, &e), 0);
	assert_string_equal(buf_str(&files.passwd), "inside:x:1:1::/:/\n");
}

static void a_fifo_is_refused_and_not_waited_for(void **state)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	cleanup_close int root = root_fd();
	struct error e = ERROR_INIT;

	(void)state;
	mkdirat(root, "etc", 0755);
	assert_int_equal(mkfifoat(root, "etc/passwd", 0644), 0);
	assert_int_equal(identity_files_read(root, &files, &e), -ERR_INVALID);
	assert_string_equal(err_msg(&e), "the image's \"/etc/passwd\" is not a regular file");
	assert_int_equal(identity_files_read_layers(&root, 1, &files, &e), -ERR_INVALID);
	unlinkat(root, "etc/passwd", 0);
	assert_int_equal(symlinkat("/dev/stdin", root, "etc/passwd"), 0);
	assert_int_equal(identity_files_read(root, &files, &e), 0);
	assert_int_equal(files.passwd.len, 0);
}

static void a_huge_file_is_refused(void **state)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	cleanup_close int root = root_fd();
	struct error e = ERROR_INIT;
	int fd;

	(void)state;
	mkdirat(root, "etc", 0755);
	fd = openat(root, "etc/group", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, IDENTITY_FILE_MAX + 1), 0);
	close(fd);
	assert_int_equal(identity_files_read(root, &files, &e), -ERR_LIMIT);
	assert_int_equal(identity_files_read_layers(&root, 1, &files, &e), -ERR_LIMIT);
}

/* ---- layers: 0 is the topmost ------------------------------------------------------------------- */

static void make_layers(int fds[3])
{
	cleanup_close int root = root_fd();
	static const char *const names[] = { "top", "middle", "base" };

	for (int i = 0; i < 3; i++) {
		mkdirat(root, names[i], 0755);
		fds[i] = openat(root, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
		mkdirat(fds[i], "etc", 0755);
	}
}

static void expect(const int fds[3], const char *passwd)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	struct error e = ERROR_INIT;

	if (identity_files_read_layers(fds, 3, &files, &e) < 0)
		fail_msg("%s", err_msg(&e));
	assert_string_equal(buf_str(&files.passwd), passwd);
}

static void close_layers(const int fds[3])
{
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void the_topmost_layer_decides(void **state)
{
	int fds[3];

	(void)state;
	make_layers(fds);
	expect(fds, "");
	put(fds[2], "etc/passwd", "base");
	expect(fds, "base");
	put(fds[1], "etc/passwd", "middle");
	expect(fds, "middle");
	put(fds[0], "etc/passwd", "top");
	expect(fds, "top");
	close_layers(fds);
}

static void whiteouts_hide(void **state)
{
	int fds[3];

	(void)state;
	make_layers(fds);
	put(fds[2], "etc/passwd", "base");
	if (mknodat(fds[1], "etc/passwd", S_IFCHR | 0600, makedev(0, 0)) < 0) {
		close_layers(fds);
		print_message("cannot make a 0/0 device here: %s\n", strerror(errno));
		skip();
	}
	expect(fds, "");
	unlinkat(fds[1], "etc/passwd", 0);
	expect(fds, "base");
	close_layers(fds);
}

static void an_opaque_directory_hides_those_below(void **state)
{
	int fds[3], etc;

	(void)state;
	make_layers(fds);
	put(fds[2], "etc/passwd", "base");
	put(fds[0], "etc/other", "");
	expect(fds, "base");
	etc = openat(fds[1], "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fsetxattr(etc, "user.overlay.opaque", "y", 1, 0) < 0) {
		print_message("no user xattrs here: %s\n", strerror(errno));
		close(etc);
		close_layers(fds);
		skip();
	}
	close(etc);
	expect(fds, "");
	put(fds[1], "etc/passwd", "middle");
	expect(fds, "middle");
	close_layers(fds);
}

static void a_file_hides_the_directory_of_its_name_below(void **state)
{
	int fds[3];

	(void)state;
	make_layers(fds);
	put(fds[2], "etc/passwd", "base");
	unlinkat(fds[1], "etc", AT_REMOVEDIR);
	put(fds[1], "etc", "a file");
	expect(fds, "");
	close_layers(fds);
}

static void symlinks_go_through_the_layers(void **state)
{
	int fds[3];

	(void)state;
	make_layers(fds);
	mkdirat(fds[2], "usr", 0755);
	put(fds[2], "usr/real", "real");
	assert_int_equal(symlinkat("../../.././usr/link", fds[0], "etc/passwd"), 0);
	mkdirat(fds[1], "usr", 0755);
	assert_int_equal(symlinkat("real", fds[1], "usr/link"), 0);
	expect(fds, "real");
	unlinkat(fds[1], "usr/link", 0);
	assert_int_equal(symlinkat("/usr/../usr/real", fds[1], "usr/link"), 0);
	expect(fds, "real");
	close_layers(fds);
}

static void a_loop_of_symlinks_ends(void **state)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	struct error e = ERROR_INIT;
	int fds[3];

	(void)state;
	make_layers(fds);
	assert_int_equal(symlinkat("passwd", fds[0], "etc/passwd"), 0);
	assert_int_equal(identity_files_read_layers(fds, 3, &files, &e), -ERR_INVALID);
	close_layers(fds);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_resolved_as_the_table_says),
		cmocka_unit_test(a_line_with_a_nul_is_no_line),
		with_dir(absent_files_are_empty),
		with_dir(a_symlink_stays_in_the_root),
		with_dir(a_fifo_is_refused_and_not_waited_for),
		with_dir(a_huge_file_is_refused),
		with_dir(the_topmost_layer_decides),
		with_dir(whiteouts_hide),
		with_dir(an_opaque_directory_hides_those_below),
		with_dir(a_file_hides_the_directory_of_its_name_below),
		with_dir(symlinks_go_through_the_layers),
		with_dir(a_loop_of_symlinks_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
