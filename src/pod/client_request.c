/* SPDX-License-Identifier: Apache-2.0 */
/* One request: a connection of its own, a message, and the answers, waited for no longer than the call
 * allows. */
#include "pod/client_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"

void client_socket_address(int pod_dfd, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", pod_dfd, MONITOR_SOCKET);
}

/* Wait until the socket is ready, the call is given up or its time is over. */
static int wait_for(const struct monitor_call *c, int sock, short events, const char *what, struct error *e)
{
	struct pollfd p[2] = { { .fd = sock, .events = events }, { .fd = c->cancel_fd, .events = POLLIN } };
	int n;

	do
		n = poll(p, c->cancel_fd >= 0 ? 2 : 1, deadline_left_ms(c->deadline_ns));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "wait for the monitor to answer \"%s\"", what);
	if (n == 0)
		return err_new(e, ERR_TIMEOUT, "the monitor did not answer \"%s\" in time", what);
	if (c->cancel_fd >= 0 && p[1].revents)
		return err_new(e, ERR_CANCELED, "the client of \"%s\" went away", what);
	return 0;
}

int client_connect(const struct monitor_call *c, int *ret_sock, struct error *e)
{
	const struct timespec pause = { .tv_nsec = NS_PER_MS };
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (sock < 0)
		return err_sys(e, "make a socket for the monitor");
	client_socket_address(c->pod_dfd, &address);
	while (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == ECONNREFUSED || errno == ENOENT)
			return err_sysk(e, ERR_UNAVAILABLE, errno, "connect to the pod's monitor");
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, "connect to the pod's monitor");
		/* Its queue of connections is full; a unix socket gives no event for that. */
		if (c->deadline_ns && deadline_left_ms(c->deadline_ns) == 0)
			return err_new(e, ERR_TIMEOUT, "the monitor did not take the connection in time");
		nanosleep(&pause, NULL);
	}
	*ret_sock = take_fd(sock);
	return 0;
}

int client_receive(const struct monitor_call *c, int sock, struct wire_msg *m, const char *what,
		   struct error *e)
{
	int r = wait_for(c, sock, POLLIN, what, e);

	if (r < 0)
		return r;
	r = wire_recv(sock, m, e);
	if (r == 0 || (r == -ERR_SYS && e->sys == ECONNRESET)) {
		err_clear(e);
		return err_new(e, ERR_UNAVAILABLE, "the monitor ended in the middle of \"%s\"", what);
	}
	return r < 0 ? err_ctx(e, "answer of the monitor to \"%s\"", what) : 0;
}

int client_read_reply(const struct wire_msg *m, unsigned op, struct rep *rep, struct error *e)
{
	int r;

	if (m->h.op != (op | OP_REPLY))
		return err_new(e, ERR_CORRUPT, "the monitor answered \"%s\" with operation %u",
			       wire_op_name(op), m->h.op);
	r = wire_decode(fields_reply, m->body, m->h.len, m->fds, m->fd_count, rep, e);
	if (r < 0)
		return err_ctx(e, "answer of the monitor to \"%s\"", wire_op_name(op));
	if (rep->err_kind == 0)
		return 0;
	if (rep->err_kind < 0 || rep->err_kind >= ERR_KIND_COUNT)
		return err_new(e, ERR_INTERNAL, "%s",
			       rep->err_text ? rep->err_text : "error of an unknown kind");
	r = err_new(e, (enum err_kind)rep->err_kind, "%s",
		    rep->err_text ? rep->err_text : "error without a text");
	if (e)
		e->sys = rep->err_sys;
	return r;
}

int client_send_request(const struct monitor_call *c, unsigned op, const struct wire_out *o, int *ret_sock,
			struct error *e)
{
	cleanup_close int sock = -1;
	int r = client_connect(c, &sock, e);

	if (r < 0)
		return r;
	if (wire_send(sock, op, o) < 0) {
		if (errno == EPIPE || errno == ECONNRESET)
			return err_new(e, ERR_UNAVAILABLE, "the monitor closed the connection before \"%s\"",
				       wire_op_name(op));
		if (errno == EMSGSIZE)
			return err_new(e, ERR_LIMIT, "\"%s\" does not fit a message to the monitor",
				       wire_op_name(op));
		return err_sys(e, "send \"%s\" to the monitor", wire_op_name(op));
	}
	*ret_sock = take_fd(sock);
	return 0;
}

int client_ask(const struct monitor_call *c, unsigned op, const struct wire_out *o, struct wire_msg *m,
	       struct rep *rep, struct error *e)
{
	cleanup_close int sock = -1;
	int r = client_send_request(c, op, o, &sock, e);

	if (r == 0)
		r = client_receive(c, sock, m, wire_op_name(op), e);
	return r < 0 ? r : client_read_reply(m, op, rep, e);
}
