/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of host ids that a node may give to pods. The file format is that of subuid(5):
 * "USER:FIRST:COUNT", where USER is a login name or a uid. */
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "userns/idrange.h"

#define SUBID_FILE_MAX (16 * 1024 * 1024)

int idrange_pool_add(struct idrange_pool *pool, struct idrange_block block, struct error *e)
{
	uint64_t end = (uint64_t)block.first + block.length;

	if (block.length == 0)
		return err_new(e, ERR_INVALID, "host ids from %u: the count is 0", block.first);
	if (end > UINT32_MAX)
		return err_new(e, ERR_INVALID, "host ids from %u, count %u: passes 4294967294, the last id",
			       block.first, block.length);
	for (size_t i = 0; i < pool->n; i++) {
		struct idrange_block old = pool->block[i];

		if (old.first < end && block.first < (uint64_t)old.first + old.length)
			return err_new(e, ERR_EXISTS,
				       "host ids from %u, count %u: overlap those from %u, count %u",
				       block.first, block.length, old.first, old.length);
	}
	if (pool->n >= IDRANGE_POOL_MAX)
		return err_new(e, ERR_LIMIT, "more than %d blocks of host ids", IDRANGE_POOL_MAX);
	pool->block[pool->n++] = block;
	return 0;
}

/* One line; one of another user is passed over. It is cut at its colons. */
static int parse_line(struct idrange_pool *pool, char *line, const char *user, const char *uid_text,
		      bool *found, struct error *e)
{
	char *first = strchr(line, ':'), *count = first ? strchr(first + 1, ':') : NULL;
	struct idrange_block block;
	int r;

	if (first)
		*first++ = '\0';
	if (!str_eq(line, user) && !(uid_text && str_eq(line, uid_text)))
		return 0;
	if (!count)
		return err_new(e, ERR_INVALID, "not USER:FIRST:COUNT");
	*count++ = '\0';
	r = str_to_u32(first, &block.first, e);
	if (r == 0)
		r = str_to_u32(count, &block.length, e);
	if (r == 0)
		r = idrange_pool_add(pool, block, e);
	*found = true;
	return r;
}

int idrange_pool_load_subid(struct idrange_pool *pool, const char *path, const char *user,
			    const char *uid_text, struct error *e)
{
	struct idrange_pool loaded = *pool;
	cleanup_buf struct buf text = BUF_INIT;
	bool found = false;
	unsigned int number = 0;
	int r = file_read(AT_FDCWD, path, SUBID_FILE_MAX, &text, e);

	for (char *line = text.data, *next; r == 0 && line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		r = parse_line(&loaded, line, user, uid_text, &found, e);
		if (r < 0)
			return err_ctx(e, "\"%s\" line %u", path, number);
	}
	if (r < 0)
		return r;
	if (!found) {
		err_new(e, ERR_NOT_FOUND, "\"%s\" gives no ids to user \"%s\"", path, user);
		return err_hint(e, "add a line \"%s:FIRST:COUNT\", see subuid(5)", user);
	}
	*pool = loaded;
	return 0;
}

int idrange_pool_intersect(const struct idrange_pool *a, const struct idrange_pool *b,
			   struct idrange_pool *ret_both, struct error *e)
{
	struct idrange_pool both = IDRANGE_POOL_INIT;

	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++) {
			struct idrange_block x = a->block[i], y = b->block[j];
			uint64_t x_end = (uint64_t)x.first + x.length, y_end = (uint64_t)y.first + y.length;
			uint32_t first = x.first > y.first ? x.first : y.first;
			uint64_t end = x_end < y_end ? x_end : y_end;
			int r;

			if (first >= end)
				continue;
			r = idrange_pool_add(&both, (struct idrange_block){ first, (uint32_t)(end - first) },
					     e);
			if (r < 0)
				return r;
		}
	*ret_both = both;
	return 0;
}

uint64_t idrange_pool_size(const struct idrange_pool *pool)
{
	uint64_t size = 0;

	for (size_t i = 0; i < pool->n; i++)
		size += pool->block[i].length;
	return size;
}
