/* SPDX-License-Identifier: Apache-2.0 */
/* An image's passwd and group, and a user to look for: three parts, between them a line "--". */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "oci/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *cut(const uint8_t *data, size_t *size, struct buf *part)
{
	const uint8_t *mark = memmem(data, *size, "--\n", 3);
	size_t n = mark ? (size_t)(mark - data) : *size, used = mark ? n + 3 : n;

	buf_add(part, data, n);
	*size -= used;
	return data + used;
}

static void resolve(const struct identity_files *files, struct identity_request req)
{
	CLEANUP(oci_identity_done) struct oci_identity id = OCI_IDENTITY_INIT;
	cleanup_free char *home = NULL;
	struct error e = ERROR_INIT;

	if (identity_resolve(files, &req, &id, &e) < 0) {
		if (!err_msg(&e)[0] || id.groups)
			abort();
		return;
	}
	home = identity_home(files, id.uid);
	if (id.uid == UINT32_MAX || id.gid == UINT32_MAX || id.group_count == 0 || id.home[0] != '/' ||
	    home[0] != '/')
		abort();
	for (size_t i = 0; i < id.group_count; i++) {
		if (id.groups[i] == UINT32_MAX || (i && id.groups[i] <= id.groups[i - 1]))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	cleanup_buf struct buf user = BUF_INIT;

	data = cut(data, &size, &user);
	data = cut(data, &size, &files.passwd);
	cut(data, &size, &files.group);
	resolve(&files, (struct identity_request){ .user = buf_str(&user) });
	resolve(&files, (struct identity_request){ .user = buf_str(&user), .policy = IDENTITY_STRICT });
	resolve(&files, (struct identity_request){ .username = buf_str(&user) });
	resolve(&files, (struct identity_request){ .has_uid = true, .uid = (int64_t)user.len - 1 });
	return 0;
}
