/* SPDX-License-Identifier: Apache-2.0 */
/* The mount option "tmpcopyup" (runc's; podman uses it): a new tmpfs begins with what the image has at its place. */
#ifndef HULL_OCI_COPYUP_H
#define HULL_OCI_COPYUP_H

#include "base/error.h"

/* Copy the contents of directory from_fd into directory to_fd, with modes, owners, times and links: directories,
 * files and symlinks; sockets, FIFOs and device nodes are left out, and mounts are not entered. Both belong to the
 * container: the copy is bounded by the tmpfs's size, COPYUP_DEPTH_MAX levels and COPYUP_FILES_MAX files.
 * Fails: LIMIT, SYS. */
#define COPYUP_DEPTH_MAX 64
#define COPYUP_FILES_MAX 100000
int copyup(int from_fd, int to_fd, struct error *e) MUST_USE;

#endif
