/* SPDX-License-Identifier: Apache-2.0 */
/* How an image comes, from a registry or an archive (import.c). One worker serves one pull:
 *
 *	start the worker, send the request
 *	for each image that it offers:
 *		check what it says; claim the layers that nobody has and nobody is at work on
 *		let the worker fetch the claimed ones; sync once, rename them into place
 *		wait for the layers that other pulls claimed; claim what they gave up, and again
 *		write manifest and config, record the image
 *
 * What is done with the layers is in pull_layers.c. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/pull_internal.h"

/* ---- what the worker says --------------------------------------------------------------------------- */

static int need_digest(struct json_object *o, const char *key, bool may_be_empty, const char **ret,
		       struct error *e)
{
	int r = json_need(json_get_str(o, key, ret, e), key, e);

	if (r < 0)
		return r;
	if (!image_digest_is_valid(*ret) && !(may_be_empty && !**ret))
		return err_new(e, ERR_INVALID, "\"%s\" is no digest", key);
	return 0;
}

static int read_layer(struct json_object *o, struct pull_layer *ret, struct error *e)
{
	int r = need_digest(o, "digest", false, &ret->digest, e);

	if (r >= 0)
		r = need_digest(o, "chain_id", false, &ret->chain_id, e);
	if (r >= 0)
		r = json_need(json_get_u64(o, "size", &ret->size_bytes, e), "size", e);
	return r < 0 ? r : 0;
}

/* The event "image" into p. */
static int read_image(struct pull *p, struct error *e)
{
	struct json_object *layers = NULL;
	cleanup_strv struct strv diff_ids = STRV_INIT;
	int r;

	r = need_digest(p->event, "digest", true, &p->digest, e);
	if (r >= 0)
		r = need_digest(p->event, "manifest_digest", false, &p->manifest_digest, e);
	if (r >= 0)
		r = need_digest(p->event, "config_digest", false, &p->config_digest, e);
	if (r >= 0)
		r = json_need(json_get_str(p->event, "manifest", &p->manifest, e), "manifest", e);
	if (r >= 0)
		r = json_need(json_get_str(p->event, "config", &p->config_text, e), "config", e);
	if (r >= 0)
		r = json_need(json_get_array(p->event, "layers", &layers, e), "layers", e);
	if (r >= 0)
		r = image_config_parse(p->config_text, strlen(p->config_text), &p->config, &diff_ids, e);
	if (r < 0)
		return r;
	p->layer_count = json_object_array_length(layers);
	if (p->layer_count != diff_ids.n || p->layer_count > IMAGE_LAYERS_MAX)
		return err_new(e, ERR_INVALID, "%zu layers, but %zu diff ids", p->layer_count, diff_ids.n);
	p->layers = mem_array(p->layer_count + 1, sizeof(*p->layers));
	for (size_t i = 0; i < p->layer_count; i++) {
		r = read_layer(json_object_array_get_idx(layers, i), &p->layers[i], e);
		if (r < 0)
			return err_ctx(e, "layers[%zu]", i);
	}
	return 0;
}

/* ---- the image -------------------------------------------------------------------------------------- */

static int write_blob(struct pull *p, const char *digest, const char *text, struct error *e)
{
	struct stat st;

	if (fstatat(p->im->blobs_dfd, image_digest_hex(digest), &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return file_write_atomic(p->im->blobs_dfd, image_digest_hex(digest), text, strlen(text), 0600, true,
				 e);
}

static int record(struct pull *p, const struct strv *names, struct image **ret, struct error *e)
{
	CLEANUP(image_record_done) struct image_record record = { .pulled_at = clock_wall_ns() };
	struct new_image new = {
		.id = p->config_digest, .record = &record, .config = &p->config, .names = names
	};
	int r;

	record.manifest_digest = str_dup(p->manifest_digest);
	record.size_bytes = strlen(p->config_text);
	for (size_t i = 0; i < p->layer_count; i++) {
		strv_add(&record.chain_ids, p->layers[i].chain_id);
		record.size_bytes += p->layers[i].size_bytes;
	}
	r = write_blob(p, p->manifest_digest, p->manifest, e);
	if (r >= 0)
		r = write_blob(p, p->config_digest, p->config_text, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&p->im->lock);
	r = images_add(p->im, &new, ret, e);
	pthread_mutex_unlock(&p->im->lock);
	return r;
}

void pull_forget_image(struct pull *p)
{
	pull_release(p);
	image_config_done(&p->config);
	free(take_ptr(p->layers));
	p->layer_count = 0;
	json_free(take_ptr(p->event));
}

int pull_take_image(struct pull *p, void (*names_of)(struct pull *p, const void *arg, struct strv *ret),
		    const void *arg, struct image **ret, struct error *e)
{
	cleanup_strv struct strv names = STRV_INIT;
	int r = read_image(p, e);

	if (r < 0) {
		err_ctx(e, "the image worker's answer");
		return err_kind(e, ERR_CORRUPT);
	}
	names_of(p, arg, &names);
	r = pull_get_layers(p, e);
	return r < 0 ? r : record(p, &names, ret, e);
}

int pull_next_event(struct pull *p, const char **ret_name, struct error *e)
{
	json_free(take_ptr(p->event));
	return worker_event(&p->worker, p->cancel_fd, p->deadline_ns, &p->event, ret_name, e);
}

void pull_add_limits(const struct images *im, struct json_object *o)
{
	json_put_u64(o, "max_bytes", im->max_unpacked_bytes);
	json_put_u64(o, "reserve_bytes", im->reserve_bytes);
	if (im->use_zlib)
		json_put_bool(o, "zlib", true);
}

/* ---- a pull ----------------------------------------------------------------------------------------- */

static int send_pull(struct pull *p, const struct image_ref *ref, const struct image_auth *auth,
		     struct error *e)
{
	cleanup_json struct json_object *o = json_new();
	struct json_object *list = json_put_array(o, "endpoints");
	struct registry_endpoint *endpoints;
	size_t n;
	int r;

	pthread_mutex_lock(&p->im->lock);
	registries_resolve(&p->im->registries, ref, &endpoints, &n);
	pthread_mutex_unlock(&p->im->lock);
	for (size_t i = 0; i < n; i++) {
		struct json_object *item = json_push_object(list);

		json_put_str(item, "url", endpoints[i].url);
		json_put_str(item, "ca", endpoints[i].ca);
		json_put_bool(item, "insecure", endpoints[i].insecure);
	}
	registry_endpoints_free(endpoints, n);
	json_put_str(o, "op", "pull");
	json_put_str(o, "path", ref->path);
	json_put_str(o, "reference", ref->digest ? ref->digest : ref->tag);
	json_put_u64(o, "auth_bytes", worker_auth_bytes(auth));
	pull_add_limits(p->im, o);
	r = wire_send_doc(&p->worker.wire, o, e);
	return r < 0 ? r : worker_send_auth(&p->worker, auth, e);
}

/* A tag next to a digest says nothing that was checked, so only the digest is kept then. */
static void pull_names(struct pull *p, const void *arg, struct strv *ret)
{
	const struct image_ref *ref = arg;
	cleanup_free char *name = image_ref_name(ref);

	if (!ref->digest)
		strv_take(ret, image_ref_tagged(ref));
	if (*p->digest)
		strv_addf(ret, "%s@%s", name, p->digest);
}

static int run_pull(struct pull *p, const struct images_pull *o, const struct image_ref *ref,
		    struct image **ret, struct error *e)
{
	const char *name = "";
	int r = send_pull(p, ref, o->auth, e);

	if (r >= 0)
		r = pull_next_event(p, &name, e);
	if (r < 0)
		return r;
	if (!str_eq(name, "image"))
		return err_new(e, ERR_INTERNAL, "the image worker says \"%.32s\"", name);
	return pull_take_image(p, pull_names, ref, ret, e);
}

int images_pull(struct images *im, const struct images_pull *o, struct image **ret, struct error *e)
{
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	struct pull p = { .im = im,
			  .worker = WORKER_INIT,
			  .progress = o->progress,
			  .progress_arg = o->progress_arg,
			  .cancel_fd = o->cancel_fd,
			  .deadline_ns = o->deadline_ns };
	int r;

	r = image_ref_parse(o->ref, &ref, e);
	if (r < 0)
		return r;
	if (o->auth && worker_auth_bytes(o->auth) > WIRE_AUTH_MAX)
		return err_new(e, ERR_LIMIT, "the credentials have more than %u bytes", WIRE_AUTH_MAX);
	if (o->progress)
		o->progress(o->progress_arg,
			    &(struct image_progress){ .phase = IMAGE_RESOLVE, .digest = o->ref });
	r = worker_start(&p.worker, im->helper, im->tmp_dfd, -1, e);
	if (r >= 0)
		r = run_pull(&p, o, &ref, ret, e);
	p.worker.is_done = r >= 0;
	pull_forget_image(&p);
	worker_stop(&p.worker);
	return r < 0 ? err_ctx(e, "pull image \"%s\"", o->ref) : 0;
}
