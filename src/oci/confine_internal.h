/* SPDX-License-Identifier: Apache-2.0 */
/* What confine_prepare() has made ready for confine_outside() and confine_inside(). */
#ifndef HULL_OCI_CONFINE_INTERNAL_H
#define HULL_OCI_CONFINE_INTERNAL_H

#include <sys/resource.h>

#include "base/buf.h"
#include "oci/confine.h"
#include "sys/mempolicy.h"

#define CONFINE_WARNINGS_MAX 24
#define CONFINE_WARNING_SIZE 192

enum confine_lsm { CONFINE_NO_LSM, CONFINE_APPARMOR, CONFINE_SELINUX };

/* struct sched_attr of linux/sched/types.h (sched_setattr(2)), which no libc header has here. */
struct confine_sched {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max; /* since Linux 5.3 */
};
#define CONFINE_SCHED_SIZE_0 48	      /* without the last two */
#define CONFINE_SCHED_UTIL_FLAGS 0x60 /* SCHED_FLAG_UTIL_CLAMP_MIN, _MAX */

struct confine {
	uint32_t uid, gid;
	uint32_t *groups;
	size_t group_count;
	bool skip_setgroups;
	uint64_t caps[OCI_CAP_SET_COUNT];
	bool no_new_privs, die_with_parent;
	uint32_t umask;
	bool personality_is_set;
	unsigned long personality;
	struct oci_rlimit rlimits[RLIM_NLIMITS];
	size_t rlimit_count;
	struct oci_opt_i32 oom_score_adj;
	bool restrict_oom_score, by_itself;
	bool has_scheduler;
	struct confine_sched scheduler;
	struct mempolicy *memory_policy; /* NULL: none */
	bool has_ioprio;
	int ioprio;
	enum confine_lsm lsm;
	char *lsm_text;	    /* what is written into the attr file */
	struct buf seccomp; /* struct sock_filter's; empty: none */
	unsigned int
		seccomp_flags; /* SECCOMP_FILTER_FLAG_NEW_LISTENER among them when the profile notifies */
	char warnings[CONFINE_WARNINGS_MAX][CONFINE_WARNING_SIZE];
	size_t warning_count;
};

void confine_warn(struct confine *c, const char *fmt, ...) PRINTF(2, 3);

#endif
