/* SPDX-License-Identifier: Apache-2.0 */
/* Between hulld and hull-unpack: JSON documents, one a line, both ways on one stream socket.
 *
 *	hulld						hull-unpack
 *	{"op":"pull", "path", "reference",		for each image:
 *	 "endpoints":[{"url","ca","insecure"}],		{"event":"image", "digest", "manifest_digest",
 *	 "auth_bytes", limits}				 "config", "names":[], "layers":[{"digest","size",
 *	   then auth_bytes bytes: the six strings	 "diff_id","chain_id"}]}
 *	   of AuthConfig, each ended by NUL		{"event":"progress","layer","done"}
 *	{"op":"import", limits}				{"event":"layer","layer","dir","disk","inodes"}
 *	{"op":"fetch","layers":[0,2]}			{"event":"fetched"}		after each "fetch"
 *	{"op":"next"}					{"event":"end"}			after the last image
 *							{"event":"error","kind","sys","message"}   and it ends
 *
 * Credentials are never part of a document: they go from the caller's memory into the socket, and are wiped
 * at the other end. The worker is not trusted: what it sends is checked like any input. */
#ifndef HULL_IMAGE_WIRE_H
#define HULL_IMAGE_WIRE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "codec/json.h"

#define WIRE_LINE_MAX (40U << 20) /* a manifest and a config, escaped */
#define WIRE_AUTH_MAX (256U << 10)

struct wire {
	int fd;
	struct buf in;
	size_t scanned; /* of in: no line end up to there */
};
void wire_done(struct wire *w); /* does not close the fd */
DEFINE_CLEANUP_VALUE(struct wire, wire_done)

/* Fails: SYS. */
int wire_send_doc(struct wire *w, struct json_object *doc, struct error *e) MUST_USE;
int wire_send_bytes(struct wire *w, const void *data, size_t n, struct error *e) MUST_USE;

/* Wait until input is there or cancel_fd (or -1) is readable. Fails: CANCELED, TIMEOUT, SYS. */
int wire_wait(struct wire *w, int cancel_fd, int64_t deadline_ns, struct error *e) MUST_USE;
/* The next document: 1, or 0 at the end of the stream. Blocks like wire_wait().
 * Fails: as that, LIMIT, INVALID (no JSON object). */
int wire_receive(struct wire *w, int cancel_fd, int64_t deadline_ns, struct json_object **ret,
		 struct error *e) MUST_USE;
/* Exactly n bytes; blocks. Fails: CORRUPT (the stream ends before), SYS. */
int wire_receive_bytes(struct wire *w, void *data, size_t n, struct error *e) MUST_USE;

#endif
