/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever Pod manifest is taken becomes messages that can be packed; text of the same bytes as a log is taken apart
 * without leaving its bounds. */
#include <stdlib.h>

#include "codec/pb.h"
#include "ctl/logline.h"
#include "ctl/pod_plan.h"

static void plan(struct arena *a, const struct manifest *m)
{
	const char **volumes = arena_array(a, m->volumes.n, sizeof(*volumes));
	struct pod_plan p = {
		.arena = a,
		.manifest = m,
		.uid = "u",
		.log_directory = "/l",
		.node_name = "n",
		.volume_paths = volumes,
		.userns_start = 100000,
		.userns_length = m->host_users == TRI_FALSE ? 65536 : 0,
		.memory_bytes = 1 << 30,
	};
	cleanup_buf struct buf packed = BUF_INIT;

	for (size_t i = 0; i < m->volumes.n; i++)
		volumes[i] = MANIFEST_AT(m->volumes, struct manifest_volume, i)->kind == VOLUME_UNSUPPORTED
				     ? NULL
				     : "/v";
	if (pb_pack(pod_plan_sandbox(&p), SIZE_MAX, &packed, NULL) < 0)
		abort();
	for (size_t i = 0; i < m->init.n + m->containers.n; i++) {
		const struct pod_plan_container k = { manifest_container(m, i), "sha256:1", "10.0.0.1" };

		if (pb_pack(pod_plan_container(&p, &k), SIZE_MAX, &packed, NULL) < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct yaml_node *doc = NULL;
	struct logline line;
	struct manifest m;

	if (logline_parse((const char *)data, size, &line) &&
	    (line.text < (const char *)data || line.text + line.len != (const char *)data + size))
		abort();
	if (yaml_parse("f", (const char *)data, size, &a, &doc, NULL) < 0)
		return 0;
	for (; doc; doc = doc->next) {
		if (manifest_read(doc, &a, &m, NULL) < 0)
			continue;
		plan(&a, &m);
		manifest_done(&m);
	}
	return 0;
}
