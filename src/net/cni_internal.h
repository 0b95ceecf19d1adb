/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files behind cni.h. */
#ifndef HULL_NET_CNI_INTERNAL_H
#define HULL_NET_CNI_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "codec/json.h"
#include "net/cni.h"
#include "net/cni_config.h"

struct cni {
	char *conf_dir;
	struct strv bin_dirs;
	char *bin_path; /* CNI_PATH: bin_dirs with colons */
	char *path;	/* PATH of plugins; they look for iptables and the like */
	char *bridge, *subnet, *data_dir;
	bool has_default;
	pthread_mutex_t versions_lock;
	struct map versions; /* path of a plugin -> struct known_versions; under the lock */
	pthread_mutex_t rules_lock;
	int64_t rules_seen_ns; /* when the rules of the built-in network were last there; under the lock */
};

/* A record taken apart: borrowed from it. */
struct attachment {
	struct json_object *record;
	struct cni_config *config;
	const char *id, *ifname, *netns, *args;
	struct json_object *runtime_config; /* of all capabilities; or NULL */
	struct json_object *result;	    /* or NULL */
	int lock_fd;			    /* owned; 0: none */
};
void attachment_done(struct attachment *a);
DEFINE_CLEANUP_VALUE(struct attachment, attachment_done)
/* Fails: CORRUPT. */
int attachment_parse(const char *record, struct attachment *ret, struct error *e) MUST_USE;
/* Wait until nothing works on this attachment any more, and keep others off until attachment_done(): see
 * cni_lock.c. */
void attachment_lock(struct attachment *a, const struct cni_call *call);
/* The record of a pod that has no result yet. Fails: INVALID, naming the field. */
int attachment_record(const struct cni_config *config, const struct cni_pod *pod, struct buf *ret,
		      struct error *e) MUST_USE;

/* The network that a pod gets now; what was passed over is appended to skipped. need_ports: as in
 * cni_config_default(). Fails: UNAVAILABLE. */
int network_choose(struct cni *c, bool need_ports, struct cni_config **ret, struct buf *skipped,
		   struct error *e) MUST_USE;

/* One verb on one plugin. */
struct plugin_call {
	struct cni *c;
	const struct cni_config *config;
	struct json_object *plugin; /* its configuration */
	const char *verb;
	const struct attachment *attachment;   /* NULL: the verb is not about one */
	struct json_object *prev_result;       /* or NULL */
	struct json_object *valid_attachments; /* of GC; or NULL */
	const struct cni_call *call;
};
/* stdout is appended to ret_out. Fails as the verbs of cni.h. */
int plugin_call(const struct plugin_call *p, struct buf *ret_out, struct error *e) MUST_USE;

/* The version of the configuration must be one that the plugin and its IPAM plugin know. Fails: UNAVAILABLE. */
int plugin_check_version(struct cni *c, const struct cni_config *config, struct json_object *plugin,
			 const struct cni_call *call, struct error *e) MUST_USE;
void plugin_versions_done(struct cni *c);

#endif
