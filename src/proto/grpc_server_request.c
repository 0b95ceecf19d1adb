/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on their way in: the fields of the header, bounded in number and bytes, and the body, which is one
 * message. */
#include "proto/grpc_server_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define HEADER_FIELDS_MAX 64
#define HEADER_FIELDS_END 256 /* past this it is no mistake: a byte of HPACK can name 4 KiB (CVE-2016-6581) */

/* --- headers in --- */

static void on_path(struct grpc_stream *s, const char *value, size_t len)
{
	free(s->path);
	s->path = str_ndup(value, len);
}

static void on_method(struct grpc_stream *s, const char *value, size_t len)
{
	s->is_post = len == 4 && memcmp(value, "POST", 4) == 0;
}

static void on_content_type(struct grpc_stream *s, const char *value, size_t len)
{
	s->is_grpc = grpc_content_type_is_ok(value, len);
}

static void on_te(struct grpc_stream *s, const char *value, size_t len)
{
	s->has_te = len == strlen("trailers") && memcmp(value, "trailers", len) == 0;
}

static void on_timeout(struct grpc_stream *s, const char *value, size_t len)
{
	s->has_bad_timeout = grpc_timeout_parse(value, len, &s->timeout_ns, NULL) < 0;
}

static const struct {
	const char *name;
	void (*take)(struct grpc_stream *s, const char *value, size_t len);
} known_headers[] = {
	{ ":path", on_path }, { ":method", on_method },	      { "content-type", on_content_type },
	{ "te", on_te },      { "grpc-timeout", on_timeout },
};

int grpc_server_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
			  size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the rest is inflated, and not looked at */
	if (++s->header_fields > HEADER_FIELDS_END) {
		nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	if (s->state != STREAM_HEADERS)
		return 0; /* trailers of the client mean nothing to us */
	s->header_bytes += (uint32_t)(name_len + value_len + 32);
	if (s->header_fields > HEADER_FIELDS_MAX || s->header_bytes > c->limits->max_header_bytes) {
		s->has_bad_headers = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(known_headers); i++)
		if (strlen(known_headers[i].name) == name_len &&
		    memcmp(known_headers[i].name, name, name_len) == 0)
			known_headers[i].take(s, (const char *)value, value_len);
	return 0;
}

void grpc_stream_check_headers(struct grpc_stream *s)
{
	struct grpc_conn *c = s->conn;

	s->state = STREAM_BODY;
	if (s->has_bad_headers)
		grpc_stream_refuse(s, "431", GRPC_RESOURCE_EXHAUSTED,
				   "the request header has more than %d fields or %u bytes",
				   HEADER_FIELDS_MAX, c->limits->max_header_bytes);
	else if (!s->is_post)
		grpc_stream_refuse(s, "405", GRPC_INTERNAL, "gRPC calls use the method POST");
	else if (!s->is_grpc)
		grpc_stream_refuse(s, "415", GRPC_INTERNAL, "the content-type is not application/grpc");
	else if (!s->has_te)
		grpc_stream_refuse(s, "200", GRPC_INTERNAL, "the header \"te: trailers\" is missing");
	else if (s->has_bad_timeout)
		grpc_stream_refuse(s, "200", GRPC_INVALID_ARGUMENT, "grpc-timeout is malformed");
	else if (!s->path || !c->ops->is_known(c->arg, s->path))
		grpc_stream_refuse(s, "200", GRPC_UNIMPLEMENTED, "unknown method \"%.200s\"",
				   s->path ? s->path : "");
	else if (c->queued > c->limits->max_queued_bytes)
		grpc_stream_refuse(s, "200", GRPC_RESOURCE_EXHAUSTED,
				   "%zu bytes of answers wait to be read on this connection", c->queued);
}

/* --- bodies in --- */

void grpc_stream_give_back(struct grpc_stream *s)
{
	if (s->reserved)
		s->conn->ops->reserve(s->conn->arg, -(ssize_t)s->reserved);
	s->reserved = 0;
}

int grpc_server_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
			void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct error e = ERROR_INIT;
	size_t used;
	int r;

	(void)flags;
	if (!s || s->state != STREAM_BODY)
		return 0;
	if (grpc_reader_is_complete(&s->in)) {
		grpc_stream_refuse(s, "200", GRPC_INVALID_ARGUMENT, "more than one message in a unary call");
		return 0;
	}
	if (!c->ops->reserve(c->arg, (ssize_t)len)) {
		grpc_stream_refuse(s, "200", GRPC_RESOURCE_EXHAUSTED,
				   "too many bytes of requests are on their way");
		return 0;
	}
	s->reserved += len;
	r = grpc_reader_feed(&s->in, data, len, &used, &e);
	if (r < 0)
		grpc_stream_refuse(s, "200",
				   r == -ERR_LIMIT	   ? GRPC_RESOURCE_EXHAUSTED
				   : r == -ERR_UNSUPPORTED ? GRPC_UNIMPLEMENTED
							   : GRPC_INVALID_ARGUMENT,
				   "%s", err_msg(&e));
	else if (used < len)
		grpc_stream_refuse(s, "200", GRPC_INVALID_ARGUMENT, "more than one message in a unary call");
	return 0;
}

void grpc_stream_request_end(struct grpc_stream *s)
{
	struct grpc_conn *c = s->conn;
	struct grpc_request req = { .path = s->path, .timeout_ns = s->timeout_ns };

	if (s->state != STREAM_BODY)
		return;
	if (!grpc_reader_is_complete(&s->in)) {
		grpc_stream_refuse(s, "200", GRPC_INVALID_ARGUMENT, "the request ends %s",
				   grpc_reader_is_empty(&s->in) ? "without a message"
								: "in the middle of its message");
		return;
	}
	s->state = STREAM_READY;
	c->incomplete--;
	req.message = s->in.message;
	s->in.message = BUF_INIT;
	c->ops->on_request(c->arg, s, &req);
	buf_done(&req.message);
	grpc_stream_give_back(s);
}
