/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/str.h"
#include "oci/rootfs.h"
#include "pod/protocol.h"
#include "sys/exeseal.h"
#include "userns/idmap.h"
#include "userns/sysctl.h"

/* ---- one request ------------------------------------------------------------------------------- */

static void socket_address(int pod_dfd, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", pod_dfd, MONITOR_SOCKET);
}

/* Wait until the socket is ready, the call is given up or its time is over. */
static int wait_for(const struct monitor_call *c, int sock, short events, const char *what, struct error *e)
{
	struct pollfd p[2] = { { .fd = sock, .events = events }, { .fd = c->cancel_fd, .events = POLLIN } };
	int n;

	do
		n = poll(p, c->cancel_fd >= 0 ? 2 : 1, deadline_left_ms(c->deadline_ns));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "wait for the monitor to answer \"%s\"", what);
	if (n == 0)
		return err_new(e, ERR_TIMEOUT, "the monitor did not answer \"%s\" in time", what);
	if (c->cancel_fd >= 0 && p[1].revents)
		return err_new(e, ERR_CANCELED, "the client of \"%s\" went away", what);
	return 0;
}

static int connect_monitor(const struct monitor_call *c, int *ret_sock, struct error *e)
{
	const struct timespec pause = { .tv_nsec = NS_PER_MS };
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (sock < 0)
		return err_sys(e, "make a socket for the monitor");
	socket_address(c->pod_dfd, &address);
	while (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == ECONNREFUSED || errno == ENOENT)
			return err_sysk(e, ERR_UNAVAILABLE, errno, "connect to the pod's monitor");
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, "connect to the pod's monitor");
		/* Its queue of connections is full; a unix socket gives no event for that. */
		if (c->deadline_ns && deadline_left_ms(c->deadline_ns) == 0)
			return err_new(e, ERR_TIMEOUT, "the monitor did not take the connection in time");
		nanosleep(&pause, NULL);
	}
	*ret_sock = take_fd(sock);
	return 0;
}

/* Receive the next message of a request that is under way. */
static int receive(const struct monitor_call *c, int sock, struct wire_msg *m, const char *what,
		   struct error *e)
{
	int r = wait_for(c, sock, POLLIN, what, e);

	if (r < 0)
		return r;
	r = wire_recv(sock, m, e);
	if (r == 0 || (r == -ERR_SYS && e->sys == ECONNRESET)) {
		err_clear(e);
		return err_new(e, ERR_UNAVAILABLE, "the monitor ended in the middle of \"%s\"", what);
	}
	return r < 0 ? err_ctx(e, "answer of the monitor to \"%s\"", what) : 0;
}

/* An answer: its error, or its fields. rep borrows from m. */
static int read_reply(const struct wire_msg *m, unsigned op, struct rep *rep, struct error *e)
{
	int r;

	if (m->h.op != (op | OP_REPLY))
		return err_new(e, ERR_CORRUPT, "the monitor answered \"%s\" with operation %u",
			       wire_op_name(op), m->h.op);
	r = wire_decode(fields_reply, m->body, m->h.len, m->fds, m->fd_count, rep, e);
	if (r < 0)
		return err_ctx(e, "answer of the monitor to \"%s\"", wire_op_name(op));
	if (rep->err_kind == 0)
		return 0;
	if (rep->err_kind < 0 || rep->err_kind >= ERR_KIND_COUNT)
		return err_new(e, ERR_INTERNAL, "%s",
			       rep->err_text ? rep->err_text : "error of an unknown kind");
	r = err_new(e, (enum err_kind)rep->err_kind, "%s",
		    rep->err_text ? rep->err_text : "error without a text");
	if (e)
		e->sys = rep->err_sys;
	return r;
}

static int send_request(const struct monitor_call *c, unsigned op, const struct wire_out *o, int *ret_sock,
			struct error *e)
{
	cleanup_close int sock = -1;
	int r = connect_monitor(c, &sock, e);

	if (r < 0)
		return r;
	if (wire_send(sock, op, o) < 0) {
		if (errno == EPIPE || errno == ECONNRESET)
			return err_new(e, ERR_UNAVAILABLE, "the monitor closed the connection before \"%s\"",
				       wire_op_name(op));
		if (errno == EMSGSIZE)
			return err_new(e, ERR_LIMIT, "\"%s\" does not fit a message to the monitor",
				       wire_op_name(op));
		return err_sys(e, "send \"%s\" to the monitor", wire_op_name(op));
	}
	*ret_sock = take_fd(sock);
	return 0;
}

/* A whole request and its answer. rep borrows from m. */
static int ask(const struct monitor_call *c, unsigned op, const struct wire_out *o, struct wire_msg *m,
	       struct rep *rep, struct error *e)
{
	cleanup_close int sock = -1;
	int r = send_request(c, op, o, &sock, e);

	if (r == 0)
		r = receive(c, sock, m, wire_op_name(op), e);
	return r < 0 ? r : read_reply(m, op, rep, e);
}

static int ask_object(const struct monitor_call *c, unsigned op, const struct req_object *q,
		      struct wire_msg *m, struct rep *rep, struct error *e)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;

	wire_encode(&o, fields_object, q);
	return ask(c, op, &o, m, rep, e);
}

/* ---- life of the monitor ------------------------------------------------------------------------- */

static int bind_socket(int pod_dfd, int *ret_sock, struct error *e)
{
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (sock < 0)
		return err_sys(e, "make the monitor's socket");
	if (unlinkat(pod_dfd, MONITOR_SOCKET, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove the old \"%s\"", MONITOR_SOCKET);
	socket_address(pod_dfd, &address);
	if (bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(e, "bind \"%s\" in the pod's directory", MONITOR_SOCKET);
	if (fchmodat(pod_dfd, MONITOR_SOCKET, 0600, 0) < 0)
		return err_sys(e, "change the mode of \"%s\"", MONITOR_SOCKET);
	if (listen(sock, 128) < 0)
		return err_sys(e, "listen on \"%s\"", MONITOR_SOCKET);
	*ret_sock = take_fd(sock);
	return 0;
}

int monitor_spawn(const struct monitor_spawn_opts *o, struct proc *ret_proc, struct error *e)
{
	const char *level = o->log_level ? o->log_level : "info";
	const char *argv[] = { "hull-pod", o->id, level, o->log_json ? "json" : "text", NULL };
	const char *env[] = { NULL };
	struct proc_opts p = { .path = o->helper,
			       .argv = argv,
			       .env = env,
			       .fds = { -1, -1, o->log_fd >= 0 ? o->log_fd : STDERR_FILENO, -1, o->pod_dfd },
			       .fd_count = 5,
			       .new_session = true };
	cleanup_close int sock = -1, exe = -1;
	int r;

	if (!proto_is_id(o->id))
		return err_new(e, ERR_INVALID, "pod id \"%.80s\" is not 1 to %d of [0-9a-zA-Z_.-]",
			       o->id ? o->id : "", MONITOR_ID_MAX);
	r = bind_socket(o->pod_dfd, &sock, e);
	if (r < 0)
		return r;
	p.fds[MONITOR_FD_LISTEN] = sock;
	/* Sealed from here it is started once and not twice. Where we cannot, it looks after that itself. */
	if (exe_open_sealed(o->helper, &exe, NULL) == 0)
		p.exe_fd = exe;
	r = proc_spawn(&p, ret_proc, e);
	if (r < 0) /* nobody will ever answer there */
		unlinkat(o->pod_dfd, MONITOR_SOCKET, 0);
	return r;
}

bool monitor_is_alive(int pod_dfd)
{
	struct monitor_call c = { .pod_dfd = pod_dfd, .cancel_fd = -1, .deadline_ns = deadline_in_ms(1000) };
	cleanup_close int sock = -1;
	int r = connect_monitor(&c, &sock, NULL);

	return r == 0 || r == -ERR_TIMEOUT;
}

int monitor_pidfd(int pod_dfd, int *ret_pid_fd, struct error *e)
{
	struct monitor_call c = { .pod_dfd = pod_dfd, .cancel_fd = -1, .deadline_ns = deadline_in_ms(5000) };
	cleanup_monitor_status struct monitor_status s = { 0 }, again = { 0 };
	cleanup_close int pid_fd = -1;
	int r = monitor_status(&c, &s, e);

	if (r < 0)
		return r;
	r = pidfd_open_(s.monitor_pid, &pid_fd, e);
	if (r < 0)
		return r == -ERR_NOT_FOUND ? err_kind(e, ERR_UNAVAILABLE) : r;
	/* Still the same one answers: so it lived when the pidfd was opened, and the pid was its own. */
	r = monitor_status(&c, &again, e);
	if (r < 0)
		return r;
	if (again.monitor_pid != s.monitor_pid)
		return err_new(e, ERR_UNAVAILABLE, "the monitor changed from process %d to %d meanwhile",
			       s.monitor_pid, again.monitor_pid);
	*ret_pid_fd = take_fd(pid_fd);
	return 0;
}

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
	r = ask(c, OP_CREATE_SANDBOX, &o, &m, &rep, e);
	if (r == 0 && ret_init_pid)
		*ret_init_pid = rep.pid;
	return r;
}

int monitor_stop_sandbox(const struct monitor_call *c, struct error *e)
{
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;

	wire_msg_init(&m);
	return ask(c, OP_STOP_SANDBOX, NULL, &m, &rep, e);
}

/* ---- containers ---------------------------------------------------------------------------------- */

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
	r = ask(c, OP_CREATE_CONTAINER, &o, &m, &rep, e);
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
	r = send_request(c, OP_EXEC, &o, &sock, e);
	while (r == 0) {
		cleanup_wire_msg struct wire_msg m;
		struct rep rep = REP_INIT;

		wire_msg_init(&m);
		r = receive(c, sock, &m, "exec", e);
		if (r == 0 && m.h.op == OP_STARTED) {
			r = exec_started(x, &m, e);
			continue;
		}
		if (r == 0)
			r = read_reply(&m, OP_EXEC, &rep, e);
		if (r == 0)
			*ret_exit_code = rep.exit_code;
		break;
	}
	return r;
}

/* ---- status and events --------------------------------------------------------------------------- */

int monitor_status(const struct monitor_call *c, struct monitor_status *ret, struct error *e)
{
	cleanup_close int sock = -1;
	cleanup_wire_msg struct wire_msg m;
	int r;

	wire_msg_init(&m);
	r = send_request(c, OP_STATUS, NULL, &sock, e);
	if (r == 0)
		r = receive(c, sock, &m, "status", e);
	if (r < 0)
		return r;
	if (m.h.op == OP_RECORD)
		return proto_read_status(m.body, m.h.len, ret, e);
	r = read_reply(&m, OP_STATUS, &REP_INIT, e);
	return r < 0 ? r : err_new(e, ERR_CORRUPT, "the monitor answered \"status\" with nothing");
}

int monitor_read_status_file(int pod_dfd, struct monitor_status *ret, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct wire_header h;
	int r = file_read(pod_dfd, MONITOR_STATUS_FILE, WIRE_BODY_MAX + sizeof(h), &b, e);

	if (r < 0)
		return r;
	if (b.len < sizeof(h))
		return err_new(e, ERR_CORRUPT, "status record of %zu bytes is shorter than its header",
			       b.len);
	memcpy(&h, b.data, sizeof(h));
	r = wire_check_header(&h, e);
	if (r == 0 && (h.op != OP_RECORD || h.len != b.len - sizeof(h)))
		r = err_new(e, ERR_CORRUPT, "it says operation %u and %u bytes, and has %zu", h.op, h.len,
			    b.len - sizeof(h));
	if (r == 0)
		r = proto_read_status(b.data + sizeof(h), h.len, ret, e);
	return r < 0 ? err_ctx(e, "the monitor's status record") : 0;
}

int monitor_subscribe(const struct monitor_call *c, int *ret_fd, struct error *e)
{
	cleanup_close int sock = -1;
	cleanup_wire_msg struct wire_msg m;
	struct rep rep = REP_INIT;
	int r;

	wire_msg_init(&m);
	r = send_request(c, OP_SUBSCRIBE, NULL, &sock, e);
	if (r == 0)
		r = receive(c, sock, &m, "subscribe", e);
	if (r == 0)
		r = read_reply(&m, OP_SUBSCRIBE, &rep, e);
	if (r == 0)
		*ret_fd = take_fd(sock);
	return r;
}

int monitor_read_event(int fd, struct monitor_event *ret, struct error *e)
{
	cleanup_wire_msg struct wire_msg m;
	struct error local = ERROR_INIT;
	int r;

	wire_msg_init(&m);
	if (!e)
		e = &local;
	r = wire_recv(fd, &m, e);
	if (r == -ERR_STATE && e->sys == EAGAIN) {
		err_clear(e);
		return 0;
	}
	if (r == 0 || (r == -ERR_SYS && e->sys == ECONNRESET)) {
		err_clear(e);
		return err_new(e, ERR_UNAVAILABLE, "the monitor has ended");
	}
	if (r < 0)
		return r;
	if (m.h.op != OP_EVENT)
		return err_new(e, ERR_CORRUPT, "the monitor sent operation %u in place of an event", m.h.op);
	r = proto_read_event(m.body, m.h.len, ret, e);
	return r < 0 ? r : 1;
}
