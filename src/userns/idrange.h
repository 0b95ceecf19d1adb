/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of host id blocks in use by pods, so that no two pods ever share one, and the choice of
 * a free block out of the node's pool.
 *
 * Uids and gids are counted as one number space: a pod that maps to uids 100000.. and another that
 * maps to gids 100000.. share a block here. (A file's group and its owner are checked apart by the
 * kernel, but a pool that hands out blocks for both is then simply right.)
 *
 * A claim belongs to a holder (a sandbox id: unique) of a pod (its Kubernetes uid or name). Two
 * sandboxes of one pod may hold the same block: kubelet gives a pod's next attempt the range of the
 * one before, while that one may still be there, stopped. Between different pods an overlap is refused.
 *
 * Not thread-safe: a registry is guarded by the caller's mutex. Memory is bounded by the caller's
 * number of sandboxes. */
#ifndef HULL_USERNS_IDRANGE_H
#define HULL_USERNS_IDRANGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "userns/idmap.h"

struct idrange; /* the registry */

struct idrange *idrange_new(void);
void idrange_free(struct idrange *reg);
DEFINE_CLEANUP(struct idrange, idrange_free)
#define cleanup_idrange CLEANUP(idrange_free)

/* Claim the host side of a map for a holder, whose further claims (uids, then gids) add to it.
 * pod is what an overlap's message names. All or nothing. O(blocks).
 * Fails: EXISTS   another pod has an overlapping block; names it, its holder and both ranges
 *        INVALID  as idmap_check() */
int idrange_claim(struct idrange *reg, const char *holder, const char *pod, const struct idmap *map,
		  struct error *e) MUST_USE;

/* Forget all claims of this holder. Idempotent. */
void idrange_release(struct idrange *reg, const char *holder);

/* A block of host ids: first .. first + length - 1. */
struct idrange_block {
	uint32_t first, length;
};
#define IDRANGE_POOL_MAX 64
struct idrange_pool {
	struct idrange_block block[IDRANGE_POOL_MAX];
	size_t n;
};
#define IDRANGE_POOL_INIT ((struct idrange_pool){ .n = 0 })

/* Choose count free host ids in a row out of the pool and claim them for the holder: the first fit, in
 * the order of the pool's blocks, so the same history gives the same answer. O(blocks) for each block
 * of the pool.
 * Fails: LIMIT    no room; says how many ids the pool has and how many are in use
 *        INVALID  count is 0 */
int idrange_alloc(struct idrange *reg, const char *holder, const char *pod, uint32_t count,
		  const struct idrange_pool *pool, uint32_t *ret_first, struct error *e) MUST_USE;

/* Add a block, refusing an empty one and one that reaches 4294967295 (INVALID), one that overlaps a
 * block of the pool (EXISTS), more than IDRANGE_POOL_MAX (LIMIT). */
int idrange_pool_add(struct idrange_pool *pool, struct idrange_block block, struct error *e) MUST_USE;

/* Add all blocks that a file in the form of subuid(5) gives to this user, by name or by numeric uid
 * (uid_text, "1000"; NULL: by name only), in the file's order.
 * Fails: NOT_FOUND (no file, or no line of this user: says which), INVALID (with the line's number),
 *        EXISTS, LIMIT, SYS. */
int idrange_pool_load_subid(struct idrange_pool *pool, const char *path, const char *user,
			    const char *uid_text, struct error *e) MUST_USE;

/* What both pools have: for a user whose /etc/subuid and /etc/subgid differ. Fails: LIMIT. */
int idrange_pool_intersect(const struct idrange_pool *a, const struct idrange_pool *b,
			   struct idrange_pool *ret_both, struct error *e) MUST_USE;

/* How many ids the pool has. */
uint64_t idrange_pool_size(const struct idrange_pool *pool);

#endif
