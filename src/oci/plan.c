/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/plan.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "sys/mountapi.h"

void oci_plan_done(struct oci_plan *p)
{
	for (size_t i = 0; i < p->mount_count; i++)
		free(p->mounts[i].destination);
	free(p->mounts);
	for (size_t i = 0; i < p->sysctl_count; i++)
		free((char *)(uintptr_t)p->sysctls[i].name);
	free(p->sysctls);
	*p = OCI_PLAN_INIT;
}

bool plan_may_cover_proc(const char *destination)
{
	static const char *const files[] = {
		"/proc",
		"/proc/cpuinfo",
		"/proc/diskstats",
		"/proc/loadavg",
		"/proc/meminfo",
		"/proc/net/dev",
		"/proc/slabinfo",
		"/proc/stat",
		"/proc/swaps",
		"/proc/uptime",
		"/proc/sys/kernel/ns_last_pid",
		"/proc/sys/crypto/fips_enabled",
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (str_eq(destination, files[i]))
			return true;
	return false;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* ---- namespaces --------------------------------------------------------------------------------- */

static int plan_namespaces(const struct oci_create *o, struct oci_plan *p, struct error *e)
{
	const struct oci_linux *l = &o->spec->linux;

	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		p->joins[ns] = o->ns_fd[ns] >= 0 || (l->namespaces[ns].is_set && l->namespaces[ns].path);
		p->makes[ns] = !p->joins[ns] && l->namespaces[ns].is_set;
		if (p->makes[ns] && ns != OCI_NS_CGROUP && ns != OCI_NS_TIME)
			p->clone_flags |= (uint64_t)oci_ns_info[ns].clone_flag;
	}
	/* What the ipc namespace makes for itself at birth (the root of mqueue) belongs to its maker, so it has to be
	 * the root of the user namespace, not one whose id is not mapped yet: the init unshares it. */
	p->late_ipc = (p->makes[OCI_NS_USER] || p->joins[OCI_NS_USER]) && p->makes[OCI_NS_IPC];
	if (p->late_ipc)
		p->clone_flags &= ~(uint64_t)CLONE_NEWIPC;
	p->in_user_ns = p->makes[OCI_NS_USER] || p->joins[OCI_NS_USER];
	if (p->joins[OCI_NS_MOUNT])
		return err_new(
			e, ERR_UNSUPPORTED,
			"linux.namespaces: a mount namespace that exists already cannot be joined: the "
			"container's mounts would stay in it, and its new root would be that of all "
			"who live there");
	if (!p->makes[OCI_NS_MOUNT])
		return err_new(e, ERR_INVALID,
			       "a container needs a mount namespace of its own "
			       "(linux.namespaces has no \"mount\")");
	if (p->makes[OCI_NS_USER] && (!l->uid_mappings.n || !l->gid_mappings.n))
		return err_new(e, ERR_INVALID,
			       "a new user namespace without linux.uidMappings or linux.gidMappings");
	if (!p->in_user_ns && (l->uid_mappings.n || l->gid_mappings.n))
		return err_new(e, ERR_INVALID,
			       "linux.uidMappings or linux.gidMappings without a user namespace");
	if (!p->makes[OCI_NS_UTS] && !p->joins[OCI_NS_UTS] && (o->spec->hostname || o->spec->domainname))
		return err_new(e, ERR_INVALID, "a hostname without a uts namespace would be the host's");
	if (!p->makes[OCI_NS_TIME] && l->time_offsets.n)
		return err_new(e, ERR_INVALID, "linux.timeOffsets without a new time namespace");
	return 0;
}

/* "net.ipv4.ip_forward", or "net/ipv4/ip_forward" as sysctl(8) takes it too: the first separator decides. */
static char *dotted_name(const char *key)
{
	char *name = str_dup(key);

	if (strcspn(key, "/") < strcspn(key, "."))
		for (char *c = name; *c; c++)
			*c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
	return name;
}

static const bool none_shared[OCI_NS_COUNT];

static int check_sysctl(const struct oci_plan *p, const struct sysctl_item *item, const char *domainname,
			const bool is_shared[OCI_NS_COUNT], struct error *e)
{
	bool own[OCI_NS_COUNT];
	int r;

	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
		own[ns] = (p->makes[ns] || p->joins[ns]) && !is_shared[ns];
	r = sysctl_check(item->name, item->value,
			 &(struct sysctl_scope){
				 .user = own[OCI_NS_USER],
				 .net = own[OCI_NS_NETWORK],
				 .ipc = own[OCI_NS_IPC],
				 .uts = own[OCI_NS_UTS],
			 },
			 e);
	/* Written behind the other, it would win, and nobody could have meant both. */
	if (r >= 0 && domainname && str_eq(item->name, "kernel.domainname") &&
	    !str_eq(item->value, domainname))
		r = err_new(e, ERR_INVALID, "sysctl \"%s\": \"%s\", and domainname is \"%s\"", item->name,
			    item->value, domainname);
	return r < 0 ? err_ctx(e, "linux.sysctl") : 0;
}

int oci_plan_check_shared(const struct oci_plan *p, const struct oci_spec *spec,
			  const bool is_shared[OCI_NS_COUNT], struct error *e)
{
	int r = 0;

	if (is_shared[OCI_NS_UTS] && (spec->hostname || spec->domainname))
		return err_new(
			e, ERR_INVALID,
			"the uts namespace of linux.namespaces is the host's, whose name %s would change",
			spec->hostname ? "hostname" : "domainname");
	for (size_t i = 0; i < p->sysctl_count && r >= 0; i++)
		r = check_sysctl(p, &p->sysctls[i], spec->domainname, is_shared, e);
	return r;
}

static int plan_sysctls(const struct oci_spec *s, struct oci_plan *p, struct error *e)
{
	p->sysctls = mem_array(s->linux.sysctl.n + 1, sizeof(*p->sysctls));
	for (size_t i = 0; i < s->linux.sysctl.n; i++) {
		struct sysctl_item *item = &p->sysctls[p->sysctl_count++];
		int r;

		*item = (struct sysctl_item){ dotted_name(s->linux.sysctl.v[i].key),
					      s->linux.sysctl.v[i].value };
		r = check_sysctl(p, item, s->domainname, none_shared, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- mounts ------------------------------------------------------------------------------------- */

/* What the runtime does for the types that it knows; all others are asked from the kernel as they are. */
static const struct {
	const char *type;
	const char
		*fallback; /* when the namespace it shows does not belong to the container's user namespace */
	enum oci_ns shows; /* that namespace; OCI_NS_COUNT: none */
	enum plan_mount_kind kind;
} fs_types[] = {
	{ "bind", NULL, OCI_NS_COUNT, PLAN_BIND },	 { "cgroup", NULL, OCI_NS_COUNT, PLAN_CGROUP },
	{ "cgroup2", NULL, OCI_NS_COUNT, PLAN_CGROUP },	 { "proc", "/proc", OCI_NS_PID, PLAN_FRESH },
	{ "sysfs", "/sys", OCI_NS_NETWORK, PLAN_FRESH }, { "mqueue", "/dev/mqueue", OCI_NS_IPC, PLAN_FRESH },
};

static void plan_type(const struct oci_plan *p, struct plan_mount *pm)
{
	const char *type = pm->m->type;

	pm->kind = PLAN_FRESH;
	pm->type = type;
	if (pm->m->options.is_remount || pm->m->options.is_bind) {
		pm->kind = pm->m->options.is_remount ? PLAN_REMOUNT : PLAN_BIND;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(fs_types); i++) {
		if (!str_eq(type, fs_types[i].type))
			continue;
		pm->kind = fs_types[i].kind;
		/* A namespace made with the container's user namespace belongs to it. */
		if (fs_types[i].fallback && p->in_user_ns && !p->makes[fs_types[i].shows])
			pm->fallback = fs_types[i].fallback;
	}
	if (str_eq(pm->destination, "/dev") && str_eq(type, "tmpfs"))
		pm->kind = PLAN_DEV;
}

/* A user namespace locks these flags of the host's mounts (mount_namespaces(7)): what the host has set is
 * kept there, even when the options ask to clear it. */
#define LOCKED_ATTRS (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static void plan_attrs(const struct oci_plan *p, struct plan_mount *pm)
{
	const struct oci_mount_options *opt = &pm->m->options;
	uint64_t keep = (p->in_user_ns || p->dev_by_init) && pm->kind <= PLAN_TREE ? LOCKED_ATTRS : 0;

	pm->set = opt->attr_set;
	pm->clear = opt->attr_clr & ~keep;
	pm->rec_set = opt->rec_attr_set;
	pm->rec_clear = opt->rec_attr_clr & ~keep;
	/* Nothing is below what is made here: recursive is no different. */
	if (pm->kind == PLAN_FRESH || pm->kind == PLAN_DEV || pm->kind == PLAN_CGROUP) {
		if (!(pm->set & MOUNT_ATTR__ATIME))
			pm->set |= pm->rec_set & MOUNT_ATTR__ATIME;
		pm->set |= pm->rec_set & ~(uint64_t)MOUNT_ATTR__ATIME & ~pm->clear;
	}
	if ((pm->kind == PLAN_FRESH || pm->kind == PLAN_DEV || pm->kind == PLAN_REMOUNT) &&
	    (pm->set & MOUNT_ATTR_RDONLY)) {
		pm->late_readonly = true;
		pm->set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	}
	/* The last word about a mount counts, also when the one before had to wait. */
	for (size_t i = 0; pm->kind == PLAN_REMOUNT && (pm->clear & MOUNT_ATTR_RDONLY) && i < p->mount_count;
	     i++)
		if (str_eq(p->mounts[i].destination, pm->destination))
			p->mounts[i].late_readonly = false;
}

static int check_mount(const struct oci_plan *p, const struct plan_mount *pm, struct error *e)
{
	const struct oci_mount *m = pm->m;
	bool has_maps = m->uid_mappings.n || m->gid_mappings.n;

	if (str_eq(pm->destination, "/"))
		return err_new(e, ERR_INVALID, "mount on \"%s\": it would cover the root file system",
			       m->destination);
	if (is_below(pm->destination, "/proc") && !plan_may_cover_proc(pm->destination))
		return err_new(e, ERR_INVALID, "mount on \"%s\": nothing may be mounted inside of /proc",
			       m->destination);
	if (pm->kind != PLAN_BIND && pm->kind != PLAN_REMOUNT &&
	    (str_is_empty(m->type) || str_eq(m->type, "none")))
		return err_new(e, ERR_INVALID, "mount on \"%s\" is no bind mount and has no type",
			       m->destination);
	if ((has_maps || m->options.idmap) && pm->kind != PLAN_BIND)
		return err_new(e, ERR_INVALID, "mount on \"%s\": only the ids of bind mounts can be mapped",
			       m->destination);
	if (m->options.idmap && !has_maps && !p->in_user_ns)
		return err_new(e, ERR_INVALID,
			       "mount on \"%s\": idmap without uidMappings and gidMappings of the mount, and "
			       "without a user namespace whose mappings it could take",
			       m->destination);
	return 0;
}

static int plan_mount(const struct oci_create *o, const struct oci_mount *m, struct oci_plan *p,
		      struct error *e)
{
	struct plan_mount *pm = &p->mounts[p->mount_count];
	cleanup_free char *rooted = str_fmt("/%s", m->destination);
	int r;

	*pm = (struct plan_mount){ .m = m, .destination = path_clean(rooted) };
	p->mount_count++;
	pm->on_procfs = is_below(pm->destination, "/proc");
	plan_type(p, pm);
	r = check_mount(p, pm, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < o->mount_fd_count; i++) {
		cleanup_free char *given = path_clean(o->mount_fds[i].destination);

		if (str_eq(given, pm->destination) && pm->kind != PLAN_REMOUNT) {
			pm->kind = PLAN_TREE;
			pm->tree = i;
		}
	}
	if (str_eq(pm->destination, "/proc") && pm->kind != PLAN_BIND && pm->kind != PLAN_REMOUNT &&
	    !str_eq(pm->type, "proc"))
		return err_new(e, ERR_INVALID, "mount on \"/proc\": only a proc file system may be there");
	plan_attrs(p, pm);
	p->makes_dev |= pm->kind == PLAN_DEV;
	p->binds_dev |= str_eq(pm->destination, "/dev") &&
			(pm->kind == PLAN_BIND || pm->kind == PLAN_TREE || str_eq(pm->type, "devtmpfs"));
	p->has_devpts |= pm->kind == PLAN_FRESH && str_eq(pm->type, "devpts");
	return 0;
}

int oci_plan_make(const struct oci_create *o, struct oci_plan *ret, struct error *e)
{
	CLEANUP(oci_plan_done) struct oci_plan p = OCI_PLAN_INIT;
	const struct oci_spec *s = o->spec;
	int r;

	if (!s->has_linux)
		return err_new(e, ERR_INVALID, "the spec has no \"linux\"");
	if (!o->rootfs && !s->has_root)
		return err_new(e, ERR_INVALID, "the spec has no root file system");
	r = plan_namespaces(o, &p, e);
	if (r >= 0)
		r = plan_sysctls(s, &p, e);
	if (r < 0)
		return r;
	p.dev_by_init = o->needs_user_ns;
	p.readonly_root = (s->has_root && s->root.readonly) || (o->rootfs && o->rootfs->readonly);
	p.mounts = mem_array(s->mounts.n + 1, sizeof(*p.mounts));
	for (size_t i = 0; i < s->mounts.n; i++) {
		r = plan_mount(o, &s->mounts.v[i], &p, e);
		if (r < 0)
			return r;
	}
	if (s->process.terminal && !p.has_devpts && !p.binds_dev)
		return err_new(e, ERR_INVALID, "process.terminal without a mount of type devpts");
	*ret = p;
	p = OCI_PLAN_INIT;
	return 0;
}
