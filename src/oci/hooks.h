/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks of the spec (OCI config.md, "POSIX-platform Hooks"): programs run at fixed points of a container's life,
 * each with the container's state as JSON on its stdin. */
#ifndef HULL_OCI_HOOKS_H
#define HULL_OCI_HOOKS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/spec.h"

struct json_object;

struct hook_state {
	const char *id, *status, *bundle; /* status as in `state`: "creating", "created", ... */
	pid_t pid;			  /* as the one who reads it sees it; 0: none any more */
	const char *const *env; /* of hooks that have none of their own; NULL: the caller's, as runc does */
	bool keeps_cwd;		/* they start where the caller is, and not in the bundle */
};

/* Run all hooks of one kind, in order, until one fails. Their programs are looked up in the caller's root and run in
 * its namespaces: which process calls this is what tells createRuntime from createContainer.
 * Fails: STATE    it ended with another status than 0: with its output
 *        TIMEOUT  it was killed after its timeout
 *        NOT_FOUND, SYS */
int hooks_run(const struct oci_spec *spec, enum oci_hook_kind kind, const struct hook_state *s,
	      struct error *e) MUST_USE;
/* The poststop hooks of a container that is gone: "if any fails, the runtime MUST log a warning, but the remaining
 * hooks and lifecycle continue". */
void hooks_poststop(const struct oci_spec *spec, const char *id, const char *bundle);

/* The state of OCI runtime.md, "State", as members of o. */
void hook_state_json(const struct oci_spec *spec, const struct hook_state *s, struct json_object *o);

/* Whether the root file system has to be seen in the container's mount namespace, at root.path, before it becomes
 * the root: hooks of these kinds look for it there. */
static inline int hooks_before_pivot(const struct oci_spec *spec)
{
	return spec->hooks[OCI_HOOK_PRESTART].n || spec->hooks[OCI_HOOK_CREATE_RUNTIME].n ||
	       spec->hooks[OCI_HOOK_CREATE_CONTAINER].n;
}

#endif
