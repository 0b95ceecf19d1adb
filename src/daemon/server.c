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
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/request.h"

#define WATCHES_MAX 8
#define EVENTS_MAX 64
#define READ_SIZE ((size_t)32 * 1024)
#define WRITE_SIZE ((size_t)64 * 1024)

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

enum source_kind { SOURCE_CONN, SOURCE_LISTEN, SOURCE_WATCH, SOURCE_OUTPUTS };

/* What epoll's data.ptr points to: the first member of everything that is waited for. */
struct source {
	enum source_kind kind;
	int fd;
};

struct watch {
	struct source source;
	server_watch_fn fn;
	void *arg;
};

struct conn {
	struct source source;
	struct server *server;
	struct conn *next, *prev;
	struct grpc_conn *grpc;
	struct buf out; /* pulled and not yet taken by the socket */
	size_t out_at;
	int64_t accepted_ns, heard_ns, stalled_ns; /* stalled_ns: since when out does not move; 0 */
	int64_t pinged_ns;			   /* a ping is out since then; 0 */
	bool is_dead, is_dirty, is_closing;
	bool is_watched_out; /* epoll reports room in the socket */
};

struct server {
	struct server_opts opts;
	struct workers *workers;
	int epoll_fd, spare_fd;
	struct watch watches[WATCHES_MAX];
	unsigned watch_count;
	struct conn *conns;
	unsigned conn_count;
	struct request *requests; /* open streams */
	unsigned request_count;
	uint64_t next_number;
	size_t request_bytes;
	int64_t now_ns;
	int64_t stop_ns; /* when the next step of draining is due; 0: serving */
	int stop_step;
	bool has_large; /* memory to give back */
	char *read_buf;

	struct source wake;
	pthread_mutex_t lock; /* of: */
	struct output *outputs, **outputs_end;
};

static int watch_fd(struct server *s, struct source *source, uint32_t events, struct error *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, source->fd, &ev) < 0)
		return err_sys(e, "watch fd %d with epoll", source->fd);
	return 0;
}

/* --- requests in, outputs back --- */

static bool is_known(void *arg, const char *path)
{
	struct conn *c = arg;

	for (size_t i = 0; i < c->server->opts.method_count; i++)
		if (strcmp(c->server->opts.methods[i].path, path) == 0)
			return true;
	return false;
}

static const struct cri_method *find_method(const struct server *s, const char *path)
{
	for (size_t i = 0; i < s->opts.method_count; i++)
		if (strcmp(s->opts.methods[i].path, path) == 0)
			return &s->opts.methods[i];
	return NULL;
}

static bool reserve(void *arg, ssize_t n)
{
	struct server *s = ((struct conn *)arg)->server;

	if (n > 0 && s->request_bytes + (size_t)n > s->opts.limits.max_request_bytes)
		return false;
	s->request_bytes += (size_t)n;
	return true;
}

static void post_output(void *arg, struct output *o)
{
	struct server *s = arg;
	uint64_t one = 1;
	bool is_first;
	ssize_t n;

	pthread_mutex_lock(&s->lock);
	is_first = !s->outputs;
	*s->outputs_end = o;
	s->outputs_end = &o->next;
	pthread_mutex_unlock(&s->lock);
	if (is_first) {
		n = write(s->wake.fd, &one, sizeof(one));
		(void)n; /* only a full counter fails, and that wakes too */
	}
}

static const struct request_ops request_ops = { .post = post_output };

static void mark_dirty(struct conn *c)
{
	c->is_dirty = true;
}

static void on_request(void *arg, struct grpc_stream *stream, struct grpc_request *req)
{
	struct conn *c = arg;
	struct server *s = c->server;
	const struct cri_method *m = find_method(s, req->path);
	int64_t deadline_ns = 0;
	struct error e = ERROR_INIT;
	struct request *r;

	if (req->timeout_ns && __builtin_add_overflow(s->now_ns, req->timeout_ns, &deadline_ns))
		deadline_ns = 0; /* beyond 292 years: none */
	r = request_new(m, s->opts.node, &req->message, deadline_ns);
	r->ops = &request_ops;
	r->ops_arg = s;
	r->number = ++s->next_number;
	r->stream = stream;
	r->conn = c;
	r->next = s->requests;
	if (r->next)
		r->next->prev = r;
	s->requests = r;
	s->request_count++;
	grpc_stream_set_user(stream, r);
	if (workers_submit(s->workers, &r->job, &e) < 0) {
		log_warn("%s refused: %s", cri_method_name(m), err_msg(&e));
		grpc_stream_finish(stream, GRPC_RESOURCE_EXHAUSTED, err_msg(&e));
		request_unref(r); /* the worker's */
	}
}

static void on_closed(void *arg, void *user)
{
	struct server *s = ((struct conn *)arg)->server;
	struct request *r = user;

	r->stream = NULL;
	r->conn = NULL;
	if (r->prev)
		r->prev->next = r->next;
	else
		s->requests = r->next;
	if (r->next)
		r->next->prev = r->prev;
	s->request_count--;
	if (__atomic_load_n(&r->is_large, __ATOMIC_RELAXED))
		s->has_large = true;
	request_gone(r);
	/* While only our reference is left, the worker is done with it. */
	if (__atomic_load_n(&r->refs, __ATOMIC_ACQUIRE) > 1)
		workers_cancel(s->workers, &r->job);
	request_unref(r);
}

static void on_drained(void *arg, void *user, size_t n)
{
	(void)arg;
	request_drained(user, n);
}

static const struct grpc_server_ops grpc_ops = {
	.is_known = is_known,
	.reserve = reserve,
	.on_request = on_request,
	.on_closed = on_closed,
	.on_drained = on_drained,
};

static void take_outputs(struct server *s)
{
	struct output *list, *next;
	uint64_t count;
	ssize_t n = read(s->wake.fd, &count, sizeof(count));

	(void)n;
	pthread_mutex_lock(&s->lock);
	list = s->outputs;
	s->outputs = NULL;
	s->outputs_end = &s->outputs;
	pthread_mutex_unlock(&s->lock);
	for (struct output *o = list; o; o = next) {
		struct request *r = o->request;

		next = o->next;
		if (r->stream) {
			mark_dirty(r->conn);
			if (o->message.len)
				grpc_stream_send(r->stream, &o->message);
			if (o->is_end)
				grpc_stream_finish(r->stream, o->status, o->text);
		}
		output_free(o);
	}
}

/* --- connections --- */

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
	if (c->out.cap > READ_SIZE)
		buf_done(&c->out);
	else
		buf_clear(&c->out);
	c->out_at = 0;
	return 0;
}

/* Write what the session has to say, until it is done or the socket is full. */
static void conn_flush(struct conn *c)
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

	n = recv(c->source.fd, s->read_buf, READ_SIZE, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_die(c);
		return;
	}
	c->heard_ns = s->now_ns;
	c->pinged_ns = 0;
	mark_dirty(c);
	if (grpc_conn_feed(c->grpc, s->read_buf, (size_t)n, s->now_ns, &e) < 0) {
		log_info("connection closed: %s", err_msg(&e));
		conn_flush(c);
		conn_die(c);
	}
}

static void conn_event(struct conn *c, uint32_t events)
{
	if (c->is_dead)
		return;
	if (events & EPOLLOUT && c->out.len) {
		c->stalled_ns = 0;
		if (send_out(c) < 0)
			conn_die(c);
		mark_dirty(c);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_read(c);
}

static void conn_free(struct conn *c)
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
	r = grpc_conn_new(&grpc_ops, &s->opts.limits.grpc, c, &c->grpc, e);
	if (r == 0)
		r = watch_fd(s, &c->source, EPOLLIN, e);
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
	mark_dirty(c);
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

static void accept_all(struct server *s, int listen_fd)
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

static int64_t sooner(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* When the next thing about this connection is due; what is due is done in conn_expire(). */
static int64_t conn_deadline(const struct conn *c)
{
	const struct server_limits *l = &c->server->opts.limits;
	int64_t at = grpc_conn_deadline(c->grpc);

	if (c->stalled_ns)
		at = sooner(at, c->stalled_ns + l->stall_ns);
	if (!grpc_conn_is_open(c->grpc))
		return sooner(at, c->accepted_ns + l->handshake_ns);
	if (c->pinged_ns)
		return sooner(at, c->pinged_ns + l->stall_ns);
	if (grpc_conn_stream_count(c->grpc) > 0)
		return sooner(at, c->heard_ns + l->keepalive_ns);
	return sooner(at, c->heard_ns + l->idle_ns);
}

static void conn_expire(struct conn *c, int64_t now)
{
	const struct server_limits *l = &c->server->opts.limits;

	grpc_conn_expire(c->grpc, now);
	mark_dirty(c);
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

static int64_t next_deadline(const struct server *s)
{
	int64_t at = s->stop_ns;

	for (const struct conn *c = s->conns; c; c = c->next)
		at = sooner(at, conn_deadline(c));
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
			mark_dirty(c);
		}
		s->stop_ns = s->now_ns + 50 * NS_PER_MS;
		break;
	case STOP_LAST:
		for (struct conn *c = s->conns; c; c = c->next) {
			grpc_conn_shutdown(c->grpc);
			mark_dirty(c);
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
		conn_event((struct conn *)source, ev->events);
		break;
	case SOURCE_LISTEN:
		accept_all(s, source->fd);
		break;
	case SOURCE_WATCH:
		w->fn(w->arg, source->fd);
		break;
	case SOURCE_OUTPUTS:
		take_outputs(s);
		break;
	}
}

/* Ask for room in the socket only while something waits for it. */
static void update_watch(struct server *s, struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &c->source };

	if (c->is_watched_out == (c->stalled_ns != 0))
		return;
	c->is_watched_out = !c->is_watched_out;
	if (c->is_watched_out)
		ev.events |= EPOLLOUT;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->source.fd, &ev);
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
		int64_t due = conn_deadline(c);

		next = c->next;
		if (due && due <= s->now_ns)
			conn_expire(c, s->now_ns);
		if (c->is_dirty && !c->is_dead)
			conn_flush(c);
		if (c->is_dead)
			conn_free(c);
		else
			update_watch(s, c);
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
	s->read_buf = mem_alloc(READ_SIZE);
	r = watch_fd(s, &s->wake, EPOLLIN, e);
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

	if (s->watch_count == WATCHES_MAX)
		return err_new(e, ERR_LIMIT, "more than %d file descriptors to watch", WATCHES_MAX);
	*w = (struct watch){ { kind, fd }, fn, arg };
	r = watch_fd(s, &w->source, EPOLLIN, e);
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
		conn_free(s->conns);
	if (s->workers)
		workers_free(s->workers);
	if (s->wake.fd >= 0)
		take_outputs(s);
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
