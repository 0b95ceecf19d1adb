/* SPDX-License-Identifier: Apache-2.0 */
/* How an image comes, from a registry or an archive. One worker serves one pull:
 *
 *	start the worker, send the request
 *	for each image that it offers:
 *		check what it says; claim the layers that nobody has and nobody is at work on
 *		let the worker fetch the claimed ones; sync once, rename them into place
 *		wait for the layers that other pulls claimed; claim what they gave up, and again
 *		write manifest and config, record the image
 *
 * Nobody waits while having claims open, so two pulls never wait for each other. Each layer of the image is
 * pinned in memory from the claim until the image is recorded, so that no removal takes it away. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/images_store.h"
#include "image/manifest.h"
#include "image/worker.h"

#define WAIT_STEP_MS 100

struct pull_layer {
	const char *digest, *chain_id; /* borrowed from the event */
	uint64_t size_bytes;
	char dir[16]; /* in the work directory; "" not fetched by us */
	bool is_claimed, is_pinned;
};

struct pull {
	struct images *im;
	struct worker worker;
	image_progress_fn progress;
	void *progress_arg;
	int cancel_fd;
	int64_t deadline_ns;
	/* the image at hand */
	struct json_object *event;
	const char *digest, *manifest_digest, *config_digest, *manifest, *config_text;
	struct image_config config;
	struct pull_layer *layers;
	size_t layer_count;
};

static void report(struct pull *p, enum image_phase phase, size_t layer, uint64_t done)
{
	const struct pull_layer *l = &p->layers[layer];

	if (p->progress)
		p->progress(p->progress_arg, &(struct image_progress){ .phase = phase,
								       .digest = l->digest,
								       .done_bytes = done,
								       .total_bytes = l->size_bytes,
								       .layer = layer,
								       .layer_count = p->layer_count });
}

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

/* A layer was unpacked into a directory of the work directory. */
static int read_unpacked(struct pull *p, struct json_object *o, struct error *e)
{
	struct layer_record record = { 0 };
	uint64_t i = 0, dir = 0;
	struct layer *layer;
	struct stat st;

	if (json_get_u64(o, "layer", &i, e) < 0 || json_get_u64(o, "dir", &dir, e) < 0 ||
	    json_get_u64(o, "disk", &record.disk_bytes, e) < 0 ||
	    json_get_u64(o, "inodes", &record.inodes, e) < 0)
		return -e->kind;
	if (i >= p->layer_count || !p->layers[i].is_claimed || p->layers[i].dir[0] || dir > UINT32_MAX)
		return err_new(e, ERR_INVALID, "layer %llu was not asked for", (unsigned long long)i);
	snprintf(p->layers[i].dir, sizeof(p->layers[i].dir), "%llu", (unsigned long long)dir);
	if (fstatat(p->worker.work_dfd, p->layers[i].dir, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISDIR(st.st_mode))
		return err_new(e, ERR_INVALID, "layer %llu has no directory", (unsigned long long)i);
	pthread_mutex_lock(&p->im->lock);
	layer = map_get(&p->im->layers, p->layers[i].chain_id);
	layer->record = record;
	pthread_mutex_unlock(&p->im->lock);
	report(p, IMAGE_DONE, (size_t)i, p->layers[i].size_bytes);
	return 0;
}

static int read_progress(struct pull *p, struct json_object *o, struct error *e)
{
	uint64_t i = 0, done = 0;

	if (json_get_u64(o, "layer", &i, e) < 0 || json_get_u64(o, "done", &done, e) < 0)
		return -e->kind;
	if (i < p->layer_count)
		report(p, IMAGE_FETCH, (size_t)i, done);
	return 0;
}

/* ---- layers ----------------------------------------------------------------------------------------- */

/* Pin all layers; claim those that are not here. Returns how many were claimed. */
static size_t claim(struct pull *p)
{
	size_t claimed = 0;

	pthread_mutex_lock(&p->im->lock);
	for (size_t i = 0; i < p->layer_count; i++) {
		struct pull_layer *l = &p->layers[i];
		struct layer *layer = map_get(&p->im->layers, l->chain_id);

		if (!layer) {
			layer = NEW(struct layer);
			map_put(&p->im->layers, l->chain_id, layer);
		}
		if (!layer->is_ready && !layer->is_busy) {
			layer->is_busy = l->is_claimed = true;
			claimed++;
		}
		if (!l->is_pinned)
			layer->pins++;
		l->is_pinned = true;
	}
	pthread_mutex_unlock(&p->im->lock);
	return claimed;
}

/* Give up what was claimed and is not in place, and let go of the pins. */
static void release(struct pull *p)
{
	cleanup_strv struct strv tmp_names = STRV_INIT;

	pthread_mutex_lock(&p->im->lock);
	for (size_t i = 0; i < p->layer_count; i++) {
		struct pull_layer *l = &p->layers[i];
		struct layer *layer = l->is_pinned ? map_get(&p->im->layers, l->chain_id) : NULL;

		if (layer && l->is_claimed)
			layer->is_busy = false;
		if (layer && --layer->pins == 0 && !layer->is_ready && !layer->is_busy)
			free(map_remove(&p->im->layers, l->chain_id));
		l->is_pinned = l->is_claimed = false;
	}
	pthread_cond_broadcast(&p->im->changed);
	images_drop_layers(p->im, &tmp_names);
	pthread_mutex_unlock(&p->im->lock);
	images_sweep(p->im, &tmp_names);
}

/* Rename one layer into place; a directory that is there without being known is a leftover. */
static int place_layer(struct pull *p, struct pull_layer *l, struct error *e)
{
	const char *name = image_digest_hex(l->chain_id);

	if (renameat(p->worker.work_dfd, l->dir, p->im->layers_dfd, name) < 0)
		return err_sys(e, "move layer %s into place", l->chain_id);
	return 0;
}

/* All claimed layers are unpacked: onto the disk with them, then into place. */
static int commit(struct pull *p, struct error *e)
{
	int r = 0;

	if (syncfs(p->im->root_dfd) < 0)
		return err_sys(e, "sync the disk");
	for (size_t i = 0; r >= 0 && i < p->layer_count; i++) {
		struct pull_layer *l = &p->layers[i];
		struct layer *layer;

		if (!l->is_claimed)
			continue;
		r = l->dir[0] ? place_layer(p, l, e)
			      : err_new(e, ERR_INTERNAL, "layer %s was not unpacked", l->digest);
		if (r < 0)
			break;
		pthread_mutex_lock(&p->im->lock);
		layer = map_get(&p->im->layers, l->chain_id);
		layer->is_ready = true;
		layer->is_busy = l->is_claimed = false;
		pthread_cond_broadcast(&p->im->changed);
		pthread_mutex_unlock(&p->im->lock);
	}
	if (r >= 0 && fsync(p->im->layers_dfd) < 0)
		r = err_sys(e, "sync \"layers\"");
	return r;
}

static int ask_for_layers(struct pull *p, struct error *e)
{
	cleanup_json struct json_object *o = json_new();
	struct json_object *list = json_put_array(o, "layers");

	json_put_str(o, "op", "fetch");
	for (size_t i = 0; i < p->layer_count; i++)
		if (p->layers[i].is_claimed)
			json_push(list, json_object_new_uint64(i));
	return wire_send_doc(&p->worker.wire, o, e);
}

/* Let the worker fetch what is claimed, and put it into place. */
static int fetch(struct pull *p, struct error *e)
{
	int r = ask_for_layers(p, e);

	while (r >= 0) {
		cleanup_json struct json_object *o = NULL;
		const char *name = "";

		r = worker_event(&p->worker, p->cancel_fd, p->deadline_ns, &o, &name, e);
		if (r < 0)
			return r;
		if (str_eq(name, "fetched"))
			return commit(p, e);
		if (str_eq(name, "progress"))
			r = read_progress(p, o, e);
		else if (str_eq(name, "layer"))
			r = read_unpacked(p, o, e);
		else
			r = err_new(e, ERR_INTERNAL, "the image worker says \"%.32s\"", name);
	}
	return r;
}

static int check_patience(struct pull *p, struct error *e)
{
	struct pollfd poll_fd = { .fd = p->cancel_fd, .events = POLLIN };

	if (poll(&poll_fd, 1, 0) > 0)
		return err_new(e, ERR_CANCELED, "the client went away");
	if (p->deadline_ns && clock_mono_ns() >= p->deadline_ns)
		return err_new(e, ERR_TIMEOUT, "the time given is over");
	return 0;
}

/* With the lock held: the first layer that another pull is at work on. */
static bool find_busy(struct pull *p, size_t *ret)
{
	for (size_t i = 0; i < p->layer_count; i++) {
		const struct layer *layer = map_get(&p->im->layers, p->layers[i].chain_id);

		if (layer->is_busy) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* Wait until nobody is at work on a layer of ours any more. */
static int wait_for_others(struct pull *p, struct error *e)
{
	size_t i, last = SIZE_MAX;

	for (;;) {
		struct timespec until;
		int64_t at = clock_mono_ns() + WAIT_STEP_MS * NS_PER_MS;
		bool is_busy;
		int r;

		until = (struct timespec){ .tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S };
		pthread_mutex_lock(&p->im->lock);
		is_busy = find_busy(p, &i);
		if (is_busy)
			pthread_cond_timedwait(&p->im->changed, &p->im->lock, &until);
		pthread_mutex_unlock(&p->im->lock);
		if (!is_busy)
			return 0;
		if (i != last)
			report(p, IMAGE_WAIT, i, 0);
		last = i;
		r = check_patience(p, e);
		if (r < 0)
			return r;
	}
}

/* Is there a layer that a failed pull has left to us? */
static bool is_some_missing(struct pull *p)
{
	bool is_missing = false;

	pthread_mutex_lock(&p->im->lock);
	for (size_t i = 0; i < p->layer_count; i++) {
		const struct layer *layer = map_get(&p->im->layers, p->layers[i].chain_id);

		is_missing |= !layer->is_ready && !layer->is_busy;
	}
	pthread_mutex_unlock(&p->im->lock);
	return is_missing;
}

static int get_layers(struct pull *p, struct error *e)
{
	for (;;) {
		int r = claim(p) > 0 ? fetch(p, e) : 0;

		if (r >= 0)
			r = wait_for_others(p, e);
		if (r < 0 || !is_some_missing(p))
			return r;
	}
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

static void forget_image(struct pull *p)
{
	release(p);
	image_config_done(&p->config);
	free(take_ptr(p->layers));
	p->layer_count = 0;
	json_free(take_ptr(p->event));
}

/* The event "image" is in p->event. names_of() makes the names to record. */
static int take_image(struct pull *p, void (*names_of)(struct pull *p, const void *arg, struct strv *ret),
		      const void *arg, struct image **ret, struct error *e)
{
	cleanup_strv struct strv names = STRV_INIT;
	int r = read_image(p, e);

	if (r < 0) {
		err_ctx(e, "the image worker's answer");
		return err_kind(e, ERR_CORRUPT);
	}
	names_of(p, arg, &names);
	r = get_layers(p, e);
	return r < 0 ? r : record(p, &names, ret, e);
}

static int next_event(struct pull *p, const char **ret_name, struct error *e)
{
	json_free(take_ptr(p->event));
	return worker_event(&p->worker, p->cancel_fd, p->deadline_ns, &p->event, ret_name, e);
}

static void add_limits(const struct images *im, struct json_object *o)
{
	json_put_u64(o, "max_bytes", im->max_unpacked_bytes);
	json_put_u64(o, "reserve_bytes", im->reserve_bytes);
	if (im->use_zlib)
		json_put_bool(o, "zlib", true);
}

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
	add_limits(p->im, o);
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
		r = next_event(p, &name, e);
	if (r < 0)
		return r;
	if (!str_eq(name, "image"))
		return err_new(e, ERR_INTERNAL, "the image worker says \"%.32s\"", name);
	return take_image(p, pull_names, ref, ret, e);
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
	forget_image(&p);
	worker_stop(&p.worker);
	return r < 0 ? err_ctx(e, "pull image \"%s\"", o->ref) : 0;
}

/* ---- import ----------------------------------------------------------------------------------------- */

/* A name in an OCI layout is a full reference, or only a tag: then it is one of the name given. */
static void import_name(const char *text, const char *given, struct strv *ret)
{
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_free char *whole = NULL;
	bool is_tag = !strpbrk(text, ":/@");
	struct error e = ERROR_INIT;

	if (is_tag && !given)
		return;
	whole = is_tag ? str_fmt("%s:%s", given, text) : str_dup(text);
	if (image_ref_parse(whole, &ref, &e) < 0) {
		log_warn("a name in the archive is not kept: %s", err_msg(&e));
		return;
	}
	strv_take(ret, ref.tag ? image_ref_tagged(&ref) : image_ref_full(&ref));
}

static void import_names(struct pull *p, const void *arg, struct strv *ret)
{
	const struct images_import *o = arg;
	cleanup_strv struct strv names = STRV_INIT;
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;

	if (json_get_strv(p->event, "names", 1000, &names, NULL) >= 0)
		for (size_t i = 0; i < names.n; i++)
			import_name(names.v[i], o->name, ret);
	if (ret->n == 0 && o->name && image_ref_parse(o->name, &ref, NULL) == 0)
		strv_take(ret, ref.tag ? image_ref_tagged(&ref) : image_ref_full(&ref));
	image_ref_done(&ref);
	/* The digest belongs to the repository of the first name. */
	if (*p->digest && ret->n > 0 && image_ref_parse(ret->v[0], &ref, NULL) == 0) {
		cleanup_free char *name = image_ref_name(&ref);

		strv_addf(ret, "%s@%s", name, p->digest);
	}
}

static int send_op(struct pull *p, const char *op, struct error *e)
{
	cleanup_json struct json_object *o = json_new();

	json_put_str(o, "op", op);
	add_limits(p->im, o);
	return wire_send_doc(&p->worker.wire, o, e);
}

static int run_import(struct pull *p, const struct images_import *o, struct strv *ret_ids, struct error *e)
{
	int r = send_op(p, "import", e);

	while (r >= 0) {
		cleanup_image struct image *image = NULL;
		const char *name = "";

		r = next_event(p, &name, e);
		if (r < 0 || str_eq(name, "end"))
			return r;
		if (!str_eq(name, "image"))
			return err_new(e, ERR_INTERNAL, "the image worker says \"%.32s\"", name);
		r = take_image(p, import_names, o, &image, e);
		if (r >= 0 && image)
			strv_add(ret_ids, image->id);
		forget_image(p);
		if (r >= 0)
			r = send_op(p, "next", e);
	}
	return r;
}

int images_import(struct images *im, const struct images_import *o, struct strv *ret_ids, struct error *e)
{
	struct pull p = {
		.im = im, .worker = WORKER_INIT, .cancel_fd = o->cancel_fd, .deadline_ns = o->deadline_ns
	};
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_strv struct strv ids = STRV_INIT;
	int r = 0;

	if (o->name)
		r = image_ref_parse(o->name, &ref, e);
	if (r >= 0)
		r = worker_start(&p.worker, im->helper, im->tmp_dfd, o->fd, e);
	if (r >= 0)
		r = run_import(&p, o, &ids, e);
	p.worker.is_done = r >= 0;
	forget_image(&p);
	worker_stop(&p.worker);
	if (r < 0)
		return err_ctx(e, "import images");
	if (ids.n == 0)
		return err_new(e, ERR_INVALID, "import images: there is none in the archive");
	*ret_ids = ids;
	ids = STRV_INIT;
	return 0;
}
