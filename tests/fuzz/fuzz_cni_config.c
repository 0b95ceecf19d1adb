/* SPDX-License-Identifier: Apache-2.0 */
/* Network configurations. The first byte chooses a list or a single plugin. What is taken goes through a
 * record and comes back the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "net/cni_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cni_config_free) struct cni_config *c = NULL, *back = NULL;
	cleanup_json struct json_object *o = NULL;
	struct error e = ERROR_INIT;

	if (size == 0 || cni_config_parse((const char *)data + 1, size - 1, data[0] & 1, &c, &e) < 0)
		return 0;
	assert(cni_is_name(c->name) && c->plugin_count > 0);
	o = cni_config_to_json(c);
	assert(cni_config_from_json(o, &back, &e) == 0);
	assert(str_eq(back->name, c->name) && back->version == c->version &&
	       back->plugin_count == c->plugin_count);
	return 0;
}
