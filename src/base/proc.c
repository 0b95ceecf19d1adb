/* SPDX-License-Identifier: Apache-2.0 */
/* The child shares our memory until it execs (CLONE_VM), and we sleep until then (CLONE_VFORK). So it
 * may only make system calls, touch its own stack and the struct that it shares with us. All signals
 * are blocked around the clone: no handler of ours may run in the child on our memory. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define CHILD_STACK_BYTES (64 * 1024)

struct child_arg {
	const struct proc_opts *o;
	const char *step; /* set by the child: what failed */
	int sys;	  /* and with which errno; 0 while all is well */
};

/* The child leaves from the middle of its frames, by execve(2). The sanitizer's marks on that stack are in our
 * memory and would stay, for whatever is mapped there next. */
#define CHILD_CODE __attribute__((no_sanitize_address))

/* Under ThreadSanitizer the child gets a copy of our memory: its clone(2) tells the child's thread not to
 * watch any more, and with shared memory that thread is ours. The struct that both use is shared anyway. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define CHILD_VM 0
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define CHILD_VM 0
#endif
#ifndef CHILD_VM
#define CHILD_VM CLONE_VM
#endif

/* Place the given fds at 0 .. fd_count-1, and behind them the program's. Sources may lie in that range
 * themselves, so all are first moved above it. */
CHILD_CODE static int place_fds(const struct proc_opts *o)
{
	int moved[PROC_FDS_MAX], exe = -1, end = o->fd_count;

	if (o->exe_fd > 0) {
		exe = fcntl(o->exe_fd, F_DUPFD_CLOEXEC, PROC_FDS_MAX + 1);
		if (exe < 0)
			return -1;
	}
	for (int i = 0; i < o->fd_count; i++) {
		int source = o->fds[i];

		if (source < 0 && i < 3)
			source = open("/dev/null", O_RDWR | O_CLOEXEC);
		moved[i] = source < 0 ? -1 : fcntl(source, F_DUPFD_CLOEXEC, PROC_FDS_MAX + 1);
		if (source >= 0 && moved[i] < 0)
			return -1;
	}
	for (int i = 0; i < o->fd_count; i++)
		if (moved[i] < 0)
			close(i);
		else if (dup3(moved[i], i, 0) < 0)
			return -1;
	if (exe >= 0 && dup3(exe, end++, O_CLOEXEC) < 0)
		return -1;
	return close_range((unsigned int)end, UINT_MAX, 0);
}

CHILD_CODE static void default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < _NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

CHILD_CODE static int child_main(void *p)
{
	static const char *const no_env[] = { NULL };
	struct child_arg *arg = p;
	const struct proc_opts *o = arg->o;

	arg->step = "set the death signal";
	if (o->pdeathsig && prctl(PR_SET_PDEATHSIG, o->pdeathsig) < 0)
		goto failed;
	arg->step = "make a session";
	if (o->new_session && setsid() < 0)
		goto failed;
	arg->step = "make a mount namespace";
	if (o->own_mounts &&
	    (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0))
		goto failed;
	arg->step = "change the directory";
	if (o->cwd_dfd > 0 && fchdir(o->cwd_dfd) < 0)
		goto failed;
	arg->step = "place the file descriptors";
	if (place_fds(o) < 0)
		goto failed;
	default_signals();
	arg->step = "execute";
	if (o->exe_fd > 0)
		execveat(o->fd_count, "", (char *const *)o->argv, (char *const *)(o->env ? o->env : no_env),
			 AT_EMPTY_PATH);
	else
		execve(o->path, (char *const *)o->argv, (char *const *)(o->env ? o->env : no_env));
failed:
	arg->sys = errno;
	_exit(127);
}

int proc_spawn(const struct proc_opts *o, struct proc *ret_proc, struct error *e)
{
	struct child_arg *arg;
	sigset_t all, old;
	int pid_fd = -1, saved_errno, sys;
	const char *step;
	char *stack;
	pid_t pid;

	if (o->fd_count < 3 || o->fd_count > PROC_FDS_MAX)
		return err_new(e, ERR_INTERNAL, "spawn \"%s\" with %d fds", o->path, o->fd_count);
	stack = mmap(NULL, CHILD_STACK_BYTES, PROT_READ | PROT_WRITE,
		     (CHILD_VM ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return err_sys(e, "map a stack to start \"%s\"", o->path);
	/* At its other end: the stack grows down to it. */
	arg = (struct child_arg *)stack;
	*arg = (struct child_arg){ .o = o };
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(child_main, stack + CHILD_STACK_BYTES, CHILD_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
		    arg, &pid_fd);
	saved_errno = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	sys = arg->sys;
	step = arg->step;
	munmap(stack, CHILD_STACK_BYTES);
	if (pid < 0) {
		errno = saved_errno;
		return err_sys(e, "start \"%s\"", o->path);
	}
	if (sys) {
		siginfo_t info;

		waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED);
		close(pid_fd);
		return err_sysk(e, sys == ENOENT ? ERR_NOT_FOUND : ERR_SYS, sys, "start \"%s\": %s", o->path,
				step);
	}
	*ret_proc = (struct proc){ .pid = pid, .pid_fd = pid_fd };
	return 0;
}

int proc_wait(struct proc *p, int64_t deadline_ns, int *ret_status, struct error *e)
{
	struct pollfd poll_fd = { .fd = p->pid_fd, .events = POLLIN };
	siginfo_t info = { 0 };
	int n;

	do
		n = poll(&poll_fd, 1, deadline_left_ms(deadline_ns));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "wait for process %d", p->pid);
	if (n == 0)
		return err_new(e, ERR_TIMEOUT, "process %d still runs", p->pid);
	if (waitid(P_PIDFD, (id_t)p->pid_fd, &info, WEXITED) < 0)
		return err_sys(e, "reap process %d", p->pid);
	if (info.si_code == CLD_EXITED)
		*ret_status = (info.si_status & 0xff) << 8;
	else
		*ret_status = (info.si_status & 0x7f) | (info.si_code == CLD_DUMPED ? 0x80 : 0);
	proc_done(p);
	return 0;
}

void proc_done(struct proc *p)
{
	if (p->pid_fd >= 0)
		close(p->pid_fd);
	*p = PROC_INIT;
}

void proc_kill(struct proc *p)
{
	siginfo_t info;

	if (p->pid_fd < 0)
		return;
	pidfd_send(p->pid_fd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)p->pid_fd, &info, WEXITED) < 0 && errno == EINTR)
		;
	proc_done(p);
}

const char *proc_status_text(int status, char *out, size_t size)
{
	if (WIFEXITED(status))
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
	else
		snprintf(out, size, "signal %d (%s)", WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
	return out;
}

int pidfd_open_(pid_t pid, int *ret_fd, struct error *e)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return err_sysk(e, errno == ESRCH ? ERR_NOT_FOUND : ERR_SYS, errno,
				"open a pidfd of process %d", pid);
	*ret_fd = (int)fd;
	return 0;
}

int pidfd_send(int pid_fd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pid_fd, sig, NULL, 0);
}
