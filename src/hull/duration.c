/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "hull/events.h"

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	/* The longer of two that begin alike comes first. */
	{ "ns", 1 },	       { "us", 1000 },	  { "\xc2\xb5s", 1000 }, /* U+00B5 micro sign */
	{ "\xce\xbcs", 1000 },						 /* U+03BC Greek mu */
	{ "ms", NS_PER_MS },   { "s", NS_PER_S }, { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
};

static int bad(const char *text, struct error *e)
{
	return err_new(e, ERR_INVALID, "\"%s\" is not a duration like 5s, 300ms or 1m30s", text);
}

static int64_t unit_at(const char **at)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_starts(*at, units[i].name)) {
			*at += strlen(units[i].name);
			return units[i].ns;
		}
	return 0;
}

/* "1.5h": digits, perhaps a fraction, and a unit. 0 or more, -1 for what is none, -2 for what is too much. */
static int64_t part_at(const char **at)
{
	int64_t whole = 0, fraction = 0, scale = 1, unit, ns;
	const char *start = *at;

	for (; **at >= '0' && **at <= '9'; (*at)++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, **at - '0', &whole))
			return -2;
	if (*at == start && **at != '.')
		return -1;
	if (**at == '.') {
		const char *point = (*at)++;

		for (; **at >= '0' && **at <= '9'; (*at)++)
			if (scale < 1000000000) { /* what is less than a ns does not count */
				fraction = fraction * 10 + (**at - '0');
				scale *= 10;
			}
		if (point == start && *at == point + 1)
			return -1;
	}
	unit = unit_at(at);
	if (!unit)
		return -1;
	if (__builtin_mul_overflow(whole, unit, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)((double)fraction / (double)scale * (double)unit), &ns))
		return -2;
	return ns;
}

int duration_parse(const char *text, int64_t *ret_ns, struct error *e)
{
	const char *at = text;
	bool is_negative = *at == '-';
	int64_t sum = 0;

	if (*at == '-' || *at == '+')
		at++;
	if (str_eq(at, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (!*at)
		return bad(text, e);
	while (*at) {
		int64_t ns = part_at(&at);

		if (ns == -2 || (ns >= 0 && __builtin_add_overflow(sum, ns, &sum)))
			return err_new(e, ERR_INVALID, "duration \"%s\" is too long", text);
		if (ns < 0)
			return bad(text, e);
	}
	*ret_ns = is_negative ? -sum : sum;
	return 0;
}
