/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of gRPC over one HTTP/2 connection: bytes in, requests out; answers in, bytes out.
 * No sockets, no clocks (the caller gives the time), no threads: everything of one connection is called
 * from one thread.
 *
 * A stream lives from the moment when its request is complete (on_request) until on_closed. In between
 * its owner sends messages and finishes it; after on_closed the pointer is gone. */
#ifndef HULL_PROTO_GRPC_SERVER_H
#define HULL_PROTO_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "proto/grpc_frame.h"

struct grpc_conn;
struct grpc_stream;

struct grpc_request {
	const char *path;   /* valid during on_request */
	int64_t timeout_ns; /* grpc-timeout; 0: none */
	struct buf message; /* without its prefix; the callback may take it (buf_take) */
};

struct grpc_server_ops {
	/* Is there such a method? Asked before its body comes; false answers UNIMPLEMENTED. */
	bool (*is_known)(void *arg, const char *path);
	/* May n more bytes of incomplete requests be kept? Negative n gives bytes back. */
	bool (*reserve)(void *arg, ssize_t n);
	/* A complete request. The stream may be answered here or later. */
	void (*on_request)(void *arg, struct grpc_stream *s, struct grpc_request *req);
	/* A stream that on_request had is over: answered to the end, reset by the client, or its
	 * connection is gone. user is what grpc_stream_set_user() was given. */
	void (*on_closed)(void *arg, void *user);
	/* n bytes of an answer left its queue. */
	void (*on_drained)(void *arg, void *user, size_t n);
};

struct grpc_server_limits {
	uint32_t max_streams;	    /* concurrent calls of a connection */
	uint32_t max_header_bytes;  /* of a request, names and values */
	size_t max_message_bytes;   /* of a request */
	size_t max_queued_bytes;    /* answers that a connection does not fetch: beyond, calls are refused */
	int64_t request_timeout_ns; /* from a request's header to the end of its message */
};
#define GRPC_SERVER_LIMITS_DEFAULT                                      \
	((struct grpc_server_limits){                                   \
		.max_streams = 1024,                                    \
		.max_header_bytes = 16 * 1024,                          \
		.max_message_bytes = GRPC_MESSAGE_MAX,                  \
		.max_queued_bytes = 64 * 1024 * 1024,                   \
		.request_timeout_ns = INT64_C(30) * 1000 * 1000 * 1000, \
	})

/* ops and limits are borrowed for the life of the connection. Fails: INTERNAL. */
int grpc_conn_new(const struct grpc_server_ops *ops, const struct grpc_server_limits *limits, void *arg,
		  struct grpc_conn **ret, struct error *e) MUST_USE;
/* Ends every stream (on_closed), without a word to the peer. */
void grpc_conn_free(struct grpc_conn *c);
DEFINE_CLEANUP(struct grpc_conn, grpc_conn_free)

/* Bytes that came at now_ns. Fails: INVALID (not HTTP/2, or a fatal violation): close after sending what
 * is left. */
int grpc_conn_feed(struct grpc_conn *c, const void *data, size_t len, int64_t now_ns,
		   struct error *e) MUST_USE;
/* The next bytes to send: their count, 0 when there are none now. Valid until the next call on c.
 * Fails: INTERNAL. */
ssize_t grpc_conn_pull(struct grpc_conn *c, const uint8_t **ret_data, struct error *e);
/* Nothing more to read or write: close. */
bool grpc_conn_is_over(const struct grpc_conn *c);
/* Has the client's preface with its SETTINGS come? */
bool grpc_conn_is_open(const struct grpc_conn *c);
/* Streams not closed yet, those with incomplete requests included. */
size_t grpc_conn_stream_count(const struct grpc_conn *c);

/* The time at which grpc_conn_expire() has something to do; 0: none. */
int64_t grpc_conn_deadline(const struct grpc_conn *c);
/* Answer DEADLINE_EXCEEDED to streams whose request does not arrive. */
void grpc_conn_expire(struct grpc_conn *c, int64_t now_ns);

/* GOAWAY in two steps (RFC 9113, 6.8): first a notice that leaves room for calls on the way, then, not
 * earlier than a round trip later, the last stream that is served. */
void grpc_conn_shutdown_notice(struct grpc_conn *c);
void grpc_conn_shutdown(struct grpc_conn *c);
/* Ask for a sign of life; answered pings count as bytes that came. */
void grpc_conn_ping(struct grpc_conn *c);

void grpc_stream_set_user(struct grpc_stream *s, void *user);
/* Queue one message: message->data begins with room for the prefix (GRPC_PREFIX_SIZE bytes), which is
 * written here; the buffer is taken. */
void grpc_stream_send(struct grpc_stream *s, struct buf *message);
/* End the stream with a status; message may be NULL or "". What is queued goes first. */
void grpc_stream_finish(struct grpc_stream *s, enum grpc_status status, const char *message);
#endif
