/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: what is mounted, and which hierarchy has which controller. */
#ifndef HULL_CGROUP_HOST_H
#define HULL_CGROUP_HOST_H

#include "cgroup/cgroup.h"

struct cgroup_hier {
	char *mount_point;
	char option[64];      /* v1 mount option: "cpu,cpuacct", "name=systemd"; "" for v2 */
	uint32_t controllers; /* bits of enum cgroup_controller that live here */
	bool is_v2;
	int root_dfd;
};

struct cgroup_host {
	enum cgroup_mode mode;
	enum cgroup_driver driver;
	struct cgroup_hier hier[CGROUP_HIER_MAX];
	size_t hier_count;
	int v2;	    /* index of the v2 hierarchy, or -1 */
	int anchor; /* index of the v1 hierarchy in which processes are looked for, or -1 */
	int by_controller[CGROUP_CONTROLLER_COUNT]; /* index, or -1 */
	bool may_lack_access;
	char v2_words[256]; /* cgroup.controllers of the v2 hierarchy */
};

/* Everything but opening: the hierarchies that a mountinfo text names; of several mounts of one hierarchy
 * that of its root, otherwise the first. Pure. v2_controllers is the content of cgroup.controllers. */
void cgroup_host_parse(struct cgroup_host *host, const char *mountinfo);
/* Say what the v2 hierarchy controls, then decide mode, anchor and by_controller. Pure. */
void cgroup_host_decide(struct cgroup_host *host, const char *v2_controllers);
/* Does /proc/cgroups say that no controller is in a hierarchy of version 1 (its second column)? Pure. */
bool cgroup_host_has_no_v1(const char *proc_cgroups);
/* cgroup_host_open() with the mountinfo text given. */
int cgroup_host_open_text(const char *mountinfo, enum cgroup_driver driver, struct cgroup_host **ret_host,
			  struct error *e) MUST_USE;

/* Is c in the v2 hierarchy (so that its files have the names and values of v2)? */
bool cgroup_host_is_v2(const struct cgroup_host *host, enum cgroup_controller c);
/* The name in cgroup.controllers; NULL for what is not a controller of v2. */
const char *cgroup_v2_name(enum cgroup_controller c);

#endif
