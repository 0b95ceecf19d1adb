// SPDX-License-Identifier: Apache-2.0
#include "sys/numlist.h"

#include <ctype.h>
#include <stdlib.h>

static const char *skip_space(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

/* NULL: no number here. */
static const char *read_number(const char *s, unsigned long *ret)
{
	char *end;

	s = skip_space(s);
	if (!isdigit((unsigned char)*s))
		return NULL;
	*ret = strtoul(s, &end, 10); /* one that does not fit is ULONG_MAX, and too large either way */
	return skip_space(end);
}

static void add(struct numlist *l, unsigned long n)
{
	if (!numlist_has(l, n))
		l->count++;
	l->words[n / NUMLIST_WORD_BITS] |= 1UL << n % NUMLIST_WORD_BITS;
}

int numlist_parse(const char *text, struct numlist *ret, struct error *e)
{
	struct numlist l = { 0 };
	const char *s = skip_space(text);

	while (*s) {
		unsigned long first, last;

		s = read_number(s, &first);
		if (!s)
			return err_new(e, ERR_INVALID, "\"%s\" is not a list of numbers and ranges", text);
		last = first;
		if (*s == '-')
			s = read_number(s + 1, &last);
		if (!s || last < first)
			return err_new(e, ERR_INVALID, "\"%s\" has a range without an end behind its start",
				       text);
		if (last >= NUMLIST_BITS)
			return err_new(e, ERR_LIMIT, "\"%s\": numbers of %d and more are not known to Linux",
				       text, NUMLIST_BITS);
		for (unsigned long n = first; n <= last; n++)
			add(&l, n);
		if (*s && *s != ',')
			return err_new(e, ERR_INVALID, "\"%s\" is not a list of numbers and ranges", text);
		if (*s == ',')
			s = skip_space(s + 1);
	}
	*ret = l;
	return 0;
}
