/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that somebody else chose, walked with openat2(2) from a directory fd; never built and opened.
 * Directory removal that cannot cross a mount or follow a link. */
#ifndef HULL_BASE_PATH_H
#define HULL_BASE_PATH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Open path as if root_dfd were "/": symlinks and ".." stay inside (RESOLVE_IN_ROOT), magic links are
 * refused (RESOLVE_NO_MAGICLINKS). flags as open(2); O_CLOEXEC is added. Fails: SYS (e->sys). */
int path_open_in_root(int root_dfd, const char *path, int flags, mode_t mode, int *ret_fd,
		      struct error *e) MUST_USE;
/* Open a path below dfd; any step that leaves it fails with EXDEV (RESOLVE_BENEATH), as do magic links,
 * and every symlink too when no_symlinks. */
int path_open_beneath(int dfd, const char *path, int flags, mode_t mode, bool no_symlinks, int *ret_fd,
		      struct error *e) MUST_USE;
/* Make a directory and its missing parents inside root_dfd (symlinks resolved inside), then open it
 * O_PATH. Existing parts keep owner and mode. */
int path_mkdir_in_root(int root_dfd, const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd,
		       struct error *e) MUST_USE;

/* mkdir -p for the host's own configured paths (trusted); opens the last as O_DIRECTORY. ret_fd may be
 * NULL. */
int path_mkdir_all(const char *path, mode_t mode, int *ret_fd, struct error *e) MUST_USE;

/* Remove the tree `name` below dfd: never follows a symlink, never crosses a mount (each directory's
 * mount id is compared; the step fails with EXDEV), tolerates what is already gone. Fails: SYS. */
int path_remove_tree(int dfd, const char *name, struct error *e) MUST_USE;

/* Absolute, no "." or ".." part, no empty part, no NUL, at most PATH_MAX - 1 bytes. */
bool path_is_clean_abs(const char *path);
/* One part: not empty, not "." or "..", no '/', at most NAME_MAX bytes. */
bool path_is_name(const char *name);
/* Lexically cleaned copy ("/a/./b/../c" -> "/a/c"), as Go's path.Clean; the caller frees it. Only for
 * showing and comparing, never to decide what is safe to open. */
char *path_clean(const char *path) MUST_USE;

/* "/proc/self/fd/N" for calls that take no fd. */
#define PATH_FD_SIZE 32
const char *path_of_fd(int fd, char out[PATH_FD_SIZE]);

#endif
