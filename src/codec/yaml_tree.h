/* SPDX-License-Identifier: Apache-2.0 */
/* YAML as a small tree that knows its lines, and tables that say what may stand in it.
 *
 * Made for files that people write: configuration and Pod manifests. Bounded in size, depth and number of
 * nodes (aliases are copies and count); duplicate keys, keys that are not scalars, NUL in text and tags
 * other than the standard ones are errors. Every error begins with FILE:LINE. */
#ifndef HULL_CODEC_YAML_TREE_H
#define HULL_CODEC_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "codec/arena.h"

#define YAML_BYTES_MAX ((size_t)1024 * 1024)
#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 65536

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
	enum yaml_kind kind;
	bool is_quoted;	  /* a scalar with quotes, a block scalar, or !!str: always text */
	unsigned line;	  /* from 1 */
	const char *file; /* as given to yaml_parse(), borrowed */
	const char *text; /* of a scalar */
	const char *key;  /* of an entry of a mapping; NULL elsewhere */
	unsigned key_line;
	struct yaml_node *first, *next; /* entries, and the next one (of documents too) */
	size_t count;			/* of entries */
};

/* Parse all documents of a file; *ret is the first, or NULL when there is none. Everything lives in the
 * arena. Fails: INVALID, LIMIT. */
int yaml_parse(const char *file, const char *text, size_t len, struct arena *a, struct yaml_node **ret,
	       struct error *e) MUST_USE;

/* The entry of a mapping, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* "FILE:LINE: KEY: words"; INVALID. */
int yaml_error(const struct yaml_node *node, struct error *e, const char *fmt, ...) PRINTF(3, 4);

/* Nothing, ~ or null, without quotes. */
bool yaml_is_null(const struct yaml_node *node);

/* Typed values. A number or a boolean with quotes is text, as in JSON; text may look like anything.
 * Fail: INVALID. */
int yaml_str(const struct yaml_node *node, const char **ret, struct error *e) MUST_USE;
int yaml_bool(const struct yaml_node *node, bool *ret, struct error *e) MUST_USE;
int yaml_int(const struct yaml_node *node, int64_t min, int64_t max, int64_t *ret, struct error *e) MUST_USE;
/* The node is of this kind. */
int yaml_want(const struct yaml_node *node, enum yaml_kind kind, struct error *e) MUST_USE;

/* --- schemas --- */

struct yaml_field;
typedef int (*yaml_setter)(const struct yaml_node *node, const struct yaml_field *field, void *member,
			   struct error *e);
struct yaml_field {
	const char *key;
	yaml_setter set;		 /* gets a pointer to the member */
	size_t offset;			 /* of the member in the target */
	int64_t min, max;		 /* for numbers */
	const struct yaml_field *fields; /* for yaml_set_fields: the schema inside, ended by a NULL key */
	const char *const *words;	 /* for yaml_set_word: what may stand there, ended by NULL */
};

/* Set the members of target from a mapping by a table that ends with a NULL key. A key that is not in the
 * table is an error that lists those that are. Null entries are left alone. Fails: INVALID. */
int yaml_fill(const struct yaml_node *map, const struct yaml_field *fields, void *target,
	      struct error *e) MUST_USE;

/* Setters. Strings are allocated; what was there is freed. */
int yaml_set_str(const struct yaml_node *node, const struct yaml_field *f, void *member,
		 struct error *e); /* char * */
int yaml_set_word(const struct yaml_node *node, const struct yaml_field *f, void *member,
		  struct error *e); /* char * */
int yaml_set_bool(const struct yaml_node *node, const struct yaml_field *f, void *member,
		  struct error *e); /* bool */
int yaml_set_u32(const struct yaml_node *node, const struct yaml_field *f, void *member,
		 struct error *e); /* uint32_t */
int yaml_set_strv(const struct yaml_node *node, const struct yaml_field *f, void *member,
		  struct error *e); /* struct strv */
/* A mapping whose schema is f->fields, into the member itself (offset 0: into the same target). */
int yaml_set_fields(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e);

#endif
