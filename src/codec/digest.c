/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/digest.h"

/* A type of OpenSSL has the name of one of our error kinds. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* The EVP calls fail only when memory is out or the library is broken: neither leaves a way on. */
static void must(int ok)
{
	if (ok != 1) {
		fputs("libcrypto: SHA-256 failed\n", stderr);
		abort();
	}
}

struct digest *digest_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx != NULL);
	must(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
	return (struct digest *)ctx;
}

void digest_free(struct digest *d)
{
	EVP_MD_CTX_free((EVP_MD_CTX *)d);
}

void digest_add(struct digest *d, const void *data, size_t n)
{
	must(EVP_DigestUpdate((EVP_MD_CTX *)d, data, n));
}

void digest_end(struct digest *d, char out[DIGEST_TEXT_SIZE])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	must(EVP_DigestFinal_ex((EVP_MD_CTX *)d, sum, &len));
	memcpy(out, "sha256:", 7);
	str_hex(out + 7, sum, len);
}

void digest_of(const void *data, size_t n, char out[DIGEST_TEXT_SIZE])
{
	CLEANUP(digest_free) struct digest *d = digest_new();

	digest_add(d, data, n);
	digest_end(d, out);
}
