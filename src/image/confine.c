/* SPDX-License-Identifier: Apache-2.0 */
#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "image/confine_filter.h"
#include "image/landlock.h"
#include "sys/caps.h"

#define NOBODY 65534u
/* Without the sanitizers, whose shadow alone is terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__)
#define DATA_BYTES RLIM_INFINITY
#else
#define DATA_BYTES ((rlim_t)1 << 30)
#endif

#define LAYER_CAPS                                                                                    \
	(CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FSETID) | \
	 CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_SETFCAP))

static void limit(int resource, rlim_t value)
{
	struct rlimit now;

	/* A limit that is lower already stays: raising it may not be allowed. */
	if (getrlimit(resource, &now) == 0 && (now.rlim_max == RLIM_INFINITY || now.rlim_max > value))
		setrlimit(resource, &(struct rlimit){ value, value });
}

int confine_basics(struct error *e)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, 256);
	limit(RLIMIT_DATA, DATA_BYTES);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "become not dumpable");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "set no_new_privs");
	return 0;
}

/* Leave uid 0. Not possible where 65534 is not mapped (unshare -Ur): then the other walls hold. */
static void leave_root(void)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		log_debug("the fetcher keeps its uid: %s", strerror(errno));
}

/* Keep at most these capabilities of those that we have. */
static int keep_caps(uint64_t keep, struct error *e)
{
	uint64_t effective, permitted, inheritable;
	int r;

	if (caps_have(CAP_SETPCAP)) {
		r = caps_drop_bounding(keep, e);
		if (r < 0)
			return r;
	}
	r = caps_get(&effective, &permitted, &inheritable, e);
	if (r < 0)
		return r;
	return caps_set(permitted & keep, permitted & keep, 0, e);
}

int confine_fetcher(bool has_network, const int *read_dfds, size_t count, struct error *e)
{
	int r;

	/* The rules are made while we may still look everywhere. */
	r = landlock_apply(has_network, read_dfds, count, e);
	if (r == -ERR_UNSUPPORTED) {
		log_debug("the fetcher is not held by Landlock: %s", err_msg(e));
		err_clear(e);
	} else if (r < 0) {
		return r;
	}
	if (has_network)
		leave_root();
	r = keep_caps(0, e);
	if (r < 0)
		return r;
	return filter_load(has_network ? FILTER_NETWORK : FILTER_FILES_READ, e);
}

/* A copy of the mount of that directory, detached. It must be made before the new mount namespace: a mount
 * of another namespace cannot be copied. */
int confine_clone_mount(int dfd, int *ret_tree_fd, struct error *e)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
	cleanup_close int tree = -1;

	tree = (int)syscall(SYS_open_tree, dfd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return err_sys(e, "clone the mount of the layers' directory");
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return err_sys(e, "set nodev, nosuid, noexec on the layers' directory");
	*ret_tree_fd = take_fd(tree);
	return 0;
}

/* In a new mount namespace: the tree goes on top of the root and becomes the root (pivot_root(2), "." over
 * "."), then the old one is let go. */
static int own_root(int tree_fd, struct error *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "make the mounts private");
	if (syscall(SYS_move_mount, tree_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, "mount the layers' directory");
	if (fchdir(tree_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, "make the layers' directory the root");
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(e, "let the old root go");
	if (chdir("/") < 0)
		return err_sys(e, "enter the new root");
	return 0;
}

int confine_unpacker(int layers_dfd, int tree_fd, struct error *e)
{
	int r;

	if (tree_fd >= 0) {
		r = own_root(tree_fd, e);
		if (r < 0)
			return r;
	} else if (fchdir(layers_dfd) < 0 || chroot(".") < 0) {
		return err_sys(e, "make the layers' directory the root");
	}
	return keep_caps(LAYER_CAPS | CAP_BIT(CAP_SYS_CHROOT) | CAP_BIT(CAP_SETPCAP), e);
}

int confine_layer(int dfd, struct error *e)
{
	int r;

	if (fchdir(dfd) < 0 || chroot(".") < 0)
		return err_sys(e, "make the layer's directory the root");
	r = keep_caps(LAYER_CAPS, e);
	if (r < 0)
		return r;
	return filter_load(FILTER_UNPACK, e);
}
