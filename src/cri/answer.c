/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/answer.h"

#include <string.h>

#include "base/mem.h"
#include "cri/container.h"

void *answer_copy(struct call *call, const void *message)
{
	cleanup_buf struct buf b = BUF_INIT;
	void *copy;

	if (!message)
		return NULL;
	/* It came through pb_unpack() or was made by us: neither step can refuse it but for its size, which
	 * was bounded then. */
	if (pb_pack(message, SIZE_MAX, &b, NULL) < 0 ||
	    pb_unpack(((const ProtobufCMessage *)message)->descriptor, b.data, b.len, call->arena, &copy,
		      NULL) < 0)
		return NULL;
	return copy;
}

/* --- containers ----------------------------------------------------------------------------------- */

static void add_user(struct call *call, PB(ContainerStatus) *st, const REC(Container) *rec)
{
	st->user = PB_ANSWER(call, ContainerUser, container_user);
	st->user->linux = PB_ANSWER(call, LinuxContainerUser, linux_container_user);
	st->user->linux->uid = rec->uid;
	st->user->linux->gid = rec->gid;
	st->user->linux->n_supplemental_groups = rec->n_groups;
	st->user->linux->supplemental_groups = arena_array(call->arena, rec->n_groups, sizeof(int64_t));
	for (size_t i = 0; i < rec->n_groups; i++)
		st->user->linux->supplemental_groups[i] = rec->groups[i];
}

static void add_image(struct call *call, PB(ContainerStatus) *st, const REC(Container) *rec)
{
	const PB(ImageSpec) *asked = rec->config->image;

	st->image = answer_copy(call, asked);
	if (*asked->user_specified_image)
		st->image->image = arena_str(call->arena, asked->user_specified_image);
	st->image_ref = arena_str(call->arena, rec->image_ref);
	st->image_id = arena_str(call->arena, rec->image_id);
}

PB(ContainerStatus) *answer_container_status(struct call *call, const struct container *c)
{
	PB(ContainerStatus) *st = PB_ANSWER(call, ContainerStatus, container_status);
	const REC(Container) *rec = c->rec;
	const PB(ContainerConfig) *from_ = rec->config;

	st->id = arena_str(call->arena, rec->id);
	st->metadata = answer_copy(call, rec->config->metadata);
	st->state = rec->state;
	st->created_at = rec->created_at;
	st->started_at = rec->started_at;
	st->finished_at = rec->finished_at;
	st->exit_code = rec->exit_code;
	add_image(call, st, rec);
	st->reason = arena_str(call->arena, rec->reason);
	st->message = arena_str(call->arena, rec->message);
	ANSWER_MAP(call, st, labels, container_status__labels_entry);
	ANSWER_MAP(call, st, annotations, container_status__annotations_entry);
	st->n_mounts = from_->n_mounts;
	st->mounts = arena_array(call->arena, from_->n_mounts, sizeof(*st->mounts));
	for (size_t i = 0; i < from_->n_mounts; i++)
		st->mounts[i] = answer_copy(call, from_->mounts[i]);
	st->log_path = arena_str(call->arena, rec->log_path);
	if (rec->resources) {
		st->resources = PB_ANSWER(call, ContainerResources, container_resources);
		st->resources->linux = answer_copy(call, rec->resources);
	}
	add_user(call, st, rec);
	st->stop_signal = signal_to_cri(rec->stop_signal);
	return st;
}

unsigned answer_sandbox_state(const struct sandbox *s)
{
	return s->rec->state == HULL__RECORD__SANDBOX_STATE__SANDBOX_IS_READY && !s->is_stopping
		       ? RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY
		       : RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

/* --- JSON ----------------------------------------------------------------------------------------- */

static struct json_object *scalar(const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return json_new_str(*(char *const *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return json_object_new_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_object_new_int64(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_ENUM: {
		const ProtobufCEnumValue *v =
			protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)at);

		return v ? json_new_str(v->name) : json_object_new_int64(*(const int *)at);
	}
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_object_new_int64(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_object_new_int64(*(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return json_object_new_uint64(*(const uint64_t *)at);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_object_new_double(*(const double *)at);
	case PROTOBUF_C_TYPE_FLOAT:
		return json_object_new_double((double)*(const float *)at);
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *b = at;
		cleanup_free char *text = str_ndup(b->len ? (const char *)b->data : "", b->len);

		return json_new_str(text);
	}
	case PROTOBUF_C_TYPE_MESSAGE:
		return answer_json(*(void *const *)at);
	default:
		return NULL;
	}
}

static bool is_map(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;

	return f->type == PROTOBUF_C_TYPE_MESSAGE && str_ends(d->short_name, "Entry") && d->n_fields == 2 &&
	       str_eq(d->fields[0].name, "key");
}

static size_t item_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return 8;
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}
_Static_assert(sizeof(void *) == 8, "item_size()");

static struct json_object *repeated(const ProtobufCFieldDescriptor *f, const char *base)
{
	size_t n = *(const size_t *)(base + f->quantifier_offset);
	const char *items = *(char *const *)(base + f->offset);
	struct json_object *o;

	if (n == 0)
		return NULL;
	o = is_map(f) ? json_new() : json_new_array();
	for (size_t i = 0; i < n; i++) {
		const void *at = items + i * item_size(f);

		if (is_map(f)) {
			const ProtobufCFieldDescriptor *sub =
				((const ProtobufCMessageDescriptor *)f->descriptor)->fields;
			const char *entry = *(char *const *)at;

			json_put(o, *(char *const *)(entry + sub[0].offset),
				 scalar(&sub[1], entry + sub[1].offset));
		} else {
			json_push(o, scalar(f, at));
		}
	}
	return o;
}

/* proto3: what has its default value is absent. */
static bool is_default(const ProtobufCFieldDescriptor *f, const void *at)
{
	static const char zero[sizeof(ProtobufCBinaryData)];

	if (f->type == PROTOBUF_C_TYPE_STRING)
		return str_is_empty(*(char *const *)at);
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)at)->len == 0;
	return memcmp(at, zero, item_size(f)) == 0;
}

struct json_object *answer_json(const void *message)
{
	const ProtobufCMessage *m = message;
	struct json_object *o = json_new();

	for (unsigned i = 0; m && i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *base = message;
		struct json_object *v = NULL;

		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			v = repeated(f, base);
		else if (!is_default(f, base + f->offset))
			v = scalar(f, base + f->offset);
		if (v)
			json_put(o, f->name, v);
	}
	return o;
}
