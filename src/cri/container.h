/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of a pod: from a request to an OCI bundle, and through its life. Internal to src/cri. */
#ifndef HULL_CRI_CONTAINER_H
#define HULL_CRI_CONTAINER_H

#include "codec/json.h"
#include "cri/state.h"
#include "oci/identity.h"

/* All that the OCI spec of a container is computed from. Borrowed. */
struct container_plan {
	struct node *node;
	const struct sandbox *sandbox;
	const REC(Container) *rec;
	const PB(ContainerConfig) *config;
	const struct image *image;
	const struct oci_identity *identity;
	const struct idmap *uids, *gids; /* NULL: no user namespace */
};

/* The config.json (container_spec.c). Fails: INVALID, NOT_FOUND (a host path), UNSUPPORTED. */
int container_spec(const struct container_plan *p, struct json_object **ret_spec, struct error *e) MUST_USE;
/* Parts of it, a file each. */
int spec_add_process(const struct container_plan *p, struct json_object *spec, struct error *e) MUST_USE;
int spec_add_mounts(const struct container_plan *p, struct json_object *spec, struct error *e) MUST_USE;
/* Is the source of mount i on a mount that takes part in the propagation asked for? Fails: INVALID. */
int spec_check_propagation(size_t i, const PB(Mount) *m, struct error *e) MUST_USE;
int spec_add_resources(const struct container_plan *p, struct json_object *linux_, struct error *e) MUST_USE;
int spec_add_devices(const struct container_plan *p, struct json_object *linux_, struct error *e) MUST_USE;
int spec_add_seccomp(const struct container_plan *p, struct json_object *linux_, struct error *e) MUST_USE;
void spec_add_pause_resources(const PB(PodSandboxConfig) *pod, struct json_object *annotations);
/* The set for all of bounding, effective and permitted, and the ambient one. Fails: INVALID (a name). */
int container_capabilities(const PB(ContainerConfig) *config, uint64_t *ret_caps, uint64_t *ret_ambient,
			   struct error *e) MUST_USE;

static inline const PB(LinuxContainerSecurityContext) *container_security(const PB(ContainerConfig) *c)
{
	return c->linux ? c->linux->security_context : NULL;
}
static inline bool container_is_privileged(const PB(ContainerConfig) *c)
{
	return c->linux && c->linux->security_context && c->linux->security_context->privileged;
}
/* Its pid mode; without NamespaceOption POD, which is 0. */
static inline unsigned container_pid_mode(const PB(ContainerConfig) *c)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(c);

	return s && s->namespace_options ? s->namespace_options->pid : RUNTIME__V1__NAMESPACE_MODE__POD;
}

/* CreateContainer's work for a request that was validated (container_create.c). With is_pause the
 * container is the sandbox's own. s->op may or may not be held. */
int container_create(struct node *n, struct sandbox *s, const PB(ContainerConfig) *config, bool is_pause,
		     struct call *call, struct container **ret, struct error *e) MUST_USE;
int container_start(struct node *n, struct container *c, const struct call *call, struct error *e) MUST_USE;
/* Send its stop signal, after timeout_s SIGKILL; wait for the end. Idempotent. */
int container_stop(struct node *n, struct container *c, int64_t timeout_s, const struct call *call,
		   struct error *e) MUST_USE;
/* Kill what runs, remove everything of it, forget it. Idempotent. */
int container_remove(struct node *n, struct container *c, struct error *e) MUST_USE;
/* SIGKILL to all containers of a sandbox, and wait. */
int container_kill_all(struct node *n, struct sandbox *s, struct error *e) MUST_USE;

/* The log file, opened for appending below the pod's log directory, made when missing (container_files.c). */
int container_open_log(const struct sandbox *s, const char *log_path, int *ret_fd, struct error *e) MUST_USE;
/* Set c->rec->log_path, where the container has a log. */
void container_set_log_path(struct container *c);
/* The writable layer: upper and work belong to the container's root, mode 0755 as "/" is. Fails: SYS, and as
 * idmap_to_host(). */
int container_make_layer(struct node *n, const struct container *c, const struct container_plan *p,
			 struct error *e) MUST_USE;
/* pods/POD/CONTAINER/config.json, and a fd of its directory. Fails: SYS. */
int container_write_bundle(const struct container *c, struct json_object *spec, int *ret_dfd,
			   struct error *e) MUST_USE;

/* CRI's signal numbers are its own (SIGKILL is 13): 0 for the default. */
int signal_from_cri(unsigned cri_signal);
unsigned signal_to_cri(int signal);
/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". Fails: INVALID. */
int signal_parse(const char *text, int *ret_signal, struct error *e) MUST_USE;

#endif
