// SPDX-License-Identifier: Apache-2.0
#include "sys/mempolicy.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* get_mempolicy(2) and set_mempolicy(2) count one bit more than they read. */
#define MAX_NODE (NUMLIST_BITS + 1)

int mempolicy_set(const struct mempolicy *p, struct error *e)
{
	const unsigned long *mask = p->nodes.count ? p->nodes.words : NULL;
	unsigned long max = mask ? MAX_NODE : 0;

	if (syscall(SYS_set_mempolicy, p->mode, mask, max) == 0)
		return 0;
	if (errno == ENOSYS)
		return err_sysk(e, ERR_UNSUPPORTED, errno, "set a memory policy: this kernel has no NUMA");
	if (errno == EINVAL)
		return err_sysk(
			e, ERR_INVALID, errno,
			"set memory policy %#x on %zu nodes: this kernel does not have the mode, or not the "
			"nodes",
			(unsigned int)p->mode, p->nodes.count);
	return err_sys(e, "set memory policy %#x on %zu nodes", (unsigned int)p->mode, p->nodes.count);
}

int mempolicy_try(const struct mempolicy *p, struct error *e)
{
	struct mempolicy own = { 0 };
	int r;

	if (syscall(SYS_get_mempolicy, &own.mode, own.nodes.words, MAX_NODE, NULL, 0UL) < 0)
		return err_sysk(e, errno == ENOSYS ? ERR_UNSUPPORTED : ERR_SYS, errno,
				"look at our memory policy");
	for (size_t i = 0; i < NUMLIST_BITS; i++)
		own.nodes.count += numlist_has(&own.nodes, i);
	r = mempolicy_set(p, e);
	if (r >= 0)
		r = mempolicy_set(&own, e);
	return r;
}
