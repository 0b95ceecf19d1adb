/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in, outputs back: what connects the streams of the I/O thread with the jobs of the workers. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/request.h"
#include "daemon/server_internal.h"

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

const struct grpc_server_ops server_grpc_ops = {
	.is_known = is_known,
	.reserve = reserve,
	.on_request = on_request,
	.on_closed = on_closed,
	.on_drained = on_drained,
};

void server_take_outputs(struct server *s)
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
			server_conn_mark(r->conn);
			if (o->message.len)
				grpc_stream_send(r->stream, &o->message);
			if (o->is_end)
				grpc_stream_finish(r->stream, o->status, o->text);
		}
		output_free(o);
	}
}
