/* SPDX-License-Identifier: Apache-2.0 */
/* What parses is written and parses again to an equal tree. */
#include <stdlib.h>

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json struct json_object *doc = NULL, *again = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	struct error e = ERROR_INIT;

	if (json_parse((const char *)data, size, 1 << 20, &doc, &e) < 0)
		return err_msg(&e)[0] ? 0 : (abort(), 0);
	json_text(doc, false, &text);
	/* Escapes can make the text longer, not deeper. */
	if (json_parse(text.data, text.len, JSON_MAX_BYTES, &again, &e) < 0 || !json_object_equal(doc, again))
		abort();
	return 0;
}
