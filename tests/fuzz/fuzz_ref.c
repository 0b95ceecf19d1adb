/* SPDX-License-Identifier: Apache-2.0 */
/* A reference that parses has a normal form that parses to itself, and so does its familiar form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "image/registries.h"

static void must_be(const char *text, const char *full)
{
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_free char *again = NULL;

	if (image_ref_parse(text, &ref, NULL) < 0)
		abort();
	again = image_ref_full(&ref);
	if (!str_eq(again, full))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = str_ndup((const char *)data, size);
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_free char *full = NULL, *familiar = NULL;
	struct error e = ERROR_INIT;
	struct registry_endpoint *v;
	size_t n;

	if (image_ref_parse(text, &ref, &e) < 0)
		return 0;
	full = image_ref_full(&ref);
	familiar = image_ref_familiar(&ref);
	must_be(full, full);
	must_be(familiar, full);
	registries_resolve(NULL, &ref, &v, &n);
	if (n != 1 || strpbrk(v[0].url, " \r\n\"@"))
		abort();
	registry_endpoints_free(v, n);
	return 0;
}
