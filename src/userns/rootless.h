/* SPDX-License-Identifier: Apache-2.0 */
/* "Rootless" is two things, and they are decided apart:
 *
 *   1. not root where we are: who may not mount in its own mount namespace needs a user namespace in which it may,
 *      and has to have its ids mapped there (src/oci/stage.h, userns/subid.h);
 *   2. probably without full access to cgroups: so it is for (1), but also for the root of a child user namespace, as
 *      in a container, in LXC or in a namespace that a user made. Errors of cgroups are passed over then when nothing
 *      was asked of them.
 *
 * `--rootless` is a word about (2) alone: no word can make (1) true or false. */
#ifndef HULL_USERNS_ROOTLESS_H
#define HULL_USERNS_ROOTLESS_H

#include <stdbool.h>
#include <sys/types.h>

/* The value of --rootless: decide, or take this word for it. */
enum rootless_word { ROOTLESS_AUTO, ROOTLESS_TRUE, ROOTLESS_FALSE };

struct rootless_facts {
	uid_t euid;
	bool in_child_ns;	 /* our user namespace is not the initial one */
	bool may_mount;		 /* CAP_SYS_ADMIN in the user namespace that owns our mount namespace */
	const char *user;	 /* $USER; NULL when it is not set */
	const char *runtime_dir; /* $XDG_RUNTIME_DIR; NULL when it is not set */
};

struct rootless {
	bool needs_user_ns;    /* (1) mounts can be made only inside of another user namespace */
	bool lacks_cgroups;    /* (2) */
	const char *state_dir; /* below this one in place of /run: $XDG_RUNTIME_DIR; NULL: /run */
};

/* The decision, pure. state_dir points to what facts->runtime_dir does. */
struct rootless rootless_decide(const struct rootless_facts *facts, enum rootless_word word);

/* Find the facts out: a few system calls; the environment's strings are borrowed. What cannot be found out counts as
 * in favour of the initial namespace's root. */
struct rootless_facts rootless_look(void);
/* One of the facts alone. */
bool rootless_in_child_ns(void);

#endif
