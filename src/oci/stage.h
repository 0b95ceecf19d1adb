/* SPDX-License-Identifier: Apache-2.0 */
/* Work that needs mounts, done for a caller that may not mount where it is (userns/rootless.h): a child that shares
 * our memory and fds enters the container's user namespace and a mount namespace that it owns, a copy of ours, and does
 * it there. What it opens (detached trees) is ours afterwards; the namespace itself goes with the child.
 *
 * It keeps our ids, so it opens files as the user that we are, with the capabilities of the user namespace for files
 * whose owner is mapped. It is no id of that namespace, so it can make no file: the init does what makes some (/dev). */
#ifndef HULL_OCI_STAGE_H
#define HULL_OCI_STAGE_H

#include "base/error.h"

/* user_fd -1: we are root of a user namespace, only the mount namespace is not ours. bundle_dfd is a directory of our
 * mount namespace, in which no mount of the new one can be made: fn gets the same directory over there (-1 for -1).
 * Returns what fn returned. Fails: DENIED, STATE (the bundle's path leads elsewhere now), SYS, and as fn. */
int stage_run(int user_fd, int bundle_dfd, int (*fn)(void *arg, int bundle_dfd, struct error *e), void *arg,
	      struct error *e) MUST_USE;

#endif
