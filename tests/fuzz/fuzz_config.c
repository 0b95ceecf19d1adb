/* SPDX-License-Identifier: Apache-2.0 */
/* YAML, and the configuration's schema over it. What is refused is refused with words. */
#include <stdlib.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct daemon_config c;
	struct error e = ERROR_INIT;

	if (config_parse("f", (const char *)data, size, &c, &e) < 0) {
		if (!*err_msg(&e) || e.kind == ERR_NONE)
			abort();
		return 0;
	}
	if (c.node.handler_count == 0 || !c.node.listen)
		abort();
	config_done(&c);
	return 0;
}
