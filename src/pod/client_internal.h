/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the client: one request (client_request.c), as client.c and client_monitor.c make them. The errors
 * are those that client.h says all functions have. */
#ifndef HULL_POD_CLIENT_INTERNAL_H
#define HULL_POD_CLIENT_INTERNAL_H

#include <sys/un.h>

#include "pod/client.h"
#include "pod/protocol.h"

/* Of the monitor's socket, through the directory's fd: its path may be longer than an address can be. */
void client_socket_address(int pod_dfd, struct sockaddr_un *ret);
int client_connect(const struct monitor_call *c, int *ret_sock, struct error *e) MUST_USE;

/* Connect and send. o may be NULL: no fields. */
int client_send_request(const struct monitor_call *c, unsigned op, const struct wire_out *o, int *ret_sock,
			struct error *e) MUST_USE;
/* Receive the next message of a request that is under way; what names it in errors. */
int client_receive(const struct monitor_call *c, int sock, struct wire_msg *m, const char *what,
		   struct error *e) MUST_USE;
/* An answer: its error, or its fields. rep borrows from m. */
int client_read_reply(const struct wire_msg *m, unsigned op, struct rep *rep, struct error *e) MUST_USE;

/* A whole request and its answer. rep borrows from m. */
int client_ask(const struct monitor_call *c, unsigned op, const struct wire_out *o, struct wire_msg *m,
	       struct rep *rep, struct error *e) MUST_USE;

#endif
