/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/rootless.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/caps.h"
#include "sys/ns.h"

#define USER_NS_INIT_INO 0xEFFFFFFDU /* include/linux/proc_ns.h; see userns.c */

/* The rules of runc for its state. podman's monitor calls us in the user's namespace with $XDG_RUNTIME_DIR and without
 * $USER, podman itself with both: to the same state. */
static bool uses_runtime_dir(const struct rootless_facts *f)
{
	/* A relative path is to be taken for none (XDG Base Directory Specification, "Basics"). */
	if (!f->runtime_dir || f->runtime_dir[0] != '/')
		return false;
	if (f->euid != 0)
		return true;
	/* root of the host keeps to /run, also with a session of its own (/run/user/0). */
	return f->in_child_ns && !str_eq(f->user, "root");
}

struct rootless rootless_decide(const struct rootless_facts *f, enum rootless_word word)
{
	return (struct rootless){
		.needs_user_ns = !f->may_mount,
		.lacks_cgroups = word == ROOTLESS_AUTO ? f->euid != 0 || f->in_child_ns || !f->may_mount
						       : word == ROOTLESS_TRUE,
		.state_dir = uses_runtime_dir(f) ? f->runtime_dir : NULL,
	};
}

bool rootless_in_child_ns(void)
{
	struct stat sb;

	return stat("/proc/self/ns/user", &sb) == 0 && sb.st_ino != USER_NS_INIT_INO;
}

/* In a user namespace that was entered without a mount namespace of its own (unshare -Ur) all capabilities are there
 * and help nothing: the mount namespace belongs to somebody above. NS_GET_USERNS then says EPERM. */
static bool owns_mount_ns(void)
{
	cleanup_close int mnt = -1, owner = -1, own = -1;
	bool same = false;

	if (ns_open_own(CLONE_NEWNS, &mnt, NULL) < 0 || ns_open_own(CLONE_NEWUSER, &own, NULL) < 0)
		return true;
	return ns_owner(mnt, &owner, NULL) >= 0 && ns_is_same(owner, own, &same, NULL) >= 0 && same;
}

struct rootless_facts rootless_look(void)
{
	struct rootless_facts f = {
		.euid = geteuid(),
		.in_child_ns = rootless_in_child_ns(),
		.may_mount = caps_have(CAP_SYS_ADMIN),
		.user = getenv("USER"),
		.runtime_dir = getenv("XDG_RUNTIME_DIR"),
	};

	if (f.may_mount && f.in_child_ns)
		f.may_mount = owns_mount_ns();
	return f;
}
