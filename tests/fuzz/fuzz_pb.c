/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of all 43 methods; the first byte says which. What is accepted can be packed again, and what
 * comes out is accepted too. */
#include <stdlib.h>
#include <string.h>

#include "codec/pb.h"
#include "cri/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena a = ARENA_INIT;
	cleanup_buf struct buf packed = BUF_INIT;
	const ProtobufCMessageDescriptor *type;
	struct error e = ERROR_INIT;
	void *m;
	int r;

	if (size == 0)
		return 0;
	type = cri_methods[data[0] % (CRI_METHOD_COUNT + NODE_METHOD_COUNT)].req;
	r = pb_check(type, data + 1, size - 1, &e);
	if (r < 0) {
		if (r != -ERR_INVALID || !*err_msg(&e))
			abort();
		if (pb_unpack(type, data + 1, size - 1, &a, &m, NULL) >= 0)
			abort();
		return 0;
	}
	if (pb_unpack(type, data + 1, size - 1, &a, &m, &e) < 0)
		return 0;
	if (pb_pack(m, SIZE_MAX / 2, &packed, &e) < 0)
		abort();
	if (pb_unpack(type, packed.data, packed.len, &a, &m, &e) < 0 && e.kind != ERR_LIMIT)
		abort();
	return 0;
}
