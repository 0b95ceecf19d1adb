/* SPDX-License-Identifier: Apache-2.0 */
/* The init's half of mounting. Destinations are the container's business and the image's author chose what
 * stands there: each is resolved inside the root by openat2(2) to an fd, looked at, and mounted on by fd.
 * Between the look and the mount there is no path that could change (CVE-2021-30465). */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "oci/copyup.h"
#include "oci/mount_late.h"
#include "sys/lsm.h"
#include "sys/mountapi.h"

#define CGROUP_ATTRS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* ---- fresh file systems ------------------------------------------------------------------------- */

int mount_set_word(int context, const char *word, struct error *e)
{
	cleanup_free char *key = str_dup(word);
	char *value = strchr(key, '=');

	if (value)
		*value++ = '\0';
	return mount_context_set(context, &MOUNT_PARAM(key, value), e);
}

/* Those that fsconfig(2) has no name for do nothing that could be seen: silent is about the kernel's log, iversion is
 * kept by the file systems that can, without being asked. */
int mount_set_flags(int context, unsigned long set, unsigned long clear, struct error *e)
{
	static const struct {
		unsigned long flag;
		const char *on, *off;
	} names[] = {
		{ MS_SYNCHRONOUS, "sync", "async" },
		{ MS_DIRSYNC, "dirsync", NULL },
		{ MS_LAZYTIME, "lazytime", "nolazytime" },
		{ MS_MANDLOCK, "mand", "nomand" },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(names) && r >= 0; i++) {
		if (set & names[i].flag)
			r = mount_context_set(context, &MOUNT_PARAM_FLAG(names[i].on), e);
		else if ((clear & names[i].flag) && names[i].off)
			r = mount_context_set(context, &MOUNT_PARAM_FLAG(names[i].off), e);
	}
	return r;
}

/* Files that come into being in there get the container's label; of file systems that show the kernel's own state the
 * policy has labels. */
int mount_label(int context, const char *type, const struct oci_spec *spec, struct error *e)
{
	static const char *const labelled[] = { "tmpfs", "devpts", "mqueue" };

	if (str_is_empty(spec->linux.mount_label) || !lsm_has_selinux())
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(labelled); i++)
		if (str_eq(type, labelled[i]))
			return mount_context_set(context, &MOUNT_PARAM("context", spec->linux.mount_label),
						 e);
	return 0;
}

static int make_fresh(const struct plan_mount *pm, const struct oci_spec *spec, bool without_gid,
		      int *ret_tree, struct error *e)
{
	const struct oci_mount_options *opt = &pm->m->options;
	cleanup_close int context = -1;
	int r = mount_context(pm->type, &context, e);

	if (r >= 0 && !str_is_empty(pm->m->source))
		r = mount_context_set(context, &MOUNT_PARAM("source", pm->m->source), e);
	if (r >= 0 && pm->kind == PLAN_DEV)
		r = mount_context_set(context, &MOUNT_PARAM("mode", "755"), e);
	for (size_t i = 0; i < opt->data_words.n && r >= 0; i++)
		if (!without_gid || !str_starts(opt->data_words.v[i], "gid="))
			r = mount_set_word(context, opt->data_words.v[i], e);
	if (r >= 0)
		r = mount_set_flags(context, opt->sb_set, 0, e);
	if (r >= 0)
		r = mount_label(context, pm->type, spec, e);
	return r < 0 ? r : mount_context_create(context, pm->set, ret_tree, e);
}

/* sysfs shows the network namespace, and is given out to who owns that. Where we do not, the host's, which is still
 * here, whole and recursively read-only. */
static int bind_sys(int *ret_tree, struct error *e)
{
	struct mount_change change = {
		.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.propagation = MS_SLAVE,
	};
	cleanup_close int tree = -1;
	int r = mount_clone(AT_FDCWD, "/sys", true, false, &tree, e);

	if (r >= 0)
		r = mount_change(tree, true, &change, e);
	if (r >= 0)
		*ret_tree = take_fd(tree);
	return r;
}

static int fresh_one(const struct plan_mount *pm, const struct oci_spec *spec, struct mount_state *st,
		     struct error *e)
{
	struct error first = ERROR_INIT;
	int r = make_fresh(pm, spec, false, &st->tree_fd, &first);

	/* gid=5 (tty) of devpts may not be mapped in a small user namespace. */
	if (r < 0 && first.sys == EINVAL && str_eq(pm->type, "devpts")) {
		err_clear(&first);
		r = make_fresh(pm, spec, true, &st->tree_fd, &first);
	}
	if (r < 0 && first.sys == EPERM && st->fallback_fd >= 0) {
		st->tree_fd = take_fd(st->fallback_fd);
		return 0;
	}
	if (r < 0 && first.sys == EPERM && str_eq(pm->type, "sysfs"))
		return bind_sys(&st->tree_fd, e);
	if (r < 0 && first.sys == EPERM && str_eq(pm->type, "proc"))
		err_hint(&first, "a user namespace gets a new proc only where one is mounted whole already, "
				 "and parts of "
				 "the /proc here are covered or read-only, as in a container; or it does not "
				 "own the pid "
				 "namespace");
	if (r < 0) {
		if (e)
			*e = first;
		return err_ctx(e, "mount of type \"%s\" on \"%s\"", pm->type, pm->m->destination);
	}
	return r;
}

/* What cgroup2 shows is what the cgroup namespace sees. Where a user namespace does not own that (EPERM), a bind shows
 * the same. */
static int fresh_cgroup(struct mount_set *s, const struct plan_mount *pm, struct mount_state *st,
			struct error *e)
{
	const struct mount_param params[] = { MOUNT_PARAM("mode", "755"), MOUNT_PARAM("source", "tmpfs") };
	struct error first = ERROR_INIT;
	int r;

	if (!s->cgroup_count && !s->cgroup_is_v2)
		return mount_new("tmpfs", params, ARRAY_LEN(params), CGROUP_ATTRS | pm->set, &st->tree_fd, e);
	if (!s->cgroup_is_v2)
		return mount_new("tmpfs", params, ARRAY_LEN(params), CGROUP_ATTRS, &st->tree_fd, e);
	r = mount_new("cgroup2", NULL, 0, CGROUP_ATTRS | pm->set, &st->tree_fd, &first);
	if (r >= 0 || (first.sys != EPERM && first.sys != EBUSY) || st->fallback_fd < 0) {
		if (r < 0 && e)
			*e = first;
		return r;
	}
	st->tree_fd = take_fd(st->fallback_fd);
	return mount_change(st->tree_fd, false, &(struct mount_change){ .set = CGROUP_ATTRS | pm->set }, e);
}

/* The /dev of a caller who could not make it. */
static int fresh_dev(const struct plan_mount *pm, const struct oci_spec *spec, struct mount_state *st,
		     struct error *e)
{
	struct plan_mount with_nodes = *pm;
	int r;

	with_nodes.set &= ~(uint64_t)MOUNT_ATTR_NODEV;
	r = make_fresh(&with_nodes, spec, false, &st->tree_fd, e);
	if (r >= 0)
		r = devices_link(st->tree_fd, 0, 0, e);
	return r < 0 ? err_ctx(e, "mount on \"%s\"", pm->m->destination) : 0;
}

int mounts_fresh(struct mount_set *s, const struct oci_create *o, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < s->plan->mount_count && r >= 0; i++) {
		const struct plan_mount *pm = &s->plan->mounts[i];

		if (pm->kind == PLAN_FRESH)
			r = fresh_one(pm, o->spec, &s->state[i], e);
		else if (pm->kind == PLAN_CGROUP)
			r = fresh_cgroup(s, pm, &s->state[i], e);
		else if (pm->kind == PLAN_DEV && s->plan->dev_by_init)
			r = fresh_dev(pm, o->spec, &s->state[i], e);
	}
	return r;
}

/* ---- destinations ------------------------------------------------------------------------------- */

static bool is_same_inode(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static int check_target(const struct plan_mount *pm, int root_fd, int target, bool is_dir, struct error *e)
{
	struct statfs fs;
	struct stat sb;

	if (fstat(target, &sb) < 0 || fstatfs(target, &fs) < 0)
		return err_sys(e, "look at the destination");
	if (is_dir != !!S_ISDIR(sb.st_mode))
		return err_new(e, ERR_INVALID, "the source is %s, but the destination is %s",
			       is_dir ? "a directory" : "no directory",
			       S_ISDIR(sb.st_mode)   ? "a directory"
			       : S_ISLNK(sb.st_mode) ? "a symlink"
						     : "none");
	if (is_same_inode(root_fd, target))
		return err_new(e, ERR_INVALID, "the destination leads to the root itself");
	if (fs.f_type == PROC_SUPER_MAGIC && !pm->on_procfs)
		return err_new(e, ERR_DENIED, "the destination leads into /proc");
	return 0;
}

/* /proc and /sys stand where they are named, not where a link of the image points. */
static int check_no_link(const struct plan_mount *pm, int root_fd, int target, struct error *e)
{
	cleanup_close int fd = -1;

	if (pm->kind != PLAN_FRESH || (!str_eq(pm->type, "proc") && !str_eq(pm->type, "sysfs")))
		return 0;
	if (path_open_beneath(root_fd, pm->destination + 1, O_PATH | O_DIRECTORY, 0, true, &fd, e) < 0 ||
	    !is_same_inode(fd, target))
		return err_new(
			e, ERR_DENIED,
			"a %s must be mounted on ordinary directory, and the image has a symlink there",
			pm->type);
	return 0;
}

/* ---- attaching ---------------------------------------------------------------------------------- */

/* "cpu,cpuacct" in a directory of another name: a link for each controller, as hosts have them. */
static int link_controllers(int dir_fd, const struct mount_cgroup *c, struct error *e)
{
	cleanup_strv struct strv names = STRV_INIT;

	strv_split(&names, c->links, ",");
	for (size_t i = 0; i < names.n; i++)
		if (!str_eq(names.v[i], c->name) && symlinkat(c->name, dir_fd, names.v[i]) < 0 &&
		    errno != EEXIST)
			return err_sys(e, "link controller \"%s\"", names.v[i]);
	return 0;
}

static int attach_hierarchy(struct mount_cgroup *c, const struct plan_mount *pm, int target, struct error *e)
{
	const struct mount_change change = { .set = CGROUP_ATTRS | pm->set };
	cleanup_close int again = -1;
	int r = 0;

	if (c->is_attached)
		r = mount_clone(c->tree_fd, "", false, true, &again, e);
	if (r >= 0)
		r = mount_attach(c->is_attached ? again : c->tree_fd, target, e);
	if (r >= 0)
		r = mount_change(c->is_attached ? again : c->tree_fd, false, &change, e);
	c->is_attached = true;
	return r;
}

static int attach_cgroups(struct mount_set *s, const struct plan_mount *pm, int dir_fd, struct error *e)
{
	for (size_t i = 0; i < s->cgroup_count; i++) {
		struct mount_cgroup *c = &s->cgroups[i];
		cleanup_close int target = -1;
		int r;

		if (s->cgroup_is_v2 || c->tree_fd < 0)
			continue;
		if (mkdirat(dir_fd, c->name, 0755) < 0)
			return err_sys(e, "make directory \"%s/%s\"", pm->destination, c->name);
		target = openat(dir_fd, c->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (target < 0)
			return err_sys(e, "open directory \"%s/%s\"", pm->destination, c->name);
		r = attach_hierarchy(c, pm, target, e);
		if (r >= 0)
			r = link_controllers(dir_fd, c, e);
		if (r < 0)
			return err_ctx(e, "cgroup hierarchy \"%s\"", c->name);
	}
	if (!s->cgroup_is_v2)
		return mount_change(dir_fd, false, &(struct mount_change){ .set = pm->set }, e);
	return 0;
}

/* One that is made only to be mounted on has nothing to give to the mount. */
static bool covers_directory(const struct plan_mount *pm, int root_fd)
{
	cleanup_close int covered = -1;
	struct error ignored = ERROR_INIT;

	return path_open_in_root(root_fd, pm->destination, O_PATH | O_DIRECTORY, 0, &covered, &ignored) >= 0;
}

/* As runc has it: a tmpfs without a mode of its own gets that of the directory that it covers. */
static int keep_mode(const struct plan_mount *pm, int tree, int root_fd, struct error *e)
{
	const struct oci_strs *words = &pm->m->options.data_words;
	struct error ignored = ERROR_INIT;
	cleanup_close int covered = -1;
	struct stat sb;

	if (pm->kind != PLAN_FRESH || !str_eq(pm->type, "tmpfs"))
		return 0;
	for (size_t i = 0; i < words->n; i++)
		if (str_starts(words->v[i], "mode="))
			return 0;
	if (path_open_in_root(root_fd, pm->destination, O_PATH | O_DIRECTORY, 0, &covered, &ignored) < 0)
		return 0; /* it will be made */
	if (fstat(covered, &sb) < 0 || fchmodat(tree, ".", sb.st_mode & 07777, 0) < 0)
		return err_sys(e, "give the tmpfs the mode of the directory");
	return 0;
}

/* Binds have their propagation since they were opened. */
static int set_propagation(const struct plan_mount *pm, int tree, struct error *e)
{
	const struct oci_mount_options *opt = &pm->m->options;
	int r = 0;

	if (pm->kind == PLAN_BIND || pm->kind == PLAN_TREE)
		return 0;
	for (size_t i = 0; i < opt->propagation_count && r >= 0; i++) {
		const struct mount_change change = { .propagation = opt->propagation[i] &
								    ~(unsigned long)MS_REC };

		r = mount_change(tree, opt->propagation[i] & MS_REC, &change, e);
	}
	return r;
}

static int change_one(const struct plan_mount *pm, struct mount_state *st, int root_fd, struct error *e)
{
	int r = remount_open(pm, root_fd, &st->tree_fd, e);

	if (r >= 0)
		r = remount(pm, st->tree_fd, e);
	return r < 0 ? r : set_propagation(pm, st->tree_fd, e);
}

static int attach_one(struct mount_set *s, const struct oci_create *o, size_t i, int root_fd, struct error *e)
{
	const struct plan_mount *pm = &s->plan->mounts[i];
	struct mount_state *st = &s->state[i];
	bool copies_up = pm->kind == PLAN_FRESH && pm->m->options.tmpcopyup && str_eq(pm->type, "tmpfs") &&
			 covers_directory(pm, root_fd);
	cleanup_close int target = -1;
	int r;

	if (pm->kind == PLAN_REMOUNT)
		return change_one(pm, st, root_fd, e);
	r = st->late_source ? mount_late_open(o, s->plan, i, root_fd, st, e) : 0;
	if (r >= 0)
		r = keep_mode(pm, st->tree_fd, root_fd, e);
	if (r >= 0)
		r = mount_target(root_fd, pm->destination, st->is_dir, &target, e);
	if (r >= 0)
		r = check_target(pm, root_fd, target, st->is_dir, e);
	if (r >= 0)
		r = check_no_link(pm, root_fd, target, e);
	if (r >= 0 && copies_up)
		r = copyup(target, st->tree_fd, e);
	if (r >= 0)
		r = mount_attach(st->tree_fd, target, e);
	if (r >= 0 && pm->kind == PLAN_CGROUP && s->cgroup_count)
		r = attach_cgroups(s, pm, st->tree_fd, e);
	return r < 0 ? r : set_propagation(pm, st->tree_fd, e);
}

int mounts_attach(struct mount_set *s, const struct oci_create *o, int root_fd, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < s->plan->mount_count && r >= 0; i++) {
		r = attach_one(s, o, i, root_fd, e);
		if (r < 0)
			err_ctx(e, "mount on \"%s\"", s->plan->mounts[i].m->destination);
	}
	return r < 0 ? r : devices_place(s, o, root_fd, e);
}

int mounts_finish(const struct mount_set *s, int root_fd, struct error *e)
{
	const struct mount_change readonly = { .set = MOUNT_ATTR_RDONLY };
	int r = 0;

	for (size_t i = 0; i < s->plan->mount_count && r >= 0; i++) {
		const struct plan_mount *pm = &s->plan->mounts[i];

		if (!pm->late_readonly)
			continue;
		r = pm->kind == PLAN_REMOUNT ? remount_readonly(pm, s->state[i].tree_fd, e)
					     : mount_change(s->state[i].tree_fd, false, &readonly, e);
		if (r < 0)
			return err_ctx(e, "make \"%s\" read-only", pm->m->destination);
	}
	if (r >= 0 && s->plan->readonly_root)
		r = mount_change(root_fd, false, &readonly, e);
	return r;
}
