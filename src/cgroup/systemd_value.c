/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup/systemd_value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup/dbus.h"

#define USEC 1000000u

/* The basic types; of integers what fits. */
static const struct type {
	char code;
	const char *keyword;
	size_t align;
	int64_t min;  /* of a signed one */
	uint64_t max; /* 0: no integer */
} types[] = {
	{ 'b', "boolean", 4, 0, 0 },
	{ 'y', "byte", 1, 0, UINT8_MAX },
	{ 'n', "int16", 2, INT16_MIN, INT16_MAX },
	{ 'q', "uint16", 2, 0, UINT16_MAX },
	{ 'i', "int32", 4, INT32_MIN, INT32_MAX },
	{ 'u', "uint32", 4, 0, UINT32_MAX },
	{ 'x', "int64", 8, INT64_MIN, INT64_MAX },
	{ 't', "uint64", 8, 0, UINT64_MAX },
	{ 'd', "double", 8, 0, 0 },
	{ 's', "string", 4, 0, 0 },
};

static const struct type *type_of(char code)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].code == code)
			return &types[i];
	return NULL;
}

void systemd_value_done(struct systemd_value *v)
{
	buf_done(&v->numbers);
	strv_done(&v->texts);
	*v = SYSTEMD_VALUE_INIT;
}

/* ---- the text ------------------------------------------------------------------------------------------ */

struct reader {
	const char *at;
	char code; /* of the items; 0: not known yet */
	struct systemd_value *v;
	struct error *e;
};

static int fail(struct reader *p, const char *what)
{
	return err_new(p->e, ERR_INVALID, "%s at \"%.40s\"", what, p->at);
}

static void skip_space(struct reader *p)
{
	p->at += strspn(p->at, " \t\r\n");
}

static int add_number(struct reader *p, char code, uint64_t n)
{
	if (p->code && p->code != code)
		return fail(p, "a value of another type");
	p->code = code;
	buf_add(&p->v->numbers, &n, sizeof(n));
	return 0;
}

static int quoted(struct reader *p)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	cleanup_buf struct buf text = BUF_INIT;
	const char *c = p->at + 1, *escape;

	for (; *c && *c != *p->at; c++) {
		if (*c != '\\') {
			buf_addc(&text, *c);
			continue;
		}
		escape = *++c ? strchr(from, *c) : NULL;
		if (!escape)
			return fail(p, "an escape that is not known");
		buf_addc(&text, to[escape - from]);
	}
	if (!*c)
		return fail(p, "a string without an end");
	if (p->code && p->code != 's')
		return fail(p, "a value of another type");
	if (!str_is_utf8(buf_str(&text), text.len))
		return fail(p, "a string that is no UTF-8");
	p->code = 's';
	strv_add(&p->v->texts, buf_str(&text));
	p->at = c + 1;
	return 0;
}

static int integer(struct reader *p, const struct type *t, const char *word)
{
	bool is_negative = *word == '-';
	const char *digits = word + (is_negative || *word == '+');
	char *end = NULL;
	uint64_t n;

	errno = 0;
	n = strtoull(digits, &end, 0);
	if (errno || *end || *digits < '0' || *digits > '9')
		return fail(p, "no number");
	if (is_negative ? n > (uint64_t)t->max + 1 || (int64_t)(0 - n) < t->min || (n && !t->min)
			: n > t->max)
		return fail(p, "a number that its type does not hold");
	return add_number(p, t->code, is_negative ? 0 - n : n);
}

static int floating(struct reader *p, const char *word)
{
	uint64_t bits;
	char *end;
	double d = strtod(word, &end);

	if (*end || !isfinite(d))
		return fail(p, "no number");
	memcpy(&bits, &d, sizeof(bits));
	return add_number(p, 'd', bits);
}

/* A keyword or "@" and a signature says the type of what follows. */
static int named_type(struct reader *p, const char *word, bool *ret_found)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const char code[] = { types[i].code, '\0' };

		if (!str_eq(word, types[i].keyword) && !(*word == '@' && str_eq(word + 1, code)))
			continue;
		*ret_found = true;
		if (p->code && p->code != types[i].code)
			return fail(p, "a value of another type");
		p->code = types[i].code;
		return 0;
	}
	return 0;
}

static char *next_word(struct reader *p)
{
	skip_space(p);
	return str_ndup(p->at, strcspn(p->at, " \t\r\n,]'\"["));
}

static int number(struct reader *p, const char *word)
{
	if (str_eq(word, "true") || str_eq(word, "false"))
		return add_number(p, 'b', *word == 't');
	if (!*word || !strchr("+-.0123456789", *word))
		return fail(p, "no value (strings need quotes)");
	if (p->code == 'd' || (!p->code && !strchr(word, 'x') && strpbrk(word, ".eE")))
		return floating(p, word);
	if (!p->code || type_of(p->code)->max)
		return integer(p, type_of(p->code ? p->code : 'i'), word);
	return fail(p, "a value of another type");
}

static int basic(struct reader *p)
{
	cleanup_free char *first = next_word(p), *word = NULL;
	bool is_named = false;
	int r = named_type(p, first, &is_named);

	if (r < 0)
		return r;
	if (is_named)
		p->at += strlen(first);
	word = next_word(p);
	if (*p->at == '\'' || *p->at == '"')
		return quoted(p);
	r = number(p, word);
	p->at += strlen(word);
	return r;
}

static int array(struct reader *p)
{
	size_t n = 0;
	int r = 0;

	p->at++;
	for (skip_space(p); *p->at != ']'; n++) {
		if (n && *p->at != ',')
			return fail(p, "no comma");
		p->at += n > 0;
		r = n < SYSTEMD_VALUE_MAX ? basic(p) : fail(p, "too many values");
		if (r < 0)
			return r;
		skip_space(p);
	}
	p->at++;
	return p->code ? 0 : fail(p, "an empty array without a type (\"@as []\")");
}

int systemd_value_parse(const char *text, struct systemd_value *ret, struct error *e)
{
	CLEANUP(systemd_value_done) struct systemd_value v = SYSTEMD_VALUE_INIT;
	struct reader p = { .at = text, .v = &v, .e = e };
	bool is_array = false;
	int r;

	skip_space(&p);
	if (p.at[0] == '@' && p.at[1] == 'a') {
		if (!type_of(p.at[2]) || !strchr(" \t\r\n[", p.at[3]) || !p.at[3])
			return fail(&p, "a type that is not read");
		p.code = p.at[2];
		p.at += 3;
		skip_space(&p);
		if (*p.at != '[')
			return fail(&p, "no array");
	}
	is_array = *p.at == '[';
	r = is_array ? array(&p) : basic(&p);
	if (r < 0)
		return r;
	skip_space(&p);
	if (*p.at)
		return fail(&p, "more behind the value");
	v.signature[0] = is_array ? 'a' : p.code;
	v.signature[1] = is_array ? p.code : '\0';
	*ret = v;
	v = SYSTEMD_VALUE_INIT;
	return 0;
}

int systemd_value_to_usec(struct systemd_value *v, struct error *e)
{
	const struct type *t = type_of(v->signature[0]);
	uint64_t n, usec;
	double d;

	if (!t || (!t->max && t->code != 'd'))
		return err_new(e, ERR_INVALID, "a number of seconds is expected");
	memcpy(&n, v->numbers.data, sizeof(n));
	memcpy(&d, &n, sizeof(d));
	if (t->code == 'd' ? d < 0 || d > (double)(UINT64_MAX / USEC)
			   : (t->min && (int64_t)n < 0) || n > UINT64_MAX / USEC)
		return err_new(e, ERR_INVALID, "no number of seconds that can be counted in microseconds");
	usec = t->code == 'd' ? (uint64_t)(d * USEC) : n * USEC;
	memcpy(v->numbers.data, &usec, sizeof(usec));
	v->signature[0] = 't';
	return 0;
}

/* ---- the wire ------------------------------------------------------------------------------------------ */

static void put_number(char code, uint64_t n, struct buf *b)
{
	uint16_t half = (uint16_t)n;

	switch (type_of(code)->align) {
	case 1:
		buf_addc(b, (char)n);
		break;
	case 2:
		dbus_align(b, sizeof(half));
		buf_add(b, &half, sizeof(half));
		break;
	case 4:
		dbus_put_u32(b, (uint32_t)n);
		break;
	default:
		dbus_put_u64(b, n);
	}
}

static void put_items(const struct systemd_value *v, char code, struct buf *b)
{
	uint64_t n;

	for (size_t i = 0; i < v->texts.n; i++)
		dbus_put_str(b, v->texts.v[i]);
	for (size_t i = 0; i < v->numbers.len; i += sizeof(n)) {
		memcpy(&n, v->numbers.data + i, sizeof(n));
		put_number(code, n, b);
	}
}

void systemd_value_put(const struct systemd_value *v, struct buf *b)
{
	struct dbus_array a;

	dbus_put_sig(b, v->signature);
	if (v->signature[0] != 'a') {
		put_items(v, v->signature[0], b);
		return;
	}
	a = dbus_array_begin(b, type_of(v->signature[1])->align);
	put_items(v, v->signature[1], b);
	dbus_array_end(b, a);
}
