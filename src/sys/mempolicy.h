/* SPDX-License-Identifier: Apache-2.0 */
/* set_mempolicy(2): which memory nodes a process takes its pages from. glibc has no functions for it. */
#ifndef HULL_SYS_MEMPOLICY_H
#define HULL_SYS_MEMPOLICY_H

#include "base/error.h"
#include "sys/numlist.h"

struct mempolicy {
	int mode; /* MPOL_*, flags included */
	struct numlist nodes;
};

/* For the calling thread, and what it becomes by execve(2); no allocation.
 * Fails: UNSUPPORTED (a kernel without NUMA), INVALID (the kernel refuses: a mode that it does not have, nodes that are
 * not there or not allowed), SYS. */
int mempolicy_set(const struct mempolicy *p, struct error *e) MUST_USE;
/* The same, tried on ourselves and taken back. */
int mempolicy_try(const struct mempolicy *p, struct error *e) MUST_USE;

#endif
