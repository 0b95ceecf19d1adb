/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registry.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/manifest.h"

#define TRIES 3		   /* of one request */
#define BLOB_BREAKS_MAX 10 /* broken connections of one blob */
#define RETRY_AFTER_MAX_S 10
#define SLOW_FAILURE_NS (5 * NS_PER_S)

static const char manifest_accept[] = MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST
						      ", " MEDIA_DOCKER_MANIFEST;

static void wait_ms(int64_t ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS }, NULL);
}

/* What the registry itself says: the first entry of {"errors": [{"code", "message"}]}. */
static void add_registry_words(const struct http_response *response, struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	struct json_object *errors = NULL, *first;
	const char *code = "", *message = "";

	if (json_parse_object(buf_str(&response->body), response->body.len, 0, &doc, NULL) < 0 ||
	    json_get_array(doc, "errors", &errors, NULL) <= 0)
		return;
	first = json_object_array_get_idx(errors, 0);
	if (!json_object_is_type(first, json_type_object) || json_get_str(first, "code", &code, NULL) < 0 ||
	    json_get_str(first, "message", &message, NULL) < 0)
		return;
	err_hint(e, "it says %.64s: %.200s", code, message);
}

static int status_error(const struct registry *r, const struct http_response *response, const char *what,
			struct error *e)
{
	enum err_kind kind = ERR_UNAVAILABLE;

	if (response->status == 404)
		kind = ERR_NOT_FOUND;
	else if (response->status == 401 || response->status == 403)
		kind = ERR_AUTH;
	err_new(e, kind, "registry \"%s\" answers %ld for %s of \"%s\"", r->endpoint->url, response->status,
		what, r->path);
	add_registry_words(response, e);
	return -(int)kind;
}

/* One request, authenticated when that is asked for. */
static int send_with_auth(struct registry *r, struct http_request *q, struct http_response *ret,
			  struct error *e)
{
	cleanup_free char *scope = str_fmt("repository:%s:pull", r->path);
	char *value = auth_known(r->auth, r->endpoint, scope);
	int result;

	q->authorization = value;
	result = http_send(r->http, r->endpoint, q, ret, e);
	if (result == 0 && ret->status == 401) {
		char *next = NULL;

		result =
			auth_answer(r->auth, r->http, r->endpoint, scope, ret->authenticate, value, &next, e);
		if (result == 0) {
			http_response_done(ret);
			q->authorization = next;
			result = http_send(r->http, r->endpoint, q, ret, e);
		}
		auth_wipe(next);
	}
	q->authorization = NULL;
	auth_wipe(value);
	return result < 0 ? err_ctx(e, "registry \"%s\"", r->endpoint->url) : 0;
}

static bool status_is_passing(long status)
{
	return status == 429 || status == 408 || status >= 500;
}

/* The same with a few tries, for what may pass by itself. A failure that took long is not tried again:
 * the caller has other endpoints, and a deadline. */
static int send_patiently(struct registry *r, struct http_request *q, struct http_response *ret,
			  struct error *e)
{
	for (int tries = 1;; tries++) {
		int64_t begin = clock_mono_ns();
		int64_t pause = 200 * tries;
		int result;

		err_clear(e);
		result = send_with_auth(r, q, ret, e);
		if (result < 0 && result != -ERR_UNAVAILABLE)
			return result;
		if (result == 0 && !status_is_passing(ret->status))
			return 0;
		if (tries == TRIES || clock_mono_ns() - begin > SLOW_FAILURE_NS)
			return result;
		if (ret->retry_after_s > 0)
			pause = 1000 * (int64_t)(ret->retry_after_s < RETRY_AFTER_MAX_S ? ret->retry_after_s
											: RETRY_AFTER_MAX_S);
		http_response_done(ret);
		log_debug("trying \"%s\" again in %lld ms: %s", q->url, (long long)pause, err_msg(e));
		wait_ms(pause);
	}
}

static int get_checked(struct registry *r, const char *url, const char *what, const char *accept,
		       uint64_t max_bytes, const char *digest, struct http_response *ret,
		       char ret_digest[DIGEST_TEXT_SIZE], struct error *e)
{
	struct http_request q = { .url = url, .accept = accept, .max_bytes = max_bytes };
	int result = send_patiently(r, &q, ret, e);

	if (result < 0)
		return result;
	if (ret->status != 200)
		return status_error(r, ret, what, e);
	digest_of(buf_str(&ret->body), ret->body.len, ret_digest);
	if (digest && !str_eq(digest, ret_digest))
		return err_new(e, ERR_CORRUPT,
			       "registry \"%s\" lies about %s of \"%s\": the content has digest %s, not %s",
			       r->endpoint->url, what, r->path, ret_digest, digest);
	return 0;
}

int registry_manifest(struct registry *r, const char *reference, struct buf *ret, char **ret_media,
		      char ret_digest[DIGEST_TEXT_SIZE], struct error *e)
{
	CLEANUP(http_response_done) struct http_response response = { 0 };
	cleanup_free char *url = str_fmt("%s/v2/%s/manifests/%s", r->endpoint->url, r->path, reference);
	cleanup_free char *what = str_fmt("manifest \"%s\"", reference);
	const char *digest = image_digest_is_valid(reference) ? reference : NULL;
	int result;

	result = get_checked(r, url, what, manifest_accept, MANIFEST_MAX_BYTES, digest, &response, ret_digest,
			     e);
	if (result < 0)
		return result;
	buf_add(ret, buf_str(&response.body), response.body.len);
	*ret_media = take_ptr(response.content_type);
	return 0;
}

int registry_document(struct registry *r, const char *digest, uint64_t size_bytes, struct buf *ret,
		      struct error *e)
{
	CLEANUP(http_response_done) struct http_response response = { 0 };
	cleanup_free char *url = str_fmt("%s/v2/%s/blobs/%s", r->endpoint->url, r->path, digest);
	cleanup_free char *what = str_fmt("blob \"%s\"", digest);
	char found[DIGEST_TEXT_SIZE];
	int result;

	result = get_checked(r, url, what, NULL, size_bytes, digest, &response, found, e);
	if (result < 0)
		return result;
	buf_add(ret, buf_str(&response.body), response.body.len);
	return 0;
}

/* A blob on its way, over one or more connections. */
struct blob_flow {
	struct registry *registry;
	uint64_t size_bytes, done;
	uint64_t skip;	/* bytes to drop: the server began earlier than we asked */
	bool is_placed; /* skip is known for this answer */
	struct http_response *response;
	int (*sink)(void *arg, const void *data, size_t n, struct error *e);
	void *arg;
	bool has_sink_failed;
};

/* A server may ignore a range and send all from the start (RFC 9110 14.2): what we have is skipped. */
static int place(struct blob_flow *f, struct error *e)
{
	uint64_t start = 0;

	f->is_placed = true;
	if (f->response->status == 206 && f->response->has_range)
		start = f->response->range_start;
	else if (f->response->status == 206)
		start = f->done;
	if (start > f->done)
		return err_new(e, ERR_UNAVAILABLE,
			       "registry \"%s\" was asked for bytes from %llu and sends them from %llu",
			       f->registry->endpoint->url, (unsigned long long)f->done,
			       (unsigned long long)start);
	f->skip = f->done - start;
	return 0;
}

static int blob_sink(void *arg, const void *data, size_t n, struct error *e)
{
	struct blob_flow *f = arg;
	const char *p = data;
	int r;

	if (!f->is_placed) {
		r = place(f, e);
		if (r < 0)
			return r;
	}
	if (f->skip > 0) {
		size_t drop = f->skip < n ? (size_t)f->skip : n;

		f->skip -= drop;
		p += drop;
		n -= drop;
	}
	if (n == 0)
		return 0;
	if (n > f->size_bytes - f->done)
		return err_new(e, ERR_CORRUPT,
			       "registry \"%s\" lies about the size of the blob: more than %llu bytes come",
			       f->registry->endpoint->url, (unsigned long long)f->size_bytes);
	r = f->sink(f->arg, p, n, e);
	if (r < 0) {
		f->has_sink_failed = true;
		return r;
	}
	f->done += n;
	return 0;
}

/* What became of one connection: 1 all is there, 0 go on at flow->done, or a negative kind. */
static int blob_step(struct blob_flow *f, const char *url, const char *digest, struct error *e)
{
	CLEANUP(http_response_done) struct http_response response = { 0 };
	struct http_request q = { .url = url, .sink = blob_sink, .sink_arg = f, .range_from = f->done };
	int result;

	f->response = &response;
	f->is_placed = false;
	err_clear(e);
	result = send_with_auth(f->registry, &q, &response, e);
	if (f->has_sink_failed || (result < 0 && result != -ERR_UNAVAILABLE))
		return result;
	if (result == 0 && response.status / 100 != 2) {
		result = status_error(f->registry, &response, digest, e);
		return status_is_passing(response.status) ? 0 : result;
	}
	if (f->done == f->size_bytes)
		return 1;
	if (result == 0)
		err_new(e, ERR_UNAVAILABLE, "registry \"%s\" ends the blob early",
			f->registry->endpoint->url);
	return 0;
}

int registry_blob(struct registry *r, const char *digest, uint64_t size_bytes,
		  int (*sink)(void *arg, const void *data, size_t n, struct error *e), void *arg,
		  struct error *e)
{
	cleanup_free char *url = str_fmt("%s/v2/%s/blobs/%s", r->endpoint->url, r->path, digest);
	struct blob_flow flow = { .registry = r, .size_bytes = size_bytes, .sink = sink, .arg = arg };
	int in_vain = 0;

	for (int breaks = 0;; breaks++) {
		int64_t begin = clock_mono_ns();
		uint64_t before = flow.done;
		int result = blob_step(&flow, url, digest, e);

		if (result != 0)
			return result < 0 ? result : 0;
		in_vain = flow.done > before ? 0 : in_vain + 1;
		if (breaks == BLOB_BREAKS_MAX || in_vain == TRIES ||
		    (in_vain && clock_mono_ns() - begin > SLOW_FAILURE_NS))
			return err_ctx(e, "blob %s: %llu of %llu bytes came over %d connections", digest,
				       (unsigned long long)flow.done, (unsigned long long)size_bytes,
				       breaks + 1);
		log_debug("blob %s: going on at byte %llu: %s", digest, (unsigned long long)flow.done,
			  err_msg(e));
		wait_ms(100 * (breaks + 1));
	}
}
