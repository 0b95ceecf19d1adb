/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the tree: typed values, and the tables that fill structs. */
#include "codec/yaml_tree.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

/* --- values --- */

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *n = map->first; n; n = n->next)
		if (n->key && str_eq(n->key, key))
			return n;
	return NULL;
}

int yaml_error(const struct yaml_node *node, struct error *e, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (node->key)
		return err_new(e, ERR_INVALID, "%s:%u: %s: %s", node->file, node->line, node->key, what);
	return err_new(e, ERR_INVALID, "%s:%u: %s", node->file, node->line, what);
}

bool yaml_is_null(const struct yaml_node *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

	if (node->kind != YAML_SCALAR || node->is_quoted)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
		if (str_eq(node->text, nulls[i]))
			return true;
	return false;
}

int yaml_want(const struct yaml_node *node, enum yaml_kind kind, struct error *e)
{
	static const char *const names[] = { "a single value", "a list", "a mapping" };

	if (node->kind == kind)
		return 0;
	return yaml_error(node, e, "is %s, not %s", names[node->kind], names[kind]);
}

int yaml_str(const struct yaml_node *node, const char **ret, struct error *e)
{
	int r = yaml_want(node, YAML_SCALAR, e);

	if (r == 0)
		*ret = node->text;
	return r;
}

int yaml_bool(const struct yaml_node *node, bool *ret, struct error *e)
{
	static const char *const words[] = { "false", "False", "FALSE", "true", "True", "TRUE" };
	int r = yaml_want(node, YAML_SCALAR, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(words) && !node->is_quoted; i++)
		if (str_eq(node->text, words[i])) {
			*ret = i >= 3;
			return 0;
		}
	return yaml_error(node, e, "\"%.64s\" is neither true nor false", node->text);
}

int yaml_int(const struct yaml_node *node, int64_t min, int64_t max, int64_t *ret, struct error *e)
{
	int r = yaml_want(node, YAML_SCALAR, e);
	int64_t v;

	if (r < 0)
		return r;
	if (node->is_quoted || str_to_i64(node->text, &v, NULL) < 0)
		return yaml_error(node, e, "\"%.64s\" is not a whole number", node->text);
	if (v < min || v > max)
		return yaml_error(node, e, "%" PRId64 " is not from %" PRId64 " to %" PRId64, v, min, max);
	*ret = v;
	return 0;
}

/* --- schemas --- */

static int unknown_key(const struct yaml_node *node, const struct yaml_field *fields, struct error *e)
{
	cleanup_buf struct buf known = BUF_INIT;

	for (const struct yaml_field *f = fields; f->key; f++)
		buf_addf(&known, "%s%s", known.len ? ", " : "", f->key);
	return err_new(e, ERR_INVALID, "%s:%u: unknown key \"%.128s\" (known are %.600s)", node->file,
		       node->key_line, node->key, buf_str(&known));
}

int yaml_fill(const struct yaml_node *map, const struct yaml_field *fields, void *target, struct error *e)
{
	const struct yaml_field *f;
	int r = yaml_want(map, YAML_MAPPING, e);

	for (const struct yaml_node *n = map->first; r == 0 && n; n = n->next) {
		for (f = fields; f->key; f++)
			if (str_eq(f->key, n->key))
				break;
		if (!f->key)
			return unknown_key(n, fields, e);
		if (!yaml_is_null(n))
			r = f->set(n, f, (char *)target + f->offset, e);
	}
	return r;
}

int yaml_set_str(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	const char *text = NULL;
	int r = yaml_str(node, &text, e);

	(void)f;
	if (r == 0)
		str_set(member, text);
	return r;
}

int yaml_set_word(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	cleanup_buf struct buf known = BUF_INIT;
	const char *text = NULL;
	int r = yaml_str(node, &text, e);

	if (r < 0)
		return r;
	for (size_t i = 0; f->words[i]; i++) {
		if (str_eq(f->words[i], text)) {
			str_set(member, text);
			return 0;
		}
		buf_addf(&known, "%s%s", i ? ", " : "", f->words[i]);
	}
	return yaml_error(node, e, "\"%.64s\" is none of %s", text, buf_str(&known));
}

int yaml_set_bool(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	(void)f;
	return yaml_bool(node, member, e);
}

int yaml_set_u32(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	int64_t v = 0, max = f->max > 0 && f->max < UINT32_MAX ? f->max : UINT32_MAX;
	int r = yaml_int(node, f->min > 0 ? f->min : 0, max, &v, e);

	if (r == 0)
		*(uint32_t *)member = (uint32_t)v;
	return r;
}

int yaml_set_strv(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	struct strv *out = member, v = STRV_INIT;
	const char *text = NULL;
	int r = yaml_want(node, YAML_SEQUENCE, e);

	(void)f;
	for (const struct yaml_node *n = node->first; r == 0 && n; n = n->next) {
		r = yaml_str(n, &text, e);
		if (r == 0)
			strv_add(&v, text);
	}
	if (r < 0) {
		strv_done(&v);
		return r;
	}
	strv_done(out);
	*out = v;
	return 0;
}

int yaml_set_fields(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	return yaml_fill(node, f->fields, member, e);
}
