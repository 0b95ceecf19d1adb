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

int command_state(struct hull *h, int argc, char **argv, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	int n = options_take(argc, argv, NULL, 0, 0, e), r;

	if (n != 1)
		return n < 0 ? n : err_new(e, ERR_INVALID, "\"hull state\" takes exactly one container id");
	r = container_load(h, argv[1], &c, e);
	if (r < 0)
		return r;
	state_json(&c.state, container_full_status(h, &c), &text);
	fputs(buf_str(&text), stdout);
	return 0;
}

/* ---- list ----------------------------------------------------------------------------------------------- */

static void print_row(const struct container *c)
{
	/* getpwuid(3) needs shared libraries, which a static program has not. */
	cleanup_free char *owner = c->state.owner ? str_fmt("#%u", c->state.owner) : str_dup("root");

	printf("%-20s  %-8d  %-8s  %-40s  %-30s  %s\n", c->state.id,
	       c->status == OCI_STOPPED ? 0 : c->state.pid, state_status_name(c->status),
	       c->state.bundle ? c->state.bundle : "", c->state.created ? c->state.created : "", owner);
}

int command_list(struct hull *h, int argc, char **argv, struct error *e)
{
	const char *format = "table";
	bool quiet = false;
	const struct option_word words[] = {
		{ .name = "format", .letter = 'f', .value = &format },
		{ .name = "quiet", .letter = 'q', .flag = &quiet },
	};
	int n = options_take(argc, argv, words, ARRAY_LEN(words), 0, e), r;
	cleanup_strv struct strv ids = STRV_INIT;
	bool json = str_eq(format, "json"), first = true;

	if (n)
		return n < 0 ? n : err_new(e, ERR_INVALID, "\"hull list\" takes no arguments");
	if (!json && !str_eq(format, "table"))
		return err_new(e, ERR_INVALID, "invalid format \"%s\" (table and json are known)", format);
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

/* ---- ps ------------------------------------------------------------------------------------------------- */

int command_ps(struct hull *h, int argc, char **argv, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	const char *format = "json";
	const struct option_word words[] = { { .name = "format", .letter = 'f', .value = &format } };
	int n = options_take(argc, argv, words, ARRAY_LEN(words), 0, e), r;
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	if (n != 1)
		return n < 0 ? n : err_new(e, ERR_INVALID, "\"hull ps\" takes exactly one container id");
	r = container_load(h, argv[1], &c, e);
	if (r >= 0)
		r = container_cgroup(h, &c, &host, &cgroup, e);
	if (r >= 0)
		r = cgroup_procs(cgroup, &pids, &count, e);
	if (r < 0)
		return r;
	if (!str_eq(format, "json")) {
		for (size_t i = 0; i < count; i++)
			printf("%d\n", pids[i]);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		printf("%s%d", i ? "," : "[", pids[i]);
	puts(count ? "]" : "[]");
	return 0;
}

/* ---- spec ----------------------------------------------------------------------------------------------- */

int command_spec(struct hull *h, int argc, char **argv, struct error *e)
{
	const char *bundle = ".";
	bool rootless = false;
	const struct option_word words[] = {
		{ .name = "bundle", .letter = 'b', .value = &bundle },
		{ .name = "rootless", .flag = &rootless },
	};
	int n = options_take(argc, argv, words, ARRAY_LEN(words), 0, e);
	cleanup_json struct json_object *spec = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_close int dfd = -1;

	(void)h;
	if (n)
		return n < 0 ? n : err_new(e, ERR_INVALID, "\"hull spec\" takes no arguments");
	dfd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dfd < 0)
		return err_sys(e, "open bundle \"%s\"", bundle);
	if (faccessat(dfd, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_new(e, ERR_EXISTS, "File config.json exists. Remove it first");
	spec = oci_default_spec(rootless, geteuid(), getegid());
	json_text(spec, true, &text);
	return file_write_atomic(dfd, "config.json", text.data, text.len, 0666, false, e);
}
