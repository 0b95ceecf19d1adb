/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a connection and its streams, shared by grpc_server.c (their life), grpc_server_request.c and
 * grpc_server_answer.c. */
#ifndef HULL_PROTO_GRPC_SERVER_INTERNAL_H
#define HULL_PROTO_GRPC_SERVER_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "proto/grpc_server.h"

enum stream_state { STREAM_HEADERS, STREAM_BODY, STREAM_READY, STREAM_REFUSED };

struct message {
	struct message *next;
	struct buf bytes;
};

struct grpc_stream {
	struct grpc_conn *conn;
	struct grpc_stream *next, *prev; /* all of a connection, oldest first */
	int32_t id;
	enum stream_state state;
	int64_t deadline_ns; /* of the request's arrival */

	char *path;
	uint32_t header_bytes, header_fields;
	bool is_post, is_grpc, has_te, has_bad_timeout, has_bad_headers;
	int64_t timeout_ns;
	struct grpc_reader in;
	size_t reserved;

	struct message *out, **out_end;
	size_t out_at, queued;
	bool has_response, is_finished, is_ending, is_deferred;
	enum grpc_status status;
	char *status_text;
	void *user;
};

struct grpc_conn {
	nghttp2_session *session;
	const struct grpc_server_ops *ops;
	const struct grpc_server_limits *limits;
	void *arg;
	struct grpc_stream *first, *last;
	size_t stream_count, queued;
	size_t incomplete; /* streams whose request has not arrived */
	int64_t now_ns;
	bool is_open, is_terminated;
};

/* --- grpc_server_request.c --- */

/* nghttp2's callbacks for a field of a header and for a part of a body. */
int grpc_server_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
			  size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg);
int grpc_server_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
			void *arg);

/* The header is complete: accept it or refuse the call. */
void grpc_stream_check_headers(struct grpc_stream *s);
/* The client said END_STREAM: hand the request to the owner, or refuse it. */
void grpc_stream_request_end(struct grpc_stream *s);
/* Give back the bytes that were reserved for the request. */
void grpc_stream_give_back(struct grpc_stream *s);

/* --- grpc_server_answer.c --- */

/* nghttp2's callback for a frame that was sent. */
int grpc_server_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg);

/* Answer before the request is complete; does nothing when that was done already. */
void grpc_stream_refuse(struct grpc_stream *s, const char *http_status, enum grpc_status status,
			const char *fmt, ...) PRINTF(4, 5);

#endif
