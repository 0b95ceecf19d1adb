/* SPDX-License-Identifier: Apache-2.0 */
/* What comes with a checkpoint that somebody else made: descriptors.json; and what is read around it, criu's log and
 * a mountinfo whose paths a container chose. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "oci/criu_pagemap.h"
#include "oci/criu_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mounts(const char *text)
{
	CLEANUP(mountinfo_done) struct mountinfo m = MOUNTINFO_INIT;
	CLEANUP(criu_pairs_done) struct criu_pairs p = CRIU_PAIRS_INIT;
	struct criu_named named = { -1, "/name", false };

	mountinfo_parse(&m, text);
	if (!m.n || m.n > 64)
		return;
	named.mount_id = m.v[0].id;
	criu_plan_dump(&m, &named, 1, &p);
	criu_plan_below(&m, "/tmp/m0", "/name", &p);
	assert(p.n <= 2 * m.n + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(criu_descriptors_done) struct criu_descriptors d = CRIU_DESCRIPTORS_INIT;
	cleanup_free char *text = str_ndup((const char *)data, size);
	char quote[CRIU_QUOTE_SIZE];
	struct criu_pagemap map;
	struct error e = ERROR_INIT;

	if (criu_descriptors_read(text, size, &d, &e) == 0)
		for (size_t i = 0; i < 3; i++)
			assert(!d.key[i] || str_starts(d.key[i], "pipe:[") || str_starts(d.key[i], "file[") ||
			       str_starts(d.key[i], "tty[") || str_starts(d.key[i], "socket:["));
	criu_log_quote((const char *)data, size, quote);
	assert(strlen(quote) < sizeof(quote));
	mounts(text);
	(void)!criu_pagemap_read((const char *)data, size, &map, &e);
	return 0;
}
