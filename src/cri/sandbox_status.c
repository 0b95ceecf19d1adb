/* SPDX-License-Identifier: Apache-2.0 */
/* PodSandboxStatus and ListPodSandbox. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cri/answer.h"
#include "cri/handlers.h"
#include "cri/sandbox.h"
#include "userns/netns.h"

static void add_map(struct call *call, PB(IDMapping) ***dst, size_t *n_dst, PB(IDMapping) *const *src,
		    size_t n)
{
	*dst = arena_array(call->arena, n, sizeof(**dst));
	*n_dst = n;
	for (size_t i = 0; i < n; i++)
		(*dst)[i] = answer_copy(call, src[i]);
}

/* What is in force, not what was asked for: the node's policy may have added a user namespace. */
static PB(LinuxPodSandboxStatus) *linux_status(struct call *call, const REC(Sandbox) *rec)
{
	PB(LinuxPodSandboxStatus) *l = PB_ANSWER(call, LinuxPodSandboxStatus, linux_pod_sandbox_status);
	const PB(LinuxPodSandboxConfig) *config = rec->config->linux;
	PB(NamespaceOption) *o = NULL;

	l->namespaces = PB_ANSWER(call, Namespace, namespace);
	if (config && config->security_context)
		o = answer_copy(call, config->security_context->namespace_options);
	if (!o)
		o = PB_ANSWER(call, NamespaceOption, namespace_option);
	l->namespaces->options = o;
	if (SANDBOX_HAS_USERNS(rec)) {
		o->userns_options = PB_ANSWER(call, UserNamespace, user_namespace);
		o->userns_options->mode = RUNTIME__V1__NAMESPACE_MODE__POD;
		add_map(call, &o->userns_options->uids, &o->userns_options->n_uids, rec->uids, rec->n_uids);
		add_map(call, &o->userns_options->gids, &o->userns_options->n_gids, rec->gids, rec->n_gids);
	}
	return l;
}

/* A pod on the pod network never has a Network with an empty address: kubelets take that for a broken
 * sandbox and make another. */
static PB(PodSandboxNetworkStatus) *network_status(struct call *call, const REC(Sandbox) *rec)
{
	PB(PodSandboxNetworkStatus) *net;

	if (*rec->netns_path && rec->n_ips == 0)
		return NULL;
	net = PB_ANSWER(call, PodSandboxNetworkStatus, pod_sandbox_network_status);
	if (rec->n_ips == 0)
		return net;
	net->ip = arena_str(call->arena, rec->ips[0]);
	net->n_additional_ips = rec->n_ips - 1;
	net->additional_ips = arena_array(call->arena, rec->n_ips, sizeof(*net->additional_ips));
	for (size_t i = 1; i < rec->n_ips; i++) {
		net->additional_ips[i - 1] = PB_ANSWER(call, PodIP, pod_ip);
		net->additional_ips[i - 1]->ip = arena_str(call->arena, rec->ips[i]);
	}
	return net;
}

static PB(PodSandboxStatus) *status_of(struct call *call, const struct sandbox *s)
{
	PB(PodSandboxStatus) *st = PB_ANSWER(call, PodSandboxStatus, pod_sandbox_status);
	const REC(Sandbox) *rec = s->rec;
	const PB(PodSandboxConfig) *from_ = rec->config;

	st->id = arena_str(call->arena, rec->id);
	st->metadata = answer_copy(call, from_->metadata);
	st->state = answer_sandbox_state(s);
	st->created_at = rec->created_at;
	st->network = network_status(call, rec);
	st->linux = linux_status(call, rec);
	ANSWER_MAP(call, st, labels, pod_sandbox_status__labels_entry);
	ANSWER_MAP(call, st, annotations, pod_sandbox_status__annotations_entry);
	st->runtime_handler = arena_str(call->arena, rec->runtime_handler);
	return st;
}

/* --- verbose -------------------------------------------------------------------------------------- */

static void put_parsed(struct json_object *o, const char *key, const char *text)
{
	struct json_object *doc;

	if (!str_is_empty(text) && json_parse(text, strlen(text), 0, &doc, NULL) == 0)
		json_put(o, key, doc);
}

static void put_cni_result(struct json_object *info, const char *record)
{
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	if (!str_is_empty(record) && cni_record_result(record, &result, &e) == 0)
		put_parsed(info, "cniResult", result->json);
}

/* The names are containerd's where it has them, since tools read those. Copies are taken under the lock,
 * questions to the kernel and the monitor are asked without it. */
static void add_info(struct node *n, struct sandbox *s, struct call *call, PB(PodSandboxStatusResponse) *resp)
{
	cleanup_json struct json_object *info = json_new();
	struct monitor_call m = sandbox_call_ms(s, 2000);
	cleanup_monitor_status struct monitor_status st = { 0 };
	cleanup_free char *netns = NULL, *record = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	bool closed = true, ready;

	ready = s->pod_dfd >= 0 && monitor_status(&m, &st, NULL) == 0;
	pthread_mutex_lock(&n->lock);
	netns = str_dup(s->rec->netns_path);
	record = str_dup(s->rec->cni_record);
	json_put_i64(info, "pid", ready ? (st.init_pid ? st.init_pid : st.monitor_pid) : 0);
	json_put_i64(info, "monitorPid", ready ? st.monitor_pid : 0);
	json_put_str(info, "processStatus", ready ? "running" : "deleted");
	json_put_str(info, "image", node_config(n)->sandbox_image ? node_config(n)->sandbox_image : "");
	json_put_str(info, "snapshotter", "overlayfs");
	json_put_str(info, "runtimeHandler", s->rec->runtime_handler);
	json_put_str(info, "runtimeType", "io.hull.pod.v1");
	json_put_str(info, "userNamespace", s->rec->userns_note);
	json_put_str(info, "networkNamespace", netns);
	json_put_str(info, "cgroupParent", s->rec->cgroup_parent);
	json_put_str(info, "pauseContainer", s->rec->pause_id);
	json_put(info, "config", answer_json(s->rec->config));
	pthread_mutex_unlock(&n->lock);
	if (*netns && netns_is_closed(netns, &closed, NULL) == 0)
		json_put_bool(info, "netNamespaceClosed", closed);
	put_cni_result(info, record);
	json_text(info, false, &text);
	ANSWER_INFO(call, resp, pod_sandbox_status_response, "info", buf_str(&text));
}

int cri_pod_sandbox_status(struct node *n, struct call *call, const void *request, void *response,
			   struct error *e)
{
	const PB(PodSandboxStatusRequest) *req = request;
	PB(PodSandboxStatusResponse) *resp = response;
	struct sandbox *s;
	size_t count = 0;
	int r = sandbox_find(n, req->pod_sandbox_id, &s, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&n->lock);
	resp->status = status_of(call, s);
	/* With a timestamp the container statuses must be complete: kubelets then ask for no other. */
	for (struct container *c = s->containers; c; c = c->next)
		count += !c->is_creating && !c->rec->is_pause;
	resp->containers_statuses = arena_array(call->arena, count, sizeof(*resp->containers_statuses));
	for (struct container *c = s->containers; c; c = c->next)
		if (!c->is_creating && !c->rec->is_pause)
			resp->containers_statuses[resp->n_containers_statuses++] =
				answer_container_status(call, c);
	resp->timestamp = clock_wall_ns();
	pthread_mutex_unlock(&n->lock);
	if (req->verbose)
		add_info(n, s, call, resp);
	sandbox_unref(n, s);
	return 0;
}

/* --- list ----------------------------------------------------------------------------------------- */

static bool is_wanted(const struct sandbox *s, const PB(PodSandboxFilter) *f)
{
	const PB(PodSandboxConfig) *c = s->rec->config;

	if (s->is_creating)
		return false;
	if (!f)
		return true;
	if (*f->id && !str_starts(s->rec->id, f->id))
		return false;
	if (f->state && f->state->state != answer_sandbox_state(s))
		return false;
	return LABELS_MATCH(f->label_selector, f->n_label_selector, c->labels, c->n_labels);
}

static PB(PodSandbox) *item_of(struct call *call, const struct sandbox *s)
{
	PB(PodSandbox) *item = PB_ANSWER(call, PodSandbox, pod_sandbox);
	const PB(PodSandboxConfig) *from_ = s->rec->config;

	item->id = arena_str(call->arena, s->rec->id);
	item->metadata = answer_copy(call, from_->metadata);
	item->state = answer_sandbox_state(s);
	item->created_at = s->rec->created_at;
	ANSWER_MAP(call, item, labels, pod_sandbox__labels_entry);
	ANSWER_MAP(call, item, annotations, pod_sandbox__annotations_entry);
	item->runtime_handler = arena_str(call->arena, s->rec->runtime_handler);
	return item;
}

int cri_list_pod_sandbox(struct node *n, struct call *call, const void *request, void *response,
			 struct error *e)
{
	const PB(ListPodSandboxRequest) *req = request;
	PB(ListPodSandboxResponse) *resp = response;
	struct sandbox *s;
	size_t pos = 0;

	(void)e;
	pthread_mutex_lock(&n->lock);
	resp->items = arena_array(call->arena, n->sandboxes.count, sizeof(*resp->items));
	while ((s = map_next(&n->sandboxes, &pos, NULL)))
		if (is_wanted(s, req->filter))
			resp->items[resp->n_items++] = item_of(call, s);
	pthread_mutex_unlock(&n->lock);
	return 0;
}
