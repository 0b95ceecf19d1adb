/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Most requests fit into one block of this size; a larger piece gets a block of its own. */
#define BLOCK_SIZE ((size_t)4096)
#define BLOCK_MAX ((size_t)256 * 1024)

struct arena_block {
	struct arena_block *next;
	max_align_t data[];
};

void arena_done(struct arena *a)
{
	struct arena_block *next;

	for (struct arena_block *b = a->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	*a = ARENA_INIT;
}

static void *take_new_block(struct arena *a, size_t size)
{
	/* Blocks grow with the arena, so that a large message is not thousands of small blocks. */
	size_t room = a->total < BLOCK_SIZE ? BLOCK_SIZE : a->total;
	struct arena_block *b;

	if (room > BLOCK_MAX)
		room = BLOCK_MAX;
	room -= sizeof(*b);
	if (size > room / 2)
		room = size;
	b = mem_alloc(sizeof(*b) + room);
	a->total += sizeof(*b) + room;
	if (room == size && a->blocks) {
		/* Behind the newest, whose rest stays in use. */
		b->next = a->blocks->next;
		a->blocks->next = b;
		return b->data;
	}
	b->next = a->blocks;
	a->blocks = b;
	a->at = (char *)b->data + size;
	a->end = (char *)b->data + room;
	return b->data;
}

void *arena_raw(struct arena *a, size_t size)
{
	const size_t mask = _Alignof(max_align_t) - 1;
	size_t rounded = size ? (size + mask) & ~mask : mask + 1;
	void *p = a->at;

	if (rounded < size || rounded > PTRDIFF_MAX)
		rounded = PTRDIFF_MAX; /* mem_alloc() ends the process */
	if (rounded > (size_t)(a->end - a->at))
		return take_new_block(a, rounded);
	a->at += rounded;
	return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
	return memset(arena_raw(a, size), 0, size);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		bytes = SIZE_MAX; /* mem_alloc() ends the process */
	return arena_alloc(a, bytes);
}

void *arena_dup(struct arena *a, const void *data, size_t n)
{
	void *p = arena_raw(a, n);

	if (n)
		memcpy(p, data, n);
	return p;
}

char *arena_strn(struct arena *a, const char *s, size_t n)
{
	char *p = arena_raw(a, n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *arena_str(struct arena *a, const char *s)
{
	return s ? arena_strn(a, s, strlen(s)) : arena_strn(a, "", 0);
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
	char small[256], *p;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return arena_strn(a, "", 0);
	if ((size_t)n < sizeof(small))
		return arena_strn(a, small, (size_t)n);
	p = arena_raw(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
