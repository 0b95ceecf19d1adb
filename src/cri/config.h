/* SPDX-License-Identifier: Apache-2.0 */
/* The node's configuration, as the services use it. Parsed from YAML and flags by the daemon
 * (src/daemon/config.c), which fills the defaults that stand here behind each field. */
#ifndef HULL_CRI_CONFIG_H
#define HULL_CRI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "image/images.h"
#include "userns/idmap.h"
#include "userns/idrange.h"

/* What decides whether a pod that did not ask for host namespaces gets a user namespace. */
enum userns_policy {
	USERNS_KUBELET, /* what the request says */
	USERNS_ALWAYS,	/* a private range of the node's blocks for every pod */
	USERNS_NODE,	/* the one mapping of the node for every pod */
};

/* A RuntimeClass handler. The first one is the default: name "". */
struct handler_config {
	char *name;
	enum userns_policy userns; /* USERNS_KUBELET */
	uint32_t userns_size;	   /* ids of a pod under USERNS_ALWAYS: 65536 */
};

struct node_config {
	char *listen;	     /* unix:///run/hull/hull.sock */
	char *root_dir;	     /* /var/lib/hull */
	char *state_dir;     /* /run/hull */
	char *netns_dir;     /* /run/netns */
	char *helper_dir;    /* NULL: HULL_LIBEXEC, or beside the running program */
	char *cgroup_driver; /* "cgroupfs" or "systemd" (default: cgroupfs) */

	char *cni_conf_dir;	    /* /etc/cni/net.d */
	struct strv cni_bin_dirs;   /* /opt/cni/bin, /usr/lib/cni */
	char *cni_default_bridge;   /* hull0: the built-in network, when no configuration is present */
	char *cni_default_subnet;   /* CNI_DEFAULT_SUBNET */
	char *cni_default_data_dir; /* NULL: <root_dir>/cni */
	uint32_t cni_timeout_s;	    /* 60 */

	char *sandbox_image;		   /* NULL: no pause container */
	struct strv pod_annotations;	   /* names (or "prefix*") passed into the OCI spec */
	struct strv container_annotations; /* the same, of containers */
	bool enable_unprivileged_ports;	   /* true: net.ipv4.ip_unprivileged_port_start = 0 */
	bool enable_unprivileged_icmp;	   /* true: net.ipv4.ping_group_range fits the pod's map */
	bool restrict_oom_score_adj;	   /* false; true: clamp to hulld's own instead of failing */
	char *log_level;		   /* info */
	char *log_format;		   /* text or json */

	struct handler_config *handlers; /* at least the default */
	size_t handler_count;

	char *userns_user; /* hull: whose lines of /etc/subuid and /etc/subgid are the blocks */
	struct idrange_pool *userns_blocks; /* configured blocks; NULL: from the files */
	struct idmap node_uids, node_gids;  /* for USERNS_NODE; empty when not configured */

	struct registries registries;
};

#endif
