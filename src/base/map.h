/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from strings to pointers; open addressing, keys copied, values borrowed. Not
 * thread-safe. */
#ifndef HULL_BASE_MAP_H
#define HULL_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
	char *key;   /* NULL: never used */
	void *value; /* NULL with a key: removed */
	uint64_t hash;
};
struct map {
	struct map_slot *slots;
	size_t cap, used, count; /* used counts removed ones too */
};
#define MAP_INIT ((struct map){ 0 })

void *map_get(const struct map *m, const char *key);
/* value is not NULL. Returns the value that was there, or NULL. */
void *map_put(struct map *m, const char *key, void *value);
/* Returns the value that was there, or NULL. */
void *map_remove(struct map *m, const char *key);
/* Start with *pos = 0; returns the next value, or NULL at the end. Removing while iterating is fine. */
void *map_next(const struct map *m, size_t *pos, const char **ret_key);
void map_done(struct map *m);

#endif
