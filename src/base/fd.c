/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

ssize_t fd_read_full(int fd, void *data, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)data + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

int fd_write_full(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int fd_read_all(int fd, size_t max_bytes, struct buf *b, struct error *e)
{
	size_t got = 0;

	for (;;) {
		char *to = buf_reserve(b, 16384);
		ssize_t r = read(fd, to, 16384);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, "read");
		if (r == 0)
			return 0;
		got += (size_t)r;
		buf_added(b, (size_t)r);
		if (got > max_bytes)
			return err_new(e, ERR_LIMIT, "more than %zu bytes", max_bytes);
	}
}

int fd_dup(int fd, int *ret_fd, struct error *e)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return err_sys(e, "duplicate fd %d", fd);
	*ret_fd = copy;
	return 0;
}

int fd_pipe(int ret_fds[2], struct error *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "make a pipe");
	ret_fds[0] = p[0];
	ret_fds[1] = p[1];
	return 0;
}

int fd_nonblock(int fd, struct error *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, "make fd %d non-blocking", fd);
	return 0;
}

int fd_fill_stdio(struct error *e)
{
	int fd;

	/* Of all the free numbers open(2) takes the lowest. */
	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return err_sys(e, "open /dev/null");
	} while (fd < 3);
	close(fd);
	return 0;
}

int fd_send(int sock, const struct iovec *iov, int iov_count, const int *fds, size_t fd_count)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iov_count };
	ssize_t r;

	if (fd_count > FD_PASS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (fd_count > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	do
		r = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -1 : 0;
}

/* Move the fds of one control message to the caller; close those for which there is no room. */
static void take_rights(const struct cmsghdr *c, int *fds, size_t room, size_t *count)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (*count < room)
			fds[(*count)++] = fd;
		else
			close(fd);
	}
}

ssize_t fd_recv(int sock, void *data, size_t size, int *fds, size_t *fd_count)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	size_t room = fd_count ? *fd_count : 0, count = 0;
	ssize_t r;

	do
		r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (fd_count)
		*fd_count = 0;
	if (r < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			take_rights(c, fds, room, &count);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		while (count > 0)
			close(fds[--count]);
		errno = EMSGSIZE;
		return -1;
	}
	if (fd_count)
		*fd_count = count;
	return r;
}

void fd_close_from(int first, const int *keep, size_t keep_count)
{
	unsigned int from = (unsigned int)first;

	for (size_t i = 0; i < keep_count; i++) {
		if (keep[i] < first)
			continue;
		if ((unsigned int)keep[i] > from)
			close_range(from, (unsigned int)keep[i] - 1, 0);
		from = (unsigned int)keep[i] + 1;
	}
	close_range(from, UINT_MAX, 0);
}
