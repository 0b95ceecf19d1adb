/* SPDX-License-Identifier: Apache-2.0 */
/* The order: read the request with its credentials, read the CA files, confine, and only then meet the
 * network. For each image: read manifest and config, offer them to hulld, fetch the layers that it asks for
 * (fetcher_layers.c). */
#include "image/fetcher.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "image/confine.h"
#include "image/fetcher_internal.h"
#include "image/manifest.h"

/* ---- what hulld hears ------------------------------------------------------------------------------- */

int fetcher_send_event(struct fetcher *f, struct json_object *doc, struct error *e)
{
	int r;

	pthread_mutex_lock(&f->lock);
	r = wire_send_doc(&f->wire, doc, e);
	pthread_mutex_unlock(&f->lock);
	return r;
}

struct json_object *fetcher_new_event(const char *name)
{
	struct json_object *doc = json_new();

	json_put_str(doc, "event", name);
	return doc;
}

int fetcher_send_plain(struct fetcher *f, const char *name, struct error *e)
{
	cleanup_json struct json_object *doc = fetcher_new_event(name);

	return fetcher_send_event(f, doc, e);
}

static void send_error(struct fetcher *f, const struct error *why)
{
	cleanup_json struct json_object *doc = fetcher_new_event("error");
	struct error ignored = ERROR_INIT;

	json_put_i64(doc, "kind", why->kind);
	json_put_i64(doc, "sys", why->sys);
	json_put_str(doc, "message", err_msg(why));
	if (fetcher_send_event(f, doc, &ignored) < 0)
		log_debug("hulld is gone: %s", err_msg(&ignored));
}

/* ---- an image --------------------------------------------------------------------------------------- */

static int offer_image(struct fetcher *f, struct error *e)
{
	cleanup_json struct json_object *doc = fetcher_new_event("image");
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
	return fetcher_send_event(f, doc, e);
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
		r = fetcher_fetch_layers(f, o, e);
	}
	return r;
}

/* ---- a pull ----------------------------------------------------------------------------------------- */

bool fetcher_is_endpoints_fault(int r)
{
	return r == -ERR_UNAVAILABLE || r == -ERR_NOT_FOUND || r == -ERR_CORRUPT || r == -ERR_AUTH;
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
		if (i + 1 == f->endpoint_count || !fetcher_is_endpoints_fault(r))
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

/* ---- an import -------------------------------------------------------------------------------------- */

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

	r = fetcher_start_job(f, &job, f->source_fd, &result_fd, e);
	if (r >= 0)
		r = fetcher_finish_job(result_fd, &result, e);
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

/* ---- all of it -------------------------------------------------------------------------------------- */

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
	r = fetcher_read_request(&f, &is_import, &e);
	if (r >= 0)
		r = confine_fetcher(!is_import, dfds, is_import ? 2 : 0, &e);
	if (r >= 0)
		r = is_import ? import(&f, &e) : pull(&f, &e);
	if (r >= 0)
		r = fetcher_send_plain(&f, "end", &e);
	else
		send_error(&f, &e);
	fetcher_done(&f);
	return r < 0 ? 1 : 0;
}
