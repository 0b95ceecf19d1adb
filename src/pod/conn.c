/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: one request at a time, dispatched by a table, answered now or later. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "pod/monitor.h"

static int (*const handlers[OP_COUNT])(struct conn *conn, struct wire_msg *msg, struct error *e) = {
	[OP_CREATE_SANDBOX] = op_create_sandbox,
	[OP_CREATE_CONTAINER] = op_create_container,
	[OP_START] = op_start,
	[OP_STOP] = op_stop,
	[OP_KILL] = op_kill,
	[OP_DELETE] = op_delete,
	[OP_REOPEN_LOG] = op_reopen_log,
	[OP_EXEC] = op_exec,
	[OP_STATUS] = op_status,
	[OP_STOP_SANDBOX] = op_stop_sandbox,
	[OP_SUBSCRIBE] = op_subscribe,
};

struct conn *conn_waiting(struct monitor *m, struct conn *from, unsigned op, const void *subject)
{
	for (struct conn *c = from ? from->next : m->conns; c; c = c->next)
		if (c->op != 0 && (op == 0 || c->op == op) && c->subject == subject)
			return c;
	return NULL;
}

/* What is lost when the client of this connection has gone. */
static void cancel(struct conn *c)
{
	unsigned op = c->op;
	void *subject = c->subject;

	c->op = 0;
	c->subject = NULL;
	if (op == OP_EXEC)
		exec_canceled(subject);
	else if (op == OP_CREATE_CONTAINER)
		((struct container *)subject)->is_abandoned = true;
}

void conn_close(struct conn *c)
{
	struct monitor *m = c->m;

	source_close(m, &c->src);
	for (struct conn **p = &m->conns; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	m->conn_count--;
	if (c->op != 0)
		cancel(c);
	free(c);
}

void conn_reply(struct conn *c, const struct rep *rep)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	unsigned op = c->op;

	wire_encode(&o, fields_reply, rep);
	c->op = 0;
	c->subject = NULL;
	/* A full socket is a client that asks and never reads: the event loop will see it go. */
	if (wire_send(c->src.fd, op | OP_REPLY, &o) < 0) {
		log_debug("answer \"%s\": %s", wire_op_name(op) ? wire_op_name(op) : "?", strerror(errno));
		shutdown(c->src.fd, SHUT_RDWR);
	}
}

void conn_reply_error(struct conn *c, const struct error *err)
{
	struct rep rep = {
		.err_kind = err->kind, .err_sys = err->sys, .err_text = err_msg(err), .console_fd = -1
	};

	conn_reply(c, &rep);
}

static void dispatch(struct conn *c, struct wire_msg *msg)
{
	struct error err = ERROR_INIT;
	int r;

	c->op = msg->h.op;
	if (!wire_op_name(c->op))
		r = err_new(&err, ERR_UNSUPPORTED, "the monitor does not know operation %u", c->op);
	else
		r = handlers[c->op](c, msg, &err);
	if (r < 0)
		conn_reply_error(c, &err);
	else if (r == REPLY_OK)
		conn_reply(c, &REP_INIT);
}

static void on_message(struct source *s, uint32_t events)
{
	struct conn *c = container_of(s, struct conn, src);
	cleanup_wire_msg struct wire_msg msg;
	struct error err = ERROR_INIT;
	int r;

	if (c->is_subscriber && (events & EPOLLOUT))
		event_writable(c);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)))
		return;
	wire_msg_init(&msg);
	r = wire_recv(s->fd, &msg, &err);
	if (r == -ERR_STATE && err.sys == EAGAIN && !(events & (EPOLLHUP | EPOLLERR)))
		return;
	if (r <= 0 && r != -ERR_CORRUPT && r != -ERR_UNSUPPORTED && r != -ERR_LIMIT) {
		conn_close(c);
		return;
	}
	if (c->op != 0 || c->is_subscriber) { /* one request at a time: this client has lost count */
		conn_close(c);
		return;
	}
	if (r < 0) {
		c->op = msg.h.op;
		conn_reply_error(c, &err);
		return;
	}
	dispatch(c, &msg);
}

/* Only root of our own user namespace may drive us: the socket's directory is 0700 as well. */
static int check_peer(int fd, struct error *e)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return err_sys(e, "read the peer's credentials");
	if (peer.uid != 0)
		return err_new(e, ERR_DENIED, "peer process %d has uid %u, not 0", peer.pid, peer.uid);
	return 0;
}

void conn_accept(struct source *s, uint32_t events)
{
	struct monitor *m = container_of(s, struct monitor, listen);
	cleanup_close int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct error err = ERROR_INIT;
	struct conn *c;
	int r;

	(void)events;
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* Out of fds or memory: it would be reported again at once, and for ever. */
		log_error("accept a connection: %s", strerror(errno));
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
		return;
	}
	r = check_peer(fd, &err);
	if (r == 0 && m->conn_count >= CONNS_MAX)
		r = err_new(&err, ERR_LIMIT, "more than %d connections", CONNS_MAX);
	if (r < 0) {
		log_warn("connection refused: %s", err_msg(&err));
		return;
	}
	c = NEW(struct conn);
	*c = (struct conn){ .m = m, .src = SOURCE_OFF };
	if (source_add(m, &c->src, fd, EPOLLIN | EPOLLRDHUP, on_message, &err) < 0) {
		log_error("%s", err_msg(&err));
		free(c);
		return;
	}
	fd = -1;
	c->next = m->conns;
	m->conns = c;
	m->conn_count++;
}
