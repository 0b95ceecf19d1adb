/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

/* FNV-1a. Keys are ids and names that passed validation; a client that can choose them owns the
 * socket and so the node. */
static uint64_t hash_of(const char *key)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
	return h;
}

static struct map_slot *find(const struct map *m, const char *key, uint64_t hash)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (!s->key || (s->hash == hash && strcmp(s->key, key) == 0))
			return s;
	}
}

void *map_get(const struct map *m, const char *key)
{
	struct map_slot *s = find(m, key, hash_of(key));

	return s && s->key ? s->value : NULL;
}

/* Lay the table anew without the removed ones, with room for one more. */
static void rebuild(struct map *m)
{
	struct map old = *m;
	size_t cap = 16;

	while (cap < (old.count + 1) * 2)
		cap *= 2;
	m->slots = mem_array(cap, sizeof(struct map_slot));
	m->cap = cap;
	m->used = m->count;
	for (size_t i = 0; i < old.cap; i++) {
		if (!old.slots[i].key)
			continue;
		if (old.slots[i].value)
			*find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
		else
			free(old.slots[i].key);
	}
	free(old.slots);
}

void *map_put(struct map *m, const char *key, void *value)
{
	uint64_t hash = hash_of(key);
	struct map_slot *s;
	void *before;

	if ((m->used + 1) * 4 > m->cap * 3)
		rebuild(m);
	s = find(m, key, hash);
	before = s->value;
	if (!s->key) {
		*s = (struct map_slot){ .key = str_dup(key), .hash = hash };
		m->used++;
	}
	if (!before)
		m->count++;
	s->value = value;
	return before;
}

void *map_remove(struct map *m, const char *key)
{
	struct map_slot *s = find(m, key, hash_of(key));
	void *before;

	if (!s || !s->key || !s->value)
		return NULL;
	before = s->value;
	s->value = NULL;
	m->count--;
	return before;
}

void *map_next(const struct map *m, size_t *pos, const char **ret_key)
{
	while (*pos < m->cap) {
		struct map_slot *s = &m->slots[(*pos)++];

		if (s->key && s->value) {
			if (ret_key)
				*ret_key = s->key;
			return s->value;
		}
	}
	return NULL;
}

void map_done(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	*m = MAP_INIT;
}
