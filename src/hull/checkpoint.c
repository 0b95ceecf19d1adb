/* SPDX-License-Identifier: Apache-2.0 */
/* hull checkpoint. */
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "hull/checkpoint.h"
#include "hull/hull.h"
#include "oci/criu.h"

struct checkpoint_opts {
	struct criu_words common;
	const char *parent_path, *status_fd, *page_server;
	bool leave_running, tcp_skip_in_flight, link_remap, pre_dump;
};

static const struct option_word options[] = {
	CRIU_OPTIONS(struct checkpoint_opts, common),
	{ "parent-path", 0, OPTION(struct checkpoint_opts, parent_path), "DIR",
	  "images of an earlier --pre-dump, relative to the images: only what changed since is written" },
	{ "leave-running", 0, OPTION(struct checkpoint_opts, leave_running), NULL,
	  "let the container run on, instead of ending and deleting it" },
	{ "tcp-skip-in-flight", 0, OPTION(struct checkpoint_opts, tcp_skip_in_flight), NULL,
	  "leave TCP connections out that are not established yet" },
	{ "link-remap", 0, OPTION(struct checkpoint_opts, link_remap), NULL,
	  "give open files that were removed a name while they are in the images" },
	{ "status-fd", 0, OPTION(struct checkpoint_opts, status_fd), "FD",
	  "write a 0 byte there when lazy pages can be asked for" },
	{ "page-server", 0, OPTION(struct checkpoint_opts, page_server), "ADDRESS:PORT",
	  "send memory to the page server there, not into the images" },
	{ "pre-dump", 0, OPTION(struct checkpoint_opts, pre_dump), NULL,
	  "write memory alone, and let the container run on" },
	OPTIONS_END,
};

int criu_words_read(const struct hull *h, const struct criu_words *w, struct criu_common *ret,
		    struct error *e)
{
	for (size_t i = 0; i < w->empty_ns.n; i++)
		if (!str_eq(w->empty_ns.v[i], "network"))
			return err_new(e, ERR_INVALID,
				       "--empty-ns: namespace \"%.100s\" is not supported (network is)",
				       w->empty_ns.v[i]);
	*ret = (struct criu_common){
		.program = h->criu,
		.image_path = str_is_empty(w->image_path) ? "checkpoint" : w->image_path,
		.work_path = str_is_empty(w->work_path) ? NULL : w->work_path,
		.tcp_established = w->tcp_established,
		.ext_unix_sk = w->ext_unix_sk,
		.shell_job = w->shell_job,
		.file_locks = w->file_locks,
		.auto_dedup = w->auto_dedup,
		.lazy_pages = w->lazy_pages,
	};
	return criu_cgroups_parse(w->cgroups_mode, &ret->cgroups, e);
}

/* Freezing all processes at once is quicker and surer than stopping one after the other. Where hull pauses a container,
 * criu has to freeze it as well: it cannot stop what another freezer holds. */
static char *freezer_of(const struct cgroup_host *host, const struct cgroup *cgroup)
{
	const char *mount_point, *option;
	char *v1 = NULL;

	for (size_t i = 0; cgroup_host_hierarchy(host, i, &mount_point, &option); i++) {
		cleanup_strv struct strv names = STRV_INIT;
		cleanup_free char *path = str_fmt("%s%s", mount_point, cgroup_path(cgroup));

		strv_split(&names, option, ",");
		if (!names.n && access(path, F_OK) == 0) {
			free(v1);
			return take_ptr(path);
		}
		if (!v1 && strv_has(&names, "freezer"))
			v1 = take_ptr(path);
	}
	return v1;
}

static int read_options(const struct hull *h, const struct checkpoint_opts *o, struct criu_dump *d,
			struct error *e)
{
	int r = criu_words_read(h, &o->common, &d->common, e);

	if (r >= 0 && !str_is_empty(o->status_fd))
		r = options_number(o->status_fd, "--status-fd", &d->status_fd, e);
	d->parent_path = str_is_empty(o->parent_path) ? NULL : o->parent_path;
	d->page_server = str_is_empty(o->page_server) ? NULL : o->page_server;
	d->leave_running = o->leave_running;
	d->pre_dump = o->pre_dump;
	d->tcp_skip_in_flight = o->tcp_skip_in_flight;
	d->link_remap = o->link_remap;
	return r;
}

static int check_status(struct hull *h, struct container *c, struct error *e)
{
	container_full_status(h, c);
	if (c->status == OCI_CREATED || c->status == OCI_STOPPED)
		return err_new(e, ERR_STATE, "container \"%s\" cannot be checkpointed in %s state",
			       c->state.id, state_status_name(c->status));
	return 0;
}

/* criu thaws what it froze, unless it was killed. */
static void thaw(struct hull *h, struct container *c, struct cgroup *cgroup)
{
	struct error e = ERROR_INIT;

	if (!cgroup || c->status == OCI_PAUSED || container_full_status(h, c) != OCI_PAUSED)
		return;
	if (cgroup_thaw(cgroup, &e) < 0)
		log_warn("let container \"%s\" run on: %s", c->state.id, err_msg(&e));
}

static int dump(struct hull *h, struct container *c, struct criu_dump *d, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	cleanup_free char *freezer = NULL;
	cleanup_close int bundle_dfd = open(c->state.bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct error ignored = ERROR_INIT;
	int r = container_spec(c, &spec, e);

	if (r < 0)
		return r;
	if (container_cgroup(h, c, &host, &cgroup, &ignored) >= 0)
		freezer = freezer_of(host, cgroup);
	d->id = c->state.id;
	d->spec = spec;
	d->pid = c->state.pid;
	d->pid_fd = c->pid_fd;
	d->bundle_dfd = bundle_dfd;
	d->freeze_cgroup = freezer;
	d->stdio = &c->state.stdio;
	r = criu_dump(d, e);
	if (r < 0)
		thaw(h, c, cgroup);
	return r;
}

static int run(struct hull *h, void *fields, char **args, struct error *e)
{
	const struct checkpoint_opts *o = fields;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	struct criu_dump d = CRIU_DUMP_INIT;
	int r = read_options(h, o, &d, e);

	if (r >= 0)
		r = criu_check_privileges(e);
	if (r >= 0)
		r = container_load(h, args[0], &c, e);
	if (r >= 0)
		r = check_status(h, &c, e);
	if (r >= 0)
		r = dump(h, &c, &d, e);
	if (r < 0)
		return r;
	if (!o->leave_running && !o->pre_dump) {
		struct error why = ERROR_INIT;

		/* The images are whole; what is left of the container is no reason to say otherwise. */
		if (container_destroy(h, &c, &why) < 0)
			log_warn("%s", err_msg(&why));
	}
	return 0;
}

const struct command command_checkpoint = {
	.name = "checkpoint",
	.arguments = "CONTAINER",
	.summary = "write a running container into a directory, by criu",
	.options = options,
	.options_size = sizeof(struct checkpoint_opts),
	.least = 1,
	.most = 1,
	.run = run,
};
