/* SPDX-License-Identifier: Apache-2.0 */
/* While a container runs in the foreground: all signals that we get go on to its process, bytes go between its terminal
 * and ours (relay.c), and its orphans are reaped. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "hull/hull.h"
#include "hull/notify.h"
#include "hull/relay.h"

/* ---- console socket ---------------------------------------------------------------------------------------- */

int console_connect(const char *path, int *ret_sock, struct error *e)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	cleanup_free char *dir = slash ? str_ndup(path, (size_t)(slash - path) + 1) : str_dup(".");
	cleanup_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dfd = -1;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir_fd[PATH_FD_SIZE];

	/* By way of its directory, as the path may be longer than an address can be. */
	dfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dfd < 0)
		return err_sys(e, "open the directory of the console socket \"%s\"", path);
	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", path_of_fd(dfd, dir_fd), name) >=
	    sizeof(addr.sun_path))
		return err_new(e, ERR_INVALID, "the name of the console socket is too long: \"%s\"", path);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "connect to the console socket \"%s\"", path);
	*ret_sock = take_fd(sock);
	return 0;
}

int console_send(int sock, int master_fd, struct error *e)
{
	static char name[] = "/dev/ptmx";
	struct iovec iov = { name, sizeof(name) - 1 };

	if (fd_send(sock, &iov, 1, &master_fd, 1) < 0)
		return err_sys(e, "send the terminal to the console socket");
	return 0;
}

/* ---- signals ---------------------------------------------------------------------------------------------- */

/* All, also those that mean a fault: our own faults end us although they are blocked. SIGKILL and SIGSTOP cannot be. */
static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
}

void foreground_prepare(bool is_subreaper)
{
	block_signals();
	if (is_subreaper)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

struct foreground {
	pid_t pid;
	int pid_fd, signal_fd, notify_sock;
	struct relay relay;
};

/* Orphans of a container without a pid namespace are ours (PR_SET_CHILD_SUBREAPER). The container's own process is left
 * for reap(). */
static void reap_orphans(pid_t pid)
{
	for (;;) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 || !info.si_pid ||
		    info.si_pid == pid)
			return;
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG | __WALL);
	}
}

/* What the signal would do to us were it not blocked. The kernel does not stop an orphaned process group, which nobody
 * would continue. SIGCONT then waits for us as any other signal. */
static void stop_ourselves(struct foreground *f, int sig)
{
	sigset_t set, old;

	relay_suspend(&f->relay);
	sigemptyset(&set);
	sigaddset(&set, sig);
	kill(getpid(), sig);
	sigprocmask(SIG_UNBLOCK, &set, &old);
	sigprocmask(SIG_SETMASK, &old, NULL);
	relay_resume(&f->relay);
}

/* Returns whether it was a signal that usually ends a process. */
static bool take_signal(struct foreground *f)
{
	struct signalfd_siginfo info;
	int sig;

	if (read(f->signal_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	sig = (int)info.ssi_signo;
	if (sig == SIGCHLD) {
		reap_orphans(f->pid);
		return false;
	}
	/* Of our own write to a pipe that nobody reads. */
	if (sig == SIGPIPE && info.ssi_pid == (uint32_t)getpid())
		return false;
	if (sig == SIGWINCH && f->relay.master >= 0) {
		relay_resize(&f->relay);
		return false;
	}
	if (sig == SIGCONT)
		relay_resume(&f->relay);
	pidfd_send(f->pid_fd, sig);
	if (sig == SIGTSTP)
		stop_ourselves(f, sig);
	return sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;
}

/* ---- wait --------------------------------------------------------------------------------------------------- */

static int reap(int pid_fd, struct error *e)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED | __WALL) < 0)
		return err_sys(e, "wait for the container's process");
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* Until the process has ended and what it wrote is delivered. For the latter nobody has to wait who sends a signal
 * meanwhile. */
static int watch(struct foreground *f, struct error *e)
{
	int status = -1;

	while (status < 0 || relay_has_rest(&f->relay)) {
		struct pollfd p[3 + RELAY_POLLS] = {
			{ .fd = status < 0 ? f->pid_fd : -1, .events = POLLIN },
			{ .fd = f->signal_fd, .events = POLLIN },
			{ .fd = f->notify_sock, .events = POLLIN },
		};
		int timeout_ms = relay_wants(&f->relay, p + 3);

		if (poll(p, ARRAY_LEN(p), timeout_ms) < 0 && errno != EINTR)
			return err_sys(e, "wait for the container's process");
		if (p[1].revents && take_signal(f) && status >= 0)
			break;
		if (p[2].revents && notify_take(f->notify_sock, getpid()))
			f->notify_sock = -1;
		relay_move(&f->relay, p + 3);
		if (p[0].revents) {
			status = reap(f->pid_fd, e);
			if (status < 0)
				return status;
			relay_last(&f->relay);
		}
	}
	return status;
}

int foreground_wait(const struct oci_init *i, int notify_sock, struct error *e)
{
	cleanup_close int signal_fd = -1;
	struct foreground f = { .pid = i->pid, .pid_fd = i->pid_fd, .notify_sock = notify_sock };
	sigset_t all;
	int r;

	sigfillset(&all);
	f.signal_fd = signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return err_sys(e, "watch signals");
	relay_begin(&f.relay, i->console_fd);
	r = watch(&f, e);
	relay_end(&f.relay);
	return r;
}

void foreground_size(struct oci_process *p)
{
	struct winsize size;

	if (!p->terminal || !relay_own_size(&size))
		return;
	p->console_size.is_set = true;
	p->console_size.height = size.ws_row;
	p->console_size.width = size.ws_col;
}

void hull_show_warnings(const struct hull *h)
{
	if (!h->is_debug && str_is_empty(h->log))
		log_set_level(LOG_LEVEL_WARN);
}
