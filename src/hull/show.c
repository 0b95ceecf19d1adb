/* SPDX-License-Identifier: Apache-2.0 */
/* hull state, list, ps, spec. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "codec/json.h"
#include "hull/hull.h"
#include "oci/defaults.h"

static int state_run(struct hull *h, void *options, char **args, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	int r = container_load(h, args[0], &c, e);

	(void)options;
	if (r < 0)
		return r;
	state_json(&c.state, container_full_status(h, &c), &text);
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

/* ---- list ----------------------------------------------------------------------------------------------- */

struct list_opts {
	const char *format;
	bool quiet;
};

static const struct option_word list_options[] = {
	{ "format", 'f', OPTION(struct list_opts, format), "table|json", "how to write it (table)" },
	{ "quiet", 'q', OPTION(struct list_opts, quiet), NULL, "the ids alone" },
	OPTIONS_END,
};

static int wants_json(const char *format, const char *otherwise, bool *ret, struct error *e)
{
	*ret = str_eq(format ? format : otherwise, "json");
	if (!format || *ret || str_eq(format, "table"))
		return 0;
	return err_new(e, ERR_INVALID, "invalid format option: \"%s\" (table and json are known)", format);
}

static void print_row(const struct container *c)
{
	/* getpwuid(3) needs shared libraries, which a static program has not. */
	cleanup_free char *owner = c->state.owner ? str_fmt("#%u", c->state.owner) : str_dup("root");

	printf("%-20s  %-8d  %-8s  %-40s  %-30s  %s\n", c->state.id,
	       c->status == OCI_STOPPED ? 0 : c->state.pid, state_status_name(c->status),
	       c->state.bundle ? c->state.bundle : "", c->state.created ? c->state.created : "", owner);
}

static int list_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct list_opts *o = options;
	cleanup_strv struct strv ids = STRV_INIT;
	bool json, quiet = o->quiet, first = true;
	int r = wants_json(o->format, "table", &json, e);

	(void)args;
	if (r < 0)
		return r;
	r = state_list(h->root, &ids, e);
	if (r < 0)
		return r;
	if (!quiet && !json)
		printf("%-20s  %-8s  %-8s  %-40s  %-30s  %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED",
		       "OWNER");
	for (size_t i = 0; i < ids.n; i++) {
		CLEANUP(container_done) struct container c = CONTAINER_INIT;
		cleanup_buf struct buf text = BUF_INIT;
		struct error ignored = ERROR_INIT;

		/* One that is being made or removed right now is none. */
		if (container_load(h, ids.v[i], &c, &ignored) < 0)
			continue;
		container_full_status(h, &c);
		state_json(&c.state, c.status, &text);
		if (quiet)
			puts(c.state.id);
		else if (json)
			printf("%s%s", first ? "[" : ",", buf_str(&text));
		else
			print_row(&c);
		first = false;
	}
	if (json && !quiet)
		puts(first ? "null" : "]");
	return 0;
}

const struct command command_list = {
	.name = "list",
	.arguments = NULL,
	.summary = "show the containers",
	.options = list_options,
	.options_size = sizeof(struct list_opts),
	.least = 0,
	.most = 0,
	.run = list_run,
};

/* ---- ps ------------------------------------------------------------------------------------------------- */

struct ps_opts {
	const char *format;
};

static const struct option_word ps_options[] = {
	{ "format", 'f', OPTION(struct ps_opts, format), "table|json", "how to write it (json)" },
	OPTIONS_END,
};

static int ps_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct ps_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	bool json;
	int r = wants_json(o->format, "json", &json, e);

	if (r >= 0)
		r = container_load(h, args[0], &c, e);
	if (r >= 0)
		r = container_cgroup(h, &c, &host, &cgroup, e);
	if (r >= 0)
		r = cgroup_procs(cgroup, &pids, &count, e);
	if (r < 0)
		return r;
	if (!json) {
		for (size_t i = 0; i < count; i++)
			printf("%d\n", pids[i]);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		printf("%s%d", i ? "," : "[", pids[i]);
	puts(count ? "]" : "[]");
	return 0;
}

const struct command command_ps = {
	.name = "ps",
	.arguments = "CONTAINER",
	.summary = "show the processes in a container",
	.options = ps_options,
	.options_size = sizeof(struct ps_opts),
	.least = 1,
	.most = 1,
	.run = ps_run,
};

/* ---- spec ----------------------------------------------------------------------------------------------- */

struct spec_opts {
	const char *bundle;
	bool rootless;
};

static const struct option_word spec_options[] = {
	{ "bundle", 'b', OPTION(struct spec_opts, bundle), "DIR",
	  "where to write it (the current directory)" },
	{ "rootless", 0, OPTION(struct spec_opts, rootless), NULL, "for the user who calls, without root" },
	OPTIONS_END,
};

static int spec_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct spec_opts *o = options;
	const char *bundle = o->bundle ? o->bundle : ".";
	cleanup_json struct json_object *spec = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_close int dfd = -1;

	(void)h;
	(void)args;
	dfd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dfd < 0)
		return err_sys(e, "open bundle \"%s\"", bundle);
	if (faccessat(dfd, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_new(e, ERR_EXISTS, "File config.json exists. Remove it first");
	spec = oci_default_spec(o->rootless, geteuid(), getegid());
	json_text(spec, true, &text);
	return file_write_atomic(dfd, "config.json", text.data, text.len, 0666, false, e);
}

const struct command command_spec = {
	.name = "spec",
	.arguments = NULL,
	.summary = "write a config.json to begin with",
	.options = spec_options,
	.options_size = sizeof(struct spec_opts),
	.least = 0,
	.most = 0,
	.run = spec_run,
};
