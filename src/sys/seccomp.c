// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "sys/seccomp.h"

bool seccomp_has_action(uint32_t action)
{
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* A NULL program is EFAULT when the flags are known, and EINVAL when one is not (seccomp(2)). Flags that exclude
 * each other are asked for one by one. */
unsigned int seccomp_unknown_flags(unsigned int flags)
{
	unsigned int unknown = 0;

	for (unsigned int bit = 1; bit; bit <<= 1) {
		/* SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV goes only with NEW_LISTENER. */
		unsigned int with = bit == 1u << 5 ? bit | SECCOMP_FILTER_FLAG_NEW_LISTENER : bit;

		if ((flags & bit) && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, with, NULL) < 0 &&
		    errno != EFAULT)
			unknown |= bit;
	}
	return unknown;
}

int seccomp_install(const struct sock_filter *code, size_t count, unsigned int flags, struct error *e)
{
	struct sock_fprog program = { .len = (unsigned short)count, .filter = (struct sock_filter *)code };

	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

	if (r < 0 && errno == EBUSY)
		return err_sys(e, "install a seccomp filter beside one that has a listener already");
	if (r < 0)
		return err_sys(e, "install a seccomp filter of %zu instructions", count);
	return (int)r;
}

int seccomp_export(void *scmp_ctx, struct buf *b, struct error *e)
{
	cleanup_close int fd = memfd_create("hull-seccomp", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(e, "memfd_create for a seccomp filter");
	r = seccomp_export_bpf(scmp_ctx, fd);
	if (r < 0)
		return err_sysk(e, ERR_SYS, -r, "compile the seccomp filter");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "rewind the seccomp filter");
	return fd_read_all(fd, SECCOMP_CODE_MAX * sizeof(struct sock_filter), b, e);
}
