/* SPDX-License-Identifier: Apache-2.0 */
/* When criu says "post-restore", all processes are there and none runs. The images have said which namespaces they are
 * in: one that they do not mention is criu's own, the host's. So it is looked at whether that is what the bundle says, of
 * the init; criu puts its descendants into the same, but for network and mount namespaces below them. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "oci/criu_restore.h"
#include "sys/mountapi.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "sys/vchild.h"

static int check_namespace(const struct restore *x, enum oci_ns ns, struct error *e)
{
	cleanup_close int own = -1, theirs = -1;
	int joined = x->ns_fd[ns], type = (int)oci_ns_info[ns].clone_flag;
	bool is_own, is_joined = false;
	int r = ns_open_own(type, &own, e);

	if (r >= 0)
		r = pidfd_ns(x->init.pid_fd, type, &theirs, e);
	if (r >= 0)
		r = ns_is_same(own, theirs, &is_own, e);
	if (r >= 0 && joined >= 0)
		r = ns_is_same(joined, theirs, &is_joined, e);
	if (r < 0)
		return r;
	if (joined >= 0)
		return is_joined ? 0
				 : err_new(e, ERR_DENIED,
					   "the bundle joins a %s namespace, and the checkpoint has another "
					   "one",
					   oci_ns_info[ns].name);
	if (x->plan.makes[ns] && is_own)
		return err_new(
			e, ERR_DENIED,
			"the bundle has a %s namespace of its own, and the checkpoint would run in the "
			"host's",
			oci_ns_info[ns].name);
	/* criu makes a time namespace in any case, so that clocks go on from where they were. */
	if (!x->plan.makes[ns] && !is_own && ns != OCI_NS_TIME)
		return err_new(e, ERR_DENIED,
			       "the bundle has no %s namespace, and the checkpoint one of its own",
			       oci_ns_info[ns].name);
	return 0;
}

int restored_check_namespaces(const struct restore *x, struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		struct error why = ERROR_INIT;
		int r = check_namespace(x, ns, &why);

		/* A kernel without such namespaces. */
		if (r == -ERR_UNSUPPORTED && !x->plan.makes[ns] && x->ns_fd[ns] < 0)
			continue;
		if (r < 0) {
			*e = why;
			return r;
		}
	}
	return 0;
}

static int make_readonly(void *arg, struct error *e)
{
	const int *mount_ns = arg;
	cleanup_close int dfd = -1;

	if (setns(*mount_ns, CLONE_NEWNS) < 0)
		return err_sys(e, "enter the mount namespace");
	dfd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dfd < 0)
		return err_sys(e, "open the root");
	return mount_change(dfd, false, &(struct mount_change){ .set = MOUNT_ATTR_RDONLY }, e);
}

/* criu forgets that the root was read-only where it makes mounts by move_mount(2) (Linux 5.15, criu 3.17), and could
 * not make mount points and ghosts of removed files if it was so from the start. */
int restored_protect_root(const struct restore *x, struct error *e)
{
	cleanup_close int ns = -1;
	int r;

	if (!x->plan.readonly_root)
		return 0;
	r = pidfd_ns(x->init.pid_fd, CLONE_NEWNS, &ns, e);
	if (r >= 0)
		r = vchild_run(make_readonly, &ns, e);
	return r < 0 ? err_ctx(e, "make the root file system read-only") : 0;
}
