/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins print. A result that is taken is taken again in the form of every version. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "net/cni_result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(struct json_object *o, enum cni_version version, size_t ip_count)
{
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	cleanup_json struct json_object *again = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	struct error e = ERROR_INIT;

	json_text(o, false, &text);
	assert(cni_result_read(buf_str(&text), text.len, version, &again, &e) == 0);
	assert(cni_result_from_json(again, "eth0", &result, &e) == 0);
	assert(result->ip_count == ip_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	cleanup_strv struct strv versions = STRV_INIT;
	cleanup_json struct json_object *o = NULL;
	const char *text = (const char *)data;
	struct error e = ERROR_INIT;

	(void)!cni_versions_read(text, size, &versions, &e);
	(void)!cni_error_read(text, size, &e);
	if (cni_result_read(text, size, CNI_1_0_0, &o, &e) < 0)
		return 0;
	assert(cni_result_from_json(o, "eth0", &result, &e) == 0);
	for (int v = 0; v < CNI_VERSION_COUNT; v++)
		read_again(o, (enum cni_version)v, result->ip_count);
	return 0;
}
