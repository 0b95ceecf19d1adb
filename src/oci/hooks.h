/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks of the spec (OCI config.md, "POSIX-platform Hooks"): programs run at fixed points of a container's life,
 * each with the container's state as JSON on its stdin. */
#ifndef HULL_OCI_HOOKS_H
#define HULL_OCI_HOOKS_H

#include <sys/types.h>

#include "base/error.h"
#include "oci/spec.h"

struct hook_state {
	const char *id, *status, *bundle; /* status as in `state`: "creating", "created", ... */
	pid_t pid;			  /* as the host sees it; 0: none any more */
};

/* Run all hooks of one kind, in order, until one fails. Their programs are looked up in the caller's root and run in
 * its namespaces: which process calls this is what tells createRuntime from createContainer.
 * Fails: STATE    it ended with another status than 0: with its output
 *        TIMEOUT  it was killed after its timeout
 *        NOT_FOUND, SYS */
int hooks_run(const struct oci_spec *spec, enum oci_hook_kind kind, const struct hook_state *s,
	      struct error *e) MUST_USE;

/* Whether the root file system has to be seen in the container's mount namespace, at root.path, before it becomes
 * the root: hooks of these kinds look for it there. */
static inline int hooks_before_pivot(const struct oci_spec *spec)
{
	return spec->hooks[OCI_HOOK_PRESTART].n || spec->hooks[OCI_HOOK_CREATE_RUNTIME].n ||
	       spec->hooks[OCI_HOOK_CREATE_CONTAINER].n;
}
static inline int hooks_in_runtime(const struct oci_spec *spec)
{
	return spec->hooks[OCI_HOOK_PRESTART].n || spec->hooks[OCI_HOOK_CREATE_RUNTIME].n;
}

#endif
