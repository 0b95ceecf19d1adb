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
#include "hull/hull.h"

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

struct creation {
	struct hull *h;
	const struct create_opts *opts;
	const char *id;
	char *bundle; /* absolute */
	int bundle_dfd;
	struct buf config;
	struct oci_spec *spec;
	int dfd; /* of the state directory; -1 before it is made */
	int listen_fd, console_sock, pidfd_sock;
	struct strv env; /* with the fds of socket activation */
	int passed_fds;	 /* from fd 3 on, to the container */
	struct cgroup_host *cgroups;
	struct oci_init init;
};

static void creation_done(struct creation *c)
{
	free(c->bundle);
	if (c->bundle_dfd >= 0)
		close(c->bundle_dfd);
	buf_done(&c->config);
	oci_spec_free_p(&c->spec);
	if (c->dfd >= 0)
		close(c->dfd);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->console_sock >= 0)
		close(c->console_sock);
	if (c->pidfd_sock >= 0)
		close(c->pidfd_sock);
	strv_done(&c->env);
	oci_init_done(&c->init);
	cgroup_host_free_p(&c->cgroups);
}
DEFINE_CLEANUP_VALUE(struct creation, creation_done)

static int load_bundle(struct creation *c, struct error *e)
{
	const char *given = c->opts->bundle ? c->opts->bundle : ".";
	int r;

	c->bundle = realpath(given, NULL);
	if (!c->bundle)
		return err_sysk(e, ERR_NOT_FOUND, errno, "bundle \"%s\"", given);
	c->bundle_dfd = open(c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->bundle_dfd < 0)
		return err_sys(e, "open bundle \"%s\"", c->bundle);
	r = file_read(c->bundle_dfd, "config.json", OCI_SPEC_MAX_BYTES, &c->config, e);
	if (r >= 0)
		r = oci_spec_parse(buf_str(&c->config), c->config.len, &c->spec, e);
	return r < 0 ? err_ctx(e, "bundle \"%s\": config.json", c->bundle) : 0;
}

static int prepare_terminal(struct creation *c, struct error *e)
{
	bool detached = !c->opts->is_run || c->opts->detach, terminal = c->spec->process.terminal;

	if (detached && terminal && !c->opts->console_socket)
		return err_new(e, ERR_INVALID,
			       "cannot allocate tty if the container detaches without --console-socket");
	if (c->opts->console_socket && !(detached && terminal))
		return err_new(e, ERR_INVALID,
			       "--console-socket is of use only for a detached container with "
			       "process.terminal");
	if (c->opts->console_socket)
		return console_connect(c->opts->console_socket, &c->console_sock, e);
	if (!detached)
		foreground_size(&c->spec->process);
	return 0;
}

static int check_fds(struct creation *c, struct error *e)
{
	int listen_fds = listen_fds_count(), r;

	r = preserved_fds_check(c->opts->preserve_fds, e);
	c->passed_fds = c->opts->preserve_fds + listen_fds;
	if (r >= 0)
		r = preserved_fds_check(c->passed_fds, e);
	if (r < 0 || !listen_fds)
		return r;
	listen_fds_tell(listen_fds, &c->spec->process.env, &c->env);
	c->spec->process.env = (struct oci_strs){ (const char *const *)c->env.v, c->env.n };
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

/* All of the record but the process and the cgroup. */
static void describe(const struct creation *c, struct oci_state *s)
{
	const struct oci_spec *spec = c->spec;
	const struct oci_namespace *own_pids = &spec->linux.namespaces[OCI_NS_PID];
	const char *path = spec->root.path;
	char created[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ns(), created);
	str_set(&s->id, c->id);
	str_set(&s->bundle, c->bundle);
	s->rootfs = path[0] == '/' ? str_dup(path) : str_fmt("%s/%s", c->bundle, path);
	str_set(&s->oci_version, spec->oci_version);
	str_set(&s->created, created);
	s->has_systemd_cgroup = c->h->has_systemd_cgroup;
	s->has_late_hooks = spec->hooks[OCI_HOOK_POSTSTART].n || spec->hooks[OCI_HOOK_POSTSTOP].n;
	s->shares_pids = !own_pids->is_set || own_pids->path;
	s->owner = getuid();
	for (size_t i = 0; i < spec->annotations.n; i++) {
		strv_add(&s->annotations, spec->annotations.v[i].key);
		strv_add(&s->annotations, spec->annotations.v[i].value);
	}
}

static int write_record(struct creation *c, const char *name, struct oci_state *s, struct error *e)
{
	bool is_dead;
	int r = state_process_start(s->pid, &s->start_time, &is_dead, e);

	return r < 0 ? r : state_write(c->dfd, name, s, c->h->state_sticky, e);
}

/* Should we be killed at any moment from now on, "delete" finds what to remove. The init dies with us until
 * oci_keep(). */
static int save_intent(struct creation *c, struct error *e)
{
	CLEANUP(oci_state_done) struct oci_state s = OCI_STATE_INIT;

	describe(c, &s);
	if (c->cgroups) {
		str_set(&s.cgroup_path, c->spec->linux.cgroups_path);
		if (!s.cgroup_path)
			s.cgroup_path = cgroup_default_path(c->cgroups, c->id);
		s.cgroup_parents = cgroup_missing_parents(c->cgroups, s.cgroup_path);
	}
	s.pid = getpid();
	return write_record(c, STATE_INTENT, &s, e);
}

static int save_state(struct creation *c, struct error *e)
{
	CLEANUP(oci_state_done) struct oci_state s = OCI_STATE_INIT;

	describe(c, &s);
	if (c->init.cgroup) {
		str_set(&s.cgroup_path, cgroup_path(c->init.cgroup));
		s.cgroup_parents = cgroup_made_parents(c->init.cgroup);
	}
	str_set(&s.rdt_made, c->init.rdt_made);
	s.pid = c->init.pid;
	return write_record(c, STATE_FILE, &s, e);
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
	o.needs_user_ns = c->h->rootless.needs_user_ns;
	o.no_pivot = c->opts->no_pivot;
	o.new_keyring = !c->opts->no_new_keyring;
	o.gate_listen_fd = c->listen_fd;
	o.seccomp_cache_dfd = filters;
	o.caps_lenient = true;
	o.preserve_fds = c->passed_fds;
	r = save_intent(c, e);
	if (r >= 0)
		r = file_write_atomic(c->dfd, STATE_CONFIG, c->config.data, c->config.len,
				      0600 | c->h->state_sticky, false, e);
	if (r >= 0)
		r = oci_create(&o, &c->init, e);
	if (r >= 0)
		r = save_state(c, e);
	if (r >= 0)
		oci_keep(c->init.start_fd);
	if (r >= 0 && c->pidfd_sock >= 0)
		r = handover_send(c->pidfd_sock, "pidfd-socket", "standard", c->init.pid_fd, e);
	if (r >= 0 && c->console_sock >= 0)
		r = console_send(c->console_sock, c->init.console_fd, e);
	if (r >= 0 && c->opts->pid_file)
		r = write_pid_file(c->opts->pid_file, c->init.pid, e);
	return r;
}

/* Take back what make_container() made; our own word decides, not the record, which may not be there. */
static void undo(struct creation *c)
{
	CLEANUP(container_done) struct container made = CONTAINER_INIT;
	struct error e = ERROR_INIT;
	struct stat sb;
	bool is_gone = fstat(c->dfd, &sb) == 0 && sb.st_nlink == 0;
	int r = 0;

	if (c->init.pid_fd >= 0) {
		describe(c, &made.state);
		if (c->init.cgroup) {
			str_set(&made.state.cgroup_path, cgroup_path(c->init.cgroup));
			made.state.cgroup_parents = cgroup_made_parents(c->init.cgroup);
		}
		str_set(&made.state.rdt_made, c->init.rdt_made);
		made.dfd = take_fd(c->dfd);
		made.pid_fd = take_fd(c->init.pid_fd);
		r = container_end(c->h, &made, &e);
	}
	/* What "delete --force" removed under our hands may be another's by now. */
	if (r >= 0 && !is_gone)
		r = state_remove_dir(c->h->root, c->id, &e);
	if (r < 0)
		log_warn("take back container \"%s\": %s", c->id, err_msg(&e));
}

static int check(struct creation *c, struct error *e)
{
	int r = state_check_id(c->id, e);

	if (r >= 0)
		r = load_bundle(c, e);
	if (r >= 0)
		r = prepare_terminal(c, e);
	if (r >= 0)
		r = check_fds(c, e);
	if (r >= 0 && c->opts->pidfd_socket)
		r = handover_connect(c->opts->pidfd_socket, "pidfd-socket", &c->pidfd_sock, e);
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
		undo(c);
	return r;
}

#define CREATION_INIT(h_, o_, id_)              \
	((struct creation){ .h = (h_),          \
			    .opts = (o_),       \
			    .id = (id_),        \
			    .bundle_dfd = -1,   \
			    .dfd = -1,          \
			    .listen_fd = -1,    \
			    .console_sock = -1, \
			    .pidfd_sock = -1,   \
			    .init = OCI_INIT_INIT })

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
static int stay(struct hull *h, struct creation *c, struct container *made, struct error *e)
{
	struct error why = ERROR_INIT;
	int status = foreground_wait(&c->init, e);

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
	int r;

	opts->is_run = true;
	if (!opts->detach)
		foreground_prepare(!opts->no_subreaper);
	r = create(&c, e);
	if (r < 0)
		return r;
	r = container_load(h, c.id, &made, e);
	if (r >= 0)
		r = container_start(&made, e);
	if (r < 0) {
		struct error ignored = ERROR_INIT;

		(void)!container_destroy(h, &made, &ignored);
		return r;
	}
	return opts->detach ? 0 : stay(h, &c, &made, e);
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
