/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/criu_plan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json.h"

/* ---- external mounts ---------------------------------------------------------------------------------- */

void criu_pairs_done(struct criu_pairs *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].key);
		free(p->v[i].value);
	}
	free(p->v);
	*p = CRIU_PAIRS_INIT;
}

void criu_pairs_add(struct criu_pairs *p, const char *key, const char *value)
{
	p->v = mem_regrow(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n++] = (struct criu_pair){ str_dup(key), str_dup(value) };
}

const char *criu_pairs_get(const struct criu_pairs *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eq(p->v[i].key, key))
			return p->v[i].value;
	return NULL;
}

static const char *own_name(const struct mountinfo_entry *m, const struct criu_named *named, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (named[i].mount_id == m->id)
			return named[i].name;
	if (m->is_null)
		return CRIU_NULL_NAME;
	/* The terminal of the container's own devpts, bound to /dev/console, is not from outside. */
	if (m->is_device && !str_eq(m->type, "devpts"))
		return m->point;
	if (str_eq(m->type, "cgroup") || str_eq(m->type, "cgroup2"))
		return m->point;
	return NULL;
}

static const char *below(const char *path, const char *dir)
{
	size_t n = dir ? strlen(dir) : 0;

	return path && n && strncmp(path, dir, n) == 0 && path[n] == '/' ? path + n : NULL;
}

static bool is_alone(int id, const struct criu_named *named, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (named[i].mount_id == id)
			return named[i].is_alone;
	return false;
}

void criu_plan_dump(const struct mountinfo *m, const struct criu_named *named, size_t count,
		    struct criu_pairs *ret)
{
	bool grows = true;

	for (size_t i = 0; i < m->n; i++) {
		const char *name = own_name(&m->v[i], named, count);

		if (name && !str_eq(m->v[i].point, "/") && !criu_pairs_get(ret, m->v[i].point))
			criu_pairs_add(ret, m->v[i].point, name);
	}
	/* Their children, and theirs: in whatever order the kernel lists them. */
	while (grows) {
		grows = false;
		for (size_t i = 0; i < m->n; i++) {
			const struct mountinfo_entry *up = mountinfo_find(m, m->v[i].parent);
			const char *up_name = up ? criu_pairs_get(ret, up->point) : NULL;
			const char *rest = up_name && !is_alone(up->id, named, count)
						   ? below(m->v[i].point, up->point)
						   : NULL;

			if (rest && !criu_pairs_get(ret, m->v[i].point)) {
				cleanup_free char *name = str_fmt("%s%s", up_name, rest);

				criu_pairs_add(ret, m->v[i].point, name);
				grows = true;
			}
		}
	}
}

void criu_plan_below(const struct mountinfo *m, const char *staged, const char *name, struct criu_pairs *ret)
{
	for (size_t i = 0; i < m->n; i++) {
		const char *rest = below(m->v[i].point, staged);
		cleanup_free char *key = rest ? str_fmt("%s%s", name, rest) : NULL;

		if (key && !criu_pairs_get(ret, key))
			criu_pairs_add(ret, key, m->v[i].point);
	}
}

/* ---- descriptors.json --------------------------------------------------------------------------------- */

void criu_descriptors_done(struct criu_descriptors *d)
{
	for (size_t i = 0; i < ARRAY_LEN(d->key); i++)
		free(d->key[i]);
	*d = CRIU_DESCRIPTORS_INIT;
}

static bool all(const char *s, size_t n, int (*is)(int))
{
	for (size_t i = 0; i < n; i++)
		if (!is((unsigned char)s[i]))
			return false;
	return n > 0 && n <= 20;
}

/* "pipe:[DECIMAL]", "socket:[DECIMAL]", "file[HEX:HEX]", "null[HEX:HEX]", "tty[HEX:HEX]" */
static bool is_key(const char *s)
{
	size_t n = strlen(s), open, colon;

	if (str_starts(s, "pipe:[") && s[n - 1] == ']')
		return all(s + 6, n - 7, isdigit);
	if (str_starts(s, "socket:[") && s[n - 1] == ']')
		return all(s + 8, n - 9, isdigit);
	open = strcspn(s, "[");
	colon = strcspn(s, ":");
	if (!(str_starts(s, "file[") || str_starts(s, "null[") || str_starts(s, "tty[")) || s[n - 1] != ']')
		return false;
	return colon < n - 1 && all(s + open + 1, colon - open - 1, isxdigit) &&
	       all(s + colon + 1, n - colon - 2, isxdigit);
}

int criu_descriptors_read(const char *text, size_t len, struct criu_descriptors *ret, struct error *e)
{
	CLEANUP(criu_descriptors_done) struct criu_descriptors d = CRIU_DESCRIPTORS_INIT;
	cleanup_json struct json_object *doc = NULL;
	size_t n;
	int r = json_parse(text, len, CRIU_DESCRIPTORS_MAX_BYTES, &doc, e);

	if (r < 0)
		return r;
	if (!json_object_is_type(doc, json_type_array))
		return err_new(e, ERR_INVALID, "%s where an array is due", json_kind_text(doc));
	n = json_object_array_length(doc);
	if (n > ARRAY_LEN(d.key))
		return err_new(e, ERR_INVALID, "%zu descriptors, where stdin, stdout and stderr are all", n);
	for (size_t i = 0; i < n; i++) {
		const char *s = NULL;

		r = json_as_str(json_object_array_get_idx(doc, i), "descriptor", &s, e);
		if (r < 0)
			return r;
		if (!is_key(s))
			continue;
		d.is_null[i] = str_starts(s, "null");
		d.key[i] = d.is_null[i] ? str_fmt("file%s", s + strlen("null")) : str_dup(s);
	}
	*ret = d;
	d = CRIU_DESCRIPTORS_INIT;
	return 0;
}

/* ---- criu's log --------------------------------------------------------------------------------------- */

#define QUOTED_LINES 4
#define QUOTED_LINE_MAX 200

/* "(00.059107) Error (criu/vdso.c:381): ..." without the time, and without what would break a line of our log. */
static size_t copy_line(const char *line, size_t len, char *out, size_t room)
{
	size_t n = 0, skip = 0;

	while (skip < len && line[skip] != ')')
		skip++;
	skip = line[0] == '(' && skip + 2 < len ? skip + 2 : 0;
	for (size_t i = skip; i < len && n + 1 < room && n < QUOTED_LINE_MAX; i++)
		out[n++] = (unsigned char)line[i] < ' ' || (unsigned char)line[i] > '~' ? ' ' : line[i];
	while (n > 0 && out[n - 1] == ' ')
		n--;
	return n;
}

void criu_log_quote(const char *text, size_t len, char out[CRIU_QUOTE_SIZE])
{
	struct {
		const char *at;
		size_t len;
	} last[QUOTED_LINES];
	size_t count = 0, n = 0;

	for (size_t at = 0, line; at < len; at += line + 1) {
		const char *end = memchr(text + at, '\n', len - at);

		line = end ? (size_t)(end - (text + at)) : len - at;
		if (!memmem(text + at, line, "Error (", 7))
			continue;
		last[count % QUOTED_LINES].at = text + at;
		last[count++ % QUOTED_LINES].len = line;
	}
	for (size_t i = count > QUOTED_LINES ? count - QUOTED_LINES : 0; i < count; i++) {
		if (n + 3 >= CRIU_QUOTE_SIZE)
			break;
		if (n) {
			out[n++] = ';';
			out[n++] = ' ';
		}
		n += copy_line(last[i % QUOTED_LINES].at, last[i % QUOTED_LINES].len, out + n,
			       CRIU_QUOTE_SIZE - n);
	}
	out[n] = '\0';
}

int criu_page_server_parse(const char *text, char **ret_address, int *ret_port, struct error *e)
{
	const char *colon = strrchr(text, ':'), *address = text;
	size_t n = colon ? (size_t)(colon - text) : 0;
	uint32_t port = 0;

	if (n > 2 && address[0] == '[' && address[n - 1] == ']') {
		address++;
		n -= 2;
	} else if (memchr(text, ':', n) || memchr(text, '[', n)) {
		n = 0;
	}
	if (!n || str_to_u32(colon + 1, &port, NULL) < 0 || !port || port > UINT16_MAX)
		return err_new(e, ERR_INVALID, "page server \"%.200s\" is no ADDRESS:PORT", text);
	*ret_address = str_ndup(address, n);
	*ret_port = (int)port;
	return 0;
}
