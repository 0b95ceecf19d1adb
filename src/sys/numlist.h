/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of CPUs and of memory nodes, "0-3,7", as bit masks of the kernel's calls. */
#ifndef HULL_SYS_NUMLIST_H
#define HULL_SYS_NUMLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define NUMLIST_BITS 8192 /* the most CPUs that Linux can be built for; memory nodes are fewer */
#define NUMLIST_WORD_BITS (8 * sizeof(unsigned long))

struct numlist {
	unsigned long words[NUMLIST_BITS / NUMLIST_WORD_BITS];
	size_t count; /* bits that are set */
};

/* An empty text is an empty list. White space around numbers is allowed. Changes nothing when it fails.
 * Fails: INVALID (no list, a range that runs backwards), LIMIT (a number of NUMLIST_BITS or more). */
int numlist_parse(const char *text, struct numlist *ret, struct error *e) MUST_USE;
static inline bool numlist_has(const struct numlist *l, size_t n)
{
	return n < NUMLIST_BITS && (l->words[n / NUMLIST_WORD_BITS] >> n % NUMLIST_WORD_BITS & 1);
}

#endif
