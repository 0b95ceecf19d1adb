/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
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
#include "store/store.h"

/* Each test has a directory of its own. */
struct dir {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct dir *d = NEW(struct dir);

	strcpy(d->path, "/tmp/hull-test-store-XXXXXX");
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

static struct store *open_ok(struct dir *d)
{
	struct error e = ERROR_INIT;
	struct store *s = NULL;

	if (store_open(d->fd, "hull.db", &s, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return s;
}

static void put(struct store *s, enum store_table table, const char *key, const char *value)
{
	struct error e = ERROR_INIT;

	if (store_put(s, table, key, value, strlen(value), STORE_SAFE, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

static void assert_value(struct store *s, enum store_table table, const char *key, const char *value)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;

	if (store_get(s, table, key, &b, &e) < 0)
		fail_msg("%s", err_msg(&e));
	assert_int_equal(b.len, strlen(value));
	assert_memory_equal(buf_str(&b), value, b.len);
}

static void assert_no_row(struct store *s, enum store_table table, const char *key)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;

	assert_int_equal(store_get(s, table, key, &b, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), key));
	assert_int_equal(b.len, 0);
}

static void rows_are_replaced_removed_and_outlive_the_process(void **state)
{
	static const char binary[] = "a\0\xff\n";
	struct store *s = open_ok(*state);
	cleanup_buf struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;
	struct stat st;

	put(s, STORE_SANDBOX, "one", "first");
	put(s, STORE_SANDBOX, "one", "second");
	put(s, STORE_CONTAINER, "one", "other table");
	put(s, STORE_IMAGE, "gone", "x");
	put(s, STORE_META, "empty", "");
	assert_int_equal(store_put(s, STORE_CNI, "binary", binary, sizeof(binary), STORE_DURABLE, &e), 0);
	assert_int_equal(store_remove(s, STORE_IMAGE, "gone", STORE_SAFE, &e), 0);
	assert_int_equal(store_remove(s, STORE_IMAGE, "never there", STORE_SAFE, &e), 0);
	store_close(s);

	s = open_ok(*state);
	assert_value(s, STORE_SANDBOX, "one", "second");
	assert_value(s, STORE_CONTAINER, "one", "other table");
	assert_value(s, STORE_META, "empty", "");
	assert_no_row(s, STORE_IMAGE, "gone");
	assert_int_equal(store_get(s, STORE_CNI, "binary", &b, &e), 0);
	assert_int_equal(b.len, sizeof(binary));
	assert_memory_equal(b.data, binary, sizeof(binary));
	assert_int_equal(fstatat(((struct dir *)*state)->fd, "hull.db", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store_close(s);
}

static void a_transaction_is_whole_or_not_there(void **state)
{
	struct store *s = open_ok(*state);
	CLEANUP(store_abort) struct store_tx tx = store_begin(s, STORE_DURABLE);
	struct error e = ERROR_INIT;

	put(s, STORE_NAME, "old", "x");
	store_tx_put(&tx, STORE_IMAGE, "sha256:1", "i", 1);
	store_tx_put(&tx, STORE_NAME, "ref", "sha256:1", 8);
	store_tx_remove(&tx, STORE_NAME, "old");
	assert_no_row(s, STORE_IMAGE, "sha256:1");
	assert_int_equal(store_commit(&tx, &e), 0);
	assert_value(s, STORE_IMAGE, "sha256:1", "i");
	assert_value(s, STORE_NAME, "ref", "sha256:1");
	assert_no_row(s, STORE_NAME, "old");

	tx = store_begin(s, STORE_SAFE);
	store_tx_put(&tx, STORE_IMAGE, "sha256:2", "i", 1);
	store_tx_put(&tx, STORE_NAME, "", "no key", 6);
	assert_int_equal(store_commit(&tx, &e), -ERR_LIMIT);
	assert_no_row(s, STORE_IMAGE, "sha256:2");

	tx = store_begin(s, STORE_SAFE);
	store_tx_put(&tx, STORE_IMAGE, "sha256:3", "i", 1);
	store_abort(&tx);
	assert_int_equal(store_commit(&tx, &e), 0);
	assert_no_row(s, STORE_IMAGE, "sha256:3");
	store_close(s);
}

static void keys_and_values_have_limits(void **state)
{
	struct store *s = open_ok(*state);
	cleanup_free char *key = mem_zalloc(STORE_KEY_MAX + 2);
	struct error e = ERROR_INIT;

	memset(key, 'k', STORE_KEY_MAX);
	put(s, STORE_META, key, "v");
	assert_value(s, STORE_META, key, "v");
	key[STORE_KEY_MAX] = 'k';
	assert_int_equal(store_put(s, STORE_META, key, "v", 1, STORE_SAFE, &e), -ERR_LIMIT);
	/* The value is not looked at when it is too large. */
	assert_int_equal(store_put(s, STORE_META, "k", "v", (size_t)STORE_VALUE_MAX + 1, STORE_SAFE, &e),
			 -ERR_LIMIT);
	assert_non_null(strstr(err_msg(&e), "table \"meta\""));
	store_close(s);
}

struct walk {
	struct store *s;
	int rows, stop_at;
	char last[32];
};

static int count_and_change(void *arg, const char *key, const void *data, size_t len, struct error *e)
{
	struct walk *w = arg;

	assert_true(strcmp(key, w->last) > 0);
	snprintf(w->last, sizeof(w->last), "%s", key);
	assert_int_equal(len, 2000);
	assert_int_equal(((const char *)data)[1999], 'v');
	if (++w->rows == w->stop_at)
		return err_new(e, ERR_CANCELED, "enough");
	/* The store can be used, the row itself included. */
	if (store_remove(w->s, STORE_LAYER, key, STORE_SAFE, e) < 0)
		return -(int)e->kind;
	return store_put(w->s, STORE_META, key, "seen", 4, STORE_SAFE, e);
}

static void a_walk_gives_each_row_once_and_may_change_the_store(void **state)
{
	struct walk w = { .s = open_ok(*state), .stop_at = 150 };
	struct store_tx tx = store_begin(w.s, STORE_SAFE);
	struct error e = ERROR_INIT;
	char value[2000], key[16];

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "row-%03d", i);
		store_tx_put(&tx, STORE_LAYER, key, value, sizeof(value));
	}
	assert_int_equal(store_commit(&tx, &e), 0);
	assert_int_equal(store_each(w.s, STORE_LAYER, count_and_change, &w, &e), -ERR_CANCELED);
	assert_int_equal(w.rows, 150);
	assert_no_row(w.s, STORE_LAYER, "row-148");
	w = (struct walk){ .s = w.s, .stop_at = -1 };
	assert_int_equal(store_each(w.s, STORE_LAYER, count_and_change, &w, &e), 0);
	assert_int_equal(w.rows, 251);
	assert_string_equal(w.last, "row-399");
	assert_int_equal(store_each(w.s, STORE_LAYER, count_and_change, &w, &e), 0);
	assert_int_equal(w.rows, 251);
	store_close(w.s);
}

static void a_second_opener_is_refused_by_name(void **state)
{
	struct dir *d = *state;
	struct store *s = open_ok(d), *second = NULL;
	struct error e = ERROR_INIT;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int r = store_open(d->fd, "hull.db", &second, &e);

		_exit(r == -ERR_STATE && strstr(err_msg(&e), "another process has it open") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	put(s, STORE_META, "still", "works");
	store_close(s);
}

static void write_file(struct dir *d, const char *name, const void *data, size_t n)
{
	struct error e = ERROR_INIT;

	assert_int_equal(file_write_atomic(d->fd, name, data, n, 0600, false, &e), 0);
}

static void assert_open_fails(struct dir *d, int kind, const char *words)
{
	struct error e = ERROR_INIT;
	struct store *s = NULL;
	int r = store_open(d->fd, "hull.db", &s, &e);

	assert_null(s);
	if (r != -kind || !strstr(err_msg(&e), words) || !strstr(err_msg(&e), d->path))
		fail_msg("%d: \"%s\" lacks \"%s\" or \"%s\"", r, err_msg(&e), words, d->path);
}

static void what_is_no_database_is_left_alone(void **state)
{
	struct dir *d = *state;
	cleanup_buf struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;
	char text[8192];

	memset(text, 'x', sizeof(text));
	write_file(d, "hull.db", text, sizeof(text));
	assert_open_fails(d, ERR_CORRUPT, "move it and its -wal file away");
	assert_int_equal(file_read(d->fd, "hull.db", 10000, &b, &e), 0);
	assert_int_equal(b.len, sizeof(text));
	assert_memory_equal(b.data, text, sizeof(text));
	assert_int_equal(unlinkat(d->fd, "hull.db", 0), 0);
	assert_int_equal(symlinkat("elsewhere", d->fd, "hull.db"), 0);
	assert_open_fails(d, ERR_DENIED, "hull.db");
	assert_int_equal(faccessat(d->fd, "elsewhere", F_OK, 0), -1);
	assert_int_equal(unlinkat(d->fd, "hull.db", 0), 0);
	assert_int_equal(mkfifoat(d->fd, "hull.db", 0600), 0);
	assert_open_fails(d, ERR_DENIED, "not a regular file");
}

static void run_sql(struct dir *d, const char *sql)
{
	cleanup_free char *path = str_fmt("%s/hull.db", d->path);
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_database_of_another_program_or_time_is_refused(void **state)
{
	struct dir *d = *state;
	cleanup_buf struct buf before = BUF_INIT, after = BUF_INIT;
	struct error e = ERROR_INIT;

	run_sql(d, "CREATE TABLE t (x)");
	assert_int_equal(file_read(d->fd, "hull.db", 100000, &before, &e), 0);
	assert_open_fails(d, ERR_DENIED, "belongs to another program");
	assert_int_equal(file_read(d->fd, "hull.db", 100000, &after, &e), 0);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, before.len);
	assert_int_equal(unlinkat(d->fd, "hull.db", 0), 0);
	store_close(open_ok(d));
	run_sql(d, "PRAGMA user_version = 99");
	assert_open_fails(d, ERR_UNSUPPORTED, "schema version 99");
}

static void a_damaged_database_is_named_as_such(void **state)
{
	struct dir *d = *state;
	struct store *s = open_ok(d);
	char zeros[4096] = { 0 }, key[16];
	struct stat st;
	int fd;

	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		put(s, STORE_SANDBOX, key, "some text that makes the table larger than a few pages");
	}
	store_close(s);
	fd = openat(d->fd, "hull.db", O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size >= 4 * 4096);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 2 * 4096), sizeof(zeros));
	close(fd);
	assert_open_fails(d, ERR_CORRUPT, "move it and its -wal file away");
}

#define THREADS 8
#define PER_THREAD 50

struct committer {
	struct store *s;
	int self;
	pthread_t thread;
};

static void *many_commits(void *arg)
{
	struct committer *c = arg;
	struct error e = ERROR_INIT;
	char key[48];

	for (int i = 0; i < PER_THREAD; i++) {
		struct store_tx tx = store_begin(c->s, i % 10 ? STORE_SAFE : STORE_DURABLE);

		snprintf(key, sizeof(key), "%d-%d", c->self, i);
		store_tx_put(&tx, STORE_SANDBOX, key, key, strlen(key));
		store_tx_put(&tx, STORE_NAME, key, key, strlen(key));
		/* Some must fail, and only they. */
		if (i % 7 == 3)
			store_tx_put(&tx, STORE_NAME, "", "", 0);
		if (store_commit(&tx, &e) != (i % 7 == 3 ? -ERR_LIMIT : 0))
			return (void *)1;
	}
	return NULL;
}

static int count_row(void *arg, const char *key, const void *data, size_t len, struct error *e)
{
	(void)e;
	assert_int_equal(strlen(key), len);
	assert_memory_equal(key, data, len);
	++*(int *)arg;
	return 0;
}

static void threads_commit_side_by_side(void **state)
{
	struct committer c[THREADS] = { 0 };
	struct store *s = open_ok(*state);
	struct error e = ERROR_INIT;
	int rows = 0, failed = 0;

	for (int i = 0; i < THREADS; i++) {
		c[i].s = s;
		c[i].self = i;
		assert_int_equal(pthread_create(&c[i].thread, NULL, many_commits, &c[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *result;

		pthread_join(c[i].thread, &result);
		failed += result != NULL;
	}
	assert_int_equal(failed, 0);
	for (int i = 0; i < PER_THREAD; i++)
		rows -= THREADS * (i % 7 != 3);
	assert_int_equal(store_each(s, STORE_SANDBOX, count_row, &rows, &e), 0);
	assert_int_equal(rows, 0);
	store_close(s);
}

/* Commits pairs of rows and reports the number of each pair that was committed. */
static void commit_for_ever(struct dir *d, int report_fd)
{
	struct error e = ERROR_INIT;
	struct store *s = NULL;
	char key[16];

	if (store_open(d->fd, "hull.db", &s, &e) < 0)
		_exit(2);
	for (uint32_t i = 0;; i++) {
		struct store_tx tx = store_begin(s, i % 16 ? STORE_SAFE : STORE_DURABLE);

		snprintf(key, sizeof(key), "%u", i);
		store_tx_put(&tx, STORE_SANDBOX, key, key, strlen(key));
		store_tx_put(&tx, STORE_CNI, key, key, strlen(key));
		if (store_commit(&tx, &e) < 0 || write(report_fd, &i, sizeof(i)) != sizeof(i))
			_exit(3);
	}
}

static void a_killed_writer_loses_nothing_that_it_committed(void **state)
{
	struct dir *d = *state;

	for (int round = 0; round < 6; round++) {
		uint32_t i, last = UINT32_MAX;
		struct store *s;
		int pipe_fds[2], status;
		struct error e = ERROR_INIT;
		pid_t pid;

		assert_int_equal(fd_pipe(pipe_fds, &e), 0);
		pid = fork();
		if (pid == 0)
			commit_for_ever(d, pipe_fds[1]);
		close(pipe_fds[1]);
		for (int n = 0; n < 40 * (round + 1); n++)
			assert_int_equal(fd_read_full(pipe_fds[0], &last, sizeof(last)), sizeof(last));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (fd_read_full(pipe_fds[0], &i, sizeof(i)) == sizeof(i))
			last = i;
		close(pipe_fds[0]);

		s = open_ok(d);
		for (i = 0; i <= last; i++) {
			char key[16];

			snprintf(key, sizeof(key), "%u", i);
			assert_value(s, STORE_SANDBOX, key, key);
			assert_value(s, STORE_CNI, key, key);
		}
		store_close(s);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_are_replaced_removed_and_outlive_the_process),
		TEST(a_transaction_is_whole_or_not_there),
		TEST(keys_and_values_have_limits),
		TEST(a_walk_gives_each_row_once_and_may_change_the_store),
		TEST(a_second_opener_is_refused_by_name),
		TEST(what_is_no_database_is_left_alone),
		TEST(a_database_of_another_program_or_time_is_refused),
		TEST(a_damaged_database_is_named_as_such),
		TEST(threads_commit_side_by_side),
		TEST(a_killed_writer_loses_nothing_that_it_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
