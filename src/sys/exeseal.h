/* SPDX-License-Identifier: Apache-2.0 */
/* A program that makes containers forks into them, and what is forked can be reached there as
 * /proc/PID/exe. A container's root that is the host's root could open that for writing once it does not run
 * any more, and so replace the program on the host (CVE-2019-5736). Run from a read-only mount of itself, the
 * file cannot be opened for writing through that link by anybody. */
#ifndef HULL_SYS_EXESEAL_H
#define HULL_SYS_EXESEAL_H

#include "base/error.h"

/* Execute ourselves again, with the same arguments, environment and fds, from a detached read-only clone of the
 * mount that holds our file; nothing is copied. Returns 0 at once when that has been done already (or the file is
 * on a read-only mount anyhow). To be called first thing in main().
 * Who may not clone mounts is no root of the host, and neither are its containers: what it cannot write they cannot
 * either, and nothing needs to be done. Where the file is its own (a program in a home directory), root of its
 * containers is perhaps the same user: then we run from a sealed copy in memory (memfd_create(2)).
 * Fails: SYS */
int exe_seal(char **argv, struct error *e) MUST_USE;

/* A program from a detached read-only clone of the mount that holds it, for proc_spawn(): what is started from it
 * is sealed from its first instruction, and exe_seal() has nothing to do. The caller owns the fd.
 * Fails: NOT_FOUND, DENIED (we may not clone mounts), SYS */
int exe_open_sealed(const char *path, int *ret_fd, struct error *e) MUST_USE;

#endif
