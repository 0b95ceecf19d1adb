/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "cri/validate.h"
#include "cri/validate_fields.h"

static int check_mount(size_t i, const PB(Mount) *m, struct error *e)
{
	if (str_is_empty(m->container_path))
		return err_new(e, ERR_INVALID, "config.mounts[%zu].container_path is empty", i);
	if (strlen(m->container_path) >= PATH_MAX || strlen(m->host_path) >= PATH_MAX)
		return err_new(e, ERR_LIMIT, "config.mounts[%zu] has a path longer than a path may be", i);
	if (m->image && !str_is_empty(m->image->image)) {
		if (!str_is_empty(m->host_path))
			return err_new(e, ERR_INVALID,
				       "config.mounts[%zu] has both an image and the host_path \"%s\"", i,
				       m->host_path);
		return err_new(e, ERR_UNSUPPORTED,
			       "config.mounts[%zu].image: image volumes are not supported yet", i);
	}
	if (m->host_path[0] != '/')
		return err_new(e, ERR_INVALID, "config.mounts[%zu].host_path \"%s\" is not absolute", i,
			       m->host_path);
	if (m->propagation > RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL)
		return err_new(e, ERR_INVALID, "config.mounts[%zu].propagation %d is unknown", i,
			       (int)m->propagation);
	if (m->recursive_read_only && !m->readonly)
		return err_new(e, ERR_INVALID,
			       "config.mounts[%zu].recursive_read_only is set without readonly", i);
	if (m->recursive_read_only && m->propagation != RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return err_new(e, ERR_INVALID,
			       "config.mounts[%zu].recursive_read_only needs PROPAGATION_PRIVATE", i);
	if ((m->n_uidmappings == 0) != (m->n_gidmappings == 0))
		return err_new(e, ERR_INVALID,
			       "config.mounts[%zu] has mappings for one of uids and gids only", i);
	for (size_t k = 0; k < m->n_mount_options; k++)
		if (!str_eq(m->mount_options[k], "noexec") && !str_eq(m->mount_options[k], "nodev") &&
		    !str_eq(m->mount_options[k], "nosuid"))
			return err_new(
				e, ERR_INVALID,
				"config.mounts[%zu].mount_options \"%.64s\" is none of noexec, nodev, nosuid",
				i, m->mount_options[k]);
	return 0;
}

static int check_device(size_t i, const PB(Device) *d, struct error *e)
{
	if (!path_is_clean_abs(d->host_path) || (*d->container_path && !path_is_clean_abs(d->container_path)))
		return err_new(e, ERR_INVALID,
			       "config.devices[%zu]: \"%.200s\" or \"%.200s\" is not a clean absolute path",
			       i, d->host_path, d->container_path);
	if (strspn(d->permissions, "rwm") != strlen(d->permissions) || strlen(d->permissions) > 3)
		return err_new(e, ERR_INVALID,
			       "config.devices[%zu].permissions \"%.16s\" is not made of r, w and m", i,
			       d->permissions);
	return 0;
}

static int check_container_security(const PB(LinuxContainerSecurityContext) *s, struct error *e)
{
	int r;

	if ((r = validate_id_value("linux.security_context.run_as_user", s->run_as_user, e)) < 0 ||
	    (r = validate_id_value("linux.security_context.run_as_group", s->run_as_group, e)) < 0 ||
	    (r = validate_groups("linux.security_context.supplemental_groups", s->supplemental_groups,
				 s->n_supplemental_groups, e)) < 0 ||
	    (r = validate_profile("linux.security_context.seccomp", s->seccomp, e)) < 0 ||
	    (r = validate_profile("linux.security_context.apparmor", s->apparmor, e)) < 0 ||
	    (r = validate_name("linux.security_context.run_as_username", s->run_as_username, false, e)) < 0 ||
	    (r = validate_strings("linux.security_context.masked_paths", s->masked_paths, s->n_masked_paths,
				  1 << 20, e)) < 0 ||
	    (r = validate_strings("linux.security_context.readonly_paths", s->readonly_paths,
				  s->n_readonly_paths, 1 << 20, e)) < 0)
		return r;
	if (s->run_as_user && !str_is_empty(s->run_as_username))
		return err_new(e, ERR_INVALID,
			       "linux.security_context has both run_as_user and run_as_username");
	if (s->run_as_group && !s->run_as_user && str_is_empty(s->run_as_username))
		return err_new(
			e, ERR_INVALID,
			"linux.security_context.run_as_group is set without run_as_user or run_as_username");
	if (s->supplemental_groups_policy > RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict)
		return err_new(e, ERR_INVALID,
			       "linux.security_context.supplemental_groups_policy %d is unknown",
			       (int)s->supplemental_groups_policy);
	return s->namespace_options ? validate_namespaces(s->namespace_options, false, e) : 0;
}

int validate_log_path(const char *log_path, struct error *e)
{
	cleanup_strv struct strv parts = STRV_INIT;

	if (strlen(log_path) >= PATH_MAX)
		return err_new(e, ERR_LIMIT, "config.log_path is longer than a path may be");
	if (log_path[0] == '/')
		return err_new(e, ERR_INVALID,
			       "config.log_path \"%.200s\" is absolute: it is relative to the pod's "
			       "log_directory",
			       log_path);
	strv_split(&parts, log_path, "/");
	for (size_t i = 0; i < parts.n; i++)
		if (!path_is_name(parts.v[i]))
			return err_new(e, ERR_INVALID,
				       "config.log_path \"%.200s\" leaves the pod's log_directory", log_path);
	return 0;
}

static int check_command(const PB(ContainerConfig) *c, struct error *e)
{
	size_t bytes = 0;
	int r;

	if ((r = validate_strings("config.command", c->command, c->n_command, VALIDATE_ARG_MAX, e)) < 0 ||
	    (r = validate_strings("config.args", c->args, c->n_args, VALIDATE_ARG_MAX, e)) < 0)
		return r;
	if (c->n_envs > VALIDATE_LIST_MAX)
		return err_new(e, ERR_LIMIT, "config.envs has %zu items; at most %d are allowed", c->n_envs,
			       VALIDATE_LIST_MAX);
	for (size_t i = 0; i < c->n_envs; i++) {
		const PB(KeyValue) *kv = c->envs[i];

		if (*kv->key == '\0' || strchr(kv->key, '='))
			return err_new(e, ERR_INVALID,
				       "config.envs[%zu].key \"%.64s\" is empty or contains '='", i, kv->key);
		/* The value is bytes since 1.37: any but NUL. It is not quoted here: it may be a secret. */
		if (kv->value.len && memchr(kv->value.data, '\0', kv->value.len))
			return err_new(e, ERR_INVALID,
				       "config.envs[%zu] (\"%.64s\"): the value contains a NUL byte", i,
				       kv->key);
		bytes += strlen(kv->key) + kv->value.len + 2;
		if (bytes > VALIDATE_ARG_MAX)
			return err_new(e, ERR_LIMIT, "config.envs has more than %d bytes", VALIDATE_ARG_MAX);
	}
	return 0;
}

int validate_container_config(const PB(ContainerConfig) *c, struct error *e)
{
	int r;

	if (!c)
		return err_new(e, ERR_INVALID, "config is missing");
	if (!c->metadata)
		return err_new(e, ERR_INVALID, "config.metadata is missing");
	if ((r = validate_name("config.metadata.name", c->metadata->name, true, e)) < 0 ||
	    (r = VALIDATE_MAP("config.labels", c->labels, c->n_labels)) < 0 ||
	    (r = VALIDATE_MAP("config.annotations", c->annotations, c->n_annotations)) < 0 ||
	    (r = check_command(c, e)) < 0 || (r = validate_log_path(c->log_path, e)) < 0)
		return r;
	if (!c->image || str_is_empty(c->image->image))
		return err_new(e, ERR_INVALID, "config.image.image is empty");
	if (!str_is_empty(c->working_dir) && (c->working_dir[0] != '/' || strlen(c->working_dir) >= PATH_MAX))
		return err_new(e, ERR_INVALID, "config.working_dir \"%.200s\" is not an absolute path",
			       c->working_dir);
	if (c->n_mounts > VALIDATE_LIST_MAX || c->n_devices > VALIDATE_LIST_MAX)
		return err_new(e, ERR_LIMIT, "config.mounts or config.devices has more than %d items",
			       VALIDATE_LIST_MAX);
	for (size_t i = 0; i < c->n_mounts; i++)
		if ((r = check_mount(i, c->mounts[i], e)) < 0)
			return r;
	for (size_t i = 0; i < c->n_devices; i++)
		if ((r = check_device(i, c->devices[i], e)) < 0)
			return r;
	if (c->n_cdi_devices)
		return err_new(e, ERR_UNSUPPORTED,
			       "config.CDI_devices: CDI devices are not supported yet (\"%.200s\")",
			       c->cdi_devices[0]->name);
	if (c->stop_signal > RUNTIME__V1__SIGNAL__SIGNAL_SIGRTMAX)
		return err_new(e, ERR_INVALID, "config.stop_signal %d is unknown", (int)c->stop_signal);
	if (c->windows)
		return err_new(e, ERR_INVALID, "config.windows is set: this is a Linux node");
	if (!c->linux)
		return 0;
	if ((r = validate_resources("config.linux.resources", c->linux->resources, e)) < 0)
		return r;
	return c->linux->security_context ? check_container_security(c->linux->security_context, e) : 0;
}
