/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of a container: what every container has, the pod's files, and what the request asks for,
 * in the order in which they are made: parents before children. */
#include "cri/container.h"

#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "oci/defaults.h"

static struct json_object *add_mount(struct json_object *list, const char *destination, const char *type,
				     const char *source, const char *options)
{
	struct json_object *m = json_push_object(list);
	cleanup_strv struct strv words = STRV_INIT;

	strv_split(&words, options, ",");
	json_put_str(m, "destination", destination);
	json_put_str(m, "type", type);
	json_put_str(m, "source", source);
	json_put_strv(m, "options", &words);
	return m;
}

/* Does the request mount something at this place itself? */
static bool is_asked(const PB(ContainerConfig) *c, const char *destination)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		cleanup_free char *clean = path_clean(c->mounts[i]->container_path);

		if (str_eq(clean, destination))
			return true;
	}
	return false;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* sysfs shows the network namespace that its mounter owns; a user namespace that does not own it (the
 * host's network: KEP-5607) cannot mount it and gets the host's, read-only with all below it. */
static void add_sys(const struct container_plan *p, struct json_object *list,
		    const struct oci_default_mount *d)
{
	bool writable = container_is_privileged(p->config);

	if (p->uids && !*p->sandbox->rec->netns_path)
		add_mount(list, "/sys", "bind", "/sys", "rbind,nosuid,noexec,nodev,rro");
	else
		add_mount(list, "/sys", d->type, d->source, writable ? "nosuid,noexec,nodev,rw" : d->options);
}

static void add_shm(const struct container_plan *p, struct json_object *list,
		    const struct oci_default_mount *d)
{
	if (p->sandbox->rec->no_new_ipc)
		add_mount(list, "/dev/shm", "bind", "/dev/shm", "rbind,nosuid,noexec,nodev,rw");
	else
		add_mount(list, "/dev/shm", d->type, d->source, d->options);
}

static void add_defaults(const struct container_plan *p, struct json_object *list)
{
	for (const struct oci_default_mount *d = oci_default_mounts; d->destination; d++) {
		if (is_asked(p->config, d->destination))
			continue;
		if (str_eq(d->destination, "/sys"))
			add_sys(p, list, d);
		else if (str_eq(d->destination, "/dev/shm"))
			add_shm(p, list, d);
		else if (str_eq(d->destination, "/sys/fs/cgroup"))
			add_mount(list, d->destination, d->type, d->source,
				  container_is_privileged(p->config) ? "nosuid,noexec,nodev,relatime,rw"
								     : d->options);
		else
			add_mount(list, d->destination, d->type, d->source, d->options);
	}
}

static void add_pod_files(const struct container_plan *p, struct json_object *list)
{
	static const char *const files[][2] = { { "/etc/hostname", "hostname" },
						{ "/etc/hosts", "hosts" },
						{ "/etc/resolv.conf", "resolv.conf" } };
	const PB(LinuxContainerSecurityContext) *s = container_security(p->config);

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		cleanup_free char *source = NULL;

		if (is_asked(p->config, files[i][0]))
			continue;
		source = str_fmt("%s/pods/%s/%s", node_config(p->node)->state_dir, p->sandbox->rec->id,
				 files[i][1]);
		add_mount(list, files[i][0], "bind", source,
			  s && s->readonly_rootfs ? "rbind,rprivate,ro" : "rbind,rprivate,rw");
	}
}

static void add_mappings(struct json_object *m, const char *key, PB(IDMapping) *const *maps, size_t n)
{
	struct json_object *list = json_put_array(m, key);

	for (size_t i = 0; i < n; i++) {
		struct json_object *x = json_push_object(list);

		json_put_u64(x, "containerID", maps[i]->container_id);
		json_put_u64(x, "hostID", maps[i]->host_id);
		json_put_u64(x, "size", maps[i]->length);
	}
}

static int check_destination(size_t i, const char *destination, struct error *e)
{
	if (str_eq(destination, "/"))
		return err_new(e, ERR_INVALID, "config.mounts[%zu].container_path is the root directory", i);
	/* A mount over procfs hides what the confinement is made of (runc CVE-2019-16884). */
	if (is_below(destination, "/proc"))
		return err_new(e, ERR_INVALID,
			       "config.mounts[%zu].container_path \"%s\" is inside /proc: not allowed", i,
			       destination);
	return 0;
}

static int add_asked(const struct container_plan *p, size_t i, struct json_object *list, struct error *e)
{
	static const char *const propagation[] = { "rprivate", "rslave", "rshared" };
	const PB(Mount) *m = p->config->mounts[i];
	cleanup_free char *destination = path_clean(m->container_path);
	cleanup_free char *absolute = *destination == '/' ? NULL : str_fmt("/%s", destination);
	cleanup_buf struct buf options = BUF_INIT;
	struct json_object *o;
	int r = check_destination(i, absolute ? absolute : destination, e);

	if (r < 0 || (r = spec_check_propagation(i, m, e)) < 0)
		return r;
	buf_addf(&options, "rbind,%s,%s", propagation[m->propagation],
		 m->recursive_read_only ? "rro"
		 : m->readonly		? "ro"
					: "rw");
	for (size_t k = 0; k < m->n_mount_options; k++)
		buf_addf(&options, ",%s", m->mount_options[k]);
	o = add_mount(list, absolute ? absolute : destination, "bind", m->host_path, buf_str(&options));
	if (m->n_uidmappings) {
		if (!p->uids)
			return err_new(
				e, ERR_INVALID,
				"config.mounts[%zu] has id mappings, but the pod has no user namespace", i);
		add_mappings(o, "uidMappings", m->uidmappings, m->n_uidmappings);
		add_mappings(o, "gidMappings", m->gidmappings, m->n_gidmappings);
	} else if (p->uids && p->sandbox->rec->idmap_all) {
		add_mappings(o, "uidMappings", p->sandbox->rec->uids, p->sandbox->rec->n_uids);
		add_mappings(o, "gidMappings", p->sandbox->rec->gids, p->sandbox->rec->n_gids);
	}
	return 0;
}

static size_t depth(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/' && path[1] != '/' && path[1] != '\0';
	return n;
}

int spec_add_mounts(const struct container_plan *p, struct json_object *spec, struct error *e)
{
	struct json_object *list = json_put_array(spec, "mounts");
	size_t left = p->config->n_mounts;
	int r;

	add_defaults(p, list);
	add_pod_files(p, list);
	for (size_t level = 0; left > 0; level++)
		for (size_t i = 0; i < p->config->n_mounts; i++) {
			if (depth(p->config->mounts[i]->container_path) != level)
				continue;
			if ((r = add_asked(p, i, list, e)) < 0)
				return r;
			left--;
		}
	return 0;
}
