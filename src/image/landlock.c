/* SPDX-License-Identifier: Apache-2.0 */
#include "image/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Rights by ABI (landlock(7)); the headers of the build host may be older than the kernel. */
#define FS_ABI_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define NET_BIND_TCP UINT64_C(1)
#define SCOPE_ABSTRACT_UNIX UINT64_C(1)
#define SCOPE_SIGNAL UINT64_C(2)

struct ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

static const char *const network_paths[] = {
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/nsswitch.conf",
	"/etc/host.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/etc/ld.so.cache",
	"/etc/localtime",
	"/usr/lib",
	"/usr/lib64",
	"/usr/lib/ssl",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/run/systemd/resolve",
	"/dev/urandom",
	"/dev/null",
};

static int allow_fd(int ruleset, int fd, struct error *e)
{
	struct landlock_path_beneath_attr rule = { .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at a directory");
	rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
	if (S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(e, "add a Landlock rule");
	return 0;
}

static int allow_paths(int ruleset, struct error *e)
{
	for (size_t i = 0; i < ARRAY_LEN(network_paths); i++) {
		cleanup_close int fd = open(network_paths[i], O_PATH | O_CLOEXEC);
		int r = fd < 0 ? 0 : allow_fd(ruleset, fd, e); /* not every host has every file */

		if (r < 0)
			return err_ctx(e, "\"%s\"", network_paths[i]);
	}
	return 0;
}

int landlock_apply(bool has_network, const int *read_dfds, size_t count, struct error *e)
{
	struct ruleset_attr attr = { .handled_access_fs = FS_ABI_1 };
	cleanup_close int ruleset = -1;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	size_t size = sizeof(uint64_t);
	int r = 0;

	if (abi < 0)
		return err_sysk(e, ERR_UNSUPPORTED, errno, "ask for Landlock's version");
	attr.handled_access_fs |= (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
				  (abi >= 5 ? FS_IOCTL_DEV : 0);
	if (abi >= 4) {
		attr.handled_access_net = NET_BIND_TCP;
		size = 2 * sizeof(uint64_t);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return err_sys(e, "make a Landlock ruleset");
	if (has_network)
		r = allow_paths(ruleset, e);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = allow_fd(ruleset, read_dfds[i], e);
	if (r < 0)
		return r;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, "restrict by Landlock");
	return 0;
}
