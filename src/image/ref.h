/* SPDX-License-Identifier: Apache-2.0 */
/* Image references, in the grammar and with the short forms of docker (the "distribution reference"
 * grammar): busybox is docker.io/library/busybox:latest. Pure; bounds every length. */
#ifndef HULL_IMAGE_REF_H
#define HULL_IMAGE_REF_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"

struct image_ref {
	char *domain; /* "docker.io", "registry.k8s.io", "127.0.0.1:5000", "[::1]:5000" */
	char *path;   /* "library/busybox" */
	char *tag;    /* "latest"; NULL when only a digest was given */
	char *digest; /* "sha256:<64 hex digits>" or NULL */
};
#define IMAGE_REF_INIT ((struct image_ref){ 0 })

#define IMAGE_REF_NAME_MAX 255 /* domain/path, as distribution limits it */
#define IMAGE_REF_TAG_MAX 128

/* Parse and complete a reference: a missing domain is docker.io (index.docker.io too), a docker.io path
 * of one part gets "library/", and "latest" is the tag when neither tag nor digest is there.
 * Fails: INVALID, naming the part that is wrong and the text. ret is unchanged then. */
int image_ref_parse(const char *text, struct image_ref *ret, struct error *e) MUST_USE;
void image_ref_done(struct image_ref *ref);
DEFINE_CLEANUP_VALUE(struct image_ref, image_ref_done)
#define cleanup_image_ref CLEANUP(image_ref_done)

/* The caller frees each. */
char *image_ref_name(const struct image_ref *ref) MUST_USE;	/* docker.io/library/busybox */
char *image_ref_full(const struct image_ref *ref) MUST_USE;	/* name[:tag][@digest] */
char *image_ref_tagged(const struct image_ref *ref) MUST_USE;	/* name:tag, or NULL without a tag */
char *image_ref_familiar(const struct image_ref *ref) MUST_USE; /* busybox:latest, as a person writes it */

/* "sha256:" and 64 lower-case hex digits: the only algorithm that is accepted. */
bool image_digest_is_valid(const char *text);
/* The hex digits of a valid digest; borrowed. */
const char *image_digest_hex(const char *digest);

#endif
