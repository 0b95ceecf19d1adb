/* SPDX-License-Identifier: Apache-2.0 */
/* What of a container comes from outside, by name. Pure: works on texts and lists. */
#ifndef HULL_OCI_CRIU_PLAN_H
#define HULL_OCI_CRIU_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/mountinfo.h"

/* ---- external mounts ---------------------------------------------------------------------------------- */

struct criu_pair {
	char *key, *value;
};
struct criu_pairs {
	struct criu_pair *v;
	size_t n;
};
#define CRIU_PAIRS_INIT ((struct criu_pairs){ 0 })
void criu_pairs_done(struct criu_pairs *p);
DEFINE_CLEANUP_VALUE(struct criu_pairs, criu_pairs_done)
void criu_pairs_add(struct criu_pairs *p, const char *key, const char *value);
const char *criu_pairs_get(const struct criu_pairs *p, const char *key); /* NULL */

#define CRIU_NULL_NAME "/dev/null"

/* A mount that the spec says comes from outside. */
struct criu_named {
	int mount_id;
	const char *name;
	bool is_alone; /* what is below it is another matter */
};
/* For a dump: the mount points of all mounts that criu must not make itself, with their names. What is below one is
 * one too, under its name, unless that is alone. */
void criu_plan_dump(const struct mountinfo *m, const struct criu_named *named, size_t count,
		    struct criu_pairs *ret);
/* For a restore: add the mounts of `m` below the path `staged`, which is where `name` waits, if they have no name yet. */
void criu_plan_below(const struct mountinfo *m, const char *staged, const char *name, struct criu_pairs *ret);

/* ---- descriptors.json --------------------------------------------------------------------------------- */

#define CRIU_DESCRIPTORS "descriptors.json"
#define CRIU_DESCRIPTORS_MAX_BYTES 16384
/* fds 0, 1, 2: for "pipe:[4026]", "socket:[4026]", "file[1c:3ab]" and "tty[8801:1c]" the caller's is given at restore, for
 * "null[1c:3]" the null device, as it was; anything else is for people. */
struct criu_descriptors {
	char *key[3]; /* as criu has it; NULL: nothing is given */
	bool is_null[3];
};
#define CRIU_DESCRIPTORS_INIT ((struct criu_descriptors){ 0 })
void criu_descriptors_done(struct criu_descriptors *d);
DEFINE_CLEANUP_VALUE(struct criu_descriptors, criu_descriptors_done)
/* An array of at most 3 strings. Keys of other forms than the two above are left out; the same key may come twice.
 * Fails: INVALID, LIMIT. */
int criu_descriptors_read(const char *text, size_t len, struct criu_descriptors *ret,
			  struct error *e) MUST_USE;

/* ---- criu's log --------------------------------------------------------------------------------------- */

/* The last few lines of the log that say "Error", without time stamps, as one line: "A; B; C". "" when there are none. */
#define CRIU_QUOTE_SIZE 640
void criu_log_quote(const char *text, size_t len, char out[CRIU_QUOTE_SIZE]);

/* "192.168.1.2:1234", "[::1]:1234". Fails: INVALID. */
int criu_page_server_parse(const char *text, char **ret_address, int *ret_port, struct error *e) MUST_USE;

#endif
