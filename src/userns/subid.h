/* SPDX-License-Identifier: Apache-2.0 */
/* Subordinate ids: the ranges of /etc/subuid and /etc/subgid (subuid(5)) that a user may map into a user namespace
 * with newuidmap(1) and newgidmap(1). The programs decide, with privilege; here the same is looked up before, so that
 * a map that cannot be is refused with file, line and range while nothing is made yet. */
#ifndef HULL_USERNS_SUBID_H
#define HULL_USERNS_SUBID_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "userns/idmap.h"

enum subid_kind { SUBID_UID, SUBID_GID };

struct subid_user {
	uint32_t uid, gid;
	char name[64]; /* of passwd(5); "" when it has no line there */
};

/* The ranges of one user in the text of a subuid file: lines NAME:FIRST:COUNT, where NAME may be the uid in
 * decimal. Lines that make no sense are passed over, as libsubid does. Pure. */
#define SUBID_RANGES_MAX 64
struct subid_range {
	uint32_t first, count;
	unsigned int line; /* in the file; 0 when it did not come from a file */
};
size_t subid_parse(const char *text, const struct subid_user *user, struct subid_range ret[SUBID_RANGES_MAX]);
/* The answer of getsubids(1), "0: NAME FIRST COUNT" a line. Pure. */
size_t subid_parse_answer(const char *text, struct subid_range ret[SUBID_RANGES_MAX]);

/* Are the host ids of each extent the user's to map? Its own id alone is in any case; several ranges that touch count
 * as one. source names where the ranges are from. Pure.
 * Fails: DENIED, naming the extent, what is not allowed of it, and what is, with its line. */
int subid_check(enum subid_kind kind, const struct idmap *map, const struct subid_user *user,
		const struct subid_range *ranges, size_t count, const char *source, struct error *e) MUST_USE;

/* Who we are: uid, gid and the name in /etc/passwd. */
void subid_self(struct subid_user *ret);
/* subid_check() with what the machine says: the file, or libsubid's word through getsubids(1) where nsswitch.conf(5)
 * names another source for "subid". Where neither can be asked, nothing is refused.
 * Fails: DENIED */
int subid_check_self(enum subid_kind kind, const struct idmap *map, struct error *e) MUST_USE;

/* Write one map of the process pid, which we own, by newuidmap(1) or newgidmap(1).
 * Fails: UNSUPPORTED  the program is not installed, or has lost its privilege
 *        DENIED       it refused; the message quotes it */
int subid_map(enum subid_kind kind, int pid, const struct idmap *map, struct error *e) MUST_USE;

/* Run a program of $PATH (or the usual directories) with these arguments and get its output, stdout and stderr as one,
 * cut at size. argv[0] is its name. Returns its wait status.
 * Fails: NOT_FOUND, TIMEOUT, SYS */
int subid_run(const char *const *argv, char *out, size_t size, struct error *e) MUST_USE;

#endif
