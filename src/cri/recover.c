/* SPDX-License-Identifier: Apache-2.0 */
/* After any end of hulld: a restart, kill -9, or a boot (then STATE is empty, and no kernel object of
 * ours is left; what remains are addresses that CNI plugins keep on disk, and directories). */
#include "cri/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "cri/container.h"
#include "cri/sandbox.h"
#include "cri/watch.h"

/* --- loading -------------------------------------------------------------------------------------- */

static void *unpack(const ProtobufCMessageDescriptor *type, const char *what, const char *id,
		    const void *data, size_t len)
{
	void *rec = protobuf_c_message_unpack(type, NULL, len, data);

	if (!rec)
		log_error("the record of %s \"%s\" cannot be read (%zu bytes): it is left alone", what, id,
			  len);
	return rec;
}

static int load_sandbox(void *arg, const char *key, const void *data, size_t len, struct error *e)
{
	struct node *n = arg;
	REC(Sandbox) *rec = unpack(&hull__record__sandbox__descriptor, "pod sandbox", key, data, len);
	cleanup_free char *name = NULL;
	struct sandbox *s;

	(void)e;
	if (!rec)
		return 0;
	if (!str_is_id(rec->id) || !rec->config || !rec->config->metadata) {
		log_error("the record of pod sandbox \"%s\" is incomplete: it is left alone", key);
		protobuf_c_message_free_unpacked((ProtobufCMessage *)rec, NULL);
		return 0;
	}
	s = sandbox_new(rec);
	name = sandbox_key(rec->config->metadata);
	s->pod_dfd = openat(n->pods_dfd, rec->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sandbox_unref(n, map_put(&n->sandboxes, rec->id, s));
	if (!map_get(&n->sandbox_names, name))
		map_put(&n->sandbox_names, name, sandbox_hold(s));
	return 0;
}

static int load_container(void *arg, const char *key, const void *data, size_t len, struct error *e)
{
	struct node *n = arg;
	REC(Container) *rec = unpack(&hull__record__container__descriptor, "container", key, data, len);
	cleanup_free char *name = NULL;
	struct sandbox *s;
	struct container *c;

	if (!rec)
		return 0;
	s = rec->sandbox_id ? map_get(&n->sandboxes, rec->sandbox_id) : NULL;
	if (!s || !str_is_id(rec->id) || !rec->config || !rec->config->metadata || !rec->config->image) {
		log_warn("container \"%s\" belongs to no known pod sandbox: its record is removed", key);
		protobuf_c_message_free_unpacked((ProtobufCMessage *)rec, NULL);
		return store_remove(n->store, STORE_CONTAINER, key, STORE_SAFE, e);
	}
	c = container_new(rec, s);
	name = container_key(rec->sandbox_id, rec->config->metadata);
	map_put(&n->containers, rec->id, c);
	if (!map_get(&n->container_names, name))
		map_put(&n->container_names, name, container_hold(c));
	c->next = s->containers;
	s->containers = container_hold(c);
	return 0;
}

/* --- one pod -------------------------------------------------------------------------------------- */

static void claim_ids(struct node *n, struct sandbox *s)
{
	const PB(PodSandboxMetadata) *m = s->rec->config->metadata;
	cleanup_free char *pod = str_fmt("%s/%s/%s", m->namespace_, m->name, m->uid);
	struct error e = ERROR_INIT;
	struct idmap *map = NEW(struct idmap);
	bool shared = s->rec->idmap_all && node_config(n)->node_uids.n > 0;

	if (SANDBOX_HAS_USERNS(s->rec) && !shared &&
	    (rec_get_map(s->rec->uids, s->rec->n_uids, map, &e) < 0 ||
	     idrange_claim(n->ranges, s->rec->id, pod, map, &e) < 0 ||
	     rec_get_map(s->rec->gids, s->rec->n_gids, map, &e) < 0 ||
	     idrange_claim(n->ranges, s->rec->id, pod, map, &e) < 0))
		log_error("pod sandbox \"%s\": %s", s->rec->id, err_msg(&e));
	free(map);
}

/* Did the built-in init or the pause process end while nobody watched? */
static bool is_dead(const struct sandbox *s, const struct monitor_status *st)
{
	const struct monitor_container_status *pause = NULL;

	if (!str_is_empty(s->rec->pause_id))
		pause = monitor_status_find(st, s->rec->pause_id);
	return st->state == MONITOR_POD_NOTREADY || (pause && pause->state == MONITOR_EXITED);
}

/* Its monitor lives: subscribe first, ask then, so that nothing falls between. */
static int adopt(struct node *n, struct sandbox *s, struct error *e)
{
	struct monitor_call call = sandbox_call_ms(s, 10000);
	cleanup_monitor_status struct monitor_status st = { 0 };
	size_t count;
	struct container **v;
	int r;

	if ((r = watch_add(n, s, e)) < 0 || (r = monitor_status(&call, &st, e)) < 0)
		return r;
	claim_ids(n, s);
	sandbox_apply_status(n, s, &st, false);
	if (is_dead(s, &st)) {
		log_warn("pod sandbox \"%s\": what holds it has ended; the pod is stopped", s->rec->id);
		return sandbox_down(n, s, e);
	}
	v = sandbox_containers(n, s, &count);
	for (size_t i = 0; i < count; i++) {
		struct error why = ERROR_INIT;

		/* A creation that was cut off, whose id nobody has; or a container that the monitor does not know any
		 * more, because its removal was cut off. */
		if ((!v[i]->rec->is_whole || !monitor_status_find(&st, v[i]->rec->id)) &&
		    container_remove(n, v[i], &why) < 0)
			log_error("remove what is left of container \"%s\": %s", v[i]->rec->id,
				  err_msg(&why));
		container_unref(n, v[i]);
	}
	free(v);
	return 0;
}

static void unlist(struct node *n, struct sandbox *s)
{
	cleanup_free char *key = sandbox_key(s->rec->config->metadata);
	struct sandbox *a = map_remove(&n->sandboxes, s->rec->id), *b = NULL;

	if (map_get(&n->sandbox_names, key) == s)
		b = map_remove(&n->sandbox_names, key);
	sandbox_unref(n, a);
	sandbox_unref(n, b);
}

static int recover_one(struct node *n, struct sandbox *s, struct error *e)
{
	int r;

	if (s->rec->state == HULL__RECORD__SANDBOX_STATE__SANDBOX_CREATING) {
		log_info("pod sandbox \"%s\": its creation was cut off; it is undone", s->rec->id);
		s->is_creating = true; /* the record stays CREATING until it is gone */
		if ((r = sandbox_down(n, s, e)) < 0 || (r = sandbox_forget(n, s, e)) < 0) {
			s->is_creating = false;
			return r;
		}
		unlist(n, s);
		return 0;
	}
	if (s->rec->state == HULL__RECORD__SANDBOX_STATE__SANDBOX_IS_READY && s->pod_dfd >= 0 &&
	    monitor_is_alive(s->pod_dfd))
		return adopt(n, s, e);
	if (s->rec->state == HULL__RECORD__SANDBOX_STATE__SANDBOX_IS_READY)
		log_warn("pod sandbox \"%s\": its monitor is gone; the pod is stopped", s->rec->id);
	else if (!s->rec->has_cni && s->pod_dfd < 0)
		return 0;
	return sandbox_down(n, s, e);
}

/* --- leftovers ------------------------------------------------------------------------------------ */

/* Remove what a directory holds that is no object of ours. A pod's directory without a record can only
 * stem from another database: its journal is undone all the same. */
static void sweep(struct node *n, int dfd, const struct map *known, bool pods)
{
	cleanup_close int fd = openat(dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	if (!dir)
		return;
	take_fd(fd);
	while ((d = readdir(dir))) {
		struct error e = ERROR_INIT;

		if (!str_is_id(d->d_name) || map_get(known, d->d_name))
			continue;
		if (pods) {
			REC(Sandbox) *rec = NEW(REC(Sandbox));
			struct sandbox *s;

			pb_init(&hull__record__sandbox__descriptor, rec);
			rec_set(&rec->id, d->d_name);
			s = sandbox_new(rec);
			s->is_creating = true;
			s->pod_dfd = openat(dfd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (sandbox_down(n, s, &e) < 0)
				log_error("undo what is left of pod \"%s\": %s", d->d_name, err_msg(&e));
			sandbox_unref(n, s);
			if (e.kind)
				continue;
		}
		log_warn("%s \"%s\" belongs to nothing that is known: removed",
			 pods ? "pod directory" : "writable layer", d->d_name);
		if (path_remove_tree(dfd, d->d_name, &e) < 0)
			log_error("%s", err_msg(&e));
	}
	closedir(dir);
}

int recover(struct node *n, struct error *e)
{
	struct sandbox **all;
	size_t count = 0, pos = 0;
	struct sandbox *s;
	int r;

	if ((r = store_each(n->store, STORE_SANDBOX, load_sandbox, n, e)) < 0 ||
	    (r = store_each(n->store, STORE_CONTAINER, load_container, n, e)) < 0)
		return r;
	all = mem_array(n->sandboxes.count, sizeof(*all));
	while ((s = map_next(&n->sandboxes, &pos, NULL)))
		all[count++] = sandbox_hold(s);
	for (size_t i = 0; i < count; i++) {
		struct error why = ERROR_INIT;

		pthread_mutex_lock(&all[i]->op);
		if (recover_one(n, all[i], &why) < 0)
			log_error("recover pod sandbox \"%s\": %s", all[i]->rec->id, err_msg(&why));
		pthread_mutex_unlock(&all[i]->op);
		sandbox_unref(n, all[i]);
	}
	free(all);
	sweep(n, n->pods_dfd, &n->sandboxes, true);
	sweep(n, n->containers_dfd, &n->containers, false);
	images_gc(n->images);
	return 0;
}
