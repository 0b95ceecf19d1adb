/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: device rules as a BPF program. */
#ifndef HULL_CGROUP_DEVICES_H
#define HULL_CGROUP_DEVICES_H

#include <linux/bpf.h>

#include "cgroup/cgroup.h"

struct cgroup_bpf {
	struct bpf_insn *insns;
	size_t n;
};
void cgroup_bpf_done(struct cgroup_bpf *p);
DEFINE_CLEANUP_VALUE(struct cgroup_bpf, cgroup_bpf_done)

/* The rules were checked by the plan. Pure. */
void cgroup_bpf_generate(const struct cgroup_device *rules, size_t count, struct cgroup_bpf *ret);

#endif
