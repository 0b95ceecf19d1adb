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
 * A refusal is a "trailers-only" answer (one HEADERS frame with END_STREAM). The client may still be
 * sending: RFC 9113, 8.1 lets a server then ask it to stop by RST_STREAM(NO_ERROR). That frame must not
 * be queued together with the HEADERS, because nghttp2 drops what is queued for a stream that is reset:
 * it is submitted from the frame-sent callback.
 *
 * An answer is HEADERS, DATA from the stream's queue of messages, HEADERS (trailers). While the queue is
 * empty and the stream is not finished, its data source is deferred. */
#include "proto/grpc_server.h"

#include <stdio.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define HEADER_FIELDS_MAX 64
#define HEADER_FIELDS_END 256 /* past this it is no mistake: a byte of HPACK can name 4 KiB (CVE-2016-6581) */
#define CONN_WINDOW (1024 * 1024)
/* A grpc-message larger than this would not fit into one header frame of every client. */
#define STATUS_TEXT_MAX 4096

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

/* --- headers out --- */

#define NV(n, v)                                                                     \
	((nghttp2_nv){ (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, \
		       NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE })

struct trailers {
	nghttp2_nv nv[2];
	size_t count;
	char status[4];
	struct buf text;
};

static void make_trailers(struct trailers *t, const struct grpc_stream *s)
{
	*t = (struct trailers){ .count = 1 };
	snprintf(t->status, sizeof(t->status), "%u", (unsigned)s->status & 0xff);
	t->nv[0] = (nghttp2_nv){ (uint8_t *)"grpc-status", (uint8_t *)t->status, strlen("grpc-status"),
				 strlen(t->status), NGHTTP2_NV_FLAG_NO_COPY_NAME };
	if (str_is_empty(s->status_text))
		return;
	grpc_message_escape(s->status_text, &t->text);
	t->nv[1] = (nghttp2_nv){ (uint8_t *)"grpc-message", (uint8_t *)t->text.data, strlen("grpc-message"),
				 t->text.len, NGHTTP2_NV_FLAG_NO_COPY_NAME };
	t->count = 2;
}

/* One HEADERS frame that is the whole answer. */
static void submit_trailers_only(struct grpc_stream *s, const char *http_status)
{
	nghttp2_nv nv[5] = { NV(":status", "200"), NV("content-type", "application/grpc"),
			     NV("grpc-accept-encoding", "identity") };
	struct trailers t;

	nv[0].value = (uint8_t *)http_status;
	make_trailers(&t, s);
	memcpy(nv + 3, t.nv, t.count * sizeof(*nv));
	nghttp2_submit_response(s->conn->session, s->id, nv, 3 + t.count, NULL);
	buf_done(&t.text);
	s->has_response = true;
	s->is_ending = true;
}

static void set_status(struct grpc_stream *s, enum grpc_status status, const char *text)
{
	s->is_finished = true;
	s->status = status;
	s->status_text = text && *text ? str_ndup(text, STATUS_TEXT_MAX) : NULL;
}

__attribute__((format(printf, 4, 5))) static void refuse(struct grpc_stream *s, const char *http_status,
							 enum grpc_status status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (s->state == STREAM_REFUSED)
		return;
	s->conn->incomplete--;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->state = STREAM_REFUSED;
	set_status(s, status, text);
	submit_trailers_only(s, http_status);
}

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

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
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

/* The header is complete: accept it or refuse the call. */
static void check_headers(struct grpc_stream *s)
{
	struct grpc_conn *c = s->conn;

	s->state = STREAM_BODY;
	if (s->has_bad_headers)
		refuse(s, "431", GRPC_RESOURCE_EXHAUSTED,
		       "the request header has more than %d fields or %u bytes", HEADER_FIELDS_MAX,
		       c->limits->max_header_bytes);
	else if (!s->is_post)
		refuse(s, "405", GRPC_INTERNAL, "gRPC calls use the method POST");
	else if (!s->is_grpc)
		refuse(s, "415", GRPC_INTERNAL, "the content-type is not application/grpc");
	else if (!s->has_te)
		refuse(s, "200", GRPC_INTERNAL, "the header \"te: trailers\" is missing");
	else if (s->has_bad_timeout)
		refuse(s, "200", GRPC_INVALID_ARGUMENT, "grpc-timeout is malformed");
	else if (!s->path || !c->ops->is_known(c->arg, s->path))
		refuse(s, "200", GRPC_UNIMPLEMENTED, "unknown method \"%.200s\"", s->path ? s->path : "");
	else if (c->queued > c->limits->max_queued_bytes)
		refuse(s, "200", GRPC_RESOURCE_EXHAUSTED,
		       "%zu bytes of answers wait to be read on this connection", c->queued);
}

/* --- bodies in --- */

static void give_back(struct grpc_stream *s)
{
	if (s->reserved)
		s->conn->ops->reserve(s->conn->arg, -(ssize_t)s->reserved);
	s->reserved = 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
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
		refuse(s, "200", GRPC_INVALID_ARGUMENT, "more than one message in a unary call");
		return 0;
	}
	if (!c->ops->reserve(c->arg, (ssize_t)len)) {
		refuse(s, "200", GRPC_RESOURCE_EXHAUSTED, "too many bytes of requests are on their way");
		return 0;
	}
	s->reserved += len;
	r = grpc_reader_feed(&s->in, data, len, &used, &e);
	if (r < 0)
		refuse(s, "200",
		       r == -ERR_LIMIT	       ? GRPC_RESOURCE_EXHAUSTED
		       : r == -ERR_UNSUPPORTED ? GRPC_UNIMPLEMENTED
					       : GRPC_INVALID_ARGUMENT,
		       "%s", err_msg(&e));
	else if (used < len)
		refuse(s, "200", GRPC_INVALID_ARGUMENT, "more than one message in a unary call");
	return 0;
}

static void on_request_end(struct grpc_stream *s)
{
	struct grpc_conn *c = s->conn;
	struct grpc_request req = { .path = s->path, .timeout_ns = s->timeout_ns };

	if (s->state != STREAM_BODY)
		return;
	if (!grpc_reader_is_complete(&s->in)) {
		refuse(s, "200", GRPC_INVALID_ARGUMENT, "the request ends %s",
		       grpc_reader_is_empty(&s->in) ? "without a message" : "in the middle of its message");
		return;
	}
	s->state = STREAM_READY;
	c->incomplete--;
	req.message = s->in.message;
	s->in.message = BUF_INIT;
	c->ops->on_request(c->arg, s, &req);
	buf_done(&req.message);
	give_back(s);
}

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
	give_back(s);
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
		check_headers(s);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		on_request_end(s);
	return 0;
}

/* See the theory above: only now may the client be asked to stop sending. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)arg;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

/* --- answers --- */

static void submit_trailers(struct grpc_stream *s)
{
	struct trailers t;

	make_trailers(&t, s);
	nghttp2_submit_trailer(s->conn->session, s->id, t.nv, t.count);
	buf_done(&t.text);
}

static size_t take_bytes(struct grpc_stream *s, uint8_t *to, size_t size)
{
	struct message *m;
	size_t n = 0, part;

	while (n < size && (m = s->out)) {
		part = m->bytes.len - s->out_at;
		if (part > size - n)
			part = size - n;
		memcpy(to + n, m->bytes.data + s->out_at, part);
		n += part;
		s->out_at += part;
		if (s->out_at < m->bytes.len)
			break;
		s->out = m->next;
		if (!s->out)
			s->out_end = &s->out;
		s->out_at = 0;
		buf_done(&m->bytes);
		free(m);
	}
	s->queued -= n;
	s->conn->queued -= n;
	return n;
}

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
			 nghttp2_data_source *source, void *arg)
{
	struct grpc_stream *s = source->ptr;
	struct grpc_conn *c = arg;
	size_t n = take_bytes(s, to, size);

	(void)session;
	(void)id;
	if (!s->out && s->is_finished) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		submit_trailers(s);
	} else if (n == 0) {
		s->is_deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n)
		c->ops->on_drained(c->arg, s->user, n);
	return (ssize_t)n;
}

static void start_or_resume(struct grpc_stream *s)
{
	const nghttp2_nv nv[] = { NV(":status", "200"), NV("content-type", "application/grpc") };
	nghttp2_data_provider source = { .source.ptr = s, .read_callback = read_data };

	if (!s->has_response) {
		s->has_response = true;
		nghttp2_submit_response(s->conn->session, s->id, nv, ARRAY_LEN(nv), &source);
	} else if (s->is_deferred) {
		s->is_deferred = false;
		nghttp2_session_resume_data(s->conn->session, s->id);
	}
}

void grpc_stream_set_user(struct grpc_stream *s, void *user)
{
	s->user = user;
}

void grpc_stream_send(struct grpc_stream *s, struct buf *message)
{
	struct message *m = NEW(struct message);

	grpc_prefix((uint8_t *)message->data, message->len - GRPC_PREFIX_SIZE);
	m->bytes = *message;
	*message = BUF_INIT;
	*s->out_end = m;
	s->out_end = &m->next;
	s->queued += m->bytes.len;
	s->conn->queued += m->bytes.len;
	start_or_resume(s);
}

void grpc_stream_finish(struct grpc_stream *s, enum grpc_status status, const char *message)
{
	if (s->is_finished)
		return;
	set_status(s, status, message);
	if (s->has_response || s->out)
		start_or_resume(s);
	else
		submit_trailers_only(s, "200");
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
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
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
			refuse(s, "200", GRPC_DEADLINE_EXCEEDED, "the request did not arrive in time");
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
