/* SPDX-License-Identifier: Apache-2.0 */
/* hull kill. */
#include <errno.h>
#include <signal.h>

#include "base/proc.h"
#include "hull/hull.h"

struct kill_opts {
	bool all;
};

static const struct option_word kill_options[] = {
	{ "all", 'a', OPTION(struct kill_opts, all), NULL, "to all processes of the container" },
	OPTIONS_END,
};

static int not_running(struct error *e)
{
	return err_new(e, ERR_STATE, "container not running");
}

static int signal_all(struct hull *h, struct container *c, int sig, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	bool is_empty = true;
	int r = container_cgroup(h, c, &host, &cgroup, e);

	if (r >= 0)
		r = cgroup_is_empty(cgroup, &is_empty, e);
	if (r == -ERR_NOT_FOUND || (r >= 0 && is_empty))
		return not_running(e);
	if (r < 0)
		return r;
	return sig == SIGKILL ? cgroup_kill(cgroup, 0, e) : cgroup_signal(cgroup, sig, e);
}

/* The v1 freezer keeps even a killed process. */
static void thaw(struct hull *h, struct container *c)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	struct error ignored = ERROR_INIT;

	if (cgroup_is_frozen_at(&c->state.freezer_files) == 0)
		return;
	if (container_cgroup(h, c, &host, &cgroup, &ignored) >= 0 && cgroup_is_frozen(cgroup))
		(void)!cgroup_thaw(cgroup, &ignored);
}

static int signal_init(struct hull *h, struct container *c, int sig, struct error *e)
{
	if (c->status == OCI_STOPPED)
		return not_running(e);
	if (pidfd_send(c->pid_fd, sig) < 0)
		return errno == ESRCH ? not_running(e)
				      : err_sys(e, "send signal %d to container \"%s\"", sig, c->state.id);
	if (sig == SIGKILL)
		thaw(h, c);
	return 0;
}

static int kill_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct kill_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	int sig = SIGTERM, r = container_load(h, args[0], &c, e);

	if (r >= 0 && args[1] && args[1][0])
		r = signal_parse(args[1], &sig, e);
	if (r < 0)
		return r;
	/* That of a pid namespace takes all the others along; without one they would stay. */
	if (!o->all && !(sig == SIGKILL && c.state.shares_pids && c.state.cgroup_path))
		return signal_init(h, &c, sig, e);
	r = signal_all(h, &c, sig, e);
	/* Nobody left to signal is what a caller of --all wants. */
	return o->all && r == -ERR_STATE ? 0 : r;
}

const struct command command_kill = {
	.name = "kill",
	.arguments = "CONTAINER [SIGNAL]",
	.summary = "send a signal to the init of a container (SIGTERM)",
	.details = "SIGNAL is a number or a name, with or without SIG. Without a pid namespace of its own, "
		   "SIGKILL goes "
		   "to all\nprocesses of the container.\n",
	.options = kill_options,
	.options_size = sizeof(struct kill_opts),
	.least = 1,
	.most = 2,
	.run = kill_run,
};
