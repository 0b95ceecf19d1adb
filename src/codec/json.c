// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json.h"
#include "codec/json_scan.h"

void json_free(struct json_object *o)
{
	json_object_put(o);
}

/* json_tokener_parse_ex() looks one byte past the end to know that a number is complete: it wants the NUL
 * behind the text to be there and counted. Our callers' bytes need not have one. */
static struct json_object *tokenize(struct json_tokener *tok, const char *text, size_t len, size_t *ret_used)
{
	struct json_object *doc = json_tokener_parse_ex(tok, text, (int)len);

	*ret_used = json_tokener_get_parse_end(tok);
	if (json_tokener_get_error(tok) == json_tokener_continue) {
		doc = json_tokener_parse_ex(tok, "", 1);
		*ret_used = len;
	}
	return doc;
}

static bool only_space(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!memchr(" \t\r\n", text[i], 4))
			return false;
	}
	return true;
}

int json_parse(const char *text, size_t len, size_t max_bytes, struct json_object **ret_doc, struct error *e)
{
	size_t max = max_bytes ? max_bytes : JSON_MAX_BYTES, used;
	enum json_tokener_error status;
	struct json_tokener *tok;
	struct json_object *doc;
	int r;

	if (len > max || len > INT_MAX - 1)
		return err_new(e, ERR_LIMIT, "JSON: %zu bytes, more than the %zu allowed", len, max);
	if (only_space(text, len))
		return err_new(e, ERR_INVALID, "JSON: an empty document");
	/* json-c's own check lets encoded surrogates pass. */
	if (!str_is_utf8(text, len))
		return err_new(e, ERR_INVALID, "JSON: a NUL byte, or bytes that are not UTF-8");
	r = json_scan(text, len, JSON_MAX_DEPTH, JSON_MAX_VALUES, e);
	if (r < 0)
		return r;
	/* One more: json-c counts the level of scalars too. */
	tok = json_tokener_new_ex(JSON_MAX_DEPTH + 1);
	assert(tok);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
					    JSON_TOKENER_ALLOW_TRAILING_CHARS);
	doc = tokenize(tok, text, len, &used);
	status = json_tokener_get_error(tok);
	json_tokener_free(tok);
	if (status == json_tokener_success && used <= len && only_space(text + used, len - used)) {
		*ret_doc = doc;
		return 0;
	}
	json_object_put(doc);
	if (status == json_tokener_success)
		return err_new(e, ERR_INVALID, "JSON: something follows the document at byte %zu", used);
	return err_new(e, ERR_INVALID, "JSON: %s at byte %zu",
		       status == json_tokener_continue ? "the document ends too early"
						       : json_tokener_error_desc(status),
		       used);
}

int json_parse_object(const char *text, size_t len, size_t max_bytes, struct json_object **ret_doc,
		      struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	int r;

	r = json_parse(text, len, max_bytes, &doc, e);
	if (r < 0)
		return r;
	if (!json_object_is_type(doc, json_type_object))
		return err_new(e, ERR_INVALID, "JSON: wanted an object, found %s", json_kind_text(doc));
	*ret_doc = take_ptr(doc);
	return 0;
}

const char *json_kind_text(struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		return "null";
	case json_type_boolean:
		return "true or false";
	case json_type_double:
	case json_type_int:
		return "a number";
	case json_type_object:
		return "an object";
	case json_type_array:
		return "an array";
	case json_type_string:
		return "a string";
	}
	return "something else";
}

static int wrong_type(struct json_object *v, const char *name, const char *wanted, struct error *e)
{
	return err_new(e, ERR_INVALID, "\"%s\": wanted %s, found %s", name, wanted, json_kind_text(v));
}

int json_as_str(struct json_object *v, const char *name, const char **ret, struct error *e)
{
	const char *s;

	if (!json_object_is_type(v, json_type_string))
		return wrong_type(v, name, "a string", e);
	s = json_object_get_string(v);
	if (strlen(s) != (size_t)json_object_get_string_len(v))
		return err_new(e, ERR_INVALID, "\"%s\": a NUL in a string", name);
	*ret = s;
	return 1;
}

int json_as_bool(struct json_object *v, const char *name, bool *ret, struct error *e)
{
	if (!json_object_is_type(v, json_type_boolean))
		return wrong_type(v, name, "true or false", e);
	*ret = json_object_get_boolean(v);
	return 1;
}

/* json-c keeps what fits as int64_t and the rest up to UINT64_MAX as uint64_t, and clamps when asked for the
 * other: so the sign is looked at first. */
static bool is_negative(struct json_object *v)
{
	return json_object_get_int64(v) < 0;
}

int json_as_i64(struct json_object *v, const char *name, int64_t min, int64_t max, int64_t *ret,
		struct error *e)
{
	int64_t n;

	if (!json_object_is_type(v, json_type_int))
		return wrong_type(v, name, "a whole number", e);
	n = json_object_get_int64(v);
	if (n < min || n > max || (!is_negative(v) && json_object_get_uint64(v) > INT64_MAX))
		return err_new(e, ERR_INVALID, "\"%s\": %s is not in the range %lld to %lld", name,
			       json_object_get_string(v), (long long)min, (long long)max);
	*ret = n;
	return 1;
}

int json_as_u64(struct json_object *v, const char *name, uint64_t max, uint64_t *ret, struct error *e)
{
	if (!json_object_is_type(v, json_type_int))
		return wrong_type(v, name, "a whole number", e);
	if (is_negative(v) || json_object_get_uint64(v) > max)
		return err_new(e, ERR_INVALID, "\"%s\": %s is not in the range 0 to %llu", name,
			       json_object_get_string(v), (unsigned long long)max);
	*ret = json_object_get_uint64(v);
	return 1;
}

int json_as_double(struct json_object *v, const char *name, double *ret, struct error *e)
{
	if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
		return wrong_type(v, name, "a number", e);
	*ret = json_object_get_double(v);
	return 1;
}

static bool find(struct json_object *o, const char *key, struct json_object **ret)
{
	return o && json_object_object_get_ex(o, key, ret) && *ret;
}

int json_get_str(struct json_object *o, const char *key, const char **ret, struct error *e)
{
	struct json_object *v;

	return find(o, key, &v) ? json_as_str(v, key, ret, e) : 0;
}

int json_get_bool(struct json_object *o, const char *key, bool *ret, struct error *e)
{
	struct json_object *v;

	return find(o, key, &v) ? json_as_bool(v, key, ret, e) : 0;
}

int json_get_i64(struct json_object *o, const char *key, int64_t *ret, struct error *e)
{
	struct json_object *v;

	return find(o, key, &v) ? json_as_i64(v, key, INT64_MIN, INT64_MAX, ret, e) : 0;
}

int json_get_u64(struct json_object *o, const char *key, uint64_t *ret, struct error *e)
{
	struct json_object *v;

	return find(o, key, &v) ? json_as_u64(v, key, UINT64_MAX, ret, e) : 0;
}

int json_get_i32(struct json_object *o, const char *key, int32_t *ret, struct error *e)
{
	struct json_object *v;
	int64_t n = 0;
	int r;

	if (!find(o, key, &v))
		return 0;
	r = json_as_i64(v, key, INT32_MIN, INT32_MAX, &n, e);
	if (r > 0)
		*ret = (int32_t)n;
	return r;
}

int json_get_u32(struct json_object *o, const char *key, uint32_t *ret, struct error *e)
{
	struct json_object *v;
	uint64_t n = 0;
	int r;

	if (!find(o, key, &v))
		return 0;
	r = json_as_u64(v, key, UINT32_MAX, &n, e);
	if (r > 0)
		*ret = (uint32_t)n;
	return r;
}

int json_get_double(struct json_object *o, const char *key, double *ret, struct error *e)
{
	struct json_object *v;

	return find(o, key, &v) ? json_as_double(v, key, ret, e) : 0;
}

int json_get_object(struct json_object *o, const char *key, struct json_object **ret, struct error *e)
{
	struct json_object *v;

	if (!find(o, key, &v))
		return 0;
	if (!json_object_is_type(v, json_type_object))
		return wrong_type(v, key, "an object", e);
	*ret = v;
	return 1;
}

int json_get_array(struct json_object *o, const char *key, struct json_object **ret, struct error *e)
{
	struct json_object *v;

	if (!find(o, key, &v))
		return 0;
	if (!json_object_is_type(v, json_type_array))
		return wrong_type(v, key, "an array", e);
	*ret = v;
	return 1;
}

int json_get_strv(struct json_object *o, const char *key, size_t max, struct strv *ret, struct error *e)
{
	struct json_object *array = NULL;
	size_t n;
	int r;

	r = json_get_array(o, key, &array, e);
	if (r <= 0)
		return r;
	n = json_object_array_length(array);
	if (n > max)
		return err_new(e, ERR_LIMIT, "\"%s\": %zu items, more than the %zu allowed", key, n, max);
	for (size_t i = 0; i < n; i++) {
		const char *s = NULL;

		r = json_as_str(json_object_array_get_idx(array, i), key, &s, e);
		if (r < 0)
			return err_ctx(e, "item %zu", i);
	}
	for (size_t i = 0; i < n; i++)
		strv_add(ret, json_object_get_string(json_object_array_get_idx(array, i)));
	return 1;
}

int json_need(int r, const char *key, struct error *e)
{
	return r ? r : err_new(e, ERR_INVALID, "\"%s\" is missing", key);
}
