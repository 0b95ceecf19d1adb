/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps of a user namespace, uids or gids: user_namespaces(7), "User and group ID mappings".
 *
 * An extent maps `length` ids from container_id on (inside) to host_id on (in the namespace of the
 * process that opens the map file: the host, or wherever hull runs). Ids run from 0 to 4294967294;
 * 4294967295 is (uid_t)-1 and never mapped. No two extents of a map overlap, on either side.
 * All functions are pure but for those named _write; the struct is plain data, copied by assignment. */
#ifndef HULL_USERNS_IDMAP_H
#define HULL_USERNS_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct idmap_extent {
	uint32_t container_id, host_id, length;
};

#define IDMAP_MAX 340 /* extents the kernel takes since Linux 4.15 */
struct idmap {
	struct idmap_extent x[IDMAP_MAX];
	size_t n;
};
#define IDMAP_INIT ((struct idmap){ .n = 0 })

/* Add one extent behind the others. Changes nothing when it fails.
 * Fails: INVALID  length is 0, or a side would reach 4294967295 or pass it
 *        EXISTS   either side overlaps an extent already there; the message names both
 *        LIMIT    the map has IDMAP_MAX extents */
int idmap_add(struct idmap *map, struct idmap_extent x, struct error *e) MUST_USE;

/* Parse the text of a uid_map file: a line an extent, "CONTAINER HOST LENGTH" in decimal, separated and
 * surrounded by spaces and tabs; the last line may lack its newline; empty lines are passed over.
 * text need not be terminated. Adds behind what map has; changes nothing when it fails.
 * Fails: INVALID, EXISTS, LIMIT as idmap_add(); every message begins with the number of the line. */
int idmap_parse(struct idmap *map, const char *text, size_t len, struct error *e) MUST_USE;

/* Check a map that was filled otherwise than by idmap_add(): every rule of idmap_add(), at least one
 * extent and, with need_zero, container id 0 mapped (CRI UserNamespace: a pod's root must exist).
 * what ("uid", "gid") begins the message. Fails: INVALID, EXISTS, LIMIT. */
int idmap_check(const struct idmap *map, bool need_zero, const char *what, struct error *e) MUST_USE;

/* Translate one id. Fails: NOT_FOUND (the id is not mapped; the message names it and its side). */
int idmap_to_host(const struct idmap *map, uint32_t container_id, uint32_t *ret_host_id,
		  struct error *e) MUST_USE;
int idmap_to_container(const struct idmap *map, uint32_t host_id, uint32_t *ret_container_id,
		       struct error *e) MUST_USE;

/* Whether both map every id alike, however their extents are cut and ordered. */
bool idmap_equal(const struct idmap *a, const struct idmap *b);

/* Whether every id from 0 to 4294967294 is mapped to itself. */
bool idmap_is_identity(const struct idmap *map);

/* Append as text: a line an extent, single spaces; the kernel and idmap_parse() take it. */
void idmap_format(const struct idmap *map, struct buf *b);

/* Write one map file, "uid_map" or "gid_map", in the /proc/PID directory of a process in the new
 * namespace (pidfd_proc_dir()). Once only for each file and namespace, by a single write(2). We need
 * CAP_SETUID (CAP_SETGID) in the parent namespace and every host id mapped there; otherwise only a map
 * of one id, our own effective one, is taken. Makes no allocation.
 * Fails: LIMIT   the text does not fit a page, which the kernel asks for
 *        STATE   the file was written before, or the process is gone
 *        DENIED  the rules above; the message names the first extent
 *        INVALID, SYS */
int idmap_write(int proc_dfd, const char *file, const struct idmap *map, struct error *e) MUST_USE;

/* Forbid setgroups(2) in the namespace for ever, which a writer of gid_map without CAP_SETGID in the
 * parent namespace has to do first (user_namespaces(7), CVE-2014-8989). Fails: SYS. */
int idmap_write_setgroups_deny(int proc_dfd, struct error *e) MUST_USE;

/* uid_map, then gid_map; where gid_map is refused for the lack of CAP_SETGID, setgroups is denied
 * first and gid_map written then, if the map is of a kind that is then allowed (one id).
 * Fails: as idmap_write(). */
int idmap_write_both(int proc_dfd, const struct idmap *uids, const struct idmap *gids,
		     struct error *e) MUST_USE;

#endif
