/* SPDX-License-Identifier: Apache-2.0 */
/* A criu for a dump, in the ipc, uts and time namespaces that the container has joined: what is criu's own is in no
 * image, and at restore is what criu is in again. So nothing of theirs is written, or overwritten at restore. */
#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "oci/criu_job.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

/* Which namespaces criu shares with the container, and ours, to go back to. */
struct inside {
	int fd[OCI_NS_COUNT], own[OCI_NS_COUNT];
};

static void inside_done(struct inside *in)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		if (in->fd[ns] >= 0)
			close(in->fd[ns]);
		if (in->own[ns] >= 0)
			close(in->own[ns]);
	}
}
DEFINE_CLEANUP_VALUE(struct inside, inside_done)

static int inside_open(const struct oci_spec *spec, int pid_fd, struct inside *in, struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		int r, type = (int)oci_ns_info[ns].clone_flag;

		if (!spec->linux.namespaces[ns].path || !criu_ns_is_entered(ns))
			continue;
		r = pidfd_ns(pid_fd, type, &in->fd[ns], e);
		if (r >= 0)
			r = ns_open_own(type, &in->own[ns], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A child that has just become another program lets our memory go a moment after it has let us go on: EUSERS. */
static int enter(int fd, int type)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int tries = 0; setns(fd, type) < 0; tries++) {
		if (errno != EUSERS || tries >= 1000)
			return -1;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int inside_go(const int fd[OCI_NS_COUNT], struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
		if (fd[ns] >= 0 && enter(fd[ns], (int)oci_ns_info[ns].clone_flag) < 0)
			return err_sys(e, "enter the %s namespace", oci_ns_info[ns].name);
	return 0;
}

/* This process goes there, since a time namespace can be entered only by one that shares its memory with no other
 * (setns(2), EUSERS): a child of proc_spawn() does until it has become criu. */
int criu_start_inside(const char *program, const struct oci_spec *spec, int pid_fd, struct criu_worker *ret,
		      struct error *e)
{
	CLEANUP(inside_done)
	struct inside in = { .fd = { [0 ... OCI_NS_COUNT - 1] = -1 },
			     .own = { [0 ... OCI_NS_COUNT - 1] = -1 } };
	struct error why = ERROR_INIT;
	int r = inside_open(spec, pid_fd, &in, e), back;

	if (r >= 0)
		r = inside_go(in.fd, e);
	if (r >= 0)
		r = criu_worker_start(program, ret, e);
	back = inside_go(in.own, &why);
	if (back < 0 && r >= 0) {
		*e = why;
		return back;
	}
	return r;
}
