/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/sync.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"

struct report {
	uint32_t kind;
	struct error error; /* of REPORT_ERROR; the other kinds end before it */
};

int sync_pair(int ret_fds[2], struct error *e)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return err_sys(e, "make a socket pair");
	return 0;
}

void sync_report(int sock, enum report_kind kind, int fd)
{
	uint32_t word = kind;
	struct iovec iov = { &word, sizeof(word) };

	(void)fd_send(sock, &iov, 1, &fd, fd >= 0);
}

void sync_report_error(int sock, const struct error *cause)
{
	struct report report = { .kind = REPORT_ERROR, .error = *cause };
	struct iovec iov = { &report, sizeof(report) };

	(void)fd_send(sock, &iov, 1, NULL, 0);
}

int sync_receive(int sock, enum report_kind *ret_kind, int *ret_fd, struct error *e)
{
	struct report report;
	size_t fd_count = 1;
	int fd = -1;
	ssize_t n;

	do {
		fd_count = 1;
		n = fd_recv(sock, &report, sizeof(report), &fd, &fd_count);
	} while (n < 0 && errno == EINTR);
	*ret_fd = fd_count ? fd : -1;
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		*ret_kind = REPORT_END;
		return 0;
	}
	if (n < 0)
		return err_sys(e, "receive from the container's process");
	if ((size_t)n < sizeof(report.kind))
		return err_new(e, ERR_CORRUPT, "a report of %zd bytes", n);
	if (report.kind == REPORT_ERROR) {
		if ((size_t)n != sizeof(report))
			return err_new(e, ERR_CORRUPT, "an error report of %zd bytes", n);
		if (err_import(&report.error) == 0 && e)
			*e = report.error;
		return -(int)report.error.kind;
	}
	*ret_kind = (enum report_kind)report.kind;
	return 0;
}

void sync_send_byte(int sock, char byte)
{
	(void)!send(sock, &byte, 1, MSG_NOSIGNAL);
}

int sync_wait_byte(int sock, char byte, struct error *e)
{
	char got = 0;
	ssize_t n;

	do
		n = read(sock, &got, 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "wait for a word");
	if (n == 0)
		return err_new(e, ERR_CANCELED, "the caller is gone");
	return got == byte
		       ? 0
		       : err_new(e, ERR_CORRUPT, "the caller said 0x%02x", (unsigned int)(unsigned char)got);
}
