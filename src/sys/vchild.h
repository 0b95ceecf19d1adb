/* SPDX-License-Identifier: Apache-2.0 */
/* Run a function in a child that shares our memory and our fds, but not our namespaces, root, current
 * directory and credentials, while we sleep: for joining namespaces without being left in them. Only for
 * single-threaded processes (the child uses our malloc and our stdio state). */
#ifndef HULL_SYS_VCHILD_H
#define HULL_SYS_VCHILD_H

#include "base/error.h"

/* Returns what fn returned (0 or -kind; *e as fn left it). An fd that fn opens is open here too, and
 * stays open. fn must not change our signal handlers. It has a stack of VCHILD_STACK_BYTES.
 * Fails: SYS (no child), INTERNAL (the child was killed), and as fn. */
#define VCHILD_STACK_BYTES (512 * 1024)
int vchild_run(int (*fn)(void *arg, struct error *e), void *arg, struct error *e) MUST_USE;
/* The same by a child of our parent (CLONE_PARENT), so that what fn clones with CLONE_PARENT is one too. Our
 * parent reaps the child, which ends with exit code 0 before this returns. */
int vchild_run_as_sibling(int (*fn)(void *arg, struct error *e), void *arg, struct error *e) MUST_USE;

#endif
