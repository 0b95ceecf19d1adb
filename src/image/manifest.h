/* SPDX-License-Identifier: Apache-2.0 */
/* The documents of an image: index, manifest, config (OCI image spec 1.1; Docker schema 2). Pure: text in,
 * checked structures out, everything bounded. */
#ifndef HULL_IMAGE_MANIFEST_H
#define HULL_IMAGE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "codec/inflate.h"
#include "image/images.h"

#define MANIFEST_MAX_BYTES (4U << 20)
#define IMAGE_CONFIG_MAX_BYTES (8U << 20)
/* overlayfs takes at most 500 lower layers (its OVL_MAX_STACK); one more than a runtime can mount is of
 * no use. */
#define IMAGE_LAYERS_MAX 500

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

struct platform {
	const char *os, *architecture, *variant; /* variant "" when there is none */
};
/* What this host runs, in the words of the OCI image spec ("linux", "amd64", ""). */
struct platform platform_of_host(void);
/* How well an image of this platform fits the host: 0 not at all, more is better. The variant decides only
 * within an architecture: arm64 without one is v8, arm without one is v7; an arm host runs the earlier
 * variants too, an amd64 host the levels (v2, v3, v4) that its CPU has, when there is no plain amd64. */
int platform_rank(const struct platform *host, const char *os, const char *architecture, const char *variant);

struct descriptor {
	char *media_type;
	char *digest;
	uint64_t size_bytes;
};
void descriptor_done(struct descriptor *d);
DEFINE_CLEANUP_VALUE(struct descriptor, descriptor_done)

/* What a fetched document is: by the registry's media type, otherwise by its own mediaType member,
 * otherwise by its members. Fails: UNSUPPORTED (schema 1, others, by name), INVALID (no JSON object). */
enum manifest_kind { MANIFEST_INDEX, MANIFEST_IMAGE };
int manifest_kind_of(const char *text, size_t len, const char *media_type, enum manifest_kind *ret,
		     struct error *e) MUST_USE;

/* Choose the manifest for the host from an index: the first whose platform matches, an exact variant before
 * a compatible one. Fails: NOT_FOUND (naming the platforms that are there), INVALID, LIMIT, UNSUPPORTED. */
int index_choose(const char *text, size_t len, const struct platform *host, struct descriptor *ret,
		 struct error *e) MUST_USE;

struct manifest_layer {
	struct descriptor blob;
	enum inflate_kind compression;
};
struct manifest {
	struct descriptor config;
	struct manifest_layer *layers; /* lowest first */
	size_t layer_count;
};
/* Fails: INVALID, LIMIT (layers), UNSUPPORTED (media types, by name). */
int manifest_parse(const char *text, size_t len, struct manifest *ret, struct error *e) MUST_USE;
void manifest_done(struct manifest *m);
DEFINE_CLEANUP_VALUE(struct manifest, manifest_done)

/* Parse a config blob. ret_diff_ids gets the digests of the uncompressed layers, lowest first.
 * Fails: INVALID, LIMIT. */
int image_config_parse(const char *text, size_t len, struct image_config *ret, struct strv *ret_diff_ids,
		       struct error *e) MUST_USE;
void image_config_done(struct image_config *c);
DEFINE_CLEANUP_VALUE(struct image_config, image_config_done)

#endif
