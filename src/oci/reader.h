/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that reads a JSON object into a C structure by a table of fields. Internal to src/oci.
 *
 * A table has a row for each key: what reads it, where its value goes, what the reader needs to know, and
 * whether the key must be there. Rows are taken in order; a key may have several rows. Keys without a row
 * are ignored. A null value counts as absent, as it does for Go's decoders, which write such configs. */
#ifndef HULL_OCI_READER_H
#define HULL_OCI_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/arena.h"
#include "codec/json.h"

/* clang-format off */
#define READER_DEPTH_MAX 32

struct reader {
	struct arena *arena;	/* everything that is read is copied into it */
	struct error *e;
	struct { const char *key; size_t index; } path[READER_DEPTH_MAX];
	size_t depth;
};

typedef int (*read_fn)(struct reader *r, struct json_object *v, void *dst, const void *arg);

struct field {
	const char *key;	/* NULL ends the table */
	read_fn read;
	size_t offset;
	const void *arg;
	bool is_needed;
};
#define FIELD(type, member, key, read, arg) { key, read, offsetof(type, member), arg, false }
#define NEEDED(type, member, key, read, arg) { key, read, offsetof(type, member), arg, true }
#define FIELDS_END { NULL, NULL, 0, NULL, false }

/* Set the error: "PATH: message". Returns -kind. */
int reader_fail(struct reader *r, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4) MUST_USE;
/* The same for a member of the object being read. */
int reader_fail_at(struct reader *r, const char *key, enum err_kind kind, const char *fmt, ...)
	PRINTF(4, 5) MUST_USE;
/* Put the path before an error that another function has set. Returns -kind. */
int reader_ctx(struct reader *r) MUST_USE;

int reader_fields(struct reader *r, struct json_object *o, const struct field *fields, void *base) MUST_USE;

/* The layout of OCI_LIST and struct oci_strs, for what fills any of them. */
struct any_list { void *v; size_t n; };

struct range { int64_t min; uint64_t max; };
/* Ended by a NULL text. size is that of the destination: 1, 4 or 8 bytes. */
struct word { const char *text; uint64_t value; };
struct words { const struct word *v; size_t size; };
int words_find(const struct word *words, const char *text, uint64_t *ret);	/* 0, or -1 */
const char *words_text(const struct word *words, uint64_t value);	/* the first of this value, or "?" */

/* An object, in place, or allocated when is_pointer. check runs after the fields; may be NULL. */
struct object_of {
	size_t size;
	const struct field *fields;
	int (*check)(struct reader *r, void *base);
	bool is_pointer;
};
/* An array of objects, or (read_map) an object whose members are objects and whose keys are kept. */
struct list_of {
	size_t size;
	const struct field *fields;
	int (*check)(struct reader *r, void *item);
	const void *defaults;	/* an item to start from; NULL: zeroes */
	size_t key_offset;	/* read_map: where the key goes */
};

/* dst in parentheses; arg in brackets. */
int read_present(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* (bool) the key is there */
int read_bool(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* (bool) */
int read_str(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* (const char *) */
int read_name(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* the same, not empty */
int read_abs_path(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* the same, absolute */
int read_cpu_list(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* the same, "0-3,7" */
int read_strs(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* (struct oci_strs) */
int read_abs_paths(struct reader *r, struct json_object *v, void *dst, const void *arg); /* the same, absolute */
int read_kvs(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* (struct oci_kvs) */
int read_u64(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* [range or NULL] */
int read_i64(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_u32(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_i32(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_u16(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_id(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* (uint32_t) below 2^32 - 1 */
int read_ids(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* a list of them */
int read_opt_u64(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* (struct oci_opt_u64) */
int read_opt_i64(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_opt_u32(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_opt_i32(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_opt_bool(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_opt_id(struct reader *r, struct json_object *v, void *dst, const void *arg);
int read_word(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* [struct words] */
int read_word_flags(struct reader *r, struct json_object *v, void *dst, const void *arg); /* an array, or-ed */
int read_object(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* [struct object_of] */
int read_list(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* [struct list_of] */
int read_map(struct reader *r, struct json_object *v, void *dst, const void *arg);	/* [struct list_of] */
int read_unsupported(struct reader *r, struct json_object *v, void *dst, const void *arg); /* [why, or NULL] */
/* clang-format on */

#endif
