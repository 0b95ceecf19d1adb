/* SPDX-License-Identifier: Apache-2.0 */
/* From the containers' pipes and terminals into their logs, through one small buffer for all. One read an
 * event: a container that writes without end takes turns with all others. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "pod/monitor.h"

#define READ_BYTES 8192
/* What is taken at most after a container's end, so that a process outside of it that holds its pipe and
 * writes for ever does not hold us. A pipe's capacity, several times. */
#define DRAIN_BYTES (4u << 20)

static char read_buffer[READ_BYTES];

static void stream_end(struct container *c, struct source *s, struct logstream *stream)
{
	logstream_end(stream, clock_wall_ns());
	source_close(c->m, s);
}

/* Returns whether there may be more. */
static bool read_some(struct container *c, struct source *s, struct logstream *stream, size_t *ret_n)
{
	int64_t now;
	ssize_t n;

	*ret_n = 0;
	do
		n = read(s->fd, read_buffer, sizeof(read_buffer));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) { /* a terminal whose last user is gone says EIO */
		stream_end(c, s, stream);
		return false;
	}
	now = clock_wall_ns();
	logstream_feed(stream, read_buffer, (size_t)n, now);
	log_tail_add(&c->tail, read_buffer, (size_t)n);
	*ret_n = (size_t)n;
	return true;
}

static void on_out(struct source *s, uint32_t events)
{
	struct container *c = container_of(s, struct container, out);
	size_t n;

	(void)events;
	read_some(c, s, &c->log_out, &n);
}

static void on_err(struct source *s, uint32_t events)
{
	struct container *c = container_of(s, struct container, err);
	size_t n;

	(void)events;
	read_some(c, s, &c->log_err, &n);
}

/* Takes both fds over, or none. */
int output_attach(struct container *c, int out_fd, int err_fd, struct error *e)
{
	int r;

	if (out_fd >= 0) {
		r = fd_nonblock(out_fd, e);
		if (r == 0)
			r = source_add(c->m, &c->out, out_fd, EPOLLIN, on_out, e);
		if (r < 0)
			return r;
	}
	if (err_fd >= 0) {
		r = fd_nonblock(err_fd, e);
		if (r == 0)
			r = source_add(c->m, &c->err, err_fd, EPOLLIN, on_err, e);
		if (r < 0) {
			source_forget(c->m, &c->out);
			return r;
		}
	}
	return 0;
}

int output_open(struct container *c, int ret_write[2], struct error *e)
{
	int out[2], err[2], r;

	r = fd_pipe(out, e);
	if (r < 0)
		return r;
	r = fd_pipe(err, e);
	if (r < 0) {
		close(out[0]);
		close(out[1]);
		return r;
	}
	r = output_attach(c, out[0], err[0], e);
	if (r < 0) {
		close(out[0]);
		close(out[1]);
		close(err[0]);
		close(err[1]);
		return r;
	}
	ret_write[0] = out[1];
	ret_write[1] = err[1];
	return 0;
}

static void drain_one(struct container *c, struct source *s, struct logstream *stream)
{
	size_t n, total = 0;

	while (s->fd >= 0 && total < DRAIN_BYTES && read_some(c, s, stream, &n))
		total += n;
}

void output_drain(struct container *c)
{
	drain_one(c, &c->out, &c->log_out);
	drain_one(c, &c->err, &c->log_err);
}

void output_close(struct container *c)
{
	if (c->out.fd >= 0)
		stream_end(c, &c->out, &c->log_out);
	if (c->err.fd >= 0)
		stream_end(c, &c->err, &c->log_err);
}
