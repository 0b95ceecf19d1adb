/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor does for its pod: the sandbox, containers, execs. Each function is one request. */
#include "pod/client.h"

#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "oci/rootfs.h"
#include "pod/client_internal.h"
#include "userns/idmap.h"
#include "userns/sysctl.h"

/* ---- the sandbox --------------------------------------------------------------------------------- */

int monitor_create_sandbox(const struct monitor_call *c, const struct monitor_sandbox *s, pid_t *ret_init_pid,
			   struct error *e)
{
	struct req_sandbox q = { .id = s->id,
				 .new_user = s->new_user,
				 .new_net = s->new_net,
				 .new_ipc = s->new_ipc,
				 .new_uts = s->new_uts,
				 .shared_pid = s->shared_pid,
				 .hostname = s->hostname,
				 .netns_pin_path = s->netns_pin_path,
				 .shm_bytes = s->shm_bytes,
				 .oom_score_adj = s->oom_score_adj,
				 .cgroup_parent = s->cgroup_parent,
				 .systemd_cgroup = s->systemd_cgroup,
				 .restrict_oom_score = s->restrict_oom_score,
				 .seccomp_cache_dir = s->seccomp_cache_dir };
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	cleanup_wire_msg struct wire_msg m;
	cleanup_buf struct buf sysctls = BUF_INIT;
	struct rep rep = REP_INIT;
	int r;

	wire_msg_init(&m);
	if (s->new_user && (!s->uids || !s->gids))
		return err_new(e, ERR_INVALID, "a new user namespace needs id maps");
	if (s->new_user) {
		q.uids = (struct wire_bytes){ (const char *)s->uids->x, s->uids->n * sizeof(s->uids->x[0]) };
		q.gids = (struct wire_bytes){ (const char *)s->gids->x, s->gids->n * sizeof(s->gids->x[0]) };
	}
	for (size_t i = 0; i < s->sysctl_count; i++) {
		buf_add(&sysctls, s->sysctls[i].name, strlen(s->sysctls[i].name) + 1);
		buf_add(&sysctls, s->sysctls[i].value, strlen(s->sysctls[i].value) + 1);
	}
	q.sysctls = (struct wire_bytes){ sysctls.data, sysctls.len };
	wire_encode(&o, fields_sandbox, &q);
	r = client_ask(c, OP_CREATE_SANDBOX, &o, &m, &rep, e);
	if (r == 0 && ret_init_pid)
		*ret_init_pid = rep.pid;
	return r;
}

int monitor_stop_sandbox(const struct monitor_call *c, struct error *e)
{
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;

	wire_msg_init(&m);
	return client_ask(c, OP_STOP_SANDBOX, NULL, &m, &rep, e);
}

/* ---- containers ---------------------------------------------------------------------------------- */

static int ask_object(const struct monitor_call *c, unsigned op, const struct req_object *q,
		      struct wire_msg *m, struct rep *rep, struct error *e)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;

	wire_encode(&o, fields_object, q);
	return client_ask(c, op, &o, m, rep, e);
}

static void add_rootfs(struct req_container *q, const struct oci_rootfs *rootfs, struct buf *lowers)
{
	q->has_rootfs = true;
	q->rootfs_kind = (int)rootfs->kind;
	q->rootfs_readonly = rootfs->readonly;
	q->rootfs_path = rootfs->path;
	q->rootfs_upper = rootfs->upper;
	q->rootfs_work = rootfs->work;
	for (size_t i = 0; i < rootfs->lower_count; i++)
		buf_add(lowers, rootfs->lowers[i], strlen(rootfs->lowers[i]) + 1);
	q->rootfs_lowers = (struct wire_bytes){ lowers->data, lowers->len };
}

int monitor_create_container(const struct monitor_call *c, const struct monitor_container *s, pid_t *ret_pid,
			     struct error *e)
{
	struct req_container q = { .id = s->id,
				   .bundle_dfd = s->bundle_dfd,
				   .log_fd = s->log_fd,
				   .tty = s->tty,
				   .has_stdin = s->has_stdin,
				   .stdin_once = s->stdin_once,
				   .pid_mode = (int)s->pid_mode,
				   .pid_target = s->pid_target,
				   .cgroup_path = s->cgroup_path,
				   .node_shm = s->node_shm,
				   .rootfs_is_chowned = s->rootfs_is_chowned };
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	cleanup_wire_msg struct wire_msg m;
	cleanup_buf struct buf lowers = BUF_INIT;
	struct rep rep = REP_INIT;
	int r;

	wire_msg_init(&m);
	if (s->rootfs)
		add_rootfs(&q, s->rootfs, &lowers);
	wire_encode(&o, fields_container, &q);
	r = client_ask(c, OP_CREATE_CONTAINER, &o, &m, &rep, e);
	if (r == 0 && ret_pid)
		*ret_pid = rep.pid;
	return r;
}

int monitor_start(const struct monitor_call *c, const char *id, struct error *e)
{
	struct req_object q = { .id = id, .log_fd = -1 };
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;

	wire_msg_init(&m);
	return ask_object(c, OP_START, &q, &m, &rep, e);
}

int monitor_stop(const struct monitor_call *c, const char *id, int sig, int64_t timeout_ms,
		 struct monitor_container_status *ret, struct error *e)
{
	struct req_object q = { .id = id, .signal = sig, .timeout_ms = timeout_ms, .log_fd = -1 };
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;
	int r;

	wire_msg_init(&m);
	r = ask_object(c, OP_STOP, &q, &m, &rep, e);
	if (r == 0 && ret)
		r = proto_read_container_status(&rep.status, ret, e);
	return r;
}

int monitor_kill(const struct monitor_call *c, const char *id, int sig, struct error *e)
{
	struct req_object q = { .id = id, .signal = sig, .log_fd = -1 };
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;

	wire_msg_init(&m);
	return ask_object(c, OP_KILL, &q, &m, &rep, e);
}

int monitor_delete(const struct monitor_call *c, const char *id, struct error *e)
{
	struct req_object q = { .id = id, .log_fd = -1 };
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;

	wire_msg_init(&m);
	return ask_object(c, OP_DELETE, &q, &m, &rep, e);
}

int monitor_reopen_log(const struct monitor_call *c, const char *id, int log_fd, struct error *e)
{
	struct req_object q = { .id = id, .log_fd = log_fd };
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;

	wire_msg_init(&m);
	return ask_object(c, OP_REOPEN_LOG, &q, &m, &rep, e);
}

/* ---- exec ---------------------------------------------------------------------------------------- */

/* The message before the answer of an exec with a terminal. */
static int exec_started(const struct monitor_exec *x, struct wire_msg *m, struct error *e)
{
	struct rep rep = REP_INIT;
	int r = wire_decode(fields_reply, m->body, m->h.len, m->fds, m->fd_count, &rep, e);

	if (r < 0)
		return err_ctx(e, "the monitor's message that the exec runs");
	if (x->started && rep.console_fd >= 0) {
		for (size_t i = 0; i < m->fd_count; i++)
			if (m->fds[i] == rep.console_fd)
				m->fds[i] = -1;
		x->started(x->arg, rep.pid, rep.console_fd);
	}
	return 0;
}

int monitor_exec(const struct monitor_call *c, const struct monitor_exec *x, int *ret_exit_code,
		 struct error *e)
{
	struct req_exec q = { .id = x->id,
			      .process_fd = x->process_fd,
			      .stdio = { x->stdio[0], x->stdio[1], x->stdio[2] },
			      .tty = x->tty,
			      .timeout_ms = x->timeout_ms };
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	cleanup_close int sock = -1;
	int r;

	wire_encode(&o, fields_exec, &q);
	r = client_send_request(c, OP_EXEC, &o, &sock, e);
	while (r == 0) {
		cleanup_wire_msg struct wire_msg m;
		struct rep rep = REP_INIT;

		wire_msg_init(&m);
		r = client_receive(c, sock, &m, "exec", e);
		if (r == 0 && m.h.op == OP_STARTED) {
			r = exec_started(x, &m, e);
			continue;
		}
		if (r == 0)
			r = client_read_reply(&m, OP_EXEC, &rep, e);
		if (r == 0)
			*ret_exit_code = rep.exit_code;
		break;
	}
	return r;
}
