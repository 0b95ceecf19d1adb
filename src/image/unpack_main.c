/* SPDX-License-Identifier: Apache-2.0 */
/* hull-unpack: the image worker that hulld starts for each pull and import. Two processes from the first
 * moment on: the fetcher (this one), which has the network and the credentials, and the unpacker, which has
 * the disk. Neither has what the other has; see fetcher.c and unpacker.c. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "image/confine.h"
#include "image/fetcher.h"
#include "image/jobs.h"
#include "sys/pidfd.h"

#define UNPACKER_END_MS 2000

/* The unpacker's first steps. Its socket and its log are all that it keeps; the liveness pipe too, so that
 * hulld can wait until the last process is gone. */
static void run_unpacker(int sock, int tree_fd)
{
	int keep[3] = { WORKER_ALIVE, sock < tree_fd || tree_fd < 0 ? sock : tree_fd,
			sock < tree_fd ? tree_fd : sock };
	struct error e = ERROR_INIT;

	close(WORKER_SOCKET);
	fd_close_from(WORKER_ALIVE, keep, ARRAY_LEN(keep));
	if (confine_basics(&e) < 0 || confine_unpacker(WORKER_LAYERS, tree_fd, &e) < 0) {
		log_error("confine the unpacker: %s", err_msg(&e));
		_exit(1);
	}
	if (tree_fd >= 0)
		close(tree_fd);
	unpacker_main(sock, WORKER_LAYERS);
}

/* In namespaces of its own where that is allowed. */
static int start_unpacker(int sock, struct proc *ret_child, struct error *e)
{
	static const uint64_t flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC;
	struct error why = ERROR_INIT;
	cleanup_close int tree_fd = -1;
	int r = confine_clone_mount(WORKER_LAYERS, &tree_fd, &why);

	if (r >= 0)
		r = pidfd_clone(flags, ret_child, &why);
	if (r < 0) {
		log_debug("the unpacker has no namespaces of its own, but chroot: %s", err_msg(&why));
		if (tree_fd >= 0)
			close(take_fd(tree_fd));
		r = pidfd_clone(0, ret_child, e);
	}
	if (r == 0)
		run_unpacker(sock, tree_fd);
	return r < 0 ? r : 0;
}

static struct {
	int sock; /* our end of the unpacker's socket: it ends when this closes */
	int pid_fd;
} unpacker = { -1, -1 };

/* Let the unpacker end and reap it: as an orphan it would wait for an init, and not every init of a container
 * reaps. Async-signal-safe. Then end at once, also past the sanitizers' work at exit, which needs calls that
 * the filter does not allow. */
static void end(int status)
{
	struct pollfd poll_fd = { .fd = unpacker.pid_fd, .events = POLLIN };
	siginfo_t info;

	close(unpacker.sock);
	if (poll(&poll_fd, 1, UNPACKER_END_MS) == 1)
		waitid(P_PIDFD, (id_t)unpacker.pid_fd, &info, WEXITED);
	_exit(status);
}

static void on_term(int sig)
{
	(void)sig;
	end(1);
}

static int usage(FILE *out, int status)
{
	fputs("usage: hull-unpack [LOG-LEVEL]\n\n"
	      "The image worker of hulld, which starts it. It takes its request on fd 3.\n",
	      out);
	return status;
}

int main(int argc, char **argv)
{
	enum log_level level = LOG_LEVEL_INFO;
	struct proc child = PROC_INIT;
	struct error e = ERROR_INIT;
	int socks[2], source_fd = WORKER_SOURCE;

	if (argc == 2 && str_eq(argv[1], "--help"))
		return usage(stdout, 0);
	if (argc == 2 && str_eq(argv[1], "--version")) {
		puts("hull-unpack " HULL_VERSION);
		return 0;
	}
	if (argc > 2 || (argc == 2 && log_level_parse(argv[1], &level, &e) < 0) ||
	    fcntl(WORKER_SOCKET, F_GETFD) < 0 || fcntl(WORKER_LAYERS, F_GETFD) < 0)
		return usage(stderr, 2);
	if (fcntl(WORKER_SOURCE, F_GETFD) < 0)
		source_fd = -1;
	log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, level);
	signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		err_sys(&e, "make a socket pair");
	else if (start_unpacker(socks[1], &child, &e) >= 0 && confine_basics(&e) >= 0) {
		close(socks[1]);
		unpacker.sock = socks[0];
		unpacker.pid_fd = child.pid_fd;
		signal(SIGTERM, on_term);
		end(fetcher_main(WORKER_SOCKET, socks[0], WORKER_LAYERS, source_fd));
	}
	log_error("hull-unpack: %s", err_msg(&e));
	return 1;
}
