/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as a header and tagged values, read and written by tables. No I/O but in wire_send() and
 * wire_recv(); the parser takes untrusted bytes and never reads past them. */
#ifndef HULL_POD_WIRE_H
#define HULL_POD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/fd.h"

#define WIRE_MAGIC 0x444f5048u /* "HPOD" */
#define WIRE_VERSION 1
#define WIRE_INLINE_MAX 4096 /* bytes of a message; a longer body goes in a memfd */
#define WIRE_BODY_MAX (4u << 20)

struct wire_header {
	uint32_t magic;
	uint16_t version, op;
	uint32_t len; /* of the body */
};

#define WIRE_CRITICAL 1u /* a reader that does not know the tag refuses the message */
struct wire_tlv {
	uint16_t tag, flags;
	uint32_t len; /* of the value that follows, unpadded */
};

struct wire_bytes {
	const char *p;
	size_t n;
};

enum wire_type {
	WIRE_END = 0,
	WIRE_U64,   /* uint64_t */
	WIRE_I64,   /* int64_t */
	WIRE_INT,   /* int; out of its range is an error */
	WIRE_BOOL,  /* bool */
	WIRE_STR,   /* const char *, borrowed from the body; without NUL inside, at most max bytes */
	WIRE_CHARS, /* char[max], copied; cut where it does not fit */
	WIRE_BYTES, /* struct wire_bytes, borrowed from the body; at most max bytes */
	WIRE_FD,    /* int: on the wire an index into the message's fds. Borrowed from the message */
};
/* One field of a body. A value that is 0, NULL, "" or (WIRE_FD) -1 is not sent, and a field that is not in
 * the message stays as it is. */
struct wire_field {
	uint16_t tag;
	uint8_t type, flags;
	uint16_t offset;
	uint32_t max;
	const char *name; /* in errors */
};

/* ---- writing ----------------------------------------------------------------------------------- */

struct wire_out {
	struct buf b;	      /* the body */
	int fds[FD_PASS_MAX]; /* borrowed */
	size_t fd_count;
};
#define WIRE_OUT_INIT ((struct wire_out){ .fd_count = 0 })
void wire_out_done(struct wire_out *o);
DEFINE_CLEANUP_VALUE(struct wire_out, wire_out_done)
#define cleanup_wire_out CLEANUP(wire_out_done)

void wire_add(struct wire_out *o, unsigned tag, unsigned flags, const void *data, size_t n);
/* Add the fields of src by its table. */
void wire_encode(struct wire_out *o, const struct wire_field *table, const void *src);

/* Send a message; never blocks in the middle. Returns 0, or -1 with errno (EAGAIN: the socket is full). */
int wire_send(int sock, unsigned op, const struct wire_out *o);

/* ---- reading ----------------------------------------------------------------------------------- */

/* Step through the values: *pos starts at 0. Returns 1 with one, 0 at the end.
 * Fails: CORRUPT (a length that passes the end). */
int wire_next(const void *body, size_t len, size_t *pos, struct wire_tlv *ret_tlv, const char **ret_value,
	      struct error *e) MUST_USE;

/* Fill dst by the table; fds are those that came with the message. A tag may come once.
 * Fails: CORRUPT      the encoding: lengths, strings with NUL, fd index, a tag twice
 *        LIMIT        a value is longer than its field's max
 *        INVALID      an int out of range
 *        UNSUPPORTED  a critical tag that the table does not have */
int wire_decode(const struct wire_field *table, const void *body, size_t len, const int *fds, size_t fd_count,
		void *dst, struct error *e) MUST_USE;

struct wire_msg {
	struct wire_header h;
	const char *body;     /* h.len bytes */
	int fds[FD_PASS_MAX]; /* owned */
	size_t fd_count;
	void *map; /* the body's memfd, mapped */
	char data[WIRE_INLINE_MAX];
};
void wire_msg_init(struct wire_msg *m);
void wire_msg_done(struct wire_msg *m);
DEFINE_CLEANUP_VALUE(struct wire_msg, wire_msg_done)
#define cleanup_wire_msg CLEANUP(wire_msg_done)

/* Receive one message into m, which is empty (wire_msg_init()). Returns 1 with one, 0 at the end of the
 * connection, -ERR_STATE with e->sys EAGAIN when none is there.
 * Fails: CORRUPT (not of this protocol), UNSUPPORTED (another version: both are named), LIMIT, SYS.
 * After CORRUPT, LIMIT and UNSUPPORTED the connection still works, and h.op is set if it was read. */
int wire_recv(int sock, struct wire_msg *m, struct error *e) MUST_USE;

/* Check a header. Fails: CORRUPT, UNSUPPORTED, LIMIT. */
int wire_check_header(const struct wire_header *h, struct error *e) MUST_USE;

#endif
