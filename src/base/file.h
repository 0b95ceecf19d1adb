/* SPDX-License-Identifier: Apache-2.0 */
/* Small whole files. */
#ifndef HULL_BASE_FILE_H
#define HULL_BASE_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/* Read a whole file of at most max_bytes; b is appended to. path is relative to dfd (or AT_FDCWD).
 * Fails: NOT_FOUND (ENOENT), LIMIT, SYS. */
int file_read(int dfd, const char *path, size_t max_bytes, struct buf *b, struct error *e) MUST_USE;

/* Write a whole file so that a reader sees the old or the new content, never a part: a temporary in
 * the same directory, then rename(2). With durable it is fsynced before, and the directory after. */
int file_write_atomic(int dfd, const char *name, const void *data, size_t n, mode_t mode, bool durable,
		      struct error *e) MUST_USE;

/* Write n bytes into an existing file with one write(2), as /proc and cgroup files want it. */
int file_poke(int dfd, const char *path, const void *data, size_t n, struct error *e) MUST_USE;

#endif
