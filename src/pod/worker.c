/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: forks that answer by one message over a socket pair and exit.
 *
 * A worker may make a process that is our child (CLONE_PARENT). Such a child can die before the worker's
 * answer, which names it, is read. So while any worker is under way we reap only the children that we
 * know; all others stay zombies until the last answer is in (exit.c). */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "pod/monitor.h"
#include "sys/pidfd.h"

/* What a worker must not hold while it may hang: what others see the end of (a client's connection, a
 * container's stdin), and what is none of its business. What it uses, namespaces, cgroups, the fds of its
 * request, stays open; all of it is close-on-exec. */
static void close_resident(const struct monitor *m)
{
	close(m->epoll_fd);
	close(m->listen.fd);
	close(m->signals.fd);
	for (const struct conn *c = m->conns; c; c = c->next)
		close(c->src.fd);
	for (const struct worker *w = m->workers; w; w = w->next)
		close(w->answer.fd);
	for (size_t i = 0; i < m->container_count; i++) {
		const struct container *c = m->containers[i];
		const int fds[] = { c->out.fd, c->err.fd, c->oom.fd, c->log.fd, c->stdin_fd };

		for (size_t k = 0; k < ARRAY_LEN(fds); k++)
			if (fds[k] >= 0)
				close(fds[k]);
	}
}

/* fds go by SCM_RIGHTS without gaps; res->fd says behind each slot's sign whether it is there. */
static int send_result(int sock, struct worker_result *res)
{
	struct iovec iov = { res, sizeof(*res) };
	int fds[WORKER_FDS];
	size_t n = 0;

	for (int i = 0; i < WORKER_FDS; i++)
		if (res->fd[i] >= 0)
			fds[n++] = res->fd[i];
	return fd_send(sock, &iov, 1, fds, n);
}

static _Noreturn void worker_main(const struct monitor *m, int sock, worker_fn fn, void *arg)
{
	struct worker_result res = { .error = ERROR_INIT };
	sigset_t none;

	for (int i = 0; i < WORKER_FDS; i++)
		res.fd[i] = -1;
	close_resident(m);
	monitor_restore(m);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_NAME, "hull-pod-work");
	res.status = fn(arg, &res, &res.error);
	/* Nobody to hear it: what was made must not stay. A child at its gate dies with its gate; one
	 * without a gate is found in its first fd. */
	if (send_result(sock, &res) < 0 && res.status == 0 && res.fd[0] >= 0)
		pidfd_send(res.fd[0], SIGKILL);
	_exit(0);
}

/* Fill res from the answer. */
static void receive_result(int sock, struct worker_result *res)
{
	int fds[WORKER_FDS];
	size_t count = WORKER_FDS, next = 0;
	ssize_t n = fd_recv(sock, res, sizeof(*res), fds, &count);

	if (n != sizeof(*res)) {
		*res = (struct worker_result){ .error = ERROR_INIT };
		res->status = err_new(&res->error, ERR_INTERNAL, "the worker process died without an answer");
		for (int i = 0; i < WORKER_FDS; i++)
			res->fd[i] = -1;
		return;
	}
	for (int i = 0; i < WORKER_FDS; i++)
		res->fd[i] = res->fd[i] >= 0 && next < count ? fds[next++] : -1;
}

static void on_answer(struct source *s, uint32_t events)
{
	struct worker *w = container_of(s, struct worker, answer);
	struct worker_result res;
	struct monitor *m = w->m;

	(void)events;
	receive_result(s->fd, &res);
	source_close(m, &w->answer);
	for (struct worker **p = &m->workers; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	w->done(m, w->owner, &res);
	for (int i = 0; i < WORKER_FDS; i++)
		if (res.fd[i] >= 0)
			close(res.fd[i]);
	close(w->pid_fd);
	free(w);
	if (!m->workers) /* now all children can be told apart */
		reap(m);
	sandbox_stop_step(m);
}

int worker_start(struct monitor *m, worker_fn fn, void *arg, worker_done done, void *owner,
		 struct worker **ret, struct error *e)
{
	struct proc child = PROC_INIT;
	struct worker *w;
	int sock[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return err_sys(e, "make a socket pair for a worker");
	r = pidfd_clone(0, &child, e);
	if (r == 0)
		worker_main(m, sock[1], fn, arg);
	close(sock[1]);
	if (r < 0) {
		close(sock[0]);
		return err_ctx(e, "start a worker");
	}
	w = NEW(struct worker);
	*w = (struct worker){
		.m = m, .pid_fd = child.pid_fd, .done = done, .owner = owner, .next = m->workers
	};
	r = source_add(m, &w->answer, sock[0], EPOLLIN, on_answer, e);
	if (r < 0) {
		worker_kill(w);
		close(w->pid_fd);
		close(sock[0]);
		free(w);
		return r;
	}
	m->workers = w;
	if (ret)
		*ret = w;
	return 0;
}

void worker_kill(struct worker *w)
{
	pidfd_send(w->pid_fd, SIGKILL);
}
