/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived child that makes or enters namespaces, and the conversation with it: the parent says
 * "go" once (the maps are written then), the child answers once with success or its error, and stays,
 * so that its namespaces can be opened, until it is killed. Should the thread that made it end first, so
 * does it: by its death signal, and because it sees the end of the socket (which another child, cloned at
 * that moment by another thread, may hold open). Internal to src/userns. */
#ifndef HULL_USERNS_CHILD_H
#define HULL_USERNS_CHILD_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/proc.h"

struct child {
	struct proc proc;
	int sock;
	pid_t parent;
};
#define CHILD_INIT ((struct child){ .proc = PROC_INIT, .sock = -1 })

/* Clone with these CLONE_NEW* flags. Returns as pidfd_clone(): 1 in the parent, 0 in the child, where
 * ret is set too (its sock). What the child may call: see pidfd_clone(). */
int child_start(uint64_t flags, struct child *ret, struct error *e) MUST_USE;
/* Kill and reap. Accepts an empty one. */
void child_end(struct child *c);
DEFINE_CLEANUP_VALUE(struct child, child_end)
#define cleanup_child CLEANUP(child_end)

/* In the parent. child_result() fails as the child said, or with INTERNAL when it died. */
int child_go(struct child *c, struct error *e) MUST_USE;
int child_result(struct child *c, struct error *e) MUST_USE;

/* In the child. child_wait_go() does not return when the parent is gone. */
void child_wait_go(const struct child *c);
/* Report (r is 0 or e is set) and stay until killed. */
_Noreturn void child_report(const struct child *c, int r, const struct error *e);

#endif
