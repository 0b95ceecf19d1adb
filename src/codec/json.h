/* SPDX-License-Identifier: Apache-2.0 */
/* JSON, strictly: a thin layer over json-c that closes what json-c leaves open even with its STRICT flag
 * (single quotes, NaN, comments, raw control characters, clamped numbers, keys cut at \u0000), bounds size
 * and depth, and reads members by type and range. Trees are json-c's own; their reference counts are not
 * atomic, so a tree belongs to one thread.
 *
 * Duplicate members: the last one wins, as in Go's encoding/json. A member that is null counts as absent. */
#ifndef HULL_CODEC_JSON_H
#define HULL_CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define JSON_MAX_BYTES (16u << 20) /* the usual cap: config.json, plugin answers */
#define JSON_MAX_DEPTH 64
#define JSON_MAX_VALUES \
	(512u << 10) /* members and items of a whole document: bounds the memory of the tree */

void json_free(struct json_object *o); /* drop one reference; NULL is fine */
DEFINE_CLEANUP(struct json_object, json_free)
#define cleanup_json CLEANUP(json_free)

/* Parse one whole document of at most max_bytes (0: JSON_MAX_BYTES); only white space may follow it.
 * Strings hold valid UTF-8 without NUL; integers fit in 64 bits. The caller owns *ret_doc.
 * Fails: LIMIT   larger than max_bytes, nested deeper than JSON_MAX_DEPTH, more than JSON_MAX_VALUES
 *        INVALID anything else, with the byte offset */
int json_parse(const char *text, size_t len, size_t max_bytes, struct json_object **ret_doc,
	       struct error *e) MUST_USE;
/* The same; a document that is no object is INVALID too. */
int json_parse_object(const char *text, size_t len, size_t max_bytes, struct json_object **ret_doc,
		      struct error *e) MUST_USE;

/* ---- reading members -------------------------------------------------------------------------------
 * Each returns 1 when the member is there and *ret was set, 0 when it is absent or null (*ret is left as it
 * was), or INVALID naming the key, the type or range wanted and what was found. What is returned is
 * borrowed from the document. A required member: check for 0, or use json_need(). */
int json_get_str(struct json_object *o, const char *key, const char **ret, struct error *e) MUST_USE;
int json_get_bool(struct json_object *o, const char *key, bool *ret, struct error *e) MUST_USE;
int json_get_i64(struct json_object *o, const char *key, int64_t *ret, struct error *e) MUST_USE;
int json_get_u64(struct json_object *o, const char *key, uint64_t *ret, struct error *e) MUST_USE;
int json_get_i32(struct json_object *o, const char *key, int32_t *ret, struct error *e) MUST_USE;
int json_get_u32(struct json_object *o, const char *key, uint32_t *ret, struct error *e) MUST_USE;
int json_get_double(struct json_object *o, const char *key, double *ret, struct error *e) MUST_USE;
int json_get_object(struct json_object *o, const char *key, struct json_object **ret,
		    struct error *e) MUST_USE;
int json_get_array(struct json_object *o, const char *key, struct json_object **ret,
		   struct error *e) MUST_USE;
/* An array of strings; appended to ret, which is changed only on success. Fails also with LIMIT when there
 * are more than max items. */
int json_get_strv(struct json_object *o, const char *key, size_t max, struct strv *ret,
		  struct error *e) MUST_USE;

/* Turn the 0 of a json_get_ function into INVALID: "\"key\" is missing". */
int json_need(int r, const char *key, struct error *e) MUST_USE;

/* Values outside of objects (array items): as above, with the name used in messages. */
int json_as_str(struct json_object *v, const char *name, const char **ret, struct error *e) MUST_USE;
int json_as_bool(struct json_object *v, const char *name, bool *ret, struct error *e) MUST_USE;
int json_as_i64(struct json_object *v, const char *name, int64_t min, int64_t max, int64_t *ret,
		struct error *e) MUST_USE;
int json_as_u64(struct json_object *v, const char *name, uint64_t max, uint64_t *ret,
		struct error *e) MUST_USE;
int json_as_double(struct json_object *v, const char *name, double *ret, struct error *e) MUST_USE;

/* "an object", "an array", "a string", "a number", "true or false", "null": for messages. */
const char *json_kind_text(struct json_object *v);

/* ---- writing ---------------------------------------------------------------------------------------
 * New trees; memory being out ends the process. An added object belongs to the one it was added to. Strings
 * that are not UTF-8 are written with U+FFFD in place of the wrong bytes. */
struct json_object *json_new(void) MUST_USE;	   /* {} */
struct json_object *json_new_array(void) MUST_USE; /* [] */
struct json_object *json_new_str(const char *s) MUST_USE;

void json_put(struct json_object *o, const char *key, struct json_object *value);
struct json_object *json_put_object(struct json_object *o, const char *key); /* returns the new {} */
struct json_object *json_put_array(struct json_object *o, const char *key);  /* returns the new [] */
void json_put_str(struct json_object *o, const char *key, const char *s);    /* NULL: nothing is added */
void json_put_bool(struct json_object *o, const char *key, bool b);
void json_put_i64(struct json_object *o, const char *key, int64_t n);
void json_put_u64(struct json_object *o, const char *key, uint64_t n);
/* An array of n strings; items NULL with n 0 gives []. */
void json_put_strs(struct json_object *o, const char *key, const char *const *items, size_t n);
void json_put_strv(struct json_object *o, const char *key, const struct strv *s);

void json_push(struct json_object *array, struct json_object *value);
struct json_object *json_push_object(struct json_object *array); /* returns the new {} */
void json_push_str(struct json_object *array, const char *s);

/* The document as text, appended to b: compact, or indented for people (two blanks, a newline at the end). */
void json_text(struct json_object *o, bool is_pretty, struct buf *b);

#endif
