/* SPDX-License-Identifier: Apache-2.0 */
/* The new root is attached on top of "/" of our own mount namespace and reached through its fd, then
 * pivot_root(".", ".") puts the old root on top of it, and a lazy unmount of "." takes that whole tree away
 * (pivot_root(2), "pivot_root(".", ".")"). No path of the host is looked up in between. */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "sys/mountapi.h"
#include "sys/mountinfo.h"

#define HIDE_ROUNDS 16

/* ---- without pivot_root -------------------------------------------------------------------------- */

static bool is_in_tree(const struct mountinfo *m, const struct mountinfo_entry *mount, int top)
{
	for (size_t depth = 0; mount && mount->id != top; depth++)
		mount = depth < m->n && mount->parent != mount->id ? mountinfo_find(m, mount->parent) : NULL;
	return mount;
}

static int hide_failed(const struct mountinfo_entry *m, struct error *e)
{
	err_sysk(e, ERR_DENIED, errno, "hide the host's %s at \"%s\" from the container", m->type, m->point);
	return err_hint(e,
			"without pivot_root it would stay within reach of user namespaces; unmount it, or do "
			"without --no-pivot");
}

/* One round over what is there. Returns whether something went, below which there may be another one. */
static int hide_round(int root_id, bool *ret_went, struct error *e)
{
	CLEANUP(mountinfo_done) struct mountinfo m = MOUNTINFO_INIT;
	cleanup_buf struct buf text = BUF_INIT;
	int r = file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, e);

	*ret_went = false;
	if (r == -ERR_NOT_FOUND)
		return 0; /* the last proc is gone */
	if (r < 0)
		return r;
	mountinfo_parse(&m, buf_str(&text));
	for (size_t i = m.n; i-- > 0;) {
		const struct mountinfo_entry *one = &m.v[i];

		if ((!str_eq(one->type, "proc") && !str_eq(one->type, "sysfs")) ||
		    is_in_tree(&m, one, root_id))
			continue;
		if (umount2(one->point, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			*ret_went = true;
		/* Of mounts that came with the user namespace none goes alone. */
		else if (mount("tmpfs", one->point, "tmpfs", 0, NULL) < 0 && errno != ENOENT)
			return hide_failed(one, e);
	}
	return 0;
}

/* A user namespace that a container makes gets a proc or sysfs of its own where one can be seen whole in its mount
 * namespace (mount_too_revealing() of the kernel). The host's are, in the old tree, whatever is masked in the
 * container's. */
static int hide_host(int root_tree, struct error *e)
{
	struct statx sx;
	bool went = true;
	int r = 0;

	if (statx(root_tree, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return err_sys(e, "look at the new root");
	for (int round = 0; round < HIDE_ROUNDS && went && r >= 0; round++)
		r = hide_round((int)sx.stx_mnt_id, &went, e);
	return r;
}

/* Without pivot_root (the root of an initramfs cannot be left that way): the new root is moved onto "/", wherever it was
 * put together, and chroot(2) makes it the process's own. The old tree stays below it, out of reach: whoever climbs out
 * of a chroot comes to "/", and so to what is on top of it. */
static int enter_by_chroot(int root_tree, struct error *e)
{
	cleanup_close int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct error why = ERROR_INIT;

	int r;

	if (old_root < 0)
		return err_sys(e, "open the old root");
	r = hide_host(root_tree, e);
	if (r < 0)
		return r;
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

/* ---- the root ------------------------------------------------------------------------------------ */

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
