/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "hull/hull.h"
#include "sys/exeseal.h"

static int setup_log(struct hull *h, struct error *e)
{
	bool json = str_eq(h->log_format, "json");
	int fd = STDERR_FILENO;

	if (!json && !str_eq(h->log_format, "text"))
		return err_new(e, ERR_INVALID, "invalid log-format: \"%s\" (text and json are known)",
			       h->log_format);
	if (!str_is_empty(h->log)) {
		const char *path = h->log;

		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (fd < 0) {
			h->log = NULL;
			return err_sys(e, "open the log \"%s\"", path);
		}
	}
	/* Our stderr is also the container's. What is no error and has no log of its own stays out of it: callers save
	 * it as the container's output. hull_show_warnings() is for when that is over. */
	log_setup(fd, json ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT,
		  h->is_debug		 ? LOG_LEVEL_DEBUG
		  : str_is_empty(h->log) ? LOG_LEVEL_ERROR
					 : LOG_LEVEL_INFO);
	return 0;
}

/* Everything below it is taken for a container. */
static int check_root(const struct hull *h, struct error *e)
{
	struct stat given, top;

	if (h->root && (!*h->root || (stat(h->root, &given) == 0 && stat("/", &top) == 0 &&
				      given.st_dev == top.st_dev && given.st_ino == top.st_ino)))
		return err_new(e, ERR_INVALID, "option --root must not be \"%s\"", h->root);
	return 0;
}

/* crun's option. "disabled" is what podman gives for --cgroups=disabled. */
static int parse_cgroup_manager(struct hull *h, struct error *e)
{
	const char *word = h->cgroup_manager;

	if (!word || str_eq(word, "cgroupfs"))
		return 0;
	if (str_eq(word, "systemd"))
		h->has_systemd_cgroup = true;
	else if (str_eq(word, "disabled"))
		h->without_cgroups = true;
	else
		return err_new(e, ERR_INVALID,
			       "option --cgroup-manager takes cgroupfs, systemd or disabled, not \"%s\"",
			       word);
	return 0;
}

static int parse_rootless(struct hull *h, struct error *e)
{
	static const struct {
		const char *text;
		enum rootless_word value;
	} words[] = { { "auto", ROOTLESS_AUTO }, { "true", ROOTLESS_TRUE }, { "false", ROOTLESS_FALSE } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(h->rootless_text, words[i].text)) {
			hull_find_state(h, words[i].value);
			return 0;
		}
	return err_new(e, ERR_INVALID, "option --rootless takes auto, true or false, not \"%s\"",
		       h->rootless_text);
}

/* A caller reads the log, a person the terminal: both get the reason. */
static int report(const struct hull *h, const struct error *e, int status)
{
	log_error("%s", err_msg(e));
	if (!str_is_empty(h->log))
		fprintf(stderr, "%s\n", err_msg(e));
	return status;
}

static int check_count(const struct command *c, int n, struct error *e)
{
	const char *how = c->least == c->most ? "exactly" : n < c->least ? "a minimum of" : "a maximum of";
	int bound = n < c->least ? c->least : c->most;

	if (n >= c->least && (n <= c->most || c->most == ARGUMENTS_ANY))
		return 0;
	return err_new(e, ERR_INVALID, "\"%s\" requires %s %d argument(s)", c->name, how, bound);
}

/* argv[0] is the command's name. */
static int run_command(struct hull *h, int argc, char **argv)
{
	bool is_help = str_eq(argv[0], "help") || str_eq(argv[0], "h");
	const struct command *c = command_find(is_help ? argv[1] : argv[0]);
	struct error e = ERROR_INIT;
	bool wants_help = false;
	void *options;
	int n, r;

	if (is_help && argc == 1) {
		help_hull();
		return 0;
	}
	if (c && is_help) {
		help_command(c);
		return 0;
	}
	if (!c) {
		err_new(&e, ERR_INVALID, "unknown command \"%s\"", argv[is_help]);
		help_usage(NULL);
		return report(h, &e, 3);
	}
	if (!c->enters_containers)
		hull_show_warnings(h);
	log_debug("command \"%s\"", c->name);
	options = mem_zalloc(c->options_size + 1);
	n = options_take(argc, argv, c->options, c->ends_at_argument, options, &wants_help, &e);
	r = n < 0 || wants_help ? n : check_count(c, n, &e);
	if (r < 0) {
		help_usage(c);
		r = report(h, &e, 1);
	} else if (wants_help) {
		help_command(c);
		r = 0;
	} else {
		r = c->run(h, options, argv + 1, &e);
		if (r < 0)
			r = report(h, &e, c->failed ? c->failed : 1);
	}
	options_done(c->options, options);
	free(options);
	return r;
}

/* Those commands whose children live in a container are run from a sealed program. */
static int seal(const char *name, char **argv, struct error *e)
{
	const struct command *c = command_find(name);
	int r = c && c->enters_containers ? exe_seal(argv, e) : 0;

	return r == -ERR_DENIED ? 0 : r;
}

int main(int argc, char **argv)
{
	struct hull h = { .log_format = "text", .rootless_text = "auto", .criu = "criu" };
	struct error e = ERROR_INIT;
	bool wants_help = false;
	cleanup_free char **saved = mem_dup(argv, sizeof(*argv) * ((size_t)argc + 1));
	int n = fd_fill_stdio(&e), r;

	if (n >= 0)
		n = options_take(argc, argv, hull_options, true, &h, &wants_help, &e);
	if (n >= 0 && h.wants_version) {
		printf("hull version " HULL_VERSION "\nspec: " OCI_SPEC_VERSION "\n");
		return 0;
	}
	if (n == 0 || wants_help) {
		help_hull();
		return 0;
	}
	if (n < 0)
		help_usage(NULL);
	r = n < 0 ? n : setup_log(&h, &e);
	if (r >= 0)
		r = check_root(&h, &e);
	if (r >= 0)
		r = parse_rootless(&h, &e);
	if (r >= 0)
		r = parse_cgroup_manager(&h, &e);
	if (r >= 0)
		r = seal(argv[1], saved, &e);
	if (r < 0)
		return report(&h, &e, 1);
	prctl(PR_SET_NAME, "hull");
	r = run_command(&h, n, argv + 1);
	free(h.own_root);
	return fflush(stdout) == 0 ? r : 1;
}
