// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "ctl/ctl.h"

int ctl_connect(struct ctl *c, struct error *e)
{
	int r;

	if (c->client)
		return 0;
	r = grpc_client_connect(c->socket_path, &c->client, e);
	if (r == -ERR_UNAVAILABLE)
		err_hint(e, "--address or HULL_ADDRESS name another socket");
	return r;
}

int ctl_call(struct ctl *c, const char *service, const char *method, const void *request,
	     const ProtobufCMessageDescriptor *response_type, void **ret_response, struct error *e)
{
	char path[128];
	int status = -1, r;

	c->status = -1;
	r = ctl_connect(c, e);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/runtime.v1.%sService/%s", service, method);
	r = grpc_client_unary(c->client, path, request, response_type, 0, &c->arena, ret_response, &status,
			      e);
	if (r < 0)
		c->status = status;
	return r;
}
