/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/grpc_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/pb.h"

#define WINDOW (4 * 1024 * 1024)

/* The call that runs. */
struct running {
	const struct grpc_call *call;
	int32_t stream_id;
	struct buf request; /* with prefix */
	size_t request_at;
	struct grpc_reader reader;
	bool has_status, is_closed, is_refused; /* refused: not gRPC at all */
	int status, http_status;
	uint32_t reset_code;
	struct buf message;
	int result; /* of on_message or of the reader; its error: */
	struct error *e;
};

struct grpc_client {
	int fd;
	nghttp2_session *session;
	struct buf out;
	size_t out_at;
	struct running *running;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static const enum err_kind kinds[GRPC_STATUS_COUNT] = {
	[GRPC_CANCELLED] = ERR_CANCELED,	[GRPC_UNKNOWN] = ERR_INTERNAL,
	[GRPC_INVALID_ARGUMENT] = ERR_INVALID,	[GRPC_DEADLINE_EXCEEDED] = ERR_TIMEOUT,
	[GRPC_NOT_FOUND] = ERR_NOT_FOUND,	[GRPC_ALREADY_EXISTS] = ERR_EXISTS,
	[GRPC_PERMISSION_DENIED] = ERR_DENIED,	[GRPC_RESOURCE_EXHAUSTED] = ERR_LIMIT,
	[GRPC_FAILED_PRECONDITION] = ERR_STATE, [GRPC_ABORTED] = ERR_STATE,
	[GRPC_OUT_OF_RANGE] = ERR_INVALID,	[GRPC_UNIMPLEMENTED] = ERR_UNSUPPORTED,
	[GRPC_INTERNAL] = ERR_INTERNAL,		[GRPC_UNAVAILABLE] = ERR_UNAVAILABLE,
	[GRPC_DATA_LOSS] = ERR_CORRUPT,		[GRPC_UNAUTHENTICATED] = ERR_AUTH,
};

enum err_kind grpc_kind_of_status(int status)
{
	if (status < 0 || status >= GRPC_STATUS_COUNT)
		return ERR_INTERNAL;
	return kinds[status];
}

static struct running *running_of(struct grpc_client *c, int32_t stream_id)
{
	return c->running && c->running->stream_id == stream_id ? c->running : NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct running *r = running_of(arg, frame->hd.stream_id);
	const char *text = (const char *)value;

	(void)session;
	(void)flags;
	if (!r)
		return 0;
	if (name_len == 11 && memcmp(name, "grpc-status", 11) == 0) {
		r->has_status = true;
		r->status = grpc_status_parse(text, value_len);
	} else if (name_len == 12 && memcmp(name, "grpc-message", 12) == 0) {
		buf_clear(&r->message);
		grpc_message_unescape(text, value_len, &r->message);
	} else if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
		r->http_status = atoi(text);
	} else if (name_len == 12 && memcmp(name, "content-type", 12) == 0) {
		r->is_refused = !grpc_content_type_is_ok(text, value_len);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
		   void *arg)
{
	struct running *r = running_of(arg, id);
	size_t used;

	(void)session;
	(void)flags;
	while (r && r->result == 0 && len > 0) {
		r->result = grpc_reader_feed(&r->reader, data, len, &used, r->e);
		if (r->result < 0)
			break;
		data += used;
		len -= used;
		if (!grpc_reader_is_complete(&r->reader))
			continue;
		if (r->call->on_message)
			r->result = r->call->on_message(r->call->arg, buf_str(&r->reader.message),
							r->reader.message.len, r->e);
		grpc_reader_next(&r->reader);
	}
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct running *r = running_of(arg, id);

	(void)session;
	if (r) {
		r->is_closed = true;
		r->reset_code = code;
	}
	return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
			    nghttp2_data_source *source, void *arg)
{
	struct running *r = source->ptr;
	size_t n = r->request.len - r->request_at;

	(void)session;
	(void)id;
	(void)arg;
	if (n > size)
		n = size;
	memcpy(to, r->request.data + r->request_at, n);
	r->request_at += n;
	if (r->request_at == r->request.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int session_new(struct grpc_client *c, struct error *e)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
	};
	nghttp2_session_callbacks *cb;
	int r = nghttp2_session_callbacks_new(&cb);

	if (r == 0) {
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		r = nghttp2_session_client_new(&c->session, cb, c);
		nghttp2_session_callbacks_del(cb);
	}
	if (r == 0)
		r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	if (r == 0)
		r = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
	return r == 0 ? 0 : err_new(e, ERR_INTERNAL, "make an HTTP/2 session: %s", nghttp2_strerror(r));
}

static int connect_error(const char *path, struct error *e)
{
	switch (errno) {
	case ENOENT:
	case ECONNREFUSED:
		err_sysk(e, ERR_UNAVAILABLE, errno, "connect to \"%s\"", path);
		return err_hint(e, "is hulld running?");
	case EACCES:
	case EPERM:
		return err_sysk(e, ERR_DENIED, errno, "connect to \"%s\"", path);
	default:
		return err_sys(e, "connect to \"%s\"", path);
	}
}

int grpc_client_connect(const char *path, struct grpc_client **ret, struct error *e)
{
	CLEANUP(grpc_client_free) struct grpc_client *c = NEW(struct grpc_client);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	c->fd = -1;
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(e, ERR_INVALID, "socket path \"%.200s\" is longer than %zu bytes", path,
			       sizeof(addr.sun_path) - 1);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return err_sys(e, "make a socket");
	if (connect(c->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return connect_error(path, e);
	r = session_new(c, e);
	if (r < 0)
		return r;
	*ret = take_ptr(c);
	return 0;
}

void grpc_client_free(struct grpc_client *c)
{
	if (!c)
		return;
	if (c->session)
		nghttp2_session_del(c->session);
	if (c->fd >= 0)
		close(c->fd);
	buf_done(&c->out);
	free(c);
}

static int lost(struct grpc_client *c, struct error *e)
{
	return err_new(e, ERR_UNAVAILABLE, "the connection to \"%s\" was closed", c->path);
}

/* Fill out from the session; true while there is something to send. */
static bool has_output(struct grpc_client *c)
{
	const uint8_t *data;
	ssize_t n = 1;

	if (c->out_at == c->out.len) {
		buf_clear(&c->out);
		c->out_at = 0;
		while (c->out.len < 64 * 1024 && (n = nghttp2_session_mem_send(c->session, &data)) > 0)
			buf_add(&c->out, data, (size_t)n);
	}
	return c->out_at < c->out.len;
}

static int transfer(struct grpc_client *c, short events, struct error *e)
{
	uint8_t data[16 * 1024];
	ssize_t n;

	if (events & POLLOUT) {
		n = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return lost(c, e);
		c->out_at += n > 0 ? (size_t)n : 0;
	}
	if (events & (POLLIN | POLLHUP | POLLERR)) {
		n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return lost(c, e);
		n = n > 0 ? nghttp2_session_mem_recv(c->session, data, (size_t)n) : 0;
		if (n < 0)
			return err_new(e, ERR_CORRUPT, "\"%s\" does not speak HTTP/2: %s", c->path,
				       nghttp2_strerror((int)n));
	}
	return 0;
}

/* Give the call up, telling the server if it will listen. */
static void abandon(struct grpc_client *c, struct running *r)
{
	nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_CANCEL);
	if (has_output(c))
		transfer(c, POLLOUT, NULL);
}

static int run(struct grpc_client *c, struct running *r, struct error *e)
{
	struct pollfd p[2] = { { .fd = c->fd },
			       { .fd = r->call->cancel_fd > 0 ? r->call->cancel_fd : -1, .events = POLLIN } };
	int rc, n;

	while (!r->is_closed && r->result == 0) {
		p[0].events = (short)(POLLIN | (has_output(c) ? POLLOUT : 0));
		n = poll(p, 2, deadline_left_ms(r->call->deadline_ns));
		if (n < 0 && errno != EINTR)
			return err_sys(e, "wait for an answer");
		if (n > 0 && p[1].revents) {
			abandon(c, r);
			return err_new(e, ERR_CANCELED, "the call was canceled");
		}
		if (n == 0) {
			abandon(c, r);
			return err_new(e, ERR_TIMEOUT, "no answer within the deadline");
		}
		rc = n > 0 ? transfer(c, p[0].revents, e) : 0;
		/* The answer may have come whole before the connection went. */
		if (rc < 0 && !r->is_closed)
			return rc;
	}
	if (!r->is_closed)
		abandon(c, r);
	return r->result;
}

/* What the server said at the end. */
static int conclude(struct grpc_client *c, const struct running *r, struct error *e)
{
	if (r->has_status && r->status == GRPC_OK)
		return 0;
	if (r->has_status && r->message.len)
		return err_new(e, grpc_kind_of_status(r->status), "%s", r->message.data);
	if (r->has_status)
		return err_new(e, grpc_kind_of_status(r->status), "%s", grpc_status_name(r->status));
	if (r->http_status && (r->http_status != 200 || r->is_refused))
		return err_new(e, ERR_CORRUPT, "\"%s\" does not speak gRPC: HTTP status %d", c->path,
			       r->http_status);
	return err_new(e, ERR_UNAVAILABLE, "the call ended without a status: %s",
		       nghttp2_http2_strerror(r->reset_code));
}

static int submit(struct grpc_client *c, struct running *r, struct error *e)
{
	static const char *const fixed[][2] = {
		{ ":method", "POST" },
		{ ":scheme", "http" },
		{ ":path", NULL },
		{ ":authority", "localhost" },
		{ "content-type", "application/grpc" },
		{ "te", "trailers" },
		{ "user-agent", "hull/" HULL_VERSION },
		{ "grpc-timeout", NULL },
	};
	nghttp2_data_provider source = { .source.ptr = r, .read_callback = read_request };
	size_t n = r->call->deadline_ns ? ARRAY_LEN(fixed) : ARRAY_LEN(fixed) - 1;
	nghttp2_nv nv[ARRAY_LEN(fixed)];
	char timeout[GRPC_TIMEOUT_SIZE];

	grpc_timeout_format(r->call->deadline_ns - clock_mono_ns(), timeout);
	for (size_t i = 0; i < n; i++) {
		const char *value = fixed[i][1];

		if (!value)
			value = i == 2 ? r->call->path : timeout;
		nv[i] = (nghttp2_nv){ (uint8_t *)fixed[i][0], (uint8_t *)value, strlen(fixed[i][0]),
				      strlen(value), NGHTTP2_NV_FLAG_NONE };
	}
	r->stream_id = nghttp2_submit_request(c->session, NULL, nv, n, &source, NULL);
	if (r->stream_id < 0)
		return err_new(e, ERR_UNAVAILABLE, "begin a call: %s", nghttp2_strerror(r->stream_id));
	return 0;
}

int grpc_client_call(struct grpc_client *c, const struct grpc_call *call, int *ret_status, struct error *e)
{
	struct running r = { .call = call, .reader = GRPC_READER_INIT(GRPC_MESSAGE_MAX), .e = e };
	int rc;

	grpc_prefix((uint8_t *)buf_reserve(&r.request, GRPC_PREFIX_SIZE), call->request_len);
	buf_added(&r.request, GRPC_PREFIX_SIZE);
	buf_add(&r.request, call->request, call->request_len);
	rc = submit(c, &r, e);
	if (rc == 0) {
		c->running = &r;
		rc = run(c, &r, e);
		c->running = NULL;
	}
	if (rc == 0)
		rc = conclude(c, &r, e);
	if (ret_status)
		*ret_status = r.has_status ? r.status : GRPC_UNKNOWN;
	buf_done(&r.request);
	buf_done(&r.message);
	grpc_reader_done(&r.reader);
	return rc;
}

struct unary {
	struct buf response;
	bool has_response;
};

static int keep_message(void *arg, const void *data, size_t len, struct error *e)
{
	struct unary *u = arg;

	if (u->has_response)
		return err_new(e, ERR_CORRUPT, "more than one message in a unary answer");
	u->has_response = true;
	buf_add(&u->response, data, len);
	return 0;
}

int grpc_client_unary(struct grpc_client *c, const char *path, const void *request,
		      const ProtobufCMessageDescriptor *response_type, int64_t deadline_ns, struct arena *a,
		      void **ret_response, int *ret_status, struct error *e)
{
	cleanup_buf struct buf packed = BUF_INIT;
	struct unary u = { .response = BUF_INIT };
	struct grpc_call call = {
		.path = path, .deadline_ns = deadline_ns, .on_message = keep_message, .arg = &u
	};
	int r;

	r = pb_pack(request, GRPC_MESSAGE_MAX, &packed, e);
	if (r < 0)
		return r;
	call.request = packed.data;
	call.request_len = packed.len;
	r = grpc_client_call(c, &call, ret_status, e);
	if (r == 0 && !u.has_response)
		r = err_new(e, ERR_CORRUPT, "the answer has no message");
	if (r == 0 && pb_unpack(response_type, u.response.data, u.response.len, a, ret_response, e) < 0) {
		err_ctx(e, "answer");
		r = err_kind(e, ERR_CORRUPT);
	}
	buf_done(&u.response);
	return r;
}
