/* SPDX-License-Identifier: Apache-2.0 */
/* hull start, delete, pause, resume. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/proc.h"
#include "hull/notify.h"

static int start_run(struct hull *h, void *options, char **args, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	cleanup_close int notify_sock = -1;
	int r = container_load_to_start(h, args[0], &c, e);

	(void)options;
	if (r < 0)
		return r;
	/* A frozen init would not hear us. */
	container_full_status(h, &c);
	if (c.status == OCI_CREATED && notify_is_wanted())
		r = notify_listen(c.dfd, &notify_sock, e);
	if (r >= 0)
		r = container_start(&c, e);
	if (r >= 0 && notify_sock >= 0)
		notify_wait(notify_sock, c.state.pid, c.pid_fd);
	if (r < 0 && c.has_failed_hook) {
		struct error why = ERROR_INIT;

		/* OCI runtime.md, "Lifecycle": a hook that fails leads to step 12, the end of the container. */
		if (container_destroy(h, &c, &why) < 0)
			log_warn("%s", err_msg(&why));
	}
	return r;
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

/* What a create that was killed has left: no record, but what it was about to make. One that goes on is let alone,
 * unless by force; then it finds its directory gone, and takes all back itself. The container does not exist in any
 * case, which is what we say. 1: it has come to its end meanwhile, and there is a container. */
static int delete_remains(struct hull *h, const char *id, bool force, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(oci_state_done) struct oci_state made = OCI_STATE_INIT;
	struct error ignored = ERROR_INIT, why = ERROR_INIT;
	enum oci_status creator = OCI_STOPPED;
	bool has_intent, is_gone = false;
	int r = state_open_dir(h->root, id, &c.dfd, &ignored);

	if (r < 0)
		return -ERR_NOT_FOUND;
	has_intent = state_read(c.dfd, STATE_INTENT, &c.state, &ignored) >= 0;
	if (has_intent)
		r = state_status(c.dfd, &c.state, &creator, NULL, NULL, &why);
	if (r >= 0 && !force && (!has_intent || creator != OCI_STOPPED))
		return -ERR_NOT_FOUND;
	if (r >= 0)
		r = state_lock(c.dfd, &is_gone, &why);
	if (r >= 0 && is_gone)
		return -ERR_NOT_FOUND;
	if (r >= 0 && state_read(c.dfd, STATE_FILE, &made, &ignored) >= 0)
		return 1;
	/* Without an intent it died before it made anything, or while it wrote. */
	if (r >= 0)
		r = has_intent ? container_destroy(h, &c, &why) : state_remove_dir(h->root, id, &why);
	if (r >= 0)
		return -ERR_NOT_FOUND;
	*e = why;
	return -(int)why.kind;
}

static int delete_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct delete_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	int r = container_load(h, args[0], &c, e);

	/* A record that cannot be read is none; by force, what was noted before still says what there is. */
	if (r == -ERR_NOT_FOUND || (r == -ERR_CORRUPT && o->force))
		r = delete_remains(h, args[0], o->force, e);
	if (r == 1)
		r = container_load(h, args[0], &c, e);
	if (r == -ERR_NOT_FOUND && o->force)
		return 0;
	if (r < 0 || !c.state.id)
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
