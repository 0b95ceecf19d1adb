/* SPDX-License-Identifier: Apache-2.0 */
/* Two magic numbers, then messages, each behind its length; all in the byte order of the machine. */
#include "oci/criu_pagemap.h"

#include <stdbool.h>
#include <string.h>

#include "codec/arena.h"
#include "codec/pb.h"
#include "criu.pb-c.h"

#define MAGIC_COMMON 0x54564319u
#define MAGIC_PAGEMAP 0x56084025u
#define ENTRY_MAX 256u /* bytes; criu's have up to 30 */
#define IS_PRESENT 4u  /* of the flags of an entry: its pages are in the pages image */
#define PAGES_MAX (UINT64_MAX >> 13)

struct reader {
	const char *at;
	size_t left;
};

static bool take(struct reader *r, void *out, size_t n)
{
	if (r->left < n)
		return false;
	memcpy(out, r->at, n);
	r->at += n;
	r->left -= n;
	return true;
}

static int take_message(struct reader *r, const ProtobufCMessageDescriptor *type, struct arena *a, void **ret,
			struct error *e)
{
	uint32_t size;
	int result;

	if (!take(r, &size, sizeof(size)) || size > ENTRY_MAX || size > r->left)
		return err_new(e, ERR_INVALID, "it is cut short");
	result = pb_unpack(type, r->at, size, a, ret, e);
	r->at += size;
	r->left -= size;
	return result;
}

/* criu before 2.0 had no flags, and before 4.1 another count. */
static uint64_t pages_of(const Hull__Criu__PagemapEntry *m)
{
	bool is_present = m->has_flags ? (m->flags & IS_PRESENT) != 0 : !m->in_parent;

	if (!is_present)
		return 0;
	return m->has_nr_pages ? m->nr_pages : m->compat_nr_pages;
}

int criu_pagemap_read(const char *data, size_t len, struct criu_pagemap *ret, struct error *e)
{
	struct reader r = { data, len };
	cleanup_arena struct arena arena = ARENA_INIT;
	struct criu_pagemap map = { 0 };
	Hull__Criu__PagemapHead *head;
	uint32_t magic[2];
	int result;

	if (!take(&r, magic, sizeof(magic)) || magic[0] != MAGIC_COMMON || magic[1] != MAGIC_PAGEMAP)
		return err_new(e, ERR_INVALID, "it is no pagemap of criu");
	result = take_message(&r, &hull__criu__pagemap_head__descriptor, &arena, (void **)&head, e);
	if (result < 0)
		return result;
	map.pages_id = head->pages_id;
	while (r.left) {
		Hull__Criu__PagemapEntry *m;
		uint64_t n;

		arena_done(&arena);
		result = take_message(&r, &hull__criu__pagemap_entry__descriptor, &arena, (void **)&m, e);
		if (result < 0)
			return result;
		n = pages_of(m);
		if (n > PAGES_MAX || map.pages + n > PAGES_MAX)
			return err_new(e, ERR_INVALID, "no memory has that many pages");
		map.pages += n;
	}
	*ret = map;
	return 0;
}
