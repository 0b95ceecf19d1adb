/* SPDX-License-Identifier: Apache-2.0 */
/* All blocks in use stand in one array, in the order of their first id. Blocks of one pod may overlap
 * (uids and gids, two attempts), so the order of the ends says nothing and a search walks the array:
 * a node of 1000 pods has 2000 entries, which is microseconds. */
#include "userns/idrange.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct claim {
	char *holder, *pod; /* owned */
	struct idrange_block block;
};
struct idrange {
	struct claim *claims;
	size_t n, cap;
};

static uint64_t end_of(struct idrange_block b)
{
	return (uint64_t)b.first + b.length;
}

static bool is_overlap(struct idrange_block a, struct idrange_block b)
{
	return a.first < end_of(b) && b.first < end_of(a);
}

struct idrange *idrange_new(void)
{
	return NEW(struct idrange);
}

static void claim_done(struct claim *c)
{
	free(c->holder);
	free(c->pod);
}

void idrange_free(struct idrange *reg)
{
	if (!reg)
		return;
	for (size_t i = 0; i < reg->n; i++)
		claim_done(&reg->claims[i]);
	free(reg->claims);
	free(reg);
}

static int check_free(const struct idrange *reg, const char *pod, struct idrange_block b, struct error *e)
{
	for (size_t i = 0; i < reg->n && reg->claims[i].block.first < end_of(b); i++) {
		const struct claim *c = &reg->claims[i];

		if (!is_overlap(c->block, b) || str_eq(c->pod, pod))
			continue;
		return err_new(e, ERR_EXISTS,
			       "host ids %u to %u of pod \"%s\" overlap host ids %u to %u of pod \"%s\" "
			       "(sandbox %s)",
			       b.first, (uint32_t)(end_of(b) - 1), pod, c->block.first,
			       (uint32_t)(end_of(c->block) - 1), c->pod, c->holder);
	}
	return 0;
}

static void insert(struct idrange *reg, const char *holder, const char *pod, struct idrange_block b)
{
	size_t at = 0;

	if (reg->n == reg->cap) {
		reg->cap = reg->cap ? 2 * reg->cap : 16;
		reg->claims = mem_regrow(reg->claims, reg->cap, sizeof(reg->claims[0]));
	}
	while (at < reg->n && reg->claims[at].block.first <= b.first)
		at++;
	memmove(reg->claims + at + 1, reg->claims + at, (reg->n - at) * sizeof(reg->claims[0]));
	reg->claims[at] = (struct claim){ .holder = str_dup(holder), .pod = str_dup(pod), .block = b };
	reg->n++;
}

int idrange_claim(struct idrange *reg, const char *holder, const char *pod, const struct idmap *map,
		  struct error *e)
{
	int r = idmap_check(map, false, "id", e);

	for (size_t i = 0; i < map->n && r == 0; i++)
		r = check_free(reg, pod, (struct idrange_block){ map->x[i].host_id, map->x[i].length }, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < map->n; i++)
		insert(reg, holder, pod, (struct idrange_block){ map->x[i].host_id, map->x[i].length });
	return 0;
}

void idrange_release(struct idrange *reg, const char *holder)
{
	size_t kept = 0;

	for (size_t i = 0; i < reg->n; i++)
		if (str_eq(reg->claims[i].holder, holder))
			claim_done(&reg->claims[i]);
		else
			reg->claims[kept++] = reg->claims[i];
	reg->n = kept;
}

/* The first fit of count ids in one block of the pool; the claims are in order. */
static bool find_fit(const struct idrange *reg, struct idrange_block pool, uint32_t count,
		     uint32_t *ret_first)
{
	uint64_t first = pool.first;

	for (size_t i = 0; i < reg->n && reg->claims[i].block.first < first + count; i++)
		if (end_of(reg->claims[i].block) > first)
			first = end_of(reg->claims[i].block);
	if (first + count > end_of(pool))
		return false;
	*ret_first = (uint32_t)first;
	return true;
}

/* How many ids of the pool are claimed, each counted once. */
static uint64_t count_used(const struct idrange *reg, const struct idrange_pool *pool)
{
	uint64_t used = 0;

	for (size_t p = 0; p < pool->n; p++) {
		uint64_t seen = pool->block[p].first, limit = end_of(pool->block[p]);

		for (size_t i = 0; i < reg->n; i++) {
			uint64_t from = reg->claims[i].block.first, to = end_of(reg->claims[i].block);

			from = from > seen ? from : seen;
			to = to < limit ? to : limit;
			if (from >= to)
				continue;
			used += to - from;
			seen = to;
		}
	}
	return used;
}

int idrange_alloc(struct idrange *reg, const char *holder, const char *pod, uint32_t count,
		  const struct idrange_pool *pool, uint32_t *ret_first, struct error *e)
{
	if (count == 0)
		return err_new(e, ERR_INVALID, "a block of 0 host ids for pod \"%s\"", pod);
	for (size_t i = 0; i < pool->n; i++) {
		uint32_t first;

		if (!find_fit(reg, pool->block[i], count, &first))
			continue;
		insert(reg, holder, pod, (struct idrange_block){ first, count });
		*ret_first = first;
		return 0;
	}
	return err_new(e, ERR_LIMIT,
		       "no %u free host ids in a row for pod \"%s\": of the %llu ids of the pool's %zu "
		       "blocks %llu are in use",
		       count, pod, (unsigned long long)idrange_pool_size(pool), pool->n,
		       (unsigned long long)count_used(reg, pool));
}
