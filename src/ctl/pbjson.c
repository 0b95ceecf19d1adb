// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/pbjson.h"

const char *pbjson_name(const char *field, char *out, size_t size)
{
	size_t n = 0;
	bool is_up = false;

	for (; *field && n + 1 < size; field++) {
		if (*field == '_') {
			is_up = true;
			continue;
		}
		out[n++] = is_up ? (char)toupper((unsigned char)*field) : *field;
		is_up = false;
	}
	out[n] = 0;
	return out;
}

static struct json_object *base64(const uint8_t *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	cleanup_buf struct buf b = BUF_INIT;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)data[i] << 16;

		v |= i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0;
		v |= i + 2 < len ? (uint32_t)data[i + 2] : 0;
		buf_addc(&b, digits[v >> 18]);
		buf_addc(&b, digits[v >> 12 & 63]);
		buf_addc(&b, i + 1 < len ? digits[v >> 6 & 63] : '=');
		buf_addc(&b, i + 2 < len ? digits[v & 63] : '=');
	}
	return json_new_str(buf_str(&b));
}

/* 64-bit integers are strings: JavaScript's numbers would round them. */
static struct json_object *signed_text(int64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, n);
	return json_new_str(text);
}

static struct json_object *unsigned_text(uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return json_new_str(text);
}

/* One value; p points to the C member. */
static struct json_object *value(const ProtobufCFieldDescriptor *f, const void *p)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return json_object_new_boolean(*(const protobuf_c_boolean *)p);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_object_new_int64(*(const int32_t *)p);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_object_new_int64(*(const uint32_t *)p);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return signed_text(*(const int64_t *)p);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return unsigned_text(*(const uint64_t *)p);
	case PROTOBUF_C_TYPE_FLOAT:
		return json_object_new_double((double)*(const float *)p);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_object_new_double(*(const double *)p);
	case PROTOBUF_C_TYPE_ENUM: {
		const ProtobufCEnumDescriptor *type = f->descriptor;
		const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, *(const int *)p);

		return v ? json_new_str(v->name) : json_object_new_int64(*(const int *)p);
	}
	case PROTOBUF_C_TYPE_STRING:
		return json_new_str(*(char *const *)p ? *(char *const *)p : "");
	case PROTOBUF_C_TYPE_BYTES:
		return base64(((const ProtobufCBinaryData *)p)->data, ((const ProtobufCBinaryData *)p)->len);
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(void *const *)p ? pbjson_of(*(void *const *)p) : NULL;
	}
	return NULL;
}

/* protobuf-c does not tell which messages are entries of maps: those named XEntry with the fields key and value. */
static bool is_map(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *type = f->descriptor;

	return f->type == PROTOBUF_C_TYPE_MESSAGE && type->n_fields == 2 && str_ends(type->name, "Entry") &&
	       str_eq(type->fields[0].name, "key") && str_eq(type->fields[1].name, "value") &&
	       type->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static struct json_object *repeated(const ProtobufCFieldDescriptor *f, const char *items, size_t count)
{
	static const size_t sizes[] = {
		[PROTOBUF_C_TYPE_BOOL] = sizeof(protobuf_c_boolean),
		[PROTOBUF_C_TYPE_INT64] = 8,
		[PROTOBUF_C_TYPE_SINT64] = 8,
		[PROTOBUF_C_TYPE_SFIXED64] = 8,
		[PROTOBUF_C_TYPE_UINT64] = 8,
		[PROTOBUF_C_TYPE_FIXED64] = 8,
		[PROTOBUF_C_TYPE_DOUBLE] = 8,
		[PROTOBUF_C_TYPE_STRING] = sizeof(void *),
		[PROTOBUF_C_TYPE_MESSAGE] = sizeof(void *),
		[PROTOBUF_C_TYPE_BYTES] = sizeof(ProtobufCBinaryData),
	};
	size_t size = sizes[f->type] ? sizes[f->type] : 4;
	struct json_object *to = is_map(f) ? json_new() : json_new_array();

	for (size_t i = 0; i < count; i++, items += size) {
		if (is_map(f)) {
			const ProtobufCMessage *m = *(ProtobufCMessage *const *)items;
			const ProtobufCFieldDescriptor *key = &m->descriptor->fields[0],
						       *v = &m->descriptor->fields[1];

			json_put(to, *(char *const *)((const char *)m + key->offset),
				 value(v, (const char *)m + v->offset));
		} else {
			json_push(to, value(f, items));
		}
	}
	return to;
}

struct json_object *pbjson_of(const void *message)
{
	const ProtobufCMessage *m = message;
	struct json_object *to = json_new();
	char name[128];

	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *p = (const char *)m + f->offset;

		pbjson_name(f->name, name, sizeof(name));
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			json_put(to, name,
				 repeated(f, *(char *const *)p,
					  *(const size_t *)((const char *)m + f->quantifier_offset)));
		else if (f->type != PROTOBUF_C_TYPE_MESSAGE || *(void *const *)p)
			json_put(to, name, value(f, p));
	}
	return to;
}

struct json_object *pbjson_of_status(const void *message)
{
	struct json_object *doc = pbjson_of(message), *info;

	if (!json_object_object_get_ex(doc, "info", &info) || !json_object_is_type(info, json_type_object))
		return doc;
	json_object_object_foreach(info, key, v) {
		struct json_object *parsed = NULL;
		struct error e = ERROR_INIT;
		const char *text = json_object_get_string(v);

		if (json_parse(text, strlen(text), 0, &parsed, &e) == 0)
			json_object_object_add(info, key, parsed);
	}
	return doc;
}

void pbjson_print(struct json_object *doc)
{
	cleanup_buf struct buf b = BUF_INIT;

	json_text(doc, true, &b);
	fwrite(b.data, 1, b.len, stdout);
	json_free(doc);
}
