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

#define RESERVE_DEFAULT (UINT64_C(256) << 20)
#define UNPACKED_DEFAULT (UINT64_C(64) << 30)
#define ID_PREFIX_MIN 2

/* ---- snapshots -------------------------------------------------------------------------------------- */

struct image *image_hold(struct image *image)
{
	__atomic_add_fetch(&image->refs, 1, __ATOMIC_RELAXED);
	return image;
}

void image_unref(struct image *image)
{
	if (!image || __atomic_sub_fetch(&image->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (__atomic_sub_fetch(&image->life->snapshots, 1, __ATOMIC_ACQ_REL) == 0)
		free(image->life);
	free(image->id);
	free(image->manifest_digest);
	strv_done(&image->tags);
	strv_done(&image->digests);
	strv_done(&image->layers);
	strv_done(&image->chain_ids);
	image_config_done(&image->config);
	free(image);
}

static void copy_strv(const struct strv *from, struct strv *to)
{
	for (size_t i = 0; i < from->n; i++)
		strv_add(to, from->v[i]);
}

static void copy_config(const struct image_config *from, struct image_config *to)
{
	*to = (struct image_config){ .os = str_dup(from->os),
				     .architecture = str_dup(from->architecture),
				     .variant = str_dup(from->variant),
				     .working_dir = str_dup(from->working_dir),
				     .user = str_dup(from->user),
				     .stop_signal = str_dup(from->stop_signal),
				     .created = str_dup(from->created) };
	copy_strv(&from->env, &to->env);
	copy_strv(&from->entrypoint, &to->entrypoint);
	copy_strv(&from->cmd, &to->cmd);
	copy_strv(&from->exposed_ports, &to->exposed_ports);
	copy_strv(&from->volumes, &to->volumes);
	copy_strv(&from->label_names, &to->label_names);
	copy_strv(&from->label_values, &to->label_values);
}

/* A snapshot without names, config and directories. */
static struct image *snapshot_new(const char *id, struct image_life *life)
{
	struct image *image = NEW(struct image);

	image->id = str_dup(id);
	image->refs = 1;
	image->life = life ? life : NEW(struct image_life);
	__atomic_add_fetch(&image->life->snapshots, 1, __ATOMIC_RELAXED);
	return image;
}

static struct image *snapshot_copy(const struct image *from)
{
	struct image *image = snapshot_new(from->id, from->life);

	image->size_bytes = from->size_bytes;
	image->unpacked_bytes = from->unpacked_bytes;
	image->pulled_at = from->pulled_at;
	image->manifest_digest = str_dup(from->manifest_digest);
	image->pinned = from->pinned;
	copy_strv(&from->tags, &image->tags);
	copy_strv(&from->digests, &image->digests);
	copy_strv(&from->layers, &image->layers);
	copy_strv(&from->chain_ids, &image->chain_ids);
	copy_config(&from->config, &image->config);
	return image;
}

/* An image of its record and config; its layers are in im->layers. */
static struct image *snapshot_of_record(struct images *im, const char *id, const struct image_record *record,
					struct image_config *config, struct image_life *life)
{
	struct image *image = snapshot_new(id, life);

	image->size_bytes = record->size_bytes ? record->size_bytes : 1;
	image->pulled_at = record->pulled_at;
	image->manifest_digest = str_dup(record->manifest_digest);
	image->config = *config;
	*config = (struct image_config){ 0 };
	copy_strv(&record->chain_ids, &image->chain_ids);
	for (size_t i = 0; i < record->chain_ids.n; i++) {
		const struct layer *layer = map_get(&im->layers, record->chain_ids.v[i]);

		strv_addf(&image->layers, "%s/layers/%s", im->root_path,
			  image_digest_hex(record->chain_ids.v[i]));
		if (layer)
			image->unpacked_bytes += layer->record.disk_bytes;
	}
	return image;
}

static void write_record(const struct image *image, bool is_removed, struct buf *b)
{
	struct image_record record = { .manifest_digest = image->manifest_digest,
				       .chain_ids = image->chain_ids,
				       .size_bytes = image->size_bytes,
				       .pulled_at = image->pulled_at,
				       .is_removed = is_removed };

	image_record_write(&record, b);
}

static struct strv *names_of(struct image *image, const char *name)
{
	return strchr(name, '@') ? &image->digests : &image->tags;
}

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

/* Put a snapshot in the place of the one that is there; names follow it. Takes over the reference. */
static void replace_snapshot(struct images *im, struct image *image)
{
	struct image *old = map_put(&im->images, image->id, image);

	for (size_t i = 0; i < image->tags.n; i++)
		map_put(&im->names, image->tags.v[i], image);
	for (size_t i = 0; i < image->digests.n; i++)
		map_put(&im->names, image->digests.v[i], image);
	image_unref(old);
}

/* Is the name one of those to keep by configuration? */
static bool name_is_pinned(const struct images *im, const char *name)
{
	return strv_has(&im->pinned, name);
}

/* ---- rows ------------------------------------------------------------------------------------------- */

struct changes {
	struct images_change *v;
	struct buf *data; /* data[i] backs v[i] */
	struct strv keys;
	size_t n, room;
};

static void changes_done(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		buf_done(&c->data[i]);
	free(c->v);
	free(c->data);
	strv_done(&c->keys);
}
DEFINE_CLEANUP_VALUE(struct changes, changes_done)

/* data is taken over; NULL removes the row. */
static void change(struct changes *c, enum images_table table, const char *key, struct buf *data)
{
	if (c->n == c->room) {
		c->room = c->room ? c->room * 2 : 16;
		c->v = mem_regrow(c->v, c->room, sizeof(*c->v));
		c->data = mem_regrow(c->data, c->room, sizeof(*c->data));
	}
	strv_add(&c->keys, key);
	c->data[c->n] = data ? *data : BUF_INIT;
	c->v[c->n] = (struct images_change){ .table = table };
	c->n++;
	if (data)
		*data = BUF_INIT;
}

static int apply(struct images *im, struct changes *c, struct error *e)
{
	/* Only now: keys and buffers do not move any more. */
	for (size_t i = 0; i < c->n; i++) {
		c->v[i].key = c->keys.v[i];
		c->v[i].data = c->data[i].data;
		c->v[i].len = c->data[i].len;
	}
	return c->n ? im->store.apply(im->store.ctx, c->v, c->n, true, e) : 0;
}

int images_add(struct images *im, struct new_image *n, struct image **ret, struct error *e)
{
	CLEANUP(changes_done) struct changes c = { 0 };
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
		change(&c, IMAGES_LAYER, chain_id, &data);
	}
	image = snapshot_of_record(im, n->id, n->record, n->config, before ? before->life : NULL);
	if (old) {
		copy_strv(&old->tags, &image->tags);
		copy_strv(&old->digests, &image->digests);
	}
	for (size_t i = 0; i < n->names->n; i++) {
		const char *name = n->names->v[i];

		if (!strv_has(names_of(image, name), name))
			strv_add(names_of(image, name), name);
		buf_adds(&data, n->id);
		change(&c, IMAGES_NAME, name, &data);
	}
	for (size_t i = 0; i < image->tags.n; i++)
		image->pinned |= name_is_pinned(im, image->tags.v[i]);
	write_record(image, false, &data);
	change(&c, IMAGES_IMAGE, n->id, &data);
	r = apply(im, &c, e);
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
			struct image *less = snapshot_copy(owner);

			without(names_of(less, n->names->v[i]), n->names->v[i]);
			replace_snapshot(im, less);
		}
	}
	image_unref(map_remove(&im->removed, n->id));
	replace_snapshot(im, image);
	*ret = image_hold(image);
	return 0;
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
	CLEANUP(changes_done) struct changes c = { 0 };
	struct map used = MAP_INIT;
	struct error e = ERROR_INIT;
	struct layer *layer;
	const char *chain_id;
	size_t pos = 0;

	mark_layers(&im->images, &used);
	mark_layers(&im->removed, &used);
	while ((layer = map_next(&im->layers, &pos, &chain_id)))
		if (layer->is_ready && layer->pins == 0 && !map_get(&used, chain_id))
			change(&c, IMAGES_LAYER, chain_id, NULL);
	map_done(&used);
	if (apply(im, &c, &e) < 0) {
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
		CLEANUP(changes_done) struct changes c = { 0 };
		struct error e = ERROR_INIT;
		struct image *image;

		if (im->is_used && im->is_used(im->is_used_ctx, removed.v[i]))
			continue;
		pthread_mutex_lock(&im->lock);
		image = map_get(&im->removed, removed.v[i]);
		if (image && !is_held(image)) {
			change(&c, IMAGES_IMAGE, image->id, NULL);
			if (apply(im, &c, &e) < 0) {
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
	CLEANUP(changes_done) struct changes c = { 0 };
	cleanup_buf struct buf data = BUF_INIT;
	struct image *old;
	int r;

	for (size_t i = 0; i < image->tags.n; i++)
		change(&c, IMAGES_NAME, image->tags.v[i], NULL);
	for (size_t i = 0; i < image->digests.n; i++)
		change(&c, IMAGES_NAME, image->digests.v[i], NULL);
	write_record(image, true, &data);
	change(&c, IMAGES_IMAGE, image->id, &data);
	r = apply(im, &c, e);
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

static struct image *lookup(struct images *im, const char *text, int *ret_fault, struct error *e);

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

/* ---- opening ---------------------------------------------------------------------------------------- */

/* What loading finds out of order: rows to remove in the end. */
struct loading {
	struct images *im;
	struct changes stale;
};

static int load_layer(void *arg, const char *key, const void *data, size_t len, struct error *e)
{
	struct loading *l = arg;
	struct layer *layer;
	struct layer_record record;
	struct stat st;

	if (!image_digest_is_valid(key))
		return err_new(e, ERR_CORRUPT, "layer \"%.100s\" in the database is no digest", key);
	if (layer_record_read(data, len, &record, e) < 0)
		return err_ctx(e, "layer %s in the database", key);
	if (fstatat(l->im->layers_dfd, image_digest_hex(key), &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISDIR(st.st_mode)) {
		log_warn("layer %s is recorded, but its directory is missing: forgotten", key);
		change(&l->stale, IMAGES_LAYER, key, NULL);
		return 0;
	}
	layer = NEW(struct layer);
	*layer = (struct layer){ .record = record, .is_ready = true, .is_recorded = true };
	map_put(&l->im->layers, key, layer);
	return 0;
}

/* Why the image cannot be used, or 0; ret_config is set then. */
static int check_image(struct images *im, const char *id, const struct image_record *record,
		       struct image_config *ret_config, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_strv struct strv diff_ids = STRV_INIT;
	int r;

	for (size_t i = 0; i < record->chain_ids.n; i++)
		if (!map_get(&im->layers, record->chain_ids.v[i]))
			return err_new(e, ERR_NOT_FOUND, "its layer %s is missing", record->chain_ids.v[i]);
	r = file_read(im->blobs_dfd, image_digest_hex(id), IMAGE_CONFIG_MAX_BYTES, &text, e);
	if (r >= 0)
		r = image_config_parse(buf_str(&text), text.len, ret_config, &diff_ids, e);
	return r < 0 ? err_ctx(e, "its config") : 0;
}

static int load_image(void *arg, const char *key, const void *data, size_t len, struct error *e)
{
	CLEANUP(image_record_done) struct image_record record = { 0 };
	CLEANUP(image_config_done) struct image_config config = { 0 };
	struct loading *l = arg;
	struct error why = ERROR_INIT;
	struct image *image;

	if (!image_digest_is_valid(key))
		return err_new(e, ERR_CORRUPT, "image \"%.100s\" in the database is no digest", key);
	if (image_record_read(data, len, &record, e) < 0)
		return err_ctx(e, "image %s in the database", key);
	if (check_image(l->im, key, &record, &config, &why) < 0) {
		log_warn("image %s is not whole and is forgotten; a pull brings it back: %s", key,
			 err_msg(&why));
		change(&l->stale, IMAGES_IMAGE, key, NULL);
		return 0;
	}
	image = snapshot_of_record(l->im, key, &record, &config, NULL);
	map_put(record.is_removed ? &l->im->removed : &l->im->images, key, image);
	return 0;
}

static int load_name(void *arg, const char *key, const void *data, size_t len, struct error *e)
{
	struct loading *l = arg;
	cleanup_free char *id = str_ndup(data, len);
	struct image *image = map_get(&l->im->images, id);

	(void)e;
	if (!image) {
		change(&l->stale, IMAGES_NAME, key, NULL);
		return 0;
	}
	/* Nobody has this snapshot yet, so it may still be changed. */
	strv_add(names_of(image, key), key);
	image->pinned |= name_is_pinned(l->im, key);
	map_put(&l->im->names, key, image);
	return 0;
}

static int load(struct images *im, struct error *e)
{
	static int (*const loaders[IMAGES_TABLE_COUNT])(void *, const char *, const void *, size_t,
							struct error *) = {
		[IMAGES_LAYER] = load_layer, [IMAGES_IMAGE] = load_image, [IMAGES_NAME] = load_name
	};
	static const enum images_table order[] = { IMAGES_LAYER, IMAGES_IMAGE, IMAGES_NAME };
	struct loading l = { .im = im };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(order); i++)
		r = im->store.each(im->store.ctx, order[i], loaders[order[i]], &l, e);
	if (r >= 0)
		r = apply(im, &l.stale, e);
	changes_done(&l.stale);
	return r < 0 ? err_ctx(e, "load the images") : 0;
}

/* Remove every entry of a directory for which keep() is false. */
static int clean_dir(struct images *im, int dfd, bool (*keep)(struct images *im, const char *name),
		     struct error *e)
{
	int fd = openat(dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir)
		return err_sys(e, "read a directory");
	while (r >= 0 && (d = readdir(dir)))
		if (!str_eq(d->d_name, ".") && !str_eq(d->d_name, "..") && !(keep && keep(im, d->d_name)))
			r = path_remove_tree(dfd, d->d_name, e);
	closedir(dir);
	return r;
}

static bool keep_layer(struct images *im, const char *name)
{
	cleanup_free char *chain_id = str_fmt("sha256:%s", name);

	return map_get(&im->layers, chain_id) != NULL;
}

static bool keep_blob(struct images *im, const char *name)
{
	cleanup_free char *digest = str_fmt("sha256:%s", name);
	struct map *maps[] = { &im->images, &im->removed };

	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		struct image *image;
		size_t pos = 0;

		while ((image = map_next(maps[i], &pos, NULL)))
			if (str_eq(image->id, digest) || str_eq(image->manifest_digest, digest))
				return true;
	}
	return false;
}

static int open_dirs(struct images *im, int root_dfd, struct error *e)
{
	static const char *const names[] = { "blobs", "blobs/sha256", "layers", "tmp" };
	int *const fds[] = { NULL, &im->blobs_dfd, &im->layers_dfd, &im->tmp_dfd };
	int r = fd_dup(root_dfd, &im->root_dfd, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (mkdirat(root_dfd, names[i], 0700) < 0 && errno != EEXIST)
			return err_sys(e, "make directory \"%s/%s\"", im->root_path, names[i]);
		if (!fds[i])
			continue;
		*fds[i] = openat(root_dfd, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*fds[i] < 0)
			return err_sys(e, "open directory \"%s/%s\"", im->root_path, names[i]);
	}
	return 0;
}

static void set_options(struct images *im, const struct images_opts *o)
{
	im->root_path = str_dup(o->root_path);
	im->helper = str_dup(o->helper);
	im->store = o->store;
	im->is_used = o->is_used;
	im->is_used_ctx = o->is_used_ctx;
	im->reserve_bytes = o->reserve_bytes ? o->reserve_bytes : RESERVE_DEFAULT;
	im->use_zlib = o->use_zlib;
	im->max_unpacked_bytes = o->max_unpacked_bytes ? o->max_unpacked_bytes : UNPACKED_DEFAULT;
	if (o->registries)
		registries_copy(o->registries, &im->registries);
	for (size_t i = 0; o->pinned && o->pinned[i]; i++) {
		cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;

		if (image_ref_parse(o->pinned[i], &ref, NULL) == 0)
			strv_take(&im->pinned, image_ref_full(&ref));
	}
}

int images_open(const struct images_opts *o, struct images **ret, struct error *e)
{
	CLEANUP(images_close) struct images *im = NEW(struct images);
	pthread_condattr_t attr;
	int r;

	im->root_dfd = im->layers_dfd = im->blobs_dfd = im->tmp_dfd = -1;
	pthread_mutex_init(&im->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&im->changed, &attr);
	pthread_condattr_destroy(&attr);
	set_options(im, o);
	r = open_dirs(im, o->root_dfd, e);
	if (r >= 0)
		r = load(im, e);
	if (r >= 0)
		r = clean_dir(im, im->tmp_dfd, NULL, e);
	if (r >= 0)
		r = clean_dir(im, im->layers_dfd, keep_layer, e);
	if (r >= 0)
		r = clean_dir(im, im->blobs_dfd, keep_blob, e);
	if (r < 0)
		return r;
	*ret = take_ptr(im);
	return 0;
}

static void unref_all(struct map *images)
{
	struct image *image;
	size_t pos = 0;

	while ((image = map_next(images, &pos, NULL)))
		image_unref(image);
	map_done(images);
}

void images_close(struct images *im)
{
	struct layer *layer;
	size_t pos = 0;

	if (!im)
		return;

	int *const fds[] = { &im->root_dfd, &im->layers_dfd, &im->blobs_dfd, &im->tmp_dfd };

	unref_all(&im->images);
	unref_all(&im->removed);
	map_done(&im->names);
	while ((layer = map_next(&im->layers, &pos, NULL)))
		free(layer);
	map_done(&im->layers);
	registries_done(&im->registries);
	strv_done(&im->pinned);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	pthread_cond_destroy(&im->changed);
	pthread_mutex_destroy(&im->lock);
	free(im->root_path);
	free(im->helper);
	free(im);
}
