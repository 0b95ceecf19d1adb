/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor itself: how it is started and found, its status, its events. */
#include "pod/client_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "sys/exeseal.h"

/* ---- life ---------------------------------------------------------------------------------------- */

static int bind_socket(int pod_dfd, int *ret_sock, struct error *e)
{
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (sock < 0)
		return err_sys(e, "make the monitor's socket");
	if (unlinkat(pod_dfd, MONITOR_SOCKET, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove the old \"%s\"", MONITOR_SOCKET);
	client_socket_address(pod_dfd, &address);
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
	int r = client_connect(&c, &sock, NULL);

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

/* ---- status and events --------------------------------------------------------------------------- */

int monitor_status(const struct monitor_call *c, struct monitor_status *ret, struct error *e)
{
	cleanup_close int sock = -1;
	cleanup_wire_msg struct wire_msg m;
	int r;

	wire_msg_init(&m);
	r = client_send_request(c, OP_STATUS, NULL, &sock, e);
	if (r == 0)
		r = client_receive(c, sock, &m, "status", e);
	if (r < 0)
		return r;
	if (m.h.op == OP_RECORD)
		return proto_read_status(m.body, m.h.len, ret, e);
	r = client_read_reply(&m, OP_STATUS, &REP_INIT, e);
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
	r = client_send_request(c, OP_SUBSCRIBE, NULL, &sock, e);
	if (r == 0)
		r = client_receive(c, sock, &m, "subscribe", e);
	if (r == 0)
		r = client_read_reply(&m, OP_SUBSCRIBE, &rep, e);
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
