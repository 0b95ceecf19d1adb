/* SPDX-License-Identifier: Apache-2.0 */
/* While a container runs in the foreground: all signals that we get go on to its process, and with a terminal our
 * own is put into raw mode and the two are joined. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "hull/hull.h"

int console_send(const char *path, int master_fd, struct error *e)
{
	static char name[] = "/dev/ptmx";
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct iovec iov = { name, sizeof(name) - 1 };
	cleanup_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(e, ERR_INVALID, "the path of the console socket is too long: \"%s\"", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "connect to the console socket \"%s\"", path);
	if (fd_send(sock, &iov, 1, &master_fd, 1) < 0)
		return err_sys(e, "send the terminal to \"%s\"", path);
	return 0;
}

/* ---- the terminal ----------------------------------------------------------------------------------------- */

struct relay {
	int master;
	bool input_open, output_open;
	bool is_raw;
	struct termios saved;
};

static void copy_size(int master)
{
	struct winsize size;

	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		ioctl(master, TIOCSWINSZ, &size);
}

static void relay_begin(struct relay *t, int master)
{
	struct termios mode;

	*t = (struct relay){ .master = master, .input_open = master >= 0, .output_open = master >= 0 };
	if (master < 0)
		return;
	/* Our own terminal adds the carriage returns; twice would be wrong (runc clears it as well). */
	if (tcgetattr(master, &mode) == 0) {
		mode.c_oflag &= ~(tcflag_t)ONLCR;
		tcsetattr(master, TCSANOW, &mode);
	}
	copy_size(master);
	if (tcgetattr(0, &t->saved) == 0) {
		mode = t->saved;
		cfmakeraw(&mode);
		mode.c_oflag |= OPOST;
		t->is_raw = tcsetattr(0, TCSANOW, &mode) == 0;
	}
}

static void relay_end(struct relay *t)
{
	if (t->is_raw)
		tcsetattr(0, TCSANOW, &t->saved);
	t->is_raw = false;
}

/* Move what is there; false at the end. EIO is how a terminal says that its other side is closed by all. */
static bool move_bytes(int from, int to)
{
	char data[8192];
	ssize_t n = read(from, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	return n > 0 && fd_write_full(to, data, (size_t)n) == 0;
}

static void relay_rest(struct relay *t)
{
	struct pollfd p = { .fd = t->master, .events = POLLIN };

	while (t->output_open && poll(&p, 1, 0) > 0 && (p.revents & POLLIN))
		t->output_open = move_bytes(t->master, 1);
}

/* ---- signals ---------------------------------------------------------------------------------------------- */

static void passed_signals(sigset_t *set)
{
	static const int ours[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
				    SIGILL,  SIGABRT, SIGSYS,  SIGTRAP };

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		sigdelset(set, ours[i]);
}

void foreground_prepare(void)
{
	sigset_t set;

	passed_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void pass_signal(int signal_fd, int pid_fd, struct relay *t)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH && t->master >= 0)
		copy_size(t->master);
	else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGPIPE && info.ssi_signo != SIGURG)
		pidfd_send(pid_fd, (int)info.ssi_signo);
}

static int reap(int pid_fd, struct error *e)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED | __WALL) < 0)
		return err_sys(e, "wait for the container's process");
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static int watch(int signal_fd, int pid_fd, struct relay *t, struct error *e)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = pid_fd, .events = POLLIN },
			{ .fd = signal_fd, .events = POLLIN },
			{ .fd = t->output_open ? t->master : -1, .events = POLLIN },
			{ .fd = t->input_open ? 0 : -1, .events = POLLIN },
		};

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return err_sys(e, "wait for the container's process");
		if (p[1].revents)
			pass_signal(signal_fd, pid_fd, t);
		if (p[2].revents)
			t->output_open = move_bytes(t->master, 1);
		if (p[3].revents)
			t->input_open = move_bytes(0, t->master);
		if (p[0].revents) {
			relay_rest(t);
			return reap(pid_fd, e);
		}
	}
}

int foreground_wait(int pid_fd, int master_fd, struct error *e)
{
	cleanup_close int signal_fd = -1;
	struct relay relay;
	sigset_t set;
	int r;

	passed_signals(&set);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return err_sys(e, "watch signals");
	relay_begin(&relay, master_fd);
	r = watch(signal_fd, pid_fd, &relay, e);
	relay_end(&relay);
	return r;
}
