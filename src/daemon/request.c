/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/arena.h"
#include "codec/pb.h"
#include "cri/convert.h"

/* What a streaming method may have on its way before it has to wait. */
#define UNSENT_MAX ((size_t)256 * 1024)
/* Calls that used more than this are followed by malloc_trim(3). */
#define LARGE_BYTES ((size_t)1024 * 1024)

struct running {
	struct call call;
	struct request *request;
};

void output_free(struct output *o)
{
	buf_done(&o->message);
	request_unref(o->request);
	free(o->text);
	free(o);
}

static void post(struct request *r, struct buf *message, bool is_end, enum grpc_status status,
		 const char *text)
{
	struct output *o = NEW(struct output);

	__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
	o->request = r;
	if (message) {
		o->message = *message;
		*message = BUF_INIT;
	}
	o->is_end = is_end;
	o->status = status;
	o->text = str_is_empty(text) ? NULL : str_dup(text);
	r->ops->post(r->ops_arg, o);
}

static void mark_large(struct request *r)
{
	__atomic_store_n(&r->is_large, true, __ATOMIC_RELAXED);
}

static int pack(struct request *r, const void *message, struct buf *b, struct error *e)
{
	static const char prefix[GRPC_PREFIX_SIZE];
	int rc;

	buf_add(b, prefix, sizeof(prefix));
	rc = pb_pack(message, GRPC_MESSAGE_MAX, b, e);
	if (b->len > LARGE_BYTES)
		mark_large(r);
	return rc;
}

/* Under r->lock: wait until there is room for more of a stream. */
static int wait_for_room(struct request *r, struct error *e)
{
	struct timespec ts = { .tv_sec = r->deadline_ns / NS_PER_S, .tv_nsec = r->deadline_ns % NS_PER_S };
	int rc = 0;

	while (!r->is_gone && r->unsent > UNSENT_MAX && rc == 0) {
		if (r->deadline_ns)
			rc = pthread_cond_timedwait(&r->changed, &r->lock, &ts);
		else
			pthread_cond_wait(&r->changed, &r->lock);
	}
	if (r->is_gone)
		return err_new(e, ERR_CANCELED, "the client gave up %s", cri_method_name(r->method));
	if (rc != 0)
		return err_new(e, ERR_TIMEOUT, "the deadline of %s passed", cri_method_name(r->method));
	return 0;
}

static int send_message(struct call *call, const void *message, struct error *e)
{
	struct request *r = ((struct running *)call)->request;
	cleanup_buf struct buf b = BUF_INIT;
	size_t len;
	int rc;

	rc = pack(r, message, &b, e);
	if (rc < 0)
		return rc;
	len = b.len;
	pthread_mutex_lock(&r->lock);
	rc = wait_for_room(r, e);
	if (rc == 0)
		r->unsent += len;
	pthread_mutex_unlock(&r->lock);
	if (rc < 0)
		return rc;
	post(r, &b, false, GRPC_OK, NULL);
	return 0;
}

static int answer(struct request *r, struct running *run, struct buf *out, struct error *e)
{
	const struct cri_method *m = r->method;
	struct arena *arena = run->call.arena;
	void *req, *resp;
	int rc;

	rc = call_check(&run->call, e);
	if (rc < 0)
		return err_ctx(e, "before it was begun");
	if (!m->fn)
		return err_new(e, ERR_UNSUPPORTED, "%s is not implemented by this version of hull",
			       cri_method_name(m));
	rc = pb_unpack(m->req, r->message.data, r->message.len, arena, &req, e);
	buf_done(&r->message);
	if (rc < 0)
		return rc;
	resp = pb_new(arena, m->resp);
	rc = m->fn(r->node, &run->call, req, resp, e);
	if (rc < 0 || m->is_stream)
		return rc;
	return pack(r, resp, out, e);
}

static void log_end(const struct request *r, int rc, const struct error *e)
{
	int64_t us = (clock_mono_ns() - r->start_ns) / 1000;
	const char *name = cri_method_name(r->method);

	if (rc >= 0)
		log_debug("%s: done in %lld us", name, (long long)us);
	else if (rc == -ERR_UNSUPPORTED || rc == -ERR_NOT_FOUND || rc == -ERR_CANCELED)
		log_debug("%s: %s: %s (%lld us)", name, err_kind_name(e->kind), err_msg(e), (long long)us);
	else
		log_warn("%s: %s: %s (%lld us)", name, err_kind_name(e->kind), err_msg(e), (long long)us);
}

/* The whole work of a call. All its memory is given back before the answer is posted: what follows the
 * answer (malloc_trim) must find it free. */
static int run_handler(struct request *r, int cancel_fd, struct buf *out, struct error *e)
{
	cleanup_arena struct arena arena = ARENA_INIT;
	struct running run = {
		.request = r,
		.call = {
			.arena = &arena,
			.deadline_ns = r->deadline_ns,
			.cancel_fd = cancel_fd,
			.method = cri_method_name(r->method),
			.send = r->method->is_stream ? send_message : NULL,
		},
	};
	int rc;

	if (r->message.len > LARGE_BYTES)
		mark_large(r);
	rc = answer(r, &run, out, e);
	if (arena.total > LARGE_BYTES)
		mark_large(r);
	return rc;
}

static void run_request(struct job *job, int cancel_fd)
{
	struct request *r = (struct request *)job;
	cleanup_buf struct buf out = BUF_INIT;
	struct error e = ERROR_INIT;
	char number[24];
	int rc;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)r->number);
	log_field("call", number);
	rc = run_handler(r, cancel_fd, &out, &e);
	log_end(r, rc, &e);
	log_field("call", NULL);
	if (rc < 0)
		post(r, NULL, true, grpc_status_of_kind((enum err_kind) - rc), err_msg(&e));
	else
		post(r, r->method->is_stream ? NULL : &out, true, GRPC_OK, NULL);
}

static void job_done(struct job *job)
{
	request_unref((struct request *)job);
}

struct request *request_new(const struct cri_method *method, struct node *node, struct buf *message,
			    int64_t deadline_ns)
{
	struct request *r = NEW(struct request);
	pthread_condattr_t monotonic;

	r->job.run = run_request;
	r->job.done = job_done;
	r->job.class = method->is_stream ? JOB_STREAM : method->is_long ? JOB_LONG : JOB_SHORT;
	r->refs = 2;
	r->method = method;
	r->node = node;
	r->message = *message;
	*message = BUF_INIT;
	r->deadline_ns = deadline_ns;
	r->start_ns = clock_mono_ns();
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return r;
}

void request_unref(struct request *r)
{
	if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	buf_done(&r->message);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void request_drained(struct request *r, size_t n)
{
	if (!r->method->is_stream)
		return;
	pthread_mutex_lock(&r->lock);
	r->unsent -= n < r->unsent ? n : r->unsent;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void request_gone(struct request *r)
{
	pthread_mutex_lock(&r->lock);
	r->is_gone = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}
