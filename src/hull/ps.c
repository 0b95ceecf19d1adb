/* SPDX-License-Identifier: Apache-2.0 */
/* hull ps: the pids in the container's cgroup, or the lines that ps(1) has for them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "hull/hull.h"

#define PS_OUTPUT_MAX (16u << 20)

struct ps_opts {
	const char *format;
};

static const struct option_word ps_options[] = {
	{ "format", 'f', OPTION(struct ps_opts, format), "table|json", "how to write it (table)" },
	OPTIONS_END,
};

/* ---- ps(1) ------------------------------------------------------------------------------------------------- */

static char *find_ps(void)
{
	cleanup_strv struct strv dirs = STRV_INIT;
	const char *path = getenv("PATH");

	strv_split(&dirs, path ? path : "/usr/bin:/bin", ":");
	for (size_t i = 0; i < dirs.n; i++) {
		cleanup_free char *file = str_fmt("%s/ps", dirs.v[i]);

		if (file[0] == '/' && access(file, X_OK) == 0)
			return take_ptr(file);
	}
	return NULL;
}

/* args: the options for it; without any, -ef. */
static int run_ps(char **args, struct buf *output, struct error *e)
{
	cleanup_strv struct strv argv = STRV_INIT;
	cleanup_close int in = -1, out = -1;
	struct proc proc = PROC_INIT;
	cleanup_free char *path = find_ps();
	struct proc_opts o = { .path = path, .fd_count = 3 };
	int fds[2], status, r;

	if (!path)
		return err_new(e, ERR_NOT_FOUND, "ps(1) is not in $PATH (--format json does without)");
	strv_add(&argv, "ps");
	for (char **a = args; *a; a++)
		strv_add(&argv, *a);
	if (!*args)
		strv_add(&argv, "-ef");
	r = fd_pipe(fds, e);
	if (r < 0)
		return r;
	in = fds[0];
	out = fds[1];
	o.argv = (const char *const *)argv.v;
	o.env = (const char *const *)environ;
	o.fds[0] = -1;
	o.fds[1] = o.fds[2] = out;
	r = proc_spawn(&o, &proc, e);
	close(take_fd(out));
	if (r < 0)
		return r;
	r = fd_read_all(in, PS_OUTPUT_MAX, output, e);
	if (r >= 0)
		r = proc_wait(&proc, 0, &status, e);
	proc_done(&proc);
	if (r >= 0 && status != 0) {
		char text[64];

		return err_new(e, ERR_INVALID, "ps: %s: %.400s", proc_status_text(status, text, sizeof(text)),
			       buf_str(output));
	}
	return r;
}

/* The n-th word of a line as a number; -1 without. */
static long nth_number(const char *line, size_t n)
{
	for (;; n--) {
		line += strspn(line, " \t");
		if (!n)
			break;
		line += strcspn(line, " \t");
	}
	return *line >= '0' && *line <= '9' ? strtol(line, NULL, 10) : -1;
}

static int pid_column(const char *title, size_t *ret, struct error *e)
{
	cleanup_strv struct strv words = STRV_INIT;

	strv_split(&words, title, " \t");
	for (size_t i = 0; i < words.n; i++)
		if (str_eq(words.v[i], "PID")) {
			*ret = i;
			return 0;
		}
	return err_new(e, ERR_INVALID, "couldn't find PID field in ps output");
}

static int print_table(char **args, const pid_t *pids, size_t count, struct error *e)
{
	cleanup_buf struct buf output = BUF_INIT;
	size_t column = 0;
	bool is_title = true;
	char *save = NULL;
	int r = run_ps(args, &output, e);

	if (r < 0)
		return r;
	for (char *line = strtok_r(output.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool wanted = is_title;

		if (is_title) {
			r = pid_column(line, &column, e);
			if (r < 0)
				return r;
			is_title = false;
		}
		for (size_t i = 0; i < count && !wanted; i++)
			wanted = nth_number(line, column) == pids[i];
		if (wanted)
			puts(line);
	}
	return 0;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static void print_json(const pid_t *pids, size_t count)
{
	putchar('[');
	for (size_t i = 0; i < count; i++)
		printf("%s%d", i ? "," : "", pids[i]);
	puts("]");
}

static int find_pids(struct hull *h, const char *id, pid_t **ret, size_t *ret_count, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	int r = container_load(h, id, &c, e);

	if (r >= 0)
		r = container_cgroup(h, &c, &host, &cgroup, e);
	/* One that has ended may have lost its cgroup to a cleaner. */
	if (r == -ERR_NOT_FOUND && c.status == OCI_STOPPED && c.state.id)
		return 0;
	return r < 0 ? r : cgroup_procs(cgroup, ret, ret_count, e);
}

static int ps_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct ps_opts *o = options;
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	bool json;
	int r = wants_json(o->format, &json, e);

	if (r >= 0)
		r = find_pids(h, args[0], &pids, &count, e);
	if (r < 0)
		return r;
	if (!json)
		return print_table(args + 1, pids, count, e);
	print_json(pids, count);
	return 0;
}

const struct command command_ps = {
	.name = "ps",
	.arguments = "CONTAINER [PS-OPTION...]",
	.summary = "show the processes in a container",
	.details = "The table is what ps(1) of the host prints when it is given the options behind the "
		   "container (-ef "
		   "without any),\nits lines cut down to the container's processes.\n",
	.options = ps_options,
	.options_size = sizeof(struct ps_opts),
	.least = 1,
	.most = ARGUMENTS_ANY,
	.ends_at_argument = true,
	.run = ps_run,
};
