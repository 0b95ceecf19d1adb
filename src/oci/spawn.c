/* SPDX-License-Identifier: Apache-2.0 */
/* New namespaces come with the clone itself. Joined ones must be joined before it (the pid namespace takes
 * effect for children only, and new namespaces must belong to the joined user namespace), by a process
 * that cannot go back; that is a vchild, which clones with CLONE_PARENT, so that the new process is the
 * caller's own child (or the caller's parent's).
 *
 * Order of joining: first all but the user namespace, with the host's privileges, which hold over every
 * namespace; what is refused then (a caller without them, setns(2) EPERM) is tried again inside the user
 * namespace, where its owner has all capabilities. */
#include "oci/spawn.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "sys/ns.h"
#include "sys/vchild.h"
#include "userns/denied.h"

#define ENDING_MS 1000

/* A pid namespace takes nobody any more from when its init begins to end: it can be seen to have ended only when it has
 * waited for all others in there. Keeps errno. */
static bool is_ending(int pid_fd)
{
	struct pollfd p = { .fd = pid_fd, .events = POLLIN };
	int sys = errno;
	bool is = poll(&p, 1, ENDING_MS) > 0;

	errno = sys;
	return is;
}

/* On the stack of a vchild (see there). */
__attribute__((no_sanitize_address)) static int clone_main(struct spawn *s, bool clone_parent,
							   struct error *e)
{
	struct clone_args args = {
		.flags = s->clone_flags | CLONE_PIDFD | (clone_parent ? CLONE_PARENT : 0),
		.pidfd = (uint64_t)(uintptr_t)&s->pid_fd,
		/* CLONE_PARENT takes the signal of the caller; execve(2) makes it SIGCHLD in any case. */
		.exit_signal = clone_parent ? 0 : SIGCHLD,
	};
	long pid;

	if (s->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)s->cgroup_fd;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(s->main(s->arg));
	if (pid < 0 && errno == ENOMEM && s->join_pid_fd >= 0 && is_ending(s->join_pid_fd))
		return err_new(e, ERR_STATE, "the container's process is gone");
	if (pid < 0) {
		int sys = errno;
		int r = err_sysk(e, sys == ENOSPC || sys == EAGAIN ? ERR_LIMIT : ERR_SYS, sys,
				 "clone a process into new namespaces (flags 0x%llx)",
				 (unsigned long long)args.flags);

		if (args.flags & CLONE_NEWUSER)
			userns_denied_hint(sys, e);
		return r;
	}
	s->pid = (pid_t)pid;
	return 0;
}

static int join_error(enum oci_ns ns, struct error *e)
{
	return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno, "join the %s namespace",
			oci_ns_info[ns].name);
}

static int join_pass(const struct spawn *s, bool is_last, bool done[OCI_NS_COUNT], struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		if (s->join_fd[ns] < 0 || ns == OCI_NS_USER || done[ns])
			continue;
		if (setns(s->join_fd[ns], oci_ns_info[ns].clone_flag) == 0)
			done[ns] = true;
		else if (is_last || errno != EPERM)
			return join_error(ns, e);
	}
	return 0;
}

static int join_by_fd(const struct spawn *s, struct error *e)
{
	bool done[OCI_NS_COUNT] = { false };
	int r = join_pass(s, s->join_fd[OCI_NS_USER] < 0, done, e);

	if (r < 0 || s->join_fd[OCI_NS_USER] < 0)
		return r;
	if (setns(s->join_fd[OCI_NS_USER], CLONE_NEWUSER) < 0)
		return join_error(OCI_NS_USER, e);
	/* fs.suid_dumpable could have made it 1 with the new credentials. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return join_pass(s, true, done, e);
}

/* An init that is between its clone and its execve is not dumpable, and then a caller without privilege in
 * the initial user namespace may not look at it (EPERM) for some milliseconds. */
static int join_by_process(const struct spawn *s, struct error *e)
{
	const struct timespec pause = { .tv_nsec = 5000000 };

	for (int tries = 0; setns(s->join_pid_fd, (int)s->join_flags) < 0; tries++) {
		if (errno == ESRCH)
			return err_new(e, ERR_STATE, "the container's process is gone");
		if (errno != EPERM || tries >= 100)
			return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
					"join the namespaces of the container (flags 0x%llx)",
					(unsigned long long)s->join_flags);
		nanosleep(&pause, NULL);
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int join_and_clone(void *arg, struct error *e)
{
	struct spawn *s = arg;
	int r = s->join_pid_fd >= 0 ? join_by_process(s, e) : join_by_fd(s, e);

	return r < 0 ? r : clone_main(s, true, e);
}

/* setns(2) refuses to enter the user namespace that one is in; for the others it would be a waste. */
static int forget_own(struct spawn *s, bool *ret_any, struct error *e)
{
	*ret_any = s->join_pid_fd >= 0;
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		cleanup_close int own = -1;
		bool same;
		int r;

		if (s->join_fd[ns] < 0)
			continue;
		r = ns_open_own(oci_ns_info[ns].clone_flag, &own, e);
		if (r >= 0)
			r = ns_is_same(own, s->join_fd[ns], &same, e);
		if (r < 0)
			return r;
		if (same)
			s->join_fd[ns] = -1;
		else
			*ret_any = true;
	}
	return 0;
}

int spawn_run(struct spawn *s, struct error *e)
{
	bool joins;
	int r = forget_own(s, &joins, e);

	if (r < 0)
		return r;
	if (!joins)
		return clone_main(s, s->clone_parent, e);
	return s->clone_parent ? vchild_run_as_sibling(join_and_clone, s, e)
			       : vchild_run(join_and_clone, s, e);
}

void spawn_kill(struct spawn *s)
{
	siginfo_t info;

	if (s->pid_fd < 0)
		return;
	pidfd_send(s->pid_fd, SIGKILL);
	if (!s->clone_parent)
		waitid(P_PIDFD, (id_t)s->pid_fd, &info, WEXITED | __WALL);
	close(s->pid_fd);
	s->pid_fd = -1;
}
