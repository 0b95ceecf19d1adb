// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "ctl/quantity.h"

#define DIGITS_MAX 18 /* what fits 63 bits whatever the digits are */
#define EXPONENT_MAX 18

/* mantissa * 10^ten * 2^two */
struct number {
	uint64_t mantissa;
	int ten, two;
};

static const struct {
	const char *text;
	int ten, two;
} suffixes[] = {
	{ "", 0, 0 },	 { "n", -9, 0 },  { "u", -6, 0 },  { "m", -3, 0 },  { "k", 3, 0 },   { "M", 6, 0 },
	{ "G", 9, 0 },	 { "T", 12, 0 },  { "P", 15, 0 },  { "E", 18, 0 },  { "Ki", 0, 10 }, { "Mi", 0, 20 },
	{ "Gi", 0, 30 }, { "Ti", 0, 40 }, { "Pi", 0, 50 }, { "Ei", 0, 60 },
};

static int bad(const char *text, struct error *e)
{
	return err_new(e, ERR_INVALID, "\"%.64s\" is not a quantity such as 500m, 1.5 or 128Mi", text);
}

static bool read_digits(const char **p, struct number *n)
{
	bool has_digits = false, is_fraction = false;
	int digits = 0;

	for (;; (*p)++) {
		if (**p == '.' && !is_fraction) {
			is_fraction = true;
			continue;
		}
		if (!isdigit((unsigned char)**p))
			return has_digits;
		has_digits = true;
		if (n->mantissa || **p != '0')
			digits++;
		if (digits > DIGITS_MAX)
			return false;
		n->mantissa = n->mantissa * 10 + (uint64_t)(**p - '0');
		n->ten -= is_fraction;
	}
}

/* "e3", "E-2"; but "E" alone is a suffix. */
static bool read_exponent(const char **p, struct number *n)
{
	const char *at = *p + 1;
	int sign = 1, exponent = 0;

	if (**p != 'e' && **p != 'E')
		return false;
	if (*at == '+' || *at == '-')
		sign = *at++ == '-' ? -1 : 1;
	if (!isdigit((unsigned char)*at))
		return false;
	for (; isdigit((unsigned char)*at) && exponent <= EXPONENT_MAX; at++)
		exponent = exponent * 10 + (*at - '0');
	if (*at || exponent > EXPONENT_MAX)
		return false;
	n->ten += sign * exponent;
	*p = at;
	return true;
}

static bool read_suffix(const char **p, struct number *n)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (str_eq(*p, suffixes[i].text)) {
			n->ten += suffixes[i].ten;
			n->two += suffixes[i].two;
			*p += strlen(suffixes[i].text);
			return true;
		}
	}
	return false;
}

int quantity_parse(const char *text, uint32_t scale, int64_t *ret, struct error *e)
{
	struct number n = { 0 };
	unsigned __int128 value, divisor = 1;
	const char *p = text;

	if (*p == '+')
		p++;
	if (!read_digits(&p, &n) || (!read_exponent(&p, &n) && !read_suffix(&p, &n)))
		return bad(text, e);
	/* At most 60 bits and 32 of the scale to begin with; no step passes 124. */
	value = (unsigned __int128)n.mantissa * scale;
	for (; n.two > 0 && value >> 120 == 0; n.two--)
		value *= 2;
	for (; n.ten > 0 && value >> 120 == 0; n.ten--)
		value *= 10;
	if (value && (n.two > 0 || n.ten > 0))
		return err_new(e, ERR_LIMIT, "\"%.64s\" is too large", text);
	for (; n.ten < 0 && divisor <= (unsigned __int128)UINT64_MAX * UINT32_MAX; n.ten++)
		divisor *= 10;
	value = (value + divisor - 1) / divisor;
	if (value > INT64_MAX)
		return err_new(e, ERR_LIMIT, "\"%.64s\" is too large", text);
	*ret = (int64_t)value;
	return 0;
}
