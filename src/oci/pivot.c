/* SPDX-License-Identifier: Apache-2.0 */
/* The new root is attached on top of "/" of our own mount namespace and reached through its fd, then
 * pivot_root(".", ".") puts the old root on top of it, and a lazy unmount of "." takes that whole tree away
 * (pivot_root(2), "pivot_root(".", ".")"). No path of the host is looked up in between. */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/mountapi.h"

/* Without pivot_root (the root of an initramfs cannot be left that way): the new root is moved onto "/", wherever it was
 * put together, and chroot(2) makes it the process's own. The old tree stays below it, out of reach: whoever climbs out
 * of a chroot comes to "/", and so to what is on top of it. */
static int enter_by_chroot(int root_tree, struct error *e)
{
	cleanup_close int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct error why = ERROR_INIT;

	if (old_root < 0)
		return err_sys(e, "open the old root");
	/* ELOOP: it is there already. */
	if (mount_attach(root_tree, old_root, &why) < 0 && why.sys != ELOOP) {
		if (e)
			*e = why;
		return err_ctx(e, "move the root file system onto \"/\"");
	}
	if (chroot(".") < 0)
		return err_sys(e, "chroot into the new root");
	return chdir("/") < 0 ? err_sys(e, "change to the new root") : 0;
}

int pivot_attach(int root_tree, const char *place, unsigned long propagation, struct error *e)
{
	unsigned long before = propagation & (MS_PRIVATE | MS_UNBINDABLE) ? MS_PRIVATE : MS_SLAVE;
	cleanup_close int target = -1;
	int r;

	/* What happens in here must not reach the host (MS_SLAVE still lets the host's mounts in, until
	 * the old tree is gone). */
	if (mount(NULL, "/", NULL, MS_REC | before, NULL) < 0)
		return err_sys(e, "keep our mounts from the host");
	if (place)
		target = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* The root of a user namespace may not come there. */
	if (target < 0)
		target = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		return err_sys(e, "open the old root");
	r = mount_attach(root_tree, target, e);
	return r < 0 ? err_ctx(e, "attach the root file system") : 0;
}

int pivot_enter(int root_tree, bool no_pivot, struct error *e)
{
	if (fchdir(root_tree) < 0)
		return err_sys(e, "change to the new root");
	if (no_pivot)
		return enter_by_chroot(root_tree, e);
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, "pivot into the new root");
	/* We stand in the old root now: it was put on top. */
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(e, "detach the old root");
	return chdir("/") < 0 ? err_sys(e, "change to the new root") : 0;
}
