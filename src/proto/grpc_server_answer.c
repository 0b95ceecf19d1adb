/* SPDX-License-Identifier: Apache-2.0 */
/* Answers on their way out.
 *
 * A refusal is a "trailers-only" answer (one HEADERS frame with END_STREAM). The client may still be
 * sending: RFC 9113, 8.1 lets a server then ask it to stop by RST_STREAM(NO_ERROR). That frame must not
 * be queued together with the HEADERS, because nghttp2 drops what is queued for a stream that is reset:
 * it is submitted from the frame-sent callback.
 *
 * An answer is HEADERS, DATA from the stream's queue of messages, HEADERS (trailers). While the queue is
 * empty and the stream is not finished, its data source is deferred. */
#include "proto/grpc_server_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* A grpc-message larger than this would not fit into one header frame of every client. */
#define STATUS_TEXT_MAX 4096

/* --- headers --- */

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

void grpc_stream_refuse(struct grpc_stream *s, const char *http_status, enum grpc_status status,
			const char *fmt, ...)
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

/* See the theory above: only now may the client be asked to stop sending. */
int grpc_server_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)arg;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

/* --- messages --- */

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
