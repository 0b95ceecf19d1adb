// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>

#include "base/file.h"
#include "sys/lsm.h"

static bool starts(const char *path, const char *with)
{
	cleanup_buf struct buf b = BUF_INIT;

	return file_read(AT_FDCWD, path, 4096, &b, NULL) >= 0 && b.len >= strlen(with) &&
	       memcmp(b.data, with, strlen(with)) == 0;
}

bool lsm_has_apparmor(void)
{
	return starts("/sys/module/apparmor/parameters/enabled", "Y");
}

/* Without a policy every process has the initial label "kernel" (as libselinux decides it). */
bool lsm_has_selinux(void)
{
	struct statfs fs;

	return statfs("/sys/fs/selinux", &fs) == 0 && (unsigned int)fs.f_type == SELINUX_MAGIC &&
	       !starts("/proc/self/attr/current", "kernel");
}
