/* SPDX-License-Identifier: Apache-2.0 */
/* A Kubernetes Pod manifest, read. What has no effect here becomes a warning that names the field and its line;
 * what would be wrong if it had no effect is an error. Pure. */
#ifndef HULL_CTL_MANIFEST_H
#define HULL_CTL_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "codec/arena.h"
#include "codec/yaml_tree.h"

enum tri { TRI_UNSET, TRI_FALSE, TRI_TRUE };

struct manifest_list { /* of one of the structs below, or of const char * */
	void *v;
	size_t n;
};
#define MANIFEST_AT(list, type, i) (&((type *)(list).v)[i])

struct manifest_pair {
	const char *key, *value;
};

struct manifest_security {
	int64_t run_as_user, run_as_group, fs_group; /* -1: unset */
	enum tri run_as_non_root, privileged, read_only_root, allow_escalation;
	struct manifest_list cap_add, cap_drop; /* const char * */
	struct manifest_list groups;		/* int64_t */
	const char *groups_policy;
	const char *seccomp_type, *seccomp_ref;
	const char *apparmor_type, *apparmor_ref;
	const char *se_user, *se_role, *se_type, *se_level;
	const char *proc_mount;
	struct manifest_list sysctls; /* manifest_pair */
};

struct manifest_env {
	const char *name, *value, *field_path; /* value, or of which field of the pod */
	bool is_skipped;		       /* from a source that does not exist here */
};

struct manifest_port {
	int64_t container_port, host_port;
	const char *host_ip, *protocol;
};

struct manifest_mount {
	const char *volume, *path, *propagation, *recursive_read_only;
	bool is_read_only;
	const struct yaml_node *node;
};

struct manifest_resources { /* -1: unset */
	int64_t cpu_limit_m, cpu_request_m, memory_limit, memory_request;
	int64_t swap_limit;
};

struct manifest_container {
	const char *name, *image, *pull_policy, *working_dir;
	struct manifest_list command, args; /* const char * */
	struct manifest_list env, ports, mounts;
	struct manifest_resources resources;
	struct manifest_security security;
	bool is_stdin, is_stdin_once, is_tty;
	const struct yaml_node *node;
};

enum volume_kind { VOLUME_UNSUPPORTED, VOLUME_EMPTY_DIR, VOLUME_HOST_PATH };
struct manifest_volume {
	const char *name;
	enum volume_kind kind;
	const char *path, *type; /* of a hostPath */
	const struct yaml_node *node;
};

struct manifest {
	const char *name, *ns, *uid;		  /* uid NULL: to be chosen */
	struct manifest_list labels, annotations; /* manifest_pair */
	struct manifest_list init, containers,
		volumes; /* init: run to their end before the others, in order */
	const char *hostname, *runtime_class, *restart_policy, *dns_policy;
	struct manifest_list dns_servers, dns_searches; /* const char * */
	struct manifest_list dns_options;		/* manifest_pair */
	enum tri host_users;
	bool host_network, host_pid, host_ipc, share_pid;
	int64_t grace_s; /* 30 when the manifest is silent */
	struct manifest_security security;
	struct strv warnings; /* "FILE:LINE: FIELD: words" */
};
void manifest_done(struct manifest *m);
DEFINE_CLEANUP_VALUE(struct manifest, manifest_done)

/* Read one document; everything but the warnings lives in the arena and in the document.
 * Fails: INVALID, with file, line and field. */
int manifest_read(const struct yaml_node *doc, struct arena *a, struct manifest *ret,
		  struct error *e) MUST_USE;

/* The i-th of all containers, initContainers first. */
struct manifest_container *manifest_container(const struct manifest *m, size_t i);

/* "$(NAME)" becomes the value of env's last entry of that name, "$$" becomes "$"; what is not defined stays as it is
 * (Kubernetes, Container.command). */
const char *manifest_expand(struct arena *a, const char *text, const struct manifest_pair *env, size_t count);

#endif
