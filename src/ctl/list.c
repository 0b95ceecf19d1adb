// SPDX-License-Identifier: Apache-2.0
/* pods, ps */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/pbjson.h"
#include "ctl/resolve.h"
#include "ctl/table.h"
#include "ctl/text.h"

static int pod_status(struct ctl *c, const char *id, PB(PodSandboxStatus) **ret, struct error *e)
{
	PB(PodSandboxStatusRequest) *req = CTL_NEW(c, PodSandboxStatusRequest, pod_sandbox_status_request);
	PB(PodSandboxStatusResponse) *resp = NULL;
	int r;

	req->pod_sandbox_id = (char *)id;
	r = CTL_CALL(c, "Runtime", "PodSandboxStatus", req, pod_sandbox_status_response, &resp, e);
	if (r >= 0)
		*ret = resp->status;
	return r;
}

/* "100000+65536": the host ids of a pod's users, or "host". */
static const char *user_text(struct ctl *c, const PB(PodSandboxStatus) *s)
{
	const PB(NamespaceOption) *o = s->linux && s->linux->namespaces ? s->linux->namespaces->options
									: NULL;
	const PB(UserNamespace) *u = o ? o->userns_options : NULL;

	if (!u || u->mode != RUNTIME__V1__NAMESPACE_MODE__POD || !u->n_uids)
		return "host";
	return arena_fmt(&c->arena, "%u+%u", u->uids[0]->host_id, u->uids[0]->length);
}

static int add_pod(struct ctl *c, struct table *t, const PB(PodSandbox) *p, struct error *e)
{
	PB(PodSandboxStatus) *s = NULL;
	int r = pod_status(c, p->id, &s, e);

	if (r == -ERR_NOT_FOUND) { /* removed since it was listed */
		err_clear(e);
		return 0;
	}
	if (r < 0)
		return r;
	TABLE_ADD(t, text_short_id(&c->arena, p->id), p->metadata ? p->metadata->namespace_ : "",
		  p->metadata ? p->metadata->name : "",
		  p->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY ? "ready" : "stopped",
		  s->network && s->network->ip ? s->network->ip : "", user_text(c, s),
		  text_age(&c->arena, clock_wall_ns(), p->created_at));
	return 0;
}

int ctl_pods(struct ctl *c, int argc, char **argv, struct error *e)
{
	static const char *const heads[] = { "ID", "NAMESPACE", "NAME",	   "STATE",
					     "IP", "USER IDS",	"CREATED", NULL };
	bool all = false;
	const struct ctl_option options[] = {
		{ 'a', "all", CTL_FLAG, &all },
		{ 'q', "quiet", CTL_FLAG, &c->is_quiet },
	};
	PB(ListPodSandboxRequest) *req = CTL_NEW(c, ListPodSandboxRequest, list_pod_sandbox_request);
	PB(ListPodSandboxResponse) *resp = NULL;
	struct table t;
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), r;

	if (i < 0)
		return CTL_USAGE;
	if (i < argc)
		return ctl_usage(c, "pods takes no argument");
	if (!all) {
		req->filter = CTL_NEW(c, PodSandboxFilter, pod_sandbox_filter);
		req->filter->state = CTL_NEW(c, PodSandboxStateValue, pod_sandbox_state_value);
		req->filter->state->state = RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
	}
	r = CTL_CALL(c, "Runtime", "ListPodSandbox", req, list_pod_sandbox_response, &resp, e);
	if (r < 0)
		return r;
	if (c->is_json) {
		pbjson_print(pbjson_of(resp));
		return CTL_OK;
	}
	table_init(&t, &c->arena, heads);
	for (size_t k = 0; k < resp->n_items; k++) {
		if (c->is_quiet) {
			puts(resp->items[k]->id);
			continue;
		}
		r = add_pod(c, &t, resp->items[k], e);
		if (r < 0)
			return r;
	}
	if (!c->is_quiet)
		table_print(&t);
	return CTL_OK;
}

static const char *state_text(struct ctl *c, const PB(Container) *ct, struct error *e)
{
	static const char *const names[] = { "created", "running", "exited", "unknown" };
	PB(ContainerStatusRequest) *req = CTL_NEW(c, ContainerStatusRequest, container_status_request);
	PB(ContainerStatusResponse) *resp = NULL;

	if (ct->state != RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED)
		return ct->state < ARRAY_LEN(names) ? names[ct->state] : "unknown";
	req->container_id = ct->id;
	if (CTL_CALL(c, "Runtime", "ContainerStatus", req, container_status_response, &resp, e) < 0 ||
	    !resp->status)
		return "exited";
	if (str_eq(resp->status->reason, "OOMKilled"))
		return "out of memory";
	return arena_fmt(&c->arena, "exited (%d)", resp->status->exit_code);
}

/* The pod's name: from the labels that kubelets and hullctl give, or from the list of pods. */
static const char *pod_name(const PB(ListPodSandboxResponse) *pods, const PB(Container) *ct)
{
	for (size_t i = 0; i < pods->n_items; i++)
		if (str_eq(pods->items[i]->id, ct->pod_sandbox_id) && pods->items[i]->metadata)
			return pods->items[i]->metadata->name;
	return ct->pod_sandbox_id;
}

static const char *image_text(struct ctl *c, const PB(Container) *ct)
{
	if (ct->image && !str_is_empty(ct->image->user_specified_image))
		return text_image(&c->arena, ct->image->user_specified_image);
	return text_image(&c->arena,
			  ct->image && !str_is_empty(ct->image->image) ? ct->image->image : ct->image_ref);
}

int ctl_ps(struct ctl *c, int argc, char **argv, struct error *e)
{
	static const char *const heads[] = { "ID", "POD", "NAME", "STATE", "IMAGE", "CREATED", NULL };
	bool all = false;
	const struct ctl_option options[] = {
		{ 'a', "all", CTL_FLAG, &all },
		{ 'q', "quiet", CTL_FLAG, &c->is_quiet },
	};
	PB(ListContainersRequest) *req = CTL_NEW(c, ListContainersRequest, list_containers_request);
	PB(ListPodSandboxRequest) *ask = CTL_NEW(c, ListPodSandboxRequest, list_pod_sandbox_request);
	PB(ListContainersResponse) *resp = NULL;
	PB(ListPodSandboxResponse) *pods = NULL;
	PB(PodSandbox) *pod = NULL;
	struct table t;
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), r = 0;

	if (i < 0)
		return CTL_USAGE;
	if (argc - i > 1)
		return ctl_usage(c, "too many arguments");
	req->filter = CTL_NEW(c, ContainerFilter, container_filter);
	if (i < argc)
		r = resolve_pod(c, argv[i], &pod, e);
	if (r < 0)
		return r;
	if (pod)
		req->filter->pod_sandbox_id = pod->id;
	if (!all) {
		req->filter->state = CTL_NEW(c, ContainerStateValue, container_state_value);
		req->filter->state->state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
	}
	r = CTL_CALL(c, "Runtime", "ListContainers", req, list_containers_response, &resp, e);
	if (r >= 0)
		r = CTL_CALL(c, "Runtime", "ListPodSandbox", ask, list_pod_sandbox_response, &pods, e);
	if (r < 0)
		return r;
	if (c->is_json) {
		pbjson_print(pbjson_of(resp));
		return CTL_OK;
	}
	table_init(&t, &c->arena, heads);
	for (size_t k = 0; k < resp->n_containers; k++) {
		PB(Container) *ct = resp->containers[k];

		if (c->is_quiet)
			puts(ct->id);
		else
			TABLE_ADD(&t, text_short_id(&c->arena, ct->id), pod_name(pods, ct),
				  ct->metadata ? ct->metadata->name : "", state_text(c, ct, e),
				  image_text(c, ct), text_age(&c->arena, clock_wall_ns(), ct->created_at));
	}
	if (!c->is_quiet)
		table_print(&t);
	return CTL_OK;
}
