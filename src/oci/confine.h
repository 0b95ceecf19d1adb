/* SPDX-License-Identifier: Apache-2.0 */
/* What a container's process may do: ids, capabilities, no_new_privs, seccomp, rlimits, LSM label, OOM
 * score, umask, personality, scheduler, I/O priority.
 *
 * Three steps, because each has a place where alone it works:
 *
 *   confine_prepare()  in the builder, before clone: names become numbers, the seccomp profile becomes BPF
 *                      (or comes from the cache), wishes that this host cannot fulfil become errors. All
 *                      memory is taken here.
 *   confine_outside()  on the child's pid, by a process that still has our own privileges (the builder), or
 *                      by the child itself with pid 0 while it is dumpable and outside of a new user
 *                      namespace: rlimits (raising a hard limit asks CAP_SYS_RESOURCE in the *initial* user
 *                      namespace), oom_score_adj, scheduler, I/O priority, CPU affinity.
 *   confine_inside()   in the child, after pivot_root, as the last thing before execve: the rest.
 *
 * Neither of the latter allocates; both are fine between clone and exec. */
#ifndef HULL_OCI_CONFINE_H
#define HULL_OCI_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/spec.h"

struct confine;

struct confine_opts {
	const struct oci_process *process;
	const struct oci_seccomp *seccomp;	       /* of spec.linux; NULL: none */
	const struct oci_memory_policy *memory_policy; /* of spec.linux; NULL: none */
	bool personality_is_set;
	unsigned long personality;
	bool in_user_ns;       /* the process ends in a user namespace other than ours, with all capabilities
				 * there (user_namespaces(7)); false: our own bounding set is the limit */
	bool setgroups_denied; /* /proc/self/setgroups of that namespace says "deny" (a map of one id, written
				 * without privilege): additional groups are then an error, none are no call */
	bool keeps_groups;     /* those that we come with, whatever process.user.additionalGids says */
	bool caps_lenient; /* a capability that we lack is dropped with a warning. Otherwise that is done only
				 * when all capabilities are asked for (a privileged container), and a single one
				 * that is missing is an error */
	bool restrict_oom_score; /* an oom_score_adj below our own becomes our own, with a warning */
	bool by_itself; /* outside has no privilege over the process: of confine_outside() only the rlimits are done
			 * there, the scheduler and the I/O priority by confine_inside(), and the OOM score by
			 * oom_lend.h */
	bool die_with_parent; /* SIGKILL when the parent ends (prctl(2) PR_SET_PDEATHSIG), as far as that goes: a
				 * set-id program loses it, and the program itself may switch it off */
	int seccomp_cache_dfd; /* directory of compiled filters, 0700 and ours; -1: none */
};

/* Fails: INVALID (a profile that libseccomp refuses), UNSUPPORTED (an LSM label asked for and the LSM is not
 * active, a seccomp action or flag the kernel lacks), DENIED (a capability that we do not have), SYS. */
int confine_prepare(const struct confine_opts *o, struct confine **ret_confine, struct error *e) MUST_USE;
void confine_free(struct confine *c);
DEFINE_CLEANUP(struct confine, confine_free)

/* What was clamped or left out so far, as sentences; for the log of whoever made it. i from 0; NULL at the end. */
const char *confine_warning(const struct confine *c, size_t i);

/* pid 0 is the caller. proc_dfd is a directory fd of a /proc in which pid is visible (-1: "/proc").
 * A hard rlimit that may not be raised is clamped to the present one; that, and a clamped OOM score, are told
 * through confine_warning() (in the process that called this).
 * Fails: DENIED (oom_score_adj below what is allowed, and not restrict_oom_score), SYS. */
int confine_outside(struct confine *c, pid_t pid, int proc_dfd, struct error *e) MUST_USE;

/* What the child keeps open between the stages. */
struct confine_child {
	int attr_fd;   /* /proc/thread-self/attr/..., for the LSM label; -1 */
	int report_fd; /* where the listener of a profile with SCMP_ACT_NOTIFY is reported (oci/sync.h) as soon
			  * as there is one: from then on our own calls are the agent's to answer. -1: none */
	bool is_bounded; /* the bounding set is cut already */
};
#define CONFINE_CHILD_INIT ((struct confine_child){ .attr_fd = -1, .report_fd = -1 })

/* In the child, before pivot_root hides the host's /proc: opens what confine_inside() writes. Opened files
 * are close-on-exec. Does nothing without an LSM label. */
int confine_open_child(const struct confine *c, int proc_dfd, struct confine_child *child,
		       struct error *e) MUST_USE;

/* For a child that waits before confine_inside(): does of it what may as well be done before, the bounding set. Needs what
 * that needs; what fails is left to it. */
void confine_ahead(const struct confine *c, struct confine_child *child);

/* In this order, each for a reason (confine_apply.c): LSM exec label, personality, memory policy, umask, [seccomp, when
 * no_new_privs is not asked for and CAP_SYS_ADMIN must therefore still be there], bounding set, groups, gid,
 * uid with kept capabilities, capset, ambient set, no_new_privs, [seccomp]. After it only chdir, read of a
 * gate, write of an error and execve are sure to be possible.
 * The caller is single-threaded and has the capabilities of its user namespace. Fails: SYS, naming the step; CANCELED
 * (nobody took the listener). */
int confine_inside(const struct confine *c, struct confine_child *child, struct error *e) MUST_USE;

#endif
