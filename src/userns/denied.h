/* SPDX-License-Identifier: Apache-2.0 */
/* Why this host does not let us make a user namespace. clone(2) has one errno for many reasons, and none of them is a
 * mistake of the caller: a sysctl or a profile is to be named. */
#ifndef HULL_USERNS_DENIED_H
#define HULL_USERNS_DENIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* What the host says; -1 where it has no such file. */
struct userns_limits {
	int64_t max_user_namespaces; /* user.max_user_namespaces */
	int64_t unprivileged_clone;  /* kernel.unprivileged_userns_clone (Debian's patch) */
	int64_t apparmor_restricts;  /* kernel.apparmor_restrict_unprivileged_userns (Ubuntu 23.10 on) */
	bool is_unconfined;	     /* our AppArmor profile is none */
	bool has_seccomp;	     /* a seccomp filter is on us */
	bool is_privileged;	     /* CAP_SYS_ADMIN: the two in the middle do not count */
};

/* The reason for errno sys of a clone with CLONE_NEWUSER, or of a first step in the new namespace, with its remedy; NULL
 * when none is known. Pure; the text is static. */
const char *userns_denied_reason(const struct userns_limits *l, int sys);

void userns_limits_read(struct userns_limits *ret);
/* Put the reason behind e's message when there is one. */
void userns_denied_hint(int sys, struct error *e);

#endif
