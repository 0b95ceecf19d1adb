/* SPDX-License-Identifier: Apache-2.0 */
/* Records live on the heap with protobuf-c's default allocator, so that a field can be replaced and the
 * whole is freed by protobuf_c_message_free_unpacked(). */
#include <string.h>

#include "base/mem.h"
#include "cri/state.h"

void rec_set(char **field, const char *value)
{
	char *copy = str_is_empty(value) ? (char *)protobuf_c_empty_string : str_dup(value);

	if (*field != (char *)protobuf_c_empty_string)
		free(*field);
	*field = copy;
}

/* A copy by way of the wire: the generated code knows every field, and a pod's configuration is small. */
static void *copy(const ProtobufCMessage *msg)
{
	size_t len;
	cleanup_free uint8_t *bytes = NULL;
	ProtobufCMessage *out;

	if (!msg)
		return NULL;
	len = protobuf_c_message_get_packed_size(msg);
	bytes = mem_alloc(len);
	protobuf_c_message_pack(msg, bytes);
	out = protobuf_c_message_unpack(msg->descriptor, NULL, len, bytes);
	if (!out)
		abort(); /* what we packed ourselves is readable */
	return out;
}

PB(PodSandboxConfig) *rec_copy_sandbox_config(const PB(PodSandboxConfig) *c)
{
	return copy((const ProtobufCMessage *)c);
}

PB(ContainerConfig) *rec_copy_container_config(const PB(ContainerConfig) *c)
{
	return copy((const ProtobufCMessage *)c);
}

PB(LinuxContainerResources) *rec_copy_resources(const PB(LinuxContainerResources) *r)
{
	return copy((const ProtobufCMessage *)r);
}

void rec_set_map(PB(IDMapping) ***field, size_t *n, const struct idmap *map)
{
	PB(IDMapping) **v = mem_array(map->n, sizeof(*v));

	for (size_t i = 0; i < map->n; i++) {
		v[i] = NEW(PB(IDMapping));
		pb_init(&runtime__v1__idmapping__descriptor, v[i]);
		v[i]->container_id = map->x[i].container_id;
		v[i]->host_id = map->x[i].host_id;
		v[i]->length = map->x[i].length;
	}
	for (size_t i = 0; i < *n; i++)
		free((*field)[i]);
	free(*field);
	*field = v;
	*n = map->n;
}

int rec_get_map(PB(IDMapping) *const *maps, size_t n, struct idmap *ret, struct error *e)
{
	*ret = IDMAP_INIT;
	for (size_t i = 0; i < n; i++) {
		struct idmap_extent x = { maps[i]->container_id, maps[i]->host_id, maps[i]->length };
		int r = idmap_add(ret, x, e);

		if (r < 0)
			return r;
	}
	return 0;
}

void rec_set_strv(char ***field, size_t *n, const struct strv *v)
{
	char **copy_v = mem_array(v->n, sizeof(char *));

	for (size_t i = 0; i < v->n; i++)
		copy_v[i] = str_dup(v->v[i]);
	for (size_t i = 0; i < *n; i++)
		free((*field)[i]);
	free(*field);
	*field = copy_v;
	*n = v->n;
}
