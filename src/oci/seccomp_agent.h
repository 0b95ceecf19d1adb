/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp agent of the OCI specification (config-linux.md, "Seccomp", listenerPath): the program that answers for
 * the calls that a profile gives to SCMP_ACT_NOTIFY. It is sent the listener's fd, and who it is for. */
#ifndef HULL_OCI_SECCOMP_AGENT_H
#define HULL_OCI_SECCOMP_AGENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/hooks.h"
#include "oci/spec.h"

/* Whether a rule of the profile notifies; without one, listenerPath is ignored, as the specification says. */
bool seccomp_notifies(const struct oci_seccomp *profile);
/* The flags to install its filter with: SECCOMP_FILTER_FLAG_*. */
unsigned int seccomp_filter_flags(const struct oci_seccomp *profile);

/* Before anything is made: is there an agent to be reached?
 * Fails: INVALID    a profile that notifies without listenerPath, or of a call that hull itself needs to pass the
 *                   listener on; listenerMetadata without listenerPath
 *        NOT_FOUND  there is no socket at listenerPath */
int seccomp_agent_check(const struct oci_seccomp *profile, struct error *e) MUST_USE;

/* One connection to listenerPath, the container process state as JSON, the fd with it.
 * pid is the process that the filter is for, s->pid the container's init.
 * Fails: SYS, naming the path. */
int seccomp_agent_send(const struct oci_spec *spec, const struct hook_state *s, pid_t pid, int listener_fd,
		       struct error *e) MUST_USE;

#endif
