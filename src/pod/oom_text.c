/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/oom.h"

#include <stdio.h>

bool oom_describe(const struct oom_facts *f, char *out, size_t size)
{
	char whose[192] = "a memory limit was reached";

	out[0] = '\0';
	if (f->kills == 0)
		return false;
	if (f->has_limit_hits && f->limit_hits == 0)
		snprintf(whose, sizeof(whose),
			 "a limit above the container (of its pod %.100s, or the node) was reached",
			 f->parent ? f->parent : "");
	else if (f->has_limit_hits && f->limit_bytes > 0)
		snprintf(whose, sizeof(whose), "the container's memory limit of %llu bytes was reached",
			 (unsigned long long)f->limit_bytes);
	else if (f->has_limit_hits)
		snprintf(whose, sizeof(whose), "the container's memory limit was reached");
	snprintf(out, size, "the kernel's OOM killer ended %llu process%s of the container: %s%s",
		 (unsigned long long)f->kills, f->kills == 1 ? "" : "es", whose,
		 f->init_was_killed ? "" : "; its first process was not among them");
	return f->init_was_killed;
}
