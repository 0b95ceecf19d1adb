// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/fields.h"
#include "ctl/quantity.h"

static void format_place(const struct fields_reader *r, const struct yaml_node *node, char *out, size_t size)
{
	snprintf(out, size, "%s:%u: %s", node->file, node->key ? node->key_line : node->line,
		 buf_str(&r->path));
}

void fields_warn(struct fields_reader *r, const struct yaml_node *node, const char *fmt, ...)
{
	char place[512], words[512];
	va_list args;

	format_place(r, node, place, sizeof(place));
	va_start(args, fmt);
	vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	strv_addf(r->warnings, "%s: %s", place, words);
}

int fields_error(struct fields_reader *r, const struct yaml_node *node, const char *fmt, ...)
{
	char place[512], words[512];
	va_list args;

	format_place(r, node, place, sizeof(place));
	va_start(args, fmt);
	vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	return err_new(r->e, ERR_INVALID, "%s: %s", place, words);
}

static const struct field *find(const struct field *fields, const char *key)
{
	for (; fields->key; fields++)
		if (str_eq(fields->key, key))
			return fields;
	return NULL;
}

int fields_fill(struct fields_reader *r, const struct yaml_node *map, const struct field *fields,
		void *target)
{
	if (map->kind != YAML_MAPPING)
		return fields_error(r, map, "want a mapping");
	for (const struct yaml_node *n = map->first; n; n = n->next) {
		const struct field *f = find(fields, n->key);
		size_t len = r->path.len;
		int rc = 0;

		buf_addf(&r->path, "%s%s", len ? "." : "", n->key);
		if (yaml_is_null(n))
			rc = 0;
		else if (!f)
			fields_warn(r, n, "not supported, has no effect");
		else
			rc = f->set(r, n, f, (char *)target + f->offset);
		if (rc < 0)
			return rc;
		r->path.len = len;
		r->path.data[len] = 0;
	}
	return 0;
}

/* Errors of yaml.h already have the file and the line, but not the whole path. */
static int typed(struct fields_reader *r, const struct yaml_node *node, int rc, const char *want)
{
	return rc < 0 ? fields_error(r, node, "want %s", want) : rc;
}

FIELD_SETTER(field_ignore)
{
	(void)r, (void)node, (void)f, (void)member;
	return 0;
}

FIELD_SETTER(field_refuse)
{
	(void)f, (void)member;
	return fields_error(r, node, "not supported");
}

FIELD_SETTER(field_str)
{
	const char *text = NULL;
	int rc = typed(r, node, yaml_str(node, &text, r->e), "text");

	if (rc < 0)
		return rc;
	if (f->words) {
		struct buf known = BUF_INIT;

		for (const char *const *w = f->words; *w; w++) {
			if (str_eq(*w, text)) {
				buf_done(&known);
				*(const char **)member = text;
				return 0;
			}
			buf_addf(&known, "%s%s", known.len ? ", " : "", *w);
		}
		rc = fields_error(r, node, "\"%.64s\": want one of %s", text, buf_str(&known));
		buf_done(&known);
		return rc;
	}
	*(const char **)member = text;
	return 0;
}

FIELD_SETTER(field_bool)
{
	(void)f;
	return typed(r, node, yaml_bool(node, member, r->e), "true or false");
}

FIELD_SETTER(field_tri)
{
	bool value = false;
	int rc = typed(r, node, yaml_bool(node, &value, r->e), "true or false");

	(void)f;
	if (rc == 0)
		*(enum tri *)member = value ? TRI_TRUE : TRI_FALSE;
	return rc;
}

FIELD_SETTER(field_int)
{
	if (yaml_int(node, f->min, f->max, member, r->e) < 0)
		return fields_error(r, node, "want a whole number from %lld to %lld", (long long)f->min,
				    (long long)f->max);
	return 0;
}

/* Begin a list: room for all items, and the kind checked. */
static int begin_list(struct fields_reader *r, const struct yaml_node *node, size_t size,
		      struct manifest_list *list)
{
	if (node->kind != YAML_SEQUENCE)
		return fields_error(r, node, "want a list");
	list->v = arena_array(r->arena, node->count, size);
	list->n = 0;
	return 0;
}

FIELD_SETTER(field_strs)
{
	struct manifest_list *list = member;
	int rc = begin_list(r, node, sizeof(const char *), list);

	(void)f;
	for (const struct yaml_node *n = node->first; rc == 0 && n; n = n->next)
		rc = typed(r, n, yaml_str(n, &((const char **)list->v)[list->n++], r->e), "a list of texts");
	return rc;
}

FIELD_SETTER(field_ints)
{
	struct manifest_list *list = member;
	int rc = begin_list(r, node, sizeof(int64_t), list);

	for (const struct yaml_node *n = node->first; rc == 0 && n; n = n->next)
		rc = field_int(r, n, f, &((int64_t *)list->v)[list->n++]);
	return rc;
}

FIELD_SETTER(field_pairs)
{
	struct manifest_list *list = member;
	int rc = 0;

	(void)f;
	if (node->kind != YAML_MAPPING)
		return fields_error(r, node, "want a mapping");
	list->v = arena_array(r->arena, node->count, sizeof(struct manifest_pair));
	list->n = 0;
	for (const struct yaml_node *n = node->first; rc == 0 && n; n = n->next) {
		struct manifest_pair *p = MANIFEST_AT(*list, struct manifest_pair, list->n++);

		p->key = n->key;
		rc = typed(r, n, yaml_str(n, &p->value, r->e),
			   "texts as values (with quotes, when they look like numbers)");
	}
	return rc;
}

FIELD_SETTER(field_object)
{
	return fields_fill(r, node, f->fields, member);
}

FIELD_SETTER(field_list)
{
	struct manifest_list *list = member;
	int rc = begin_list(r, node, f->item_size, list);
	size_t len = r->path.len;

	for (const struct yaml_node *n = node->first; rc == 0 && n; n = n->next) {
		char *item = (char *)list->v + list->n * f->item_size;

		buf_addf(&r->path, "[%zu]", list->n++);
		if (f->item_default)
			memcpy(item, f->item_default, f->item_size);
		rc = fields_fill(r, n, f->fields, item);
		if (rc < 0)
			return rc;
		r->path.len = len;
		r->path.data[len] = 0;
	}
	return rc;
}

static int quantity(struct fields_reader *r, const struct yaml_node *node, uint32_t scale, int64_t *ret)
{
	struct error e = ERROR_INIT;

	if (node->kind != YAML_SCALAR)
		return fields_error(r, node, "want a quantity");
	if (quantity_parse(node->text, scale, ret, &e) < 0)
		return fields_error(r, node, "%s", err_msg(&e));
	return 0;
}

FIELD_SETTER(field_milli)
{
	(void)f;
	return quantity(r, node, 1000, member);
}

FIELD_SETTER(field_bytes)
{
	(void)f;
	return quantity(r, node, 1, member);
}
