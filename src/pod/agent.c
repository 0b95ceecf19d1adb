/* SPDX-License-Identifier: Apache-2.0 */
/* A seccomp listener of one of the pod's containers goes to the agent that its profile names. In a worker. */
#include <limits.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "oci/seccomp_agent.h"
#include "pod/monitor.h"

int agent_give_listener(void *arg, pid_t pid, int fd, struct error *e)
{
	const struct container *c = arg;
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	char link[PATH_FD_SIZE], bundle[PATH_MAX];
	struct hook_state state = {
		.id = c->st.id,
		.status = c->st.state == MONITOR_RUNNING ? "running" : "created",
		.bundle = bundle,
		.pid = c->st.pid,
	};
	ssize_t n = readlink(path_of_fd(c->bundle_dfd, link), bundle, sizeof(bundle) - 1);
	int r;

	if (n < 0)
		return err_sys(e, "find the bundle's path");
	bundle[n] = '\0';
	r = file_read(c->bundle_dfd, "config.json", OCI_SPEC_MAX_BYTES, &text, e);
	if (r >= 0)
		r = oci_spec_parse(text.data, text.len, &spec, e);
	return r < 0 ? r : seccomp_agent_send(spec, &state, pid ? pid : c->st.pid, fd, e);
}
