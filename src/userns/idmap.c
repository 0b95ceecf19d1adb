/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/idmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* The first id past a run, in 64 bits: never wraps. */
static uint64_t end_of(uint32_t first, uint32_t length)
{
	return (uint64_t)first + length;
}

static bool is_overlap(uint32_t a, uint32_t a_length, uint32_t b, uint32_t b_length)
{
	return a < end_of(b, b_length) && b < end_of(a, a_length);
}

/* The kernel's own rule (map_write() in kernel/user_namespace.c): no run may hold id 4294967295. */
static int check_extent(struct idmap_extent x, struct error *e)
{
	if (x.length == 0)
		return err_new(e, ERR_INVALID, "container id %u to host id %u: length is 0", x.container_id,
			       x.host_id);
	if (end_of(x.container_id, x.length) > UINT32_MAX || end_of(x.host_id, x.length) > UINT32_MAX)
		return err_new(e, ERR_INVALID,
			       "container id %u to host id %u, length %u: "
			       "the %s side passes 4294967294, the last id",
			       x.container_id, x.host_id, x.length,
			       end_of(x.host_id, x.length) > UINT32_MAX ? "host" : "container");
	return 0;
}

static int check_overlap(struct idmap_extent old, struct idmap_extent new, struct error *e)
{
	bool container = is_overlap(old.container_id, old.length, new.container_id, new.length);

	if (!container && !is_overlap(old.host_id, old.length, new.host_id, new.length))
		return 0;
	return err_new(e, ERR_EXISTS,
		       "container id %u to host id %u, length %u: overlaps "
		       "container id %u to host id %u, length %u, on the %s side",
		       new.container_id, new.host_id, new.length, old.container_id, old.host_id, old.length,
		       container ? "container" : "host");
}

int idmap_add(struct idmap *map, struct idmap_extent x, struct error *e)
{
	int r;

	if (map->n >= IDMAP_MAX)
		return err_new(e, ERR_LIMIT, "container id %u to host id %u: a map has at most %d extents",
			       x.container_id, x.host_id, IDMAP_MAX);
	r = check_extent(x, e);
	for (size_t i = 0; r == 0 && i < map->n; i++)
		r = check_overlap(map->x[i], x, e);
	if (r < 0)
		return r;
	map->x[map->n++] = x;
	return 0;
}

/* A piece of text that is not terminated. */
struct cursor {
	const char *at, *end;
};

static void skip_blank(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
		c->at++;
}

static int parse_number(struct cursor *c, const char *what, uint32_t *ret, struct error *e)
{
	const char *start;
	uint64_t value = 0;

	skip_blank(c);
	for (start = c->at; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
		value = value * 10 + (uint64_t)(*c->at - '0');
		if (value > UINT32_MAX)
			return err_new(e, ERR_INVALID, "%s is more than 4294967295", what);
	}
	if (c->at == start)
		return err_new(e, ERR_INVALID, "%s is missing or no decimal number", what);
	if (c->at < c->end && *c->at != ' ' && *c->at != '\t')
		return err_new(e, ERR_INVALID, "%s is followed by something that is no digit", what);
	*ret = (uint32_t)value;
	return 0;
}

static int parse_line(struct cursor c, struct idmap *map, struct error *e)
{
	struct idmap_extent x;
	int r;

	skip_blank(&c);
	if (c.at == c.end)
		return 0;
	r = parse_number(&c, "the container id", &x.container_id, e);
	if (r == 0)
		r = parse_number(&c, "the host id", &x.host_id, e);
	if (r == 0)
		r = parse_number(&c, "the length", &x.length, e);
	if (r < 0)
		return r;
	skip_blank(&c);
	if (c.at != c.end)
		return err_new(e, ERR_INVALID, "more than three fields");
	return idmap_add(map, x, e);
}

int idmap_parse(struct idmap *map, const char *text, size_t len, struct error *e)
{
	struct cursor rest = { text, text + len };
	size_t n_before = map->n;

	for (unsigned int line = 1; rest.at < rest.end; line++) {
		const char *newline = memchr(rest.at, '\n', (size_t)(rest.end - rest.at));
		struct cursor c = { rest.at, newline ? newline : rest.end };
		int r = parse_line(c, map, e);

		if (r < 0) {
			map->n = n_before;
			return err_ctx(e, "line %u", line), r;
		}
		rest.at = newline ? newline + 1 : rest.end;
	}
	return 0;
}

int idmap_check(const struct idmap *map, bool need_zero, const char *what, struct error *e)
{
	bool has_zero = false;
	int r = 0;

	if (map->n == 0)
		return err_new(e, ERR_INVALID, "%s map: no extent", what);
	if (map->n > IDMAP_MAX)
		return err_new(e, ERR_LIMIT, "%s map: %zu extents, at most %d are possible", what, map->n,
			       IDMAP_MAX);
	for (size_t i = 0; i < map->n && r == 0; i++) {
		r = check_extent(map->x[i], e);
		for (size_t j = 0; j < i && r == 0; j++)
			r = check_overlap(map->x[j], map->x[i], e);
		has_zero |= map->x[i].container_id == 0;
		if (r < 0)
			return err_ctx(e, "%s map: extent %zu", what, i + 1);
	}
	if (need_zero && !has_zero)
		return err_new(e, ERR_INVALID, "%s map: container id 0 is not mapped", what);
	return 0;
}

int idmap_to_host(const struct idmap *map, uint32_t container_id, uint32_t *ret_host_id, struct error *e)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct idmap_extent *x = &map->x[i];

		if (container_id >= x->container_id && container_id - x->container_id < x->length) {
			*ret_host_id = x->host_id + (container_id - x->container_id);
			return 0;
		}
	}
	return err_new(e, ERR_NOT_FOUND, "container id %u is not mapped to a host id", container_id);
}

int idmap_to_container(const struct idmap *map, uint32_t host_id, uint32_t *ret_container_id, struct error *e)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct idmap_extent *x = &map->x[i];

		if (host_id >= x->host_id && host_id - x->host_id < x->length) {
			*ret_container_id = x->container_id + (host_id - x->host_id);
			return 0;
		}
	}
	return err_new(e, ERR_NOT_FOUND, "host id %u is not mapped to a container id", host_id);
}

static int compare_extents(const void *a, const void *b)
{
	const struct idmap_extent *x = a, *y = b;

	return x->container_id < y->container_id ? -1 : x->container_id > y->container_id;
}

/* Sorted by container id, and neighbours that go on on both sides made one. */
static void normalize(const struct idmap *map, struct idmap *out)
{
	size_t n = 0;

	*out = *map;
	qsort(out->x, out->n, sizeof(out->x[0]), compare_extents);
	for (size_t i = 0; i < out->n; i++) {
		struct idmap_extent *last = n ? &out->x[n - 1] : NULL;

		if (last && end_of(last->container_id, last->length) == out->x[i].container_id &&
		    end_of(last->host_id, last->length) == out->x[i].host_id)
			last->length += out->x[i].length;
		else
			out->x[n++] = out->x[i];
	}
	out->n = n;
}

bool idmap_equal(const struct idmap *a, const struct idmap *b)
{
	struct idmap x, y;

	normalize(a, &x);
	normalize(b, &y);
	return x.n == y.n && memcmp(x.x, y.x, x.n * sizeof(x.x[0])) == 0;
}

bool idmap_is_identity(const struct idmap *map)
{
	static const struct idmap identity = { .x = { { 0, 0, UINT32_MAX } }, .n = 1 };

	return idmap_equal(map, &identity);
}

void idmap_format(const struct idmap *map, struct buf *b)
{
	for (size_t i = 0; i < map->n; i++)
		buf_addf(b, "%u %u %u\n", map->x[i].container_id, map->x[i].host_id, map->x[i].length);
}
