/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the database is there; what is not, is removed at the next start. So the order is: the
 * layers' directories are renamed into place after one syncfs(2), then one durable transaction writes the
 * rows of the new layers, of the image and of its names. Removal goes the other way around: rows first,
 * then the directory is renamed to tmp/ and removed there.
 *
 * struct image is an immutable snapshot. When an image gets or loses a name, a new snapshot replaces the
 * old one; who holds the old one keeps it. An image that was removed while a container or a holder still
 * uses it stays as a row marked "removed", which nothing finds, until images_gc(). */
#include "image/images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/images_store.h"
#include "image/manifest.h"

#define ID_PREFIX_MIN 2

/* ---- adding ----------------------------------------------------------------------------------------- */

static void without(struct strv *s, const char *item)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->v[i], item)) {
			free(s->v[i]);
			memmove(s->v + i, s->v + i + 1, (s->n - i) * sizeof(*s->v));
			s->n--;
			return;
		}
}

int images_add(struct images *im, struct new_image *n, struct image **ret, struct error *e)
{
	CLEANUP(images_rows_done) struct images_rows c = { 0 };
	struct image *old = map_get(&im->images, n->id), *gone = map_get(&im->removed, n->id), *image;
	struct image *before = old ? old : gone;
	cleanup_buf struct buf data = BUF_INIT;
	int r;

	for (size_t i = 0; i < n->record->chain_ids.n; i++) {
		const char *chain_id = n->record->chain_ids.v[i];
		struct layer *layer = map_get(&im->layers, chain_id);

		if (layer->is_recorded)
			continue;
		layer_record_write(&layer->record, &data);
		images_rows_add(&c, IMAGES_LAYER, chain_id, &data);
	}
	image = images_snapshot_of_record(im, n->id, n->record, n->config, before ? before->life : NULL);
	if (old) {
		strv_add_all(&image->tags, &old->tags);
		strv_add_all(&image->digests, &old->digests);
	}
	for (size_t i = 0; i < n->names->n; i++) {
		const char *name = n->names->v[i];

		if (!strv_has(images_names_of(image, name), name))
			strv_add(images_names_of(image, name), name);
		buf_adds(&data, n->id);
		images_rows_add(&c, IMAGES_NAME, name, &data);
	}
	for (size_t i = 0; i < image->tags.n; i++)
		image->pinned |= images_name_is_pinned(im, image->tags.v[i]);
	images_write_record(image, false, &data);
	images_rows_add(&c, IMAGES_IMAGE, n->id, &data);
	r = images_rows_apply(im, &c, e);
	if (r < 0) {
		image_unref(image);
		return err_ctx(e, "record the image");
	}
	for (size_t i = 0; i < n->record->chain_ids.n; i++)
		((struct layer *)map_get(&im->layers, n->record->chain_ids.v[i]))->is_recorded = true;
	/* A name that was another image's is that one's no more. */
	for (size_t i = 0; i < n->names->n; i++) {
		struct image *owner = map_get(&im->names, n->names->v[i]);

		if (owner && !str_eq(owner->id, n->id)) {
			struct image *less = images_snapshot_copy(owner);

			without(images_names_of(less, n->names->v[i]), n->names->v[i]);
			images_replace(im, less);
		}
	}
	image_unref(map_remove(&im->removed, n->id));
	images_replace(im, image);
	*ret = image_hold(image);
	return 0;
}

/* ---- looking ---------------------------------------------------------------------------------------- */

static bool is_hex(const char *s)
{
	size_t n = strlen(s);

	return n >= ID_PREFIX_MIN && n <= ID_LEN && strspn(s, "0123456789abcdef") == n;
}

static struct image *by_name(struct images *im, const char *text, bool *ret_is_ref)
{
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_free char *name = NULL, *key = NULL;

	*ret_is_ref = image_ref_parse(text, &ref, NULL) == 0;
	if (!*ret_is_ref)
		return NULL;
	name = image_ref_name(&ref);
	/* With a digest the tag says nothing more. */
	key = ref.digest ? str_fmt("%s@%s", name, ref.digest) : image_ref_tagged(&ref);
	return map_get(&im->names, key);
}

/* With the lock held. NULL with *ret_fault set when there is none. */
static struct image *lookup(struct images *im, const char *text, int *ret_fault, struct error *e)
{
	const char *hex = str_starts(text, "sha256:") ? text + 7 : text;
	struct image *image, *found = NULL;
	size_t pos = 0;
	bool is_ref;

	*ret_fault = 0;
	found = by_name(im, text, &is_ref);
	if (found)
		return found;
	while (is_hex(hex) && (image = map_next(&im->images, &pos, NULL))) {
		if (!str_starts(image_digest_hex(image->id), hex))
			continue;
		if (found) {
			*ret_fault = err_new(e, ERR_INVALID, "\"%s\" is the begin of more than one image id",
					     text);
			return NULL;
		}
		found = image;
	}
	if (!found && !is_ref && !is_hex(hex)) {
		cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;

		*ret_fault = image_ref_parse(text, &ref, e);
	} else if (!found) {
		*ret_fault = err_new(e, ERR_NOT_FOUND, "no image \"%s\" is here", text);
	}
	return found;
}

int images_find(struct images *im, const char *text, struct image **ret, struct error *e)
{
	struct image *image;
	int r;

	pthread_mutex_lock(&im->lock);
	image = lookup(im, text, &r, e);
	if (image)
		*ret = image_hold(image);
	pthread_mutex_unlock(&im->lock);
	return r;
}

static int newer_first(const void *a, const void *b)
{
	const struct image *x = *(struct image *const *)a, *y = *(struct image *const *)b;

	if (x->pulled_at != y->pulled_at)
		return x->pulled_at > y->pulled_at ? -1 : 1;
	return strcmp(x->id, y->id);
}

void images_list(struct images *im, struct image ***ret, size_t *ret_count)
{
	struct image **v, *image;
	size_t pos = 0, n = 0;

	pthread_mutex_lock(&im->lock);
	v = mem_array(im->images.count + 1, sizeof(*v));
	while ((image = map_next(&im->images, &pos, NULL)))
		v[n++] = image_hold(image);
	pthread_mutex_unlock(&im->lock);
	qsort(v, n, sizeof(*v), newer_first);
	*ret = v;
	*ret_count = n;
}

void images_usage(struct images *im, uint64_t *ret_bytes, uint64_t *ret_inodes)
{
	const struct layer *layer;
	size_t pos = 0;

	*ret_bytes = *ret_inodes = 0;
	pthread_mutex_lock(&im->lock);
	while ((layer = map_next(&im->layers, &pos, NULL))) {
		if (!layer->is_ready)
			continue;
		*ret_bytes += layer->record.disk_bytes;
		*ret_inodes += layer->record.inodes;
	}
	pthread_mutex_unlock(&im->lock);
}

int images_config_json(struct images *im, const struct image *image, struct buf *b, struct error *e)
{
	return file_read(im->blobs_dfd, image_digest_hex(image->id), IMAGE_CONFIG_MAX_BYTES, b, e);
}

int images_manifest_json(struct images *im, const struct image *image, struct buf *b, struct error *e)
{
	if (!*image->manifest_digest)
		return err_new(e, ERR_NOT_FOUND, "image %s came without a manifest", image->id);
	return file_read(im->blobs_dfd, image_digest_hex(image->manifest_digest), MANIFEST_MAX_BYTES, b, e);
}

void images_set_registries(struct images *im, const struct registries *r)
{
	pthread_mutex_lock(&im->lock);
	registries_done(&im->registries);
	registries_copy(r, &im->registries);
	pthread_mutex_unlock(&im->lock);
}

/* ---- removal ---------------------------------------------------------------------------------------- */

/* Every layer that an image has, as a set. */
static void mark_layers(struct map *images, struct map *used)
{
	struct image *image;
	size_t pos = 0;

	while ((image = map_next(images, &pos, NULL)))
		for (size_t i = 0; i < image->chain_ids.n; i++)
			map_put(used, image->chain_ids.v[i], image);
}

void images_drop_layers(struct images *im, struct strv *ret_tmp_names)
{
	CLEANUP(images_rows_done) struct images_rows c = { 0 };
	struct map used = MAP_INIT;
	struct error e = ERROR_INIT;
	struct layer *layer;
	const char *chain_id;
	size_t pos = 0;

	mark_layers(&im->images, &used);
	mark_layers(&im->removed, &used);
	while ((layer = map_next(&im->layers, &pos, &chain_id)))
		if (layer->is_ready && layer->pins == 0 && !map_get(&used, chain_id))
			images_rows_add(&c, IMAGES_LAYER, chain_id, NULL);
	map_done(&used);
	if (images_rows_apply(im, &c, &e) < 0) {
		log_warn("layers that nobody needs stay: %s", err_msg(&e));
		return;
	}
	for (size_t i = 0; i < c.n; i++) {
		char random[17];
		cleanup_free char *name = NULL;

		str_random_hex(random, 8);
		name = str_fmt("removed-%s", random);
		if (renameat(im->layers_dfd, image_digest_hex(c.keys.v[i]), im->tmp_dfd, name) == 0)
			strv_add(ret_tmp_names, name);
		else if (errno != ENOENT)
			log_warn("move layer %s away: %s", c.keys.v[i], strerror(errno));
		free(map_remove(&im->layers, c.keys.v[i]));
	}
}

void images_sweep(struct images *im, const struct strv *tmp_names)
{
	for (size_t i = 0; i < tmp_names->n; i++) {
		struct error e = ERROR_INIT;

		if (path_remove_tree(im->tmp_dfd, tmp_names->v[i], &e) < 0)
			log_warn("%s", err_msg(&e));
	}
}

static bool is_held(const struct image *image)
{
	return __atomic_load_n(&image->refs, __ATOMIC_ACQUIRE) > 1 ||
	       __atomic_load_n(&image->life->snapshots, __ATOMIC_ACQUIRE) > 1;
}

static void remove_blobs(struct images *im, const struct image *image)
{
	unlinkat(im->blobs_dfd, image_digest_hex(image->id), 0);
	if (*image->manifest_digest)
		unlinkat(im->blobs_dfd, image_digest_hex(image->manifest_digest), 0);
}

/* The ids of removed images, so that is_used() can be asked without the lock. */
static void list_removed(struct images *im, struct strv *ret)
{
	struct image *image;
	size_t pos = 0;

	pthread_mutex_lock(&im->lock);
	while ((image = map_next(&im->removed, &pos, NULL)))
		strv_add(ret, image->id);
	pthread_mutex_unlock(&im->lock);
}

void images_gc(struct images *im)
{
	cleanup_strv struct strv removed = STRV_INIT, tmp_names = STRV_INIT;

	list_removed(im, &removed);
	for (size_t i = 0; i < removed.n; i++) {
		CLEANUP(images_rows_done) struct images_rows c = { 0 };
		struct error e = ERROR_INIT;
		struct image *image;

		if (im->is_used && im->is_used(im->is_used_ctx, removed.v[i]))
			continue;
		pthread_mutex_lock(&im->lock);
		image = map_get(&im->removed, removed.v[i]);
		if (image && !is_held(image)) {
			images_rows_add(&c, IMAGES_IMAGE, image->id, NULL);
			if (images_rows_apply(im, &c, &e) < 0) {
				log_warn("forget image %s: %s", image->id, err_msg(&e));
			} else {
				map_remove(&im->removed, removed.v[i]);
				remove_blobs(im, image);
				image_unref(image);
			}
		}
		pthread_mutex_unlock(&im->lock);
	}
	pthread_mutex_lock(&im->lock);
	images_drop_layers(im, &tmp_names);
	pthread_mutex_unlock(&im->lock);
	images_sweep(im, &tmp_names);
}

/* With the lock held: take all names from the image and hide it. */
static int hide(struct images *im, struct image *image, struct error *e)
{
	CLEANUP(images_rows_done) struct images_rows c = { 0 };
	cleanup_buf struct buf data = BUF_INIT;
	struct image *old;
	int r;

	for (size_t i = 0; i < image->tags.n; i++)
		images_rows_add(&c, IMAGES_NAME, image->tags.v[i], NULL);
	for (size_t i = 0; i < image->digests.n; i++)
		images_rows_add(&c, IMAGES_NAME, image->digests.v[i], NULL);
	images_write_record(image, true, &data);
	images_rows_add(&c, IMAGES_IMAGE, image->id, &data);
	r = images_rows_apply(im, &c, e);
	if (r < 0)
		return err_ctx(e, "remove image %s", image->id);
	for (size_t i = 0; i < image->tags.n; i++)
		map_remove(&im->names, image->tags.v[i]);
	for (size_t i = 0; i < image->digests.n; i++)
		map_remove(&im->names, image->digests.v[i]);
	map_remove(&im->images, image->id);
	old = map_put(&im->removed, image->id, image);
	image_unref(old);
	return 0;
}

int images_remove(struct images *im, const char *text, struct error *e)
{
	struct image *image;
	int r;

	pthread_mutex_lock(&im->lock);
	image = lookup(im, text, &r, e);
	if (image)
		r = hide(im, image, e);
	pthread_mutex_unlock(&im->lock);
	if (r == -ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	if (r < 0)
		return r;
	images_gc(im);
	return 0;
}
