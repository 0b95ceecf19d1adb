/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf messages, checked more strictly than libprotobuf-c does: it takes neither UTF-8 nor NUL in
 * `string` seriously, multiplies the size of hostile input, and says only that something was wrong.
 *
 * All functions work from descriptors; generated pack and init helpers do not exist. */
#ifndef HULL_CODEC_PB_H
#define HULL_CODEC_PB_H

#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "codec/arena.h"

/* What one unpacked message may occupy: 16 MiB of empty sub-messages would become 1.3 GB. */
#define PB_UNPACK_BUDGET ((size_t)64 * 1024 * 1024)

/* An empty message of this type (proto3 defaults), in arena memory. */
void *pb_new(struct arena *a, const ProtobufCMessageDescriptor *type) __attribute__((returns_nonnull));
/* The same, with the type's C names: PB_NEW(arena, Runtime__V1__Mount, runtime__v1__mount). */
#define PB_NEW(arena, ctype, name) ((ctype *)pb_new(arena, &name##__descriptor))
/* The same in memory of the caller. protobuf_c_message_init() must not be used: it calls a generated
 * function that is not there. */
void pb_init(const ProtobufCMessageDescriptor *type, void *message);

/* Check bytes against a message type without unpacking: well-formed, the wire types those of the fields,
 * every `string` (also in maps and sub-messages) valid UTF-8 without NUL. The error names the field by
 * its path: config.metadata.name, config.mounts[3].host_path, config.labels[2].key.
 * Fails: INVALID. */
int pb_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct error *e) MUST_USE;

/* Check and unpack; everything unpacked lives in the arena, strings absent are "", never NULL, and
 * entries of repeated message fields are never NULL (libprotobuf-c's ways). In a map the same key may
 * come several times: the last one counts.
 * Fails: INVALID (see pb_check), LIMIT (more than PB_UNPACK_BUDGET bytes). */
int pb_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct arena *a,
	      void **ret, struct error *e) MUST_USE;

/* Append a message's bytes to b. A string field NULL counts as "".
 * Fails: LIMIT   more than max_bytes
 *        INTERNAL a string in it is not UTF-8 (the client's decoder would refuse the whole answer) */
int pb_pack(const void *message, size_t max_bytes, struct buf *b, struct error *e) MUST_USE;

#endif
