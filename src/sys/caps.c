// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/caps.h"

/* clang-format off */
/* linux/capability.h, in the order of the numbers. */
static const char *const names[] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
};
_Static_assert(ARRAY_LEN(names) == CAP_CHECKPOINT_RESTORE + 1, "a capability is missing");
/* clang-format on */

int caps_from_name(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcasecmp(name, names[i] + 4) == 0)
			return (int)i;
	}
	return -1;
}

const char *caps_name(unsigned int n)
{
	return n < ARRAY_LEN(names) ? names[n] : NULL;
}

uint64_t caps_kernel_mask(void)
{
	unsigned int n = CAP_LAST_CAP;

	/* PR_CAPBSET_READ is EINVAL for what the kernel does not have (prctl(2)). It knows more than our headers or less:
	 * usually two calls tell. */
	while (n > 0 && prctl(PR_CAPBSET_READ, n, 0, 0, 0) < 0)
		n--;
	while (n < 63 && prctl(PR_CAPBSET_READ, n + 1, 0, 0, 0) >= 0)
		n++;
	return n == 63 ? UINT64_MAX : CAP_BIT(n + 1) - 1;
}

uint64_t caps_bounding(void)
{
	uint64_t mask = 0;
	int r;

	for (unsigned int n = 0; n < 64 && (r = prctl(PR_CAPBSET_READ, n, 0, 0, 0)) >= 0; n++)
		mask |= r ? CAP_BIT(n) : 0;
	return mask;
}

/* capget(2) and capset(2) themselves, since libcap allocates. */
int caps_get(uint64_t *ret_effective, uint64_t *ret_permitted, uint64_t *ret_inheritable, struct error *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return err_sys(e, "capget");
	*ret_effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*ret_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	*ret_inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

bool caps_have(unsigned int n)
{
	uint64_t effective = 0, permitted, inheritable;

	return caps_get(&effective, &permitted, &inheritable, NULL) == 0 && (effective & CAP_BIT(n));
}

int caps_set(uint64_t effective, uint64_t permitted, uint64_t inheritable, struct error *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
	};

	if (syscall(SYS_capset, &head, data) < 0)
		return err_sys(e, "capset effective %#llx permitted %#llx inheritable %#llx",
			       (unsigned long long)effective, (unsigned long long)permitted,
			       (unsigned long long)inheritable);
	return 0;
}

static const char *shown(unsigned int n, char *number)
{
	if (caps_name(n))
		return caps_name(n);
	number[0] = (char)('0' + n / 10);
	number[1] = (char)('0' + n % 10);
	number[2] = 0;
	return number;
}

int caps_drop_bounding(uint64_t keep, struct error *e)
{
	char number[3];

	for (unsigned int n = 0; n < 64; n++) {
		int sys, is_there;

		if ((keep & CAP_BIT(n)) || prctl(PR_CAPBSET_DROP, n, 0, 0, 0) == 0)
			continue;
		sys = errno;
		is_there = prctl(PR_CAPBSET_READ, n, 0, 0, 0);
		if (is_there < 0) /* nor does the kernel have any behind it */
			break;
		if (!is_there) /* and we have no CAP_SETPCAP, but need none either */
			continue;
		errno = sys;
		return err_sys(e, "drop %s from the bounding set", shown(n, number));
	}
	return 0;
}

int caps_set_ambient(uint64_t ambient, struct error *e)
{
	char number[3];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(e, "clear the ambient capabilities");
	for (unsigned int n = 0; n < 64; n++) {
		if ((ambient & CAP_BIT(n)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0) < 0)
			return err_sys(e, "raise ambient %s (it must be permitted and inheritable)",
				       shown(n, number));
	}
	return 0;
}
