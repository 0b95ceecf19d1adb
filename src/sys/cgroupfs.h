/* SPDX-License-Identifier: Apache-2.0 */
/* Control files and directories of a mounted cgroup hierarchy, v1 or v2, from directory fds. No policy:
 * errno comes back as it is, so that callers can say what it means. */
#ifndef HULL_SYS_CGROUPFS_H
#define HULL_SYS_CGROUPFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Open a child directory by one name: no symlink, nothing but cgroupfs. Returns the fd or -1. */
int cgroupfs_open_dir(int dfd, const char *name);

/* A mark of ours on a directory, which lasts as long as it does (user.* attributes on cgroups: Linux 5.7). Returns 0 or
 * -1. Only a mark that nobody but our user can have made counts. */
int cgroupfs_mark(int dfd);
bool cgroupfs_is_marked(int dfd);

/* Write a control file with one write(2). Returns 0 or -1. */
int cgroupfs_write(int dfd, const char *file, const char *value);
/* The same in two steps, for several values in turn. The first returns the fd or -1. */
int cgroupfs_open_file(int dfd, const char *file);
int cgroupfs_write_fd(int fd, const char *value);

/* Read a control file whole into text (NUL added, the last newline dropped). Returns its length, or -1
 * (EFBIG: longer than size - 1). */
ssize_t cgroupfs_read(int dfd, const char *file, char *text, size_t size);
/* The same from offset 0 of a file that is open already. */
ssize_t cgroupfs_read_fd(int fd, char *text, size_t size);

/* Is it on a cgroup file system, v1 or v2? */
bool cgroupfs_is(int fd);

/* One number; "max" is UINT64_MAX. Returns 0 or -1 (EINVAL: no number). */
int cgroupfs_read_u64(int dfd, const char *file, uint64_t *ret);

/* The number behind a key in text of "key number" lines (flat keyed). */
bool cgroupfs_keyed(const char *text, const char *key, uint64_t *ret);
/* Is word one of the space-separated words of text? */
bool cgroupfs_has_word(const char *text, const char *word);

/* Visit dfd and every directory below it. The whole walk needs two fds at any depth, since a container that
 * may write its own cgroup can nest as deep as it likes. */
enum cgroupfs_order { CGROUPFS_PARENT_FIRST, CGROUPFS_CHILDREN_FIRST };
struct cgroupfs_visit {
	int dfd;	  /* the directory */
	int parent_dfd;	  /* CHILDREN_FIRST only, -1 at the top */
	const char *name; /* in the parent; NULL at the top */
};
/* fn returns 0 to go on, anything else to stop; its errno is kept. A directory that vanished meanwhile is
 * passed over. Returns 0, fn's value, or -1. */
int cgroupfs_walk(int dfd, enum cgroupfs_order order, int (*fn)(const struct cgroupfs_visit *v, void *arg),
		  void *arg);

#endif
