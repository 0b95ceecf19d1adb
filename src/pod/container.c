/* SPDX-License-Identifier: Apache-2.0 */
/* The table of containers: making, starting, and what an end means. Stopping is in stop.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "oci/runtime.h"
#include "pod/monitor.h"

struct container *container_find(struct monitor *m, const char *id)
{
	for (size_t i = 0; i < m->container_count; i++)
		if (str_eq(m->containers[i]->st.id, id))
			return m->containers[i];
	return NULL;
}

static struct container *container_new(struct monitor *m, const struct req_container *q)
{
	struct container *c = NEW(struct container);

	c->m = m;
	strncpy(c->st.id, q->id, sizeof(c->st.id) - 1);
	c->pid_mode = (enum monitor_pid_mode)q->pid_mode;
	c->has_own_pid_ns = c->pid_mode == MONITOR_PID_CONTAINER;
	c->pid_fd = c->start_fd = c->bundle_dfd = c->oom_fd = c->cgroup_fd = c->stdin_fd = -1;
	c->out = c->err = c->oom = SOURCE_OFF;
	c->log = LOGFILE_OFF;
	c->log_out = (struct logstream){ .file = &c->log, .name = "stdout" };
	c->log_err = (struct logstream){ .file = &c->log, .name = "stderr" };
	if (m->container_count == m->container_cap) {
		m->container_cap = m->container_cap ? m->container_cap * 2 : 4;
		m->containers = mem_regrow(m->containers, m->container_cap, sizeof(struct container *));
	}
	m->containers[m->container_count++] = c;
	return c;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void container_unlist(struct container *c)
{
	struct monitor *m = c->m;

	for (size_t i = 0; i < m->container_count; i++)
		if (m->containers[i] == c) {
			m->containers[i] = m->containers[--m->container_count];
			break;
		}
}

void container_free(struct container *c)
{
	struct monitor *m = c->m;

	exec_container_gone(m, c);
	timer_off(m, &c->kill_timer);
	output_close(c);
	source_close(m, &c->oom);
	logfile_done(&c->log);
	close_fd(&c->pid_fd);
	close_fd(&c->start_fd);
	close_fd(&c->bundle_dfd);
	close_fd(&c->oom_fd);
	close_fd(&c->cgroup_fd);
	close_fd(&c->stdin_fd);
	container_unlist(c);
	free(c->cgroup_error);
	free(c->cgroup_path);
	free(c);
}

void container_changed(struct container *c, enum monitor_event_type event)
{
	status_write(c->m);
	event_send(c->m, event, c);
}

/* ---- create -------------------------------------------------------------------------------------- */

/* Take over what the builder made. */
static int adopt(struct container *c, struct worker_result *res, struct error *e)
{
	c->st.pid = (pid_t)res->value[0];
	c->pid_fd = take_fd(res->fd[BUILD_PID_FD]);
	c->start_fd = take_fd(res->fd[BUILD_START_FD]);
	c->oom_fd = take_fd(res->fd[BUILD_OOM_FD]);
	c->cgroup_fd = take_fd(res->fd[BUILD_CGROUP_FD]);
	if (res->text[0]) {
		c->cgroup_path = str_dup(res->text);
		c->cgroup_fate = CGROUP_HELD;
	}
	c->st.created_at = clock_wall_ns();
	c->st.state = MONITOR_CREATED;
	if (res->fd[BUILD_CONSOLE_FD] >= 0) {
		int r = output_attach(c, res->fd[BUILD_CONSOLE_FD], -1, e);

		if (r < 0)
			return r;
		res->fd[BUILD_CONSOLE_FD] = -1;
	}
	oom_watch(c);
	return 0;
}

static void create_done(struct monitor *m, void *owner, struct worker_result *res)
{
	struct container *c = owner;
	struct conn *conn = conn_waiting(m, NULL, OP_CREATE_CONTAINER, c);
	struct rep rep = REP_INIT;
	int r = res->status;

	if (r == 0)
		r = adopt(c, res, &res->error);
	if (r == 0 && m->is_stopping)
		r = err_new(&res->error, ERR_STATE, "the sandbox is being stopped");
	if (r == 0 && !c->is_abandoned) {
		container_changed(c, MONITOR_EVENT_CREATED);
		rep.pid = c->st.pid;
		if (conn)
			conn_reply(conn, &rep);
		return;
	}
	if (r == 0)
		log_info("container %s: its client went away while it was made", c->st.id);
	if (conn)
		conn_reply_error(conn, &res->error);
	if (c->st.pid == 0) {
		container_free(c);
		return;
	}
	c->is_abandoned = c->is_forgetting = true;
	container_kill(c);
}

static int check_pid_mode(struct monitor *m, const struct req_container *q, int *ret_pid_fd, struct error *e)
{
	struct container *target;

	switch ((enum monitor_pid_mode)q->pid_mode) {
	case MONITOR_PID_POD:
		*ret_pid_fd = m->sandbox.init_pid_fd;
		if (*ret_pid_fd < 0)
			return err_new(
				e, ERR_STATE,
				"pid namespace of the pod: the sandbox has none (or its init has ended)");
		return 0;
	case MONITOR_PID_CONTAINER:
	case MONITOR_PID_NODE:
		return 0;
	case MONITOR_PID_TARGET:
		target = q->pid_target ? container_find(m, q->pid_target) : NULL;
		if (!target)
			return err_new(e, ERR_NOT_FOUND,
				       "target container \"%s\" of the pid namespace is not in this pod",
				       q->pid_target ? q->pid_target : "");
		if (target->st.state != MONITOR_RUNNING && target->st.state != MONITOR_CREATED)
			return err_new(e, ERR_STATE,
				       "target container \"%s\" of the pid namespace does not run",
				       q->pid_target);
		*ret_pid_fd = target->pid_fd;
		return 0;
	}
	return err_new(e, ERR_INVALID, "pid namespace mode %d is not one of 0 to 3", q->pid_mode);
}

static int check_create(struct monitor *m, const struct req_container *q, struct error *e)
{
	if (!proto_is_id(q->id))
		return err_new(e, ERR_INVALID, "container id \"%.80s\" is not 1 to %d of [0-9a-zA-Z_.-]",
			       q->id ? q->id : "", MONITOR_ID_MAX);
	if (m->state != MONITOR_POD_READY || m->is_stopping)
		return err_new(e, ERR_STATE, "the pod's sandbox is not ready");
	if (container_find(m, q->id))
		return err_new(e, ERR_EXISTS, "container \"%s\" exists already", q->id);
	if (m->container_count >= MONITOR_CONTAINERS_MAX)
		return err_new(e, ERR_LIMIT, "the pod has %d containers already", MONITOR_CONTAINERS_MAX);
	if (q->bundle_dfd < 0)
		return err_new(e, ERR_INVALID, "the request has no bundle directory");
	return logfile_check(q->log_fd, e);
}

/* An fd of the message becomes ours. */
static int take_msg_fd(struct wire_msg *msg, int fd)
{
	for (size_t i = 0; i < msg->fd_count; i++)
		if (fd >= 0 && msg->fds[i] == fd) {
			msg->fds[i] = -1;
			return fd;
		}
	return -1;
}

/* The container's side of its standard streams: b->stdio. */
static int open_stdio(struct container *c, const struct req_container *q, struct build *b, struct error *e)
{
	int in[2], r;

	if (q->tty)
		return 0;
	r = output_open(c, &b->stdio[1], e);
	if (r < 0 || !q->has_stdin)
		return r;
	r = fd_pipe(in, e);
	if (r < 0)
		return r;
	b->stdio[0] = in[0];
	c->stdin_fd = in[1];
	return 0;
}

int op_create_container(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct req_container q = REQ_CONTAINER_INIT;
	struct monitor *m = conn->m;
	struct build b = { .q = &q, .m = m, .target_pid_fd = -1, .stdio = { -1, -1, -1 } };
	struct container *c;
	int r = wire_decode(fields_container, msg->body, msg->h.len, msg->fds, msg->fd_count, &q, e);

	if (r == 0)
		r = check_create(m, &q, e);
	if (r == 0)
		r = check_pid_mode(m, &q, &b.target_pid_fd, e);
	if (r < 0)
		return r;
	c = container_new(m, &q);
	r = open_stdio(c, &q, &b, e);
	if (r == 0)
		r = worker_start(m, build_container, &b, create_done, c, NULL, e);
	for (int i = 0; i < 3; i++)
		close_fd(&b.stdio[i]);
	if (r < 0) {
		container_free(c);
		return r;
	}
	c->bundle_dfd = take_msg_fd(msg, q.bundle_dfd);
	c->log.fd = take_msg_fd(msg, q.log_fd);
	conn->subject = c;
	return REPLY_LATER;
}

/* ---- start --------------------------------------------------------------------------------------- */

static int open_gate(void *arg, struct worker_result *res, struct error *e)
{
	struct container *c = arg;
	const struct oci_listener listener = { agent_give_listener, c };

	(void)res;
	return oci_start(c->start_fd, &listener, e);
}

static void start_failed(struct container *c, const struct error *err)
{
	c->has_start_failed = true;
	snprintf(c->st.message, sizeof(c->st.message), "%s", err_msg(err));
	container_kill(c);
}

static void start_done(struct monitor *m, void *owner, struct worker_result *res)
{
	struct container *c = owner;
	struct conn *conn = conn_waiting(m, NULL, OP_START, c);
	siginfo_t info = c->exit_info;

	c->is_starting = false;
	close_fd(&c->start_fd);
	if (res->status == 0) {
		c->st.state = MONITOR_RUNNING;
		container_changed(c, MONITOR_EVENT_STARTED);
		if (conn)
			conn_reply(conn, &REP_INIT);
	} else {
		start_failed(c, &res->error);
		if (conn)
			conn_reply_error(conn, &res->error);
	}
	if (c->has_exit_info) {
		c->has_exit_info = false;
		container_exited(c, &info);
	}
}

int op_start(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct req_object q = REQ_OBJECT_INIT;
	struct container *c;
	int r = wire_decode(fields_object, msg->body, msg->h.len, msg->fds, msg->fd_count, &q, e);

	if (r < 0)
		return r;
	c = container_find(conn->m, q.id);
	if (!c)
		return err_new(e, ERR_NOT_FOUND, "container \"%s\" is not in this pod", q.id ? q.id : "");
	if (c->st.state != MONITOR_CREATED || c->is_starting || c->is_forgetting)
		return err_new(e, ERR_STATE, "container \"%s\" is not waiting for its start", c->st.id);
	c->st.started_at = clock_wall_ns();
	c->is_starting = true;
	r = worker_start(conn->m, open_gate, c, start_done, c, NULL, e);
	if (r < 0) {
		c->is_starting = false;
		c->st.started_at = 0;
		return r;
	}
	conn->subject = c;
	return REPLY_LATER;
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void note_exit(struct container *c, const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED) {
		c->st.exit_code = info->si_status & 0xff;
	} else {
		c->st.signal = info->si_status;
		c->st.exit_code = 128 + info->si_status;
	}
	if (c->has_start_failed) {
		c->st.exit_code = 128; /* what containerd reports with StartError */
		c->st.signal = 0;
	}
}

void container_exited(struct container *c, const siginfo_t *info)
{
	c->st.pid = 0; /* reaped: no longer a name of anything */
	if (c->is_starting) {
		/* Whether it ran at all is known when the worker at the gate has answered. */
		c->exit_info = *info;
		c->has_exit_info = true;
		return;
	}
	timer_off(c->m, &c->kill_timer);
	close_fd(&c->start_fd);
	close_fd(&c->stdin_fd);
	close_fd(&c->pid_fd);
	c->st.finished_at = clock_wall_ns();
	c->st.state = MONITOR_EXITED;
	note_exit(c, info);
	if (!c->has_own_pid_ns) /* nothing else ends what it left behind */
		container_kill(c);
	if (!c->has_start_failed)
		oom_judge(c);
	output_drain(c);
	source_close(c->m, &c->oom);
	log_info("container %s ended with exit code %d%s", c->st.id, c->st.exit_code,
		 c->st.oom_killed ? " (OOM)" : "");
	if (!c->is_abandoned)
		container_changed(c, MONITOR_EVENT_EXITED);
	container_clean(c);
	container_settle(c);
}
