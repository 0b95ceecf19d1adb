/* SPDX-License-Identifier: Apache-2.0 */
/* struct image is an immutable snapshot: making, copying and replacing one. */
#include <string.h>

#include "base/mem.h"
#include "image/images_store.h"
#include "image/manifest.h"

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

static void copy_config(const struct image_config *from, struct image_config *to)
{
	*to = (struct image_config){ .os = str_dup(from->os),
				     .architecture = str_dup(from->architecture),
				     .variant = str_dup(from->variant),
				     .working_dir = str_dup(from->working_dir),
				     .user = str_dup(from->user),
				     .stop_signal = str_dup(from->stop_signal),
				     .created = str_dup(from->created) };
	strv_add_all(&to->env, &from->env);
	strv_add_all(&to->entrypoint, &from->entrypoint);
	strv_add_all(&to->cmd, &from->cmd);
	strv_add_all(&to->exposed_ports, &from->exposed_ports);
	strv_add_all(&to->volumes, &from->volumes);
	strv_add_all(&to->label_names, &from->label_names);
	strv_add_all(&to->label_values, &from->label_values);
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

struct image *images_snapshot_copy(const struct image *from)
{
	struct image *image = snapshot_new(from->id, from->life);

	image->size_bytes = from->size_bytes;
	image->unpacked_bytes = from->unpacked_bytes;
	image->pulled_at = from->pulled_at;
	image->manifest_digest = str_dup(from->manifest_digest);
	image->pinned = from->pinned;
	strv_add_all(&image->tags, &from->tags);
	strv_add_all(&image->digests, &from->digests);
	strv_add_all(&image->layers, &from->layers);
	strv_add_all(&image->chain_ids, &from->chain_ids);
	copy_config(&from->config, &image->config);
	return image;
}

struct image *images_snapshot_of_record(struct images *im, const char *id, const struct image_record *record,
					struct image_config *config, struct image_life *life)
{
	struct image *image = snapshot_new(id, life);

	image->size_bytes = record->size_bytes ? record->size_bytes : 1;
	image->pulled_at = record->pulled_at;
	image->manifest_digest = str_dup(record->manifest_digest);
	image->config = *config;
	*config = (struct image_config){ 0 };
	strv_add_all(&image->chain_ids, &record->chain_ids);
	for (size_t i = 0; i < record->chain_ids.n; i++) {
		const struct layer *layer = map_get(&im->layers, record->chain_ids.v[i]);

		strv_addf(&image->layers, "%s/layers/%s", im->root_path,
			  image_digest_hex(record->chain_ids.v[i]));
		if (layer)
			image->unpacked_bytes += layer->record.disk_bytes;
	}
	return image;
}

void images_write_record(const struct image *image, bool is_removed, struct buf *b)
{
	struct image_record record = { .manifest_digest = image->manifest_digest,
				       .chain_ids = image->chain_ids,
				       .size_bytes = image->size_bytes,
				       .pulled_at = image->pulled_at,
				       .is_removed = is_removed };

	image_record_write(&record, b);
}

struct strv *images_names_of(struct image *image, const char *name)
{
	return strchr(name, '@') ? &image->digests : &image->tags;
}

void images_replace(struct images *im, struct image *image)
{
	struct image *old = map_put(&im->images, image->id, image);

	for (size_t i = 0; i < image->tags.n; i++)
		map_put(&im->names, image->tags.v[i], image);
	for (size_t i = 0; i < image->digests.n; i++)
		map_put(&im->names, image->digests.v[i], image);
	image_unref(old);
}

bool images_name_is_pinned(const struct images *im, const char *name)
{
	return strv_has(&im->pinned, name);
}
