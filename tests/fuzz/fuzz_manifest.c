/* SPDX-License-Identifier: Apache-2.0 */
/* Index, manifest and config, whatever a registry sends; and its WWW-Authenticate header. */
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "image/auth.h"
#include "image/manifest.h"

static void try_header(const uint8_t *data, size_t size)
{
	CLEANUP(auth_challenge_done) struct auth_challenge c = { 0 };
	cleanup_free char *header = str_ndup((const char *)data, size < 4096 ? size : 4096);
	char *user = NULL, *password = NULL;

	if (auth_challenge_parse(header, &c, NULL) == 0 && c.is_bearer && !c.realm)
		abort();
	if (auth_decode(header, &user, &password) == 0) {
		auth_wipe(user);
		auth_wipe(password);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct platform host = { "linux", "amd64", "" };
	CLEANUP(descriptor_done) struct descriptor chosen = { 0 };
	CLEANUP(manifest_done) struct manifest m = { 0 };
	CLEANUP(image_config_done) struct image_config config = { 0 };
	cleanup_strv struct strv diff_ids = STRV_INIT;
	const char *text = (const char *)data;
	enum manifest_kind kind;
	struct error e = ERROR_INIT;

	try_header(data, size);
	if (manifest_kind_of(text, size, NULL, &kind, &e) < 0)
		err_clear(&e);
	if (index_choose(text, size, &host, &chosen, &e) == 0 && !image_digest_is_valid(chosen.digest))
		abort();
	err_clear(&e);
	if (manifest_parse(text, size, &m, &e) == 0)
		for (size_t i = 0; i < m.layer_count; i++)
			if (!image_digest_is_valid(m.layers[i].blob.digest))
				abort();
	err_clear(&e);
	if (image_config_parse(text, size, &config, &diff_ids, &e) == 0)
		for (size_t i = 0; i < diff_ids.n; i++)
			if (!image_digest_is_valid(diff_ids.v[i]))
				abort();
	return 0;
}
