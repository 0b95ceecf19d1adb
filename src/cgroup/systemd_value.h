/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: values of D-Bus types, read from GVariant's text (GLib, "GVariant Text Format"), which is how
 * callers write properties of a unit into annotations. Pure. */
#ifndef HULL_CGROUP_SYSTEMD_VALUE_H
#define HULL_CGROUP_SYSTEMD_VALUE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define SYSTEMD_VALUE_MAX 1024u /* items of an array */

/* A boolean, a number, a string, or an array of one of these. */
struct systemd_value {
	char signature[3];  /* "t", "as" */
	struct buf numbers; /* uint64_t each; of a signed one its two's complement, of a double its bits */
	struct strv texts;  /* of strings */
};
#define SYSTEMD_VALUE_INIT ((struct systemd_value){ 0 })
void systemd_value_done(struct systemd_value *v);
DEFINE_CLEANUP_VALUE(struct systemd_value, systemd_value_done)

/* 'text', "text", true, 5 (an int32), 1.5, uint64 5, @as [], ['a', 'b']. Variants, tuples, dictionaries, paths, signatures,
 * byte strings and arrays of arrays are not read: no unit has a property like that which a scope can be given.
 * Fails: INVALID */
int systemd_value_parse(const char *text, struct systemd_value *ret, struct error *e) MUST_USE;
/* A number of seconds becomes one of microseconds, a uint64. Fails: INVALID (no number, negative, too large) */
int systemd_value_to_usec(struct systemd_value *v, struct error *e) MUST_USE;
/* As a variant at the end of b. */
void systemd_value_put(const struct systemd_value *v, struct buf *b);

#endif
