/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a CRI log file: "TIME STREAM TAG TEXT", TAG being P for a part and F for the last part of a line
 * that the container wrote. Pure. */
#ifndef HULL_CTL_LOGLINE_H
#define HULL_CTL_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logline {
	const char *time; /* not terminated */
	size_t time_len;
	bool is_stderr;
	bool is_partial;  /* more of the same line follows */
	const char *text; /* without the newline that ends the record */
	size_t len;
};

/* One record, len bytes without its newline. False when it is not of this form. */
bool logline_parse(const char *data, size_t len, struct logline *ret);

/* Where the last `lines` whole lines begin, in a file that is seen piece by piece from its start: feed it each
 * record's offset and whether a record begins a line. */
struct logtail {
	uint64_t *starts; /* a ring */
	size_t lines, count;
	bool is_inside; /* the record before was a part */
};
void logtail_init(struct logtail *t, size_t lines);
void logtail_record(struct logtail *t, uint64_t offset, bool is_partial);
/* The offset to start at; end when nothing is wanted. */
uint64_t logtail_start(const struct logtail *t, uint64_t end);
void logtail_done(struct logtail *t);

#endif
