/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about an OOM kill. */
#ifndef HULL_POD_OOM_H
#define HULL_POD_OOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oom_facts {
	uint64_t kills;	     /* processes of the container that were killed */
	uint64_t limit_hits; /* with has_limit_hits: how often the container's own limit was what was hit */
	bool has_limit_hits;
	bool init_was_killed; /* its first process ended by SIGKILL, or said 137 */
	uint64_t limit_bytes; /* 0: unknown, or none */
	const char *parent;   /* cgroup of the pod; NULL: unknown */
};
/* Write the message, "" without a kill. Returns whether the container counts as OOM-killed. */
bool oom_describe(const struct oom_facts *f, char *out, size_t size);

#endif
