/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp(2): installing a filter, asking what the kernel can do, and getting BPF out of libseccomp. */
#ifndef HULL_SYS_SECCOMP_H
#define HULL_SYS_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/filter.h>

#include "base/buf.h"
#include "base/error.h"

#define SECCOMP_CODE_MAX BPF_MAXINSNS /* 4096 */

/* Whether the kernel has this SECCOMP_RET_ action. */
bool seccomp_has_action(uint32_t action);
/* Which of the SECCOMP_FILTER_FLAG_ bits in flags the kernel does not know. */
unsigned int seccomp_unknown_flags(unsigned int flags);

/* Install code for the calling thread; no allocation. The thread has CAP_SYS_ADMIN in its user namespace,
 * or no_new_privs set. Returns the listener's fd (close-on-exec) with SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0.
 * Fails: SYS. */
int seccomp_install(const struct sock_filter *code, size_t count, unsigned int flags,
		    struct error *e) MUST_USE;

/* The BPF of a libseccomp context, appended to b as struct sock_filter's. Fails: LIMIT, SYS. */
int seccomp_export(void *scmp_ctx, struct buf *b, struct error *e) MUST_USE;

#endif
