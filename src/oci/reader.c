// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oci/reader.h"
#include "oci/spec.h"

/* ---- where we are ------------------------------------------------------------------------------- */

static void push(struct reader *r, const char *key, size_t index)
{
	assert(r->depth < READER_DEPTH_MAX);
	r->path[r->depth].key = key;
	r->path[r->depth].index = index;
	r->depth++;
}

static void pop(struct reader *r)
{
	r->depth--;
}

static void path_text(const struct reader *r, struct buf *b)
{
	for (size_t i = 0; i < r->depth; i++) {
		/* Keys of maps are the input's: a dot in one is shown as it is, its length is not. */
		if (r->path[i].key)
			buf_addf(b, "%s%.100s", i ? "." : "", r->path[i].key);
		else
			buf_addf(b, "[%zu]", r->path[i].index);
	}
}

int reader_ctx(struct reader *r)
{
	cleanup_buf struct buf b = BUF_INIT;

	path_text(r, &b);
	return b.len ? err_ctx(r->e, "%s", buf_str(&b)) : err_ctx(r->e, "the document");
}

static int PRINTF(3, 0) fail(struct reader *r, enum err_kind kind, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	err_new(r->e, kind, "%s", text);
	return reader_ctx(r);
}

int reader_fail(struct reader *r, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = fail(r, kind, fmt, ap);
	va_end(ap);
	return k;
}

int reader_fail_at(struct reader *r, const char *key, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;
	int k;

	push(r, key, 0);
	va_start(ap, fmt);
	k = fail(r, kind, fmt, ap);
	va_end(ap);
	pop(r);
	return k;
}

static int wanted(struct reader *r, struct json_object *v, const char *what)
{
	return reader_fail(r, ERR_INVALID, "wanted %s, found %s", what, json_kind_text(v));
}

int reader_fields(struct reader *r, struct json_object *o, const struct field *fields, void *base)
{
	if (!json_object_is_type(o, json_type_object))
		return wanted(r, o, "an object");
	for (const struct field *f = fields; f->key; f++) {
		struct json_object *v = NULL;
		int k;

		json_object_object_get_ex(o, f->key, &v);
		if (!v && f->is_needed)
			return reader_fail_at(r, f->key, ERR_INVALID, "is missing");
		if (!v)
			continue;
		push(r, f->key, 0);
		k = f->read(r, v, (char *)base + f->offset, f->arg);
		pop(r);
		if (k < 0)
			return k;
	}
	return 0;
}

/* ---- scalars ------------------------------------------------------------------------------------ */

int read_present(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)r, (void)v, (void)arg;
	*(bool *)dst = true;
	return 0;
}

int read_unsupported(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)v, (void)dst;
	return reader_fail(r, ERR_UNSUPPORTED, "%s",
			   arg ? (const char *)arg : "not supported by this version");
}

int read_bool(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)arg;
	if (!json_object_is_type(v, json_type_boolean))
		return wanted(r, v, "true or false");
	*(bool *)dst = json_object_get_boolean(v);
	return 0;
}

int read_opt_bool(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct oci_opt_bool *o = dst;
	int k = read_bool(r, v, &o->v, arg);

	o->is_set = k >= 0;
	return k;
}

static int get_signed(struct reader *r, struct json_object *v, int64_t min, int64_t max, int64_t *ret)
{
	if (!json_object_is_type(v, json_type_int))
		return wanted(r, v, "a whole number");
	/* Behind INT64_MAX json-c clamps; as unsigned it does not. */
	if (json_object_get_int64(v) >= 0 && json_object_get_uint64(v) > INT64_MAX)
		max = -1;
	*ret = json_object_get_int64(v);
	if (*ret < min || *ret > max)
		return reader_fail(r, ERR_INVALID, "%s is out of range", json_object_get_string(v));
	return 0;
}

static int get_unsigned(struct reader *r, struct json_object *v, uint64_t min, uint64_t max, uint64_t *ret)
{
	if (!json_object_is_type(v, json_type_int))
		return wanted(r, v, "a whole number");
	*ret = json_object_get_uint64(v);
	if (json_object_get_int64(v) < 0 || *ret < min || *ret > max)
		return reader_fail(r, ERR_INVALID, "%s is not in the range %llu to %llu",
				   json_object_get_string(v), (unsigned long long)min,
				   (unsigned long long)max);
	return 0;
}

static uint64_t upper(const struct range *range, uint64_t max)
{
	return range && range->max < max ? range->max : max;
}

int read_u64(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct range *range = arg;

	return get_unsigned(r, v, range ? (uint64_t)range->min : 0, upper(range, UINT64_MAX), dst);
}

int read_u32(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct range *range = arg;
	uint64_t n = 0;
	int k = get_unsigned(r, v, range ? (uint64_t)range->min : 0, upper(range, UINT32_MAX), &n);

	if (k == 0)
		*(uint32_t *)dst = (uint32_t)n;
	return k;
}

int read_u16(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	uint64_t n = 0;
	int k = get_unsigned(r, v, 0, upper(arg, UINT16_MAX), &n);

	if (k == 0)
		*(uint16_t *)dst = (uint16_t)n;
	return k;
}

int read_i64(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct range *range = arg;

	return get_signed(r, v, range ? range->min : INT64_MIN, (int64_t)upper(range, INT64_MAX), dst);
}

int read_i32(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct range *range = arg;
	int64_t n = 0;
	int k = get_signed(r, v, range ? range->min : INT32_MIN, (int64_t)upper(range, INT32_MAX), &n);

	if (k == 0)
		*(int32_t *)dst = (int32_t)n;
	return k;
}

/* 4294967295 is (uid_t)-1, "leave it as it is" to setresuid(2): no id (and no way to 0, CVE-2024-40635). */
static const struct range id_range = { 0, UINT32_MAX - 1 };

int read_id(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)arg;
	return read_u32(r, v, dst, &id_range);
}

#define READ_OPT(name, type, read)                                                    \
	int name(struct reader *r, struct json_object *v, void *dst, const void *arg) \
	{                                                                             \
		struct type *o = dst;                                                 \
		int k = read(r, v, &o->v, arg);                                       \
                                                                                      \
		o->is_set = k >= 0;                                                   \
		return k;                                                             \
	}
READ_OPT(read_opt_u64, oci_opt_u64, read_u64)
READ_OPT(read_opt_i64, oci_opt_i64, read_i64)
READ_OPT(read_opt_u32, oci_opt_u32, read_u32)
READ_OPT(read_opt_i32, oci_opt_i32, read_i32)
READ_OPT(read_opt_id, oci_opt_u32, read_id)

/* ---- strings ------------------------------------------------------------------------------------ */

int read_str(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)arg;
	if (!json_object_is_type(v, json_type_string))
		return wanted(r, v, "a string");
	/* json_parse() has refused NUL. */
	*(const char **)dst =
		arena_strn(r->arena, json_object_get_string(v), (size_t)json_object_get_string_len(v));
	return 0;
}

int read_name(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	int k = read_str(r, v, dst, arg);

	if (k == 0 && !**(const char **)dst)
		return reader_fail(r, ERR_INVALID, "is empty");
	return k;
}

int read_abs_path(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	int k = read_name(r, v, dst, arg);

	if (k == 0 && **(const char **)dst != '/')
		return reader_fail(r, ERR_INVALID, "\"%s\" is not an absolute path", *(const char **)dst);
	return k;
}

int read_cpu_list(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	int k = read_str(r, v, dst, arg);
	const char *s = *(const char **)dst;

	/* The kernel's bitmap_parselist() knows "0-3,8-15:2/4"; what the words mean is its to say. */
	if (k == 0 && s[strspn(s, "0123456789,-:/ \n")])
		return reader_fail(r, ERR_INVALID, "\"%s\" is not a list of numbers and ranges", s);
	return k;
}

int words_find(const struct word *words, const char *text, uint64_t *ret)
{
	for (const struct word *w = words; w->text; w++) {
		if (strcmp(w->text, text) == 0) {
			*ret = w->value;
			return 0;
		}
	}
	return -1;
}

const char *words_text(const struct word *words, uint64_t value)
{
	for (const struct word *w = words; w->text; w++)
		if (w->value == value)
			return w->text;
	return "?";
}

static int get_word(struct reader *r, struct json_object *v, const struct words *words, uint64_t *ret)
{
	const char *text;

	if (!json_object_is_type(v, json_type_string))
		return wanted(r, v, "a string");
	text = json_object_get_string(v);
	if (words_find(words->v, text, ret) < 0)
		return reader_fail(r, ERR_INVALID, "\"%s\" is not one of the known words", text);
	return 0;
}

static void store(void *dst, size_t size, uint64_t value)
{
	if (size == 1)
		*(uint8_t *)dst = (uint8_t)value;
	else if (size == 4)
		*(uint32_t *)dst = (uint32_t)value;
	else
		*(uint64_t *)dst = value;
}

int read_word(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct words *words = arg;
	uint64_t value = 0;
	int k = get_word(r, v, words, &value);

	if (k == 0)
		store(dst, words->size, value);
	return k;
}

/* ---- arrays and objects ------------------------------------------------------------------------- */

static int array_length(struct reader *r, struct json_object *v, size_t *ret)
{
	if (!json_object_is_type(v, json_type_array))
		return wanted(r, v, "an array");
	*ret = json_object_array_length(v);
	if (*ret > OCI_LIST_MAX)
		return reader_fail(r, ERR_LIMIT, "%zu items, more than the %d allowed", *ret, OCI_LIST_MAX);
	return 0;
}

int read_word_flags(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct words *words = arg;
	uint64_t flags = 0, one = 0;
	size_t n = 0;
	int k = array_length(r, v, &n);

	for (size_t i = 0; k == 0 && i < n; i++) {
		push(r, NULL, i);
		k = get_word(r, json_object_array_get_idx(v, i), words, &one);
		flags |= one;
		pop(r);
	}
	if (k == 0)
		store(dst, words->size, flags);
	return k;
}

/* Items of one size, each read by `read`; one more than n is allocated, all zeroes. */
static int items(struct reader *r, struct json_object *v, void *dst, size_t size, read_fn read,
		 const void *arg)
{
	struct any_list *list = dst;
	size_t n = 0;
	char *item;
	int k = array_length(r, v, &n);

	if (k < 0)
		return k;
	item = list->v = arena_array(r->arena, n + 1, size);
	for (size_t i = 0; i < n; i++, item += size) {
		push(r, NULL, i);
		k = read(r, json_object_array_get_idx(v, i), item, arg);
		pop(r);
		if (k < 0)
			return k;
	}
	list->n = n;
	return 0;
}

int read_strs(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	return items(r, v, dst, sizeof(char *), read_str, arg);
}

int read_abs_paths(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	return items(r, v, dst, sizeof(char *), read_abs_path, arg);
}

int read_ids(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	return items(r, v, dst, sizeof(uint32_t), read_id, arg);
}

int read_object(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct object_of *of = arg;
	void *base = of->is_pointer ? arena_alloc(r->arena, of->size) : dst;
	int k = reader_fields(r, v, of->fields, base);

	if (k == 0 && of->check)
		k = of->check(r, base);
	if (k == 0 && of->is_pointer)
		*(void **)dst = base;
	return k;
}

static int list_item(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct list_of *of = arg;
	int k;

	if (of->defaults)
		memcpy(dst, of->defaults, of->size);
	k = reader_fields(r, v, of->fields, dst);
	return k == 0 && of->check ? of->check(r, dst) : k;
}

int read_list(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	return items(r, v, dst, ((const struct list_of *)arg)->size, list_item, arg);
}

static int object_length(struct reader *r, struct json_object *v, size_t *ret)
{
	if (!json_object_is_type(v, json_type_object))
		return wanted(r, v, "an object");
	*ret = (size_t)json_object_object_length(v);
	if (*ret > OCI_LIST_MAX)
		return reader_fail(r, ERR_LIMIT, "%zu members, more than the %d allowed", *ret, OCI_LIST_MAX);
	return 0;
}

int read_map(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	const struct list_of *of = arg;
	struct any_list *list = dst;
	size_t n = 0;
	char *item;
	int k = object_length(r, v, &n);

	if (k < 0)
		return k;
	item = list->v = arena_array(r->arena, n + 1, of->size);
	json_object_object_foreach(v, key, value) {
		push(r, key, 0);
		k = list_item(r, value, item, of);
		pop(r);
		if (k < 0)
			return k;
		*(const char **)(item + of->key_offset) = arena_str(r->arena, key);
		item += of->size;
	}
	list->n = n;
	return 0;
}

int read_kvs(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct oci_kvs *kvs = dst;
	size_t n = 0;
	int k = object_length(r, v, &n);

	if (k < 0)
		return k;
	kvs->v = arena_array(r->arena, n + 1, sizeof(*kvs->v));
	json_object_object_foreach(v, key, value) {
		struct oci_kv *kv = &kvs->v[kvs->n++];

		push(r, key, 0);
		k = !*key ? reader_fail(r, ERR_INVALID, "an empty key") : read_str(r, value, &kv->value, arg);
		pop(r);
		if (k < 0)
			return k;
		kv->key = arena_str(r->arena, key);
	}
	return 0;
}
