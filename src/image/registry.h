/* SPDX-License-Identifier: Apache-2.0 */
/* One repository at one endpoint, by the OCI distribution spec. For one thread. */
#ifndef HULL_IMAGE_REGISTRY_H
#define HULL_IMAGE_REGISTRY_H

#include "base/buf.h"
#include "base/error.h"
#include "codec/digest.h"
#include "image/auth.h"
#include "image/http.h"

struct registry {
	const struct registry_endpoint *endpoint;
	const char *path; /* "library/busybox" */
	struct auth *auth;
	struct http *http;
};

/* Fetch a manifest or index by tag or digest. ret_digest is that of the bytes; when the reference is a
 * digest it has been checked. ret_media is what the registry calls it, or NULL.
 * Fails: NOT_FOUND, AUTH, UNAVAILABLE, CORRUPT, LIMIT. */
int registry_manifest(struct registry *r, const char *reference, struct buf *ret, char **ret_media,
		      char ret_digest[DIGEST_TEXT_SIZE], struct error *e) MUST_USE;

/* Fetch a small blob whole, checked. Fails as above. */
int registry_document(struct registry *r, const char *digest, uint64_t size_bytes, struct buf *ret,
		      struct error *e) MUST_USE;

/* Stream a blob into sink; its bytes are counted here but not hashed. A connection that closes in the
 * middle is taken up again at that byte, a bounded number of times.
 * Fails: as above, and as sink did. */
int registry_blob(struct registry *r, const char *digest, uint64_t size_bytes,
		  int (*sink)(void *arg, const void *data, size_t n, struct error *e), void *arg,
		  struct error *e) MUST_USE;

#endif
