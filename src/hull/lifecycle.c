/* SPDX-License-Identifier: Apache-2.0 */
/* hull start, kill, delete, pause, resume. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"
#include "hull/hull.h"

static int start_run(struct hull *h, void *options, char **args, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	int r = container_load(h, args[0], &c, e);

	(void)options;
	return r < 0 ? r : container_start(&c, e);
}

const struct command command_start = {
	.name = "start",
	.arguments = "CONTAINER",
	.summary = "start a created container",
	.least = 1,
	.most = 1,
	.run = start_run,
};

/* "9", "KILL", "SIGKILL", "sigkill", "RTMIN+3" */
static int parse_signal(const char *text, int *ret, struct error *e)
{
	char upper[32];
	size_t n = 0;
	uint32_t number;

	if (str_to_u32(text, &number, NULL) == 0 && number < 65) {
		*ret = (int)number;
		return 0;
	}
	for (; n < sizeof(upper) - 1 && text[n]; n++)
		upper[n] = (char)toupper((unsigned char)text[n]);
	upper[n] = '\0';
	if (str_starts(upper, "SIG"))
		memmove(upper, upper + 3, strlen(upper) - 2);
	if (str_starts(upper, "RTMIN+") && str_to_u32(upper + 6, &number, NULL) == 0 && number <= 30) {
		*ret = SIGRTMIN + (int)number;
		return 0;
	}
	for (int sig = 1; sig < 32; sig++)
		if (str_eq(sigabbrev_np(sig), upper)) {
			*ret = sig;
			return 0;
		}
	return err_new(e, ERR_INVALID, "unknown signal \"%s\"", text);
}

static int kill_all(struct hull *h, struct container *c, int sig, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	int r = container_cgroup(h, c, &host, &cgroup, e);

	return r < 0 ? r : cgroup_signal(cgroup, sig, e);
}

struct kill_opts {
	bool all;
};

static const struct option_word kill_options[] = {
	{ "all", 'a', OPTION(struct kill_opts, all), NULL, "to all processes of the container" },
	OPTIONS_END,
};

static int kill_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct kill_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	int sig = SIGTERM, r;

	r = args[1] ? parse_signal(args[1], &sig, e) : 0;
	if (r >= 0)
		r = container_load(h, args[0], &c, e);
	if (r < 0)
		return r;
	if (o->all)
		return kill_all(h, &c, sig, e);
	if (c.status == OCI_STOPPED)
		return err_new(e, ERR_STATE, "container not running");
	if (pidfd_send(c.pid_fd, sig) < 0)
		return errno == ESRCH ? err_new(e, ERR_STATE, "container not running")
				      : err_sys(e, "send signal %d to container \"%s\"", sig, args[0]);
	return 0;
}

const struct command command_kill = {
	.name = "kill",
	.arguments = "CONTAINER [SIGNAL]",
	.summary = "send a signal to the init of a container (SIGTERM)",
	.options = kill_options,
	.options_size = sizeof(struct kill_opts),
	.least = 1,
	.most = 2,
	.run = kill_run,
};

struct delete_opts {
	bool force;
};

static const struct option_word delete_options[] = {
	{ "force", 'f', OPTION(struct delete_opts, force), NULL, "kill it first; it need not exist" },
	OPTIONS_END,
};

static int delete_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct delete_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	int r = container_load(h, args[0], &c, e);

	if (r == -ERR_NOT_FOUND) {
		struct error ignored = ERROR_INIT;

		/* A create that was killed may have left its directory without a record. */
		if (state_check_id(args[0], NULL) == 0)
			(void)!state_remove_dir(h->root, args[0], &ignored);
		return o->force ? 0 : r;
	}
	if (r < 0)
		return r;
	container_full_status(h, &c);
	if (!o->force && (c.status == OCI_RUNNING || c.status == OCI_PAUSED))
		return err_new(e, ERR_STATE, "cannot delete container %s that is not stopped: %s", args[0],
			       state_status_name(c.status));
	return container_destroy(h, &c, e);
}

const struct command command_delete = {
	.name = "delete",
	.arguments = "CONTAINER",
	.summary = "remove a container that has ended, or any by --force",
	.options = delete_options,
	.options_size = sizeof(struct delete_opts),
	.least = 1,
	.most = 1,
	.run = delete_run,
};

static int freeze(struct hull *h, const char *id, bool on, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	int r = container_load(h, id, &c, e);

	if (r >= 0)
		r = container_cgroup(h, &c, &host, &cgroup, e);
	if (r < 0)
		return r;
	container_full_status(h, &c);
	if (on && c.status != OCI_RUNNING && c.status != OCI_CREATED)
		return err_new(e, ERR_STATE, "container not running or created: %s",
			       state_status_name(c.status));
	if (!on && c.status != OCI_PAUSED)
		return err_new(e, ERR_STATE, "container not paused");
	return on ? cgroup_freeze(cgroup, 10000, e) : cgroup_thaw(cgroup, e);
}

static int pause_run(struct hull *h, void *options, char **args, struct error *e)
{
	(void)options;
	return freeze(h, args[0], true, e);
}

const struct command command_pause = {
	.name = "pause",
	.arguments = "CONTAINER",
	.summary = "freeze all processes of a container",
	.least = 1,
	.most = 1,
	.run = pause_run,
};

static int resume_run(struct hull *h, void *options, char **args, struct error *e)
{
	(void)options;
	return freeze(h, args[0], false, e);
}

const struct command command_resume = {
	.name = "resume",
	.arguments = "CONTAINER",
	.summary = "thaw a paused container",
	.least = 1,
	.most = 1,
	.run = resume_run,
};
