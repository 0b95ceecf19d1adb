/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "pod/logfile.h"

#define T0 INT64_C(1767323045123456789) /* 2026-01-02T03:04:05.123456789Z */
#define HEAD "2026-01-02T03:04:05.123456789Z "

struct fixture {
	struct logfile file;
	struct logstream out, err;
};

static int new_file(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	return fd;
}

static void start(struct fixture *f)
{
	*f = (struct fixture){ .file = { .fd = new_file() } };
	f->out = (struct logstream){ .file = &f->file, .name = "stdout" };
	f->err = (struct logstream){ .file = &f->file, .name = "stderr" };
}

static void feed(struct logstream *s, const char *text)
{
	logstream_feed(s, text, strlen(text), T0);
}

static void expect_content(int fd, const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;

	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	assert_int_equal(fd_read_all(fd, 1 << 20, &b, NULL), 0);
	assert_string_equal(buf_str(&b), text);
}

static void lines_become_full_records(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	feed(&f.out, "one\n\ntwo\n");
	feed(&f.err, "three\n");
	expect_content(f.file.fd, HEAD "stdout F one\n" HEAD "stdout F \n" HEAD "stdout F two\n" HEAD
				       "stderr F three\n");
	logfile_done(&f.file);
}

static void a_line_that_comes_in_pieces_is_one_record(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	feed(&f.out, "a");
	feed(&f.err, "x\n");
	feed(&f.out, "b");
	feed(&f.out, "c\nd");
	expect_content(f.file.fd, HEAD "stderr F x\n" HEAD "stdout F abc\n");
	logstream_end(&f.out, T0);
	assert_null(f.out.part);
	logfile_done(&f.file);
}

static void a_last_line_without_a_newline_is_partial(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	feed(&f.out, "end");
	logstream_end(&f.out, T0);
	logstream_end(&f.err, T0);
	expect_content(f.file.fd, HEAD "stdout P end\n");
	logfile_done(&f.file);
}

/* The tag and length of each record. */
static void expect_shape(int fd, const char *shape)
{
	cleanup_buf struct buf b = BUF_INIT, got = BUF_INIT;
	const char *p;

	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	assert_int_equal(fd_read_all(fd, 1 << 20, &b, NULL), 0);
	for (p = buf_str(&b); *p; p = strchr(p, '\n') + 1)
		buf_addf(&got, "%c%zu ", p[38], (size_t)(strchr(p, '\n') - p) - 40);
	assert_string_equal(buf_str(&got), shape);
}

/* n bytes and perhaps a newline, in pieces of this size. */
static void feed_line(struct logstream *s, size_t n, bool has_end, size_t piece)
{
	char *line = malloc(n + 1);

	memset(line, 'x', n);
	line[n] = '\n';
	n += has_end;
	for (size_t at = 0; at < n; at += piece)
		logstream_feed(s, line + at, at + piece > n ? n - at : piece, T0);
	free(line);
}

static void long_lines_are_cut_into_parts_of_16_kib(void **state)
{
	static const size_t pieces[] = { 1, 1000, 8192, 16384, 16385, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct fixture f;

		start(&f);
		feed_line(&f.out, 16384, true, pieces[i]); /* exactly one part: nothing is cut */
		feed_line(&f.out, 16385, true, pieces[i]);
		feed_line(&f.out, 40000, true, pieces[i]);
		feed_line(&f.out, 16384 + 10, false, pieces[i]);
		logstream_end(&f.out, T0);
		expect_shape(f.file.fd, "F16384 P16384 F1 P16384 P16384 F7232 P16384 P10 ");
		logfile_done(&f.file);
	}
}

static void a_swap_loses_no_record_and_splits_none(void **state)
{
	struct fixture f;
	int old;

	(void)state;
	start(&f);
	feed(&f.out, "first\nhalf");
	old = fcntl(f.file.fd, F_DUPFD_CLOEXEC, 3);
	logfile_swap(&f.file, new_file());
	feed(&f.out, " line\nlast\n");
	expect_content(old, HEAD "stdout F first\n");
	expect_content(f.file.fd, HEAD "stdout F half line\n" HEAD "stdout F last\n");
	assert_int_equal(f.file.lost, 0);
	close(old);
	logfile_done(&f.file);
}

static void a_full_disk_costs_whole_records_that_are_counted(void **state)
{
	struct rlimit old, limit;
	struct fixture f;

	(void)state;
	start(&f);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 60; /* the first record has 43 bytes; the second is cut off in its middle */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	feed(&f.out, "one\ntwo\n");
	feed(&f.out, "three\n");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	feed(&f.out, "four\n");
	assert_int_equal(f.file.lost, 2);
	expect_content(f.file.fd, HEAD "stdout F one\n" HEAD "stdout F four\n");
	logfile_done(&f.file);
}

static void what_cannot_be_written_at_all_is_counted(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	logfile_swap(&f.file, open("/dev/full", O_WRONLY | O_CLOEXEC));
	feed(&f.out, "a\nb\n");
	assert_int_equal(f.file.lost, 2);
	logfile_swap(&f.file, new_file());
	feed(&f.out, "c\n");
	assert_int_equal(f.file.lost, 2);
	expect_content(f.file.fd, HEAD "stdout F c\n");
	logfile_done(&f.file);
}

static void a_second_changes_in_the_time(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	logstream_feed(&f.out, "a\n", 2, T0);
	logstream_feed(&f.out, "b\n", 2, T0 + INT64_C(876543211));
	expect_content(f.file.fd, HEAD "stdout F a\n2026-01-02T03:04:06.000000000Z stdout F b\n");
	logfile_done(&f.file);
}

static void the_tail_is_the_last_bytes(void **state)
{
	struct log_tail t = { .len = 0 };
	char out[LOG_TAIL_MAX + 1], many[2000];

	(void)state;
	log_tail_add(&t, "abc", 3);
	log_tail_add(&t, "d\0e", 3);
	log_tail_text(&t, out);
	assert_string_equal(out, "abcd e");
	for (int i = 0; i < 2000; i++)
		many[i] = (char)('a' + i % 26);
	log_tail_add(&t, many, 2000);
	log_tail_text(&t, out);
	assert_int_equal(strlen(out), LOG_TAIL_MAX);
	assert_memory_equal(out, many + 2000 - LOG_TAIL_MAX, LOG_TAIL_MAX);
	log_tail_add(&t, "END", 3);
	log_tail_text(&t, out);
	assert_string_equal(out + LOG_TAIL_MAX - 3, "END");
	/* Cut inside "ü": its second byte is not the beginning of anything. */
	memset(many, 'x', sizeof(many));
	memcpy(many, "\xc3\xbc", 2);
	log_tail_add(&t, many, LOG_TAIL_MAX + 1);
	log_tail_text(&t, out);
	assert_int_equal(strlen(out), LOG_TAIL_MAX - 1);
	assert_int_equal(out[0], 'x');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_full_records),
		cmocka_unit_test(a_line_that_comes_in_pieces_is_one_record),
		cmocka_unit_test(a_last_line_without_a_newline_is_partial),
		cmocka_unit_test(long_lines_are_cut_into_parts_of_16_kib),
		cmocka_unit_test(a_swap_loses_no_record_and_splits_none),
		cmocka_unit_test(a_full_disk_costs_whole_records_that_are_counted),
		cmocka_unit_test(what_cannot_be_written_at_all_is_counted),
		cmocka_unit_test(a_second_changes_in_the_time),
		cmocka_unit_test(the_tail_is_the_last_bytes),
	};

	return cmocka_run_group_tests_name("pod logfile", tests, NULL, NULL);
}
