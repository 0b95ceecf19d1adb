/* SPDX-License-Identifier: Apache-2.0 */
/* Reaping. We are the parent of every container's init and of every exec (CLONE_PARENT), of workers, and
 * as subreaper of what processes outside a pid namespace leave behind.
 *
 * While a worker is under way a child that we do not know may be one that its answer will name; then only
 * the known ones are asked for, by pidfd, and the rest waits (worker.c). */
#include <errno.h>
#include <sys/wait.h>

#include "pod/monitor.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static bool has_ended(idtype_t type, int id, siginfo_t *info)
{
	*info = (siginfo_t){ 0 };
	return waitid(type, (id_t)id, info, WEXITED | WNOHANG) == 0 && info->si_pid != 0;
}

static struct exec *find_exec(struct monitor *m, pid_t pid)
{
	for (struct exec *x = m->execs; x; x = x->next)
		if (x->pid == pid)
			return x;
	return NULL;
}

static struct container *find_container(struct monitor *m, pid_t pid)
{
	for (size_t i = 0; i < m->container_count; i++)
		if (m->containers[i]->st.pid == pid)
			return m->containers[i];
	return NULL;
}

static void ended(struct monitor *m, const siginfo_t *info)
{
	struct exec *x = find_exec(m, info->si_pid);
	struct container *c = x ? NULL : find_container(m, info->si_pid);

	if (x)
		exec_exited(x, info);
	else if (c)
		container_exited(c, info);
	else if (info->si_pid == m->sandbox.init_pid)
		sandbox_init_exited(m);
}

/* One known child that has ended. The tables change under our hands, so the caller starts again. */
static bool reap_known(struct monitor *m)
{
	siginfo_t info;

	for (struct exec *x = m->execs; x; x = x->next)
		if (x->pid_fd >= 0 && has_ended(P_PIDFD, x->pid_fd, &info)) {
			ended(m, &info);
			return true;
		}
	for (size_t i = 0; i < m->container_count; i++) {
		struct container *c = m->containers[i];

		if (c->st.pid > 0 && has_ended(P_PIDFD, c->pid_fd, &info)) {
			ended(m, &info);
			return true;
		}
	}
	if (m->sandbox.init_pid_fd >= 0 && has_ended(P_PIDFD, m->sandbox.init_pid_fd, &info)) {
		ended(m, &info);
		return true;
	}
	return false;
}

void reap(struct monitor *m)
{
	siginfo_t info;

	/* What follows an end may start a worker: asked again at each step. */
	for (;;) {
		if (m->workers) {
			if (!reap_known(m))
				return;
		} else {
			if (!has_ended(P_ALL, 0, &info))
				return;
			ended(m, &info);
		}
	}
}
