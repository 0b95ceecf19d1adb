/* SPDX-License-Identifier: Apache-2.0 */
/* oom_score_adj of a process over which we have no privilege. It is not dumpable, so its files in /proc are the host
 * root's, but a child inherits the value at its clone: we take it on before, and go back to ours afterwards, which is
 * allowed down to the lowest value that somebody with privilege has set (proc_pid_oom_score_adj(5)). */
#ifndef HULL_OCI_OOM_LEND_H
#define HULL_OCI_OOM_LEND_H

#include "base/cleanup.h"
#include "oci/spec.h"

struct oom_lend {
	int fd; /* of our own file, as we may not be dumpable later; -1: nothing to do */
	char saved[16];
};
#define OOM_LEND_INIT ((struct oom_lend){ .fd = -1 })

/* We have to be dumpable. A value that is lower than we may go is left, with a warning in the log (as runc and crun
 * do without privilege). Fails: SYS. */
int oom_lend_begin(const struct oci_process *p, struct oom_lend *ret, struct error *e) MUST_USE;
/* Also when nothing was begun. */
void oom_lend_end(struct oom_lend *l);
DEFINE_CLEANUP_VALUE(struct oom_lend, oom_lend_end)

#endif
