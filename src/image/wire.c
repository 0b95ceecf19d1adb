/* SPDX-License-Identifier: Apache-2.0 */
#include "image/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

#define PIECE_BYTES (64U << 10)

void wire_done(struct wire *w)
{
	buf_done(&w->in);
}

/* MSG_NOSIGNAL: the other side may be gone. */
int wire_send_bytes(struct wire *w, const void *data, size_t n, struct error *e)
{
	for (const char *p = data; n > 0;) {
		ssize_t sent = send(w->fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return err_sys(e, "send to the other side");
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

int wire_send_doc(struct wire *w, struct json_object *doc, struct error *e)
{
	cleanup_buf struct buf line = BUF_INIT;

	json_text(doc, false, &line);
	buf_addc(&line, '\n');
	return wire_send_bytes(w, line.data, line.len, e);
}

int wire_wait(struct wire *w, int cancel_fd, int64_t deadline_ns, struct error *e)
{
	struct pollfd fds[2] = { { .fd = w->fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };
	int n;

	do
		n = poll(fds, 2, deadline_left_ms(deadline_ns));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "wait for the image worker");
	if (n == 0)
		return err_new(e, ERR_TIMEOUT, "the time given is over");
	if (fds[1].revents)
		return err_new(e, ERR_CANCELED, "the client went away");
	return 0;
}

static int read_piece(struct wire *w, ssize_t *ret_n, struct error *e)
{
	char *to = buf_reserve(&w->in, PIECE_BYTES);
	ssize_t n;

	do
		n = recv(w->fd, to, PIECE_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ECONNRESET)
		n = 0;
	if (n < 0)
		return err_sys(e, "receive from the other side");
	buf_added(&w->in, (size_t)n);
	*ret_n = n;
	return 0;
}

int wire_receive(struct wire *w, int cancel_fd, int64_t deadline_ns, struct json_object **ret,
		 struct error *e)
{
	for (;;) {
		char *end = w->in.len > w->scanned
				    ? memchr(w->in.data + w->scanned, '\n', w->in.len - w->scanned)
				    : NULL;
		ssize_t n = 0;
		int r;

		if (end) {
			size_t len = (size_t)(end - w->in.data);

			r = json_parse_object(w->in.data, len, WIRE_LINE_MAX, ret, e);
			buf_consume(&w->in, len + 1);
			w->scanned = 0;
			return r < 0 ? r : 1;
		}
		w->scanned = w->in.len;
		if (w->in.len > WIRE_LINE_MAX)
			return err_new(e, ERR_LIMIT, "a message has more than %u bytes", WIRE_LINE_MAX);
		r = wire_wait(w, cancel_fd, deadline_ns, e);
		if (r == 0)
			r = read_piece(w, &n, e);
		if (r < 0)
			return r;
		if (n == 0)
			return 0;
	}
}

int wire_receive_bytes(struct wire *w, void *data, size_t n, struct error *e)
{
	size_t have = w->in.len < n ? w->in.len : n;

	if (have > 0) {
		memcpy(data, w->in.data, have);
		explicit_bzero(w->in.data, have);
		buf_consume(&w->in, have);
		w->scanned = 0;
	}
	if (have < n && fd_read_full(w->fd, (char *)data + have, n - have) != (ssize_t)(n - have))
		return err_new(e, ERR_CORRUPT, "the request ends early");
	return 0;
}
