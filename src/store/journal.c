/* SPDX-License-Identifier: Apache-2.0 */
/* One line a record: "+ KIND ARG\n" opens an entry, "- KIND ARG\n" closes it. In ARG a backslash and a
 * newline are written as "\\" and "\n". Each record is one write(2) to an O_APPEND fd.
 *
 * A record is torn only when its write was cut (file system full, kill within a large copy). Its
 * effect was then never made, for the caller learned of no success; a torn "done" leaves an entry
 * open, whose undoing is repeated. So a tail without newline is dropped. */
#include "store/journal.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define FILE_MAX_BYTES (4U << 20)

/* The length up to and with the last newline. */
static size_t whole_records(const char *data, size_t len)
{
	const char *last = len ? memrchr(data, '\n', len) : NULL;

	return last ? (size_t)(last - data) + 1 : 0;
}

int journal_open(int pod_dfd, struct journal *ret_journal, struct error *e)
{
	cleanup_close int fd =
		openat(pod_dfd, JOURNAL_NAME, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* A record is at most this long: both bytes of each escape, kind and marks. */
	char tail[2 * JOURNAL_ARG_MAX + JOURNAL_KIND_MAX + 8];
	struct stat st;
	ssize_t n;
	off_t from;

	if (fd < 0)
		return err_sys(e, "open the pod's journal");
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the pod's journal");
	from = st.st_size > (off_t)sizeof(tail) ? st.st_size - (off_t)sizeof(tail) : 0;
	n = pread(fd, tail, sizeof(tail), from);
	if (n < 0)
		return err_sys(e, "read the end of the pod's journal");
	if (n > 0 && tail[n - 1] != '\n' && ftruncate(fd, from + (off_t)whole_records(tail, (size_t)n)) < 0)
		return err_sys(e, "cut a torn record off the pod's journal");
	ret_journal->fd = take_fd(fd);
	return 0;
}

void journal_close(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

static bool is_kind(const char *kind, size_t len)
{
	return len > 0 && len <= JOURNAL_KIND_MAX &&
	       strspn(kind, "abcdefghijklmnopqrstuvwxyz0123456789_-") >= len;
}

static int append(struct journal *j, char mark, const char *kind, const char *arg, struct error *e)
{
	cleanup_buf struct buf line = BUF_INIT;
	struct stat st;
	ssize_t n;

	if (!is_kind(kind, strlen(kind)))
		return err_new(e, ERR_INVALID, "journal: \"%s\" is not a kind", kind);
	if (strlen(arg) > JOURNAL_ARG_MAX)
		return err_new(e, ERR_LIMIT,
			       "journal: the argument of \"%s\" has %zu bytes, at most %d are possible", kind,
			       strlen(arg), JOURNAL_ARG_MAX);
	buf_addf(&line, "%c %s ", mark, kind);
	for (const char *c = arg; *c; c++)
		if (*c == '\n')
			buf_adds(&line, "\\n");
		else if (*c == '\\')
			buf_adds(&line, "\\\\");
		else
			buf_addc(&line, *c);
	buf_addc(&line, '\n');
	if (fstat(j->fd, &st) < 0)
		return err_sys(e, "stat the pod's journal");
	do
		n = write(j->fd, line.data, line.len);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)line.len)
		return 0;
	if (n >= 0) {
		errno = ENOSPC;
		/* Nothing may follow a part of a record. */
		if (ftruncate(j->fd, st.st_size) < 0)
			return err_sys(e, "cut a torn record off the pod's journal");
		errno = ENOSPC;
	}
	return err_sys(e, "write \"%s\" to the pod's journal", kind);
}

int journal_add(struct journal *j, const char *kind, const char *arg, struct error *e)
{
	return append(j, '+', kind, arg, e);
}

int journal_done(struct journal *j, const char *kind, const char *arg, struct error *e)
{
	return append(j, '-', kind, arg, e);
}

struct entry {
	const char *kind, *arg;
	bool is_open;
};
struct entries {
	struct entry *v;
	size_t n, room;
};

/* In place; false when a backslash is followed by anything else. */
static bool unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s != '\\') {
			*to++ = *s;
			continue;
		}
		s++;
		if (*s != 'n' && *s != '\\')
			return false;
		*to++ = *s == 'n' ? '\n' : '\\';
	}
	*to = '\0';
	return true;
}

/* An entry that is already open is opened anew: it is then the newest. */
static void apply(struct entries *all, char mark, const char *kind, const char *arg)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].is_open && str_eq(all->v[i].kind, kind) && str_eq(all->v[i].arg, arg))
			all->v[i].is_open = false;
	if (mark == '-')
		return;
	if (all->n == all->room) {
		all->room = all->room ? all->room * 2 : 16;
		all->v = mem_regrow(all->v, all->room, sizeof(*all->v));
	}
	all->v[all->n++] = (struct entry){ .kind = kind, .arg = arg, .is_open = true };
}

/* One line without its newline, taken apart in place. */
static bool parse_line(char *line, size_t len, struct entries *all)
{
	char *kind = line + 2, *space;

	if (len < 4 || (line[0] != '+' && line[0] != '-') || line[1] != ' ' || memchr(line, '\0', len))
		return false;
	space = strchr(kind, ' ');
	if (!space || !is_kind(kind, (size_t)(space - kind)))
		return false;
	*space = '\0';
	if (!unescape(space + 1))
		return false;
	apply(all, line[0], kind, space + 1);
	return true;
}

int journal_replay(int pod_dfd, journal_fn fn, void *arg, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct entries all = { 0 };
	size_t end, line = 0, bad_line = 0;
	int given = 0, r;

	r = file_read(pod_dfd, JOURNAL_NAME, FILE_MAX_BYTES, &text, e);
	if (r == -ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	if (r < 0)
		return err_ctx(e, "replay the pod's journal");
	end = whole_records(text.data, text.len);
	for (size_t at = 0; at < end;) {
		size_t len = (size_t)((char *)memchr(text.data + at, '\n', end - at) - (text.data + at));

		line++;
		text.data[at + len] = '\0';
		if (!parse_line(text.data + at, len, &all) && !bad_line)
			bad_line = line;
		at += len + 1;
	}
	for (size_t i = all.n; r == 0 && i-- > 0;)
		if (all.v[i].is_open) {
			r = fn(arg, all.v[i].kind, all.v[i].arg, e);
			r = r < 0 ? r : 0;
			given++;
		}
	free(all.v);
	if (r < 0)
		return r;
	if (bad_line)
		return err_new(e, ERR_CORRUPT, "line %zu of the pod's journal cannot be read", bad_line);
	return given;
}
