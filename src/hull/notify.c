/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3) from inside of a container, for a unit of systemd with Type=notify that runs one.
 *
 * With NOTIFY_SOCKET in our environment the container gets a directory of its state mounted at /run/notify, and a
 * NOTIFY_SOCKET of its own that names a socket in it. Who starts the container (run or start) listens there: the
 * manager is not to take messages from processes of a container, and does not know them. READY is passed on, once, with
 * the pid that the manager is to watch: ours while we stay with the container, else that of its init, and then we wait
 * for READY before we end. */
#include "hull/notify.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "codec/arena.h"

#define DIR_NAME "notify"
#define SOCKET_NAME DIR_NAME "/notify.sock"
#define INSIDE "/run/notify"
#define BARRIER_MS 30000

bool notify_is_wanted(void)
{
	return !str_is_empty(getenv("NOTIFY_SOCKET"));
}

/* ---- the container's side ------------------------------------------------------------------------------------ */

static int add_mount(struct oci_spec *spec, const char *source, struct error *e)
{
	static const char *const words[] = { "bind", "ro", "nosuid", "nodev", "noexec" };
	struct oci_mount *mounts = arena_array(spec->arena, spec->mounts.n + 1, sizeof(*mounts));
	struct oci_mount *added = &mounts[spec->mounts.n];

	for (size_t i = 0; i < spec->mounts.n; i++)
		mounts[i] = spec->mounts.v[i];
	*added = (struct oci_mount){
		.destination = INSIDE,
		.type = "bind",
		.source = source,
		.option_words = { words, ARRAY_LEN(words) },
	};
	spec->mounts.v = mounts;
	spec->mounts.n++;
	return oci_mount_options_parse(words, ARRAY_LEN(words), spec->arena, &added->options, e);
}

int notify_prepare(struct creation *c, struct error *e)
{
	char link[PATH_FD_SIZE], dir[PATH_MAX];
	ssize_t n;
	int r;

	/* The container's users walk through it, whoever they are. */
	if (mkdirat(c->dfd, DIR_NAME, 0755) < 0 || fchmodat(c->dfd, DIR_NAME, 0755, 0) < 0)
		return err_sys(e, "make the directory of the notify socket");
	n = readlink(path_of_fd(c->dfd, link), dir, sizeof(dir));
	if (n < 0 || n == sizeof(dir))
		return err_sys(e, "find the directory of the notify socket");
	r = add_mount(c->spec, arena_fmt(c->spec->arena, "%.*s/" DIR_NAME, (int)n, dir), e);
	if (r >= 0)
		creation_set_env(c, "NOTIFY_SOCKET", "/run/" SOCKET_NAME);
	return r;
}

int notify_listen(int state_dfd, int *ret_sock, struct error *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[PATH_FD_SIZE];
	cleanup_close int sock = -1;

	if (faccessat(state_dfd, DIR_NAME, F_OK, 0) < 0)
		return 0;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" SOCKET_NAME, path_of_fd(state_dfd, dir));
	if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    fchmodat(state_dfd, SOCKET_NAME, 0777, 0) < 0)
		return err_sys(e, "make the notify socket");
	*ret_sock = take_fd(sock);
	return 0;
}

/* ---- the manager's side --------------------------------------------------------------------------------------- */

static int connect_manager(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = strlen(path);
	cleanup_close int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (n >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, path, n);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr,
				(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return -1;
	return take_fd(sock);
}

/* Who sent a message and has ended when the manager reads it is not found by its pid any more. So we wait until it has
 * closed a pipe that we sent behind (sd_notify_barrier(3)). */
static void barrier(int sock)
{
	static char word[] = "BARRIER=1";
	struct iovec iov = { word, sizeof(word) - 1 };
	struct error ignored = ERROR_INIT;
	int fds[2], r;

	if (fd_pipe(fds, &ignored) < 0)
		return;
	r = fd_send(sock, &iov, 1, &fds[1], 1);
	close(fds[1]);
	if (r == 0)
		poll(&(struct pollfd){ .fd = fds[0] }, 1, BARRIER_MS);
	close(fds[0]);
}

static void tell_manager(pid_t main_pid)
{
	cleanup_close int sock = connect_manager();
	cleanup_free char *text = str_fmt("READY=1\nMAINPID=%d", main_pid);

	if (sock < 0 || send(sock, text, strlen(text), MSG_NOSIGNAL) < 0) {
		log_warn("tell \"%s\" that the container is ready: %s", getenv("NOTIFY_SOCKET"),
			 strerror(errno));
		return;
	}
	if (main_pid != getpid())
		barrier(sock);
}

bool notify_take(int sock, pid_t main_pid)
{
	char message[4096], *save = NULL;
	ssize_t n = recv(sock, message, sizeof(message) - 1, MSG_DONTWAIT);

	if (n <= 0)
		return false;
	message[n] = '\0';
	for (char *line = strtok_r(message, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (str_eq(line, "READY=1")) {
			tell_manager(main_pid);
			return true;
		}
	return false;
}

void notify_wait(int sock, pid_t pid, int pid_fd)
{
	struct pollfd p[] = { { .fd = sock, .events = POLLIN }, { .fd = pid_fd, .events = POLLIN } };

	for (;;) {
		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return;
		if (p[0].revents && notify_take(sock, pid))
			return;
		if (p[1].revents)
			return;
	}
}
