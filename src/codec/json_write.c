// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "codec/json.h"

/* json-c answers NULL when memory is out; the rest of hull ends the process there too (base/mem.h). */
static struct json_object *made(struct json_object *o)
{
	if (!o)
		abort();
	return o;
}

struct json_object *json_new(void)
{
	return made(json_object_new_object());
}

struct json_object *json_new_array(void)
{
	return made(json_object_new_array());
}

/* The length of the UTF-8 sequence at s, or 0. */
static size_t sequence_len(const char *s, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++) {
		if (str_is_utf8(s, n))
			return n;
	}
	return 0;
}

struct json_object *json_new_str(const char *s)
{
	cleanup_buf struct buf b = BUF_INIT;
	size_t len = strlen(s), n;

	assert(len <= INT_MAX);
	if (str_is_utf8(s, len))
		return made(json_object_new_string_len(s, (int)len));
	for (size_t i = 0; i < len; i += n ? n : 1) {
		n = sequence_len(s + i, len - i);
		if (n)
			buf_add(&b, s + i, n);
		else
			buf_adds(&b, "\xef\xbf\xbd");
	}
	return made(json_object_new_string_len(b.data, (int)b.len));
}

void json_put(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value) < 0)
		abort();
}

struct json_object *json_put_object(struct json_object *o, const char *key)
{
	struct json_object *v = json_new();

	json_put(o, key, v);
	return v;
}

struct json_object *json_put_array(struct json_object *o, const char *key)
{
	struct json_object *v = json_new_array();

	json_put(o, key, v);
	return v;
}

void json_put_str(struct json_object *o, const char *key, const char *s)
{
	if (s)
		json_put(o, key, json_new_str(s));
}

void json_put_bool(struct json_object *o, const char *key, bool b)
{
	json_put(o, key, made(json_object_new_boolean(b)));
}

void json_put_i64(struct json_object *o, const char *key, int64_t n)
{
	json_put(o, key, made(json_object_new_int64(n)));
}

void json_put_u64(struct json_object *o, const char *key, uint64_t n)
{
	json_put(o, key, made(json_object_new_uint64(n)));
}

void json_put_strs(struct json_object *o, const char *key, const char *const *items, size_t n)
{
	struct json_object *array = json_put_array(o, key);

	for (size_t i = 0; i < n; i++)
		json_push_str(array, items[i]);
}

void json_put_strv(struct json_object *o, const char *key, const struct strv *s)
{
	json_put_strs(o, key, (const char *const *)s->v, s->n);
}

void json_push(struct json_object *array, struct json_object *value)
{
	if (json_object_array_add(array, value) < 0)
		abort();
}

struct json_object *json_push_object(struct json_object *array)
{
	struct json_object *v = json_new();

	json_push(array, v);
	return v;
}

void json_push_str(struct json_object *array, const char *s)
{
	json_push(array, json_new_str(s));
}

void json_text(struct json_object *o, bool is_pretty, struct buf *b)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text;

	if (is_pretty)
		flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
	text = json_object_to_json_string_ext(o, flags);
	if (!text)
		abort();
	buf_adds(b, text);
	if (is_pretty)
		buf_addc(b, '\n');
}
