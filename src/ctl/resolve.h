/* SPDX-License-Identifier: Apache-2.0 */
/* What a person typed -> the pod or container that is meant. */
#ifndef HULL_CTL_RESOLVE_H
#define HULL_CTL_RESOLVE_H

#include "ctl/ctl.h"

/* A choice among candidates: pure, for both kinds. */
struct resolve_candidate {
	const char *id, *name;
	const char *pod, *ns; /* the pod's name and namespace */
	bool is_alive;	      /* ready, running or created */
	int64_t created_at;
};
/* text is an id or the beginning of one, NAME, POD/NAME or NAMESPACE/POD/NAME; for pods (is_pod) NAME or
 * NAMESPACE/NAME. A whole id or a name wins over a prefix; of several with one name the only live one, or else
 * the newest when none lives. Fails: NOT_FOUND; INVALID when several are meant (the message lists them). */
int resolve_choose(const struct resolve_candidate *list, size_t count, bool is_pod, const char *text,
		   size_t *ret_index, struct error *e) MUST_USE;

int resolve_pod(struct ctl *c, const char *text, PB(PodSandbox) **ret, struct error *e) MUST_USE;
/* A container; a pod with a single container names that too. */
int resolve_container(struct ctl *c, const char *text, PB(Container) **ret, struct error *e) MUST_USE;
/* Either: exactly one of both is set. What has a '/' is first looked up as a container. */
int resolve_any(struct ctl *c, const char *text, PB(PodSandbox) **ret_pod, PB(Container) **ret_container,
		struct error *e) MUST_USE;

/* A label or annotation of a container or pod, or "". */
const char *resolve_label(const PB(Container) *ct, const char *key) __attribute__((returns_nonnull));

#endif
