/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events into the tree. An alias becomes a copy: a node stands in one place only, under one key. */
#include "codec/yaml_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#define ANCHORS_MAX 64
#define KEYS_MAX 4096 /* of one mapping: each key is compared with all before it */
#define CORE_TAG "tag:yaml.org,2002:"

struct parser {
	yaml_parser_t yaml;
	const char *file;
	struct arena *arena;
	size_t nodes;
	struct {
		char *name;
		struct yaml_node *node; /* NULL while it is being read: an alias inside itself */
	} anchors[ANCHORS_MAX];
	size_t anchor_count;
};

__attribute__((format(printf, 5, 6))) static int fail_at(const struct parser *p, size_t line, struct error *e,
							 enum err_kind kind, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_new(e, kind, "%s:%zu: %s", p->file, line, what);
}

static int next_event(struct parser *p, yaml_event_t *event, struct error *e)
{
	const yaml_parser_t *y = &p->yaml;

	if (yaml_parser_parse(&p->yaml, event))
		return 0;
	if (y->error == YAML_READER_ERROR)
		return err_new(e, ERR_INVALID, "%s: %s at byte %zu", p->file, y->problem, y->problem_offset);
	return fail_at(p, y->problem_mark.line + 1, e, ERR_INVALID, "%s%s%s", y->context ? y->context : "",
		       y->context ? ", " : "", y->problem ? y->problem : "cannot be parsed");
}

/* NULL, with the error set, when there are too many. */
static struct yaml_node *new_node(struct parser *p, const yaml_event_t *event, enum yaml_kind kind,
				  struct error *e)
{
	struct yaml_node *n;

	if (++p->nodes > YAML_NODES_MAX) {
		fail_at(p, event->start_mark.line + 1, e, ERR_LIMIT, "more than %d values", YAML_NODES_MAX);
		return NULL;
	}
	n = arena_alloc(p->arena, sizeof(*n));
	n->kind = kind;
	n->file = p->file;
	n->line = (unsigned)event->start_mark.line + 1;
	return n;
}

static int check_tag(const struct parser *p, const yaml_event_t *event, const yaml_char_t *tag,
		     struct error *e)
{
	static const char *const known[] = {
		"!",
		CORE_TAG "str",
		CORE_TAG "int",
		CORE_TAG "bool",
		CORE_TAG "float",
		CORE_TAG "null",
		CORE_TAG "map",
		CORE_TAG "seq",
	};
	const char *t = (const char *)tag;

	for (size_t i = 0; t && i < ARRAY_LEN(known); i++)
		if (strcmp(t, known[i]) == 0)
			return 0;
	if (!t)
		return 0;
	return fail_at(p, event->start_mark.line + 1, e, ERR_INVALID, "unknown tag \"%.64s\"", t);
}

/* --- anchors --- */

static int add_anchor(struct parser *p, const yaml_event_t *event, const yaml_char_t *name, size_t *ret,
		      struct error *e)
{
	*ret = SIZE_MAX;
	if (!name)
		return 0;
	if (p->anchor_count == ANCHORS_MAX)
		return fail_at(p, event->start_mark.line + 1, e, ERR_LIMIT, "more than %d anchors",
			       ANCHORS_MAX);
	*ret = p->anchor_count++;
	p->anchors[*ret].name = arena_str(p->arena, (const char *)name);
	p->anchors[*ret].node = NULL;
	return 0;
}

static int copy_node(struct parser *p, const yaml_event_t *event, const struct yaml_node *from,
		     struct yaml_node **ret, struct error *e)
{
	struct yaml_node *n, **end;
	int r;

	n = new_node(p, event, from->kind, e);
	if (!n)
		return -ERR_LIMIT;
	*n = *from;
	n->first = n->next = NULL;
	end = &n->first;
	for (const struct yaml_node *c = from->first; c; c = c->next) {
		r = copy_node(p, event, c, end, e);
		if (r < 0)
			return r;
		end = &(*end)->next;
	}
	*ret = n;
	return 0;
}

static int parse_alias(struct parser *p, const yaml_event_t *event, struct yaml_node **ret, struct error *e)
{
	const char *name = (const char *)event->data.alias.anchor;

	/* The latest of that name: an anchor may be set anew. */
	for (size_t i = p->anchor_count; i-- > 0;) {
		if (!str_eq(p->anchors[i].name, name))
			continue;
		if (!p->anchors[i].node)
			return fail_at(p, event->start_mark.line + 1, e, ERR_INVALID,
				       "alias \"%.64s\" inside itself", name);
		return copy_node(p, event, p->anchors[i].node, ret, e);
	}
	return fail_at(p, event->start_mark.line + 1, e, ERR_INVALID, "unknown alias \"%.64s\"", name);
}

/* --- nodes --- */

static int parse_node(struct parser *p, const yaml_event_t *event, unsigned depth, struct yaml_node **ret,
		      struct error *e);

static int parse_scalar(struct parser *p, const yaml_event_t *event, struct yaml_node **ret, struct error *e)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	struct yaml_node *n;
	int r;

	if (memchr(text, 0, len))
		return fail_at(p, event->start_mark.line + 1, e, ERR_INVALID, "a NUL character in text");
	r = check_tag(p, event, event->data.scalar.tag, e);
	if (r < 0)
		return r;
	n = new_node(p, event, YAML_SCALAR, e);
	if (!n)
		return -ERR_LIMIT;
	n->text = arena_strn(p->arena, text, len);
	n->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
		       str_eq((const char *)event->data.scalar.tag, CORE_TAG "str");
	*ret = n;
	return 0;
}

static int parse_sequence(struct parser *p, const yaml_event_t *event, unsigned depth, struct yaml_node **ret,
			  struct error *e)
{
	struct yaml_node *n, **end;
	yaml_event_t inner;
	int r;

	r = check_tag(p, event, event->data.sequence_start.tag, e);
	if (r < 0)
		return r;
	n = new_node(p, event, YAML_SEQUENCE, e);
	if (!n)
		return -ERR_LIMIT;
	for (end = &n->first;; end = &(*end)->next, n->count++) {
		r = next_event(p, &inner, e);
		if (r < 0)
			return r;
		if (inner.type == YAML_SEQUENCE_END_EVENT)
			break;
		r = parse_node(p, &inner, depth + 1, end, e);
		yaml_event_delete(&inner);
		if (r < 0)
			return r;
	}
	*ret = n;
	return 0;
}

/* The key of one entry; *ret_key is NULL at the end of the mapping. */
static int parse_key(struct parser *p, const struct yaml_node *map, const char **ret_key, unsigned *ret_line,
		     struct error *e)
{
	struct yaml_node *key = NULL;
	const struct yaml_node *other;
	yaml_event_t event;
	unsigned line;
	int r;

	r = next_event(p, &event, e);
	if (r < 0)
		return r;
	*ret_key = NULL;
	line = (unsigned)event.start_mark.line + 1;
	if (event.type == YAML_SCALAR_EVENT)
		r = parse_scalar(p, &event, &key, e);
	else if (event.type != YAML_MAPPING_END_EVENT)
		r = fail_at(p, line, e, ERR_INVALID, "a key is not a scalar");
	yaml_event_delete(&event);
	if (r < 0 || !key)
		return r;
	other = yaml_get(map, key->text);
	if (other)
		return fail_at(p, line, e, ERR_INVALID, "key \"%.128s\" is there twice (before in line %u)",
			       key->text, other->key_line);
	*ret_key = key->text;
	*ret_line = line;
	return 0;
}

static int parse_mapping(struct parser *p, const yaml_event_t *event, unsigned depth, struct yaml_node **ret,
			 struct error *e)
{
	struct yaml_node *n, **end;
	yaml_event_t inner;
	const char *key;
	unsigned line;
	int r;

	r = check_tag(p, event, event->data.mapping_start.tag, e);
	if (r < 0)
		return r;
	n = new_node(p, event, YAML_MAPPING, e);
	if (!n)
		return -ERR_LIMIT;
	for (end = &n->first;; end = &(*end)->next, n->count++) {
		r = parse_key(p, n, &key, &line, e);
		if (r < 0)
			return r;
		if (!key)
			break;
		if (n->count == KEYS_MAX)
			return fail_at(p, line, e, ERR_LIMIT, "a mapping of more than %d keys", KEYS_MAX);
		r = next_event(p, &inner, e);
		if (r < 0)
			return r;
		r = parse_node(p, &inner, depth + 1, end, e);
		yaml_event_delete(&inner);
		if (r < 0)
			return r;
		(*end)->key = key;
		(*end)->key_line = line;
	}
	*ret = n;
	return 0;
}

static int parse_node(struct parser *p, const yaml_event_t *event, unsigned depth, struct yaml_node **ret,
		      struct error *e)
{
	const yaml_char_t *anchor = NULL;
	size_t slot;
	int r;

	if (depth > YAML_DEPTH_MAX)
		return fail_at(p, event->start_mark.line + 1, e, ERR_LIMIT, "nested more than %d deep",
			       YAML_DEPTH_MAX);
	if (event->type == YAML_SCALAR_EVENT)
		anchor = event->data.scalar.anchor;
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		anchor = event->data.sequence_start.anchor;
	else if (event->type == YAML_MAPPING_START_EVENT)
		anchor = event->data.mapping_start.anchor;
	r = add_anchor(p, event, anchor, &slot, e);
	if (r < 0)
		return r;
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		r = parse_scalar(p, event, ret, e);
		break;
	case YAML_SEQUENCE_START_EVENT:
		r = parse_sequence(p, event, depth, ret, e);
		break;
	case YAML_MAPPING_START_EVENT:
		r = parse_mapping(p, event, depth, ret, e);
		break;
	case YAML_ALIAS_EVENT:
		r = parse_alias(p, event, ret, e);
		break;
	default:
		r = fail_at(p, event->start_mark.line + 1, e, ERR_INVALID, "a value is missing");
		break;
	}
	if (r == 0 && slot != SIZE_MAX)
		p->anchors[slot].node = *ret;
	return r;
}

static int parse_documents(struct parser *p, struct yaml_node **ret, struct error *e)
{
	bool is_end = false;
	yaml_event_t event;
	int r;

	while (!is_end) {
		r = next_event(p, &event, e);
		if (r < 0)
			return r;
		switch (event.type) {
		case YAML_STREAM_END_EVENT:
			is_end = true;
			break;
		case YAML_DOCUMENT_START_EVENT:
			p->anchor_count = 0;
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		default:
			r = parse_node(p, &event, 0, ret, e);
			if (r == 0 && *ret)
				ret = &(*ret)->next;
			break;
		}
		yaml_event_delete(&event);
		if (r < 0)
			return r;
	}
	return 0;
}

int yaml_parse(const char *file, const char *text, size_t len, struct arena *a, struct yaml_node **ret,
	       struct error *e)
{
	struct parser p = { .file = file, .arena = a };
	struct yaml_node *first = NULL;
	int r;

	if (len > YAML_BYTES_MAX)
		return err_new(e, ERR_LIMIT, "%s: larger than %zu KiB", file, YAML_BYTES_MAX / 1024);
	if (!yaml_parser_initialize(&p.yaml))
		return err_new(e, ERR_INTERNAL, "%s: make a YAML parser: out of memory", file);
	yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, len);
	r = parse_documents(&p, &first, e);
	yaml_parser_delete(&p.yaml);
	if (r == 0)
		*ret = first;
	return r;
}
