/* SPDX-License-Identifier: Apache-2.0 */
/* Exec: a worker enters the container and starts the program as our child; its end is the answer.
 *
 * Each exec gets a v2 cgroup of its own below the container's, where there is one ("exec-N", without any
 * controller: it costs one mkdir), so that a timeout kills the whole exec with one write, and what the
 * program leaves behind on a normal end is left alone, as with any runtime. On a host without a v2
 * hierarchy the processes are looked up in /proc (tree.c), which is best effort. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "oci/runtime.h"
#include "pod/monitor.h"

#define PROCESS_MAX_BYTES (4u << 20)
/* From the kill to the answer, if the process cannot even be killed (uninterruptible sleep). */
#define KILL_WAIT_MS 1000
#define EMPTY_WAIT_MS 200
#define NAME_SIZE 24

enum { EXEC_PID_FD, EXEC_CONSOLE_FD, EXEC_CGROUP_FD };

/* ---- in the worker ------------------------------------------------------------------------------- */

struct exec_build {
	const struct req_exec *q;
	const struct container *c;
	unsigned number;
};

static void cgroup_name(unsigned number, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "exec-%u", number);
}

static int read_process(int fd, struct oci_process **ret, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "seek in the process description");
	r = fd_read_all(fd, PROCESS_MAX_BYTES, &b, e);
	if (r == 0)
		r = oci_process_parse(buf_str(&b), b.len, ret, e);
	return r < 0 ? err_ctx(e, "process of the exec") : 0;
}

static int read_spec(int bundle_dfd, struct oci_spec **ret, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = file_read(bundle_dfd, "config.json", OCI_SPEC_MAX_BYTES, &b, e);

	return r < 0 ? r : oci_spec_parse(b.data, b.len, ret, e);
}

static int open_cgroup(const struct exec_build *b, struct worker_result *res, struct cgroup **ret,
		       struct error *e)
{
	char name[NAME_SIZE];
	int r;

	if (!b->c->cgroup_path)
		return 0;
	r = cgroup_open(b->c->m->cgroups, b->c->cgroup_path, ret, e);
	if (r < 0)
		return r;
	cgroup_name(b->number, name);
	r = cgroup_narrow(*ret, name, e);
	if (r == 0)
		return fd_dup(cgroup_clone_fd(*ret), &res->fd[EXEC_CGROUP_FD], e);
	if (r != -ERR_UNSUPPORTED)
		return r;
	err_clear(e);
	return 0;
}

static int run_exec(void *arg, struct worker_result *res, struct error *e)
{
	const struct exec_build *b = arg;
	struct oci_exec o = OCI_EXEC_INIT;
	struct oci_init init = OCI_INIT_INIT;
	struct oci_process *process = NULL;
	struct oci_spec *spec = NULL;
	struct cgroup *cg = NULL;
	int r = read_process(b->q->process_fd, &process, e);

	if (r == 0)
		r = read_spec(b->c->bundle_dfd, &spec, e);
	if (r == 0)
		r = open_cgroup(b, res, &cg, e);
	if (r < 0)
		return r;
	o.id = b->c->st.id;
	o.pid = b->c->st.pid;
	o.pid_fd = b->c->pid_fd;
	o.spec = spec;
	o.process = process;
	memcpy(o.stdio, b->q->stdio, sizeof(o.stdio));
	o.cgroup = cg;
	o.clone_parent = true;
	o.die_with_parent = true;
	o.restrict_oom_score = b->c->m->sandbox.is_oom_score_restricted;
	o.seccomp_cache_dfd = b->c->m->sandbox.seccomp_cache_dfd;
	o.listener = (struct oci_listener){ agent_give_listener, (void *)(uintptr_t)b->c };
	r = oci_exec(&o, &init, e);
	if (r < 0)
		return r;
	res->value[0] = init.pid;
	res->fd[EXEC_PID_FD] = init.pid_fd;
	res->fd[EXEC_CONSOLE_FD] = init.console_fd;
	return 0;
}

/* ---- in the monitor ------------------------------------------------------------------------------ */

/* What was killed together with the exec's process may end a little after it. All of it has been killed, so this is
 * short; the monitor has other things to do, so it is bounded all the same. */
static void wait_until_empty(int cgroup_fd)
{
	cleanup_close int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	const int64_t end = deadline_in_ms(EMPTY_WAIT_MS);
	struct pollfd p = { .fd = fd, .events = POLLPRI };
	char text[128];
	ssize_t n;

	while (fd >= 0 && (n = pread(fd, text, sizeof(text) - 1, 0)) > 0) {
		text[n] = '\0';
		if (strstr(text, "populated 0") || deadline_left_ms(end) == 0 ||
		    poll(&p, 1, deadline_left_ms(end)) < 0)
			return;
	}
}

static void exec_free(struct exec *x)
{
	struct monitor *m = x->m;

	timer_off(m, &x->timer);
	for (struct exec **p = &m->execs; *p; p = &(*p)->next)
		if (*p == x) {
			*p = x->next;
			break;
		}
	if (x->pid_fd >= 0)
		close(x->pid_fd);
	if (x->c && x->c->cgroup_fd >= 0) {
		char name[NAME_SIZE];

		if (x->is_killed && x->cgroup_fd >= 0)
			wait_until_empty(x->cgroup_fd);
		/* Busy while something that it started lives on: then it goes with the container's. */
		cgroup_name(x->number, name);
		unlinkat(x->c->cgroup_fd, name, AT_REMOVEDIR);
	}
	if (x->cgroup_fd >= 0)
		close(x->cgroup_fd);
	free(x);
}

static void reply(struct exec *x, int exit_code)
{
	struct rep rep = { .exit_code = exit_code, .console_fd = -1 };
	struct conn *conn = x->conn;

	x->conn = NULL;
	if (conn)
		conn_reply(conn, &rep);
}

static void reply_error(struct exec *x, const struct error *err)
{
	struct conn *conn = x->conn;

	x->conn = NULL;
	if (conn)
		conn_reply_error(conn, err);
}

static void reply_timeout(struct exec *x)
{
	struct error err = ERROR_INIT;

	err_new(&err, ERR_TIMEOUT, "the command did not end in time and was killed");
	reply_error(x, &err);
}

static int kill_by_proc(void *arg, struct worker_result *res, struct error *e)
{
	(void)res;
	(void)e;
	tree_kill(*(const pid_t *)arg);
	return 0;
}

static void kill_done(struct monitor *m, void *owner, struct worker_result *res)
{
	(void)m;
	(void)owner;
	(void)res;
}

/* By name: the worker may not have told of it yet. */
static bool kill_cgroup(const struct exec *x)
{
	char name[NAME_SIZE], path[NAME_SIZE + 16];
	cleanup_close int fd = -1;

	if (x->cgroup_fd >= 0) {
		fd = openat(x->cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	} else if (x->c && x->c->cgroup_fd >= 0) {
		cgroup_name(x->number, name);
		snprintf(path, sizeof(path), "%s/cgroup.kill", name);
		fd = openat(x->c->cgroup_fd, path, O_WRONLY | O_CLOEXEC);
	}
	return fd >= 0 && write(fd, "1", 1) == 1;
}

static void on_kill_waited(struct timer *t)
{
	reply_timeout(container_of(t, struct exec, timer));
}

static void exec_kill(struct exec *x)
{
	struct error err = ERROR_INIT;

	x->is_killed = true;
	if (x->worker)
		worker_kill(x->worker);
	if (!kill_cgroup(x) && x->pid > 0 &&
	    worker_start(x->m, kill_by_proc, &x->pid, kill_done, NULL, NULL, &err) < 0)
		log_warn("kill the processes of an exec: %s", err_msg(&err));
	if (x->pid_fd >= 0 && x->cgroup_fd >= 0)
		pidfd_send(x->pid_fd, SIGKILL);
	timer_set(x->m, &x->timer, deadline_in_ms(KILL_WAIT_MS), on_kill_waited);
}

static void on_timeout(struct timer *t)
{
	struct exec *x = container_of(t, struct exec, timer);

	x->is_timed_out = true;
	exec_kill(x);
}

void exec_canceled(struct exec *x)
{
	x->conn = NULL;
	if (!x->is_killed)
		exec_kill(x);
}

void exec_exited(struct exec *x, const siginfo_t *info)
{
	x->pid = 0;
	if (x->is_timed_out)
		reply_timeout(x);
	else
		reply(x, info->si_code == CLD_EXITED ? info->si_status & 0xff : 128 + info->si_status);
	exec_free(x);
}

void exec_container_gone(struct monitor *m, const struct container *c)
{
	for (struct exec *x = m->execs; x; x = x->next)
		if (x->c == c)
			x->c = NULL;
}

/* With a terminal its master goes to the client at once; resizing is the client's then. */
static void tell_started(struct exec *x, int console_fd)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	struct rep rep = { .pid = x->pid, .console_fd = console_fd };

	wire_encode(&o, fields_reply, &rep);
	if (x->conn && wire_send(x->conn->src.fd, OP_STARTED, &o) < 0)
		log_debug("tell that an exec runs: %s", strerror(errno));
}

static void exec_started(struct monitor *m, void *owner, struct worker_result *res)
{
	struct exec *x = owner;

	(void)m;
	x->worker = NULL;
	if (res->status < 0) {
		if (x->is_timed_out)
			reply_timeout(x);
		else
			reply_error(x, &res->error);
		if (x->is_killed)
			kill_cgroup(x);
		exec_free(x);
		return;
	}
	x->pid = (pid_t)res->value[0];
	x->pid_fd = take_fd(res->fd[EXEC_PID_FD]);
	x->cgroup_fd = take_fd(res->fd[EXEC_CGROUP_FD]);
	if (res->fd[EXEC_CONSOLE_FD] >= 0)
		tell_started(x, res->fd[EXEC_CONSOLE_FD]);
	if (x->is_killed)
		exec_kill(x);
}

int op_exec(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct req_exec q = REQ_EXEC_INIT;
	struct monitor *m = conn->m;
	struct container *c;
	struct exec_build b = { .q = &q };
	struct exec *x;
	int r = wire_decode(fields_exec, msg->body, msg->h.len, msg->fds, msg->fd_count, &q, e);

	if (r < 0)
		return r;
	c = container_find(m, q.id);
	if (!c || c->is_abandoned)
		return err_new(e, ERR_NOT_FOUND, "container \"%s\" is not in this pod", q.id ? q.id : "");
	if (c->st.state != MONITOR_RUNNING || c->st.pid == 0)
		return err_new(e, ERR_STATE, "container \"%s\" is not running", c->st.id);
	if (q.process_fd < 0)
		return err_new(e, ERR_INVALID, "the request has no process description");
	if (q.timeout_ms < 0)
		return err_new(e, ERR_INVALID, "timeout of %lld ms is negative", (long long)q.timeout_ms);
	x = NEW(struct exec);
	*x = (struct exec){
		.m = m, .c = c, .conn = conn, .pid_fd = -1, .cgroup_fd = -1, .number = c->exec_number++
	};
	b.c = c;
	b.number = x->number;
	x->next = m->execs;
	m->execs = x;
	r = worker_start(m, run_exec, &b, exec_started, x, &x->worker, e);
	if (r < 0) {
		exec_free(x);
		return r;
	}
	if (q.timeout_ms > 0)
		timer_set(m, &x->timer, deadline_in_ms(q.timeout_ms), on_timeout);
	conn->subject = x;
	return REPLY_LATER;
}
