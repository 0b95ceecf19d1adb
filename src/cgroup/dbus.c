/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup/dbus.h"

#include <endian.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* We write our own byte order, and so does everybody on the same machine. */
#define NATIVE (__BYTE_ORDER == __LITTLE_ENDIAN ? 'l' : 'B')
#define VERSION 1
#define FIXED_HEADER 16u /* up to and with the length of the fields */

enum {
	FIELD_PATH = 1,
	FIELD_INTERFACE,
	FIELD_MEMBER,
	FIELD_ERROR_NAME,
	FIELD_REPLY_SERIAL,
	FIELD_DESTINATION,
	FIELD_SENDER,
	FIELD_SIGNATURE
};

static size_t padding(size_t at, size_t n)
{
	return (n - at % n) % n;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

void dbus_align(struct buf *b, size_t n)
{
	static const char zeros[8] = "";

	buf_add(b, zeros, padding(b->len, n));
}

void dbus_put_u32(struct buf *b, uint32_t n)
{
	dbus_align(b, sizeof(n));
	buf_add(b, &n, sizeof(n));
}

void dbus_put_u64(struct buf *b, uint64_t n)
{
	dbus_align(b, sizeof(n));
	buf_add(b, &n, sizeof(n));
}

void dbus_put_bool(struct buf *b, bool v)
{
	dbus_put_u32(b, v);
}

void dbus_put_str(struct buf *b, const char *s)
{
	size_t n = strlen(s);

	dbus_put_u32(b, (uint32_t)n);
	buf_add(b, s, n + 1);
}

void dbus_put_sig(struct buf *b, const char *s)
{
	size_t n = strlen(s);

	buf_addc(b, (char)n);
	buf_add(b, s, n + 1);
}

struct dbus_array dbus_array_begin(struct buf *b, size_t align)
{
	struct dbus_array a;

	dbus_put_u32(b, 0);
	a.length_at = b->len - sizeof(uint32_t);
	dbus_align(b, align); /* does not count */
	a.start = b->len;
	return a;
}

void dbus_array_end(struct buf *b, struct dbus_array a)
{
	uint32_t n = (uint32_t)(b->len - a.start);

	memcpy(b->data + a.length_at, &n, sizeof(n));
}

static void put_field(struct buf *b, int code, const char *type, const char *value)
{
	if (!value)
		return;
	dbus_align(b, 8);
	buf_addc(b, (char)code);
	dbus_put_sig(b, type);
	if (*type == 'g')
		dbus_put_sig(b, value);
	else
		dbus_put_str(b, value);
}

void dbus_put_call(struct buf *out, const struct dbus_call *c, uint32_t serial)
{
	const char start[4] = { NATIVE, DBUS_CALL, 0, VERSION };
	cleanup_buf struct buf b = BUF_INIT;
	struct dbus_array fields;

	buf_add(&b, start, sizeof(start));
	dbus_put_u32(&b, c->body ? (uint32_t)c->body->len : 0);
	dbus_put_u32(&b, serial);
	fields = dbus_array_begin(&b, 8);
	put_field(&b, FIELD_PATH, "o", c->path);
	put_field(&b, FIELD_INTERFACE, "s", c->interface);
	put_field(&b, FIELD_MEMBER, "s", c->member);
	put_field(&b, FIELD_DESTINATION, "s", c->destination);
	put_field(&b, FIELD_SIGNATURE, "g", c->signature);
	dbus_array_end(&b, fields);
	dbus_align(&b, 8);
	if (c->body && c->body->len)
		buf_add(&b, c->body->data, c->body->len);
	buf_add(out, b.data, b.len);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static bool skip(struct dbus_cursor *c, size_t n)
{
	if (n > c->len - c->at)
		return false;
	c->at += n;
	return true;
}

bool dbus_get_u32(struct dbus_cursor *c, uint32_t *ret)
{
	if (!skip(c, padding(c->at, sizeof(*ret))) || c->len - c->at < sizeof(*ret))
		return false;
	memcpy(ret, c->data + c->at, sizeof(*ret));
	return skip(c, sizeof(*ret));
}

/* n bytes of text and their NUL. */
static bool get_text(struct dbus_cursor *c, size_t n, const char **ret)
{
	const char *text = c->data + c->at;

	if (n >= c->len - c->at || text[n] != '\0' || strnlen(text, n) != n)
		return false;
	*ret = text;
	return skip(c, n + 1);
}

bool dbus_get_str(struct dbus_cursor *c, const char **ret)
{
	uint32_t n;

	return dbus_get_u32(c, &n) && get_text(c, n, ret);
}

bool dbus_get_sig(struct dbus_cursor *c, const char **ret)
{
	size_t n;

	if (c->at == c->len)
		return false;
	n = (unsigned char)c->data[c->at];
	return skip(c, 1) && get_text(c, n, ret);
}

/* One header field: a struct of a code and a variant. Those that we do not know have simple types too. */
static bool get_field(struct dbus_cursor *c, struct dbus_message *m)
{
	const char *type, *text = "";
	uint32_t number = 0;
	int code;

	if (!skip(c, padding(c->at, 8)) || c->at == c->len)
		return false;
	code = (unsigned char)c->data[c->at++];
	if (!dbus_get_sig(c, &type))
		return false;
	if (str_eq(type, "s") || str_eq(type, "o")) {
		if (!dbus_get_str(c, &text))
			return false;
	} else if (str_eq(type, "g")) {
		if (!dbus_get_sig(c, &text))
			return false;
	} else if (!str_eq(type, "u") || !dbus_get_u32(c, &number)) {
		return false;
	}
	if (code == FIELD_INTERFACE)
		m->interface = text;
	else if (code == FIELD_MEMBER)
		m->member = text;
	else if (code == FIELD_ERROR_NAME)
		m->error_name = text;
	else if (code == FIELD_SIGNATURE)
		m->signature = text;
	else if (code == FIELD_REPLY_SERIAL)
		m->reply_serial = number;
	return true;
}

static int broken(struct error *e, const char *what)
{
	return err_new(e, ERR_CORRUPT, "a message from D-Bus is broken: %s", what);
}

int dbus_parse(const char *data, size_t len, struct dbus_message *ret, struct error *e)
{
	struct dbus_message m = { .interface = "", .member = "", .error_name = "", .signature = "" };
	struct dbus_cursor c = { .data = data, .len = FIXED_HEADER, .at = 4 };
	uint32_t body_len = 0, serial = 0, fields_len = 0;
	size_t body_at, fields_end;

	if (len < FIXED_HEADER)
		return 0;
	if (data[0] != NATIVE || data[3] != VERSION)
		return broken(e, "its byte order or version is another");
	if (!dbus_get_u32(&c, &body_len) || !dbus_get_u32(&c, &serial) || !dbus_get_u32(&c, &fields_len))
		return broken(e, "no header");
	if (body_len > DBUS_MESSAGE_MAX || fields_len > DBUS_MESSAGE_MAX)
		return err_new(e, ERR_LIMIT, "a message from D-Bus has more than %u bytes", DBUS_MESSAGE_MAX);
	fields_end = FIXED_HEADER + fields_len;
	body_at = fields_end + padding(fields_end, 8);
	if (len < body_at + body_len)
		return 0;
	c.len = fields_end;
	while (c.at < c.len)
		if (!get_field(&c, &m))
			return broken(e, "a header field");
	m.type = (unsigned char)data[1];
	m.body = data + body_at;
	m.body_len = body_len;
	*ret = m;
	return (int)(body_at + body_len);
}
