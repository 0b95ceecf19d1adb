/* SPDX-License-Identifier: Apache-2.0 */
/* Making the pod's sandbox, and taking it down. */
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
#include "userns/netns.h"
#include "userns/userns.h"

/* Builders that are still at it when the sandbox is stopped (a foreign file system that hangs) are killed
 * after this time. */
#define STOP_BUILDERS_MS 2000

#define SYSCTLS_MAX 256

/* ---- making it, in a worker ---------------------------------------------------------------------- */

enum { SANDBOX_INIT_FD, SANDBOX_USER, SANDBOX_NET, SANDBOX_IPC, SANDBOX_UTS, SANDBOX_SHM, SANDBOX_SHM_MNT };
enum { VALUE_INIT_PID, VALUE_PINNED };

struct making {
	const struct req_sandbox *q;
	struct idmap uids, gids;
	struct sysctl_item sysctls[SYSCTLS_MAX];
	size_t sysctl_count;
};

static int read_map(const struct wire_bytes *b, struct idmap *ret, const char *what, struct error *e)
{
	const size_t each = sizeof(ret->x[0]);

	*ret = IDMAP_INIT;
	if (b->n % each || b->n / each > IDMAP_MAX)
		return err_new(e, ERR_CORRUPT, "%s map of %zu bytes is not a list of extents", what, b->n);
	memcpy(ret->x, b->p, b->n);
	ret->n = b->n / each;
	return idmap_check(ret, true, what, e);
}

static int read_sysctls(struct making *k, struct error *e)
{
	const struct req_sandbox *q = k->q;
	const struct sysctl_scope own = {
		.user = q->new_user, .net = q->new_net, .ipc = q->new_ipc, .uts = q->new_uts
	};
	const char *name, *value;
	size_t pos = 0;

	while ((name = proto_next_string(&q->sysctls, &pos))) {
		int r;

		value = proto_next_string(&q->sysctls, &pos);
		if (!value)
			return err_new(e, ERR_CORRUPT, "sysctl \"%.80s\" has no value", name);
		if (k->sysctl_count == SYSCTLS_MAX)
			return err_new(e, ERR_LIMIT, "more than %d sysctls", SYSCTLS_MAX);
		r = sysctl_check(name, value, &own, e);
		if (r < 0)
			return r;
		k->sysctls[k->sysctl_count++] = (struct sysctl_item){ name, value };
	}
	return 0;
}

static int make_namespaces(const struct making *k, struct worker_result *res, struct error *e)
{
	const struct req_sandbox *q = k->q;
	struct podns_opts o = { .user = q->new_user,
				.net = q->new_net,
				.ipc = q->new_ipc,
				.uts = q->new_uts,
				.uids = &k->uids,
				.gids = &k->gids,
				.hostname = q->new_uts && !str_is_empty(q->hostname) ? q->hostname : NULL,
				.sysctls = k->sysctls,
				.sysctl_count = k->sysctl_count };
	struct podns ns = PODNS_INIT;
	int r;

	if (!o.user && !o.net && !o.ipc && !o.uts)
		return 0;
	r = podns_create(&o, &ns, e);
	if (r < 0)
		return err_ctx(e, "make the pod's namespaces");
	res->fd[SANDBOX_USER] = ns.user_fd;
	res->fd[SANDBOX_NET] = ns.net_fd;
	res->fd[SANDBOX_IPC] = ns.ipc_fd;
	res->fd[SANDBOX_UTS] = ns.uts_fd;
	return 0;
}

static int pin_network(const struct making *k, struct worker_result *res, struct error *e)
{
	char dir[sizeof(((struct monitor_status *)0)->netns_path)];
	const char *path = k->q->netns_pin_path;
	const char *name;
	int r;

	if (res->fd[SANDBOX_NET] < 0 || str_is_empty(path))
		return 0;
	name = strrchr(path, '/');
	if (*path != '/' || name == path)
		return err_new(e, ERR_INVALID,
			       "path of the network namespace \"%s\" is not absolute, in a directory", path);
	memcpy(dir, path, (size_t)(name - path));
	dir[name - path] = '\0';
	r = netns_pin(dir, name + 1, res->fd[SANDBOX_NET], e);
	if (r < 0)
		return err_ctx(e, "pin the pod's network namespace");
	res->value[VALUE_PINNED] = 1;
	return 0;
}

static int make_shm(const struct making *k, struct worker_result *res, struct error *e)
{
	uint32_t uid = 0, gid = 0;
	int r = 0;

	if (k->q->shm_bytes == 0)
		return 0;
	if (k->q->new_user) {
		r = idmap_to_host(&k->uids, 0, &uid, e);
		if (r == 0)
			r = idmap_to_host(&k->gids, 0, &gid, e);
	}
	if (r == 0)
		r = shm_create(k->q->shm_bytes, uid, gid, &res->fd[SANDBOX_SHM], &res->fd[SANDBOX_SHM_MNT],
			       e);
	return r < 0 ? err_ctx(e, "make the pod's /dev/shm") : 0;
}

/* Last: it leaves this process in the pod's namespaces. */
static int start_init(const struct making *k, struct worker_result *res, struct error *e)
{
	struct init_opts o = { .id = k->q->id,
			       .user_fd = res->fd[SANDBOX_USER],
			       .net_fd = res->fd[SANDBOX_NET],
			       .ipc_fd = res->fd[SANDBOX_IPC],
			       .uts_fd = res->fd[SANDBOX_UTS],
			       .oom_score_adj = k->q->oom_score_adj };
	pid_t pid = 0;
	int r;

	if (!k->q->shared_pid)
		return 0;
	r = init_start(&o, &pid, &res->fd[SANDBOX_INIT_FD], e);
	if (r < 0)
		return err_ctx(e, "start the pod's init");
	res->value[VALUE_INIT_PID] = pid;
	return 0;
}

/* Namespaces and /dev/shm are fds and go with this process; only the pin has to be undone when a step
 * behind it fails, and that is for the monitor, which has not entered any namespace. */
static int make_sandbox(void *arg, struct worker_result *res, struct error *e)
{
	struct making *k = arg;
	int r = make_namespaces(k, res, e);

	if (r == 0)
		r = pin_network(k, res, e);
	if (r == 0)
		r = make_shm(k, res, e);
	if (r == 0)
		r = start_init(k, res, e);
	return r;
}

/* ---- in the monitor ------------------------------------------------------------------------------ */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void unpin(struct monitor *m)
{
	struct error err = ERROR_INIT;

	if (!m->sandbox.netns_path)
		return;
	if (netns_remove(m->sandbox.netns_path, &err) < 0) {
		log_error("%s", err_msg(&err));
		if (m->stop_error.kind == 0)
			m->stop_error = err;
	}
	free(m->sandbox.netns_path);
	m->sandbox.netns_path = NULL;
}

static void keep_request(struct monitor *m, const struct req_sandbox *q)
{
	struct sandbox *s = &m->sandbox;

	s->netns_path = q->new_net ? str_dup(q->netns_pin_path) : NULL;
	s->cgroup_parent = str_dup(q->cgroup_parent);
	s->is_oom_score_restricted = q->restrict_oom_score;
	/* Filters are compiled each time where there is no such directory. */
	if (!str_is_empty(q->seccomp_cache_dir))
		s->seccomp_cache_dfd = open(q->seccomp_cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void forget_request(struct monitor *m)
{
	free(m->sandbox.netns_path);
	free(m->sandbox.cgroup_parent);
	close_fd(&m->sandbox.seccomp_cache_dfd);
	m->sandbox = SANDBOX_INIT;
}

static void make_failed(struct monitor *m, struct worker_result *res)
{
	if (res->value[VALUE_PINNED]) {
		struct error err = ERROR_INIT;

		if (netns_remove(m->sandbox.netns_path, &err) < 0)
			err_hint(&res->error, "and undoing it failed: %s", err_msg(&err));
	}
	forget_request(m);
}

static void adopt(struct monitor *m, struct worker_result *res)
{
	struct sandbox *s = &m->sandbox;

	s->init_pid_fd = take_fd(res->fd[SANDBOX_INIT_FD]);
	s->user_fd = take_fd(res->fd[SANDBOX_USER]);
	s->net_fd = take_fd(res->fd[SANDBOX_NET]);
	s->ipc_fd = take_fd(res->fd[SANDBOX_IPC]);
	s->uts_fd = take_fd(res->fd[SANDBOX_UTS]);
	s->shm_fd = take_fd(res->fd[SANDBOX_SHM]);
	s->shm_mnt_fd = take_fd(res->fd[SANDBOX_SHM_MNT]);
	s->init_pid = (pid_t)res->value[VALUE_INIT_PID];
	m->created_at = clock_wall_ns();
	m->state = MONITOR_POD_READY;
}

static void made(struct monitor *m, void *owner, struct worker_result *res)
{
	struct conn *conn = conn_waiting(m, NULL, OP_CREATE_SANDBOX, m);
	struct rep rep = REP_INIT;

	(void)owner;
	m->is_creating = false;
	if (res->status < 0) {
		make_failed(m, res);
		if (conn)
			conn_reply_error(conn, &res->error);
		return;
	}
	adopt(m, res);
	status_write(m);
	event_send(m, MONITOR_EVENT_POD, NULL);
	rep.pid = m->sandbox.init_pid;
	/* A client that went away meanwhile finds it by asking for the status. */
	if (conn)
		conn_reply(conn, &rep);
}

static int check_request(struct monitor *m, const struct req_sandbox *q, struct error *e)
{
	if (m->is_creating || m->is_stopping || m->state != MONITOR_POD_EMPTY)
		return err_new(e, ERR_EXISTS, "this monitor has a sandbox already");
	if (!str_eq(q->id, m->id))
		return err_new(e, ERR_INVALID, "pod \"%s\" is not this monitor's, which is \"%s\"",
			       q->id ? q->id : "", m->id);
	if (q->new_net && str_is_empty(q->netns_pin_path))
		return err_new(e, ERR_INVALID, "a new network namespace needs a path to be pinned at");
	return 0;
}

int op_create_sandbox(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	cleanup_free struct making *k = NEW(struct making);
	struct req_sandbox q = { 0 };
	struct monitor *m = conn->m;
	int r = wire_decode(fields_sandbox, msg->body, msg->h.len, msg->fds, msg->fd_count, &q, e);

	k->q = &q;
	if (r == 0)
		r = check_request(m, &q, e);
	if (r == 0 && q.new_user)
		r = read_map(&q.uids, &k->uids, "uid", e);
	if (r == 0 && q.new_user)
		r = read_map(&q.gids, &k->gids, "gid", e);
	if (r == 0)
		r = read_sysctls(k, e);
	if (r == 0 && !m->cgroups)
		r = cgroup_host_open(q.systemd_cgroup ? CGROUP_DRIVER_SYSTEMD : CGROUP_DRIVER_CGROUPFS,
				     &m->cgroups, e);
	if (r < 0)
		return r;
	keep_request(m, &q);
	r = worker_start(m, make_sandbox, k, made, NULL, NULL, e);
	if (r < 0) {
		forget_request(m);
		return r;
	}
	m->is_creating = true;
	conn->subject = m;
	return REPLY_LATER;
}

void sandbox_init_exited(struct monitor *m)
{
	m->sandbox.init_pid = 0;
	close_fd(&m->sandbox.init_pid_fd);
	if (m->is_stopping) {
		sandbox_stop_step(m);
		return;
	}
	log_warn("the pod's init has ended, and everything in its pid namespace with it");
	m->state = MONITOR_POD_NOTREADY;
	status_write(m);
	event_send(m, MONITOR_EVENT_POD, NULL);
}

/* ---- taking it down ------------------------------------------------------------------------------ */

static void on_stop_time(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, stop_timer);

	for (struct worker *w = m->workers; w; w = w->next)
		worker_kill(w);
}

static void forget_containers(struct monitor *m)
{
	/* Backwards: one that is forgotten at once is replaced by the last. */
	for (size_t i = m->container_count; i-- > 0;) {
		struct container *c = m->containers[i];

		if (c->st.state == MONITOR_CREATING)
			continue;
		if (c->st.state != MONITOR_EXITED) {
			if (!c->is_forgetting)
				container_kill(c);
			c->is_forgetting = true;
			continue;
		}
		if (c->is_forgetting)
			continue;
		c->is_forgetting = true;
		container_clean(c);
	}
}

/* The network namespace goes last, when nobody is in it any more. */
static void finish_stop(struct monitor *m)
{
	struct sandbox *s = &m->sandbox;
	struct conn *conn;

	close_fd(&s->shm_fd);
	close_fd(&s->shm_mnt_fd);
	close_fd(&s->uts_fd);
	close_fd(&s->ipc_fd);
	close_fd(&s->net_fd);
	unpin(m);
	close_fd(&s->user_fd);
	m->state = MONITOR_POD_STOPPED;
	m->finished_at = clock_wall_ns();
	status_write(m);
	event_send(m, MONITOR_EVENT_POD, NULL);
	unlinkat(m->pod_dfd, MONITOR_SOCKET, 0);
	while ((conn = conn_waiting(m, NULL, OP_STOP_SANDBOX, m)))
		if (m->stop_error.kind)
			conn_reply_error(conn, &m->stop_error);
		else
			conn_reply(conn, &REP_INIT);
	m->is_done = true;
}

void sandbox_stop_step(struct monitor *m)
{
	if (!m->is_stopping || m->is_done)
		return;
	forget_containers(m);
	for (size_t i = m->container_count; i-- > 0;)
		if (i < m->container_count)
			container_settle(m->containers[i]);
	if (m->is_done || m->container_count > 0 || m->workers)
		return;
	if (m->sandbox.init_pid_fd >= 0) {
		pidfd_send(m->sandbox.init_pid_fd, SIGKILL);
		return;
	}
	finish_stop(m);
}

int op_stop_sandbox(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	struct monitor *m = conn->m;

	(void)msg;
	(void)e;
	conn->subject = m;
	if (!m->is_stopping) {
		m->is_stopping = true;
		timer_set(m, &m->stop_timer, deadline_in_ms(STOP_BUILDERS_MS), on_stop_time);
	}
	sandbox_stop_step(m);
	return REPLY_LATER;
}
