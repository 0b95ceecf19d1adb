/* SPDX-License-Identifier: Apache-2.0 */
/* Stop, kill, delete, and the removal of a container's cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "pod/monitor.h"

/* How long a killed process may take to be gone before the removal of its cgroup gives up; processes in
 * uninterruptible sleep can take for ever, and delete tries again. */
#define KILL_WAIT_MS 2000

struct cleaning {
	const struct cgroup_host *host;
	const char *path;
};

static int clean_cgroup(void *arg, struct worker_result *res, struct error *e)
{
	const struct cleaning *x = arg;
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	int r = cgroup_open(x->host, x->path, &cg, e);

	(void)res;
	if (r == -ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	if (r == 0)
		r = cgroup_kill(cg, KILL_WAIT_MS, e);
	if (r == 0)
		r = cgroup_remove(x->host, x->path, 0, e);
	return r;
}

static void clean_failed(struct container *c, const struct error *err)
{
	log_error("container %s: remove its cgroup: %s", c->st.id, err_msg(err));
	c->cgroup_fate = CGROUP_FAILED;
	if (!c->cgroup_error)
		c->cgroup_error = NEW(struct error);
	*c->cgroup_error = *err;
}

static void clean_done(struct monitor *m, void *owner, struct worker_result *res)
{
	struct container *c = owner;

	(void)m;
	if (res->status < 0) {
		clean_failed(c, &res->error);
	} else {
		c->cgroup_fate = CGROUP_NONE;
		/* Whoever still held the pipes is dead now: what they said last, and the end. */
		output_drain(c);
	}
	container_settle(c);
}

void container_clean(struct container *c)
{
	struct cleaning x = { .host = c->m->cgroups, .path = c->cgroup_path };
	struct error err = ERROR_INIT;

	if (c->st.state != MONITOR_EXITED || c->cgroup_fate == CGROUP_NONE ||
	    c->cgroup_fate == CGROUP_REMOVING)
		return;
	c->cgroup_fate = CGROUP_REMOVING;
	if (worker_start(c->m, clean_cgroup, &x, clean_done, c, NULL, &err) < 0)
		clean_failed(c, &err);
}

/* Where there is a v2 cgroup its one file takes all, whatever forks meanwhile. Otherwise the init, whose
 * pid namespace goes with it; and of a container in a shared pid namespace the rest is killed by the
 * worker that removes its cgroup. */
void container_kill(struct container *c)
{
	cleanup_close int fd = c->cgroup_fd >= 0 ? openat(c->cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC)
						 : -1;

	if (fd >= 0 && write(fd, "1", 1) != 1)
		log_debug("container %s: cgroup.kill: %s", c->st.id, strerror(errno));
	if (c->pid_fd >= 0)
		pidfd_send(c->pid_fd, SIGKILL);
}

static void reply_status(struct conn *conn, const struct container *c)
{
	cleanup_wire_out struct wire_out one = WIRE_OUT_INIT;
	struct monitor_container_status st;
	struct rep rep = REP_INIT;

	status_of_container(c, &st);
	proto_add_container_status(&one, &st);
	rep.status = (struct wire_bytes){ one.b.data, one.b.len };
	conn_reply(conn, &rep);
}

/* Its cgroup cannot be removed. A delete can be tried again; a stop of the sandbox goes on without. */
static void delete_failed(struct container *c)
{
	struct monitor *m = c->m;
	struct conn *conn;

	while ((conn = conn_waiting(m, NULL, OP_DELETE, c)))
		conn_reply_error(conn, c->cgroup_error);
	if (!m->is_stopping)
		c->is_forgetting = false;
	else if (m->stop_error.kind == 0)
		m->stop_error = *c->cgroup_error;
}

/* Nothing of it is left. The answer comes last: who has it finds the record and the events as it says. */
static void forget(struct container *c)
{
	struct monitor *m = c->m;
	struct conn *conn;

	container_unlist(c);
	status_write(m);
	if (!c->is_abandoned)
		event_send(m, MONITOR_EVENT_DELETED, c);
	while ((conn = conn_waiting(m, NULL, OP_DELETE, c)))
		conn_reply(conn, &REP_INIT);
	container_free(c);
	sandbox_stop_step(m);
}

void container_settle(struct container *c)
{
	struct conn *conn;

	if (c->st.state != MONITOR_EXITED)
		return;
	while ((conn = conn_waiting(c->m, NULL, OP_STOP, c)))
		reply_status(conn, c);
	if (!c->is_forgetting)
		return;
	if (c->cgroup_fate == CGROUP_FAILED)
		delete_failed(c);
	if (c->cgroup_fate == CGROUP_NONE || (c->cgroup_fate == CGROUP_FAILED && c->m->is_stopping))
		forget(c);
}

static int find_object(struct conn *conn, struct wire_msg *msg, struct req_object *q, struct container **ret,
		       struct error *e)
{
	struct container *c;
	int r = wire_decode(fields_object, msg->body, msg->h.len, msg->fds, msg->fd_count, q, e);

	if (r < 0)
		return r;
	c = container_find(conn->m, q->id);
	if (!c || c->st.state == MONITOR_CREATING || c->is_abandoned)
		return err_new(e, ERR_NOT_FOUND, "container \"%s\" is not in this pod", q->id ? q->id : "");
	*ret = c;
	return 0;
}

static void on_kill_time(struct timer *t)
{
	container_kill(container_of(t, struct container, kill_timer));
}

int op_stop(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct req_object q = REQ_OBJECT_INIT;
	struct container *c;
	int64_t at;
	int r = find_object(conn, msg, &q, &c, e);

	if (r < 0)
		return r;
	if (q.signal < 0 || q.signal >= _NSIG)
		return err_new(e, ERR_INVALID, "signal %d is out of range", q.signal);
	conn->subject = c;
	if (c->st.state == MONITOR_EXITED) {
		reply_status(conn, c);
		return REPLY_SENT;
	}
	/* One that is not started has nobody who could take a signal. */
	if (q.timeout_ms == 0 || c->st.state == MONITOR_CREATED) {
		container_kill(c);
		return REPLY_LATER;
	}
	if (q.signal > 0 && c->pid_fd >= 0 && pidfd_send(c->pid_fd, q.signal) < 0 && errno != ESRCH)
		return err_sys(e, "send signal %d to container \"%s\"", q.signal, c->st.id);
	if (q.timeout_ms < 0)
		return REPLY_LATER;
	at = deadline_in_ms(q.timeout_ms);
	if (c->kill_timer.at == 0 || at < c->kill_timer.at)
		timer_set(c->m, &c->kill_timer, at, on_kill_time);
	return REPLY_LATER;
}

int op_kill(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct req_object q = REQ_OBJECT_INIT;
	struct container *c;
	int r = find_object(conn, msg, &q, &c, e);

	if (r < 0)
		return r;
	if (q.signal <= 0 || q.signal >= _NSIG)
		return err_new(e, ERR_INVALID, "signal %d is out of range", q.signal);
	if (c->st.state == MONITOR_EXITED || c->pid_fd < 0)
		return err_new(e, ERR_STATE, "container \"%s\" has ended", c->st.id);
	if (pidfd_send(c->pid_fd, q.signal) < 0)
		return err_sys(e, "send signal %d to container \"%s\"", q.signal, c->st.id);
	return REPLY_OK;
}

int op_delete(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct req_object q = REQ_OBJECT_INIT;
	struct container *c;
	int r = find_object(conn, msg, &q, &c, e);

	if (r < 0)
		return r;
	conn->subject = c;
	c->is_forgetting = true;
	if (c->st.state != MONITOR_EXITED) {
		container_kill(c);
		return REPLY_LATER;
	}
	if (c->cgroup_fate == CGROUP_FAILED)
		container_clean(c);
	container_settle(c);
	return REPLY_LATER;
}

int op_reopen_log(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct req_object q = REQ_OBJECT_INIT;
	struct container *c;
	int r = find_object(conn, msg, &q, &c, e);

	if (r < 0)
		return r;
	if (q.log_fd < 0)
		return err_new(e, ERR_INVALID, "the request has no log file");
	r = logfile_check(q.log_fd, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < msg->fd_count; i++)
		if (msg->fds[i] == q.log_fd) {
			logfile_swap(&c->log, q.log_fd);
			msg->fds[i] = -1;
			break;
		}
	return REPLY_OK;
}
