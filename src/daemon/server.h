/* SPDX-License-Identifier: Apache-2.0 */
/* The gRPC server: one I/O thread (the caller of server_run) owns the listeners, the connections and all
 * writes; handlers run in worker threads (daemon/workers.h). */
#ifndef HULL_DAEMON_SERVER_H
#define HULL_DAEMON_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cri/service.h"
#include "daemon/workers.h"
#include "proto/grpc_server.h"

struct server_limits {
	unsigned max_connections;
	size_t max_request_bytes; /* of all requests that have not arrived completely */
	int64_t handshake_ns;	  /* from accept to the client's SETTINGS */
	int64_t idle_ns;	  /* a connection without calls is then said goodbye */
	int64_t keepalive_ns;	  /* silence on a connection with calls: then a ping */
	int64_t stall_ns;	  /* a client that takes no bytes, or answers no ping, is cut off */
	int64_t drain_ns;	  /* what calls get to end in after server_stop() */
	int64_t cancel_ns;	  /* and then, once canceled */
	struct grpc_server_limits grpc;
	struct workers_opts workers;
};
extern const struct server_limits server_limits_default;

struct server_opts {
	const struct cri_method *methods;
	size_t method_count;
	struct node *node;
	struct server_limits limits;
};

/* Keep the process small; before the first thread is made. */
void server_tune_malloc(void);

struct server;
/* Fails: SYS. */
int server_new(const struct server_opts *opts, struct server **ret, struct error *e) MUST_USE;
/* Accept connections of a listening stream socket, which is taken. Fails: SYS. */
int server_listen(struct server *s, int listen_fd, struct error *e) MUST_USE;
/* Call fn in the I/O thread whenever fd (borrowed) is readable. Fails: SYS, LIMIT. */
typedef void (*server_watch_fn)(void *arg, int fd);
int server_watch(struct server *s, int fd, server_watch_fn fn, void *arg, struct error *e) MUST_USE;
/* Run fn(arg) in a worker thread, beside the calls. Fails: LIMIT, SYS. */
int server_run_task(struct server *s, void (*fn)(void *arg), void *arg, struct error *e) MUST_USE;
/* Serve until server_stop(), and then until all calls ended or drain_ns passed. Fails: SYS. */
int server_run(struct server *s, struct error *e) MUST_USE;
/* Begin to drain: no new connections or calls; what runs may end. From the I/O thread (a watch). */
void server_stop(struct server *s);
/* After server_run(): do calls still run that do not heed their cancellation? */
bool server_is_stuck(struct server *s);
/* Waits for the workers. */
void server_free(struct server *s);
DEFINE_CLEANUP(struct server, server_free)

#endif
