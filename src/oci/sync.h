/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller and the container's first process say to each other over one SOCK_SEQPACKET pair:
 * reports upwards, single bytes downwards. The end of the connection is an answer too: upwards, after
 * REPORT_EXEC, it is the close-on-exec of a successful execve(2); downwards it means die. */
#ifndef HULL_OCI_SYNC_H
#define HULL_OCI_SYNC_H

#include <stdint.h>

#include "base/error.h"

enum report_kind {
	REPORT_END = 0,	     /* the peer is gone; never sent */
	REPORT_CONSOLE = 1,  /* with the terminal's master */
	REPORT_LISTENER = 2, /* with a seccomp notify fd */
	REPORT_PREPARED = 3, /* namespaces are made, the host's mounts still there: time for hooks */
	REPORT_READY = 4,    /* waiting at the gate */
	REPORT_EXEC = 5,     /* the next thing is execve(2) */
	REPORT_ERROR = 6,    /* with a struct error; the sender ends */
};

#define SYNC_GO 'g'    /* maps are written, or hooks have run */
#define SYNC_START 's' /* the gate */

int sync_pair(int ret_fds[2], struct error *e) MUST_USE;

/* Send; a lost peer is no error (the process will see it, or is about to end anyhow). fd -1: none. */
void sync_report(int sock, enum report_kind kind, int fd);
void sync_report_error(int sock, const struct error *cause);
/* Receive. ret_fd is -1 or the fd that came. Of REPORT_ERROR, *e is the error, and its kind is returned
 * negative, as it is when receiving fails. */
int sync_receive(int sock, enum report_kind *ret_kind, int *ret_fd, struct error *e) MUST_USE;

void sync_send_byte(int sock, char byte);
/* Wait for this byte. Fails: CANCELED (the peer is gone), CORRUPT. */
int sync_wait_byte(int sock, char byte, struct error *e) MUST_USE;

#endif
