/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 over a stream, by libcrypto. For the image worker only: hulld does not link it. */
#ifndef HULL_CODEC_DIGEST_H
#define HULL_CODEC_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define DIGEST_TEXT_SIZE (sizeof("sha256:") + 64)

struct digest;

struct digest *digest_new(void);
void digest_free(struct digest *d);
DEFINE_CLEANUP(struct digest, digest_free)
void digest_add(struct digest *d, const void *data, size_t n);
/* "sha256:<hex>" of all that was added; only digest_free() may follow. */
void digest_end(struct digest *d, char out[DIGEST_TEXT_SIZE]);
/* The same in one step. */
void digest_of(const void *data, size_t n, char out[DIGEST_TEXT_SIZE]);

#endif
