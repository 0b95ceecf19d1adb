/* SPDX-License-Identifier: Apache-2.0 */
/* The check walks the wire bytes along the descriptors before anything is allocated, with the path to
 * the current field as a list of stack frames. What passes it, libprotobuf-c unpacks, with an allocator
 * that takes from the request's arena and counts. */
#include "codec/pb.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* CRI's messages nest eight deep; the bound keeps the stack safe with any schema. */
#define DEPTH_MAX 32
#define PATH_TEXT_SIZE 512

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

struct frame {
	const struct frame *up;
	const ProtobufCFieldDescriptor *field; /* NULL in the outermost */
	size_t index;			       /* within a repeated field */
	unsigned depth;
};

struct cursor {
	const uint8_t *at, *end;
};

static const char *path_text(const struct frame *f, char *out, size_t size)
{
	char index[32];
	size_t at = size - 1;

	/* From the innermost outwards, filled from the back; what does not fit is cut at the front. */
	out[at] = '\0';
	for (; f && f->field; f = f->up) {
		size_t n = strlen(f->field->name), m = 0;

		if (f->field->label == PROTOBUF_C_LABEL_REPEATED)
			m = (size_t)snprintf(index, sizeof(index), "[%zu]", f->index);
		if (n + m + 1 > at)
			break;
		if (out[at])
			out[--at] = '.';
		memcpy(out + (at -= m), index, m);
		memcpy(out + (at -= n), f->field->name, n);
	}
	return out + at;
}

__attribute__((format(printf, 3, 4))) static int bad(const struct frame *f, struct error *e, const char *fmt,
						     ...)
{
	char path[PATH_TEXT_SIZE], what[128];
	const char *p = path_text(f, path, sizeof(path));
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!*p)
		return err_new(e, ERR_INVALID, "malformed request: %s", what);
	return err_new(e, ERR_INVALID, "malformed request: field %s: %s", p, what);
}

static bool get_varint(struct cursor *c, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && c->at < c->end; shift += 7) {
		uint8_t byte = *c->at++;

		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool skip(struct cursor *c, uint64_t n)
{
	if (n > (uint64_t)(c->end - c->at))
		return false;
	c->at += n;
	return true;
}

static enum wire wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_LEN;
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return WIRE_64;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return WIRE_32;
	default:
		return WIRE_VARINT;
	}
}

static bool skip_value(struct cursor *c, enum wire wire)
{
	uint64_t v;

	switch (wire) {
	case WIRE_VARINT:
		return get_varint(c, &v);
	case WIRE_64:
		return skip(c, 8);
	case WIRE_LEN:
		return get_varint(c, &v) && skip(c, v);
	case WIRE_32:
		return skip(c, 4);
	}
	return false;
}

static int check_message(const ProtobufCMessageDescriptor *type, struct cursor c, const struct frame *f,
			 struct error *e);

/* A packed repeated scalar: the values one after the other. */
static int check_packed(struct cursor c, const struct frame *f, struct error *e)
{
	while (c.at < c.end)
		if (!skip_value(&c, wire_of(f->field->type)))
			return bad(f, e, "packed values end in the middle of one");
	return 0;
}

static int check_bytes(struct cursor c, const struct frame *f, struct error *e)
{
	const char *text = (const char *)c.at;
	size_t len = (size_t)(c.end - c.at);

	switch (f->field->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (memchr(text, 0, len))
			return bad(f, e, "contains a NUL byte");
		if (!str_is_utf8(text, len))
			return bad(f, e, "is not valid UTF-8");
		return 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		if (f->depth >= DEPTH_MAX)
			return bad(f, e, "nested more than %d deep", DEPTH_MAX);
		return check_message(f->field->descriptor, c, f, e);
	case PROTOBUF_C_TYPE_BYTES:
		return 0;
	default:
		return check_packed(c, f, e);
	}
}

static int check_field(struct cursor *c, enum wire wire, const struct frame *f, struct error *e)
{
	enum wire want = wire_of(f->field->type);
	struct cursor inner;
	uint64_t len;

	if (wire != want && !(wire == WIRE_LEN && f->field->label == PROTOBUF_C_LABEL_REPEATED))
		return bad(f, e, "has wire type %d where its type asks for %d", wire, want);
	if (wire != WIRE_LEN)
		return skip_value(c, wire) ? 0 : bad(f, e, "the message ends in the middle of it");
	if (!get_varint(c, &len) || len > (uint64_t)(c->end - c->at))
		return bad(f, e, "its length goes past the end of the message");
	inner = (struct cursor){ c->at, c->at + len };
	c->at += len;
	return check_bytes(inner, f, e);
}

/* The index of an element is only for the message: it counts what was seen so far of the same field. A
 * field's elements usually come together, so one counter for the latest field is enough. */
static int check_message(const ProtobufCMessageDescriptor *type, struct cursor c, const struct frame *up,
			 struct error *e)
{
	struct frame f = { .up = up, .depth = up->depth + 1 };
	const ProtobufCFieldDescriptor *field;
	uint64_t tag;
	int r;

	while (c.at < c.end) {
		if (!get_varint(&c, &tag) || tag >> 3 == 0 || tag >> 3 > INT32_MAX)
			return bad(up, e, "a field's tag is malformed");
		field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
		if (!field) {
			if (!skip_value(&c, (enum wire)(tag & 7)))
				return bad(up, e, "unknown field %u is malformed", (unsigned)(tag >> 3));
			continue;
		}
		f.index = field == f.field ? f.index + 1 : 0;
		f.field = field;
		r = check_field(&c, (enum wire)(tag & 7), &f, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int pb_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct error *e)
{
	const struct frame top = { 0 };

	if (!len)
		return 0;
	return check_message(type, (struct cursor){ data, (const uint8_t *)data + len }, &top, e);
}

struct counted {
	struct arena *arena;
	size_t left;
	bool is_spent;
};

static void *counted_alloc(void *data, size_t size)
{
	struct counted *c = data;

	if (size > c->left) {
		c->is_spent = true;
		return NULL;
	}
	/* Small pieces are rounded up to the alignment, which must count too. */
	c->left -= size;
	c->left -= c->left < 16 ? c->left : 16;
	return arena_raw(c->arena, size ? size : 1);
}

static void counted_free(void *data, void *p)
{
	(void)data; /* all at once with the arena */
	(void)p;
}

int pb_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct arena *a,
	      void **ret, struct error *e)
{
	struct counted counted = { .arena = a, .left = PB_UNPACK_BUDGET };
	ProtobufCAllocator allocator = { counted_alloc, counted_free, &counted };
	ProtobufCMessage *m;
	int r;

	r = pb_check(type, data, len, e);
	if (r < 0)
		return r;
	m = protobuf_c_message_unpack(type, &allocator, len, data);
	if (!m && counted.is_spent)
		return err_new(e, ERR_LIMIT, "request %s needs more than %zu MiB unpacked", type->short_name,
			       PB_UNPACK_BUDGET >> 20);
	if (!m)
		return err_new(e, ERR_INVALID, "malformed request: %s cannot be unpacked", type->short_name);
	*ret = m;
	return 0;
}

/* As the init functions do that are not generated: zero is every proto3 default but that of strings. */
void pb_init(const ProtobufCMessageDescriptor *type, void *message)
{
	ProtobufCMessage *m = memset(message, 0, type->sizeof_message);

	m->descriptor = type;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];

		if (f->type == PROTOBUF_C_TYPE_STRING && f->label != PROTOBUF_C_LABEL_REPEATED)
			*(const char **)((char *)m + f->offset) = protobuf_c_empty_string;
	}
}

void *pb_new(struct arena *a, const ProtobufCMessageDescriptor *type)
{
	void *m = arena_raw(a, type->sizeof_message);

	pb_init(type, m);
	return m;
}

int pb_pack(const void *message, size_t max_bytes, struct buf *b, struct error *e)
{
	const ProtobufCMessage *m = message;
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *to;
	int r;

	if (size > max_bytes)
		return err_new(e, ERR_LIMIT, "answer %s of %zu bytes is larger than the limit of %zu",
			       m->descriptor->short_name, size, max_bytes);
	to = (uint8_t *)buf_reserve(b, size);
	size = protobuf_c_message_pack(m, to);
	r = pb_check(m->descriptor, to, size, e);
	if (r < 0) {
		err_ctx(e, "answer %s", m->descriptor->short_name);
		return err_kind(e, ERR_INTERNAL);
	}
	buf_added(b, size);
	return 0;
}
