/* SPDX-License-Identifier: Apache-2.0 */
/* hull exec. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "hull/hull.h"
#include "sys/caps.h"

struct exec_opts {
	const char *console_socket, *cwd, *user, *process, *pid_file, *apparmor, *label;
	int preserve_fds;
	struct strv env, caps, additional_gids;
	bool tty, detach, no_new_privs, ignore_paused;
};

static const struct option_word exec_options[] = {
	{ "process", 'p', OPTION(struct exec_opts, process), "FILE",
	  "what to run, as the spec's process object" },
	{ "user", 'u', OPTION(struct exec_opts, user), "UID[:GID]", "as whom" },
	{ "additional-gids", 'g', OPTION(struct exec_opts, additional_gids), "GID",
	  "a supplementary group (more than once)" },
	{ "cwd", 0, OPTION(struct exec_opts, cwd), "DIR", "the working directory in the container" },
	{ "env", 'e', OPTION(struct exec_opts, env), "NAME=VALUE",
	  "set in the environment (more than once)" },
	{ "tty", 't', OPTION(struct exec_opts, tty), NULL, "give it a terminal" },
	{ "detach", 'd', OPTION(struct exec_opts, detach), NULL, "do not stay with the process" },
	{ "pid-file", 0, OPTION(struct exec_opts, pid_file), "FILE", "write the pid of the process there" },
	{ "console-socket", 0, OPTION(struct exec_opts, console_socket), "SOCKET",
	  "the program that listens there gets the terminal's master" },
	{ "cap", 'c', OPTION(struct exec_opts, caps), "CAP", "add a capability (more than once)" },
	{ "no-new-privs", 0, OPTION(struct exec_opts, no_new_privs), NULL, "set no_new_privs" },
	{ "apparmor", 0, OPTION(struct exec_opts, apparmor), "PROFILE", "the AppArmor profile" },
	{ "process-label", 0, OPTION(struct exec_opts, label), "LABEL", "the SELinux label" },
	{ "ignore-paused", 0, OPTION(struct exec_opts, ignore_paused), NULL,
	  "even if the container is paused" },
	{ "preserve-fds", 0, OPTION(struct exec_opts, preserve_fds), "N",
	  "pass the fds from 3 on to the process: N of them, after those of $LISTEN_FDS" },
	OPTIONS_END,
};

/* "1000" or "1000:100": numbers, as runc has it. */
static int set_user(struct oci_process *p, const char *user, struct error *e)
{
	const char *colon = strchr(user, ':');
	cleanup_free char *uid = colon ? str_ndup(user, (size_t)(colon - user)) : str_dup(user);
	int r = str_to_u32(uid, &p->user.uid, e);

	if (r >= 0 && colon)
		r = str_to_u32(colon + 1, &p->user.gid, e);
	return r < 0 ? err_ctx(e, "--user") : 0;
}

static int add_caps(struct oci_process *p, const struct strv *caps, struct error *e)
{
	for (size_t i = 0; i < caps->n; i++) {
		int cap = caps_from_name(caps->v[i]);

		if (cap < 0)
			return err_new(e, ERR_INVALID, "unknown capability \"%s\"", caps->v[i]);
		p->capabilities.set[OCI_CAP_BOUNDING] |= CAP_BIT(cap);
		p->capabilities.set[OCI_CAP_EFFECTIVE] |= CAP_BIT(cap);
		p->capabilities.set[OCI_CAP_PERMITTED] |= CAP_BIT(cap);
	}
	return 0;
}

/* The container's own process, changed by the options. env, args and gids point into args and *o. */
static int edit_process(const struct exec_opts *o, char **args, struct oci_process *p, struct strv *env,
			uint32_t **gids, struct error *e)
{
	size_t n = 0;
	int r = 0;

	while (args[1 + n])
		n++;
	p->args = (struct oci_strs){ (const char *const *)&args[1], n };
	p->terminal = o->tty;
	p->console_size.is_set = false;
	if (o->cwd)
		p->cwd = o->cwd;
	for (size_t i = 0; i < p->env.n; i++)
		strv_add(env, p->env.v[i]);
	for (size_t i = 0; i < o->env.n; i++)
		strv_add(env, o->env.v[i]);
	if (env->n)
		p->env = (struct oci_strs){ (const char *const *)env->v, env->n };
	if (o->user)
		r = set_user(p, o->user, e);
	if (o->additional_gids.n) {
		*gids = mem_array(o->additional_gids.n, sizeof(**gids));
		for (size_t i = 0; i < o->additional_gids.n && r >= 0; i++)
			r = str_to_u32(o->additional_gids.v[i], &(*gids)[i], e);
		p->user.additional_gids = *gids;
		p->user.additional_gid_count = o->additional_gids.n;
	}
	p->no_new_privileges |= o->no_new_privs;
	if (o->apparmor)
		p->apparmor_profile = o->apparmor;
	if (o->label)
		p->selinux_label = o->label;
	return r < 0 ? r : add_caps(p, &o->caps, e);
}

static int load_process(const char *path, struct oci_process **ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = file_read(AT_FDCWD, path, OCI_SPEC_MAX_BYTES, &text, e);

	if (r >= 0)
		r = oci_process_parse(buf_str(&text), text.len, ret, e);
	return r < 0 ? err_ctx(e, "process \"%s\"", path) : 0;
}

static int prepare_terminal(const struct exec_opts *o, struct oci_process *p, int *ret_sock, struct error *e)
{
	if (o->detach && p->terminal && !o->console_socket)
		return err_new(e, ERR_INVALID,
			       "cannot allocate tty if the process detaches without --console-socket");
	if (o->console_socket && !(o->detach && p->terminal))
		return err_new(e, ERR_INVALID,
			       "--console-socket is of use only for a detached process with a terminal");
	if (o->console_socket)
		return console_connect(o->console_socket, ret_sock, e);
	if (!o->detach)
		foreground_size(p);
	return 0;
}

static int run_in(struct hull *h, struct container *c, const struct exec_opts *o, const struct oci_spec *spec,
		  struct oci_process *p, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	CLEANUP(oci_init_done) struct oci_init made = OCI_INIT_INIT;
	struct oci_exec x = OCI_EXEC_INIT;
	cleanup_close int console_sock = -1;
	int r = prepare_terminal(o, p, &console_sock, e);

	if (r < 0)
		return r;
	if (c->state.cgroup_path)
		r = container_cgroup(h, c, &host, &cgroup, e);
	x.id = c->state.id;
	x.pid = c->state.pid;
	x.pid_fd = c->pid_fd;
	x.spec = spec;
	x.process = p;
	for (int fd = 0; fd < 3; fd++)
		x.stdio[fd] = fd;
	x.cgroup = cgroup;
	x.needs_user_ns = h->rootless.needs_user_ns;
	x.preserve_fds = o->preserve_fds;
	if (!o->detach)
		foreground_prepare(false);
	if (r >= 0)
		r = oci_exec(&x, &made, e);
	if (r >= 0 && o->pid_file)
		r = write_pid_file(o->pid_file, made.pid, e);
	if (r >= 0 && console_sock >= 0)
		r = console_send(console_sock, made.console_fd, e);
	if (r < 0 && made.pid_fd >= 0)
		pidfd_send(made.pid_fd, SIGKILL);
	return r < 0 || o->detach ? r : foreground_wait(&made, e);
}

static int exec_run(struct hull *h, void *options, char **args, struct error *e)
{
	struct exec_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	CLEANUP(oci_process_free) struct oci_process *given = NULL;
	cleanup_strv struct strv env = STRV_INIT;
	cleanup_free uint32_t *gids = NULL;
	struct oci_process p;
	int r;

	if (!args[1] && !o->process)
		return err_new(e, ERR_INVALID, "process args cannot be empty");
	r = container_load(h, args[0], &c, e);
	if (r < 0)
		return r;
	container_full_status(h, &c);
	if (c.status == OCI_STOPPED)
		return err_new(e, ERR_STATE, "cannot exec in a stopped container");
	if (c.status == OCI_PAUSED && !o->ignore_paused)
		return err_new(e, ERR_STATE,
			       "cannot exec in a paused container (use --ignore-paused to override)");
	r = container_spec(&c, &spec, e);
	if (r >= 0 && o->process)
		r = load_process(o->process, &given, e);
	if (r < 0)
		return r;
	if (given)
		return run_in(h, &c, o, spec, given, e);
	p = spec->process;
	r = edit_process(o, args, &p, &env, &gids, e);
	return r < 0 ? r : run_in(h, &c, o, spec, &p, e);
}

const struct command command_exec = {
	.name = "exec",
	.arguments = "CONTAINER COMMAND [ARGUMENT...]",
	.summary = "run another process in a container",
	.options = exec_options,
	.options_size = sizeof(struct exec_opts),
	.least = 1,
	.most = ARGUMENTS_ANY,
	.ends_at_argument = true,
	.enters_containers = true,
	.failed = 255,
	.run = exec_run,
};
