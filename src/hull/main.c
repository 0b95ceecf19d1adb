/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "hull/hull.h"
#include "sys/exeseal.h"

static const struct {
	const char *name;
	hull_command run;
	int failed; /* exit status when it failed itself */
	const char *help;
} commands[] = {
	{ "create", command_create, 1, "create a container from a bundle; it waits for \"start\"" },
	{ "delete", command_delete, 1, "remove a container that has ended (--force: any)" },
	{ "exec", command_exec, 255, "run another process in a container" },
	{ "kill", command_kill, 1, "send a signal to a container's init (SIGTERM)" },
	{ "list", command_list, 1, "show the containers below --root" },
	{ "pause", command_pause, 1, "freeze all processes of a container" },
	{ "ps", command_ps, 1, "show the pids in a container" },
	{ "resume", command_resume, 1, "thaw a paused container" },
	{ "run", command_run, 1, "create and start a container, and stay with it" },
	{ "spec", command_spec, 1, "write a config.json to begin with" },
	{ "start", command_start, 1, "start a created container" },
	{ "state", command_state, 1, "show the state of a container as JSON" },
};

static int usage(FILE *out, int status)
{
	fputs("usage: hull [options] COMMAND [options] [arguments]\n\n"
	      "An OCI runtime with runc's command line.\n\ncommands:\n",
	      out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\noptions:\n"
	      "  --root DIR               state of containers (default " HULL_STATE_ROOT ")\n"
	      "  --log FILE               write the log there instead of to stderr\n"
	      "  --log-format text|json   (default text)\n"
	      "  --debug                  log more\n"
	      "  --systemd-cgroup         cgroups by systemd: paths are slice:prefix:name\n"
	      "  --version, --help\n",
	      out);
	return status;
}

struct globals {
	const char *root, *log, *log_format, *ignored;
	bool debug, systemd_cgroup, version, help;
};

static int setup_log(const struct globals *g, struct error *e)
{
	bool json = str_eq(g->log_format, "json");
	int fd = STDERR_FILENO;

	if (!json && !str_eq(g->log_format, "text"))
		return err_new(e, ERR_INVALID, "unknown log format \"%s\" (text and json are known)",
			       g->log_format);
	if (!str_is_empty(g->log)) {
		fd = open(g->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (fd < 0)
			return err_sys(e, "open the log \"%s\"", g->log);
	}
	log_setup(fd, json, g->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	return 0;
}

/* A caller reads the log, a person the terminal: both get the reason. */
static int report(const struct globals *g, const struct error *e, int status)
{
	log_error("%s", err_msg(e));
	if (!str_is_empty(g->log))
		fprintf(stderr, "%s\n", err_msg(e));
	return status;
}

static int run_command(struct globals *g, int argc, char **argv, struct error *e)
{
	struct hull h = { .root = g->root, .has_systemd_cgroup = g->systemd_cgroup };

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		int r;

		if (!str_eq(argv[0], commands[i].name))
			continue;
		log_debug("command \"%s\"", argv[0]);
		r = commands[i].run(&h, argc, argv, e);
		return r < 0 ? report(g, e, commands[i].failed) : r;
	}
	fprintf(stderr, "hull: unknown command \"%s\"\n", argv[0]);
	return usage(stderr, 1);
}

int main(int argc, char **argv)
{
	struct globals g = { .root = HULL_STATE_ROOT, .log_format = "text" };
	const struct option_word words[] = {
		{ .name = "root", .value = &g.root },
		{ .name = "log", .value = &g.log },
		{ .name = "log-format", .value = &g.log_format },
		{ .name = "debug", .flag = &g.debug },
		{ .name = "systemd-cgroup", .flag = &g.systemd_cgroup },
		{ .name = "rootless", .value = &g.ignored },
		{ .name = "criu", .value = &g.ignored },
		{ .name = "version", .letter = 'v', .flag = &g.version },
		{ .name = "help", .letter = 'h', .flag = &g.help },
	};
	struct error e = ERROR_INIT;
	cleanup_free char **saved = mem_dup(argv, sizeof(*argv) * ((size_t)argc + 1));
	int n = options_take(argc, argv, words, ARRAY_LEN(words), 1, &e);

	if (n >= 0 && g.version) {
		printf("hull version " HULL_VERSION "\nspec: " OCI_SPEC_VERSION "\n");
		return 0;
	}
	if (n == 0 || g.help)
		return usage(g.help ? stdout : stderr, g.help ? 0 : 1);
	if (n > 0) {
		int r = setup_log(&g, &e);

		n = r < 0 ? r : n;
	}
	/* Those commands whose children live in a container. */
	if (n > 0 && (str_eq(argv[1], "create") || str_eq(argv[1], "run") || str_eq(argv[1], "exec")) &&
	    exe_seal(saved, &e) < 0 && e.kind != ERR_DENIED)
		n = -(int)e.kind;
	prctl(PR_SET_NAME, "hull");
	if (n < 0) {
		fprintf(stderr, "hull: %s\n", err_msg(&e));
		return 1;
	}
	n = run_command(&g, n, argv + 1, &e);
	return fflush(stdout) == 0 ? n : 1;
}
