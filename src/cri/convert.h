/* SPDX-License-Identifier: Apache-2.0 */
/* Our kinds of errors as gRPC status codes: the one table at the CRI edge. */
#ifndef HULL_CRI_CONVERT_H
#define HULL_CRI_CONVERT_H

#include "base/error.h"
#include "proto/grpc_frame.h"

enum grpc_status grpc_status_of_kind(enum err_kind kind);

#endif
