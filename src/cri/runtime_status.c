/* SPDX-License-Identifier: Apache-2.0 */
/* Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
#include <string.h>

#include "base/clock.h"
#include "cri/answer.h"
#include "cri/handlers.h"

#define STATUS_TIMEOUT_MS 5000

int cri_version(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	PB(VersionResponse) *resp = response;

	(void)n;
	(void)request;
	(void)e;
	resp->version = arena_str(call->arena,
				  "0.1.0"); /* of the kubelet's interface: what kubelets expect since ever */
	resp->runtime_name = arena_str(call->arena, "hull");
	resp->runtime_version = arena_str(call->arena, HULL_VERSION);
	resp->runtime_api_version = arena_str(call->arena, "v1");
	return 0;
}

static PB(RuntimeCondition) *condition(struct call *call, const char *type, bool status, const char *reason,
				       const char *message)
{
	PB(RuntimeCondition) *c = PB_ANSWER(call, RuntimeCondition, runtime_condition);

	c->type = arena_str(call->arena, type);
	c->status = status;
	c->reason = arena_str(call->arena, reason);
	c->message = arena_str(call->arena, message);
	return c;
}

static void add_handlers(struct node *n, struct call *call, PB(StatusResponse) *resp)
{
	resp->runtime_handlers =
		arena_array(call->arena, node_config(n)->handler_count, sizeof(*resp->runtime_handlers));
	for (size_t i = 0; i < node_config(n)->handler_count; i++) {
		PB(RuntimeHandler) *h = PB_ANSWER(call, RuntimeHandler, runtime_handler);

		h->name = arena_str(call->arena, node_config(n)->handlers[i].name);
		h->features = PB_ANSWER(call, RuntimeHandlerFeatures, runtime_handler_features);
		h->features->recursive_read_only_mounts = n->features.recursive_read_only;
		h->features->user_namespaces = n->features.user_namespaces;
		resp->runtime_handlers[resp->n_runtime_handlers++] = h;
	}
	resp->features = PB_ANSWER(call, RuntimeFeatures, runtime_features);
	resp->features->supplemental_groups_policy = true;
	resp->features->user_namespaces_host_network = n->features.user_namespaces;
	resp->features->mount_options = true;
}

/* RuntimeReady is true while we answer with a database that takes writes. */
static int store_works(struct node *n, struct error *e)
{
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ns(), now);
	return store_put(n->store, STORE_META, "last-status", now, strlen(now), STORE_SAFE, e);
}

static const char *policy_name(enum userns_policy p)
{
	return p == USERNS_ALWAYS ? "always" : p == USERNS_NODE ? "node" : "kubelet";
}

static void add_info(struct node *n, struct call *call, const struct cni_status *net,
		     PB(StatusResponse) *resp)
{
	cleanup_json struct json_object *info = json_new();
	cleanup_buf struct buf text = BUF_INIT;
	struct json_object *config = json_put_object(info, "config"),
			   *probes = json_put_object(info, "features");
	struct json_object *cni = json_put_object(info, "cni"),
			   *handlers = json_put_object(config, "runtimes");

	json_put_str(config, "root", node_config(n)->root_dir);
	json_put_str(config, "state", node_config(n)->state_dir);
	json_put_str(config, "netnsDir", node_config(n)->netns_dir);
	json_put_str(config, "sandboxImage",
		     node_config(n)->sandbox_image ? node_config(n)->sandbox_image : "");
	for (size_t i = 0; i < node_config(n)->handler_count; i++)
		json_put_str(json_put_object(handlers, node_config(n)->handlers[i].name), "userns",
			     policy_name(node_config(n)->handlers[i].userns));
	json_put_str(config, "cgroupDriver",
		     cgroup_host_driver(n->cgroups) == CGROUP_DRIVER_SYSTEMD ? "systemd" : "cgroupfs");
	json_put_str(config, "cgroupMode", cgroup_mode_name(cgroup_host_mode(n->cgroups)));
	json_put_u64(config, "usernsPoolIds", n->has_pool ? idrange_pool_size(&n->pool) : 0);
	if (!n->has_pool)
		json_put_str(config, "usernsPoolMissing", n->pool_note);
	json_put_bool(probes, "idmappedMounts", n->features.idmapped_mounts);
	json_put_bool(probes, "recursiveReadOnlyMounts", n->features.recursive_read_only);
	json_put_bool(probes, "userNamespaces", n->features.user_namespaces);
	if (*n->features.missing)
		json_put_str(probes, "missing", n->features.missing);
	json_put_bool(cni, "isDefaultNetwork", net->is_default);
	json_put_str(cni, "network", net->network);
	json_put_str(cni, "path", net->path);
	json_put_str(cni, "message", net->message);
	json_text(info, false, &text);
	ANSWER_INFO(call, resp, status_response, "info", buf_str(&text));
}

int cri_status(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const PB(StatusRequest) *req = request;
	PB(StatusResponse) *resp = response;
	struct cni_call limits = { .deadline_ns = deadline_in_ms(STATUS_TIMEOUT_MS), .cancel_fd = -1 };
	CLEANUP(cni_status_done) struct cni_status net = { 0 };
	bool ok = store_works(n, e) == 0;

	cni_status(n->cni, &limits, &net);
	resp->status = PB_ANSWER(call, RuntimeStatus, runtime_status);
	resp->status->conditions = arena_array(call->arena, 2, sizeof(*resp->status->conditions));
	resp->status->n_conditions = 2;
	resp->status->conditions[0] =
		condition(call, "RuntimeReady", ok, ok ? "" : "DatabaseNotWritable", ok ? "" : err_msg(e));
	resp->status->conditions[1] = condition(call, "NetworkReady", net.is_ready,
						net.reason ? net.reason : "",
						net.is_ready && !net.is_default ? ""
						: net.message			? net.message
										: "");
	add_handlers(n, call, resp);
	if (req->verbose)
		add_info(n, call, &net, resp);
	return 0;
}

/* With linux set an unset driver means systemd (0): it is always said. */
int cri_runtime_config(struct node *n, struct call *call, const void *request, void *response,
		       struct error *e)
{
	PB(RuntimeConfigResponse) *resp = response;

	(void)request;
	(void)e;
	resp->linux = PB_ANSWER(call, LinuxRuntimeConfiguration, linux_runtime_configuration);
	resp->linux->cgroup_driver = cgroup_host_driver(n->cgroups) == CGROUP_DRIVER_SYSTEMD
					     ? RUNTIME__V1__CGROUP_DRIVER__SYSTEMD
					     : RUNTIME__V1__CGROUP_DRIVER__CGROUPFS;
	return 0;
}

/* The pod CIDR is a hint for runtimes that write CNI configuration themselves; ours comes from its
 * directory. It is checked and kept for whoever asks. */
int cri_update_runtime_config(struct node *n, struct call *call, const void *request, void *response,
			      struct error *e)
{
	const PB(UpdateRuntimeConfigRequest) *req = request;
	const char *cidr = "";

	(void)call;
	(void)response;
	if (req->runtime_config && req->runtime_config->network_config)
		cidr = req->runtime_config->network_config->pod_cidr;
	if (strlen(cidr) > 256 || strspn(cidr, "0123456789abcdefABCDEF.:/,") != strlen(cidr))
		return err_new(e, ERR_INVALID,
			       "runtime_config.network_config.pod_cidr \"%.64s\" is no list of CIDRs", cidr);
	pthread_mutex_lock(&n->lock);
	str_set(&n->pod_cidr, cidr);
	pthread_mutex_unlock(&n->lock);
	return 0;
}
