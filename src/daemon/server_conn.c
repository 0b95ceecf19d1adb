/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: bytes in, bytes out, and when its time is over. Nothing here frees it but
 * server_conn_free(), see server.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/server_internal.h"

#define WRITE_SIZE ((size_t)64 * 1024)

static void conn_die(struct conn *c)
{
	c->is_dead = true;
}

static int send_out(struct conn *c)
{
	while (c->out_at < c->out.len) {
		ssize_t n = send(c->source.fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -1;
		if (n < 0) {
			if (!c->stalled_ns)
				c->stalled_ns = c->server->now_ns;
			return 0;
		}
		c->out_at += (size_t)n;
		c->stalled_ns = 0;
	}
	if (c->out.cap > SERVER_READ_SIZE)
		buf_done(&c->out);
	else
		buf_clear(&c->out);
	c->out_at = 0;
	return 0;
}

/* Write what the session has to say, until it is done or the socket is full. */
void server_conn_flush(struct conn *c)
{
	struct error e = ERROR_INIT;
	const uint8_t *data;
	ssize_t n = 1;

	c->is_dirty = false;
	while (n > 0 && !c->is_dead && !c->stalled_ns) {
		while (c->out.len < WRITE_SIZE && (n = grpc_conn_pull(c->grpc, &data, &e)) > 0)
			buf_add(&c->out, data, (size_t)n);
		if (n < 0 || send_out(c) < 0)
			conn_die(c);
	}
	if (grpc_conn_is_over(c->grpc) && c->out.len == 0)
		conn_die(c);
}

static void conn_read(struct conn *c)
{
	struct server *s = c->server;
	struct error e = ERROR_INIT;
	ssize_t n;

	n = recv(c->source.fd, s->read_buf, SERVER_READ_SIZE, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_die(c);
		return;
	}
	c->heard_ns = s->now_ns;
	c->pinged_ns = 0;
	server_conn_mark(c);
	if (grpc_conn_feed(c->grpc, s->read_buf, (size_t)n, s->now_ns, &e) < 0) {
		log_info("connection closed: %s", err_msg(&e));
		server_conn_flush(c);
		conn_die(c);
	}
}

void server_conn_event(struct conn *c, uint32_t events)
{
	if (c->is_dead)
		return;
	if (events & EPOLLOUT && c->out.len) {
		c->stalled_ns = 0;
		if (send_out(c) < 0)
			conn_die(c);
		server_conn_mark(c);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_read(c);
}

void server_conn_free(struct conn *c)
{
	struct server *s = c->server;

	grpc_conn_free(c->grpc);
	close(c->source.fd);
	buf_done(&c->out);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->conn_count--;
	free(c);
}

static int conn_new(struct server *s, int fd, struct error *e)
{
	struct conn *c = NEW(struct conn);
	int r;

	c->source = (struct source){ SOURCE_CONN, fd };
	c->server = s;
	c->accepted_ns = c->heard_ns = s->now_ns;
	r = grpc_conn_new(&server_grpc_ops, &s->opts.limits.grpc, c, &c->grpc, e);
	if (r == 0)
		r = server_watch_fd(s, &c->source, EPOLLIN, e);
	if (r < 0) {
		grpc_conn_free(c->grpc);
		free(c);
		return r;
	}
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->conn_count++;
	server_conn_mark(c);
	return 0;
}

/* Without a free fd a waiting connection would be reported for ever: one is kept to refuse it with. */
static void refuse_with_spare(struct server *s, int listen_fd)
{
	int fd;

	log_warn("connection refused: no free file descriptor");
	close(s->spare_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void server_accept_all(struct server *s, int listen_fd)
{
	struct error e = ERROR_INIT;
	int fd;

	while (!s->stop_ns) {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				refuse_with_spare(s, listen_fd);
			return;
		}
		if (s->conn_count >= s->opts.limits.max_connections) {
			log_warn("connection refused: there are %u already", s->conn_count);
			close(fd);
		} else if (conn_new(s, fd, &e) < 0) {
			log_warn("connection refused: %s", err_msg(&e));
			close(fd);
		}
	}
}

/* --- time --- */

int64_t server_conn_deadline(const struct conn *c)
{
	const struct server_limits *l = &c->server->opts.limits;
	int64_t at = grpc_conn_deadline(c->grpc);

	if (c->stalled_ns)
		at = server_sooner(at, c->stalled_ns + l->stall_ns);
	if (!grpc_conn_is_open(c->grpc))
		return server_sooner(at, c->accepted_ns + l->handshake_ns);
	if (c->pinged_ns)
		return server_sooner(at, c->pinged_ns + l->stall_ns);
	if (grpc_conn_stream_count(c->grpc) > 0)
		return server_sooner(at, c->heard_ns + l->keepalive_ns);
	return server_sooner(at, c->heard_ns + l->idle_ns);
}

void server_conn_expire(struct conn *c, int64_t now)
{
	const struct server_limits *l = &c->server->opts.limits;

	grpc_conn_expire(c->grpc, now);
	server_conn_mark(c);
	if (c->stalled_ns && now >= c->stalled_ns + l->stall_ns) {
		log_info("connection closed: the client takes no bytes");
		conn_die(c);
	} else if (!grpc_conn_is_open(c->grpc)) {
		if (now >= c->accepted_ns + l->handshake_ns) {
			log_info("connection closed: no HTTP/2 preface came in time");
			conn_die(c);
		}
	} else if (c->pinged_ns) {
		if (now >= c->pinged_ns + l->stall_ns) {
			log_info("connection closed: a ping was not answered");
			conn_die(c);
		}
	} else if (grpc_conn_stream_count(c->grpc) > 0) {
		if (now >= c->heard_ns + l->keepalive_ns) {
			c->pinged_ns = now;
			grpc_conn_ping(c->grpc);
		}
	} else if (now >= c->heard_ns + l->idle_ns) {
		if (c->is_closing)
			conn_die(c);
		/* The client gets as long again to close its side. */
		c->is_closing = true;
		c->heard_ns = now;
		grpc_conn_shutdown(c->grpc);
	}
}

void server_conn_update_watch(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &c->source };

	if (c->is_watched_out == (c->stalled_ns != 0))
		return;
	c->is_watched_out = !c->is_watched_out;
	if (c->is_watched_out)
		ev.events |= EPOLLOUT;
	epoll_ctl(c->server->epoll_fd, EPOLL_CTL_MOD, c->source.fd, &ev);
}
