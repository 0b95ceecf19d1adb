/* SPDX-License-Identifier: Apache-2.0 */
/* The order: read the request with its credentials, read the CA files, confine, and only then meet the
 * network. For each image: read manifest and config, offer them to hulld, fetch the layers that it asks for.
 * A layer is fetched by a thread that streams it into a pipe; at its other end a process of the unpacker
 * checks, inflates and writes it. Up to PARALLEL layers at a time. */
#include "image/fetcher.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/auth.h"
#include "image/confine.h"
#include "image/fetcher.h"
#include "image/http.h"
#include "image/jobs.h"
#include "image/manifest.h"
#include "image/registry.h"
#include "image/source.h"
#include "image/wire.h"

#define PARALLEL 3
#define PIPE_BYTES (1 << 20)
#define CA_MAX_BYTES (8U << 20)
#define PROGRESS_NS (100 * NS_PER_MS)
#define ENDPOINTS_MAX 64

struct fetcher {
	struct wire wire;
	pthread_mutex_t lock; /* of the wire's output, next_number and jobs_sock */
	int jobs_sock;
	uint32_t next_number;
	uint64_t max_bytes, reserve_bytes;
	bool is_zlib;
	/* a pull */
	char *path, *reference;
	struct registry_endpoint *endpoints;
	size_t endpoint_count, first_endpoint; /* the one that had the manifest */
	struct auth auth;
	struct http_ca *cas;
	struct http_opts http;
	/* an import */
	int layers_dfd, source_fd;
	struct layout *layout;
	/* the image at hand */
	struct source_image image;
};

/* One {"op":"fetch"}. */
struct batch {
	struct fetcher *f;
	size_t *layers, count, next;
	pthread_mutex_t lock; /* of next and error */
	struct error error;   /* the first */
};

static int send_event(struct fetcher *f, struct json_object *doc, struct error *e)
{
	int r;

	pthread_mutex_lock(&f->lock);
	r = wire_send_doc(&f->wire, doc, e);
	pthread_mutex_unlock(&f->lock);
	return r;
}

static struct json_object *new_event(const char *name)
{
	struct json_object *doc = json_new();

	json_put_str(doc, "event", name);
	return doc;
}

static int send_plain(struct fetcher *f, const char *name, struct error *e)
{
	cleanup_json struct json_object *doc = new_event(name);

	return send_event(f, doc, e);
}

static void send_error(struct fetcher *f, const struct error *why)
{
	cleanup_json struct json_object *doc = new_event("error");
	struct error ignored = ERROR_INIT;

	json_put_i64(doc, "kind", why->kind);
	json_put_i64(doc, "sys", why->sys);
	json_put_str(doc, "message", err_msg(why));
	if (send_event(f, doc, &ignored) < 0)
		log_debug("hulld is gone: %s", err_msg(&ignored));
}

/* ---- the request ------------------------------------------------------------------------------------ */

static int read_endpoints(struct fetcher *f, struct json_object *o, struct error *e)
{
	struct json_object *list = NULL;
	int r = json_need(json_get_array(o, "endpoints", &list, e), "endpoints", e);

	if (r < 0)
		return r;
	f->endpoint_count = json_object_array_length(list);
	if (f->endpoint_count == 0 || f->endpoint_count > ENDPOINTS_MAX)
		return err_new(e, ERR_LIMIT, "%zu endpoints", f->endpoint_count);
	f->endpoints = mem_array(f->endpoint_count, sizeof(*f->endpoints));
	for (size_t i = 0; i < f->endpoint_count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *url = "", *ca = NULL;

		if (json_get_str(item, "url", &url, e) < 0 || json_get_str(item, "ca", &ca, e) < 0 ||
		    json_get_bool(item, "insecure", &f->endpoints[i].insecure, e) < 0)
			return -e->kind;
		f->endpoints[i].url = str_dup(url);
		f->endpoints[i].ca = str_dup(ca);
	}
	return 0;
}

static int read_auth(struct fetcher *f, uint64_t n, struct error *e)
{
	const char *fields[AUTH_FIELDS];
	char *bytes, *p;
	size_t i = 0;
	int r;

	if (n > WIRE_AUTH_MAX)
		return err_new(e, ERR_LIMIT, "the credentials have more than %u bytes", WIRE_AUTH_MAX);
	bytes = mem_zalloc(n + AUTH_FIELDS);
	r = wire_receive_bytes(&f->wire, bytes, n, e);
	for (p = bytes; i < AUTH_FIELDS; i++, p += strlen(p) + (p < bytes + n))
		fields[i] = p;
	if (r == 0)
		r = auth_init(&f->auth, fields, e);
	explicit_bzero(bytes, n);
	free(bytes);
	return r;
}

static int read_cas(struct fetcher *f, struct error *e)
{
	f->cas = mem_array(f->endpoint_count + 1, sizeof(*f->cas));
	f->http.cas = f->cas;
	for (size_t i = 0; i < f->endpoint_count; i++) {
		struct http_ca *ca = &f->cas[f->http.ca_count];

		if (!f->endpoints[i].ca)
			continue;
		if (file_read(AT_FDCWD, f->endpoints[i].ca, CA_MAX_BYTES, &ca->pem, e) < 0) {
			err_ctx(e, "read the certificates for \"%s\"", f->endpoints[i].url);
			return -e->kind;
		}
		ca->path = f->endpoints[i].ca;
		f->http.ca_count++;
	}
	return 0;
}

static int read_request(struct fetcher *f, bool *ret_import, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	const char *op = "", *path = "", *reference = "";
	uint64_t auth_bytes = 0;
	int r;

	r = wire_receive(&f->wire, -1, 0, &o, e);
	if (r == 0)
		return err_new(e, ERR_INVALID, "there is no request: hull-unpack is started by hulld");
	if (r < 0 || json_get_str(o, "op", &op, e) < 0 ||
	    json_get_u64(o, "max_bytes", &f->max_bytes, e) < 0 ||
	    json_get_u64(o, "reserve_bytes", &f->reserve_bytes, e) < 0 ||
	    json_get_bool(o, "zlib", &f->is_zlib, e) < 0)
		return -e->kind;
	*ret_import = str_eq(op, "import");
	if (*ret_import)
		return 0;
	if (json_get_str(o, "path", &path, e) < 0 || json_get_str(o, "reference", &reference, e) < 0 ||
	    json_get_u64(o, "auth_bytes", &auth_bytes, e) < 0)
		return -e->kind;
	f->path = str_dup(path);
	f->reference = str_dup(reference);
	r = read_endpoints(f, o, e);
	if (r >= 0)
		r = read_auth(f, auth_bytes, e);
	return r < 0 ? r : read_cas(f, e);
}

/* ---- jobs ------------------------------------------------------------------------------------------- */

/* Start a job whose input is in_fd; ret_fd is where its result comes. */
static int start_job(struct fetcher *f, struct job *job, int in_fd, int *ret_fd, struct error *e)
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

static int finish_job(int fd, struct job_result *ret, struct error *e)
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
	cleanup_json struct json_object *doc = new_event("layer");

	json_put_u64(doc, "layer", i);
	json_put_u64(doc, "dir", job->number);
	json_put_u64(doc, "disk", result->disk_bytes);
	json_put_u64(doc, "inodes", result->inodes);
	return send_event(f, doc, e);
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
		cleanup_json struct json_object *doc = new_event("progress");

		flow->last_progress = now;
		json_put_u64(doc, "layer", flow->layer);
		json_put_u64(doc, "done", flow->done);
		return send_event(flow->f, doc, e);
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
	r = finish_job(result_fd, result, e);
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
	r = start_job(f, &job, pipe_fds[0], &result_fd, e);
	close(pipe_fds[0]);
	if (r < 0) {
		close(pipe_fds[1]);
		return r;
	}
	flow.fd = pipe_fds[1];
	r = pump(&registry, &flow, &job, result_fd, &result, e);
	return r < 0 ? r : report_layer(f, i, &job, &result, e);
}

/* Worth asking the next endpoint: the layer may be whole there. */
static bool is_endpoints_fault(int r)
{
	return r == -ERR_UNAVAILABLE || r == -ERR_NOT_FOUND || r == -ERR_CORRUPT || r == -ERR_AUTH;
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
		if (!is_endpoints_fault(r))
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
		r = start_job(f, &job, in_fd, &result_fd, e);
	if (r >= 0)
		r = finish_job(result_fd, &result, e);
	if (r < 0)
		return err_ctx(e, "layer \"%s\"", f->image.layers[i].path);
	return report_layer(f, i, &job, &result, e);
}

/* ---- a batch of layers ------------------------------------------------------------------------------ */

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

static int fetch_layers(struct fetcher *f, struct json_object *o, struct error *e)
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
	return r < 0 ? r : send_plain(f, "fetched", e);
}

/* ---- an image --------------------------------------------------------------------------------------- */

static int offer_image(struct fetcher *f, struct error *e)
{
	cleanup_json struct json_object *doc = new_event("image");
	struct json_object *layers = json_put_array(doc, "layers");
	struct source_image *s = &f->image;
	char manifest_digest[DIGEST_TEXT_SIZE];

	digest_of(buf_str(&s->manifest), s->manifest.len, manifest_digest);
	json_put_str(doc, "digest", s->digest);
	json_put_str(doc, "manifest_digest", manifest_digest);
	json_put_str(doc, "config_digest", s->config_digest);
	json_put_str(doc, "manifest", buf_str(&s->manifest));
	json_put_str(doc, "config", buf_str(&s->config));
	json_put_strv(doc, "names", &s->names);
	for (size_t i = 0; i < s->layer_count; i++) {
		struct json_object *o = json_push_object(layers);

		json_put_str(o, "digest", s->layers[i].digest ? s->layers[i].digest : s->diff_ids.v[i]);
		json_put_u64(o, "size", s->layers[i].size_bytes);
		json_put_str(o, "diff_id", s->diff_ids.v[i]);
		json_put_str(o, "chain_id", s->chain_ids.v[i]);
	}
	return send_event(f, doc, e);
}

/* Offer the image, and serve what hulld asks for, until it says "next". Returns 1 when hulld is done. */
static int serve_image(struct fetcher *f, struct error *e)
{
	int r = offer_image(f, e);

	while (r >= 0) {
		cleanup_json struct json_object *o = NULL;
		const char *op = "";

		r = wire_receive(&f->wire, -1, 0, &o, e);
		if (r <= 0)
			return r < 0 ? r : 1;
		r = json_get_str(o, "op", &op, e);
		if (r < 0 || str_eq(op, "next"))
			return r < 0 ? r : 0;
		r = fetch_layers(f, o, e);
	}
	return r;
}

/* The manifest for this host, from one endpoint. */
static int resolve_at(struct fetcher *f, struct registry *registry, struct source_image *s, struct error *e)
{
	struct platform host = platform_of_host();
	CLEANUP(descriptor_done) struct descriptor chosen = { 0 };
	CLEANUP(manifest_done) struct manifest m = { 0 };
	cleanup_free char *media = NULL;
	enum manifest_kind kind;
	char found[DIGEST_TEXT_SIZE];
	int r;

	r = registry_manifest(registry, f->reference, &s->manifest, &media, s->digest, e);
	if (r < 0)
		return r;
	r = manifest_kind_of(buf_str(&s->manifest), s->manifest.len, media, &kind, e);
	if (r >= 0 && kind == MANIFEST_INDEX) {
		r = index_choose(buf_str(&s->manifest), s->manifest.len, &host, &chosen, e);
		if (r < 0)
			return source_fault(e);
		buf_clear(&s->manifest);
		free(take_ptr(media));
		r = registry_manifest(registry, chosen.digest, &s->manifest, &media, found, e);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = manifest_parse(buf_str(&s->manifest), s->manifest.len, &m, e);
	if (r < 0)
		return source_fault(e);
	source_take_manifest(s, &m);
	r = registry_document(registry, m.config.digest, m.config.size_bytes, &s->config, e);
	return r < 0 ? r : source_read_config(s, &host, e);
}

/* Ask the endpoints in order. The last one is the registry itself: its answer is the one to give, with what
 * the mirrors said behind it. */
static int resolve(struct fetcher *f, struct error *e)
{
	CLEANUP(http_free) struct http *http = NULL;
	cleanup_buf struct buf before = BUF_INIT;
	int r = http_new(&f->http, &http, e);

	for (size_t i = 0; r >= 0 && i < f->endpoint_count; i++) {
		struct registry registry = {
			.endpoint = &f->endpoints[i], .path = f->path, .auth = &f->auth, .http = http
		};

		source_image_done(&f->image);
		err_clear(e);
		r = resolve_at(f, &registry, &f->image, e);
		if (r >= 0) {
			f->first_endpoint = i;
			return 0;
		}
		if (i + 1 == f->endpoint_count || !is_endpoints_fault(r))
			break;
		log_debug("endpoint \"%s\": %s", f->endpoints[i].url, err_msg(e));
		buf_addf(&before, "%s%.300s", before.len ? "; " : "", err_msg(e));
		r = 0;
	}
	if (before.len)
		err_hint(e, "before that: %.600s", buf_str(&before));
	return r;
}

static int pull(struct fetcher *f, struct error *e)
{
	int r = resolve(f, e);

	return r < 0 ? r : serve_image(f, e);
}

/* An archive is unpacked as a directory first: `docker save` puts its manifest behind the layers. */
static int unpack_archive(struct fetcher *f, int *ret_dfd, struct error *e)
{
	struct job job = { .kind = JOB_ARCHIVE,
			   .compression = -1,
			   .size_bytes = UINT64_MAX,
			   .max_bytes = f->max_bytes,
			   .reserve_bytes = f->reserve_bytes };
	cleanup_close int result_fd = -1;
	struct job_result result;
	char name[16];
	int r;

	r = start_job(f, &job, f->source_fd, &result_fd, e);
	if (r >= 0)
		r = finish_job(result_fd, &result, e);
	if (r < 0)
		return err_ctx(e, "unpack the archive");
	snprintf(name, sizeof(name), "%u", job.number);
	*ret_dfd = openat(f->layers_dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_dfd < 0 ? err_sys(e, "open the unpacked archive") : 0;
}

static int import(struct fetcher *f, struct error *e)
{
	struct platform host = platform_of_host();
	cleanup_close int dfd = -1;
	struct stat st;
	int r = 0;

	if (fstat(f->source_fd, &st) < 0)
		return err_sys(e, "look at what to import");
	if (S_ISDIR(st.st_mode))
		r = fd_dup(f->source_fd, &dfd, e);
	else
		r = unpack_archive(f, &dfd, e);
	if (r >= 0)
		r = layout_open(dfd, &f->layout, e);
	for (size_t i = 0; r >= 0 && i < layout_count(f->layout); i++) {
		source_image_done(&f->image);
		r = layout_image(f->layout, i, &host, &f->image, e);
		if (r >= 0)
			r = serve_image(f, e);
		if (r == 1)
			return 0;
	}
	return r < 0 ? source_fault(e) : 0;
}

static void fetcher_done(struct fetcher *f)
{
	for (size_t i = 0; i < f->http.ca_count; i++)
		buf_done(&f->cas[i].pem);
	free(f->cas);
	registry_endpoints_free(f->endpoints, f->endpoint_count);
	auth_done(&f->auth);
	layout_free(f->layout);
	source_image_done(&f->image);
	wire_done(&f->wire);
	free(f->path);
	free(f->reference);
}

int fetcher_main(int sock, int jobs_sock, int layers_dfd, int source_fd)
{
	struct fetcher f = {
		.wire.fd = sock, .jobs_sock = jobs_sock, .layers_dfd = layers_dfd, .source_fd = source_fd
	};
	int dfds[2] = { layers_dfd, source_fd };
	struct error e = ERROR_INIT;
	bool is_import = false;
	int r;

	pthread_mutex_init(&f.lock, NULL);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	r = read_request(&f, &is_import, &e);
	if (r >= 0)
		r = confine_fetcher(!is_import, dfds, is_import ? 2 : 0, &e);
	if (r >= 0)
		r = is_import ? import(&f, &e) : pull(&f, &e);
	if (r >= 0)
		r = send_plain(&f, "end", &e);
	else
		send_error(&f, &e);
	fetcher_done(&f);
	return r < 0 ? 1 : 0;
}
