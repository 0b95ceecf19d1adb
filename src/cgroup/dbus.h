/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: the D-Bus wire format (D-Bus Specification, "Message Protocol"), as much of it as a client of
 * systemd needs. Pure: bytes in and out. A static program has no libdbus and no libsystemd to load. */
#ifndef HULL_CGROUP_DBUS_H
#define HULL_CGROUP_DBUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* ---- writing ----------------------------------------------------------------------------------------
 * Into the body of a message, which begins aligned; each value is aligned as its type asks. */
void dbus_put_u32(struct buf *b, uint32_t n);
void dbus_put_u64(struct buf *b, uint64_t n);
void dbus_put_bool(struct buf *b, bool v);
void dbus_put_str(struct buf *b, const char *s); /* types s and o */
void dbus_put_sig(struct buf *b, const char *s); /* type g */
void dbus_align(struct buf *b, size_t n);	 /* before a struct: 8 */

struct dbus_array {
	size_t length_at, start;
};
/* An array whose items are aligned to `align` bytes: put the items between these two. */
struct dbus_array dbus_array_begin(struct buf *b, size_t align);
void dbus_array_end(struct buf *b, struct dbus_array a);

struct dbus_call {
	const char *destination; /* NULL on a connection without a bus */
	const char *path, *interface, *member;
	const char *signature; /* of the body; NULL: none */
	const struct buf *body;
};
/* The message of a call, appended to out. */
void dbus_put_call(struct buf *out, const struct dbus_call *c, uint32_t serial);

/* ---- reading ----------------------------------------------------------------------------------------- */

enum dbus_type { DBUS_CALL = 1, DBUS_RETURN = 2, DBUS_ERROR = 3, DBUS_SIGNAL = 4 };

#define DBUS_MESSAGE_MAX (1u << 20)

/* Everything points into the message's bytes; "" is what is not there. */
struct dbus_message {
	enum dbus_type type;
	uint32_t reply_serial;
	const char *interface, *member, *error_name, *signature;
	const char *body;
	size_t body_len;
};
/* The message that data begins with. Returns its length, 0 when data does not hold all of it yet.
 * Fails: CORRUPT, LIMIT (more than DBUS_MESSAGE_MAX) */
int dbus_parse(const char *data, size_t len, struct dbus_message *ret, struct error *e) MUST_USE;

struct dbus_cursor {
	const char *data;
	size_t len, at;
};
/* The next value of a body, by the types that the caller expects. False when there is none such. */
bool dbus_get_u32(struct dbus_cursor *c, uint32_t *ret);
bool dbus_get_str(struct dbus_cursor *c, const char **ret); /* types s and o */
bool dbus_get_sig(struct dbus_cursor *c, const char **ret);

#endif
