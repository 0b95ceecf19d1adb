/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/convert.h"

/* What kubelets and crictl read from a code: NOT_FOUND means that the object is gone (kubelet.md),
 * DEADLINE_EXCEEDED of ExecSync that the probe timed out, UNIMPLEMENTED that a fallback is to be used.
 * A failed system call is nothing that the client could mend: INTERNAL. */
static const enum grpc_status codes[ERR_KIND_COUNT] = {
	[ERR_NONE] = GRPC_OK,
	[ERR_SYS] = GRPC_INTERNAL,
	[ERR_INVALID] = GRPC_INVALID_ARGUMENT,
	[ERR_NOT_FOUND] = GRPC_NOT_FOUND,
	[ERR_EXISTS] = GRPC_ALREADY_EXISTS,
	[ERR_STATE] = GRPC_FAILED_PRECONDITION,
	[ERR_LIMIT] = GRPC_RESOURCE_EXHAUSTED,
	[ERR_DENIED] = GRPC_PERMISSION_DENIED,
	[ERR_UNSUPPORTED] = GRPC_UNIMPLEMENTED,
	[ERR_TIMEOUT] = GRPC_DEADLINE_EXCEEDED,
	[ERR_CANCELED] = GRPC_CANCELLED,
	[ERR_UNAVAILABLE] = GRPC_UNAVAILABLE,
	[ERR_CORRUPT] = GRPC_DATA_LOSS,
	[ERR_AUTH] = GRPC_UNAUTHENTICATED,
	[ERR_INTERNAL] = GRPC_INTERNAL,
};

enum grpc_status grpc_status_of_kind(enum err_kind kind)
{
	return (unsigned)kind < ERR_KIND_COUNT ? codes[kind] : GRPC_UNKNOWN;
}
