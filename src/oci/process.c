/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/init.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/identity.h"
#include "oci/mounts.h"
#include "oci/sync.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < _NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The CPUs of whoever called the runtime are nothing to the container: all that there are are asked for, of which the
 * kernel takes those of the cgroup, now and whenever its cpuset changes (sched_setaffinity(2)). */
static int set_cpus(const struct init_process *p, struct error *e)
{
	struct numlist all;

	if (p->final_cpus && sched_setaffinity(0, sizeof(p->final_cpus->words),
					       (const cpu_set_t *)(const void *)p->final_cpus->words) < 0)
		return err_sys(e, "run on the CPUs of process.execCPUAffinity.final");
	if (p->final_cpus || p->keeps_cpus)
		return 0;
	memset(&all, 0xff, sizeof(all));
	(void)!sched_setaffinity(0, sizeof(all.words), (const cpu_set_t *)(const void *)all.words);
	return 0;
}

int process_begin(const struct init_process *p, struct error *e)
{
	/* First of all, so that all that follows is charged there. */
	if (cgroup_enter(p->cgroup_fds, p->cgroup_fd_count) < 0)
		return err_sys(e, "enter the cgroup");
	/* Not before: where cgroup v2 is mounted with "nsdelegate" (systemd does), a process may only be moved or cloned
	 * into a cgroup when both that and its own are below the root of its namespace (cgroups(7), ENOENT). */
	if (p->cgroup_ns_pid_fd >= 0 && setns(p->cgroup_ns_pid_fd, CLONE_NEWCGROUP) < 0)
		return err_sys(e, "join the cgroup namespace of the container");
	if (p->net_ns_fd >= 0 && setns(p->net_ns_fd, CLONE_NEWNET) < 0)
		return err_sys(e, "enter the new network namespace");
	/* Not by the vchild that joined the others: who shares its memory may not change its clocks (EUSERS). */
	if (p->time_ns_fd >= 0 && setns(p->time_ns_fd, CLONE_NEWTIME) < 0)
		return err_sys(e, "join the time namespace");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	default_signals();
	if (setsid() < 0)
		return err_sys(e, "make a session");
	return set_cpus(p, e);
}

/* Until now we are an id of the host that the user namespace does not know: files could not be made
 * (EOVERFLOW). The capabilities are those of a full root in there already (user_namespaces(7)). */
int process_become_root(const struct init_process *p, struct error *e)
{
	const struct oci_user *user = &p->process->user;

	if (!p->in_user_ns)
		return 0;
	if (!p->keeps_groups && setgroups(0, NULL) < 0 && errno != EPERM)
		return err_sys(e, "drop the host's groups");
	/* EINVAL: the namespace maps no id 0. The one that the program will have then is as good for making files,
	 * and the capabilities stay until execve(2). */
	if (setresgid(0, 0, 0) < 0 && (errno != EINVAL || setresgid(user->gid, user->gid, user->gid) < 0))
		return err_sys(e,
			       "become a group of the user namespace: neither gid 0 nor process.user.gid %u",
			       user->gid);
	if (setresuid(0, 0, 0) < 0 && (errno != EINVAL || setresuid(user->uid, user->uid, user->uid) < 0))
		return err_sys(e,
			       "become a user of the user namespace: neither uid 0 nor process.user.uid %u",
			       user->uid);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int enter_cwd(const char *cwd, int root_fd, bool makes_it, struct error *e)
{
	cleanup_close int fd = -1;
	int r = makes_it ? mount_target(root_fd, cwd, true, &fd, e)
			 : path_open_in_root(root_fd, cwd, O_PATH | O_DIRECTORY, 0, &fd, e);

	if (r < 0)
		return err_ctx(e, "working directory \"%s\"", cwd);
	return fchdir(fd) < 0 ? err_sys(e, "change to the working directory \"%s\"", cwd) : 0;
}

/* With the ids that the process will have for access to files, and without the capabilities that go over those
 * (setfsuid(2)). Its groups are set again with the rest of its rights. */
static int enter_cwd_as_user(const struct init_process *p, int root_fd, struct error *e)
{
	const struct oci_user *user = &p->process->user;
	int gid = setfsgid(user->gid), uid, r;

	if (!p->keeps_groups && user->additional_gid_count)
		(void)!setgroups(user->additional_gid_count, user->additional_gids);
	uid = setfsuid(user->uid);
	r = enter_cwd(p->process->cwd, root_fd, false, e);
	setfsuid((uid_t)uid);
	setfsgid((gid_t)gid);
	/* Either of them makes us as dumpable as /proc/sys/fs/suid_dumpable says (prctl(2)). */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}

/* The directory is walked to inside the root, and for an init made when it is missing; then the kernel's own word for where
 * we are must be a path that begins at our root, or we would stand outside of it (CVE-2024-21626). There are directories
 * that root may not enter and their owner may: on NFS, or with a group that the user namespace does not know. */
int process_enter_cwd(const struct init_process *p, int root_fd, bool makes_it, struct error *e)
{
	const char *cwd = p->process->cwd;
	struct error why = ERROR_INIT;
	char real[PATH_MAX];
	int r = enter_cwd(cwd, root_fd, makes_it, &why);

	if (r < 0 && (why.sys != EACCES || enter_cwd_as_user(p, root_fd, NULL) < 0)) {
		*e = why;
		return r;
	}
	if (syscall(SYS_getcwd, real, sizeof(real)) < 0 || real[0] != '/')
		return err_new(e, ERR_DENIED,
			       "the working directory \"%s\" is outside of the container's root", cwd);
	return 0;
}

int process_set_stdio(const int stdio[3], int preserve_fds, struct error *e)
{
	int moved[3];

	/* Sources may be 0, 1 or 2 themselves, crosswise. */
	for (int i = 0; i < 3; i++) {
		moved[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, 3 + preserve_fds);
		if (moved[i] < 0)
			return err_sys(e, "duplicate the %s", i == 0 ? "input" : "output");
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(moved[i], i) < 0)
			return err_sys(e, "place the %s", i == 0 ? "input" : "output");
		close(moved[i]);
	}
	return 0;
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void process_close_rest(const struct init_process *p, int keep[PROCESS_KEEPS])
{
	qsort(keep, PROCESS_KEEPS, sizeof(*keep), compare_fds);
	fd_close_from(3 + p->preserve_fds, keep, PROCESS_KEEPS);
	log_setup(-1, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
}

/* ---- program ------------------------------------------------------------------------------------ */

static const char *env_get(const struct oci_strs *env, const char *name)
{
	size_t n = strlen(name);

	/* The last one counts. */
	for (size_t i = env->n; i-- > 0;)
		if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
			return env->v[i] + n + 1;
	return NULL;
}

/* 0: it can be executed as far as its mode says, else the errno. */
static int look_at_program(const char *path)
{
	struct stat sb;

	if (stat(path, &sb) < 0)
		return errno;
	if (S_ISDIR(sb.st_mode))
		return EACCES;
	return sb.st_mode & 0111 ? 0 : EACCES;
}

/* The reason begins with a small letter as in Go's texts: docker looks for "no such file or directory" and "permission
 * denied" in them, for its exit statuses 127 and 126. */
static int program_error(const char *name, int sys, struct error *e)
{
	enum err_kind kind = sys == EACCES || sys == EPERM     ? ERR_DENIED
			     : sys == ENOENT || sys == ENOTDIR ? ERR_NOT_FOUND
							       : ERR_SYS;
	char why[128];

	snprintf(why, sizeof(why), "%s", strerror(sys));
	why[0] = (char)tolower((unsigned char)why[0]);
	err_new(e, kind, "exec: \"%s\": %s", name, why);
	if (e)
		e->sys = sys;
	return -(int)kind;
}

static int find_path(const struct oci_process *p, const char **ret_path, struct error *e)
{
	const char *name = p->args.v[0], *path = env_get(&p->env, "PATH");
	cleanup_strv struct strv dirs = STRV_INIT;
	int worst = ENOENT;

	if (!*name)
		return err_new(e, ERR_NOT_FOUND, "exec: the program's name is empty");
	if (strchr(name, '/')) {
		int sys = look_at_program(name);

		if (sys)
			return program_error(name, sys, e);
		*ret_path = str_dup(name);
		return 0;
	}
	strv_split(&dirs, path ? path : DEFAULT_PATH, ":");
	for (size_t i = 0; i < dirs.n; i++) {
		char *full = str_fmt("%s/%s", dirs.v[i], name);
		int sys = look_at_program(full);

		if (!sys) {
			*ret_path = full;
			return 0;
		}
		worst = sys == EACCES ? sys : worst;
		free(full);
	}
	if (worst == ENOENT)
		return err_new(e, ERR_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH", name);
	return program_error(name, worst, e);
}

static bool is_same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n + 1) == 0;
}

/* A program's env: of a name that comes twice, the last one counts (programs differ in which they see); HOME comes from
 * the image's passwd when there is none, or an empty one (as runc does). */
static const char *const *complete_env(const struct oci_process *p, int root_fd)
{
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	struct error ignored = ERROR_INIT;
	cleanup_free char *home = NULL;
	const char **env;
	size_t n = 0;

	env = mem_array(p->env.n + 2, sizeof(*env));
	for (size_t i = 0; i < p->env.n; i++) {
		bool is_last = !str_eq(p->env.v[i], "HOME=");

		for (size_t j = i + 1; j < p->env.n && is_last; j++)
			is_last = !is_same_name(p->env.v[i], p->env.v[j]);
		if (is_last)
			env[n++] = p->env.v[i];
	}
	if (env_get(&(struct oci_strs){ env, n }, "HOME"))
		return env;
	if (identity_files_read(root_fd, &files, &ignored) >= 0)
		home = identity_home(&files, p->user.uid);
	env[n] = str_fmt("HOME=%s", home ? home : "/");
	return env;
}

int process_find_program(const struct oci_process *p, int root_fd, struct program *ret, struct error *e)
{
	int r = find_path(p, &ret->path, e);

	if (r >= 0)
		ret->env = complete_env(p, root_fd);
	return r;
}

int process_confine(const struct init_process *p, struct confine_child *child, int gate_fd, struct error *e)
{
	/* Whatever is open beyond this, and whoever forgot to mark it: nothing of it gets into the program
	 * (CVE-2024-21626). The gate's own close is how its holder learns that the exec succeeded. */
	if (close_range((unsigned int)(3 + p->preserve_fds), UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
		return err_sys(e, "mark the file descriptors close-on-exec");
	for (int fd = 3; fd < 3 + p->preserve_fds; fd++)
		if (fcntl(fd, F_SETFD, 0) < 0)
			return err_sys(e, "keep file descriptor %d", fd);
	child->report_fd = gate_fd;
	return confine_inside(p->confine, child, e);
}

int process_exec(const struct init_process *p, const struct program *program, int gate_fd, struct error *e)
{
	sync_report(gate_fd, REPORT_EXEC, -1);
	execve(program->path, (char *const *)p->process->args.v, (char *const *)program->env);
	return program_error(program->path, errno, e);
}
