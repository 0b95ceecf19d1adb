/* SPDX-License-Identifier: Apache-2.0 */
/* The namespaces of a pod. Parent and child in turn:
 *
 *	parent	clone3 with all CLONE_NEW* flags and CLONE_PIDFD; the kernel makes the user namespace
 *		first, so it owns the others (user_namespaces(7), "Interaction of user namespaces and other
 *		types of namespaces")
 *	child	(join_user only) enters the given user namespace, then makes the others in it
 *	parent	writes uid_map and gid_map through the /proc directory of the pidfd, says go
 *	child	lo up, host name, sysctls; reports; stays
 *	parent	opens the namespaces through the pidfd, kills and reaps the child
 *
 * The child runs in a copy of the caller's memory and only makes system calls (pidfd_clone()). No id
 * is changed unless a sysctl asks for it: the child is then the user that cloned it, with all
 * capabilities in its user namespace. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/netlink.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "userns/child.h"
#include "userns/userns.h"

static int check_opts(const struct podns_opts *o, struct error *e)
{
	int r = 0;

	if (o->user && o->join_user)
		return err_new(e, ERR_INVALID, "a pod joins a user namespace or gets a new one, not both");
	if (!o->user && !o->net && !o->ipc && !o->uts)
		return err_new(e, ERR_INVALID, "no namespace was asked for");
	if (o->user && (!o->uids || !o->gids))
		return err_new(e, ERR_INVALID, "a new user namespace needs a map of uids and one of gids");
	if (o->hostname && !o->uts)
		return err_new(e, ERR_INVALID, "host name \"%s\" without an own uts namespace", o->hostname);
	if (o->hostname && strlen(o->hostname) > HOST_NAME_MAX)
		return err_new(e, ERR_INVALID, "host name \"%s\" is longer than %d bytes", o->hostname,
			       HOST_NAME_MAX);
	if (o->user)
		r = idmap_check(o->uids, true, "uid", e);
	if (o->user && r == 0)
		r = idmap_check(o->gids, true, "gid", e);
	return r;
}

static uint64_t clone_flags(const struct podns_opts *o)
{
	return (o->user ? CLONE_NEWUSER : 0U) | (o->net ? CLONE_NEWNET : 0U) | (o->ipc ? CLONE_NEWIPC : 0U) |
	       (o->uts ? CLONE_NEWUTS : 0U);
}

static int enter_and_unshare(const struct podns_opts *o, struct error *e)
{
	int flags = (int)clone_flags(o);

	if (setns(o->join_user_fd, CLONE_NEWUSER) < 0)
		return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno, "join the user namespace");
	if (unshare(flags) < 0)
		return pidfd_clone_failed(errno, e);
	return 0;
}

/* Root of the user namespace. Raw calls: those of the C library would ask all threads to follow, and
 * their copies are not here. */
static int become_root(struct error *e)
{
	if (syscall(SYS_setresgid, 0, 0, 0) < 0)
		return err_sys(e, "become group 0 of the user namespace");
	if (syscall(SYS_setresuid, 0, 0, 0) < 0)
		return err_sys(e, "become user 0 of the user namespace");
	return 0;
}

/* Those of the network namespace ask for a capability, which we have. Those of the ipc namespace go by
 * the owner of the file alone: the root of the user namespace since Linux 5.19 (ipc_permissions() in
 * ipc/ipc_sysctl.c), the host's root before. So each is tried as who we are, and what is refused again
 * as root of the user namespace; there is no way back from there. */
static int write_sysctls(const struct podns_opts *o, struct error *e)
{
	bool is_root = !o->user && !o->join_user;

	for (size_t i = 0; i < o->sysctl_count; i++) {
		int r = sysctl_write(&o->sysctls[i], e);

		if (r == -ERR_DENIED && !is_root) {
			r = become_root(e);
			is_root = true;
			if (r == 0)
				r = sysctl_write(&o->sysctls[i], e);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_up(const struct podns_opts *o, struct error *e)
{
	int r = o->net ? netlink_link_up("lo", e) : 0;

	if (r < 0)
		return r;
	if (o->hostname && sethostname(o->hostname, strlen(o->hostname)) < 0)
		return err_sys(e, "set host name \"%s\"", o->hostname);
	return write_sysctls(o, e);
}

static _Noreturn void child_main(const struct podns_opts *o, const struct child *c)
{
	struct error e = ERROR_INIT;
	int r = o->join_user ? enter_and_unshare(o, &e) : 0;

	if (r == 0) {
		child_wait_go(c);
		r = set_up(o, &e);
	}
	child_report(c, r, &e);
}

static int write_maps(const struct podns_opts *o, int pid_fd, struct error *e)
{
	cleanup_close int dfd = -1;
	int r = pidfd_proc_dir(pid_fd, &dfd, e);

	return r < 0 ? r : idmap_write_both(dfd, o->uids, o->gids, e);
}

static int open_all(const struct podns_opts *o, int pid_fd, struct podns *ns, struct error *e)
{
	const struct {
		bool is_wanted;
		int type, *fd;
	} wanted[] = {
		{ o->user, CLONE_NEWUSER, &ns->user_fd },
		{ o->net, CLONE_NEWNET, &ns->net_fd },
		{ o->ipc, CLONE_NEWIPC, &ns->ipc_fd },
		{ o->uts, CLONE_NEWUTS, &ns->uts_fd },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(wanted) && r == 0; i++)
		if (wanted[i].is_wanted)
			r = pidfd_ns(pid_fd, wanted[i].type, wanted[i].fd, e);
	return r;
}

static int create(const struct podns_opts *o, struct podns *ret, struct error *e)
{
	cleanup_podns struct podns ns = PODNS_INIT;
	cleanup_child struct child c = CHILD_INIT;
	int r = child_start(o->join_user ? 0 : clone_flags(o), &c, e);

	if (r == 0)
		child_main(o, &c);
	if (r > 0)
		r = o->user ? write_maps(o, c.proc.pid_fd, e) : 0;
	if (r == 0)
		r = child_go(&c, e);
	if (r == 0)
		r = child_result(&c, e);
	if (r == 0)
		r = open_all(o, c.proc.pid_fd, &ns, e);
	if (r < 0)
		return r;
	*ret = ns;
	ns = PODNS_INIT;
	return 0;
}

int podns_create(const struct podns_opts *opts, struct podns *ret, struct error *e)
{
	int r = check_opts(opts, e);

	if (r == 0)
		r = create(opts, ret, e);
	return r < 0 ? err_ctx(e, "make the namespaces of the pod") : 0;
}

void podns_done(struct podns *ns)
{
	cleanup_close_p(&ns->user_fd);
	cleanup_close_p(&ns->net_fd);
	cleanup_close_p(&ns->ipc_fd);
	cleanup_close_p(&ns->uts_fd);
}
