/* SPDX-License-Identifier: Apache-2.0 */
/* From the database and the directories to struct images, and its end. A row without its directory or file
 * is forgotten; a directory or file without its row is removed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/images_store.h"
#include "image/manifest.h"

#define CLEAN_TIMEOUT_MS 5000

#define RESERVE_DEFAULT (UINT64_C(256) << 20)
#define UNPACKED_DEFAULT (UINT64_C(64) << 30)

/* What loading finds out of order: rows to remove in the end. */
struct loading {
	struct images *im;
	struct images_rows stale;
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
		images_rows_add(&l->stale, IMAGES_LAYER, key, NULL);
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
		images_rows_add(&l->stale, IMAGES_IMAGE, key, NULL);
		return 0;
	}
	image = images_snapshot_of_record(l->im, key, &record, &config, NULL);
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
		images_rows_add(&l->stale, IMAGES_NAME, key, NULL);
		return 0;
	}
	/* Nobody has this snapshot yet, so it may still be changed. */
	strv_add(images_names_of(image, key), key);
	image->pinned |= images_name_is_pinned(l->im, key);
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
		r = images_rows_apply(im, &l.stale, e);
	images_rows_done(&l.stale);
	return r < 0 ? err_ctx(e, "load the images") : 0;
}

/* Remove what a former hulld left. Its workers may still write there: they end by themselves once it is gone, but it
 * takes them a moment. What resists stays until the next start, and is no reason not to serve. */
static void clean_entry(int dfd, const char *name)
{
	int64_t deadline = deadline_in_ms(CLEAN_TIMEOUT_MS);
	struct error e = ERROR_INIT;
	int r;

	while ((r = path_remove_tree(dfd, name, &e)) < 0 && (e.sys == ENOTEMPTY || e.sys == EBUSY) &&
	       deadline_left_ms(deadline) > 0) {
		err_clear(&e);
		usleep(10000);
	}
	if (r < 0)
		log_warn("\"%s\" of an earlier run stays: %s", name, err_msg(&e));
}

/* Remove every entry of a directory for which keep() is false. */
static int clean_dir(struct images *im, int dfd, bool (*keep)(struct images *im, const char *name),
		     struct error *e)
{
	int fd = openat(dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir)
		return err_sys(e, "read a directory");
	while ((d = readdir(dir)))
		if (!str_eq(d->d_name, ".") && !str_eq(d->d_name, "..") && !(keep && keep(im, d->d_name)))
			clean_entry(dfd, d->d_name);
	closedir(dir);
	return 0;
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
