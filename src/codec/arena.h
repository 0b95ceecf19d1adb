/* SPDX-License-Identifier: Apache-2.0 */
/* Memory with one common end: what belongs to a request or a parsed document is taken from an arena
 * piece by piece and given back all at once. Nothing taken from it is ever freed singly. Not
 * thread-safe. */
#ifndef HULL_CODEC_ARENA_H
#define HULL_CODEC_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct arena_block;
struct arena {
	struct arena_block *blocks; /* newest first */
	char *at, *end;		    /* what is left of the newest */
	size_t total;		    /* bytes in all blocks */
};
#define ARENA_INIT ((struct arena){ 0 })

/* Give everything back; the arena is empty and can be used again. */
void arena_done(struct arena *a);
DEFINE_CLEANUP_VALUE(struct arena, arena_done)
#define cleanup_arena CLEANUP(arena_done)

/* size bytes, zeroed, aligned for every type; never NULL (base/mem.h). */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
/* The same, not zeroed. */
void *arena_raw(struct arena *a, size_t size) __attribute__((returns_nonnull));
/* count * size bytes, zeroed; overflow ends the process. */
void *arena_array(struct arena *a, size_t count, size_t size) __attribute__((returns_nonnull));

/* Copies of text. arena_str(NULL) is "", which is what an absent protobuf string is. */
char *arena_str(struct arena *a, const char *s) __attribute__((returns_nonnull));
char *arena_strn(struct arena *a, const char *s, size_t n) __attribute__((returns_nonnull));
char *arena_fmt(struct arena *a, const char *fmt, ...) PRINTF(2, 3) __attribute__((returns_nonnull));
void *arena_dup(struct arena *a, const void *data, size_t n) __attribute__((returns_nonnull));

#endif
