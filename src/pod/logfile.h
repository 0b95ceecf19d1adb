/* SPDX-License-Identifier: Apache-2.0 */
/* Log files in the format of the CRI: a record is
 *	2026-01-02T03:04:05.123456789Z stdout F text
 * and ends with a newline; "P" in place of "F" says that the line goes on in the next record of that
 * stream. Lines longer than LOG_PART_MAX are cut into parts of that size.
 *
 * A last line that ends without a newline is written as "P" when its stream ends: readers (the kubelet
 * among them) then join it to nothing and show it without a newline, as it was. This is what
 * containerd's logger does.
 *
 * Each record is one writev(2), so a file opened with O_APPEND never has one torn by another writer, and
 * a record is wholly in the file before or after a reopen. */
#ifndef HULL_POD_LOGFILE_H
#define HULL_POD_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LOG_PART_MAX 16384

struct logfile {
	int fd;	       /* owned; -1: records are thrown away, uncounted */
	bool is_torn;  /* a record was cut off (disk full) and could not be taken back */
	uint64_t lost; /* records that were not written */
};
#define LOGFILE_OFF ((struct logfile){ .fd = -1 })
/* Whether fd is fit to be a log: a pipe or socket that nobody reads would stop us, and with us all of the
 * pod. -1 is fine. Fails: INVALID, SYS. */
int logfile_check(int fd, struct error *e) MUST_USE;
void logfile_done(struct logfile *f);
/* Continue in fd, which is taken over. */
void logfile_swap(struct logfile *f, int fd);
/* One record. Never blocks on more than the file system; when it fails, the record is lost and counted,
 * and what was written of it is taken back. */
void logfile_write(struct logfile *f, const char *stream, bool is_partial, const char *a, size_t a_len,
		   const char *b, size_t b_len, int64_t wall_ns);

/* One stream of a container. It holds memory only while a line is incomplete. */
struct logstream {
	struct logfile *file;
	const char *name; /* "stdout", "stderr" */
	char *part;	  /* the beginning of a line whose end has not come */
	uint32_t len, cap;
};
/* More output has come. */
void logstream_feed(struct logstream *s, const char *data, size_t n, int64_t wall_ns);
/* No more will come. */
void logstream_end(struct logstream *s, int64_t wall_ns);

/* The last bytes of output, whichever stream. */
#define LOG_TAIL_MAX 511
struct log_tail {
	char bytes[LOG_TAIL_MAX];
	uint16_t len;
};
void log_tail_add(struct log_tail *t, const char *data, size_t n);
/* As a C string: NULs become spaces, and a character of UTF-8 that was cut at the front is left out. */
void log_tail_text(const struct log_tail *t, char out[LOG_TAIL_MAX + 1]);

#endif
