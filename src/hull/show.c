/* SPDX-License-Identifier: Apache-2.0 */
/* hull state, list. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "hull/hull.h"
#include "oci/identity.h"

int wants_json(const char *format, bool *ret, struct error *e)
{
	*ret = str_eq(format, "json");
	if (!format || *ret || str_eq(format, "table"))
		return 0;
	return err_new(e, ERR_INVALID, "invalid format option: \"%s\" (table and json are known)", format);
}

/* ---- names of users ------------------------------------------------------------------------------------------ */

/* The file itself, since getpwuid(3) wants shared libraries, which a static program has not. */
static void read_users(struct identity_files *files)
{
	struct error ignored = ERROR_INIT;

	if (file_read(AT_FDCWD, "/etc/passwd", IDENTITY_FILE_MAX, &files->passwd, &ignored) < 0)
		buf_clear(&files->passwd);
}

static char *user_name(const struct identity_files *files, uint32_t uid)
{
	CLEANUP(oci_identity_done) struct oci_identity id = OCI_IDENTITY_INIT;
	const struct identity_request request = { .has_uid = true, .uid = uid };
	struct error ignored = ERROR_INIT;

	if (uid == 0)
		return str_dup("root");
	if (identity_resolve(files, &request, &id, &ignored) >= 0 && id.name)
		return take_ptr(id.name);
	return str_fmt("#%u", uid);
}

/* ---- state --------------------------------------------------------------------------------------------------- */

static int state_run(struct hull *h, void *options, char **args, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(identity_files_done) struct identity_files users = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *owner = NULL;
	int r = container_load(h, args[0], &c, e);

	(void)options;
	if (r < 0)
		return r;
	if (c.state.owner)
		read_users(&users);
	owner = user_name(&users, c.state.owner);
	state_json(&c.state, container_full_status(h, &c), owner, true, &text);
	fputs(buf_str(&text), stdout);
	return 0;
}

const struct command command_state = {
	.name = "state",
	.arguments = "CONTAINER",
	.summary = "show the state of a container as JSON",
	.least = 1,
	.most = 1,
	.run = state_run,
};

/* ---- list ---------------------------------------------------------------------------------------------------- */

struct list_opts {
	const char *format;
	bool quiet;
};

static const struct option_word list_options[] = {
	{ "format", 'f', OPTION(struct list_opts, format), "table|json", "how to write it (table)" },
	{ "quiet", 'q', OPTION(struct list_opts, quiet), NULL, "the ids alone" },
	OPTIONS_END,
};

#define COLUMNS 6

/* Each column as wide as its longest text and three, and at least twelve. */
static void print_table(const struct strv *cells)
{
	size_t width[COLUMNS] = { 0 };

	for (size_t i = 0; i < cells->n; i++) {
		size_t n = strlen(cells->v[i]) + 3, *w = &width[i % COLUMNS];

		*w = n > *w ? n : *w;
	}
	for (size_t i = 0; i < cells->n; i++) {
		size_t w = width[i % COLUMNS];

		if (i % COLUMNS == COLUMNS - 1)
			puts(cells->v[i]);
		else
			printf("%-*s", w < 12 ? 12 : (int)w, cells->v[i]);
	}
}

static void add_row(struct strv *cells, const struct container *c, char *owner)
{
	strv_add(cells, c->state.id);
	strv_addf(cells, "%d", c->status == OCI_STOPPED ? 0 : c->state.pid);
	strv_add(cells, state_status_name(c->status));
	strv_add(cells, c->state.bundle ? c->state.bundle : "");
	strv_add(cells, c->state.created ? c->state.created : "");
	strv_add(cells, owner);
}

static void add_json(struct buf *json, const struct container *c, const char *owner)
{
	buf_addc(json, json->len ? ',' : '[');
	state_json(&c->state, c->status, owner, false, json);
}

/* One that is being made or removed right now is none; one whose record cannot be read is named. */
static bool load_listed(struct hull *h, const char *id, struct container *ret)
{
	struct error e = ERROR_INIT;
	int r = container_load(h, id, ret, &e);

	if (r < 0 && r != -ERR_NOT_FOUND)
		fprintf(stderr, "load container %s: %s\n", id, err_msg(&e));
	return r >= 0;
}

static void collect(struct hull *h, const struct strv *ids, struct strv *cells, struct buf *json)
{
	CLEANUP(identity_files_done) struct identity_files users = { 0 };

	read_users(&users);
	for (size_t i = 0; i < ids->n; i++) {
		CLEANUP(container_done) struct container c = CONTAINER_INIT;
		cleanup_free char *owner = NULL;

		if (!load_listed(h, ids->v[i], &c))
			continue;
		container_full_status(h, &c);
		owner = user_name(&users, c.state.owner);
		add_row(cells, &c, owner);
		add_json(json, &c, owner);
	}
}

static int list_run(struct hull *h, void *options, char **args, struct error *e)
{
	static const char *const titles[COLUMNS] = { "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER" };
	const struct list_opts *o = options;
	cleanup_strv struct strv ids = STRV_INIT, cells = STRV_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	bool json;
	int r = wants_json(o->format, &json, e);

	(void)args;
	if (r >= 0)
		r = state_list(h->root, &ids, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < COLUMNS; i++)
		strv_add(&cells, titles[i]);
	collect(h, &ids, &cells, &text);
	if (o->quiet)
		for (size_t i = COLUMNS; i < cells.n; i += COLUMNS)
			puts(cells.v[i]);
	else if (json)
		printf("%s%s\n", text.len ? buf_str(&text) : "null", text.len ? "]" : "");
	else
		print_table(&cells);
	return 0;
}

const struct command command_list = {
	.name = "list",
	.summary = "show the containers",
	.options = list_options,
	.options_size = sizeof(struct list_opts),
	.run = list_run,
};
