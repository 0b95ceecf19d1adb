// SPDX-License-Identifier: Apache-2.0
/* stop, rm */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/pod_dir.h"
#include "ctl/resolve.h"

#define STOP_TIMEOUT_S 10

static int containers_of(struct ctl *c, const char *pod_id, PB(ListContainersResponse) **ret, struct error *e)
{
	PB(ListContainersRequest) *req = CTL_NEW(c, ListContainersRequest, list_containers_request);

	req->filter = CTL_NEW(c, ContainerFilter, container_filter);
	req->filter->pod_sandbox_id = (char *)pod_id;
	return CTL_CALL(c, "Runtime", "ListContainers", req, list_containers_response, ret, e);
}

/* What the manifest says, as the kubelet notes it too. */
static int64_t grace_of(const PB(Container) *ct)
{
	int64_t s;

	return str_to_i64(resolve_label(ct, "io.kubernetes.pod.terminationGracePeriod"), &s, NULL) == 0 &&
			       s >= 0
		       ? s
		       : STOP_TIMEOUT_S;
}

static int stop_container(struct ctl *c, const PB(Container) *ct, int64_t timeout_s, struct error *e)
{
	PB(StopContainerRequest) *req = CTL_NEW(c, StopContainerRequest, stop_container_request);
	PB(StopContainerResponse) *resp = NULL;

	req->container_id = ct->id;
	req->timeout = timeout_s >= 0 ? timeout_s : grace_of(ct);
	return CTL_CALL(c, "Runtime", "StopContainer", req, stop_container_response, &resp, e);
}

/* StopPodSandbox kills what still runs: so its containers are asked first, as the kubelet does. */
static int stop_pod(struct ctl *c, const PB(PodSandbox) *pod, int64_t timeout_s, struct error *e)
{
	PB(StopPodSandboxRequest) *req = CTL_NEW(c, StopPodSandboxRequest, stop_pod_sandbox_request);
	PB(StopPodSandboxResponse) *resp = NULL;
	PB(ListContainersResponse) *all = NULL;
	int r = containers_of(c, pod->id, &all, e);

	for (size_t i = 0; r == 0 && i < all->n_containers; i++) {
		if (all->containers[i]->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING)
			r = stop_container(c, all->containers[i], timeout_s, e);
		if (r == -ERR_NOT_FOUND) {
			err_clear(e);
			r = 0;
		}
	}
	if (r < 0)
		return r;
	req->pod_sandbox_id = pod->id;
	return CTL_CALL(c, "Runtime", "StopPodSandbox", req, stop_pod_sandbox_response, &resp, e);
}

int ctl_stop(struct ctl *c, int argc, char **argv, struct error *e)
{
	int64_t timeout_s = -1;
	const struct ctl_option options[] = { { 0, "timeout", CTL_NUMBER, &timeout_s } };
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options));

	if (i < 0)
		return CTL_USAGE;
	if (i == argc)
		return ctl_usage(c, "which pod or container?");
	for (; i < argc; i++) {
		PB(PodSandbox) *pod;
		PB(Container) *container;
		int r = resolve_any(c, argv[i], &pod, &container, e);

		if (r == 0)
			r = pod ? stop_pod(c, pod, timeout_s, e) : stop_container(c, container, timeout_s, e);
		if (r < 0)
			return r;
		puts(argv[i]);
	}
	return CTL_OK;
}

static int remove_container(struct ctl *c, const PB(Container) *ct, bool force, struct error *e)
{
	PB(RemoveContainerRequest) *req = CTL_NEW(c, RemoveContainerRequest, remove_container_request);
	PB(RemoveContainerResponse) *resp = NULL;

	if (!force && ct->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING)
		return err_new(e, ERR_STATE, "container \"%s\" is running; stop it first, or use --force",
			       ct->metadata->name);
	req->container_id = ct->id;
	return CTL_CALL(c, "Runtime", "RemoveContainer", req, remove_container_response, &resp, e);
}

static int remove_pod(struct ctl *c, const PB(PodSandbox) *pod, bool force, const char *data, struct error *e)
{
	PB(RemovePodSandboxRequest) *req = CTL_NEW(c, RemovePodSandboxRequest, remove_pod_sandbox_request);
	PB(RemovePodSandboxResponse) *resp = NULL;
	int r;

	if (!force && pod->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY)
		return err_new(e, ERR_STATE, "pod \"%s\" is running; stop it first, or use --force",
			       pod->metadata->name);
	req->pod_sandbox_id = pod->id; /* kills what runs */
	r = CTL_CALL(c, "Runtime", "RemovePodSandbox", req, remove_pod_sandbox_response, &resp, e);
	return r == 0 ? pod_dir_remove(data, pod->metadata->uid, e) : r;
}

int ctl_rm(struct ctl *c, int argc, char **argv, struct error *e)
{
	bool force = false;
	const char *data = POD_DIR_DEFAULT;
	const struct ctl_option options[] = {
		{ 'f', "force", CTL_FLAG, &force },
		{ 0, "data", CTL_TEXT, &data },
	};
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options));

	if (i < 0)
		return CTL_USAGE;
	if (i == argc)
		return ctl_usage(c, "which pod or container?");
	for (; i < argc; i++) {
		PB(PodSandbox) *pod;
		PB(Container) *container;
		int r = resolve_any(c, argv[i], &pod, &container, e);

		if (r == 0)
			r = pod ? remove_pod(c, pod, force, data, e)
				: remove_container(c, container, force, e);
		if (r < 0)
			return r;
		puts(argv[i]);
	}
	return CTL_OK;
}
