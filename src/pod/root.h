/* SPDX-License-Identifier: Apache-2.0 */
/* For processes in a mount namespace of their own: leave the host's tree. */
#ifndef HULL_POD_ROOT_H
#define HULL_POD_ROOT_H

#include <stdint.h>

#include "base/error.h"

/* A detached tmpfs: nosuid, nodev, noexec. options: pairs of names and values of tmpfs(5), NULL-terminated.
 * Fails: SYS. */
int root_tmpfs(const char *const *options, uint64_t attributes, int *ret_tree_fd, struct error *e) MUST_USE;

/* Make the detached tree the root of our mount namespace, and drop all other mounts from it. The namespace
 * is one that nobody else is in. No allocation. Fails: SYS. */
int root_enter(int tree_fd, struct error *e) MUST_USE;

#endif
