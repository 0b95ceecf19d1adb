/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in init: PID 1 of a pod's shared pid namespace, in place of a pause container.
 *
 * It is a fork of the monitor that shares its pages, owns nothing, and sleeps until SIGTERM. Children that
 * end are reaped by the kernel for it: SIGCHLD is ignored (sigaction(2), SA_NOCLDWAIT).
 *
 * Containers of the pod see it as /proc/1, so nothing may be had through it: its root is an empty read-only
 * tmpfs, it has no fds but /dev/null, no capabilities, and it is not dumpable, which closes /proc/1/exe,
 * fd, root and mem to all without CAP_SYS_PTRACE over the user namespace that its memory was made in: the
 * host's (ptrace(2); CVE-2019-5736 is what a writable /proc/PID/exe of a runtime led to).
 *
 * When hull-pod is killed, it dies too (PR_SET_PDEATHSIG), and with it everything in the pid namespace. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "pod/monitor.h"
#include "pod/root.h"
#include "sys/caps.h"

/* Become nobody in an empty place. pipe_fd is the only fd that stays open besides stdio. */
static int settle_down(bool has_user_ns, int pipe_fd, struct error *e)
{
	const char *const options[] = { "size", "4096", "nr_inodes", "2", "mode", "555", NULL };
	int tree, null_fd, r;

	if (setsid() < 0)
		return err_sys(e, "make a session");
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		if (null_fd < 0 || dup2(null_fd, fd) < 0)
			return err_sys(e, "open /dev/null");
	fd_close_from(3, &pipe_fd, 1);
	r = root_tmpfs(options, MOUNT_ATTR_RDONLY, &tree, e);
	if (r == 0)
		r = root_enter(tree, e);
	if (r < 0)
		return r;
	close(tree);
	if (has_user_ns && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return err_sys(e, "become root of the pod's user namespace");
	r = caps_drop_bounding(0, e);
	if (r == 0)
		r = caps_set(0, 0, 0, e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "give up privileges");
	/* Last: a change of credentials clears it (prctl(2)). */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, "set the death signal");
	return 0;
}

static _Noreturn void init_main(const struct init_opts *o, int pipe_fd)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct error err = ERROR_INIT;
	sigset_t wanted;
	int sig;

	prctl(PR_SET_NAME, "hull-init");
	title_set("hull-init", o->id);
	sigfillset(&wanted);
	sigprocmask(SIG_SETMASK, &wanted,
		    NULL); /* blocked ones stay pending for PID 1, else they are dropped */
	sigaction(SIGCHLD, &ignore, NULL);
	if (settle_down(o->user_fd >= 0, pipe_fd, &err) < 0) {
		fd_write_full(pipe_fd, &err, sizeof(err));
		_exit(1);
	}
	close(pipe_fd); /* the end without an error: all is well */
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	memory_trim(true);
	do
		sig = sigwaitinfo(&wanted, NULL);
	while (sig < 0);
	_exit(0);
}

static int enter_pod(const struct init_opts *o, struct error *e)
{
	/* The user namespace first: it gives the capabilities over the others. */
	const int fds[] = { o->user_fd, o->net_fd, o->ipc_fd, o->uts_fd };
	static const int types[] = { CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS };
	static const char *const names[] = { "user", "net", "ipc", "uts" };
	char score[16];
	int n = snprintf(score, sizeof(score), "%d", o->oom_score_adj);

	/* Below our own needs CAP_SYS_RESOURCE: then it stays as it is (proc(5)). */
	if (file_poke(AT_FDCWD, "/proc/self/oom_score_adj", score, (size_t)n, NULL) < 0 && errno != EACCES)
		return err_sys(e, "set the OOM score of the pod's init");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0 && setns(fds[i], types[i]) < 0)
			return err_sys(e, "enter the pod's %s namespace", names[i]);
	return 0;
}

int init_start(const struct init_opts *o, pid_t *ret_pid, int *ret_pid_fd, struct error *e)
{
	int pid_fd = -1, pipe_fd[2] = { -1, -1 }, r;
	/* With CLONE_PARENT the signal at its end is that of ours: SIGCHLD (clone(2)). */
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PARENT | CLONE_PIDFD,
				   .pidfd = (uint64_t)(uintptr_t)&pid_fd };
	struct error answer = ERROR_INIT;
	ssize_t n;
	long pid;

	r = enter_pod(o, e);
	if (r == 0)
		r = fd_pipe(pipe_fd, e);
	if (r < 0)
		return r;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		init_main(o, pipe_fd[1]);
	close(pipe_fd[1]);
	if (pid < 0) {
		close(pipe_fd[0]);
		return err_sys(e, "clone the init of the pod's pid namespace");
	}
	n = fd_read_full(pipe_fd[0], &answer, sizeof(answer));
	close(pipe_fd[0]);
	if (n != 0) {
		pidfd_send(pid_fd, SIGKILL);
		close(pid_fd);
		if (n != sizeof(answer) || err_import(&answer) < 0)
			return err_new(e, ERR_INTERNAL, "the init of the pod's pid namespace died");
		*e = answer;
		return -answer.kind;
	}
	*ret_pid = (pid_t)pid;
	*ret_pid_fd = pid_fd;
	return 0;
}
