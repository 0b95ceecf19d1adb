/* SPDX-License-Identifier: Apache-2.0 */
/* What gRPC puts on top of HTTP/2, without any I/O: length-prefixed messages, timeouts, the escaping of
 * grpc-message, status codes. The rules are those of gRPC's PROTOCOL-HTTP2 document. */
#ifndef HULL_PROTO_GRPC_FRAME_H
#define HULL_PROTO_GRPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
	GRPC_STATUS_COUNT
};

/* "NotFound": as Go's clients print it; "Code(99)" has no name here and gives "Unknown". */
const char *grpc_status_name(int status);
/* The decimal text of a grpc-status header; anything malformed is GRPC_UNKNOWN. */
int grpc_status_parse(const char *text, size_t len);

/* 16 MiB: what kubelets and crictl allow for one message, in both directions. */
#define GRPC_MESSAGE_MAX ((size_t)16 * 1024 * 1024)
#define GRPC_PREFIX_SIZE 5

/* Write the five bytes before an uncompressed message. */
void grpc_prefix(uint8_t out[GRPC_PREFIX_SIZE], size_t message_len);

/* Takes one length-prefixed message out of a byte stream. */
struct grpc_reader {
	uint8_t prefix[GRPC_PREFIX_SIZE];
	size_t prefix_len;
	size_t message_len; /* valid once the prefix is complete */
	size_t max_bytes;
	struct buf message;
};
#define GRPC_READER_INIT(max) ((struct grpc_reader){ .max_bytes = (max) })

/* Take bytes up to the end of the message; *ret_used says how many. Nothing is allocated for bytes that
 * were announced but did not come.
 * Fails: LIMIT        a message larger than max_bytes is announced
 *        UNSUPPORTED  the compressed flag is set
 *        INVALID      the flag byte is neither 0 nor 1 */
int grpc_reader_feed(struct grpc_reader *r, const void *data, size_t len, size_t *ret_used,
		     struct error *e) MUST_USE;
bool grpc_reader_is_complete(const struct grpc_reader *r);
/* Nothing of a message has come yet: the place where a stream may end. */
bool grpc_reader_is_empty(const struct grpc_reader *r);
/* Make ready for the next message; the buffer keeps its memory. */
void grpc_reader_next(struct grpc_reader *r);
void grpc_reader_done(struct grpc_reader *r);

/* grpc-timeout: 1 to 8 digits and a unit (H M S m u n), as nanoseconds. Fails: INVALID. */
int grpc_timeout_parse(const char *text, size_t len, int64_t *ret_ns, struct error *e) MUST_USE;
/* The shortest exact or rounded-up text for a timeout of more than 0 ns. */
#define GRPC_TIMEOUT_SIZE 12
void grpc_timeout_format(int64_t ns, char out[GRPC_TIMEOUT_SIZE]);

/* grpc-message: bytes outside 0x20 to 0x7e, and '%', as %XX. */
void grpc_message_escape(const char *text, struct buf *out);
/* The inverse; a '%' that begins no escape stands for itself. */
void grpc_message_unescape(const char *text, size_t len, struct buf *out);

/* "application/grpc", alone or with a "+proto" suffix, parameters ignored. */
bool grpc_content_type_is_ok(const char *text, size_t len);

#endif
