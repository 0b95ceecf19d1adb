/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of the image at hand: claimed, fetched by the worker, put into place.
 *
 * Nobody waits while having claims open, so two pulls never wait for each other. Each layer of the image is
 * pinned in memory from the claim until the image is recorded, so that no removal takes it away. */
#include "image/pull_internal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define WAIT_STEP_MS 100

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

/* ---- claims ----------------------------------------------------------------------------------------- */

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

void pull_release(struct pull *p)
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

/* ---- fetch and put into place ----------------------------------------------------------------------- */

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

/* ---- other pulls ------------------------------------------------------------------------------------ */

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

int pull_get_layers(struct pull *p, struct error *e)
{
	for (;;) {
		int r = claim(p) > 0 ? fetch(p, e) : 0;

		if (r >= 0)
			r = wait_for_others(p, e);
		if (r < 0 || !is_some_missing(p))
			return r;
	}
}
