/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

char *str_dup(const char *s)
{
	return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *str_ndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = mem_alloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

PRINTF(1, 0) static char *vfmt(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		abort();
	return s;
}

char *str_fmt(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = vfmt(fmt, ap);
	va_end(ap);
	return s;
}

void str_set(char **dst, const char *s)
{
	char *copy = str_dup(s);

	free(*dst);
	*dst = copy;
}

bool str_starts(const char *s, const char *prefix)
{
	return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = s ? strlen(s) : 0, m = strlen(suffix);

	return s && n >= m && strcmp(s + n - m, suffix) == 0;
}

/* The length of the UTF-8 sequence at p, or 0 when it is none. */
static size_t utf8_step(const unsigned char *p, size_t left)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = p[0];
	size_t n;

	if (c == 0)
		return 0;
	if (c < 0x80)
		return 1;
	n = (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
	if (n == 0 || n > left)
		return 0;
	c &= 0xffu >> (n + 1);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

bool str_is_utf8(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	while (len > 0) {
		size_t n = utf8_step(p, len);

		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

int str_to_u64(const char *s, uint64_t *ret, struct error *e)
{
	uint64_t v = 0;

	if (str_is_empty(s))
		return err_new(e, ERR_INVALID, "a number is missing");
	for (const char *p = s; *p; p++) {
		if (*p < '0' || *p > '9')
			return err_new(e, ERR_INVALID, "\"%.64s\" is not a number", s);
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return err_new(e, ERR_INVALID, "\"%.64s\" does not fit into 64 bits", s);
	}
	*ret = v;
	return 0;
}

int str_to_u32(const char *s, uint32_t *ret, struct error *e)
{
	uint64_t v;
	int r = str_to_u64(s, &v, e);

	if (r < 0)
		return r;
	if (v > UINT32_MAX)
		return err_new(e, ERR_INVALID, "\"%.64s\" does not fit into 32 bits", s);
	*ret = (uint32_t)v;
	return 0;
}

int str_to_i64(const char *s, int64_t *ret, struct error *e)
{
	bool minus = s && *s == '-';
	uint64_t v;
	int r = str_to_u64(minus ? s + 1 : s, &v, e);

	if (r < 0)
		return r;
	if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
		return err_new(e, ERR_INVALID, "\"%.64s\" does not fit into 64 bits", s);
	*ret = minus ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

void str_hex(char *out, const void *data, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

void str_random_hex(char *out, size_t n)
{
	unsigned char raw[256];
	size_t got = 0;

	if (n > sizeof(raw))
		abort();
	while (got < n) {
		ssize_t r = getrandom(raw + got, n - got, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			abort(); /* only a kernel without getrandom(2) fails here */
		got += (size_t)r;
	}
	str_hex(out, raw, n);
}

bool str_is_id(const char *s)
{
	size_t n = 0;

	for (; s && *s; s++, n++)
		if (n >= ID_LEN || !((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f')))
			return false;
	return n == ID_LEN;
}

void strv_add_all(struct strv *s, const struct strv *from)
{
	for (size_t i = 0; i < from->n; i++)
		strv_add(s, from->v[i]);
}

void strv_take(struct strv *s, char *item)
{
	s->v = mem_regrow(s->v, s->n + 2, sizeof(char *));
	s->v[s->n++] = item;
	s->v[s->n] = NULL;
}

void strv_add(struct strv *s, const char *item)
{
	strv_take(s, str_dup(item));
}

void strv_addf(struct strv *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strv_take(s, vfmt(fmt, ap));
	va_end(ap);
}

bool strv_has(const struct strv *s, const char *item)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i], item) == 0)
			return true;
	return false;
}

void strv_done(struct strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = STRV_INIT;
}

void strv_split(struct strv *s, const char *text, const char *seps)
{
	while (*text) {
		size_t n = strcspn(text, seps);

		if (n > 0)
			strv_take(s, str_ndup(text, n));
		text += n;
		text += strspn(text, seps);
	}
}
