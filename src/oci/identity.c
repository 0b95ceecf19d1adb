// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "oci/identity.h"

/* ---- lines of passwd(5) and group(5) ------------------------------------------------------------- */

struct text {
	const char *s;
	size_t n;
};
#define FIELDS_MAX 7

static bool text_is(struct text t, const char *s)
{
	return strlen(s) == t.n && memcmp(t.s, s, t.n) == 0;
}

/* Decimal digits alone, up to 4294967294: no sign, no space, nothing that wraps around (CVE-2024-40635). */
static bool text_id(struct text t, uint32_t *ret)
{
	uint64_t value = 0;

	if (t.n == 0 || t.n > 10)
		return false;
	for (size_t i = 0; i < t.n; i++) {
		if (t.s[i] < '0' || t.s[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(t.s[i] - '0');
	}
	if (value >= UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* The next line that could be one, split at its colons (the last field keeps what is left). A line with a NUL, a
 * comment, and one of fewer than min fields are passed over. */
static bool next_line(const struct buf *b, size_t *pos, size_t min, struct text fields[FIELDS_MAX])
{
	while (*pos < b->len) {
		const char *line = b->data + *pos, *end = memchr(line, '\n', b->len - *pos);
		size_t len = end ? (size_t)(end - line) : b->len - *pos, n = 0;

		*pos += len + 1;
		if (len == 0 || line[0] == '#' || line[0] == ':' || memchr(line, 0, len))
			continue;
		memset(fields, 0, FIELDS_MAX * sizeof(*fields));
		for (const char *p = line; n < FIELDS_MAX; n++) {
			size_t left = len - (size_t)(p - line);
			const char *colon = n + 1 < FIELDS_MAX ? memchr(p, ':', left) : NULL;

			fields[n].s = p;
			fields[n].n = colon ? (size_t)(colon - p) : left;
			if (!colon)
				break;
			p = colon + 1;
		}
		if (n + 1 >= min)
			return true;
	}
	return false;
}

struct user_line {
	struct text name, home;
	uint32_t uid, gid;
};

/* By name, or, when name is NULL, by uid; the first line decides, as for getpwnam(3). */
static bool find_user(const struct buf *passwd, const char *name, uint32_t uid, struct user_line *ret)
{
	struct text f[FIELDS_MAX];

	for (size_t pos = 0; next_line(passwd, &pos, 4, f);) {
		struct user_line u = { .name = f[0], .home = f[5] };

		if (!text_id(f[2], &u.uid) || !text_id(f[3], &u.gid))
			continue;
		if (name ? text_is(u.name, name) : u.uid == uid) {
			*ret = u;
			return true;
		}
	}
	return false;
}

static bool find_group(const struct buf *group, const char *name, uint32_t *ret_gid)
{
	struct text f[FIELDS_MAX];

	for (size_t pos = 0; next_line(group, &pos, 3, f);) {
		if (text_is(f[0], name) && text_id(f[2], ret_gid))
			return true;
	}
	return false;
}

static bool has_member(struct text members, struct text name)
{
	const char *p = members.s, *end = members.s + members.n;

	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		size_t n = (size_t)((comma ? comma : end) - p);

		if (n == name.n && memcmp(p, name.s, n) == 0)
			return true;
		p += n + 1;
	}
	return false;
}

/* ---- groups ------------------------------------------------------------------------------------- */

struct groups {
	uint32_t *v;
	size_t n, cap;
};

static void add_group(struct groups *g, uint32_t gid)
{
	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 16;
		g->v = mem_regrow(g->v, g->cap, sizeof(*g->v));
	}
	g->v[g->n++] = gid;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void sort_groups(struct groups *g)
{
	size_t kept = 0;

	qsort(g->v, g->n, sizeof(*g->v), compare_ids);
	for (size_t i = 0; i < g->n; i++) {
		if (i == 0 || g->v[i] != g->v[kept - 1])
			g->v[kept++] = g->v[i];
	}
	g->n = kept;
}

/* ---- resolving ---------------------------------------------------------------------------------- */

static int check_range(int64_t id, const char *what, uint32_t *ret, struct error *e)
{
	if (id < 0 || id >= UINT32_MAX)
		return err_new(e, ERR_INVALID, "%s %lld is not in the range 0 to 4294967294", what,
			       (long long)id);
	*ret = (uint32_t)id;
	return 0;
}

static bool is_number(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == 0;
}

static int number(const char *s, const char *what, uint32_t *ret, struct error *e)
{
	if (!text_id((struct text){ s, strlen(s) }, ret))
		return err_new(e, ERR_INVALID, "%s \"%.64s\" is not in the range 0 to 4294967294", what, s);
	return 0;
}

struct resolve {
	const struct identity_files *files;
	bool is_found; /* the user has a line */
	struct user_line line;
	uint32_t uid, gid;
};

static void use_uid(struct resolve *r, uint32_t uid)
{
	r->uid = uid;
	r->is_found = find_user(&r->files->passwd, NULL, uid, &r->line);
	r->gid = r->is_found ? r->line.gid : 0;
}

static int use_name(struct resolve *r, const char *name, struct error *e)
{
	r->is_found = find_user(&r->files->passwd, name, 0, &r->line);
	if (!r->is_found)
		return err_new(e, ERR_NOT_FOUND, "user \"%.64s\" is not in the image's /etc/passwd", name);
	r->uid = r->line.uid;
	r->gid = r->line.gid;
	return 0;
}

static int use_group(struct resolve *r, const char *group, struct error *e)
{
	if (is_number(group))
		return number(group, "gid", &r->gid, e);
	if (!find_group(&r->files->group, group, &r->gid))
		return err_new(e, ERR_NOT_FOUND, "group \"%.64s\" is not in the image's /etc/group", group);
	return 0;
}

static int use_user_text(struct resolve *r, const char *text, struct error *e)
{
	cleanup_free char *user = str_dup(text ? text : "");
	char *group = strchr(user, ':');
	uint32_t uid = 0;
	int k;

	if (group)
		*group++ = 0;
	if (group && (!*user || !*group || strchr(group, ':')))
		return err_new(e, ERR_INVALID, "user \"%.128s\" is not of the form USER or USER:GROUP", text);
	if (is_number(user)) {
		k = number(user, "uid", &uid, e);
		if (k == 0)
			use_uid(r, uid);
	} else if (*user) {
		k = use_name(r, user, e);
	} else {
		use_uid(r, 0);
		k = 0;
	}
	return k == 0 && group ? use_group(r, group, e) : k;
}

static int use_request(struct resolve *r, const struct identity_request *req, struct error *e)
{
	uint32_t uid = 0;
	int k = 0;

	if (req->has_uid) {
		k = check_range(req->uid, "uid", &uid, e);
		if (k == 0)
			use_uid(r, uid);
	} else if (!str_is_empty(req->username)) {
		k = use_name(r, req->username, e);
	} else {
		k = use_user_text(r, req->user, e);
	}
	return k == 0 && req->has_gid ? check_range(req->gid, "gid", &r->gid, e) : k;
}

static int collect_groups(const struct resolve *r, const struct identity_request *req, struct groups *g,
			  struct error *e)
{
	struct text f[FIELDS_MAX];
	uint32_t gid = 0;
	int k;

	if (req->group_count > IDENTITY_GROUPS_MAX)
		return err_new(e, ERR_LIMIT, "%zu supplemental groups, more than the %d that Linux has",
			       req->group_count, IDENTITY_GROUPS_MAX);
	add_group(g, r->gid);
	for (size_t i = 0; i < req->group_count; i++) {
		k = check_range(req->groups[i], "supplemental group", &gid, e);
		if (k < 0)
			return k;
		add_group(g, gid);
	}
	if (req->policy == IDENTITY_MERGE && r->is_found) {
		for (size_t pos = 0; next_line(&r->files->group, &pos, 4, f);) {
			if (text_id(f[2], &gid) && has_member(f[3], r->line.name))
				add_group(g, gid);
		}
	}
	sort_groups(g);
	if (g->n > IDENTITY_GROUPS_MAX)
		return err_new(e, ERR_LIMIT, "%zu groups, more than the %d that Linux has", g->n,
			       IDENTITY_GROUPS_MAX);
	return 0;
}

static char *home_of(bool is_found, const struct user_line *line)
{
	if (!is_found || line->home.n == 0 || line->home.s[0] != '/')
		return str_dup("/");
	return str_ndup(line->home.s, line->home.n);
}

int identity_resolve(const struct identity_files *files, const struct identity_request *req,
		     struct oci_identity *ret_identity, struct error *e)
{
	struct resolve r = { .files = files };
	struct groups g = { 0 };
	int k;

	k = use_request(&r, req, e);
	if (k == 0)
		k = collect_groups(&r, req, &g, e);
	if (k < 0) {
		free(g.v);
		return k;
	}
	*ret_identity = (struct oci_identity){
		.uid = r.uid,
		.gid = r.gid,
		.groups = g.v,
		.group_count = g.n,
		.name = r.is_found ? str_ndup(r.line.name.s, r.line.name.n) : NULL,
		.home = home_of(r.is_found, &r.line),
	};
	return 0;
}

char *identity_home(const struct identity_files *files, uint32_t uid)
{
	struct user_line line = { 0 };
	bool is_found = find_user(&files->passwd, NULL, uid, &line);

	return home_of(is_found, &line);
}

void oci_identity_done(struct oci_identity *id)
{
	free(id->groups);
	free(id->name);
	free(id->home);
	*id = OCI_IDENTITY_INIT;
}

void identity_files_done(struct identity_files *f)
{
	buf_done(&f->passwd);
	buf_done(&f->group);
}
