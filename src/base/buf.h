/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer; always NUL-terminated behind its length, so that text in it is a C string. */
#ifndef HULL_BASE_BUF_H
#define HULL_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct buf {
	char *data; /* NULL while nothing was added */
	size_t len, cap;
};

#define BUF_INIT ((struct buf){ 0 })

void buf_done(struct buf *b);
DEFINE_CLEANUP_VALUE(struct buf, buf_done)
#define cleanup_buf CLEANUP(buf_done)

/* Make room for n more bytes and return where they go; buf_added() then says how many came. */
char *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *data, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* Remove n bytes from the front. */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);

/* The text; "" when empty. Owned by b. */
const char *buf_str(const struct buf *b);
/* The text, handed over: the caller frees it, b is empty. */
char *buf_take(struct buf *b) MUST_USE;

#endif
