/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sys/pidfd.h"

/* Entering a user namespace takes the death signal away (PR_SET_PDEATHSIG(2const)), so it is set again
 * before each wait. Before it was set the parent may have ended already. */
static void die_with_parent(const struct child *c)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != c->parent)
		_exit(1);
}

int child_start(uint64_t flags, struct child *ret, struct error *e)
{
	struct child c = { .proc = PROC_INIT, .sock = -1, .parent = getpid() };
	int pair[2], r;

	/* Message boundaries: an answer is one byte or one whole struct error. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "make a socket pair");
	r = pidfd_clone(flags, &c.proc, e);
	c.sock = r == 0 ? pair[1] : pair[0];
	close(r == 0 ? pair[0] : pair[1]);
	if (r < 0) {
		close(c.sock);
		return r;
	}
	*ret = c;
	return r;
}

void child_end(struct child *c)
{
	proc_kill(&c->proc);
	cleanup_close_p(&c->sock);
}

int child_go(struct child *c, struct error *e)
{
	if (send(c->sock, "g", 1, MSG_NOSIGNAL) != 1)
		return err_sys(e, "tell the child in the new namespaces to go on");
	return 0;
}

int child_result(struct child *c, struct error *e)
{
	struct error report;
	ssize_t n;

	do
		n = recv(c->sock, &report, sizeof(report), 0);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	if (n != (ssize_t)sizeof(report))
		return err_new(e, ERR_INTERNAL, "the child in the new namespaces died without a report");
	if (err_import(&report) < 0 || !e)
		return -(int)report.kind;
	*e = report;
	return -(int)report.kind;
}

void child_wait_go(const struct child *c)
{
	char go;
	ssize_t n;

	die_with_parent(c);
	do
		n = recv(c->sock, &go, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(1);
}

void child_report(const struct child *c, int r, const struct error *e)
{
	char byte;

	die_with_parent(c);
	if (r < 0)
		(void)!send(c->sock, e, sizeof(*e), MSG_NOSIGNAL);
	else
		(void)!send(c->sock, "k", 1, MSG_NOSIGNAL);
	while (recv(c->sock, &byte, 1, 0) < 0 && errno == EINTR)
		;
	_exit(0);
}
