// SPDX-License-Identifier: Apache-2.0
/* What a container gets: command and environment, mounts, resources, security. */
#include <strings.h>

#include "ctl/plan_internal.h"
#include "oci/defaults.h"

/* Kubernetes: shares are 1024 a core, at least 2, at most 262144; the quota is of periods of 100 ms, at least 1 ms. */
#define SHARES_MIN 2
#define SHARES_MAX 262144
#define PERIOD_US 100000
#define QUOTA_MIN_US 1000
/* oom_score_adj by class of service: what has limits for everything, what has nothing, and between. */
#define OOM_GUARANTEED (-997)
#define OOM_BEST_EFFORT 1000

/* --- environment ------------------------------------------------------------------------------------ */

static const char *pair_value(const struct manifest_list *pairs, const char *key, size_t len)
{
	for (size_t i = 0; i < pairs->n; i++) {
		const struct manifest_pair *p = MANIFEST_AT(*pairs, struct manifest_pair, i);

		if (strlen(p->key) == len && memcmp(p->key, key, len) == 0)
			return p->value;
	}
	return "";
}

/* The downward API's fields; NULL: not one of them. */
static const char *field_value(const struct pod_plan *p, const char *path, const char *pod_ip)
{
	const struct manifest *m = p->manifest;
	const struct {
		const char *path, *value;
	} fields[] = {
		{ "metadata.name", m->name },
		{ "metadata.namespace", m->ns },
		{ "metadata.uid", p->uid },
		{ "spec.nodeName", p->node_name },
		{ "status.podIP", pod_ip },
		{ "status.podIPs", pod_ip },
		{ "spec.serviceAccountName", "default" },
	};
	static const char labels[] = "metadata.labels['", annotations[] = "metadata.annotations['";

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (str_eq(fields[i].path, path))
			return fields[i].value;
	if (str_starts(path, labels) && str_ends(path, "']"))
		return pair_value(&m->labels, path + strlen(labels), strlen(path) - strlen(labels) - 2);
	if (str_starts(path, annotations) && str_ends(path, "']"))
		return pair_value(&m->annotations, path + strlen(annotations),
				  strlen(path) - strlen(annotations) - 2);
	return NULL;
}

/* Values may use what stands before them: $(NAME). */
static struct manifest_pair *make_env(const struct pod_plan *p, const struct pod_plan_container *k,
				      size_t *ret_n)
{
	const struct manifest_list *env = &k->container->env;
	struct manifest_pair *v = arena_array(p->arena, env->n, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < env->n; i++) {
		const struct manifest_env *from = MANIFEST_AT(*env, struct manifest_env, i);
		const char *value = from->field_path
					    ? field_value(p, from->field_path, k->pod_ip)
					    : manifest_expand(p->arena, from->value ? from->value : "", v, n);

		if (from->is_skipped || !value)
			continue;
		v[n++] = (struct manifest_pair){ from->name, value };
	}
	*ret_n = n;
	return v;
}

static char **expand_all(const struct pod_plan *p, const struct manifest_list *from,
			 const struct manifest_pair *env, size_t env_count, size_t *ret_n)
{
	char **v = arena_array(p->arena, from->n, sizeof(*v));

	for (size_t i = 0; i < from->n; i++)
		v[i] = (char *)manifest_expand(p->arena, *MANIFEST_AT(*from, const char *, i), env,
					       env_count);
	*ret_n = from->n;
	return v;
}

static void add_command(const struct pod_plan *p, const struct pod_plan_container *k, PB(ContainerConfig) *c)
{
	size_t n;
	const struct manifest_pair *env = make_env(p, k, &n);

	c->command = expand_all(p, &k->container->command, env, n, &c->n_command);
	c->args = expand_all(p, &k->container->args, env, n, &c->n_args);
	c->envs = arena_array(p->arena, n, sizeof(*c->envs));
	for (size_t i = 0; i < n; i++) {
		PB(KeyValue) *kv = PLAN_NEW(p, KeyValue, key_value);

		kv->key = (char *)env[i].key;
		kv->value.data = (uint8_t *)env[i].value;
		kv->value.len = strlen(env[i].value);
		c->envs[c->n_envs++] = kv;
	}
}

/* --- mounts ------------------------------------------------------------------------------------------- */

static const char *volume_path(const struct pod_plan *p, const char *name)
{
	for (size_t i = 0; i < p->manifest->volumes.n; i++)
		if (str_eq(MANIFEST_AT(p->manifest->volumes, struct manifest_volume, i)->name, name))
			return p->volume_paths[i];
	return NULL;
}

static void add_mounts(const struct pod_plan *p, const struct manifest_container *from,
		       PB(ContainerConfig) *c)
{
	c->mounts = arena_array(p->arena, from->mounts.n, sizeof(*c->mounts));
	for (size_t i = 0; i < from->mounts.n; i++) {
		const struct manifest_mount *m = MANIFEST_AT(from->mounts, struct manifest_mount, i);
		const char *path = volume_path(p, m->volume);
		PB(Mount) *to;

		if (!path)
			continue;
		to = PLAN_NEW(p, Mount, mount);
		to->container_path = (char *)m->path;
		to->host_path = (char *)path;
		to->readonly = m->is_read_only;
		to->recursive_read_only = m->is_read_only && str_eq(m->recursive_read_only, "Enabled");
		to->propagation = str_eq(m->propagation, "HostToContainer")
					  ? RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER
				  : str_eq(m->propagation, "Bidirectional")
					  ? RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL
					  : RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE;
		if (p->userns_length) {
			to->uidmappings = plan_mapping(p, &to->n_uidmappings);
			to->gidmappings = plan_mapping(p, &to->n_gidmappings);
		}
		c->mounts[c->n_mounts++] = to;
	}
}

/* --- resources ------------------------------------------------------------------------------------------ */

static bool is_guaranteed(const struct manifest_resources *r)
{
	return r->cpu_limit_m > 0 && r->memory_limit > 0 &&
	       (r->cpu_request_m < 0 || r->cpu_request_m == r->cpu_limit_m) &&
	       (r->memory_request < 0 || r->memory_request == r->memory_limit);
}

static bool has_none(const struct manifest_resources *r)
{
	return r->cpu_limit_m <= 0 && r->memory_limit <= 0 && r->cpu_request_m <= 0 && r->memory_request <= 0;
}

/* The class is the pod's: guaranteed or best effort only when all its containers are. */
static int64_t oom_score_adj(const struct pod_plan *p, const struct manifest_resources *r)
{
	bool all_guaranteed = true, all_none = true;
	int64_t request = r->memory_request >= 0 ? r->memory_request
			  : r->memory_limit >= 0 ? r->memory_limit
						 : 0,
		adj;

	for (size_t i = 0; i < p->manifest->init.n + p->manifest->containers.n; i++) {
		const struct manifest_resources *k = &manifest_container(p->manifest, i)->resources;

		all_guaranteed &= is_guaranteed(k);
		all_none &= has_none(k);
	}
	if (all_guaranteed)
		return OOM_GUARANTEED;
	if (all_none || !p->memory_bytes)
		return OOM_BEST_EFFORT;
	adj = 1000 - (int64_t)((unsigned __int128)request * 1000 / p->memory_bytes);
	return adj < 1000 + OOM_GUARANTEED ? 1000 + OOM_GUARANTEED
	       : adj >= OOM_BEST_EFFORT	   ? OOM_BEST_EFFORT - 1
					   : adj;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static PB(LinuxContainerResources) *resources(const struct pod_plan *p, const struct manifest_resources *r)
{
	PB(LinuxContainerResources) *to = PLAN_NEW(p, LinuxContainerResources, linux_container_resources);
	int64_t request_m = r->cpu_request_m >= 0 ? r->cpu_request_m : r->cpu_limit_m;

	to->cpu_shares = request_m > 0 ? clamp((int64_t)((__int128)request_m * 1024 / 1000 > SHARES_MAX
								 ? SHARES_MAX
								 : request_m * 1024 / 1000),
					       SHARES_MIN, SHARES_MAX)
				       : SHARES_MIN;
	if (r->cpu_limit_m > 0 && r->cpu_limit_m < INT64_MAX / PERIOD_US) {
		to->cpu_period = PERIOD_US;
		to->cpu_quota = clamp(r->cpu_limit_m * PERIOD_US / 1000, QUOTA_MIN_US, INT64_MAX);
	}
	if (r->memory_limit > 0)
		to->memory_limit_in_bytes = r->memory_limit;
	to->oom_score_adj = oom_score_adj(p, r);
	return to;
}

/* --- security --------------------------------------------------------------------------------------------- */

static char **texts(const struct pod_plan *p, const char *const *from, size_t *ret_n)
{
	char **v;

	for (*ret_n = 0; from[*ret_n]; (*ret_n)++)
		;
	v = arena_array(p->arena, *ret_n, sizeof(*v));
	for (size_t i = 0; i < *ret_n; i++)
		v[i] = (char *)from[i];
	return v;
}

static bool adds(const struct manifest_security *s, const char *cap)
{
	for (size_t i = 0; i < s->cap_add.n; i++) {
		const char *name = *MANIFEST_AT(s->cap_add, const char *, i);

		if (strcasecmp(name, cap) == 0 || strcasecmp(name, "ALL") == 0 ||
		    (strncasecmp(name, "CAP_", 4) == 0 && strcasecmp(name + 4, cap) == 0))
			return true;
	}
	return false;
}

static PB(LinuxContainerSecurityContext) *security(const struct pod_plan *p,
						   const struct manifest_container *from)
{
	const struct manifest_security *own = &from->security, *pod = &p->manifest->security;
	PB(LinuxContainerSecurityContext) *c =
		PLAN_NEW(p, LinuxContainerSecurityContext, linux_container_security_context);
	bool is_privileged = own->privileged == TRI_TRUE;
	size_t n;

	c->capabilities = PLAN_NEW(p, Capability, capability);
	c->capabilities->add_capabilities = expand_all(p, &own->cap_add, NULL, 0, &n);
	c->capabilities->n_add_capabilities = n;
	c->capabilities->drop_capabilities = expand_all(p, &own->cap_drop, NULL, 0, &n);
	c->capabilities->n_drop_capabilities = n;
	c->privileged = is_privileged;
	c->namespace_options = plan_namespaces(p);
	c->selinux_options = plan_selinux(p, own);
	if (!c->selinux_options)
		c->selinux_options = plan_selinux(p, pod);
	c->run_as_user = plan_int(p, own->run_as_user >= 0 ? own->run_as_user : pod->run_as_user);
	c->run_as_group = plan_int(p, own->run_as_group >= 0 ? own->run_as_group : pod->run_as_group);
	c->readonly_rootfs = own->read_only_root == TRI_TRUE;
	c->supplemental_groups = plan_groups(p, &c->n_supplemental_groups);
	if (str_eq(pod->groups_policy, "Strict"))
		c->supplemental_groups_policy = RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict;
	/* Kubernetes: always true for privileged containers and those that have CAP_SYS_ADMIN. */
	c->no_new_privs = own->allow_escalation == TRI_FALSE && !is_privileged && !adds(own, "SYS_ADMIN");
	c->seccomp = plan_profile(p, own->seccomp_type, own->seccomp_ref);
	if (!c->seccomp)
		c->seccomp = plan_profile(p, pod->seccomp_type, pod->seccomp_ref);
	if (!c->seccomp || is_privileged)
		c->seccomp = plan_profile(p, "Unconfined", NULL);
	c->apparmor = plan_profile(p, own->apparmor_type, own->apparmor_ref);
	if (!c->apparmor)
		c->apparmor = plan_profile(p, pod->apparmor_type, pod->apparmor_ref);
	if (!is_privileged && !str_eq(own->proc_mount, "Unmasked")) {
		c->masked_paths = texts(p, oci_default_masked_paths, &c->n_masked_paths);
		c->readonly_paths = texts(p, oci_default_readonly_paths, &c->n_readonly_paths);
	}
	return c;
}

static void add_notes(const struct pod_plan *p, const struct manifest_container *from, PB(ContainerConfig) *c)
{
	const struct manifest_pair labels[] = {
		{ "io.kubernetes.container.name", from->name },
		{ "io.kubernetes.pod.name", p->manifest->name },
		{ "io.kubernetes.pod.namespace", p->manifest->ns },
		{ "io.kubernetes.pod.uid", p->uid },
	};
	PB(ContainerConfig__AnnotationsEntry) *grace;

	c->labels = arena_array(p->arena, ARRAY_LEN(labels), sizeof(*c->labels));
	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		c->labels[i] = PLAN_NEW(p, ContainerConfig__LabelsEntry, container_config__labels_entry);
		c->labels[i]->key = (char *)labels[i].key;
		c->labels[i]->value = (char *)labels[i].value;
	}
	c->n_labels = ARRAY_LEN(labels);
	grace = PLAN_NEW(p, ContainerConfig__AnnotationsEntry, container_config__annotations_entry);
	grace->key = (char *)"io.kubernetes.pod.terminationGracePeriod";
	grace->value = arena_fmt(p->arena, "%lld", (long long)p->manifest->grace_s);
	c->annotations = arena_array(p->arena, 1, sizeof(*c->annotations));
	c->annotations[c->n_annotations++] = grace;
}

PB(ContainerConfig) *pod_plan_container(const struct pod_plan *p, const struct pod_plan_container *k)
{
	const struct manifest_container *from = k->container;
	PB(ContainerConfig) *c = PLAN_NEW(p, ContainerConfig, container_config);

	c->metadata = PLAN_NEW(p, ContainerMetadata, container_metadata);
	c->metadata->name = (char *)from->name;
	c->image = PLAN_NEW(p, ImageSpec, image_spec);
	c->image->image = (char *)k->image_id;
	c->image->user_specified_image = (char *)from->image;
	c->working_dir = (char *)(from->working_dir ? from->working_dir : "");
	add_command(p, k, c);
	add_mounts(p, from, c);
	add_notes(p, from, c);
	c->log_path = arena_fmt(p->arena, "%s/0.log", from->name);
	c->stdin = from->is_stdin;
	c->stdin_once = from->is_stdin_once;
	c->tty = from->is_tty;
	c->linux = PLAN_NEW(p, LinuxContainerConfig, linux_container_config);
	c->linux->resources = resources(p, &from->resources);
	c->linux->security_context = security(p, from);
	return c;
}

int pod_plan_check_user(const struct manifest *m, const struct manifest_container *c, int64_t image_uid,
			const char *image_username, struct error *e)
{
	enum tri non_root = c->security.run_as_non_root ? c->security.run_as_non_root
							: m->security.run_as_non_root;
	int64_t uid = c->security.run_as_user >= 0 ? c->security.run_as_user : m->security.run_as_user;

	if (non_root != TRI_TRUE)
		return 0;
	if (uid < 0 && image_uid < 0 && !str_is_empty(image_username))
		return err_new(
			e, ERR_DENIED,
			"container \"%s\": runAsNonRoot: the image's user \"%s\" is a name, and may be root; "
			"set runAsUser",
			c->name, image_username);
	if (uid < 0)
		uid = image_uid < 0 ? 0 : image_uid;
	if (uid == 0)
		return err_new(e, ERR_DENIED,
			       "container \"%s\": runAsNonRoot is set, and it would run as root", c->name);
	return 0;
}
