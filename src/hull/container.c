/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "hull/hull.h"
#include "oci/hooks.h"
#include "oci/intel_rdt.h"
#include "oci/seccomp_agent.h"

void container_done(struct container *c)
{
	oci_state_done(&c->state);
	if (c->dfd >= 0)
		close(c->dfd);
	if (c->pid_fd >= 0)
		close(c->pid_fd);
	if (c->gate_fd >= 0)
		close(c->gate_fd);
	*c = CONTAINER_INIT;
}

static int load(struct hull *h, const char *id, bool to_start, struct container *ret, struct error *e)
{
	struct container c = CONTAINER_INIT;
	int r = state_open_dir(h->root, id, &c.dfd, e);

	if (r >= 0)
		r = state_read(c.dfd, STATE_FILE, &c.state, e);
	if (r == -ERR_NOT_FOUND)
		err_new(e, ERR_NOT_FOUND, "container does not exist: \"%s\"", id);
	if (r >= 0)
		r = state_status(c.dfd, &c.state, &c.status, &c.pid_fd, to_start ? &c.gate_fd : NULL, e);
	if (r < 0)
		container_done(&c);
	else
		*ret = c;
	return r;
}

int container_load(struct hull *h, const char *id, struct container *ret, struct error *e)
{
	return load(h, id, false, ret, e);
}

int container_load_to_start(struct hull *h, const char *id, struct container *ret, struct error *e)
{
	return load(h, id, true, ret, e);
}

int hull_cgroups(const struct hull *h, struct cgroup_host **ret, struct error *e)
{
	bool asks_systemd = h->has_systemd_cgroup && !h->without_cgroups;
	int r = cgroup_host_open(asks_systemd ? CGROUP_DRIVER_SYSTEMD : CGROUP_DRIVER_CGROUPFS, ret, e);

	if (r >= 0 && h->rootless.lacks_cgroups)
		cgroup_host_may_lack_access(*ret);
	return r;
}

int container_cgroup(const struct hull *h, const struct container *c, struct cgroup_host **ret_host,
		     struct cgroup **ret_cgroup, struct error *e)
{
	struct hull as_created = *h;
	int r;

	if (!c->state.cgroup_path)
		return hull_no_cgroup(h, c->state.id, e);
	as_created.has_systemd_cgroup = c->state.has_systemd_cgroup;
	as_created.without_cgroups = false;
	r = hull_cgroups(&as_created, ret_host, e);
	return r < 0 ? r : cgroup_open(*ret_host, c->state.cgroup_path, ret_cgroup, e);
}

enum oci_status container_full_status(struct hull *h, struct container *c)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	struct error ignored = ERROR_INIT;
	enum cgroup_driver driver = c->state.has_systemd_cgroup ? CGROUP_DRIVER_SYSTEMD
								: CGROUP_DRIVER_CGROUPFS;

	int is_frozen;

	(void)h;
	if (c->status == OCI_STOPPED || !c->state.cgroup_path)
		return c->status;
	is_frozen = cgroup_is_frozen_at(&c->state.freezer_files);
	if (is_frozen < 0 && cgroup_host_open_freezer(driver, &host, &ignored) >= 0 &&
	    cgroup_open(host, c->state.cgroup_path, &cgroup, &ignored) >= 0)
		is_frozen = cgroup_is_frozen(cgroup);
	if (is_frozen > 0)
		c->status = OCI_PAUSED;
	return c->status;
}

int container_spec(const struct container *c, struct oci_spec **ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = file_read(c->dfd, STATE_CONFIG, OCI_SPEC_MAX_BYTES, &text, e);

	/* Its directory was there a moment ago: somebody deletes it. */
	if (r == -ERR_NOT_FOUND)
		return err_new(e, ERR_NOT_FOUND, "container does not exist: \"%s\"", c->state.id);
	return r < 0 ? r : oci_spec_parse(buf_str(&text), text.len, ret, e);
}

static struct hook_state state_for(const struct container *c, const char *status)
{
	return (struct hook_state){
		.id = c->state.id, .status = status, .bundle = c->state.bundle, .pid = c->state.pid
	};
}

static int poststart_hooks(const struct container *c, struct error *e)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	const struct hook_state state = state_for(c, "running");
	int r;

	if (!c->state.has_late_hooks)
		return 0;
	r = container_spec(c, &spec, e);
	return r < 0 ? r : hooks_run(spec, OCI_HOOK_POSTSTART, &state, e);
}

static void poststop_hooks(const struct container *c)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	if (!c->state.has_late_hooks)
		return;
	if (container_spec(c, &spec, &e) < 0)
		log_warn("container \"%s\": %s", c->state.id, err_msg(&e));
	else
		hooks_poststop(spec, c->state.id, c->state.bundle);
}

/* Whether what failed may have been a startContainer hook (OCI runtime.md, "Lifecycle", step 7). */
static bool has_start_hooks(const struct container *c)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	struct error ignored = ERROR_INIT;

	return container_spec(c, &spec, &ignored) >= 0 && spec->hooks[OCI_HOOK_START_CONTAINER].n;
}

int container_give_listener(void *arg, pid_t pid, int fd, struct error *e)
{
	const struct container *c = arg;
	const struct hook_state state = state_for(c, state_status_name(c->status));
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	int r = container_spec(c, &spec, e);

	return r < 0 ? r : seccomp_agent_send(spec, &state, pid ? pid : c->state.pid, fd, e);
}

/* The init did not hear us: another start came first, or it has ended. Nothing of it is ours to take back. */
static int too_late(const struct container *c, struct error *e)
{
	struct pollfd p = { .fd = c->pid_fd, .events = POLLIN };

	/* One that is just ending has closed its socket before it can be seen to have ended. */
	if (poll(&p, 1, 50) > 0)
		return err_new(e, ERR_STATE, "start container \"%s\": the container's init is gone",
			       c->state.id);
	return err_new(e, ERR_STATE, "cannot start an already running container");
}

int container_start(struct container *c, struct error *e)
{
	const struct oci_listener listener = { container_give_listener, c };
	struct error why = ERROR_INIT;
	cleanup_close int sock = take_fd(c->gate_fd);
	int r;

	switch (c->status) {
	case OCI_STOPPED:
		return err_new(e, ERR_STATE, "cannot start a container that has stopped");
	case OCI_PAUSED:
		return err_new(e, ERR_STATE, "cannot start a container in the paused state");
	case OCI_RUNNING:
		return err_new(e, ERR_STATE, "cannot start an already running container");
	case OCI_CREATED:
		break;
	}
	if (sock < 0)
		sock = state_connect_gate(c->dfd, 0);
	if (sock < 0 || fcntl(sock, F_SETFL, 0) < 0)
		return errno == ECONNREFUSED || errno == ENOENT
			       ? too_late(c, e)
			       : err_sys(e, "reach the init of container \"%s\"", c->state.id);
	r = oci_start(sock, &listener, &why);
	if (r == -ERR_STATE && why.sys == ECONNRESET)
		return too_late(c, e);
	if (r < 0) {
		c->has_failed_hook = has_start_hooks(c);
		if (e)
			*e = why;
		return err_ctx(e, "start container \"%s\"", c->state.id);
	}
	/* Without it, the status would be found out each time. */
	if (unlinkat(c->dfd, STATE_SOCKET, 0) < 0 && errno != ENOENT)
		return err_sys(e, "note that container \"%s\" was started", c->state.id);
	c->status = OCI_RUNNING;
	r = poststart_hooks(c, e);
	c->has_failed_hook = r < 0;
	return r < 0 ? err_ctx(e, "start container \"%s\"", c->state.id) : 0;
}

static int remove_rdt(const struct container *c, struct error *e)
{
	cleanup_close int dfd = -1;
	int r;

	if (!c->state.rdt_made)
		return 0;
	r = intel_rdt_open(&dfd, e);
	return r < 0 ? r : intel_rdt_remove(dfd, c->state.rdt_made, e);
}

static int end_cgroup(struct hull *h, struct container *c, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	int r = c->cgroup ? 0 : container_cgroup(h, c, &host, &cgroup, e);

	if (r >= 0)
		r = cgroup_kill(c->cgroup ? c->cgroup : cgroup, 10000, e);
	/* A create that was killed may have come no further than to a parent of it. */
	if (r >= 0 || (r == -ERR_NOT_FOUND && host))
		r = cgroup_remove(c->cgroup ? c->cgroups : host, c->state.cgroup_path,
				  c->state.cgroup_parents, e);
	return r;
}

/* SIGKILL to the init takes its pid namespace along; without one of its own, the cgroup is what it left behind. */
int container_end(struct hull *h, struct container *c, struct error *e)
{
	int r = 0;

	if (c->pid_fd >= 0 && pidfd_send(c->pid_fd, SIGKILL) < 0 && errno != ESRCH)
		return err_sys(e, "kill container \"%s\"", c->state.id);
	if (c->state.cgroup_path) {
		r = end_cgroup(h, c, e);
		if (r < 0 && r != -ERR_NOT_FOUND)
			return err_ctx(e, "remove the cgroup of container \"%s\"", c->state.id);
	}
	if (c->pid_fd >= 0) {
		struct pollfd p = { .fd = c->pid_fd, .events = POLLIN };

		if (poll(&p, 1, 10000) == 0)
			return err_new(e, ERR_TIMEOUT, "container \"%s\" does not die", c->state.id);
	}
	r = remove_rdt(c, e);
	if (r < 0)
		return r;
	poststop_hooks(c);
	return 0;
}

/* Who had to wait may find that it is done, and that what has this name now is another's. */
int container_destroy(struct hull *h, struct container *c, struct error *e)
{
	bool is_gone = false;
	int r = state_lock(c->dfd, &is_gone, e);

	if (r < 0 || is_gone)
		return r;
	r = container_end(h, c, e);
	return r < 0 ? r : state_remove_dir(h->root, c->state.id, e);
}

int write_pid_file(const char *path, pid_t pid, struct error *e)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? str_ndup(path, (size_t)(slash - path) + 1) : str_dup(".");
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[16];

	if (dfd < 0)
		return err_sys(e, "open the directory of the pid file \"%s\"", path);
	snprintf(text, sizeof(text), "%d", pid);
	return file_write_atomic(dfd, slash ? slash + 1 : path, text, strlen(text), 0644, false, e);
}

bool hull_keeps_groups(const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->annotations.n; i++)
		if (str_eq(spec->annotations.v[i].key, HULL_GROUPS_ANNOTATION))
			return str_eq(spec->annotations.v[i].value, "1");
	return false;
}
