/* SPDX-License-Identifier: Apache-2.0 */
/* hull start, delete, pause, resume. */
#include <errno.h>
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

static int not_running(const struct container *c, struct error *e)
{
	err_new(e, ERR_STATE, "container not running");
	return err_hint(e, "it is %s", state_status_name(c->status));
}

static int freeze(struct hull *h, const char *id, bool on, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	int r = container_load(h, id, &c, e);

	if (r < 0)
		return r;
	if (c.status == OCI_STOPPED)
		return on ? not_running(&c, e) : err_new(e, ERR_STATE, "container not paused");
	r = container_cgroup(h, &c, &host, &cgroup, e);
	if (r < 0)
		return r;
	container_full_status(h, &c);
	if (on && c.status == OCI_PAUSED)
		return not_running(&c, e);
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
