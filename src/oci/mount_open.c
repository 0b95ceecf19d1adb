/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of mounts, opened by the caller, who has the host's privileges: a volume below a directory
 * that only root may enter works however little the container's root may do on the host. Attributes are
 * set here too, on the detached clone: never is anything attached that is not yet what it shall be. */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/ids.h"
#include "oci/mount_late.h"
#include "sys/mountapi.h"
#include "sys/ns.h"
#include "userns/userns.h"

void mount_set_done(struct mount_set *s)
{
	for (size_t i = 0; s->state && i < s->plan->mount_count; i++) {
		if (s->state[i].tree_fd >= 0)
			close(s->state[i].tree_fd);
		if (s->state[i].fallback_fd >= 0)
			close(s->state[i].fallback_fd);
		free(s->state[i].late_source);
	}
	for (size_t i = 0; i < s->cgroup_count; i++)
		if (s->cgroups[i].tree_fd >= 0)
			close(s->cgroups[i].tree_fd);
	for (size_t i = 0; i < s->node_count; i++)
		if (s->node_fds[i] >= 0)
			close(s->node_fds[i]);
	if (s->null_tree >= 0)
		close(s->null_tree);
	free(s->state);
	free(s->node_fds);
	*s = MOUNT_SET_INIT;
}

/* The user namespace whose maps an id-mapped mount gets: the mount's own uidMappings and gidMappings, or
 * without those the container's. */
static int mapping_of(const struct mounts_env *env, const struct oci_mount *m, int *ret_fd, struct error *e)
{
	const struct oci_linux *l = &env->create->spec->linux;
	const struct oci_id_mappings *uids = m->uid_mappings.n ? &m->uid_mappings : &l->uid_mappings;
	const struct oci_id_mappings *gids = m->gid_mappings.n ? &m->gid_mappings : &l->gid_mappings;
	struct idmap uid_map = IDMAP_INIT, gid_map = IDMAP_INIT;
	int r;

	if (!m->uid_mappings.n != !m->gid_mappings.n)
		return err_new(e, ERR_INVALID, "uidMappings and gidMappings belong together");
	if (!m->uid_mappings.n && env->user_fd >= 0)
		return fd_dup(env->user_fd, ret_fd, e);
	r = ids_map(uids, "uidMappings", &uid_map, e);
	if (r >= 0)
		r = ids_map(gids, "gidMappings", &gid_map, e);
	return r < 0 ? r : userns_mapping_fd(&uid_map, &gid_map, ret_fd, e);
}

static int idmap_tree(const struct mounts_env *env, const struct oci_mount *m, int tree, struct error *e)
{
	cleanup_close int mapping = -1;
	struct mount_change change = { .idmap = true };
	int r;

	if (!m->uid_mappings.n && !m->gid_mappings.n && !m->options.idmap)
		return 0;
	r = mapping_of(env, m, &mapping, e);
	if (r < 0)
		return r;
	change.userns_fd = mapping;
	r = mount_change(tree, m->options.ridmap, &change, e);
	if (r < 0) {
		if (e && (e->sys == EINVAL || e->sys == EPERM))
			err_kind(e, ERR_UNSUPPORTED);
		return err_ctx(e, "map the ids of \"%s\" (its file system may not know id-mapped mounts)",
			       m->source ? m->source : "");
	}
	return 0;
}

/* Shared with the host, a less privileged mount namespace could mount things there: it is a slave of the host's mounts
 * first, and shared only among what is cloned of it from then on. */
static int set_propagation(const struct mounts_env *env, const struct oci_mount_options *opt, int tree,
			   struct error *e)
{
	unsigned long none = MS_PRIVATE | MS_REC;
	const unsigned long *list = opt->propagation_count ? opt->propagation : &none;
	size_t n = opt->propagation_count ? opt->propagation_count : 1;

	for (size_t i = 0; i < n; i++) {
		unsigned long flag = list[i] & ~(unsigned long)MS_REC;
		int r = 0;

		if (flag == MS_SHARED && env->plan->in_user_ns)
			r = mount_change(tree, list[i] & MS_REC,
					 &(struct mount_change){ .propagation = MS_SLAVE }, e);
		if (r >= 0)
			r = mount_change(tree, list[i] & MS_REC,
					 &(struct mount_change){ .propagation = flag }, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_attrs(const struct mounts_env *env, const struct plan_mount *pm, int tree, struct error *e)
{
	struct mount_change top = { .set = pm->set, .clear = pm->clear };
	struct mount_change all = { .set = pm->rec_set, .clear = pm->rec_clear };
	int r = set_propagation(env, &pm->m->options, tree, e);

	if (r >= 0)
		r = mount_change(tree, true, &all, e);
	if (r >= 0)
		r = mount_change(tree, false, &top, e);
	return r < 0 ? r : idmap_tree(env, pm->m, tree, e);
}

/* Only a procfs may be bound on /proc (CVE-2019-16884: a look-alike makes LSM labels go astray). */
static int check_proc_source(const struct plan_mount *pm, int tree, struct error *e)
{
	struct statfs fs;

	if (!str_eq(pm->destination, "/proc"))
		return 0;
	if (fstatfs(tree, &fs) < 0)
		return err_sys(e, "look at \"%s\"", pm->m->source);
	if (fs.f_type != PROC_SUPER_MAGIC)
		return err_new(e, ERR_INVALID,
			       "\"%s\" is no proc file system, and nothing else may be on /proc",
			       pm->m->source);
	return 0;
}

int mount_bind_finish(const struct mounts_env *env, const struct plan_mount *pm, int tree,
		      struct mount_state *st, struct error *e)
{
	struct stat sb;
	int r = check_proc_source(pm, tree, e);

	if (r >= 0)
		r = set_attrs(env, pm, tree, e);
	if (r < 0)
		return r;
	if (fstat(tree, &sb) < 0)
		return err_sys(e, "look at \"%s\"", pm->m->source);
	st->is_dir = S_ISDIR(sb.st_mode);
	return fd_dup(tree, &st->tree_fd, e);
}

static int open_bind(const struct mounts_env *env, size_t i, struct mount_state *st, struct error *e)
{
	const struct plan_mount *pm = &env->plan->mounts[i];
	int dfd = env->bundle_dfd >= 0 ? env->bundle_dfd : AT_FDCWD, r;
	cleanup_close int tree = -1;
	const struct oci_strs *words = &pm->m->options.data_words;

	/* The kernel ignores what is no option of a mount, as a bind has the file system of its source; podman lets words of
	 * its own through ("nocopy"). */
	if (words->n)
		log_warn("mount on \"%s\": a bind mount has no use for the option \"%s\"", pm->m->destination,
			 words->v[0]);
	st->late_source = mount_late_source(env, i);
	if (st->late_source)
		return 0;
	r = mount_clone(dfd, pm->m->source, pm->m->options.is_rbind, false, &tree, e);
	if (r < 0 && e && e->sys == EINVAL && env->create->needs_user_ns && !pm->m->options.is_rbind)
		return err_hint(
			e, "what is mounted below it is shown in a user namespace, or it cannot be bound "
			   "there: use \"rbind\"");
	return r < 0 ? r : mount_bind_finish(env, pm, tree, st, e);
}

static int open_given(const struct mounts_env *env, const struct plan_mount *pm, struct mount_state *st,
		      struct error *e)
{
	cleanup_close int tree = -1;
	struct stat sb;
	int given = env->create->mount_fds[pm->tree].tree_fd;
	struct error cannot_clone = ERROR_INIT;
	int r = mount_clone(given, "", true, true, &tree, &cannot_clone);

	if (r < 0 && cannot_clone.sys != EINVAL) {
		if (e)
			*e = cannot_clone;
		return r;
	}
	if (r < 0) /* before Linux 6.15: the caller's own detached tree goes in, which works once */
		r = fd_dup(given, &tree, e);
	if (r >= 0)
		r = set_attrs(env, pm, tree, e);
	if (r < 0)
		return r;
	if (fstat(tree, &sb) < 0)
		return err_sys(e, "look at the given mount");
	st->is_dir = S_ISDIR(sb.st_mode);
	st->tree_fd = take_fd(tree);
	return 0;
}

static int open_dev(const struct mounts_env *env, const struct plan_mount *pm, struct mount_set *s,
		    struct mount_state *st, struct error *e)
{
	const struct oci_strs *words = &pm->m->options.data_words;
	const struct oci_user *user = &env->create->spec->process.user;
	cleanup_close int context = -1, tree = -1;
	uint32_t root_uid = 0, root_gid = 0;
	char uid[16], gid[16];
	int r = mount_context("tmpfs", &context, e);

	/* Options of the spec come last and win. */
	if (r >= 0)
		r = ids_root(env->uids, user->uid, &root_uid, e);
	if (r >= 0)
		r = ids_root(env->gids, user->gid, &root_gid, e);
	snprintf(uid, sizeof(uid), "%u", root_uid);
	snprintf(gid, sizeof(gid), "%u", root_gid);
	if (r >= 0)
		r = mount_context_set(context, &MOUNT_PARAM("uid", uid), e);
	if (r >= 0)
		r = mount_context_set(context, &MOUNT_PARAM("gid", gid), e);
	if (r >= 0)
		r = mount_context_set(context, &MOUNT_PARAM("mode", "755"), e);
	if (r >= 0)
		r = mount_context_set(
			context,
			&MOUNT_PARAM("source", str_is_empty(pm->m->source) ? "tmpfs" : pm->m->source), e);
	for (size_t i = 0; i < words->n && r >= 0; i++) {
		cleanup_free char *key = str_dup(words->v[i]);
		char *value = strchr(key, '=');

		if (value)
			*value++ = '\0';
		r = mount_context_set(context, &MOUNT_PARAM(key, value), e);
	}
	if (r >= 0)
		r = mount_label(context, "tmpfs", env->create->spec, e);
	if (r >= 0)
		r = mount_context_create(context, pm->set & ~(uint64_t)MOUNT_ATTR_NODEV, &tree, e);
	if (r >= 0)
		r = devices_fill(tree, env, s, e);
	if (r < 0)
		return r;
	st->is_dir = true;
	st->tree_fd = take_fd(tree);
	return 0;
}

/* A read-only copy of a host tree, for what the kernel does not give out freshly. */
static int open_fallback(const struct mounts_env *env, const struct plan_mount *pm, struct mount_state *st,
			 struct error *e)
{
	struct mount_change change = {
		.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.propagation = MS_SLAVE,
	};
	enum oci_ns shows = str_eq(pm->fallback, "/sys") ? OCI_NS_NETWORK : OCI_NS_COUNT;
	cleanup_close int tree = -1;
	int r;

	/* The joined network namespace belongs to the joined user namespace: a fresh sysfs will do. */
	if (shows == OCI_NS_NETWORK && env->user_fd >= 0 && env->create->ns_fd[shows] >= 0) {
		cleanup_close int owner = -1;
		struct error ignored = ERROR_INIT;
		bool same = false;

		if (ns_owner(env->create->ns_fd[shows], &owner, &ignored) >= 0 &&
		    ns_is_same(owner, env->user_fd, &same, &ignored) >= 0 && same)
			return 0;
	}
	r = mount_clone(AT_FDCWD, pm->fallback, true, false, &tree, e);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r >= 0)
		r = mount_change(tree, true, &change, e);
	if (r < 0)
		return r;
	st->fallback_fd = take_fd(tree);
	return 0;
}

/* ---- cgroups ------------------------------------------------------------------------------------ */

static int clone_cgroup(const char *path, int *ret_tree, struct error *e)
{
	const struct mount_change change = {
		.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.propagation = MS_PRIVATE,
	};
	cleanup_close int tree = -1;
	int r = mount_clone(AT_FDCWD, path, false, true, &tree, e);

	if (r >= 0)
		r = mount_change(tree, true, &change, e);
	if (r >= 0)
		*ret_tree = take_fd(tree);
	return r;
}

static int open_v1_hierarchy(const struct mounts_env *env, const char *mount_point, const char *v1_option,
			     struct mount_set *s, struct error *e)
{
	struct mount_cgroup *c = &s->cgroups[s->cgroup_count];
	cleanup_free char *path = str_fmt("%s%s", mount_point, env->cgroup ? cgroup_path(env->cgroup) : "");
	const char *base = strrchr(mount_point, '/');
	int r = clone_cgroup(path, &c->tree_fd, e);

	if (r == -ERR_NOT_FOUND)
		return 0; /* the container has no cgroup in this hierarchy */
	if (r < 0)
		return r;
	snprintf(c->name, sizeof(c->name), "%s", base ? base + 1 : mount_point);
	snprintf(c->links, sizeof(c->links), "%s", str_starts(v1_option, "name=") ? "" : v1_option);
	s->cgroup_count++;
	return 0;
}

/* For where the container may not mount cgroup2 itself: what it would show, which without a cgroup namespace is all. */
static int open_v2(const struct mounts_env *env, const char *mount_point, struct mount_state *st,
		   struct error *e)
{
	bool has_ns = env->plan->makes[OCI_NS_CGROUP] || env->plan->joins[OCI_NS_CGROUP];
	cleanup_free char *path =
		str_fmt("%s%s", mount_point, has_ns && env->cgroup ? cgroup_path(env->cgroup) : "");
	int r = env->plan->in_user_ns ? clone_cgroup(path, &st->fallback_fd, e) : 0;

	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* In v1 a tmpfs with a directory for each hierarchy, which show the container's own cgroup as their root. */
static int open_cgroups(const struct mounts_env *env, struct mount_set *s, struct mount_state *st,
			struct error *e)
{
	const char *mount_point, *v1_option;
	int r = 0;

	st->is_dir = true;
	if (!env->create->cgroups || s->cgroup_count)
		return 0;
	s->cgroup_is_v2 = cgroup_host_mode(env->create->cgroups) == CGROUP_V2;
	if (!env->cgroup && !s->cgroup_is_v2) /* none could be made: what is ours is not its own */
		return 0;
	for (size_t i = 0; i < CGROUP_HIER_MAX && r >= 0; i++) {
		if (!cgroup_host_hierarchy(env->create->cgroups, i, &mount_point, &v1_option))
			break;
		if (s->cgroup_is_v2)
			return open_v2(env, mount_point, st, e);
		r = open_v1_hierarchy(env, mount_point, v1_option, s, e);
	}
	return r;
}

/* ---- all ---------------------------------------------------------------------------------------- */

static int open_null(struct mount_set *s, struct error *e)
{
	const struct mount_change closed = { .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
						    MOUNT_ATTR_NOEXEC };
	cleanup_close int tree = -1;
	struct stat sb;
	int r = mount_clone(AT_FDCWD, "/dev/null", false, true, &tree, e);

	/* It is the host's own node: root of a container without a user namespace may not change its mode or owner. What
	 * is written to a device is no write to its file system. */
	if (r >= 0)
		r = mount_change(tree, false, &closed, e);
	if (r < 0)
		return r;
	/* CVE-2025-31133: what masks must be the null device and nothing else. */
	if (fstat(tree, &sb) < 0 || !S_ISCHR(sb.st_mode) || sb.st_rdev != makedev(1, 3))
		return err_new(e, ERR_STATE, "the host's /dev/null is not the null device");
	s->null_tree = take_fd(tree);
	return 0;
}

static int open_one(const struct mounts_env *env, struct mount_set *s, size_t i, struct error *e)
{
	const struct plan_mount *pm = &env->plan->mounts[i];
	struct mount_state *st = &s->state[i];

	switch (pm->kind) {
	case PLAN_BIND:
		return open_bind(env, i, st, e);
	case PLAN_TREE:
		return open_given(env, pm, st, e);
	case PLAN_DEV:
		st->is_dir = true;
		return env->plan->dev_by_init ? 0 : open_dev(env, pm, s, st, e);
	case PLAN_CGROUP:
		return open_cgroups(env, s, st, e);
	case PLAN_REMOUNT:
		return 0;
	case PLAN_FRESH:
		st->is_dir = true;
		return pm->fallback ? open_fallback(env, pm, st, e) : 0;
	}
	return 0;
}

int mounts_open(const struct mounts_env *env, struct mount_set *ret, struct error *e)
{
	CLEANUP(mount_set_done) struct mount_set s = MOUNT_SET_INIT;
	int r = 0;

	s.plan = env->plan;
	s.state = mem_array(env->plan->mount_count + 1, sizeof(*s.state));
	for (size_t i = 0; i < env->plan->mount_count; i++)
		s.state[i] = (struct mount_state){ .tree_fd = -1, .fallback_fd = -1 };
	for (size_t i = 0; i < env->plan->mount_count; i++) {
		r = open_one(env, &s, i, e);
		if (r < 0)
			return err_ctx(e, "mount on \"%s\"", env->plan->mounts[i].m->destination);
	}
	if (env->create->spec->linux.masked_paths.n)
		r = open_null(&s, e);
	if (r >= 0 && (!env->plan->makes_dev || env->plan->dev_by_init))
		r = devices_fill(-1, env, &s, e);
	if (r < 0)
		return r;
	*ret = s;
	s = MOUNT_SET_INIT;
	return 0;
}
