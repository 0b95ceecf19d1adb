/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI spec of a container, from the request, the image and the pod. It goes to hull-pod as
 * config.json and to people as runtimeSpec of the verbose status, so it says what is in force: only the
 * namespaces of the pod are handed over by fd and stand here without a path where they have none. */
#include "cri/container.h"

#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "oci/defaults.h"

static void add_namespace(struct json_object *list, const char *type, const char *path)
{
	struct json_object *ns = json_push_object(list);

	json_put_str(ns, "type", type);
	if (!str_is_empty(path))
		json_put_str(ns, "path", path);
}

static void add_namespaces(const struct container_plan *p, struct json_object *linux_)
{
	struct json_object *list = json_put_array(linux_, "namespaces");
	const REC(Sandbox) *box = p->sandbox->rec;

	if (p->uids)
		add_namespace(list, "user", NULL);
	add_namespace(list, "mount", NULL);
	if (*box->netns_path) {
		add_namespace(list, "network", box->netns_path);
		add_namespace(list, "uts", NULL);
	}
	if (!box->no_new_ipc)
		add_namespace(list, "ipc", NULL);
	if (container_pid_mode(p->config) != RUNTIME__V1__NAMESPACE_MODE__NODE)
		add_namespace(list, "pid", NULL);
	if (!container_is_privileged(p->config) || cgroup_host_mode(p->node->cgroups) == CGROUP_V2)
		add_namespace(list, "cgroup", NULL);
}

static void add_map(struct json_object *linux_, const char *key, const struct idmap *map)
{
	struct json_object *list = json_put_array(linux_, key);

	for (size_t i = 0; i < map->n; i++) {
		struct json_object *x = json_push_object(list);

		json_put_u64(x, "containerID", map->x[i].container_id);
		json_put_u64(x, "hostID", map->x[i].host_id);
		json_put_u64(x, "size", map->x[i].length);
	}
}

/* KEP-4265: taken from the kubelet literally. A request without any is one of a client that knows of no
 * ProcMount, and gets the usual ones. */
static void add_hidden_paths(const struct container_plan *p, struct json_object *linux_)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(p->config);
	struct json_object *list;

	if (container_is_privileged(p->config))
		return;
	if (s) {
		json_put_strs(linux_, "maskedPaths", (const char *const *)s->masked_paths, s->n_masked_paths);
		json_put_strs(linux_, "readonlyPaths", (const char *const *)s->readonly_paths,
			      s->n_readonly_paths);
		return;
	}
	list = json_put_array(linux_, "maskedPaths");
	for (const char *const *path = oci_default_masked_paths; *path; path++)
		json_push_str(list, *path);
	list = json_put_array(linux_, "readonlyPaths");
	for (const char *const *path = oci_default_readonly_paths; *path; path++)
		json_push_str(list, *path);
}

/* "exact" or "prefix*". */
static bool passes(const struct strv *allowed, const char *key)
{
	for (size_t i = 0; i < allowed->n; i++) {
		size_t len = strlen(allowed->v[i]);

		if (len && allowed->v[i][len - 1] == '*' ? strncmp(allowed->v[i], key, len - 1) == 0
							 : str_eq(allowed->v[i], key))
			return true;
	}
	return false;
}

/* The names that tools look for in a container's spec (containerd's CRI plugin set them first), and
 * those annotations of pod and container that the node's configuration lets through. */
static void add_annotations(const struct container_plan *p, struct json_object *spec)
{
	struct json_object *a = json_put_object(spec, "annotations");
	const PB(PodSandboxConfig) *pod = p->sandbox->rec->config;
	const struct node_config *config = node_config(p->node);
	const PB(ImageSpec) *image = p->config->image;

	for (size_t i = 0; i < pod->n_annotations; i++)
		if (passes(&config->pod_annotations, pod->annotations[i]->key))
			json_put_str(a, pod->annotations[i]->key, pod->annotations[i]->value);
	for (size_t i = 0; i < p->config->n_annotations; i++)
		if (passes(&config->container_annotations, p->config->annotations[i]->key))
			json_put_str(a, p->config->annotations[i]->key, p->config->annotations[i]->value);
	json_put_str(a, "io.kubernetes.cri.container-type", p->rec->is_pause ? "sandbox" : "container");
	json_put_str(a, "io.kubernetes.cri.sandbox-id", p->sandbox->rec->id);
	json_put_str(a, "io.kubernetes.cri.sandbox-name", pod->metadata->name);
	json_put_str(a, "io.kubernetes.cri.sandbox-namespace", pod->metadata->namespace_);
	json_put_str(a, "io.kubernetes.cri.sandbox-uid", pod->metadata->uid);
	if (p->rec->is_pause) {
		json_put_str(a, "io.kubernetes.cri.sandbox-log-directory", pod->log_directory);
		json_put_str(a, "io.kubernetes.cri.podsandbox.image-name", config->sandbox_image);
		spec_add_pause_resources(pod, a);
	} else {
		json_put_str(a, "io.kubernetes.cri.container-name", p->config->metadata->name);
		json_put_str(a, "io.kubernetes.cri.image-name",
			     *image->user_specified_image ? image->user_specified_image : image->image);
	}
}

static void add_root(const struct container_plan *p, struct json_object *spec)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(p->config);
	struct json_object *root = json_put_object(spec, "root");

	json_put_str(root, "path", "rootfs");
	json_put_bool(root, "readonly", s && s->readonly_rootfs);
}

/* The widest propagation that any mount asks for. */
static const char *root_propagation(const PB(ContainerConfig) *c)
{
	const char *word = NULL;

	for (size_t i = 0; i < c->n_mounts; i++) {
		if (c->mounts[i]->propagation == RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL)
			return "rshared";
		if (c->mounts[i]->propagation ==
		    RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER)
			word = "rslave";
	}
	return word;
}

static int add_linux(const struct container_plan *p, struct json_object *spec, struct error *e)
{
	struct json_object *linux_ = json_put_object(spec, "linux");
	int r;

	add_namespaces(p, linux_);
	if (p->uids) {
		add_map(linux_, "uidMappings", p->uids);
		add_map(linux_, "gidMappings", p->gids);
	}
	json_put_str(linux_, "cgroupsPath", p->rec->cgroup_path);
	json_put_str(linux_, "rootfsPropagation", root_propagation(p->config));
	add_hidden_paths(p, linux_);
	if ((r = spec_add_resources(p, linux_, e)) < 0 || (r = spec_add_devices(p, linux_, e)) < 0)
		return r;
	return spec_add_seccomp(p, linux_, e);
}

int container_spec(const struct container_plan *p, struct json_object **ret_spec, struct error *e)
{
	cleanup_json struct json_object *spec = json_new();
	int r;

	json_put_str(spec, "ociVersion", "1.2.0");
	add_root(p, spec);
	if (*p->sandbox->rec->netns_path && *p->sandbox->rec->config->hostname)
		json_put_str(spec, "hostname", p->sandbox->rec->config->hostname);
	add_annotations(p, spec);
	if ((r = spec_add_process(p, spec, e)) < 0 || (r = spec_add_mounts(p, spec, e)) < 0 ||
	    (r = add_linux(p, spec, e)) < 0)
		return r;
	*ret_spec = take_ptr(spec);
	return 0;
}
