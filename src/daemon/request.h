/* SPDX-License-Identifier: Apache-2.0 */
/* One call, from its complete request to its last byte of answer. It is shared by the I/O thread, which
 * has it while the stream is open, and a worker, which has it while the handler runs; each holds a
 * reference. What a worker wants to be sent goes through outputs. */
#ifndef HULL_DAEMON_REQUEST_H
#define HULL_DAEMON_REQUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cri/service.h"
#include "daemon/workers.h"
#include "proto/grpc_server.h"

struct request;

/* Something to send: a message, or the end of the call, or both. */
struct output {
	struct output *next;
	struct request *request; /* a reference */
	struct buf message;	 /* empty: none; otherwise begins with room for the prefix */
	bool is_end;
	enum grpc_status status; /* of the end */
	char *text;		 /* of the end; NULL: none */
};

struct request_ops {
	/* From a worker: take over an output for the I/O thread. */
	void (*post)(void *arg, struct output *o);
};

struct request {
	struct job job;
	unsigned refs;
	const struct request_ops *ops;
	void *ops_arg;
	struct node *node;
	const struct cri_method *method;
	struct buf message; /* of the client; given back once unpacked */
	int64_t deadline_ns, start_ns;
	uint64_t number; /* for the log */

	/* Of the I/O thread: */
	struct grpc_stream *stream; /* NULL: closed */
	void *conn;
	struct request *next, *prev;

	/* Back pressure of streaming methods: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t unsent; /* bytes posted and not yet on their way */
	bool is_gone;  /* nobody waits for the answer any more */
	bool is_large; /* moved so much memory that some should go back to the kernel */
};

/* A request with two references: the I/O thread's and the worker's. message is taken. */
struct request *request_new(const struct cri_method *method, struct node *node, struct buf *message,
			    int64_t deadline_ns);
void request_unref(struct request *r);

/* From the I/O thread. */
void request_drained(struct request *r, size_t n);
void request_gone(struct request *r);

void output_free(struct output *o);

#endif
