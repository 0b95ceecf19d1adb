/* SPDX-License-Identifier: Apache-2.0 */
/* ContainerStatus and ListContainers. */
#include <string.h>

#include "base/file.h"
#include "cri/answer.h"
#include "cri/handlers.h"
#include "cri/sandbox.h"

/* What containerd's verbose status has, under its names. */
static void add_info(struct node *n, struct container *c, struct call *call,
		     PB(ContainerStatusResponse) *resp)
{
	cleanup_json struct json_object *info = json_new();
	cleanup_free char *path = str_fmt("%s/config.json", c->rec->id);
	cleanup_buf struct buf spec = BUF_INIT, text = BUF_INIT;
	struct json_object *doc;

	pthread_mutex_lock(&n->lock);
	json_put_str(info, "sandboxID", c->rec->sandbox_id);
	json_put_i64(info, "pid", c->rec->pid);
	json_put_bool(info, "removing", c->is_removed);
	json_put_str(info, "snapshotKey", c->rec->id);
	json_put_str(info, "snapshotter", "overlayfs");
	json_put_str(info, "runtimeType", "io.hull.pod.v1");
	json_put_str(info, "cgroupPath", c->rec->cgroup_path);
	json_put(info, "config", answer_json(c->rec->config));
	pthread_mutex_unlock(&n->lock);
	if (c->sandbox->pod_dfd >= 0 &&
	    file_read(c->sandbox->pod_dfd, path, JSON_MAX_BYTES, &spec, NULL) == 0 &&
	    json_parse(spec.data, spec.len, 0, &doc, NULL) == 0)
		json_put(info, "runtimeSpec", doc);
	json_text(info, false, &text);
	ANSWER_INFO(call, resp, container_status_response, "info", buf_str(&text));
}

int cri_container_status(struct node *n, struct call *call, const void *request, void *response,
			 struct error *e)
{
	const PB(ContainerStatusRequest) *req = request;
	PB(ContainerStatusResponse) *resp = response;
	struct container *c;
	int r = container_find(n, req->container_id, &c, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&n->lock);
	resp->status = answer_container_status(call, c);
	pthread_mutex_unlock(&n->lock);
	if (req->verbose)
		add_info(n, c, call, resp);
	container_unref(n, c);
	return 0;
}

static bool is_wanted(const struct container *c, const PB(ContainerFilter) *f)
{
	const PB(ContainerConfig) *config = c->rec->config;

	if (c->is_creating || c->rec->is_pause)
		return false;
	if (!f)
		return true;
	if (*f->id && !str_starts(c->rec->id, f->id))
		return false;
	if (*f->pod_sandbox_id && !str_starts(c->rec->sandbox_id, f->pod_sandbox_id))
		return false;
	if (f->state && f->state->state != c->rec->state)
		return false;
	return LABELS_MATCH(f->label_selector, f->n_label_selector, config->labels, config->n_labels);
}

static PB(Container) *item_of(struct call *call, const struct container *c)
{
	PB(Container) *item = PB_ANSWER(call, Container, container);
	const PB(ContainerConfig) *from_ = c->rec->config;

	item->id = arena_str(call->arena, c->rec->id);
	item->pod_sandbox_id = arena_str(call->arena, c->rec->sandbox_id);
	item->metadata = answer_copy(call, from_->metadata);
	item->image = answer_copy(call, from_->image);
	item->image_ref = arena_str(call->arena, c->rec->image_id);
	item->image_id = arena_str(call->arena, c->rec->image_id);
	item->state = c->rec->state;
	item->created_at = c->rec->created_at;
	ANSWER_MAP(call, item, labels, container__labels_entry);
	ANSWER_MAP(call, item, annotations, container__annotations_entry);
	return item;
}

int cri_list_containers(struct node *n, struct call *call, const void *request, void *response,
			struct error *e)
{
	const PB(ListContainersRequest) *req = request;
	PB(ListContainersResponse) *resp = response;
	struct container *c;
	size_t pos = 0;

	(void)e;
	pthread_mutex_lock(&n->lock);
	resp->containers = arena_array(call->arena, n->containers.count, sizeof(*resp->containers));
	while ((c = map_next(&n->containers, &pos, NULL)))
		if (is_wanted(c, req->filter))
			resp->containers[resp->n_containers++] = item_of(call, c);
	pthread_mutex_unlock(&n->lock);
	return 0;
}
