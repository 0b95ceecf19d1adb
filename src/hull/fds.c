/* SPDX-License-Identifier: Apache-2.0 */
/* Fds that callers give to the container's process, and fds that they want from us. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "hull/hull.h"

/* ---- fds for the container (--preserve-fds, and socket activation: sd_listen_fds(3)) -------------------------- */

#define PRESERVED_MAX 65536

int preserved_fds_check(int count, struct error *e)
{
	if (count < 0 || count > PRESERVED_MAX)
		return err_new(e, ERR_INVALID, "--preserve-fds: %d is no number of fds", count);
	/* What we opened ourselves is close-on-exec, and so nothing that we were given. */
	for (int fd = 3; fd < 3 + count; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || (flags & FD_CLOEXEC))
			return err_new(e, ERR_INVALID, "fd %d is to be passed on, but it is not open", fd);
	}
	return 0;
}

int listen_fds_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint32_t p, n;

	if (!pid || !count || str_to_u32(pid, &p, NULL) < 0 || str_to_u32(count, &n, NULL) < 0 ||
	    p != (uint32_t)getpid() || n > PRESERVED_MAX)
		return 0;
	return (int)n;
}

/* ---- sockets of callers ---------------------------------------------------------------------------------------- */

int handover_connect(const char *path, const char *option, int *ret_sock, struct error *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	cleanup_close int sock = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(e, ERR_INVALID, "--%s: the path is longer than %zu bytes: \"%s\"", option,
			       sizeof(addr.sun_path) - 1, path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "--%s: connect to \"%s\"", option, path);
	*ret_sock = take_fd(sock);
	return 0;
}

int handover_send(int sock, const char *option, const char *name, int fd, struct error *e)
{
	struct iovec iov = { (void *)(uintptr_t)name, strlen(name) };

	if (fd_send(sock, &iov, 1, &fd, 1) < 0)
		return err_sys(e, "--%s: send the fd", option);
	return 0;
}
