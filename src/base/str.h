/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, vectors of strings, strict numbers. */
#ifndef HULL_BASE_STR_H
#define HULL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

char *str_dup(const char *s) MUST_USE; /* NULL gives NULL */
char *str_ndup(const char *s, size_t n) MUST_USE;
char *str_fmt(const char *fmt, ...) PRINTF(1, 2) MUST_USE;
/* Free *dst and set it to a copy of s (NULL allowed). */
void str_set(char **dst, const char *s);

static inline bool str_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return __builtin_strcmp(a, b) == 0;
}
static inline bool str_is_empty(const char *s)
{
	return !s || !*s;
}
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Valid UTF-8 without NUL (RFC 3629: no surrogates, nothing overlong, nothing past U+10FFFF). */
bool str_is_utf8(const char *s, size_t len);

/* Whole-string decimal numbers without sign, space or leading '+'; INVALID names what and the text. */
int str_to_u32(const char *s, uint32_t *ret, struct error *e) MUST_USE;
int str_to_u64(const char *s, uint64_t *ret, struct error *e) MUST_USE;
int str_to_i64(const char *s, int64_t *ret, struct error *e) MUST_USE; /* a leading '-' allowed */

/* n random bytes (getrandom(2)) as 2n lower-case hex digits and a NUL into out. */
void str_random_hex(char *out, size_t n);
/* n bytes as 2n hex digits and a NUL. */
void str_hex(char *out, const void *data, size_t n);
/* An id of 64 hex digits, as containerd and CRI-O make them. */
#define ID_LEN 64
bool str_is_id(const char *s);

/* A NULL-terminated vector of owned strings. */
struct strv {
	char **v; /* NULL while empty; otherwise v[n] == NULL */
	size_t n;
};
#define STRV_INIT ((struct strv){ 0 })
void strv_add(struct strv *s, const char *item);
void strv_add_all(struct strv *s, const struct strv *from); /* copies them */
void strv_take(struct strv *s, char *item);		    /* takes ownership */
void strv_addf(struct strv *s, const char *fmt, ...) PRINTF(2, 3);
bool strv_has(const struct strv *s, const char *item);
void strv_done(struct strv *s);
DEFINE_CLEANUP_VALUE(struct strv, strv_done)
#define cleanup_strv CLEANUP(strv_done)
/* Split at any byte of seps; empty pieces are dropped. */
void strv_split(struct strv *s, const char *text, const char *seps);

#endif
