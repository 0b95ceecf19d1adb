/* SPDX-License-Identifier: Apache-2.0 */
/* hull exec. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "hull/hull.h"
#include "oci/cgroup_resources.h"
#include "sys/caps.h"

struct exec_opts {
	const char *console_socket, *pidfd_socket, *cwd, *user, *process, *pid_file, *apparmor, *label;
	int preserve_fds;
	struct strv env, caps, additional_gids, cgroups;
	enum option_switch no_new_privs;
	bool tty, detach, ignore_paused;
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
	{ "pidfd-socket", 0, OPTION(struct exec_opts, pidfd_socket), "SOCKET",
	  "the program that listens there gets a pidfd of the process" },
	{ "cap", 'c', OPTION(struct exec_opts, caps), "CAP", "add a capability (more than once)" },
	{ "no-new-privs", 0, OPTION(struct exec_opts, no_new_privs), NULL, "set no_new_privs" },
	{ "apparmor", 0, OPTION(struct exec_opts, apparmor), "PROFILE", "the AppArmor profile" },
	{ "process-label", 0, OPTION(struct exec_opts, label), "LABEL", "the SELinux label" },
	{ "ignore-paused", 0, OPTION(struct exec_opts, ignore_paused), NULL,
	  "even if the container is paused" },
	{ "cgroup", 0, OPTION(struct exec_opts, cgroups), "[CONTROLLER:]PATH",
	  "in that sub-cgroup of the container's; on v1 more than once" },
	{ "preserve-fds", 0, OPTION(struct exec_opts, preserve_fds), "N",
	  "pass the fds from 3 on to the process: N of them" },
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

/* Those that this kernel does not know are left out, as the OCI runtime spec wants it (config.md, "capabilities"). */
static void add_caps(struct oci_process *p, const struct strv *caps)
{
	uint64_t *set = p->capabilities.set;

	for (size_t i = 0; i < caps->n; i++) {
		int cap = caps_from_name(caps->v[i]);

		if (cap < 0) {
			log_warn("ignoring unknown capability \"%s\"", caps->v[i]);
			continue;
		}
		set[OCI_CAP_BOUNDING] |= CAP_BIT(cap);
		set[OCI_CAP_EFFECTIVE] |= CAP_BIT(cap);
		set[OCI_CAP_PERMITTED] |= CAP_BIT(cap);
		/* Ambient ones must be inheritable, which we do not make them. */
		if (set[OCI_CAP_INHERITABLE] & CAP_BIT(cap))
			set[OCI_CAP_AMBIENT] |= CAP_BIT(cap);
	}
}

/* The container's own, and those asked for. */
static int add_gids(struct oci_process *p, const struct strv *more, uint32_t **gids, struct error *e)
{
	size_t n = p->user.additional_gid_count;
	int r = 0;

	if (!more->n)
		return 0;
	*gids = mem_array(n + more->n, sizeof(**gids));
	for (size_t i = 0; i < n; i++)
		(*gids)[i] = p->user.additional_gids[i];
	for (size_t i = 0; i < more->n && r >= 0; i++)
		r = str_to_u32(more->v[i], &(*gids)[n + i], e);
	p->user.additional_gids = *gids;
	p->user.additional_gid_count = n + more->n;
	return r < 0 ? err_ctx(e, "--additional-gids") : 0;
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
	if (o->no_new_privs != SWITCH_UNSET)
		p->no_new_privileges = o->no_new_privs == SWITCH_ON;
	if (o->apparmor)
		p->apparmor_profile = o->apparmor;
	if (o->label)
		p->selinux_label = o->label;
	add_caps(p, &o->caps);
	if (o->user)
		r = set_user(p, o->user, e);
	return r < 0 ? r : add_gids(p, &o->additional_gids, gids, e);
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

/* "PATH", or "CONTROLLER[,CONTROLLER...]:PATH". */
static int descend(struct cgroup *cgroup, const char *below, bool is_only, struct error *e)
{
	const char *colon = strchr(below, ':');
	cleanup_free char *names = colon ? str_ndup(below, (size_t)(colon - below)) : NULL;
	cleanup_strv struct strv controllers = STRV_INIT;
	int r = 0;

	if (!colon && is_only)
		return cgroup_descend(cgroup, NULL, below, e);
	if (colon)
		strv_split(&controllers, names, ",");
	if (!controllers.n)
		return err_new(e, ERR_INVALID,
			       "invalid --cgroup argument: \"%s\" (CONTROLLER:PATH is needed)", below);
	for (size_t i = 0; i < controllers.n && r >= 0; i++)
		r = cgroup_descend(cgroup, controllers.v[i], colon + 1, e);
	return r < 0 ? err_ctx(e, "--cgroup") : 0;
}

/* A user who is outside of what was delegated (another session) may not be moved into the container's cgroup. Where
 * that limits nothing, the process is as well in our own. */
static int check_entrance(const struct hull *h, const struct oci_spec *spec, struct cgroup **cgroup,
			  struct error *e)
{
	const char *limit = resources_limit(&spec->linux.resources);
	int r = h->rootless.lacks_cgroups ? cgroup_check_entrance(*cgroup, e) : 0;

	if (r >= 0 || limit)
		return r < 0 ? err_hint(e,
					"and the container has a limit for %s, which the process would "
					"escape; run hull "
					"exec inside of what was delegated, for instance by systemd-run "
					"--user --scope",
					limit)
			     : 0;
	cgroup_free(take_ptr(*cgroup));
	return 0;
}

/* The container's cgroup, or the one below it that --cgroup names. */
static int open_cgroup(struct hull *h, struct container *c, const struct oci_spec *spec,
		       const struct strv *below, struct cgroup_host **ret_host, struct cgroup **ret,
		       struct error *e)
{
	int r;

	if (!c->state.cgroup_path && !below->n)
		return 0;
	r = container_cgroup(h, c, ret_host, ret, e);
	for (size_t i = 0; i < below->n && r >= 0; i++)
		r = descend(*ret, below->v[i], below->n == 1, e);
	return r < 0 || below->n ? r : check_entrance(h, spec, ret, e);
}

/* What callers are promised about a process that has begun. */
static int hand_over(const struct exec_opts *o, int console_sock, int pidfd_sock, const struct oci_init *made,
		     struct error *e)
{
	siginfo_t info;
	int r = 0;

	if (pidfd_sock >= 0)
		r = handover_send(pidfd_sock, "pidfd-socket", "setns", made->pid_fd, e);
	if (r >= 0 && console_sock >= 0)
		r = console_send(console_sock, made->console_fd, e);
	if (r >= 0 && o->pid_file)
		r = write_pid_file(o->pid_file, made->pid, e);
	if (r < 0) {
		pidfd_send(made->pid_fd, SIGKILL);
		(void)!waitid(P_PIDFD, (id_t)made->pid_fd, &info, WEXITED | __WALL);
	}
	return r;
}

static int run_in(struct hull *h, struct container *c, const struct exec_opts *o, const struct oci_spec *spec,
		  struct oci_process *p, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	CLEANUP(oci_init_done) struct oci_init made = OCI_INIT_INIT;
	cleanup_close int pidfd_sock = -1;
	struct oci_exec x = OCI_EXEC_INIT;
	cleanup_close int console_sock = -1, filters = -1;
	int r = prepare_terminal(o, p, &console_sock, e);

	if (r >= 0)
		r = preserved_fds_check(o->preserve_fds, e);
	if (r >= 0 && o->pidfd_socket)
		r = handover_connect(o->pidfd_socket, "pidfd-socket", &pidfd_sock, e);
	if (r >= 0)
		r = open_cgroup(h, c, spec, &o->cgroups, &host, &cgroup, e);
	x.id = c->state.id;
	x.pid = c->state.pid;
	x.pid_fd = c->pid_fd;
	x.spec = spec;
	x.process = p;
	for (int fd = 0; fd < 3; fd++)
		x.stdio[fd] = fd;
	x.cgroup = cgroup;
	x.needs_user_ns = h->rootless.needs_user_ns;
	x.caps_lenient = true;
	x.keeps_groups = hull_keeps_groups(spec);
	x.listener = (struct oci_listener){ container_give_listener, c };
	x.bare_newlines = !o->detach;
	x.preserve_fds = o->preserve_fds;
	if (spec->linux.seccomp)
		x.seccomp_cache_dfd = filters = state_open_filters(h->root, h->state_sticky);
	if (!o->detach)
		foreground_prepare(false);
	if (r >= 0)
		r = oci_exec(&x, &made, e);
	/* The container rules over its cgroup and has controllers below it, as systemd and Docker inside do: then its init
	 * has moved away from there, and so do we. */
	if (r < 0 && e->sys == EBUSY && cgroup && !o->cgroups.n && cgroup_follow(cgroup, c->state.pid, e) > 0)
		r = oci_exec(&x, &made, e);
	if (r >= 0)
		r = hand_over(o, console_sock, pidfd_sock, &made, e);
	return r < 0 || o->detach ? r : foreground_wait(&made, -1, e);
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
	/* Its init still has our own memory and is not dumpable: only privilege over that may enter it (ptrace(2)). */
	if (c.status == OCI_CREATED && h->rootless.needs_user_ns)
		return err_new(e, ERR_STATE,
			       "cannot exec in a container that was not started: its init is closed to "
			       "ordinary users");
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
