/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a YAML mapping into a struct by a table of its fields; keys that are in no table become warnings. */
#ifndef HULL_CTL_FIELDS_H
#define HULL_CTL_FIELDS_H

#include "base/buf.h"
#include "ctl/manifest.h"

struct fields_reader {
	struct arena *arena;
	struct strv *warnings;
	struct buf path; /* "spec.containers[0].image" */
	struct error *e;
};

struct field;
typedef int (*field_setter)(struct fields_reader *r, const struct yaml_node *node, const struct field *f,
			    void *member);
struct field {
	const char *key;
	field_setter set;
	size_t offset;
	const struct field *fields; /* of an object, or of a list's items; ended by a NULL key */
	size_t item_size;	    /* of a list */
	const void *item_default;   /* what an item is before its fields are read; NULL: zeroes */
	int64_t min, max;
	const char *const *words; /* allowed values, ended by NULL */
};

int fields_fill(struct fields_reader *r, const struct yaml_node *map, const struct field *fields,
		void *target) MUST_USE;

/* Add "FILE:LINE: PATH: words" to the warnings; fail with the same. */
void fields_warn(struct fields_reader *r, const struct yaml_node *node, const char *fmt, ...) PRINTF(3, 4);
int fields_error(struct fields_reader *r, const struct yaml_node *node, const char *fmt, ...) PRINTF(3, 4);

/* Setters, by the type of the member. */
#define FIELD_SETTER(name) \
	int name(struct fields_reader *r, const struct yaml_node *node, const struct field *f, void *member)
FIELD_SETTER(field_ignore); /* has no effect, and needs none */
FIELD_SETTER(field_refuse); /* would be wrong without its effect */
FIELD_SETTER(field_str);    /* const char *; with words: one of them */
FIELD_SETTER(field_bool);   /* bool */
FIELD_SETTER(field_tri);    /* enum tri */
FIELD_SETTER(field_int);    /* int64_t from min to max */
FIELD_SETTER(field_strs);   /* struct manifest_list of const char * */
FIELD_SETTER(field_ints);   /* struct manifest_list of int64_t */
FIELD_SETTER(field_pairs);  /* a mapping of text to text into a struct manifest_list of manifest_pair */
FIELD_SETTER(field_object); /* fields of the same target */
FIELD_SETTER(field_list);   /* struct manifest_list of items */
FIELD_SETTER(field_milli);  /* int64_t from a quantity, in thousandths */
FIELD_SETTER(field_bytes);  /* int64_t from a quantity */

#endif
