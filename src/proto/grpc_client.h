/* SPDX-License-Identifier: Apache-2.0 */
/* A small blocking gRPC client over a unix socket: one call at a time on one connection. (The one place
 * of this folder that does I/O: who wants the protocol only takes grpc_frame.h.) */
#ifndef HULL_PROTO_GRPC_CLIENT_H
#define HULL_PROTO_GRPC_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "codec/arena.h"
#include "proto/grpc_frame.h"

struct grpc_client;

/* path is that of the socket, without "unix://". Fails: UNAVAILABLE (nobody listens; names the path),
 * DENIED (no permission), SYS. */
int grpc_client_connect(const char *path, struct grpc_client **ret, struct error *e) MUST_USE;
void grpc_client_free(struct grpc_client *c);
DEFINE_CLEANUP(struct grpc_client, grpc_client_free)

struct grpc_call {
	const char *path;    /* "/runtime.v1.RuntimeService/Version" */
	const void *request; /* packed, without prefix */
	size_t request_len;
	int64_t deadline_ns; /* on the monotonic clock, also told to the server; 0: none */
	int cancel_fd;	     /* readable: give the call up; 0 or less: none */
	/* Each message of the answer, in order; an error of it ends the call. NULL: dropped. */
	int (*on_message)(void *arg, const void *data, size_t len, struct error *e);
	void *arg;
};

/* Returns 0 when the server answered OK. Otherwise the error's message is the server's own, its kind that
 * of the status (grpc_kind_of_status), and *ret_status, which may be NULL, the status itself.
 * Fails besides: UNAVAILABLE (the connection was lost; connect anew), TIMEOUT, CANCELED, CORRUPT (the
 * peer does not speak gRPC), LIMIT (a message over 16 MiB). */
int grpc_client_call(struct grpc_client *c, const struct grpc_call *call, int *ret_status,
		     struct error *e) MUST_USE;

/* A unary call with messages: request is packed; the answer, of this type, lives in the arena.
 * Fails besides: CORRUPT (no answer, or one that is malformed). */
int grpc_client_unary(struct grpc_client *c, const char *path, const void *request,
		      const ProtobufCMessageDescriptor *response_type, int64_t deadline_ns, struct arena *a,
		      void **ret_response, int *ret_status, struct error *e) MUST_USE;

enum err_kind grpc_kind_of_status(int status);

#endif
