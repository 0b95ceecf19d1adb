/* SPDX-License-Identifier: Apache-2.0 */
/* A layer is fetched by a thread that streams it into a pipe; at its other end a process of the unpacker
 * checks, inflates and writes it. Up to PARALLEL layers at a time. */
#include "image/fetcher_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define PARALLEL 3
#define PIPE_BYTES (1 << 20)
#define PROGRESS_NS (100 * NS_PER_MS)

/* ---- jobs ------------------------------------------------------------------------------------------- */

int fetcher_start_job(struct fetcher *f, struct job *job, int in_fd, int *ret_fd, struct error *e)
{
	struct iovec iov = { .iov_base = job, .iov_len = sizeof(*job) };
	int pipe_fds[2], fds[2], r;

	r = fd_pipe(pipe_fds, e);
	if (r < 0)
		return r;
	fds[0] = in_fd;
	fds[1] = pipe_fds[1];
	pthread_mutex_lock(&f->lock);
	job->number = f->next_number++;
	r = fd_send(f->jobs_sock, &iov, 1, fds, 2);
	pthread_mutex_unlock(&f->lock);
	if (r < 0)
		r = err_sys(e, "hand a layer to the unpacker");
	close(pipe_fds[1]);
	if (r < 0)
		close(pipe_fds[0]);
	else
		*ret_fd = pipe_fds[0];
	return r;
}

int fetcher_finish_job(int fd, struct job_result *ret, struct error *e)
{
	if (fd_read_full(fd, ret, sizeof(*ret)) != (ssize_t)sizeof(*ret))
		return err_new(e, ERR_INTERNAL, "the process that unpacks it ended without a result");
	if (ret->error.kind == 0)
		return 0;
	err_import(&ret->error);
	*e = ret->error;
	return -e->kind;
}

static void fill_job(const struct fetcher *f, size_t i, struct job *job)
{
	const struct source_layer *layer = &f->image.layers[i];

	*job = (struct job){ .kind = JOB_LAYER,
			     .compression = layer->compression,
			     .is_zlib = f->is_zlib,
			     .size_bytes = layer->size_bytes,
			     .max_bytes = f->max_bytes,
			     .reserve_bytes = f->reserve_bytes };
	if (layer->digest)
		strcpy(job->digest, layer->digest);
	strcpy(job->diff_id, f->image.diff_ids.v[i]);
}

static int report_layer(struct fetcher *f, size_t i, const struct job *job, const struct job_result *result,
			struct error *e)
{
	cleanup_json struct json_object *doc = fetcher_new_event("layer");

	json_put_u64(doc, "layer", i);
	json_put_u64(doc, "dir", job->number);
	json_put_u64(doc, "disk", result->disk_bytes);
	json_put_u64(doc, "inodes", result->inodes);
	return fetcher_send_event(f, doc, e);
}

/* ---- a layer from a registry ------------------------------------------------------------------------ */

struct layer_flow {
	struct fetcher *f;
	size_t layer;
	int fd; /* write end of the pipe */
	uint64_t done;
	int64_t last_progress;
	bool is_pipe_broken;
};

static int layer_sink(void *arg, const void *data, size_t n, struct error *e)
{
	struct layer_flow *flow = arg;
	int64_t now;

	if (fd_write_full(flow->fd, data, n) < 0) {
		flow->is_pipe_broken = true;
		return err_sys(e, "hand the blob to the unpacker");
	}
	flow->done += n;
	now = clock_mono_ns();
	if (now - flow->last_progress >= PROGRESS_NS) {
		cleanup_json struct json_object *doc = fetcher_new_event("progress");

		flow->last_progress = now;
		json_put_u64(doc, "layer", flow->layer);
		json_put_u64(doc, "done", flow->done);
		return fetcher_send_event(flow->f, doc, e);
	}
	return 0;
}

/* Stream the blob through the job. When the job gave up, its word counts; when the registry did, that. */
static int pump(struct registry *registry, struct layer_flow *flow, const struct job *job, int result_fd,
		struct job_result *result, struct error *e)
{
	struct error fetch = ERROR_INIT;
	int fetched = registry_blob(registry, job->digest, job->size_bytes, layer_sink, flow, &fetch);
	int r;

	close(flow->fd);
	r = fetcher_finish_job(result_fd, result, e);
	if (fetched < 0 && !flow->is_pipe_broken) {
		*e = fetch;
		return fetched;
	}
	return r;
}

static int pull_from(struct fetcher *f, size_t i, struct http *http, const struct registry_endpoint *endpoint,
		     struct error *e)
{
	struct registry registry = { .endpoint = endpoint, .path = f->path, .auth = &f->auth, .http = http };
	struct layer_flow flow = { .f = f, .layer = i };
	struct job_result result;
	cleanup_close int result_fd = -1;
	struct job job;
	int pipe_fds[2], r;

	fill_job(f, i, &job);
	r = fd_pipe(pipe_fds, e);
	if (r < 0)
		return r;
	if (fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		log_debug("the pipe to the unpacker stays small: %s", strerror(errno));
	r = fetcher_start_job(f, &job, pipe_fds[0], &result_fd, e);
	close(pipe_fds[0]);
	if (r < 0) {
		close(pipe_fds[1]);
		return r;
	}
	flow.fd = pipe_fds[1];
	r = pump(&registry, &flow, &job, result_fd, &result, e);
	return r < 0 ? r : report_layer(f, i, &job, &result, e);
}

static int pull_layer(struct fetcher *f, size_t i, struct http *http, struct error *e)
{
	int r = 0;

	for (size_t n = 0; n < f->endpoint_count; n++) {
		size_t at = (f->first_endpoint + n) % f->endpoint_count;
		struct error last = ERROR_INIT;

		r = pull_from(f, i, http, &f->endpoints[at], &last);
		if (r >= 0)
			return 0;
		log_debug("layer %s: %s", f->image.layers[i].digest, err_msg(&last));
		/* The endpoint that had the manifest is the one whose word on the layer counts. */
		if (n == 0)
			*e = last;
		if (!fetcher_is_endpoints_fault(r))
			break;
	}
	return err_ctx(e, "layer %s", f->image.layers[i].digest);
}

static int import_layer(struct fetcher *f, size_t i, struct error *e)
{
	cleanup_close int in_fd = -1, result_fd = -1;
	struct job_result result;
	struct job job;
	int r;

	fill_job(f, i, &job);
	r = layout_layer(f->layout, &f->image.layers[i], &in_fd, e);
	if (r >= 0)
		r = fetcher_start_job(f, &job, in_fd, &result_fd, e);
	if (r >= 0)
		r = fetcher_finish_job(result_fd, &result, e);
	if (r < 0)
		return err_ctx(e, "layer \"%s\"", f->image.layers[i].path);
	return report_layer(f, i, &job, &result, e);
}

/* ---- a batch of layers ------------------------------------------------------------------------------ */

/* One {"op":"fetch"}. */
struct batch {
	struct fetcher *f;
	size_t *layers, count, next;
	pthread_mutex_t lock; /* of next and error */
	struct error error;   /* the first */
};

static bool take_layer(struct batch *b, size_t *ret)
{
	bool has_one;

	pthread_mutex_lock(&b->lock);
	has_one = b->error.kind == 0 && b->next < b->count;
	if (has_one)
		*ret = b->layers[b->next++];
	pthread_mutex_unlock(&b->lock);
	return has_one;
}

static void fail_batch(struct batch *b, const struct error *e)
{
	pthread_mutex_lock(&b->lock);
	if (b->error.kind == 0)
		b->error = *e;
	pthread_mutex_unlock(&b->lock);
}

static void *batch_thread(void *arg)
{
	struct batch *b = arg;
	CLEANUP(http_free) struct http *http = NULL;
	struct error e = ERROR_INIT;
	size_t i;

	if (!b->f->layout && http_new(&b->f->http, &http, &e) < 0) {
		fail_batch(b, &e);
		return NULL;
	}
	while (take_layer(b, &i)) {
		int r = b->f->layout ? import_layer(b->f, i, &e) : pull_layer(b->f, i, http, &e);

		if (r < 0)
			fail_batch(b, &e);
	}
	return NULL;
}

static int run_batch(struct batch *b, struct error *e)
{
	pthread_t threads[PARALLEL];
	size_t n = 0;

	pthread_mutex_init(&b->lock, NULL);
	b->error = ERROR_INIT;
	while (n < PARALLEL && n < b->count && pthread_create(&threads[n], NULL, batch_thread, b) == 0)
		n++;
	if (n == 0 && b->count > 0)
		batch_thread(b);
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&b->lock);
	if (b->error.kind == 0)
		return 0;
	*e = b->error;
	return -e->kind;
}

int fetcher_fetch_layers(struct fetcher *f, struct json_object *o, struct error *e)
{
	struct batch b = { .f = f };
	cleanup_free size_t *layers = NULL;
	struct json_object *list = NULL;
	int r = json_need(json_get_array(o, "layers", &list, e), "layers", e);

	if (r < 0)
		return r;
	b.count = json_object_array_length(list);
	b.layers = layers = mem_array(b.count + 1, sizeof(*layers));
	for (size_t i = 0; i < b.count; i++) {
		uint64_t layer;

		r = json_as_u64(json_object_array_get_idx(list, i), "layers", f->image.layer_count - 1,
				&layer, e);
		if (r < 0)
			return r;
		layers[i] = (size_t)layer;
	}
	r = run_batch(&b, e);
	return r < 0 ? r : fetcher_send_plain(f, "fetched", e);
}
