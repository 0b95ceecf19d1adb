// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "codec/json_scan.h"

struct scan {
	const char *start, *p, *end;
};

static int wrong(const struct scan *s, struct error *e, const char *what)
{
	return err_new(e, ERR_INVALID, "JSON: %s at byte %zu", what, (size_t)(s->p - s->start));
}

static bool is_digit(const struct scan *s)
{
	return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static int scan_escape(struct scan *s, struct error *e)
{
	if (s->end - s->p < 2)
		return wrong(s, e, "a string without its end");
	if (s->p[1] != 'u') {
		if (!memchr("\"\\/bfnrt", s->p[1], 8))
			return wrong(s, e, "an escape that JSON does not have");
		s->p += 2;
		return 0;
	}
	if (s->end - s->p < 6)
		return wrong(s, e, "a string without its end");
	for (int i = 2; i < 6; i++) {
		if (!isxdigit((unsigned char)s->p[i]))
			return wrong(s, e, "a \\u escape without four hex digits");
	}
	/* json-c would cut a key there, and C cut any value. */
	if (memcmp(s->p + 2, "0000", 4) == 0)
		return wrong(s, e, "a NUL in a string");
	s->p += 6;
	return 0;
}

static int scan_string(struct scan *s, struct error *e)
{
	const char *open = s->p++;
	int r;

	while (s->p < s->end) {
		unsigned char c = (unsigned char)*s->p;

		if (c == '"') {
			s->p++;
			return 0;
		}
		if (c < 0x20)
			return wrong(s, e, "a raw control character in a string");
		if (c == '\\') {
			r = scan_escape(s, e);
			if (r < 0)
				return r;
		} else {
			s->p++;
		}
	}
	s->p = open;
	return wrong(s, e, "a string without its end");
}

/* The digits of an integer against the largest magnitude: UINT64_MAX, or that of INT64_MIN. */
static bool integer_fits(const char *digits, size_t n, bool negative)
{
	uint64_t max = negative ? (uint64_t)INT64_MAX + 1 : UINT64_MAX, value = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int d = (unsigned int)(digits[i] - '0');

		if (value > (max - d) / 10)
			return false;
		value = value * 10 + d;
	}
	return true;
}

static int scan_number(struct scan *s, struct error *e)
{
	struct scan at = *s;
	bool negative = *s->p == '-', whole = true;
	const char *digits;
	size_t n;

	s->p += negative;
	digits = s->p;
	while (is_digit(s))
		s->p++;
	n = (size_t)(s->p - digits);
	if (n == 0 || (n > 1 && digits[0] == '0'))
		return wrong(&at, e, "a wrong number");
	if (s->p < s->end && *s->p == '.') {
		whole = false;
		s->p++;
		if (!is_digit(s))
			return wrong(&at, e, "a wrong number");
		while (is_digit(s))
			s->p++;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		whole = false;
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!is_digit(s))
			return wrong(&at, e, "a wrong number");
		while (is_digit(s))
			s->p++;
	}
	if (whole && !integer_fits(digits, n, negative))
		return wrong(&at, e, "a number that does not fit in 64 bits");
	return 0;
}

static int scan_word(struct scan *s, struct error *e)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(s->end - s->p) >= n && memcmp(s->p, words[i], n) == 0) {
			s->p += n;
			return 0;
		}
	}
	return wrong(s, e, *s->p ? "something that is not JSON" : "a NUL byte");
}

int json_scan(const char *text, size_t len, unsigned int max_depth, size_t max_values, struct error *e)
{
	struct scan s = { .start = text, .p = text, .end = text + len };
	unsigned int depth = 0;
	size_t values = 0;
	int r = 0;

	while (s.p < s.end && r == 0) {
		/* A value begins the document, or follows one of these. json-c takes up to 700 bytes for one
		 * that was two bytes of text. */
		if (memchr("{[,:", *s.p, 4) && ++values > max_values)
			return err_new(e, ERR_LIMIT, "JSON: more than %zu values", max_values);
		switch (*s.p) {
		case ' ':
		case '\t':
		case '\n':
		case '\r':
		case ':':
		case ',':
			s.p++;
			break;
		case '{':
		case '[':
			if (++depth > max_depth)
				return err_new(e, ERR_LIMIT, "JSON: nested deeper than %u at byte %zu",
					       max_depth, (size_t)(s.p - s.start));
			s.p++;
			break;
		case '}':
		case ']':
			depth -= depth > 0;
			s.p++;
			break;
		case '"':
			r = scan_string(&s, e);
			break;
		case '-':
		case '0' ... '9':
			r = scan_number(&s, e);
			break;
		default:
			r = scan_word(&s, e);
		}
	}
	return r;
}
