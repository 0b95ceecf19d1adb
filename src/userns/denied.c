/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/denied.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "sys/caps.h"

const char *userns_denied_reason(const struct userns_limits *l, int sys)
{
	if ((sys == ENOSPC || sys == EUSERS) && l->max_user_namespaces == 0)
		return "the sysctl user.max_user_namespaces is 0: user namespaces are switched off on this "
		       "host";
	if (sys != EPERM && sys != EACCES)
		return NULL;
	if (!l->is_privileged && l->unprivileged_clone == 0)
		return "the sysctl kernel.unprivileged_userns_clone is 0: on this host only root may make "
		       "user "
		       "namespaces; set it to 1";
	/* The restriction lets the namespace be made and takes all capabilities in it away. */
	if (!l->is_privileged && l->apparmor_restricts > 0 && l->is_unconfined)
		return "the sysctl kernel.apparmor_restrict_unprivileged_userns is 1: AppArmor takes the "
		       "capabilities in "
		       "a user namespace from a program without a profile that has \"userns,\"; load such a "
		       "profile for "
		       "hull, or set the sysctl to 0";
	if (l->has_seccomp)
		return "a seccomp filter is in force for hull; it may be what forbids user namespaces";
	return NULL;
}

static int64_t read_number(const char *path)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (file_read(AT_FDCWD, path, 64, &text, NULL) < 0)
		return -1;
	return strtoll(buf_str(&text), NULL, 10);
}

static bool is_unconfined(void)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (file_read(AT_FDCWD, "/proc/self/attr/apparmor/current", 4096, &text, NULL) < 0 &&
	    file_read(AT_FDCWD, "/proc/self/attr/current", 4096, &text, NULL) < 0)
		return true;
	return str_starts(buf_str(&text), "unconfined");
}

void userns_limits_read(struct userns_limits *ret)
{
	*ret = (struct userns_limits){
		.max_user_namespaces = read_number("/proc/sys/user/max_user_namespaces"),
		.unprivileged_clone = read_number("/proc/sys/kernel/unprivileged_userns_clone"),
		.apparmor_restricts = read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
		.is_unconfined = is_unconfined(),
		.has_seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2,
		.is_privileged = caps_have(CAP_SYS_ADMIN),
	};
}

void userns_denied_hint(int sys, struct error *e)
{
	struct userns_limits l;
	const char *reason;

	userns_limits_read(&l);
	reason = userns_denied_reason(&l, sys);
	if (reason)
		err_hint(e, "%s", reason);
}
