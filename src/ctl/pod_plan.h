/* SPDX-License-Identifier: Apache-2.0 */
/* From a manifest to the messages of CRI, as a kubelet would send them. Pure. */
#ifndef HULL_CTL_POD_PLAN_H
#define HULL_CTL_POD_PLAN_H

#include "api.pb-c.h"
#include "ctl/manifest.h"

struct pod_plan {
	struct arena *arena;
	const struct manifest *manifest;
	const char *uid;
	const char *log_directory;
	const char *node_name;
	uint32_t userns_start, userns_length; /* length 0: the pod is in the node's user namespace */
	const char *const *volume_paths;      /* of each volume of the manifest; NULL: not supported */
	uint64_t memory_bytes;		      /* of the node, for oom_score_adj */
	/* The node's own resolver, for a dnsConfig that adds to it. */
	const char *const *host_servers, *const *host_searches;
	size_t host_server_count, host_search_count;
};

Runtime__V1__PodSandboxConfig *pod_plan_sandbox(const struct pod_plan *p);

/* What is known only once the sandbox runs and the image is there. */
struct pod_plan_container {
	const struct manifest_container *container;
	const char *image_id;
	const char *pod_ip; /* "" on the node's network */
};
Runtime__V1__ContainerConfig *pod_plan_container(const struct pod_plan *p,
						 const struct pod_plan_container *k);

/* Whether the container's first process would be root although runAsNonRoot says that it must not be: the user is the
 * manifest's or else the image's (image_uid -1: image_username). Fails: DENIED. */
int pod_plan_check_user(const struct manifest *m, const struct manifest_container *c, int64_t image_uid,
			const char *image_username, struct error *e) MUST_USE;

#endif
