// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/pbjson.h"
#include "ctl/resolve.h"

int ctl_exec(struct ctl *c, int argc, char **argv, struct error *e)
{
	int64_t timeout_s = 0;
	const struct ctl_option options[] = { { 0, "timeout", CTL_NUMBER, &timeout_s } };
	PB(ExecSyncRequest) *req = CTL_NEW(c, ExecSyncRequest, exec_sync_request);
	PB(ExecSyncResponse) *resp = NULL;
	PB(Container) *container = NULL;
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), command, r;

	if (i < 0)
		return CTL_USAGE;
	command = i + 1;
	if (command < argc && str_eq(argv[command], "--"))
		command++;
	if (i >= argc || command >= argc)
		return ctl_usage(c, "which command, in which container?");
	r = resolve_container(c, argv[i], &container, e);
	if (r < 0)
		return r;
	req->container_id = container->id;
	req->cmd = argv + command;
	req->n_cmd = (size_t)(argc - command);
	req->timeout = timeout_s;
	r = CTL_CALL(c, "Runtime", "ExecSync", req, exec_sync_response, &resp, e);
	if (r < 0)
		return r;
	if (c->is_json) {
		pbjson_print(pbjson_of(resp));
		return resp->exit_code & 0xff;
	}
	if (fd_write_full(STDOUT_FILENO, resp->stdout.data, resp->stdout.len) < 0 ||
	    fd_write_full(STDERR_FILENO, resp->stderr.data, resp->stderr.len) < 0)
		return err_sys(e, "write the command's output");
	return resp->exit_code & 0xff;
}
