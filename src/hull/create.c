/* SPDX-License-Identifier: Apache-2.0 */
/* hull create, hull run. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "hull/creation.h"
#include "hull/notify.h"

struct create_opts {
	const char *bundle, *console_socket, *pidfd_socket, *pid_file;
	int preserve_fds;
	bool no_pivot, no_new_keyring, detach, keep, no_subreaper;
	bool is_run;
};

static const struct option_word run_options[] = {
	{ "detach", 'd', OPTION(struct create_opts, detach), NULL, "do not stay with the container" },
	{ "keep", 0, OPTION(struct create_opts, keep), NULL,
	  "do not delete the container when it has ended" },
	{ "no-subreaper", 0, OPTION(struct create_opts, no_subreaper), NULL,
	  "leave orphans of the container to somebody else" },
#define RUN_ALONE 3 /* the rows up to here are not create's */
	{ "bundle", 'b', OPTION(struct create_opts, bundle), "DIR",
	  "where config.json is (the current directory)" },
	{ "console-socket", 0, OPTION(struct create_opts, console_socket), "SOCKET",
	  "the program that listens there gets the terminal's master" },
	{ "pidfd-socket", 0, OPTION(struct create_opts, pidfd_socket), "SOCKET",
	  "the program that listens there gets a pidfd of the init" },
	{ "pid-file", 0, OPTION(struct create_opts, pid_file), "FILE", "write the pid of the init there" },
	{ "no-pivot", 0, OPTION(struct create_opts, no_pivot), NULL,
	  "move the root instead of pivot_root(2): for a root on an initramfs" },
	{ "no-new-keyring", 0, OPTION(struct create_opts, no_new_keyring), NULL,
	  "keep the caller's session keyring" },
	{ "preserve-fds", 0, OPTION(struct create_opts, preserve_fds), "N",
	  "pass the fds from 3 on to the container: N of them, after those of $LISTEN_FDS" },
	OPTIONS_END,
};

static int check_fds(struct creation *c, struct error *e)
{
	int listen_fds = listen_fds_count(), r;
	char count[16];

	r = preserved_fds_check(c->opts->preserve_fds, e);
	c->passed_fds = c->opts->preserve_fds + listen_fds;
	if (r >= 0)
		r = preserved_fds_check(c->passed_fds, e);
	if (r < 0 || !listen_fds)
		return r;
	snprintf(count, sizeof(count), "%d", listen_fds);
	creation_set_env(c, "LISTEN_FDS", count);
	creation_set_env(c, "LISTEN_PID", "1"); /* as the container sees its init */
	return 0;
}

static int listen_for_start(struct creation *c, struct error *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[PATH_FD_SIZE];

	c->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" STATE_SOCKET, path_of_fd(c->dfd, dir));
	if (c->listen_fd < 0 || bind(c->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(c->listen_fd, 4) < 0)
		return err_sys(e, "make the start socket");
	return 0;
}

static int make_container(struct creation *c, struct error *e)
{
	struct oci_create o = OCI_CREATE_INIT;
	cleanup_close int filters = -1;
	int r;

	if (c->spec->linux.seccomp)
		filters = state_open_filters(c->h->root, c->h->state_sticky);

	o.id = c->id;
	o.spec = c->spec;
	o.bundle_dfd = c->bundle_dfd;
	for (int fd = 0; fd < 3; fd++)
		o.stdio[fd] = fd;
	o.cgroups = c->cgroups;
	o.without_cgroup = c->h->without_cgroups;
	o.needs_user_ns = c->h->rootless.needs_user_ns;
	o.no_pivot = c->opts->no_pivot;
	o.new_keyring = !c->opts->no_new_keyring;
	o.gate_listen_fd = c->listen_fd;
	o.seccomp_cache_dfd = filters;
	o.caps_lenient = true;
	o.keeps_groups = hull_keeps_groups(c->spec);
	o.bare_newlines = c->opts->is_run && !c->opts->detach;
	o.preserve_fds = c->passed_fds;
	r = creation_save_intent(c, e);
	if (r >= 0 && notify_is_wanted())
		r = notify_prepare(c, e);
	if (r >= 0)
		r = file_write_atomic(c->dfd, STATE_CONFIG, c->config.data, c->config.len,
				      0600 | c->h->state_sticky, false, e);
	if (r >= 0)
		r = oci_create(&o, &c->init, e);
	if (r >= 0)
		r = creation_save(c, &c->init, e);
	if (r >= 0)
		oci_keep(c->init.start_fd);
	return r < 0 ? r : creation_hand_over(c, &c->init, c->opts->pid_file, e);
}

/* Which form a path has is the driver's matter (runc's rule): one in the other's would be somewhere else. */
static int check_cgroups_path(const struct creation *c, struct error *e)
{
	const char *path = c->spec->linux.cgroups_path;

	if (!c->h->has_systemd_cgroup || c->h->without_cgroups || !path ||
	    (path[0] != '/' && strchr(path, ':')))
		return 0;
	return err_new(
		e, ERR_INVALID,
		"expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"%s\" "
		"instead",
		path);
}

static int check(struct creation *c, struct error *e)
{
	int r = state_check_id(c->id, e);

	if (r >= 0)
		r = creation_load_bundle(c, c->opts->bundle, e);
	if (r >= 0)
		r = creation_prepare_terminal(c, !c->opts->is_run || c->opts->detach, c->opts->console_socket,
					      e);
	if (r >= 0)
		r = check_fds(c, e);
	if (r >= 0 && c->opts->pidfd_socket)
		r = handover_connect(c->opts->pidfd_socket, "pidfd-socket", &c->pidfd_sock, e);
	if (r >= 0)
		r = check_cgroups_path(c, e);
	if (r >= 0)
		r = hull_cgroups(c->h, &c->cgroups, e);
	return r;
}

/* Everything but the start. When it fails, nothing is left. */
static int create(struct creation *c, struct error *e)
{
	int r = check(c, e);

	if (r < 0)
		return r;
	r = state_make_dir(c->h->root, c->id, c->h->state_sticky, &c->dfd, e);
	if (r < 0)
		return hull_state_error(c->h, e);
	/* `run` starts what it made over the socket that it has anyhow; the file still says "created" until then. */
	r = listen_for_start(c, e);
	if (r >= 0)
		r = make_container(c, e);
	if (r < 0)
		creation_undo(c, e);
	return r;
}

static int create_run(struct hull *h, void *options, char **args, struct error *e)
{
	CLEANUP(creation_done) struct creation c = CREATION_INIT(h, options, args[0]);

	return create(&c, e);
}

const struct command command_create = {
	.name = "create",
	.arguments = "CONTAINER",
	.summary = "create a container from a bundle; it waits for \"start\"",
	.options = &run_options[RUN_ALONE],
	.options_size = sizeof(struct create_opts),
	.least = 1,
	.most = 1,
	.enters_containers = true,
	.run = create_run,
};

/* The container is ours until it ended, then it is removed, unless it was to be kept. */
static int stay(struct hull *h, struct creation *c, struct container *made, int notify_sock, struct error *e)
{
	struct error why = ERROR_INIT;
	int status = foreground_wait(&c->init, notify_sock, e);

	hull_show_warnings(h);
	if (c->opts->keep)
		return status;
	made->status = OCI_STOPPED;
	if (container_destroy(h, made, &why) < 0)
		log_warn("%s", err_msg(&why));
	return status;
}

static int run_run(struct hull *h, void *options, char **args, struct error *e)
{
	struct create_opts *opts = options;
	CLEANUP(container_done) struct container made = CONTAINER_INIT;
	CLEANUP(creation_done) struct creation c = CREATION_INIT(h, opts, args[0]);
	cleanup_close int notify_sock = -1;
	int r;

	opts->is_run = true;
	if (!opts->detach)
		foreground_prepare(!opts->no_subreaper);
	r = create(&c, e);
	if (r < 0)
		return r;
	r = creation_made(&c, &made, e);
	if (r < 0) {
		creation_undo(&c, e);
		return r;
	}
	if (notify_is_wanted())
		r = notify_listen(made.dfd, &notify_sock, e);
	if (r >= 0)
		r = container_start(&made, e);
	if (r < 0) {
		struct error ignored = ERROR_INIT;

		(void)!container_destroy(h, &made, &ignored);
		return r;
	}
	if (!opts->detach)
		return stay(h, &c, &made, notify_sock, e);
	if (notify_sock >= 0)
		notify_wait(notify_sock, c.init.pid, c.init.pid_fd);
	return 0;
}

const struct command command_run = {
	.name = "run",
	.arguments = "CONTAINER",
	.summary = "create and start a container, and stay with it",
	.options = run_options,
	.options_size = sizeof(struct create_opts),
	.least = 1,
	.most = 1,
	.enters_containers = true,
	.run = run_run,
};
