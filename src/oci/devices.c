/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes. The usual /dev is a tmpfs that the caller makes while it has the host's privileges, nodes
 * included: a container in a user namespace then has nodes that are its own (bound ones would belong to the
 * overflow id), and its root cannot add to them, because the file system belongs to the host's namespace.
 * A caller that may not make nodes (mknod(2): CAP_MKNOD in the initial user namespace) binds the host's. */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/defaults.h"
#include "oci/ids.h"
#include "sys/mountapi.h"
#include "sys/vchild.h"

static const struct {
	const char *name, *target;
	const char *needs; /* only when this exists; NULL: always */
} dev_links[] = {
	{ "fd", "/proc/self/fd", NULL },       { "stdin", "/proc/self/fd/0", NULL },
	{ "stdout", "/proc/self/fd/1", NULL }, { "stderr", "/proc/self/fd/2", NULL },
	{ "ptmx", "pts/ptmx", NULL },	       { "core", "/proc/kcore", "/proc/kcore" },
};

size_t devices_list(const struct oci_spec *spec, struct device_node **ret_nodes)
{
	size_t n = 0, defaults = 0;
	struct device_node *nodes;

	while (oci_default_devices[defaults].path)
		defaults++;
	nodes = mem_array(defaults + spec->linux.devices.n + 1, sizeof(*nodes));
	for (; n < defaults; n++) {
		const struct oci_default_device *d = &oci_default_devices[n];

		nodes[n] = (struct device_node){
			.path = d->path,
			.mode = S_IFCHR | d->mode,
			.major = d->major,
			.minor = d->minor,
		};
	}
	for (size_t i = 0; i < spec->linux.devices.n; i++) {
		const struct oci_device *d = &spec->linux.devices.v[i];
		mode_t type = d->type == 'b' ? S_IFBLK : d->type == 'p' ? S_IFIFO : S_IFCHR;
		size_t at = 0;

		/* Engines that hand on all of the host's devices list it, too: it would open the host's terminals. */
		if (str_eq(d->path, "/dev/ptmx"))
			continue;
		while (at < n && !str_eq(nodes[at].path, d->path))
			at++;
		nodes[at] = (struct device_node){
			.path = d->path,
			.mode = type | (d->file_mode.is_set ? d->file_mode.v & 07777 : 0666),
			.uid = d->uid.is_set ? d->uid.v : 0,
			.gid = d->gid.is_set ? d->gid.v : 0,
			.major = (unsigned int)d->major,
			.minor = (unsigned int)d->minor,
		};
		n = at == n ? n + 1 : n;
	}
	*ret_nodes = nodes;
	return n;
}

static bool is_in_dev(const char *path)
{
	return str_starts(path, "/dev/");
}

/* Make one node under dir_fd (a directory nobody else can change now), with its missing parents. */
static int make_node(int dir_fd, const char *rel, const struct device_node *d, uint32_t uid, uint32_t gid,
		     struct error *e)
{
	const char *slash = strrchr(rel, '/'), *name = slash ? slash + 1 : rel;
	cleanup_close int parent = -1;
	int dfd = dir_fd;

	if (slash) {
		cleanup_free char *parent_path = str_ndup(rel, (size_t)(slash - rel));
		int r = path_mkdir_in_root(dir_fd, parent_path, 0755, uid, gid, &parent, e);

		if (r < 0)
			return err_ctx(e, "make the directory of device \"%s\"", d->path);
		dfd = parent;
	}
	if (mknodat(dfd, name, d->mode, makedev(d->major, d->minor)) < 0)
		return err_sys(e, "make device \"%s\" (%u:%u)", d->path, d->major, d->minor);
	if ((uid || gid) && fchownat(dfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "give device \"%s\" to %u:%u", d->path, uid, gid);
	return 0;
}

static int host_ids(const struct mounts_env *env, const struct device_node *d, uint32_t *ret_uid,
		    uint32_t *ret_gid, struct error *e)
{
	const struct oci_user *user = &env->create->spec->process.user;
	int r = 0;

	*ret_uid = d->uid;
	*ret_gid = d->gid;
	if (!d->uid || env->uids)
		r = d->uid ? idmap_to_host(env->uids, d->uid, ret_uid, e)
			   : ids_root(env->uids, user->uid, ret_uid, e);
	if (r >= 0 && (!d->gid || env->gids))
		r = d->gid ? idmap_to_host(env->gids, d->gid, ret_gid, e)
			   : ids_root(env->gids, user->gid, ret_gid, e);
	return r < 0 ? err_ctx(e, "owner of device \"%s\"", d->path) : 0;
}

/* The host's node, to be bound: only if it is the device that the container shall have. */
static int open_host_node(const struct device_node *d, int *ret_fd, struct error *e)
{
	cleanup_close int tree = -1;
	struct stat sb;
	int r;

	if (S_ISFIFO(d->mode))
		return 0;
	r = mount_clone(AT_FDCWD, d->path, false, true, &tree, e);
	if (r < 0)
		return err_ctx(e, "device \"%s\"", d->path);
	if (fstat(tree, &sb) < 0 || (sb.st_mode & S_IFMT) != (d->mode & S_IFMT) ||
	    sb.st_rdev != makedev(d->major, d->minor))
		return err_new(e, ERR_INVALID,
			       "device \"%s\" of the host is not %u:%u, and no node can be made here",
			       d->path, d->major, d->minor);
	*ret_fd = take_fd(tree);
	return 0;
}

/* In place of what an image has at /dev/ptmx, which would be that of the host; all else that is there stays. */
int devices_link(int dev_fd, uint32_t uid, uint32_t gid, struct error *e)
{
	for (size_t i = 0; i < ARRAY_LEN(dev_links); i++) {
		const char *name = dev_links[i].name;

		if (dev_links[i].needs && access(dev_links[i].needs, F_OK) < 0)
			continue;
		if (str_eq(name, "ptmx") && unlinkat(dev_fd, name, 0) < 0 && errno != ENOENT)
			return err_sys(e, "remove \"/dev/ptmx\"");
		if (symlinkat(dev_links[i].target, dev_fd, name) < 0) {
			if (errno == EEXIST)
				continue;
			return err_sys(e, "link \"/dev/%s\"", name);
		}
		if ((uid || gid) && fchownat(dev_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, "give \"/dev/%s\" to %u:%u", name, uid, gid);
	}
	return 0;
}

static int make_own_links(int dev_fd, const struct mounts_env *env, struct error *e)
{
	const struct device_node root = { .path = "/dev" };
	uint32_t uid, gid;
	int r = host_ids(env, &root, &uid, &gid, e);

	return r < 0 ? r : devices_link(dev_fd, uid, gid, e);
}

struct attached_clone {
	int tree_fd, clone_fd;
	const char *name;
};

/* In a child with a mount namespace of its own: before Linux 6.15 only what is attached can be cloned. Any directory
 * serves as the place. */
static int clone_attached(void *arg, struct error *e)
{
	struct attached_clone *c = arg;
	cleanup_close int place = -1;
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "make a mount namespace");
	place = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return err_sys(e, "open a mount point");
	r = mount_attach(c->tree_fd, place, e);
	return r < 0 ? r : mount_clone(c->tree_fd, c->name, false, true, &c->clone_fd, e);
}

static int clone_node(int *scratch_fd, const char *name, int *ret_fd, struct error *e)
{
	struct attached_clone c = { .tree_fd = *scratch_fd, .clone_fd = -1, .name = name };
	struct error detached = ERROR_INIT;
	int r = mount_clone(*scratch_fd, name, false, true, ret_fd, &detached);

	if (r >= 0 || detached.sys != EINVAL) {
		if (r < 0 && e)
			*e = detached;
		return r;
	}
	r = vchild_run(clone_attached, &c, e);
	close(take_fd(*scratch_fd)); /* its mount went with that namespace */
	if (r >= 0)
		*ret_fd = c.clone_fd;
	else if (c.clone_fd >= 0)
		close(c.clone_fd);
	return r;
}

/* A node that is the container's own, to be bound on a place where its root may make none. Fails with EPERM where the
 * caller may not make nodes either: then there is the host's. */
static int make_to_bind(int *scratch_fd, const struct device_node *d, uint32_t uid, uint32_t gid, int *ret_fd,
			struct error *e)
{
	const struct mount_param params[] = { MOUNT_PARAM("mode", "755") };
	cleanup_free char *name = NULL;
	int r = 0;

	if (*scratch_fd < 0)
		r = mount_new("tmpfs", params, ARRAY_LEN(params), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
			      scratch_fd, e);
	if (r < 0)
		return r;
	name = str_fmt("%c-%u-%u-%u-%u-%o", S_ISBLK(d->mode) ? 'b' : 'c', d->major, d->minor, uid, gid,
		       d->mode);
	r = make_node(*scratch_fd, name, d, uid, gid, e);
	if (r < 0 && (!e || e->sys != EEXIST))
		return r;
	err_clear(e);
	return clone_node(scratch_fd, name, ret_fd, e);
}

static int fill_node(int dev_fd, const struct mounts_env *env, const struct device_node *d, int *scratch_fd,
		     int *ret_bound_fd, struct error *e)
{
	struct error first = ERROR_INIT;
	uint32_t uid, gid;
	int r;

	if (dev_fd >= 0 && is_in_dev(d->path)) {
		r = host_ids(env, d, &uid, &gid, e);
		if (r >= 0)
			r = make_node(dev_fd, d->path + strlen("/dev/"), d, uid, gid, e);
		if (r >= 0 || !e || e->sys != EPERM)
			return r;
	} else if ((!env->plan->in_user_ns && !env->plan->dev_by_init) || S_ISFIFO(d->mode) ||
		   (env->plan->binds_dev && is_in_dev(d->path))) {
		return 0;
	} else if (!env->plan->dev_by_init) {
		r = host_ids(env, d, &uid, &gid, e);
		if (r < 0)
			return r;
		r = make_to_bind(scratch_fd, d, uid, gid, ret_bound_fd, &first);
		if (r >= 0)
			return 0;
	}
	return open_host_node(d, ret_bound_fd, e);
}

int devices_fill(int dev_fd, const struct mounts_env *env, struct mount_set *s, struct error *e)
{
	cleanup_free struct device_node *nodes = NULL;
	size_t n = devices_list(env->create->spec, &nodes);
	mode_t old = umask(0);
	cleanup_close int scratch = -1;
	int r = 0;

	s->node_fds = mem_array(n + 1, sizeof(*s->node_fds));
	s->node_count = n;
	for (size_t i = 0; i < n; i++)
		s->node_fds[i] = -1;
	for (size_t i = 0; i < n && r >= 0; i++)
		r = fill_node(dev_fd, env, &nodes[i], &scratch, &s->node_fds[i], e);
	if (r >= 0 && dev_fd >= 0)
		r = make_own_links(dev_fd, env, e);
	umask(old);
	return r;
}

/* ---- in the init -------------------------------------------------------------------------------- */

/* 1: the device is there. 0: nothing is, or, when it will be bound, a file to bind it on. What is there and is another
 * thing is an error (config-linux.md, "Devices"). */
static int look_at_place(int root_fd, const struct device_node *d, bool is_bound, struct error *e)
{
	cleanup_close int fd = -1;
	struct error first = ERROR_INIT;
	struct stat sb;

	if (path_open_in_root(root_fd, d->path, O_PATH | O_NOFOLLOW, 0, &fd, &first) < 0)
		return 0; /* who makes it says why it cannot be */
	if (fstat(fd, &sb) < 0)
		return err_sys(e, "look at what is there");
	if ((sb.st_mode & S_IFMT) == (d->mode & S_IFMT) && sb.st_rdev == makedev(d->major, d->minor))
		return 1;
	if (is_bound && S_ISREG(sb.st_mode))
		return 0;
	return err_new(e, ERR_INVALID, "the image has something else there (of mode 0%o)", sb.st_mode);
}

static int place_node(int root_fd, const struct device_node *d, int bound_fd, struct error *e)
{
	cleanup_close int target = -1, parent = -1;
	cleanup_free char *dir = NULL;
	const char *slash = strrchr(d->path, '/');
	int r = look_at_place(root_fd, d, bound_fd >= 0, e);

	if (r < 0 || (r && bound_fd < 0))
		return r;
	if (bound_fd >= 0) {
		r = mount_place(root_fd, d->path, false, &target, e);
		return r < 0 ? r : mount_attach(bound_fd, target, e);
	}
	dir = str_ndup(d->path, (size_t)(slash - d->path));
	r = mount_place(root_fd, *dir ? dir : "/", true, &parent, e);
	return r < 0 ? r : make_node(parent, slash + 1, d, d->uid, d->gid, e);
}

/* The image's own /dev, where nothing was mounted. */
static int place_links(int root_fd, struct error *e)
{
	cleanup_close int dev = -1;
	int r = mount_place(root_fd, "/dev", true, &dev, e);

	return r < 0 ? r : devices_link(dev, 0, 0, e);
}

int devices_place(struct mount_set *s, const struct oci_create *o, int root_fd, struct error *e)
{
	cleanup_free struct device_node *nodes = NULL;
	size_t n = devices_list(o->spec, &nodes);
	mode_t old = umask(0);
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		bool made = is_in_dev(nodes[i].path) &&
			    ((s->plan->makes_dev && !s->plan->dev_by_init) || s->plan->binds_dev);

		if (!made || s->node_fds[i] >= 0)
			r = place_node(root_fd, &nodes[i], s->node_fds[i], e);
		if (r < 0)
			err_ctx(e, "device \"%s\"", nodes[i].path);
	}
	if (r >= 0 && !s->plan->makes_dev && !s->plan->binds_dev)
		r = place_links(root_fd, e);
	umask(old);
	return r;
}
