/* SPDX-License-Identifier: Apache-2.0 */
/* An image as a source offers it, read and checked but for its layers. */
#ifndef HULL_IMAGE_SOURCE_H
#define HULL_IMAGE_SOURCE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "codec/digest.h"
#include "image/manifest.h"

struct source_layer {
	char *digest; /* of the blob; NULL when the source does not say */
	uint64_t size_bytes;
	int compression; /* enum inflate_kind, or -1: by its first bytes */
	char *path;	 /* in a layout */
};
struct source_image {
	char digest[DIGEST_TEXT_SIZE]; /* what the reference resolved to: index or manifest; "" unknown */
	char config_digest[DIGEST_TEXT_SIZE];
	struct buf manifest, config;
	struct strv diff_ids, chain_ids;
	struct strv names; /* of an import */
	struct source_layer *layers;
	size_t layer_count;
};
void source_image_done(struct source_image *s);
DEFINE_CLEANUP_VALUE(struct source_image, source_image_done)

/* Take the layers of a parsed manifest. */
void source_take_manifest(struct source_image *s, const struct manifest *m);
/* Read s->config: its platform is the host's, and it has as many diff ids as there are layers; fills
 * diff_ids, chain_ids and config_digest. Fails: INVALID (naming both platforms), CORRUPT. */
int source_read_config(struct source_image *s, const struct platform *host, struct error *e) MUST_USE;

/* What came from a registry or an archive is not the caller's mistake: INVALID becomes CORRUPT. */
int source_fault(struct error *e);

/* A layout directory: OCI, or what `docker save` makes. Fails: INVALID (neither), SYS. */
struct layout;
int layout_open(int dfd, struct layout **ret, struct error *e) MUST_USE;
void layout_free(struct layout *l);
DEFINE_CLEANUP(struct layout, layout_free)
size_t layout_count(const struct layout *l);
int layout_image(struct layout *l, size_t i, const struct platform *host, struct source_image *ret,
		 struct error *e) MUST_USE;
int layout_layer(struct layout *l, const struct source_layer *layer, int *ret_fd, struct error *e) MUST_USE;

#endif
