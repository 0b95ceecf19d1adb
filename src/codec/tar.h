/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a tar stream entry by entry: ustar, pax, GNU (long names, sparse). No I/O of its own; what the
 * entries ask for is the caller's to judge: names come exactly as the archive has them. */
#ifndef HULL_CODEC_TAR_H
#define HULL_CODEC_TAR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"

enum tar_type { TAR_FILE, TAR_DIR, TAR_SYMLINK, TAR_HARDLINK, TAR_CHAR, TAR_BLOCK, TAR_FIFO, TAR_OTHER };

struct tar_entry {
	enum tar_type type;
	const char *path;  /* valid until the next tar_next() */
	const char *link;  /* target of a symlink or hardlink, otherwise NULL */
	mode_t mode;	   /* the 07777 part */
	uint32_t uid, gid; /* at most 2^32 - 2 */
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint64_t size_bytes; /* of a file, holes included */
	uint32_t dev_major, dev_minor;
};

struct tar;

/* Give the next piece of the archive: *ret_data stays valid until the next call. Returns its length, 0 at
 * the end, or a negative kind with e set, which then is the result of tar_next() or tar_data(). */
typedef ssize_t (*tar_read_fn)(void *arg, const void **ret_data, struct error *e);

struct tar *tar_new(tar_read_fn read, void *arg);
void tar_free(struct tar *t);
DEFINE_CLEANUP(struct tar, tar_free)

/* The next entry: returns 1, or 0 at the end of the archive. An empty stream is an empty archive.
 * Fails: CORRUPT (naming the entry before, when there was one), as read did. */
int tar_next(struct tar *t, struct tar_entry *ret, struct error *e) MUST_USE;

/* The next piece of the entry's content and where it belongs: returns 1, or 0 at its end. What is between
 * pieces is a hole. Need not be read to the end. Fails: CORRUPT, as read did. */
int tar_data(struct tar *t, const void **ret_data, size_t *ret_len, uint64_t *ret_offset,
	     struct error *e) MUST_USE;

/* The next extended attribute of the entry: returns 1, or 0 after the last. */
int tar_xattr(struct tar *t, const char **ret_name, const void **ret_value, size_t *ret_len);

#endif
