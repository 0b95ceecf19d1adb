/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "store/journal.h"

struct dir {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct dir *d = NEW(struct dir);

	strcpy(d->path, "/tmp/hull-test-journal-XXXXXX");
	if (!mkdtemp(d->path))
		return -1;
	d->fd = open(d->path, O_DIRECTORY | O_CLOEXEC);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct dir *d = *state;
	struct error e = ERROR_INIT;
	int r = path_remove_tree(AT_FDCWD, d->path, &e);

	close(d->fd);
	free(d);
	return r;
}

static int note(void *arg, const char *kind, const char *entry_arg, struct error *e)
{
	(void)e;
	buf_addf(arg, "%s=%s;", kind, entry_arg);
	return 0;
}

static void assert_replay(struct dir *d, int result, const char *entries)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;
	int r = journal_replay(d->fd, note, &b, &e);

	if (r != result)
		fail_msg("replay: %d, not %d: %s", r, result, err_msg(&e));
	assert_string_equal(buf_str(&b), entries);
}

static void open_entries_come_newest_first(void **state)
{
	struct dir *d = *state;
	struct journal j = JOURNAL_INIT;
	struct error e = ERROR_INIT;

	assert_replay(d, 0, "");
	assert_int_equal(journal_open(d->fd, &j, &e), 0);
	assert_int_equal(journal_add(&j, "netns", "/run/netns/cni-1", &e), 0);
	assert_int_equal(journal_add(&j, "cgroup", "/hull/x y", &e), 0);
	assert_int_equal(journal_add(&j, "cni", "", &e), 0);
	assert_int_equal(journal_add(&j, "of-a_later-1", "z", &e), 0);
	assert_int_equal(journal_done(&j, "cgroup", "/hull/x y", &e), 0);
	assert_int_equal(journal_done(&j, "cgroup", "never added", &e), 0);
	assert_replay(d, 3, "of-a_later-1=z;cni=;netns=/run/netns/cni-1;");
	journal_close(&j);
	assert_int_equal(journal_open(d->fd, &j, &e), 0);
	/* Added twice is open once, at its newer place; undone and made again is open. */
	assert_int_equal(journal_add(&j, "netns", "/run/netns/cni-1", &e), 0);
	assert_int_equal(journal_add(&j, "cgroup", "/hull/x y", &e), 0);
	assert_replay(d, 4, "cgroup=/hull/x y;netns=/run/netns/cni-1;of-a_later-1=z;cni=;");
	assert_int_equal(journal_done(&j, "netns", "/run/netns/cni-1", &e), 0);
	assert_replay(d, 3, "cgroup=/hull/x y;of-a_later-1=z;cni=;");
	journal_close(&j);
}

static void arguments_hold_any_byte(void **state)
{
	struct dir *d = *state;
	struct journal j = JOURNAL_INIT;
	struct error e = ERROR_INIT;
	char all[256], expected[300];

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	assert_int_equal(journal_open(d->fd, &j, &e), 0);
	assert_int_equal(journal_add(&j, "k", all, &e), 0);
	assert_int_equal(journal_add(&j, "k", "\\n", &e), 0);
	assert_int_equal(journal_add(&j, "k", "\n", &e), 0);
	assert_int_equal(journal_done(&j, "k", "\\n", &e), 0);
	snprintf(expected, sizeof(expected), "k=\n;k=%s;", all);
	assert_replay(d, 2, expected);
	journal_close(&j);
}

static void bad_kinds_and_long_arguments_are_refused(void **state)
{
	struct dir *d = *state;
	struct journal j = JOURNAL_INIT;
	struct error e = ERROR_INIT;
	cleanup_free char *arg = mem_zalloc(JOURNAL_ARG_MAX + 2);

	memset(arg, '\n', JOURNAL_ARG_MAX);
	assert_int_equal(journal_open(d->fd, &j, &e), 0);
	assert_int_equal(journal_add(&j, "", "x", &e), -ERR_INVALID);
	assert_int_equal(journal_add(&j, "a b", "x", &e), -ERR_INVALID);
	assert_int_equal(journal_add(&j, "a\n", "x", &e), -ERR_INVALID);
	assert_int_equal(journal_add(&j, "k", arg, &e), 0);
	assert_int_equal(journal_done(&j, "k", arg, &e), 0);
	arg[JOURNAL_ARG_MAX] = 'x';
	assert_int_equal(journal_add(&j, "k", arg, &e), -ERR_LIMIT);
	assert_replay(d, 0, "");
	journal_close(&j);
}

static void append_raw(struct dir *d, const char *text)
{
	int fd = openat(d->fd, JOURNAL_NAME, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void a_torn_last_record_is_dropped(void **state)
{
	struct dir *d = *state;
	struct journal j = JOURNAL_INIT;
	struct error e = ERROR_INIT;

	append_raw(d, "+ netns /run/netns/cni-1\n+ netns /run/net");
	assert_replay(d, 1, "netns=/run/netns/cni-1;");
	assert_int_equal(journal_open(d->fd, &j, &e), 0);
	assert_int_equal(journal_add(&j, "cgroup", "/a", &e), 0);
	assert_replay(d, 2, "cgroup=/a;netns=/run/netns/cni-1;");
	journal_close(&j);
}

static void a_journal_that_is_one_torn_record_becomes_empty(void **state)
{
	struct dir *d = *state;
	struct journal j = JOURNAL_INIT;
	struct error e = ERROR_INIT;
	struct stat st;

	append_raw(d, "+ ne");
	assert_replay(d, 0, "");
	assert_int_equal(journal_open(d->fd, &j, &e), 0);
	assert_int_equal(fstat(j.fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	journal_close(&j);
}

static void unreadable_lines_are_named_after_the_others_were_given(void **state)
{
	static const char *const bad[] = { "nonsense", "",     "+ ",	   "+ k",    "* k x",
					   "+ K x",    "+  x", "+ k a\\b", "+ k a\\" };
	struct dir *d = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cleanup_free char *text = str_fmt("+ a 1\n%s\n+ b 2\n", bad[i]);
		cleanup_buf struct buf b = BUF_INIT;
		struct error e = ERROR_INIT;

		unlinkat(d->fd, JOURNAL_NAME, 0);
		append_raw(d, text);
		if (journal_replay(d->fd, note, &b, &e) != -ERR_CORRUPT)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_non_null(strstr(err_msg(&e), "line 2 "));
		assert_string_equal(buf_str(&b), "b=2;a=1;");
	}
}

static int fail_on_cgroup(void *arg, const char *kind, const char *entry_arg, struct error *e)
{
	++*(int *)arg;
	return str_eq(kind, "cgroup") ? err_new(e, ERR_STATE, "busy \"%s\"", entry_arg) : 0;
}

static void a_failing_callback_ends_the_replay(void **state)
{
	struct dir *d = *state;
	struct error e = ERROR_INIT;
	int calls = 0;

	append_raw(d, "+ netns 1\n+ cgroup 2\n+ cni 3\n");
	assert_int_equal(journal_replay(d->fd, fail_on_cgroup, &calls, &e), -ERR_STATE);
	assert_string_equal(err_msg(&e), "busy \"2\"");
	assert_int_equal(calls, 2);
}

/* An "effect" is a file: made after journal_add(), removed before journal_done(). */
static void make_and_undo_effects(struct dir *d)
{
	struct journal j = JOURNAL_INIT;
	struct error e = ERROR_INIT;
	char name[32];

	if (journal_open(d->fd, &j, &e) < 0)
		_exit(2);
	for (int i = 0;; i++) {
		snprintf(name, sizeof(name), "effect-%d", i);
		if (journal_add(&j, "file", name, &e) < 0)
			_exit(3);
		close(openat(d->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		if (i < 3)
			continue;
		snprintf(name, sizeof(name), "effect-%d", i - 3);
		unlinkat(d->fd, name, 0);
		if (journal_done(&j, "file", name, &e) < 0)
			_exit(3);
	}
}

static int undo_effect(void *arg, const char *kind, const char *entry_arg, struct error *e)
{
	struct dir *d = arg;

	(void)e;
	assert_string_equal(kind, "file");
	if (unlinkat(d->fd, entry_arg, 0) < 0)
		assert_int_equal(errno, ENOENT);
	return 0;
}

static void after_a_kill_the_open_entries_name_every_effect(void **state)
{
	struct dir *d = *state;

	for (int round = 0; round < 15; round++) {
		struct error e = ERROR_INIT;
		pid_t pid = fork();
		int status, open_entries;

		if (pid == 0)
			make_and_undo_effects(d);
		usleep((useconds_t)(2000 + 777 * round));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		open_entries = journal_replay(d->fd, undo_effect, d, &e);
		assert_in_range(open_entries, 0, 5);
		unlinkat(d->fd, JOURNAL_NAME, 0);
		/* The directory is empty: nothing was left that the journal did not name. */
		assert_int_equal(unlinkat(AT_FDCWD, d->path, AT_REMOVEDIR), 0);
		close(d->fd);
		assert_int_equal(mkdir(d->path, 0700), 0);
		d->fd = open(d->path, O_DIRECTORY | O_CLOEXEC);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_entries_come_newest_first),
		TEST(arguments_hold_any_byte),
		TEST(bad_kinds_and_long_arguments_are_refused),
		TEST(a_torn_last_record_is_dropped),
		TEST(a_journal_that_is_one_torn_record_becomes_empty),
		TEST(unreadable_lines_are_named_after_the_others_were_given),
		TEST(a_failing_callback_ends_the_replay),
		TEST(after_a_kill_the_open_entries_name_every_effect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
