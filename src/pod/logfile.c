/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

int logfile_check(int fd, struct error *e)
{
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the log file");
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return err_new(e, ERR_INVALID, "the log is neither a regular file nor a character device");
	return 0;
}

void logfile_done(struct logfile *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void logfile_swap(struct logfile *f, int fd)
{
	logfile_done(f);
	f->fd = fd;
	f->is_torn = false;
}

/* The time, stream and tag. Formatting the seconds anew for each of many lines would cost more than
 * the write, so they are kept until they change. */
static size_t format_head(char *out, int64_t wall_ns, const char *stream, bool is_partial)
{
	static char text[CLOCK_RFC3339_SIZE];
	static int64_t second = -1;
	size_t n = strlen(stream);
	int64_t ns = wall_ns % NS_PER_S;

	if (wall_ns / NS_PER_S != second) {
		second = wall_ns / NS_PER_S;
		clock_rfc3339(second * NS_PER_S, text);
	}
	memcpy(out, text, 30);
	for (int i = 28; i >= 20; i--, ns /= 10)
		out[i] = (char)('0' + ns % 10);
	out[30] = ' ';
	memcpy(out + 31, stream, n);
	memcpy(out + 31 + n, is_partial ? " P " : " F ", 3);
	return 34 + n;
}

/* Take back what was written of a record. The file is ours alone, so its end is where we stopped. */
static bool take_back(int fd, ssize_t written)
{
	off_t end = lseek(fd, 0, SEEK_CUR);

	return end >= written && ftruncate(fd, end - written) == 0 && lseek(fd, end - written, SEEK_SET) >= 0;
}

void logfile_write(struct logfile *f, const char *stream, bool is_partial, const char *a, size_t a_len,
		   const char *b, size_t b_len, int64_t wall_ns)
{
	char head[64];
	struct iovec iov[5];
	size_t total = 0;
	int count = 0;
	ssize_t n;

	if (f->fd < 0)
		return;
	if (f->is_torn)
		iov[count++] = (struct iovec){ (char *)"\n", 1 };
	iov[count++] = (struct iovec){ head, format_head(head, wall_ns, stream, is_partial) };
	if (a_len > 0)
		iov[count++] = (struct iovec){ (char *)a, a_len };
	if (b_len > 0)
		iov[count++] = (struct iovec){ (char *)b, b_len };
	iov[count++] = (struct iovec){ (char *)"\n", 1 };
	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	do
		n = writev(f->fd, iov, count);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)total) {
		f->is_torn = false;
		return;
	}
	f->lost++;
	if (n > 0 && !take_back(f->fd, n))
		f->is_torn = true;
}

/* Keep bytes whose line is not complete. n is at most LOG_PART_MAX - s->len. */
static void keep(struct logstream *s, const char *data, size_t n)
{
	uint32_t need = s->len + (uint32_t)n;

	if (need > s->cap) {
		uint32_t cap = s->cap ? s->cap : 256;

		while (cap < need)
			cap *= 2;
		s->part = mem_regrow(s->part, cap, 1);
		s->cap = cap;
	}
	memcpy(s->part + s->len, data, n);
	s->len = need;
}

static void emit(struct logstream *s, bool is_partial, const char *data, size_t n, int64_t wall_ns)
{
	logfile_write(s->file, s->name, is_partial, s->part, s->len, data, n, wall_ns);
	free(s->part);
	s->part = NULL;
	s->len = s->cap = 0;
}

void logstream_feed(struct logstream *s, const char *data, size_t n, int64_t wall_ns)
{
	while (n > 0) {
		size_t room = LOG_PART_MAX - s->len, line;
		const char *nl = memchr(data, '\n', n <= room ? n : room + 1);

		line = nl ? (size_t)(nl - data) : n;
		if (nl) {
			emit(s, false, data, line, wall_ns);
			line++;
		} else if (line > room) {
			/* A full part, and more of the same line behind it. */
			line = room;
			emit(s, true, data, line, wall_ns);
		} else {
			keep(s, data, line);
		}
		data += line;
		n -= line;
	}
}

void logstream_end(struct logstream *s, int64_t wall_ns)
{
	if (s->len > 0)
		emit(s, true, NULL, 0, wall_ns);
}

void log_tail_add(struct log_tail *t, const char *data, size_t n)
{
	size_t old;

	if (n >= LOG_TAIL_MAX) {
		memcpy(t->bytes, data + n - LOG_TAIL_MAX, LOG_TAIL_MAX);
		t->len = LOG_TAIL_MAX;
		return;
	}
	old = t->len + n > LOG_TAIL_MAX ? LOG_TAIL_MAX - n : t->len;
	memmove(t->bytes, t->bytes + t->len - old, old);
	memcpy(t->bytes + old, data, n);
	t->len = (uint16_t)(old + n);
}

void log_tail_text(const struct log_tail *t, char out[LOG_TAIL_MAX + 1])
{
	size_t from = 0, n = 0;

	if (t->len == LOG_TAIL_MAX)
		while (from < 3 && ((unsigned char)t->bytes[from] & 0xc0) == 0x80)
			from++;
	for (; from < t->len; from++)
		out[n++] = t->bytes[from] ? t->bytes[from] : ' ';
	out[n] = '\0';
}
