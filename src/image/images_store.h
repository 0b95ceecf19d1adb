/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct images, shared by images.c (what is there) and pull.c (how it comes). */
#ifndef HULL_IMAGE_IMAGES_STORE_H
#define HULL_IMAGE_IMAGES_STORE_H

#include <pthread.h>

#include "base/map.h"
#include "image/images.h"
#include "image/record.h"

/* How many snapshots (struct image) of one image exist; atomic. */
struct image_life {
	unsigned snapshots;
};

struct layer {
	struct layer_record record;
	unsigned pins;	  /* pulls that rely on it */
	bool is_busy;	  /* a pull is at work on it */
	bool is_ready;	  /* its directory is in place; neither: the pull that had it failed */
	bool is_recorded; /* has its row */
};

struct images {
	int root_dfd, layers_dfd, blobs_dfd, tmp_dfd;
	char *root_path, *helper;
	struct images_store store;
	bool (*is_used)(void *ctx, const char *image_id);
	void *is_used_ctx;
	struct strv pinned; /* full references */
	uint64_t reserve_bytes, max_unpacked_bytes;
	bool use_zlib;

	pthread_mutex_t lock;	/* of all below */
	pthread_cond_t changed; /* a layer became ready, or was given up */
	struct registries registries;
	struct map images;  /* id -> struct image, the newest snapshot */
	struct map removed; /* id -> struct image: removed by its user, still in use */
	struct map names;   /* name -> struct image, borrowed from images */
	struct map layers;  /* chain id -> struct layer */
};

/* A new image as a pull has it, ready to be recorded. */
struct new_image {
	const char *id;
	const struct image_record *record;
	struct image_config *config; /* taken over */
	const struct strv *names;    /* "name:tag" and "name@digest" */
};
/* With the lock held: write the image's rows and those of its layers that have none, move its names to it,
 * and make it visible. Its layers are ready. ret is a new reference. */
int images_add(struct images *im, struct new_image *n, struct image **ret, struct error *e) MUST_USE;

/* With the lock held: remove the layers that no image and no pull needs; the directories go to tmp/. Then,
 * without the lock, sweep_tmp() with what came out. */
void images_drop_layers(struct images *im, struct strv *ret_tmp_names);
void images_sweep(struct images *im, const struct strv *tmp_names);

#endif
