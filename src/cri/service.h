/* SPDX-License-Identifier: Apache-2.0 */
/* The 43 methods of CRI v1 as one table, and what a handler gets and gives.
 *
 * A handler is straight-line blocking code in a worker thread. It fills `resp` with memory of
 * call->arena (or with strings that live longer), returns 0, or fails with an error whose kind becomes
 * the gRPC status (convert.h) and whose message becomes grpc-message, word for word. */
#ifndef HULL_CRI_SERVICE_H
#define HULL_CRI_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

#include "api.pb-c.h"
#include "base/error.h"
#include "codec/arena.h"
#include "codec/pb.h"

struct node;

struct call {
	struct arena *arena; /* lives until the answer is packed */
	int64_t deadline_ns; /* grpc-timeout, on the monotonic clock (base/clock.h); 0: none */
	int cancel_fd;	     /* readable (poll, never read it) once the client does not wait any more;
			      * -1: cannot be canceled */
	const char *method;  /* "RunPodSandbox" */
	/* Streaming methods: send one message to the client (a pointer to a message struct). It is
	 * packed before the function returns; blocks while the client takes none (back pressure).
	 * Fails: CANCELED, TIMEOUT (the deadline), LIMIT, INTERNAL. Use call_send(). */
	int (*send)(struct call *call, const void *message, struct error *e);
};

/* Has the client gone away, or the deadline passed? For loops that do not poll. Fails: CANCELED, TIMEOUT. */
int call_check(const struct call *call, struct error *e) MUST_USE;
/* Did the client go away before it had the answer that is about to be sent, or may it have: a deadline that
 * is all but over ends there before it ends here. */
#define CALL_ALMOST_MISSED_NS (INT64_C(1000) * 1000 * 1000)
bool call_is_missed(const struct call *call);
int call_send(struct call *call, const void *message, struct error *e) MUST_USE;

typedef int (*cri_handler)(struct node *n, struct call *call, const void *req, void *resp, struct error *e);

struct cri_method {
	const char *path; /* "/runtime.v1.RuntimeService/Version" */
	const ProtobufCMessageDescriptor *req, *resp;
	cri_handler fn; /* NULL: answers UNIMPLEMENTED */
	bool is_long;	/* may take seconds: counted against a limit of its own */
	bool is_stream; /* answers by call_send() only; resp is unused */
};

#define CRI_METHOD_COUNT 43
#define NODE_METHOD_COUNT 2 /* hull.v1.Node, behind those of CRI */
extern const struct cri_method cri_methods[CRI_METHOD_COUNT + NODE_METHOD_COUNT];

/* "Version" of "/runtime.v1.RuntimeService/Version". */
const char *cri_method_name(const struct cri_method *m);

#endif
