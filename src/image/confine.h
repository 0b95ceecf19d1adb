/* SPDX-License-Identifier: Apache-2.0 */
/* The confinement of hull-unpack's processes. Each step is probed; what this host cannot do is named in the
 * log once, and the other steps hold. */
#ifndef HULL_IMAGE_CONFINE_H
#define HULL_IMAGE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Core dumps off, not dumpable (no ptrace by others of our uid), no new privileges, bounded files and memory.
 */
int confine_basics(struct error *e) MUST_USE;

/* The fetcher: network, but of the file system only what name resolution and TLS read, and the directories
 * given. Leaves uid 0 for 65534 when has_network (an import reads files of root), all capabilities gone,
 * Landlock, seccomp (allow list). */
int confine_fetcher(bool has_network, const int *read_dfds, size_t count, struct error *e) MUST_USE;

/* A detached copy of the mount at dfd, nodev, nosuid, noexec. Fails: SYS. */
int confine_clone_mount(int dfd, int *ret_tree_fd, struct error *e) MUST_USE;
/* The unpacker: tree_fd, of confine_clone_mount(), becomes the root of its own mount namespace, and nothing
 * else is mounted there. With tree_fd -1, no such namespace: chroot into layers_dfd. Keeps the capabilities
 * of a layer's process, and what it takes to make one. */
int confine_unpacker(int layers_dfd, int tree_fd, struct error *e) MUST_USE;

/* The process of one layer: the directory dfd becomes its root; of capabilities CHOWN, FOWNER,
 * DAC_OVERRIDE, FSETID, MKNOD, SETFCAP stay; seccomp allows files and memory: no sockets, no exec, no
 * mounts, no signals, no new processes. */
int confine_layer(int dfd, struct error *e) MUST_USE;

#endif
