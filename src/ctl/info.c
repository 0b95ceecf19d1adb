// SPDX-License-Identifier: Apache-2.0
/* version, info, inspect */
#include <stdio.h>

#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/pbjson.h"
#include "ctl/resolve.h"
#include "ctl/text.h"

int ctl_version(struct ctl *c, int argc, char **argv, struct error *e)
{
	PB(VersionRequest) *req = CTL_NEW(c, VersionRequest, version_request);
	PB(VersionResponse) *resp = NULL;
	int r;

	(void)argv;
	if (argc > 1)
		return ctl_usage(c, "version takes no argument");
	r = CTL_CALL(c, "Runtime", "Version", req, version_response, &resp, e);
	if (c->is_json) {
		struct json_object *doc = r == 0 ? pbjson_of(resp) : json_new();

		json_put_str(doc, "hullctlVersion", HULL_VERSION);
		pbjson_print(doc);
		return r;
	}
	printf("hullctl  %s\n", HULL_VERSION);
	if (r == 0)
		printf("%-8s %s, CRI %s\n", text_clean(&c->arena, resp->runtime_name),
		       text_clean(&c->arena, resp->runtime_version),
		       text_clean(&c->arena, resp->runtime_api_version));
	return r;
}

static const char *yes(bool value)
{
	return value ? "yes" : "no";
}

int ctl_info(struct ctl *c, int argc, char **argv, struct error *e)
{
	PB(StatusRequest) *req = CTL_NEW(c, StatusRequest, status_request);
	PB(StatusResponse) *resp = NULL;
	int r;

	(void)argv;
	if (argc > 1)
		return ctl_usage(c, "info takes no argument");
	req->verbose = c->is_json;
	r = CTL_CALL(c, "Runtime", "Status", req, status_response, &resp, e);
	if (r < 0)
		return r;
	if (c->is_json) {
		pbjson_print(pbjson_of_status(resp));
		return CTL_OK;
	}
	for (size_t i = 0; resp->status && i < resp->status->n_conditions; i++) {
		PB(RuntimeCondition) *k = resp->status->conditions[i];

		printf("%-14s %s", k->type, yes(k->status));
		if (*k->reason || *k->message)
			printf("  (%s%s%s)", text_clean(&c->arena, k->reason),
			       *k->reason && *k->message ? ": " : "", text_clean(&c->arena, k->message));
		putchar('\n');
	}
	for (size_t i = 0; i < resp->n_runtime_handlers; i++) {
		PB(RuntimeHandler) *h = resp->runtime_handlers[i];

		printf("handler %-6s user namespaces %s, recursive read-only mounts %s\n",
		       *h->name ? text_clean(&c->arena, h->name) : "\"\"",
		       yes(h->features && h->features->user_namespaces),
		       yes(h->features && h->features->recursive_read_only_mounts));
	}
	return CTL_OK;
}

static int inspect_pod(struct ctl *c, const char *id, struct json_object **ret, struct error *e)
{
	PB(PodSandboxStatusRequest) *req = CTL_NEW(c, PodSandboxStatusRequest, pod_sandbox_status_request);
	PB(PodSandboxStatusResponse) *resp = NULL;
	int r;

	req->pod_sandbox_id = (char *)id;
	req->verbose = true;
	r = CTL_CALL(c, "Runtime", "PodSandboxStatus", req, pod_sandbox_status_response, &resp, e);
	if (r == 0)
		*ret = pbjson_of_status(resp);
	return r;
}

static int inspect_container(struct ctl *c, const char *id, struct json_object **ret, struct error *e)
{
	PB(ContainerStatusRequest) *req = CTL_NEW(c, ContainerStatusRequest, container_status_request);
	PB(ContainerStatusResponse) *resp = NULL;
	int r;

	req->container_id = (char *)id;
	req->verbose = true;
	r = CTL_CALL(c, "Runtime", "ContainerStatus", req, container_status_response, &resp, e);
	if (r == 0)
		*ret = pbjson_of_status(resp);
	return r;
}

static int inspect_image(struct ctl *c, const char *name, struct json_object **ret, struct error *e)
{
	PB(ImageStatusRequest) *req = CTL_NEW(c, ImageStatusRequest, image_status_request);
	PB(ImageStatusResponse) *resp = NULL;
	int r;

	req->image = CTL_NEW(c, ImageSpec, image_spec);
	req->image->image = (char *)name;
	req->verbose = true;
	r = CTL_CALL(c, "Image", "ImageStatus", req, image_status_response, &resp, e);
	if (r == 0 && !resp->image)
		return err_new(e, ERR_NOT_FOUND, "no pod, container or image \"%s\"", name);
	if (r == 0)
		*ret = pbjson_of_status(resp);
	return r;
}

static int inspect_one(struct ctl *c, const char *name, struct json_object **ret, struct error *e)
{
	PB(PodSandbox) *pod;
	PB(Container) *container;
	int r = resolve_any(c, name, &pod, &container, e);

	if (r == -ERR_NOT_FOUND) {
		err_clear(e);
		return inspect_image(c, name, ret, e);
	}
	if (r < 0)
		return r;
	return pod ? inspect_pod(c, pod->id, ret, e) : inspect_container(c, container->id, ret, e);
}

int ctl_inspect(struct ctl *c, int argc, char **argv, struct error *e)
{
	int i = ctl_options(c, argc, argv, NULL, 0);

	if (i < 0)
		return CTL_USAGE;
	if (i == argc)
		return ctl_usage(c, "which pod, container or image?");
	for (; i < argc; i++) {
		struct json_object *doc = NULL;
		int r = inspect_one(c, argv[i], &doc, e);

		if (r < 0)
			return r;
		pbjson_print(doc);
	}
	return CTL_OK;
}
