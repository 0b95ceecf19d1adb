/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of untar(), shared by untar.c (what an entry is), untar_path.c (where it goes) and
 * untar_meta.c. */
#ifndef HULL_IMAGE_UNTAR_INTERNAL_H
#define HULL_IMAGE_UNTAR_INTERNAL_H

#include <limits.h>
#include <time.h>

#include "image/untar.h"

struct dir_time {
	char *path;
	struct timespec mtime;
};

struct writer {
	const struct untar_opts *o;
	struct untar_result result;
	char path[PATH_MAX];	  /* the cleaned name of this entry; "" is the root itself */
	const char *name;	  /* its last part, in path */
	int parent_fd;		  /* of name: root_dfd or open_fd */
	int open_fd;		  /* kept open for the next entry; -1 none */
	char open_path[PATH_MAX]; /* the directory of open_fd */
	struct dir_time *dirs;
	size_t dir_count, dir_room;
	uint64_t unchecked_bytes;
};

/* --- untar_path.c --- */

/* A cleaned copy of a name in the archive: without "./" and double slashes. Fails: INVALID. */
int untar_clean_name(const char *name, char out[PATH_MAX], struct error *e) MUST_USE;

/* Open a directory below the root; a symlink on the way is followed as long as it stays below. Returns 0 or
 * -errno, and no message: most callers have a way on. */
int untar_open_beneath(struct writer *w, const char *path, int *ret_fd) MUST_USE;

/* Set w->parent_fd and w->name for w->path; parents that are missing are made. Fails: INVALID, SYS. */
int untar_open_parent(struct writer *w, struct error *e) MUST_USE;
/* Close what is kept open. */
void untar_forget_open(struct writer *w);

/* Something has this name already: a later entry wins. Fails: SYS. */
int untar_make_way(struct writer *w, struct error *e) MUST_USE;

/* Make the directory dfd/name opaque ("": dfd itself): overlayfs then shows nothing of the layers below in
 * it. Fails: SYS. */
int untar_make_opaque(int dfd, const char *name, struct error *e) MUST_USE;

/* --- untar_meta.c --- */

/* Owner, mode, attributes, time of anything but a file that is open, and of such a file. The content and the
 * name are there already. Fail: SYS. */
int untar_set_meta(struct writer *w, struct tar *t, const struct tar_entry *x, struct error *e) MUST_USE;
int untar_set_file_meta(struct writer *w, struct tar *t, const struct tar_entry *x, int fd,
			struct error *e) MUST_USE;

/* The directory w->path gets the entry's time at the end. */
void untar_remember_dir(struct writer *w, const struct tar_entry *x);
/* Set the times of all of them; w->dirs is gone then. */
void untar_set_dir_times(struct writer *w);

#endif
