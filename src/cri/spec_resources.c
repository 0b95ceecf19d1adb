/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and devices of a container. */
#include "cri/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/path.h"
#include "oci/defaults.h"

static void add_memory(struct json_object *res, const PB(LinuxContainerResources) *r)
{
	struct json_object *m;

	if (r->memory_limit_in_bytes == 0 && r->memory_swap_limit_in_bytes == 0)
		return;
	m = json_put_object(res, "memory");
	if (r->memory_limit_in_bytes)
		json_put_i64(m, "limit", r->memory_limit_in_bytes);
	if (r->memory_swap_limit_in_bytes)
		json_put_i64(m, "swap", r->memory_swap_limit_in_bytes);
}

static void add_cpu(struct json_object *res, const PB(LinuxContainerResources) *r)
{
	struct json_object *c = json_put_object(res, "cpu");

	if (r->cpu_shares)
		json_put_i64(c, "shares", r->cpu_shares < 2 ? 2 : r->cpu_shares);
	if (r->cpu_quota)
		json_put_i64(c, "quota", r->cpu_quota);
	if (r->cpu_period)
		json_put_i64(c, "period", r->cpu_period);
	if (*r->cpuset_cpus)
		json_put_str(c, "cpus", r->cpuset_cpus);
	if (*r->cpuset_mems)
		json_put_str(c, "mems", r->cpuset_mems);
}

/* Kubelets name every page size of the node, with 0 for those that a pod may not use; a host without the
 * controller can honour a limit of 0 only. */
static int add_hugepages(const struct container_plan *p, struct json_object *res,
			 const PB(LinuxContainerResources) *r, struct error *e)
{
	struct json_object *list;

	if (r->n_hugepage_limits == 0)
		return 0;
	if (!cgroup_host_has(p->node->cgroups, CGROUP_HUGETLB)) {
		for (size_t i = 0; i < r->n_hugepage_limits; i++)
			if (r->hugepage_limits[i]->limit)
				return err_new(e, ERR_UNSUPPORTED,
					       "linux.resources.hugepage_limits[%zu]: this host has no "
					       "hugetlb controller",
					       i);
		return 0;
	}
	list = json_put_array(res, "hugepageLimits");
	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		struct json_object *h = json_push_object(list);

		json_put_str(h, "pageSize", r->hugepage_limits[i]->page_size);
		json_put_u64(h, "limit", r->hugepage_limits[i]->limit);
	}
	return 0;
}

static void allow_device(struct json_object *rules, bool allow, const char *type, const struct stat *st,
			 const char *access)
{
	struct json_object *o = json_push_object(rules);

	json_put_bool(o, "allow", allow);
	json_put_str(o, "type", type);
	if (st) {
		json_put_i64(o, "major", major(st->st_rdev));
		json_put_i64(o, "minor", minor(st->st_rdev));
	}
	json_put_str(o, "access", access);
}

static const char *device_type(const struct stat *st)
{
	return S_ISBLK(st->st_mode) ? "b" : S_ISCHR(st->st_mode) ? "c" : NULL;
}

static int stat_device(size_t i, const PB(Device) *d, struct stat *st, struct error *e)
{
	if (stat(d->host_path, st) < 0)
		return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno,
				"config.devices[%zu].host_path \"%s\"", i, d->host_path);
	if (!device_type(st) && !S_ISDIR(st->st_mode))
		return err_new(e, ERR_INVALID, "config.devices[%zu].host_path \"%s\" is no device", i,
			       d->host_path);
	return 0;
}

static int device_rules(const struct container_plan *p, struct json_object *res, struct error *e)
{
	struct json_object *rules;

	if (container_is_privileged(p->config)) {
		rules = json_put_array(res, "devices");
		allow_device(rules, true, "a", NULL, "rwm");
		return 0;
	}
	rules = oci_default_device_rules();
	json_put(res, "devices", rules);
	for (size_t i = 0; i < p->config->n_devices; i++) {
		const PB(Device) *d = p->config->devices[i];
		struct stat st;
		int r = stat_device(i, d, &st, e);

		if (r < 0)
			return r;
		if (device_type(&st))
			allow_device(rules, true, device_type(&st), &st,
				     *d->permissions ? d->permissions : "rwm");
	}
	return 0;
}

int spec_add_resources(const struct container_plan *p, struct json_object *linux_, struct error *e)
{
	const PB(LinuxContainerResources) *r = p->config->linux ? p->config->linux->resources : NULL;
	struct json_object *res = json_put_object(linux_, "resources");
	int rc = device_rules(p, res, e);

	if (rc < 0 || !r)
		return rc;
	add_memory(res, r);
	add_cpu(res, r);
	if ((rc = add_hugepages(p, res, r, e)) < 0)
		return rc;
	if (r->n_unified) {
		struct json_object *u = json_put_object(res, "unified");

		for (size_t i = 0; i < r->n_unified; i++)
			json_put_str(u, r->unified[i]->key, r->unified[i]->value);
	}
	return 0;
}

/* The sandbox's own limits, told to the pause container's runtime (and to others that read the spec). */
void spec_add_pause_resources(const PB(PodSandboxConfig) *pod, struct json_object *annotations)
{
	const PB(LinuxContainerResources) *r = pod->linux ? pod->linux->resources : NULL;
	const struct {
		const char *key;
		int64_t value;
	} rows[] = {
		{ "io.kubernetes.cri.sandbox-cpu-period", r ? r->cpu_period : 0 },
		{ "io.kubernetes.cri.sandbox-cpu-quota", r ? r->cpu_quota : 0 },
		{ "io.kubernetes.cri.sandbox-cpu-shares", r ? r->cpu_shares : 0 },
		{ "io.kubernetes.cri.sandbox-memory", r ? r->memory_limit_in_bytes : 0 },
	};

	for (size_t i = 0; r && i < ARRAY_LEN(rows); i++) {
		cleanup_free char *text = str_fmt("%lld", (long long)rows[i].value);

		json_put_str(annotations, rows[i].key, text);
	}
}

/* --- device nodes --------------------------------------------------------------------------------- */

static void add_device(struct json_object *list, const char *path, const struct stat *st)
{
	struct json_object *o = json_push_object(list);

	json_put_str(o, "path", path);
	json_put_str(o, "type", device_type(st));
	json_put_i64(o, "major", major(st->st_rdev));
	json_put_i64(o, "minor", minor(st->st_rdev));
	json_put_i64(o, "fileMode", st->st_mode & 07777);
	json_put_u64(o, "uid", st->st_uid);
	json_put_u64(o, "gid", st->st_gid);
}

/* All devices of a directory, as engines give them to privileged containers; what the container gets
 * its own of is left out. */
static void add_tree(struct json_object *list, const char *host_dir, const char *container_dir, int level)
{
	static const char *const own[] = { "pts", "shm", "fd", "mqueue", "console", ".", "..", "ptmx" };
	DIR *dir = level < 8 ? opendir(host_dir) : NULL;
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		cleanup_free char *host = NULL, *inside = NULL;
		bool skip = false;
		struct stat st;

		for (size_t i = 0; i < ARRAY_LEN(own); i++)
			skip |= str_eq(d->d_name, own[i]);
		if (skip || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		host = str_fmt("%s/%s", host_dir, d->d_name);
		inside = str_fmt("%s/%s", container_dir, d->d_name);
		if (S_ISDIR(st.st_mode))
			add_tree(list, host, inside, level + 1);
		else if (device_type(&st))
			add_device(list, inside, &st);
	}
	if (dir)
		closedir(dir);
}

int spec_add_devices(const struct container_plan *p, struct json_object *linux_, struct error *e)
{
	struct json_object *list;

	if (!container_is_privileged(p->config) && p->config->n_devices == 0)
		return 0;
	list = json_put_array(linux_, "devices");
	if (container_is_privileged(p->config))
		add_tree(list, "/dev", "/dev", 0);
	for (size_t i = 0; i < p->config->n_devices; i++) {
		const PB(Device) *d = p->config->devices[i];
		const char *inside = *d->container_path ? d->container_path : d->host_path;
		struct stat st;
		int r = stat_device(i, d, &st, e);

		if (r < 0)
			return r;
		if (S_ISDIR(st.st_mode))
			add_tree(list, d->host_path, inside, 0);
		else
			add_device(list, inside, &st);
	}
	return 0;
}
