/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the entries of a tar stream below a directory: an image layer as a directory that overlayfs can
 * stack, or an archive as plain files.
 *
 * Rules of a layer (OCI image spec, "Applying changesets"), and where we are stricter:
 *  - a name that is absolute or has a ".." part is refused, as is a hardlink target of that kind;
 *  - a parent that is a symlink made by this layer is followed when it stays below the layer by itself;
 *    an absolute one, or one that climbs out, is refused (others re-root such a link: we do not write
 *    where the archive did not say);
 *  - parents that have no entry of their own are made 0755 root:root;
 *  - a later entry replaces an earlier one of the same name; directory over directory keeps the content;
 *  - ".wh.x" becomes a character device 0/0, ".wh..wh..opq" the attribute user.overlay.opaque=y, both as
 *    overlayfs reads them under "userxattr"; a directory that replaces a whiteout is opaque. Other
 *    ".wh..wh." names are bookkeeping of aufs and are skipped;
 *  - attributes named *.overlay.* in the archive are dropped: they steer overlayfs. */
#ifndef HULL_IMAGE_UNTAR_H
#define HULL_IMAGE_UNTAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "codec/tar.h"

#define UNTAR_ENTRIES_MAX 4000000u
#define UNTAR_DEPTH_MAX 256 /* parts of a name */

struct untar_opts {
	int root_dfd;
	bool is_layer;	  /* false: files and directories of ours, 0644 and 0755, links made, no devices */
	bool has_devices; /* we may make device nodes (not in a user namespace) */
	uint64_t reserve_bytes; /* disk space that must stay free */
};

struct untar_result {
	uint64_t entries;
	uint64_t inodes, disk_bytes;
	uint64_t dropped_xattrs, skipped_devices;
};

/* Fails: INVALID      an entry that climbs out or has a name that cannot be; the message names it
 *        CORRUPT      a damaged archive
 *        LIMIT        too many entries, too little disk space
 *        SYS */
/* Sets the umask to 0, and uses the current directory: for a process of its own. */
int untar(struct tar *t, const struct untar_opts *o, struct untar_result *ret, struct error *e) MUST_USE;

#endif
