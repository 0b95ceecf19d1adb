// SPDX-License-Identifier: Apache-2.0
/* The tables of a Pod (Kubernetes API reference, core/v1). A field that is not in them is named in a warning. */
#include <string.h>

#include "base/path.h"
#include "ctl/fields.h"

#define ID_MAX 4294967294 /* uids and gids; 4294967295 is (uid_t)-1 */

#define END                 \
	{                   \
		.key = NULL \
	}

/* Where a wrapper type has one field of interest: valueFrom.fieldRef.fieldPath. */
static FIELD_SETTER(set_value_from);
static FIELD_SETTER(set_empty_dir);
static FIELD_SETTER(set_host_path);
static FIELD_SETTER(set_node);

/* --- security contexts ----------------------------------------------------------------------------- */

static const char *const seccomp_types[] = { "RuntimeDefault", "Unconfined", "Localhost", NULL };
static const char *const group_policies[] = { "Merge", "Strict", NULL };
static const char *const proc_mounts[] = { "Default", "Unmasked", NULL };

#define AT(key_, setter_, member, ...)                                                             \
	{                                                                                          \
		.key = key_, .set = setter_, .offset = offsetof(struct manifest_security, member), \
		__VA_ARGS__                                                                        \
	}
#define INT(key_, member, low, high) AT(key_, field_int, member, .min = (low), .max = (high))

static const struct field seccomp_fields[] = {
	AT("type", field_str, seccomp_type, .words = seccomp_types),
	AT("localhostProfile", field_str, seccomp_ref),
	END,
};
static const struct field apparmor_fields[] = {
	AT("type", field_str, apparmor_type, .words = seccomp_types),
	AT("localhostProfile", field_str, apparmor_ref),
	END,
};
static const struct field selinux_fields[] = {
	AT("user", field_str, se_user),
	AT("role", field_str, se_role),
	AT("type", field_str, se_type),
	AT("level", field_str, se_level),
	END,
};
static const struct field capability_fields[] = {
	AT("add", field_strs, cap_add),
	AT("drop", field_strs, cap_drop),
	END,
};
static const struct field sysctl_fields[] = {
	{ .key = "name", .set = field_str, .offset = offsetof(struct manifest_pair, key) },
	{ .key = "value", .set = field_str, .offset = offsetof(struct manifest_pair, value) },
	END,
};

#define SECURITY_COMMON                                                                       \
	INT("runAsUser", run_as_user, 0, ID_MAX), INT("runAsGroup", run_as_group, 0, ID_MAX), \
		AT("runAsNonRoot", field_tri, run_as_non_root),                               \
		{ .key = "seccompProfile", .set = field_object, .fields = seccomp_fields },   \
		{ .key = "appArmorProfile", .set = field_object, .fields = apparmor_fields }, \
	{                                                                                     \
		.key = "seLinuxOptions", .set = field_object, .fields = selinux_fields        \
	}

static const struct field pod_security_fields[] = {
	SECURITY_COMMON,
	INT("fsGroup", fs_group, 0, ID_MAX),
	AT("fsGroupChangePolicy", field_ignore, fs_group), /* an emptyDir is new: nothing to change */
	AT("supplementalGroups", field_ints, groups, .min = 0, .max = ID_MAX),
	AT("supplementalGroupsPolicy", field_str, groups_policy, .words = group_policies),
	AT("sysctls", field_list, sysctls, .fields = sysctl_fields,
	   .item_size = sizeof(struct manifest_pair)),
	END,
};
static const struct field container_security_fields[] = {
	SECURITY_COMMON,
	AT("privileged", field_tri, privileged),
	{ .key = "capabilities", .set = field_object, .fields = capability_fields },
	AT("readOnlyRootFilesystem", field_tri, read_only_root),
	AT("allowPrivilegeEscalation", field_tri, allow_escalation),
	AT("procMount", field_str, proc_mount, .words = proc_mounts),
	END,
};
#undef AT
#undef INT

/* --- containers ------------------------------------------------------------------------------------ */

static const char *const protocols[] = { "TCP", "UDP", "SCTP", NULL };
static const char *const pull_policies[] = { "Always", "IfNotPresent", "Never", NULL };
static const char *const propagations[] = { "None", "HostToContainer", "Bidirectional", NULL };
static const char *const recursive_words[] = { "Disabled", "IfPossible", "Enabled", NULL };

#define AT(type, key_, setter_, member, ...)                                                      \
	{                                                                                         \
		.key = key_, .set = setter_, .offset = offsetof(struct type, member), __VA_ARGS__ \
	}

static const struct field field_ref_fields[] = {
	AT(manifest_env, "fieldPath", field_str, field_path),
	AT(manifest_env, "apiVersion", field_ignore, field_path),
	END,
};
static const struct field value_from_fields[] = {
	{ .key = "fieldRef", .set = field_object, .fields = field_ref_fields },
	END,
};
static const struct field env_fields[] = {
	AT(manifest_env, "name", field_str, name),
	AT(manifest_env, "value", field_str, value),
	{ .key = "valueFrom", .set = set_value_from, .fields = value_from_fields },
	END,
};
static const struct field port_fields[] = {
	AT(manifest_port, "name", field_ignore, host_ip),
	AT(manifest_port, "containerPort", field_int, container_port, .min = 1, .max = 65535),
	AT(manifest_port, "hostPort", field_int, host_port, .min = 0, .max = 65535),
	AT(manifest_port, "hostIP", field_str, host_ip),
	AT(manifest_port, "protocol", field_str, protocol, .words = protocols),
	END,
};
static const struct field mount_fields[] = {
	AT(manifest_mount, "name", field_str, volume),
	AT(manifest_mount, "mountPath", set_node, node),
	AT(manifest_mount, "readOnly", field_bool, is_read_only),
	AT(manifest_mount, "recursiveReadOnly", field_str, recursive_read_only, .words = recursive_words),
	AT(manifest_mount, "mountPropagation", field_str, propagation, .words = propagations),
	{ .key = "subPath", .set = field_refuse },
	{ .key = "subPathExpr", .set = field_refuse },
	END,
};

#define AMOUNT(name, cpu, memory)                                                \
	static const struct field name[] = {                                     \
		AT(manifest_container, "cpu", field_milli, resources.cpu),       \
		AT(manifest_container, "memory", field_bytes, resources.memory), \
		END,                                                             \
	}
AMOUNT(limit_fields, cpu_limit_m, memory_limit);
AMOUNT(request_fields, cpu_request_m, memory_request);

static const struct field resource_fields[] = {
	{ .key = "limits", .set = field_object, .fields = limit_fields },
	{ .key = "requests", .set = field_object, .fields = request_fields },
	END,
};
static const struct manifest_port port_default = { .protocol = "TCP", .host_ip = "" };
static const struct field container_fields[] = {
	AT(manifest_container, "name", set_node, node),
	AT(manifest_container, "image", field_str, image),
	AT(manifest_container, "imagePullPolicy", field_str, pull_policy, .words = pull_policies),
	AT(manifest_container, "workingDir", field_str, working_dir),
	AT(manifest_container, "command", field_strs, command),
	AT(manifest_container, "args", field_strs, args),
	AT(manifest_container, "env", field_list, env, .fields = env_fields,
	   .item_size = sizeof(struct manifest_env)),
	AT(manifest_container, "ports", field_list, ports, .fields = port_fields,
	   .item_size = sizeof(struct manifest_port), .item_default = &port_default),
	AT(manifest_container, "volumeMounts", field_list, mounts, .fields = mount_fields,
	   .item_size = sizeof(struct manifest_mount)),
	{ .key = "resources", .set = field_object, .fields = resource_fields },
	AT(manifest_container, "securityContext", field_object, security,
	   .fields = container_security_fields),
	AT(manifest_container, "stdin", field_bool, is_stdin),
	AT(manifest_container, "stdinOnce", field_bool, is_stdin_once),
	AT(manifest_container, "tty", field_bool, is_tty),
	END,
};

/* clang-format off */
#define SECURITY_UNSET { .run_as_user = -1, .run_as_group = -1, .fs_group = -1 }
static const struct manifest_container container_default = {
	.resources = { -1, -1, -1, -1, -1 },
	.security = SECURITY_UNSET,
};
/* clang-format on */

/* --- the pod ---------------------------------------------------------------------------------------- */

static const char *const host_path_types[] = {
	"",	      "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket",
	"CharDevice", "BlockDevice",	   NULL
};
static const char *const restart_policies[] = { "Always", "OnFailure", "Never", NULL };
static const char *const dns_policies[] = { "Default", "ClusterFirst", "ClusterFirstWithHostNet", "None",
					    NULL };

static const struct field empty_dir_fields[] = {
	{ .key = "sizeLimit", .set = field_ignore }, /* eviction is a kubelet's */
	END,
};
static const struct field host_path_fields[] = {
	AT(manifest_volume, "path", field_str, path),
	AT(manifest_volume, "type", field_str, type, .words = host_path_types),
	END,
};
static const struct field volume_fields[] = {
	AT(manifest_volume, "name", set_node, node),
	{ .key = "emptyDir", .set = set_empty_dir, .fields = empty_dir_fields },
	{ .key = "hostPath", .set = set_host_path, .fields = host_path_fields },
	END,
};
static const struct field dns_option_fields[] = {
	AT(manifest_pair, "name", field_str, key),
	AT(manifest_pair, "value", field_str, value),
	END,
};
static const struct field dns_fields[] = {
	AT(manifest, "nameservers", field_strs, dns_servers),
	AT(manifest, "searches", field_strs, dns_searches),
	AT(manifest, "options", field_list, dns_options, .fields = dns_option_fields,
	   .item_size = sizeof(struct manifest_pair)),
	END,
};
static const struct field spec_fields[] = {
	AT(manifest, "containers", field_list, containers, .fields = container_fields,
	   .item_size = sizeof(struct manifest_container), .item_default = &container_default),
	AT(manifest, "volumes", field_list, volumes, .fields = volume_fields,
	   .item_size = sizeof(struct manifest_volume)),
	AT(manifest, "securityContext", field_object, security, .fields = pod_security_fields),
	AT(manifest, "hostUsers", field_tri, host_users),
	AT(manifest, "hostNetwork", field_bool, host_network),
	AT(manifest, "hostPID", field_bool, host_pid),
	AT(manifest, "hostIPC", field_bool, host_ipc),
	AT(manifest, "shareProcessNamespace", field_bool, share_pid),
	AT(manifest, "hostname", field_str, hostname),
	AT(manifest, "runtimeClassName", field_str, runtime_class),
	AT(manifest, "restartPolicy", field_str, restart_policy, .words = restart_policies),
	AT(manifest, "terminationGracePeriodSeconds", field_int, grace_s, .min = 0, .max = 86400 * 365),
	AT(manifest, "dnsPolicy", field_str, dns_policy, .words = dns_policies),
	{ .key = "dnsConfig", .set = field_object, .fields = dns_fields },
	AT(manifest, "initContainers", field_list, init, .fields = container_fields,
	   .item_size = sizeof(struct manifest_container), .item_default = &container_default),
	END,
};
static const struct field metadata_fields[] = {
	AT(manifest, "name", field_str, name),
	AT(manifest, "namespace", field_str, ns),
	AT(manifest, "uid", field_str, uid),
	AT(manifest, "labels", field_pairs, labels),
	AT(manifest, "annotations", field_pairs, annotations),
	{ .key = "creationTimestamp", .set = field_ignore },
	{ .key = "resourceVersion", .set = field_ignore },
	{ .key = "generation", .set = field_ignore },
	{ .key = "managedFields", .set = field_ignore },
	END,
};
static const struct field pod_fields[] = {
	{ .key = "apiVersion", .set = field_ignore },
	{ .key = "kind", .set = field_ignore },
	{ .key = "metadata", .set = field_object, .fields = metadata_fields },
	{ .key = "spec", .set = field_object, .fields = spec_fields },
	{ .key = "status", .set = field_ignore },
	END,
};
#undef AT

/* --- setters of their own ----------------------------------------------------------------------------- */

static FIELD_SETTER(set_value_from)
{
	struct manifest_env *env = member;
	int rc = fields_fill(r, node, f->fields, env);

	env->is_skipped = !env->field_path;
	return rc;
}

static FIELD_SETTER(set_empty_dir)
{
	struct manifest_volume *v = member;
	const struct yaml_node *medium = node->kind == YAML_MAPPING ? yaml_get(node, "medium") : NULL;

	(void)f;
	v->kind = VOLUME_EMPTY_DIR;
	if (medium && medium->kind == YAML_SCALAR && *medium->text)
		fields_warn(r, medium, "medium \"%.32s\" is not supported: the volume is on disk",
			    medium->text);
	return 0;
}

static FIELD_SETTER(set_host_path)
{
	struct manifest_volume *v = member;

	v->kind = VOLUME_HOST_PATH;
	v->type = "";
	return fields_fill(r, node, f->fields, v);
}

/* The field that names a thing: kept with its place, for later messages. */
static FIELD_SETTER(set_node)
{
	const char *text;

	(void)f;
	if (yaml_str(node, &text, r->e) < 0)
		return fields_error(r, node, "want text");
	*(const struct yaml_node **)member = node;
	return 0;
}

/* --- what no table can say ---------------------------------------------------------------------------- */

static int check_volume(struct fields_reader *r, struct manifest *m, size_t i)
{
	struct manifest_volume *v = MANIFEST_AT(m->volumes, struct manifest_volume, i);

	if (!v->node)
		return err_new(r->e, ERR_INVALID, "spec.volumes[%zu]: name is missing", i);
	v->name = v->node->text;
	if (!path_is_name(v->name))
		return yaml_error(v->node, r->e, "\"%.64s\" is not the name of a volume", v->name);
	for (size_t k = 0; k < i; k++)
		if (str_eq(MANIFEST_AT(m->volumes, struct manifest_volume, k)->name, v->name))
			return yaml_error(v->node, r->e, "there are two volumes \"%s\"", v->name);
	if (v->kind == VOLUME_HOST_PATH && (!v->path || *v->path != '/' || strstr(v->path, "..")))
		return yaml_error(v->node, r->e,
				  "hostPath.path of volume \"%s\": want an absolute path without \"..\"",
				  v->name);
	return 0;
}

static int check_mounts(struct fields_reader *r, struct manifest *m, struct manifest_container *c)
{
	for (size_t i = 0; i < c->mounts.n; i++) {
		struct manifest_mount *mount = MANIFEST_AT(c->mounts, struct manifest_mount, i);
		bool is_there = false;

		if (!mount->node || !mount->volume)
			return err_new(r->e, ERR_INVALID,
				       "container \"%s\": volumeMounts[%zu]: name or mountPath is missing",
				       c->name, i);
		mount->path = mount->node->text;
		for (size_t k = 0; k < m->volumes.n; k++)
			is_there |= str_eq(MANIFEST_AT(m->volumes, struct manifest_volume, k)->name,
					   mount->volume);
		if (!is_there)
			return yaml_error(mount->node, r->e,
					  "container \"%s\": no volume \"%.64s\" in spec.volumes", c->name,
					  mount->volume);
	}
	return 0;
}

static bool is_taken(const struct manifest *m, const struct manifest_container *c)
{
	for (size_t i = 0; i < m->init.n + m->containers.n; i++) {
		const struct manifest_container *k = manifest_container(m, i);

		if (k == c)
			return false;
		if (str_eq(k->name, c->name))
			return true;
	}
	return false;
}

static int check_container(struct fields_reader *r, struct manifest *m, size_t i)
{
	struct manifest_container *c = manifest_container(m, i);

	if (!c->node)
		return err_new(r->e, ERR_INVALID, "a container of the pod has no name");
	c->name = c->node->text;
	if (!path_is_name(c->name))
		return yaml_error(c->node, r->e, "\"%.64s\" is not the name of a container", c->name);
	if (str_is_empty(c->image))
		return yaml_error(c->node, r->e, "container \"%s\" has no image", c->name);
	if (is_taken(m, c))
		return yaml_error(c->node, r->e, "there are two containers \"%s\"", c->name);
	for (size_t k = 0; k < c->env.n; k++)
		if (str_is_empty(MANIFEST_AT(c->env, struct manifest_env, k)->name))
			return yaml_error(c->node, r->e, "container \"%s\": env[%zu] has no name", c->name,
					  k);
	for (size_t k = 0; k < c->ports.n; k++)
		if (!MANIFEST_AT(c->ports, struct manifest_port, k)->container_port)
			return yaml_error(c->node, r->e, "container \"%s\": ports[%zu] has no containerPort",
					  c->name, k);
	return check_mounts(r, m, c);
}

static bool have_names(const struct manifest_list *pairs)
{
	for (size_t i = 0; i < pairs->n; i++)
		if (str_is_empty(MANIFEST_AT(*pairs, struct manifest_pair, i)->key))
			return false;
	return true;
}

static int check(struct fields_reader *r, const struct yaml_node *doc, struct manifest *m)
{
	int rc = 0;

	if (str_is_empty(m->name) || !path_is_name(m->name))
		return yaml_error(doc, r->e, "metadata.name is missing, or not a name");
	if (!path_is_name(m->ns) || (m->uid && !path_is_name(m->uid)))
		return yaml_error(doc, r->e, "metadata.namespace or metadata.uid is not a name");
	if (m->containers.n == 0)
		return yaml_error(doc, r->e, "spec.containers is missing or empty");
	if (m->restart_policy && !str_eq(m->restart_policy, "Never"))
		fields_warn(r, yaml_get(yaml_get(doc, "spec"), "restartPolicy"),
			    "spec.restartPolicy %s: containers are not started again", m->restart_policy);
	if (!have_names(&m->dns_options) || !have_names(&m->security.sysctls))
		return yaml_error(doc, r->e,
				  "an item of dnsConfig.options or of securityContext.sysctls has no name");
	for (size_t i = 0; rc == 0 && i < m->volumes.n; i++)
		rc = check_volume(r, m, i);
	for (size_t i = 0; rc == 0 && i < m->init.n + m->containers.n; i++)
		rc = check_container(r, m, i);
	return rc;
}

struct manifest_container *manifest_container(const struct manifest *m, size_t i)
{
	return i < m->init.n ? MANIFEST_AT(m->init, struct manifest_container, i)
			     : MANIFEST_AT(m->containers, struct manifest_container, i - m->init.n);
}

static bool is_kind(const struct yaml_node *doc, const char *key, const char *want)
{
	const struct yaml_node *n = yaml_get(doc, key);

	return n && n->kind == YAML_SCALAR && str_eq(n->text, want);
}

int manifest_read(const struct yaml_node *doc, struct arena *a, struct manifest *ret, struct error *e)
{
	struct manifest m = { .ns = "default", .grace_s = 30, .security = SECURITY_UNSET };
	struct fields_reader r = { .arena = a, .warnings = &m.warnings, .e = e };
	int rc;

	if (doc->kind != YAML_MAPPING || !is_kind(doc, "apiVersion", "v1") || !is_kind(doc, "kind", "Pod"))
		return yaml_error(doc, e, "want a Pod: apiVersion v1, kind Pod");
	rc = fields_fill(&r, doc, pod_fields, &m);
	if (rc == 0) {
		buf_clear(&r.path);
		rc = check(&r, doc, &m);
	}
	buf_done(&r.path);
	if (rc < 0) {
		manifest_done(&m);
		return rc;
	}
	*ret = m;
	return 0;
}

void manifest_done(struct manifest *m)
{
	strv_done(&m->warnings);
}

const char *manifest_expand(struct arena *a, const char *text, const struct manifest_pair *env, size_t count)
{
	cleanup_buf struct buf b = BUF_INIT;

	for (const char *p = text; *p; p++) {
		const char *end = p[0] == '$' && p[1] == '(' ? strchr(p, ')') : NULL;
		const char *value = NULL;

		if (p[0] == '$' && p[1] == '$') {
			buf_addc(&b, *p++);
			continue;
		}
		for (size_t i = 0; end && i < count; i++)
			if (strlen(env[i].key) == (size_t)(end - p - 2) &&
			    memcmp(env[i].key, p + 2, (size_t)(end - p - 2)) == 0)
				value = env[i].value;
		if (value) {
			buf_adds(&b, value);
			p = end;
		} else {
			buf_addc(&b, *p);
		}
	}
	return arena_str(a, buf_str(&b));
}
