/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct images, shared by images.c (what is there), images_open.c (how it is found at the
 * start), images_snapshot.c, images_rows.c, pull.c, pull_layers.c and import.c (how it comes). */
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

/* --- images_snapshot.c --- */

/* The same image once more, to be changed before anybody else sees it. */
struct image *images_snapshot_copy(const struct image *from);

/* An image of its record and config (taken over); its layers are in im->layers. life is that of the image's
 * other snapshots, or NULL. */
struct image *images_snapshot_of_record(struct images *im, const char *id, const struct image_record *record,
					struct image_config *config, struct image_life *life);

/* Put a snapshot in the place of the one that is there; names follow it. Takes over the reference. */
void images_replace(struct images *im, struct image *image);

/* Add the image's record to b. */
void images_write_record(const struct image *image, bool is_removed, struct buf *b);

/* The list of the image's names to which this one belongs: "name@digest" or "name:tag". */
struct strv *images_names_of(struct image *image, const char *name);

/* Is the name one of those to keep by configuration? */
bool images_name_is_pinned(const struct images *im, const char *name);

/* --- images_rows.c --- */

/* The rows that one transaction writes. */
struct images_rows {
	struct images_change *v;
	struct buf *data; /* data[i] backs v[i] */
	struct strv keys;
	size_t n, room;
};
void images_rows_done(struct images_rows *rows);
DEFINE_CLEANUP_VALUE(struct images_rows, images_rows_done)

/* data is taken over; NULL removes the row. */
void images_rows_add(struct images_rows *rows, enum images_table table, const char *key, struct buf *data);

/* Write them all, durably; none when it fails. Fails as the store does. */
int images_rows_apply(struct images *im, struct images_rows *rows, struct error *e) MUST_USE;

#endif
