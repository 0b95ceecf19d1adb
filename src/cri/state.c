/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/state.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cri/validate.h"

#define ID_PREFIX_MIN 4

struct sandbox *sandbox_new(REC(Sandbox) *rec)
{
	struct sandbox *s = NEW(struct sandbox);

	s->rec = rec;
	s->refs = 1;
	pthread_mutex_init(&s->op, NULL);
	s->create_error = ERROR_INIT;
	s->pod_dfd = s->event_fd = s->mapping_fd = -1;
	s->monitor = PROC_INIT;
	return s;
}

struct sandbox *sandbox_hold(struct sandbox *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void sandbox_unref(struct node *n, struct sandbox *s)
{
	(void)n;
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	protobuf_c_message_free_unpacked((ProtobufCMessage *)s->rec, NULL);
	pthread_mutex_destroy(&s->op);
	if (s->pod_dfd >= 0)
		close(s->pod_dfd);
	if (s->event_fd >= 0)
		close(s->event_fd);
	if (s->mapping_fd >= 0)
		close(s->mapping_fd);
	proc_done(&s->monitor);
	free(s);
}

struct container *container_new(REC(Container) *rec, struct sandbox *s)
{
	struct container *c = NEW(struct container);

	c->rec = rec;
	c->refs = 1;
	pthread_mutex_init(&c->op, NULL);
	c->create_error = ERROR_INIT;
	c->sandbox = sandbox_hold(s);
	return c;
}

struct container *container_hold(struct container *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void container_unref(struct node *n, struct container *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	protobuf_c_message_free_unpacked((ProtobufCMessage *)c->rec, NULL);
	pthread_mutex_destroy(&c->op);
	sandbox_unref(n, c->sandbox);
	free(c);
}

/* The one object whose id starts with this prefix. *ret_count is 2 when there are more. */
static void *find_prefix(const struct map *m, const char *prefix, size_t *ret_count)
{
	void *found = NULL, *value;
	size_t pos = 0, len = strlen(prefix);
	const char *key;

	*ret_count = 0;
	if (len < ID_PREFIX_MIN)
		return NULL;
	while ((value = map_next(m, &pos, &key)))
		if (strncmp(key, prefix, len) == 0 && ++*ret_count <= 2)
			found = value;
	return *ret_count == 1 ? found : NULL;
}

static void *find(const struct map *m, const char *what, const char *id, struct error *e)
{
	void *value = map_get(m, id);
	size_t count;

	if (value)
		return value;
	value = find_prefix(m, id, &count);
	if (count > 1)
		err_new(e, ERR_INVALID, "%s id \"%.64s\" is the beginning of more than one", what, id);
	else if (!value)
		err_new(e, ERR_NOT_FOUND, "%s \"%.64s\" not found", what, id);
	return value;
}

int sandbox_find(struct node *n, const char *id, struct sandbox **ret, struct error *e)
{
	struct sandbox *s;
	int r = validate_id("pod_sandbox_id", id, e);

	if (r < 0)
		return r;
	err_clear(e);
	pthread_mutex_lock(&n->lock);
	s = find(&n->sandboxes, "pod sandbox", id, e);
	if (s && s->is_creating) {
		err_new(e, ERR_NOT_FOUND, "pod sandbox \"%.64s\" not found", id);
		s = NULL;
	}
	if (s)
		*ret = sandbox_hold(s);
	pthread_mutex_unlock(&n->lock);
	return s ? 0 : -(int)e->kind;
}

int container_find(struct node *n, const char *id, struct container **ret, struct error *e)
{
	struct container *c;
	int r = validate_id("container_id", id, e);

	if (r < 0)
		return r;
	err_clear(e);
	pthread_mutex_lock(&n->lock);
	c = find(&n->containers, "container", id, e);
	if (c && c->is_creating) {
		err_new(e, ERR_NOT_FOUND, "container \"%.64s\" not found", id);
		c = NULL;
	}
	if (c)
		*ret = container_hold(c);
	pthread_mutex_unlock(&n->lock);
	return c ? 0 : -(int)e->kind;
}

/* The parts are separated by what validate.c refuses in them. */
char *sandbox_key(const PB(PodSandboxMetadata) *m)
{
	return str_fmt("%s/%s/%s/%u", m->namespace_, m->name, m->uid, m->attempt);
}

char *container_key(const char *sandbox_id, const PB(ContainerMetadata) *m)
{
	return str_fmt("%s/%s/%u", sandbox_id, m->name, m->attempt);
}

/* Pack under the lock, put without it: a commit may wait for a disk. node->save keeps the order. */
static int save(struct node *n, enum store_table table, const ProtobufCMessage *rec, const char *id,
		struct error *e)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	int r;

	pthread_mutex_lock(&n->save);
	pthread_mutex_lock(&n->lock);
	len = protobuf_c_message_get_packed_size(rec);
	bytes = mem_alloc(len);
	protobuf_c_message_pack(rec, bytes);
	pthread_mutex_unlock(&n->lock);
	r = store_put(n->store, table, id, bytes, len, STORE_SAFE, e);
	pthread_mutex_unlock(&n->save);
	return r;
}

int sandbox_save(struct node *n, struct sandbox *s, struct error *e)
{
	if (save(n, STORE_SANDBOX, (ProtobufCMessage *)s->rec, s->rec->id, e) < 0)
		return err_ctx(e, "record pod sandbox \"%s\"", s->rec->id);
	return 0;
}

int container_save(struct node *n, struct container *c, struct error *e)
{
	if (save(n, STORE_CONTAINER, (ProtobufCMessage *)c->rec, c->rec->id, e) < 0)
		return err_ctx(e, "record container \"%s\"", c->rec->id);
	return 0;
}

const char *sandbox_text(const struct sandbox *s, char *out, size_t size)
{
	const PB(PodSandboxMetadata) *m = s->rec->config->metadata;

	snprintf(out, size, "%s/%s (%.13s)", m->namespace_, m->name, s->rec->id);
	return out;
}

struct container **sandbox_containers(struct node *n, struct sandbox *s, size_t *ret_count)
{
	struct container **v = NULL;
	size_t count = 0;

	pthread_mutex_lock(&n->lock);
	for (struct container *c = s->containers; c; c = c->next)
		count++;
	v = mem_array(count, sizeof(*v));
	count = 0;
	for (struct container *c = s->containers; c; c = c->next)
		v[count++] = container_hold(c);
	pthread_mutex_unlock(&n->lock);
	*ret_count = count;
	return v;
}
