/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket, and the locks that keep two daemons off the same directories. */
#ifndef HULL_DAEMON_LISTEN_H
#define HULL_DAEMON_LISTEN_H

#include "base/error.h"

/* The path in "unix:///run/x.sock" or "unix:/run/x.sock", or a plain absolute path. Fails: INVALID
 * (anything else; a path longer than sun_path takes). */
int listen_path(const char *listen, const char **ret_path, struct error *e) MUST_USE;

/* Listen on a unix socket with mode 0660, owned by us, backlog SOMAXCONN; non-blocking. A socket that is
 * there already is replaced only when nobody answers on it, for a third of a second; anything else at that path is left
 * alone.
 * Fails: EXISTS (somebody answers, or it is no socket), SYS. */
int listen_unix(const char *path, int *ret_fd, struct error *e) MUST_USE;

/* Take the lock file `name` in a directory; it is held until the fd is closed. Our pid is written into it, for people. One
 * that was killed may be survived by children that still hold it: then this waits for them, up to three seconds.
 * Fails: STATE (another process holds it; names its pid), SYS. */
int listen_lock(const char *dir, const char *name, int *ret_fd, struct error *e) MUST_USE;

#endif
