/* SPDX-License-Identifier: Apache-2.0 */
/* How an image comes, shared by pull.c (the image, and from a registry), pull_layers.c and import.c (from an
 * archive). */
#ifndef HULL_IMAGE_PULL_INTERNAL_H
#define HULL_IMAGE_PULL_INTERNAL_H

#include "image/images_store.h"
#include "image/manifest.h"
#include "image/worker.h"

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

/* --- pull.c --- */

/* Add to a request how much may be unpacked. */
void pull_add_limits(const struct images *im, struct json_object *o);

/* The worker's next event, into p->event. Fails: as worker_event(). */
int pull_next_event(struct pull *p, const char **ret_name, struct error *e) MUST_USE;

/* The event "image" is in p->event: get its layers and record it. names_of() makes the names to record. The
 * caller ends with pull_forget_image(). Fails: CORRUPT (what the worker says), and as it says. */
int pull_take_image(struct pull *p, void (*names_of)(struct pull *p, const void *arg, struct strv *ret),
		    const void *arg, struct image **ret, struct error *e) MUST_USE;
/* Let go of the image at hand and of its layers. Idempotent. */
void pull_forget_image(struct pull *p);

/* --- pull_layers.c --- */

/* Fetch what is missing of p->layers, or wait for the pulls that are at work on it; all are in place then,
 * and pinned until pull_release(). Fails: CANCELED, TIMEOUT, INTERNAL, INVALID, SYS, as worker_event(). */
int pull_get_layers(struct pull *p, struct error *e) MUST_USE;

/* Give up what was claimed and is not in place, and let go of the pins. */
void pull_release(struct pull *p);

#endif
