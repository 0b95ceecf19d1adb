/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: whole reads and writes, passing over unix sockets. Every fd made here is
 * close-on-exec from birth. */
#ifndef HULL_BASE_FD_H
#define HULL_BASE_FD_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/error.h"

/* Read until n bytes came or the end; EINTR is retried. Returns the count, or -1 with errno. */
ssize_t fd_read_full(int fd, void *data, size_t n);
/* Write all n bytes. Returns 0, or -1 with errno. */
int fd_write_full(int fd, const void *data, size_t n);

/* Read to the end of fd, appending to b. Fails: LIMIT after more than max_bytes, SYS. */
int fd_read_all(int fd, size_t max_bytes, struct buf *b, struct error *e) MUST_USE;

/* dup(2) with close-on-exec, at fd 3 or above. Fails: SYS. */
int fd_dup(int fd, int *ret_fd, struct error *e) MUST_USE;
int fd_pipe(int ret_fds[2], struct error *e) MUST_USE;
int fd_nonblock(int fd, struct error *e) MUST_USE;

/* Where 0, 1 or 2 is closed there will be /dev/null, so that nothing else gets such a number. Fails: SYS. */
int fd_fill_stdio(struct error *e) MUST_USE;

#define FD_PASS_MAX 16
/* Send one message with up to FD_PASS_MAX fds over a unix socket (SCM_RIGHTS, unix(7)).
 * MSG_NOSIGNAL. Returns 0, or -1 with errno. */
int fd_send(int sock, const struct iovec *iov, int iov_count, const int *fds, size_t fd_count);
/* Receive one message. *fd_count is the room in fds, then how many came; more are closed.
 * Returns the byte count, 0 at the end, or -1 with errno (EMSGSIZE: message or fds were cut off). */
ssize_t fd_recv(int sock, void *data, size_t size, int *fds, size_t *fd_count);

/* Close every fd from first on that is not in keep (sorted ascending). */
void fd_close_from(int first, const int *keep, size_t keep_count);

#endif
