/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation
 *
 * nghttp2 keeps the HTTP/2 state; here stands what gRPC adds. A stream goes through these states:
 *
 *	HEADERS  begin_headers came; fields are collected and bounded
 *	BODY     the header was accepted; DATA is collected into one length-prefixed message
 *	READY    the message and END_STREAM came: on_request was called, the owner will answer
 *	REFUSED  we answered before the request was complete; further DATA is dropped
 *
 * grpc_server_request.c has the first two; what is sent, refusals too, is in grpc_server_answer.c. */
#include "proto/grpc_server.h"

#include <stdlib.h>

#include "base/mem.h"
#include "proto/grpc_server_internal.h"

#define CONN_WINDOW (1024 * 1024)

/* --- life of streams --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = NEW(struct grpc_stream);
	s->conn = c;
	s->id = frame->hd.stream_id;
	s->in = GRPC_READER_INIT(c->limits->max_message_bytes);
	s->out_end = &s->out;
	s->deadline_ns = c->now_ns + c->limits->request_timeout_ns;
	s->prev = c->last;
	*(c->last ? &c->last->next : &c->first) = s;
	c->last = s;
	c->stream_count++;
	c->incomplete++;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static void stream_free(struct grpc_stream *s)
{
	struct grpc_conn *c = s->conn;
	struct message *next;

	if (s->state == STREAM_READY)
		c->ops->on_closed(c->arg, s->user);
	if (s->state == STREAM_HEADERS || s->state == STREAM_BODY)
		c->incomplete--;
	grpc_stream_give_back(s);
	*(s->prev ? &s->prev->next : &c->first) = s->next;
	*(s->next ? &s->next->prev : &c->last) = s->prev;
	c->stream_count--;
	c->queued -= s->queued;
	for (struct message *m = s->out; m; m = next) {
		next = m->next;
		buf_done(&m->bytes);
		free(m);
	}
	grpc_reader_done(&s->in);
	free(s->path);
	free(s->status_text);
	free(s);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct grpc_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)code;
	(void)arg;
	if (s) {
		nghttp2_session_set_stream_user_data(session, id, NULL);
		stream_free(s);
	}
	return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_stream *s;

	if (frame->hd.type == NGHTTP2_SETTINGS)
		c->is_open = true;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!s)
		return 0;
	if (s->state == STREAM_HEADERS)
		grpc_stream_check_headers(s);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		grpc_stream_request_end(s);
	return 0;
}

/* --- connections --- */

static int session_new(struct grpc_conn *c, struct error *e)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->limits->max_streams },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, c->limits->max_header_bytes },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 256 * 1024 },
	};
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;
	int r;

	if (nghttp2_session_callbacks_new(&cb) < 0)
		return err_new(e, ERR_INTERNAL, "make an HTTP/2 session: out of memory");
	if (nghttp2_option_new(&option) < 0) {
		nghttp2_session_callbacks_del(cb);
		return err_new(e, ERR_INTERNAL, "make an HTTP/2 session: out of memory");
	}
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, grpc_server_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, grpc_server_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, grpc_server_on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	/* Closed streams kept for priorities are memory for nothing. */
	nghttp2_option_set_no_closed_streams(option, 1);
	r = nghttp2_session_server_new2(&c->session, cb, c, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	if (r == 0)
		r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	if (r == 0)
		r = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW);
	return r == 0 ? 0 : err_new(e, ERR_INTERNAL, "make an HTTP/2 session: %s", nghttp2_strerror(r));
}

int grpc_conn_new(const struct grpc_server_ops *ops, const struct grpc_server_limits *limits, void *arg,
		  struct grpc_conn **ret, struct error *e)
{
	CLEANUP(grpc_conn_free) struct grpc_conn *c = NEW(struct grpc_conn);
	int r;

	c->ops = ops;
	c->limits = limits;
	c->arg = arg;
	r = session_new(c, e);
	if (r < 0)
		return r;
	*ret = take_ptr(c);
	return 0;
}

void grpc_conn_free(struct grpc_conn *c)
{
	if (!c)
		return;
	/* nghttp2 calls nothing while a session is deleted. */
	if (c->session)
		nghttp2_session_del(c->session);
	while (c->first)
		stream_free(c->first);
	free(c);
}

int grpc_conn_feed(struct grpc_conn *c, const void *data, size_t len, int64_t now_ns, struct error *e)
{
	ssize_t n;

	c->now_ns = now_ns;
	n = nghttp2_session_mem_recv(c->session, data, len);
	if (n < 0)
		return err_new(e, ERR_INVALID, "HTTP/2: %s", nghttp2_strerror((int)n));
	return 0;
}

ssize_t grpc_conn_pull(struct grpc_conn *c, const uint8_t **ret_data, struct error *e)
{
	ssize_t n = nghttp2_session_mem_send(c->session, ret_data);

	if (n < 0)
		return err_new(e, ERR_INTERNAL, "HTTP/2: %s", nghttp2_strerror((int)n));
	return n;
}

bool grpc_conn_is_over(const struct grpc_conn *c)
{
	return !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session);
}

bool grpc_conn_is_open(const struct grpc_conn *c)
{
	return c->is_open;
}

size_t grpc_conn_stream_count(const struct grpc_conn *c)
{
	return c->stream_count;
}

/* All requests have the same time to arrive, and the list is in the order of their beginning: the first
 * incomplete one is due first. */
static struct grpc_stream *first_incomplete(const struct grpc_conn *c)
{
	struct grpc_stream *s = c->first;

	if (!c->incomplete)
		return NULL;
	while (s && s->state != STREAM_HEADERS && s->state != STREAM_BODY)
		s = s->next;
	return s;
}

int64_t grpc_conn_deadline(const struct grpc_conn *c)
{
	const struct grpc_stream *s = c->is_terminated ? NULL : first_incomplete(c);

	return s ? s->deadline_ns : 0;
}

void grpc_conn_expire(struct grpc_conn *c, int64_t now_ns)
{
	struct grpc_stream *s;

	while (!c->is_terminated && (s = first_incomplete(c)) && s->deadline_ns <= now_ns) {
		if (s->state == STREAM_BODY) {
			grpc_stream_refuse(s, "200", GRPC_DEADLINE_EXCEEDED,
					   "the request did not arrive in time");
			continue;
		}
		/* Inside a header block no other frame may come (RFC 9113, 4.3): the connection is stuck. */
		c->is_terminated = true;
		nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

void grpc_conn_shutdown_notice(struct grpc_conn *c)
{
	nghttp2_submit_shutdown_notice(c->session);
}

void grpc_conn_shutdown(struct grpc_conn *c)
{
	nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR, NULL, 0);
}

void grpc_conn_ping(struct grpc_conn *c)
{
	nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
}
