/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation
 *
 * nghttp2 sessions are not thread-safe, so all of them belong to the I/O thread. A complete request
 * becomes a struct request and goes to the workers; what they want sent comes back as outputs in a list
 * under a lock, with an eventfd that wakes epoll_wait(2). The list is taken whole, each output is given
 * to its stream, and then each touched connection is written once: the answers of calls that ended
 * together share a system call.
 *
 * Connections die at one place only (reap), after a batch of events, because later events of the batch
 * may point to them.
 *
 * Deadlines are few and coarse; the next one of all connections is computed before each wait. */
#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/request.h"
#include "daemon/server_internal.h"

#define EVENTS_MAX 64

const struct server_limits server_limits_default = {
	.max_connections = 256,
	.max_request_bytes = (size_t)64 * 1024 * 1024,
	.handshake_ns = 10 * NS_PER_S,
	.idle_ns = 3600 * NS_PER_S,
	.keepalive_ns = 300 * NS_PER_S,
	.stall_ns = 60 * NS_PER_S,
	.drain_ns = 20 * NS_PER_S,
	.cancel_ns = 5 * NS_PER_S,
	.grpc = { 1024, 16 * 1024, GRPC_MESSAGE_MAX, (size_t)64 * 1024 * 1024, 30 * NS_PER_S },
	.workers = { { 16, 256, 64 }, 4096, 2, 10 * NS_PER_S, (size_t)256 * 1024 },
};

int server_watch_fd(struct server *s, struct source *source, uint32_t events, struct error *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, source->fd, &ev) < 0)
		return err_sys(e, "watch fd %d with epoll", source->fd);
	return 0;
}

static int64_t next_deadline(const struct server *s)
{
	int64_t at = s->stop_ns;

	for (const struct conn *c = s->conns; c; c = c->next)
		at = server_sooner(at, server_conn_deadline(c));
	return at;
}

/* --- draining --- */

enum { STOP_NOTICE, STOP_LAST, STOP_CANCEL, STOP_END };

static void drain_step(struct server *s)
{
	const struct server_limits *l = &s->opts.limits;

	switch (s->stop_step++) {
	case STOP_NOTICE:
		/* What the client sent before it read the notice is still served. */
		for (struct conn *c = s->conns; c; c = c->next) {
			grpc_conn_shutdown_notice(c->grpc);
			server_conn_mark(c);
		}
		s->stop_ns = s->now_ns + 50 * NS_PER_MS;
		break;
	case STOP_LAST:
		for (struct conn *c = s->conns; c; c = c->next) {
			grpc_conn_shutdown(c->grpc);
			server_conn_mark(c);
		}
		s->stop_ns = s->now_ns + l->drain_ns;
		break;
	case STOP_CANCEL:
		if (s->request_count)
			log_warn("%u calls do not end: canceling them", s->request_count);
		for (struct request *r = s->requests; r; r = r->next) {
			request_gone(r);
			if (__atomic_load_n(&r->refs, __ATOMIC_ACQUIRE) > 1)
				workers_cancel(s->workers, &r->job);
		}
		s->stop_ns = s->now_ns + l->cancel_ns;
		break;
	default:
		break;
	}
}

static bool is_drained(const struct server *s)
{
	if (!s->stop_ns)
		return false;
	/* The last answers must also have been written: then nghttp2 wants nothing and the conn dies. */
	return s->stop_step > STOP_END || (s->stop_step > STOP_LAST && s->request_count == 0 && !s->conns);
}

void server_stop(struct server *s)
{
	if (s->stop_ns)
		return;
	for (unsigned i = 0; i < s->watch_count; i++)
		if (s->watches[i].source.kind == SOURCE_LISTEN)
			epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->watches[i].source.fd, NULL);
	log_info("stopping: %u calls run", s->request_count);
	s->stop_ns = s->now_ns ? s->now_ns : 1;
}

/* --- memory --- */

/* Every thread would get a heap of its own, and glibc would raise the size from which blocks are mapped
 * and unmapped one by one with the first 16 MiB message: both keep memory for ever. */
void server_tune_malloc(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
}

static void trim(void *arg)
{
	(void)arg;
	malloc_trim(0);
}

/* --- tasks --- */

struct task {
	struct job job;
	void (*fn)(void *arg);
	void *arg;
};

static void task_run(struct job *job, int cancel_fd)
{
	struct task *t = (struct task *)job;

	(void)cancel_fd;
	t->fn(t->arg);
}

static void task_done(struct job *job)
{
	free(job);
}

int server_run_task(struct server *s, void (*fn)(void *arg), void *arg, struct error *e)
{
	struct task *t = NEW(struct task);
	int r;

	t->job = (struct job){ .run = task_run, .done = task_done, .class = JOB_LONG };
	t->fn = fn;
	t->arg = arg;
	r = workers_submit(s->workers, &t->job, e);
	if (r < 0)
		free(t);
	return r;
}

/* --- the loop --- */

static void handle(struct server *s, const struct epoll_event *ev)
{
	struct source *source = ev->data.ptr;
	struct watch *w = (struct watch *)source;

	switch (source->kind) {
	case SOURCE_CONN:
		server_conn_event((struct conn *)source, ev->events);
		break;
	case SOURCE_LISTEN:
		server_accept_all(s, source->fd);
		break;
	case SOURCE_WATCH:
		w->fn(w->arg, source->fd);
		break;
	case SOURCE_OUTPUTS:
		server_take_outputs(s);
		break;
	}
}

/* Flush the touched connections, do what is due, bury the dead. */
static void after_batch(struct server *s)
{
	struct error e = ERROR_INIT;
	struct conn *next;

	/* First, because what it says must be flushed. */
	if (s->stop_ns && s->stop_ns <= s->now_ns)
		drain_step(s);
	for (struct conn *c = s->conns; c; c = next) {
		int64_t due = server_conn_deadline(c);

		next = c->next;
		if (due && due <= s->now_ns)
			server_conn_expire(c, s->now_ns);
		if (c->is_dirty && !c->is_dead)
			server_conn_flush(c);
		if (c->is_dead)
			server_conn_free(c);
		else
			server_conn_update_watch(c);
	}
	if (s->has_large && s->request_count == 0) {
		s->has_large = false;
		if (server_run_task(s, trim, NULL, &e) < 0)
			log_debug("memory not trimmed: %s", err_msg(&e));
	}
}

int server_run(struct server *s, struct error *e)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	s->now_ns = clock_mono_ns();
	while (!is_drained(s)) {
		n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, deadline_left_ms(next_deadline(s)));
		if (n < 0 && errno != EINTR)
			return err_sys(e, "epoll_wait");
		s->now_ns = clock_mono_ns();
		for (int i = 0; i < n; i++)
			handle(s, &events[i]);
		after_batch(s);
	}
	return 0;
}

/* --- life --- */

int server_new(const struct server_opts *opts, struct server **ret, struct error *e)
{
	CLEANUP(server_free) struct server *s = NEW(struct server);
	int r;

	s->opts = *opts;
	s->outputs_end = &s->outputs;
	pthread_mutex_init(&s->lock, NULL);
	s->wake = (struct source){ SOURCE_OUTPUTS, -1 };
	s->spare_fd = -1;
	s->now_ns = clock_mono_ns();
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return err_sys(e, "make an epoll instance");
	s->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake.fd < 0)
		return err_sys(e, "make an eventfd");
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->read_buf = mem_alloc(SERVER_READ_SIZE);
	r = server_watch_fd(s, &s->wake, EPOLLIN, e);
	if (r == 0)
		r = workers_new(&opts->limits.workers, &s->workers, e);
	if (r < 0)
		return r;
	*ret = take_ptr(s);
	return 0;
}

static int add_watch(struct server *s, enum source_kind kind, int fd, server_watch_fn fn, void *arg,
		     struct error *e)
{
	struct watch *w = &s->watches[s->watch_count];
	int r;

	if (s->watch_count == SERVER_WATCHES_MAX)
		return err_new(e, ERR_LIMIT, "more than %d file descriptors to watch", SERVER_WATCHES_MAX);
	*w = (struct watch){ { kind, fd }, fn, arg };
	r = server_watch_fd(s, &w->source, EPOLLIN, e);
	if (r == 0)
		s->watch_count++;
	return r;
}

int server_listen(struct server *s, int listen_fd, struct error *e)
{
	return add_watch(s, SOURCE_LISTEN, listen_fd, NULL, NULL, e);
}

int server_watch(struct server *s, int fd, server_watch_fn fn, void *arg, struct error *e)
{
	return add_watch(s, SOURCE_WATCH, fd, fn, arg, e);
}

bool server_is_stuck(struct server *s)
{
	int64_t until = clock_mono_ns() + NS_PER_S;

	while (workers_running_count(s->workers) > 0) {
		if (clock_mono_ns() >= until)
			return true;
		usleep(10 * 1000);
	}
	return false;
}

void server_free(struct server *s)
{
	while (s->conns)
		server_conn_free(s->conns);
	if (s->workers)
		workers_free(s->workers);
	if (s->wake.fd >= 0)
		server_take_outputs(s);
	for (unsigned i = 0; i < s->watch_count; i++)
		if (s->watches[i].source.kind == SOURCE_LISTEN)
			close(s->watches[i].source.fd);
	if (s->wake.fd >= 0)
		close(s->wake.fd);
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->read_buf);
	free(s);
}
