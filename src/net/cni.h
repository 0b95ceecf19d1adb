/* SPDX-License-Identifier: Apache-2.0 */
/* The Container Network Interface (spec versions 0.3.0 to 1.1.0): the pod's network is made by plugins that
 * are executed with JSON on stdin.
 *
 * What an attachment was made with travels in a *record*: one self-contained JSON text with the network's
 * configuration as it was then, the pod's attributes and, once ADD succeeded, its result. A record is
 * persisted (opaque, STORE_CNI) BEFORE cni_add(), and replaced by the one that ADD gives back, so DEL works
 * after a kill at any instruction, after the configuration has changed, and without the pod's request:
 *
 *	cni_prepare(c, &pod, &record, e)		choose the network, check the pod's attributes
 *	... persist record, journal "cni" ...
 *	cni_add(c, record, &call, &result, e)		result->record replaces it; result->ips[] are the pod's
 *	cni_del(c, record, &call, e)			any record of the pod, with or without a result
 *
 * Every function may be called from any thread, and blocks until the plugins are done, the deadline passes
 * (TIMEOUT) or cancel_fd becomes readable (CANCELED); in the last two the running plugin and its process
 * group are killed. Plugins run in the network namespace of the caller. `lo` is not our affair. */
#ifndef HULL_NET_CNI_H
#define HULL_NET_CNI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"

#define CNI_CONF_DIR "/etc/cni/net.d"
#define CNI_IFNAME "eth0"
/* podman's own network is 10.88.0.0/16, and the same subnet on two bridges would reach only one. */
#define CNI_DEFAULT_BRIDGE "hull0"
#define CNI_DEFAULT_SUBNET "10.87.0.0/16"
#define CNI_DEFAULT_DATA_DIR "/var/lib/cni/networks"

/* The network that is used while conf_dir holds no configuration: the distribution's plugins bridge,
 * host-local, and portmap for pods with host ports; masquerading and forwarding by rules of the whole
 * bridge where iptables is installed. Two instances of hulld need another bridge and subnet each. NULL takes the default. */
struct cni_default_opts {
	const char *bridge;   /* CNI_DEFAULT_BRIDGE; also the network's name */
	const char *subnet;   /* CNI_DEFAULT_SUBNET; an IPv6 one works too */
	const char *data_dir; /* CNI_DEFAULT_DATA_DIR: where host-local keeps its leases */
	bool is_off;	      /* no default network: without configuration the network is not ready */
};

struct cni_opts {
	const char *conf_dir;	     /* NULL: CNI_CONF_DIR */
	const char *const *bin_dirs; /* NULL-terminated, searched in order; NULL: /opt/cni/bin,
					 * /usr/lib/cni, /usr/libexec/cni */
	struct cni_default_opts fallback;
};

struct cni;
/* Nothing is read yet; the options are copied. */
struct cni *cni_open(const struct cni_opts *o) MUST_USE;
void cni_close(struct cni *c);
DEFINE_CLEANUP(struct cni, cni_close)

/* How long a call may take, and who may end it early. */
struct cni_call {
	int64_t deadline_ns; /* CLOCK_MONOTONIC, as deadline_in_ms() makes them; 0: none */
	int cancel_fd;	     /* readable cancels; -1: none */
};

/* ---- the pod --------------------------------------------------------------------------------------- */

struct cni_port {
	uint16_t host_port, container_port; /* host_port 0: not mapped, left out */
	const char *protocol;		    /* "tcp", "udp", "sctp"; NULL: tcp */
	const char *host_ip;		    /* NULL or "": all */
};
struct cni_range {
	const char *subnet, *start, *end, *gateway; /* all but subnet may be NULL */
};
struct cni_bandwidth { /* bits a second, bits; 0: no limit in that direction */
	uint64_t ingress_rate, ingress_burst, egress_rate, egress_burst;
};
struct cni_pair {
	const char *key, *value;
};

/* Borrowed during cni_prepare(). Every count may be 0 and every pointer NULL but id and netns_path. Values of
 * capabilities go to those plugins that declare the capability, as runtimeConfig. */
struct cni_pod {
	const char *id;		      /* CNI_CONTAINERID, K8S_POD_INFRA_CONTAINER_ID */
	const char *netns_path;	      /* CNI_NETNS */
	const char *ifname;	      /* NULL: CNI_IFNAME */
	const char *name, *ns, *uid;  /* K8S_POD_NAME, K8S_POD_NAMESPACE, K8S_POD_UID */
	const struct cni_port *ports; /* capability portMappings */
	size_t port_count;
	const char *const *dns_servers, *const *dns_searches, *const *dns_options; /* dns */
	size_t dns_server_count, dns_search_count, dns_option_count;
	struct cni_bandwidth bandwidth; /* bandwidth */
	const struct cni_range *ranges; /* ipRanges; each is a set of its own */
	size_t range_count;
	const char *const *ips; /* ips: "10.1.2.3/24" */
	size_t ip_count;
	const char *mac;		    /* mac */
	const char *infiniband_guid;	    /* infinibandGUID */
	const char *device_id;		    /* deviceID */
	const char *cgroup_path;	    /* cgroupPath */
	const struct cni_pair *annotations; /* io.kubernetes.cri.pod-annotations */
	size_t annotation_count;
};

/* Take the first configuration of conf_dir in order of names, or the default network, and append the record
 * of an attachment not yet made to ret_record.
 * Fails: INVALID      an attribute of the pod (the field is named)
 *        UNAVAILABLE  no usable network: the message is that of cni_status(); or a plugin is not installed */
int cni_prepare(struct cni *c, const struct cni_pod *pod, struct buf *ret_record, struct error *e) MUST_USE;

/* ---- results --------------------------------------------------------------------------------------- */

struct cni_ip {
	char *address; /* "10.87.0.5", without the prefix */
	char *gateway; /* or NULL */
	uint8_t prefix;
	int32_t interface; /* index in interfaces, -1: not said */
};
struct cni_interface {
	char *name, *mac, *sandbox; /* sandbox: namespace path, NULL on the host */
};
struct cni_route {
	char *dst, *gw; /* gw may be NULL */
};
struct cni_result {
	char *record;	    /* JSON, to be persisted in place of the one given */
	char *json;	    /* the last plugin's result as it came: "cniResult" in verbose status */
	struct cni_ip *ips; /* the pod's: those of interfaces in the sandbox, in the order given */
	size_t ip_count;
	struct cni_interface *interfaces;
	size_t interface_count;
	struct cni_route *routes;
	size_t route_count;
	char **dns_servers, **dns_searches, **dns_options; /* NULL-terminated; NULL when empty */
	char *dns_domain;
	char *network; /* the network's name */
};
void cni_result_free(struct cni_result *r);
DEFINE_CLEANUP(struct cni_result, cni_result_free)

/* The result that a record holds, e.g. after a restart.
 * Fails: NOT_FOUND (a record made by cni_prepare()), CORRUPT. */
int cni_record_result(const char *record, struct cni_result **ret_result, struct error *e) MUST_USE;
/* The network namespace path of a record; the caller frees it. Fails: CORRUPT. */
int cni_record_netns(const char *record, char **ret_path, struct error *e) MUST_USE;

/* ---- verbs ------------------------------------------------------------------------------------------
 * Errors name network, plugin, verb and interface, and quote the plugin's own: the error JSON's msg, details
 * and code, or the end of its stderr. All of them fail with
 *	UNAVAILABLE  a plugin failed, is missing (the directories searched are named) or was killed
 *	CORRUPT      a plugin printed what is no result, or the record is damaged
 *	TIMEOUT, CANCELED, SYS */

/* ADD of each plugin in order. When one fails, all are DELed again before this returns (at most 30 s; what
 * failed in that is appended to the message, and cni_del() may be repeated). */
int cni_add(struct cni *c, const char *record, const struct cni_call *call, struct cni_result **ret_result,
	    struct error *e) MUST_USE;

/* DEL of each plugin in reverse, up to the first error. Waits at most 10 s for plugins of an ADD that a killed
 * hulld left running. Fine when repeated, and when the namespace is gone:
 * CNI_NETNS is then empty. */
int cni_del(struct cni *c, const char *record, const struct cni_call *call, struct error *e) MUST_USE;

/* CHECK of each plugin. Does nothing below spec 0.4.0 or with disableCheck. Fails also: STATE (no result). */
int cni_check(struct cni *c, const char *record, const struct cni_call *call, struct error *e) MUST_USE;

struct cni_attachment {
	const char *id, *ifname; /* ifname NULL: CNI_IFNAME */
};
/* GC: let the plugins of the current network forget what is not in the list. Does nothing below spec 1.1.0 or
 * with disableGC. */
int cni_gc(struct cni *c, const struct cni_attachment *valid, size_t count, const struct cni_call *call,
	   struct error *e) MUST_USE;

struct cni_status {
	bool is_ready;
	bool is_default;    /* the built-in network is used */
	const char *reason; /* CamelCase for the CRI condition; "" when ready. Static. */
	char *message;	    /* why not; or what is used: network, file, skipped files */
	char *network;	    /* its name, or NULL */
	char *path;	    /* the configuration's file, or NULL */
};
void cni_status_done(struct cni_status *s);
DEFINE_CLEANUP_VALUE(struct cni_status, cni_status_done)
/* Whether a pod could get a network now: the configuration is valid, every plugin is there, executable and
 * knows the configuration's version, and (1.1.0) answers STATUS. What plugins said to VERSION is cached by
 * file. Never fails: what is wrong is in the status. */
void cni_status(struct cni *c, const struct cni_call *call, struct cni_status *ret_status);

#endif
