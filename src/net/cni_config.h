/* SPDX-License-Identifier: Apache-2.0 */
/* A CNI network configuration: parsed and checked, found in a directory, or the built-in one. */
#ifndef HULL_NET_CNI_CONFIG_H
#define HULL_NET_CNI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "codec/json.h"
#include "net/cni.h"

#define CNI_PLUGINS_MAX 32
#define CNI_CONFIG_MAX_BYTES (1U << 20)

/* Versions of the spec, in order. */
enum cni_version { CNI_0_3_0, CNI_0_3_1, CNI_0_4_0, CNI_1_0_0, CNI_1_1_0, CNI_VERSION_COUNT };
/* "0.3.0" and so on. */
const char *cni_version_text(enum cni_version v);
/* -1 for one that is not known. */
int cni_version_parse(const char *text);

/* A tree of json-c: for one thread. */
struct cni_config {
	char *name;
	enum cni_version version; /* the highest that both the file and we know */
	bool disable_check, disable_gc, is_default;
	char *path;		     /* the file, or NULL */
	struct json_object *plugins; /* the array as it was written; each is an object with "type" */
	size_t plugin_count;
};
void cni_config_free(struct cni_config *c);
DEFINE_CLEANUP(struct cni_config, cni_config_free)

struct json_object *cni_config_plugin(const struct cni_config *c, size_t i);
const char *cni_plugin_type(struct json_object *plugin);

/* A *.conflist (is_list) or a single plugin's configuration, which becomes a list of one. Pure.
 * Fails: INVALID naming the field; LIMIT. */
int cni_config_parse(const char *text, size_t len, bool is_list, struct cni_config **ret,
		     struct error *e) MUST_USE;

/* The first file of dir, in byte order of the names, that ends in .conflist, .conf or .json and is valid.
 * What was passed over is appended to skipped, one sentence each.
 * Fails: NOT_FOUND  no such directory, or no such file in it
 *        as cni_config_parse() when none is valid, with the first file's error; SYS */
int cni_config_load(const char *dir, struct cni_config **ret, struct buf *skipped, struct error *e) MUST_USE;

/* The built-in network. The plugin for port mappings is only in it where it is needed: a pod without host
 * ports saves the time of its executions. Fails: INVALID. */
int cni_config_default(const struct cni_default_opts *o, bool with_portmap, struct cni_config **ret,
		       struct error *e) MUST_USE;

/* To and from the member "network" of a record. Fails as cni_config_parse(). */
struct json_object *cni_config_to_json(const struct cni_config *c) MUST_USE;
int cni_config_from_json(struct json_object *o, struct cni_config **ret, struct error *e) MUST_USE;

/* A network's name and a container's id: a letter or digit, then those, '_', '.', '-'. */
bool cni_is_name(const char *s);
/* dev_valid_name() of the kernel: 1 to 15 bytes, no '/', ':' or white space, not "." or "..". */
bool cni_is_ifname(const char *s);
/* An IP address of either version; with "/PREFIX" behind it when need_prefix, or perhaps. */
bool cni_is_ip(const char *s);
bool cni_is_cidr(const char *s, bool need_prefix);

#endif
