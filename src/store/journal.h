/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a pod: which effects that outlive a process (a namespace pin, a cgroup, a CNI ADD, a
 * mount) may exist. An entry is added BEFORE its effect is made and marked done after it was undone, so
 * after a kill at any instruction the open entries name all that can be left: undo each, newest first;
 * undoing must accept what was never made.
 *
 * It lies on tmpfs, as the effects do: both are gone after a boot. */
#ifndef HULL_STORE_JOURNAL_H
#define HULL_STORE_JOURNAL_H

#include "base/cleanup.h"
#include "base/error.h"

#define JOURNAL_NAME "journal"
#define JOURNAL_KIND_MAX 32  /* bytes of [a-z0-9_-] */
#define JOURNAL_ARG_MAX 4096 /* bytes, any but NUL */

struct journal {
	int fd;
};
#define JOURNAL_INIT ((struct journal){ .fd = -1 })

/* Open or make the journal in a pod's directory for appending; a torn last record is cut off. Fails: SYS. */
int journal_open(int pod_dfd, struct journal *ret_journal, struct error *e) MUST_USE;
void journal_close(struct journal *j);
DEFINE_CLEANUP_VALUE(struct journal, journal_close)

/* "kind arg may exist from now on". The effect must not be made when this fails.
 * Fails: INVALID (kind), LIMIT (arg), SYS. */
int journal_add(struct journal *j, const char *kind, const char *arg, struct error *e) MUST_USE;
/* "kind arg exists no more": closes every open entry of that kind and argument. Fails as journal_add(). */
int journal_done(struct journal *j, const char *kind, const char *arg, struct error *e) MUST_USE;

/* An open entry. kind may be one that this version does not know. A negative return (-kind, with e set)
 * ends the replay and becomes its result. */
typedef int (*journal_fn)(void *arg, const char *kind, const char *entry_arg, struct error *e);
/* Give the open entries, newest first, each once. No journal at all is an empty one. fn may append to the
 * journal. Returns how many entries were given.
 * Fails: CORRUPT  a record in the middle cannot be read (its line is named); all others were given
 *        SYS, LIMIT (over 4 MiB), and as fn did. */
int journal_replay(int pod_dfd, journal_fn fn, void *arg, struct error *e) MUST_USE;

#endif
