/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "cri/probe.h"
#include "cri/recover.h"
#include "cri/watch.h"
#include "userns/netns.h"

#define MOUNT_POINTS "mountpoints"

/* --- directories ---------------------------------------------------------------------------------- */

static int open_below(int dfd, const char *dir, const char *name, int *ret_fd, struct error *e)
{
	if (mkdirat(dfd, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "make directory \"%s/%s\"", dir, name);
	*ret_fd = openat(dfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0)
		return err_sys(e, "open directory \"%s/%s\"", dir, name);
	return 0;
}

/* A layer below those of the image that has what we mount on: images mostly lack some of it, and to make it in
 * each container's own layer costs four inodes there and their removal, a fifth of CreateContainer. */
static int make_mount_points(struct node *n, const char *root_dir, struct error *e)
{
	static const char *const files[] = { "etc/hostname", "etc/hosts", "etc/resolv.conf" };
	static const char *const dirs[] = { "dev", "etc", "proc", "sys" };
	cleanup_close int dfd = -1;
	int r = open_below(n->root_dfd, root_dir, MOUNT_POINTS, &dfd, e);

	if (r < 0)
		return r;
	if (fchmod(dfd, 0755) < 0)
		return err_sys(e, "change the mode of \"%s/%s\"", root_dir, MOUNT_POINTS);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if ((mkdirat(dfd, dirs[i], 0755) < 0 && errno != EEXIST) ||
		    fchmodat(dfd, dirs[i], 0755, 0) < 0)
			return err_sys(e, "make directory \"%s/%s/%s\"", root_dir, MOUNT_POINTS, dirs[i]);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		cleanup_close int fd =
			openat(dfd, files[i], O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

		if (fd < 0 || fchmod(fd, 0644) < 0)
			return err_sys(e, "make \"%s/%s/%s\"", root_dir, MOUNT_POINTS, files[i]);
	}
	n->mount_points = str_fmt("%s/%s", root_dir, MOUNT_POINTS);
	return 0;
}

static int open_directories(struct node *n, struct error *e)
{
	const struct node_config *c = node_config(n);
	cleanup_close int seccomp_dfd = -1;
	int r;

	/* 0700: layers and bundles are handed over by fd, nobody has to walk here (CVE-2024-25621). */
	if ((r = path_mkdir_all(c->state_dir, 0700, &n->state_dfd, e)) < 0 ||
	    (r = path_mkdir_all(c->root_dir, 0700, &n->root_dfd, e)) < 0)
		return r;
	if (fchmod(n->state_dfd, 0700) < 0 || fchmod(n->root_dfd, 0700) < 0)
		return err_sys(e, "make \"%s\" and \"%s\" private", c->state_dir, c->root_dir);
	if ((r = open_below(n->state_dfd, c->state_dir, "pods", &n->pods_dfd, e)) < 0 ||
	    (r = open_below(n->root_dfd, c->root_dir, "containers", &n->containers_dfd, e)) < 0 ||
	    (r = open_below(n->state_dfd, c->state_dir, "seccomp", &seccomp_dfd, e)) < 0)
		return r;
	if ((r = make_mount_points(n, c->root_dir, e)) < 0)
		return r;
	n->seccomp_dir = str_fmt("%s/seccomp", c->state_dir);
	return netns_dir_prepare(c->netns_dir, e);
}

/* --- helpers -------------------------------------------------------------------------------------- */

static char *find_below(const char *dir, const char *name)
{
	char *path = str_fmt("%s/%s", dir, name);

	if (access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* The configured folder; else the installed one; else beside the running program, as in a build tree. */
static int find_helper(struct node *n, const char *name, const char *built_in, char **ret, struct error *e)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	cleanup_free char *dir = NULL, *sibling = NULL;

	if (node_config(n)->helper_dir) {
		*ret = find_below(node_config(n)->helper_dir, name);
		if (!*ret)
			return err_new(e, ERR_NOT_FOUND, "helper_dir \"%s\" has no program \"%s\"",
				       node_config(n)->helper_dir, name);
		return 0;
	}
	if ((*ret = find_below(HULL_LIBEXEC, name)))
		return 0;
	if (len > 0) {
		self[len] = '\0';
		*strrchr(self, '/') = '\0';
		dir = str_dup(self);
		sibling = str_fmt("%s/../%s", self, built_in);
		if ((*ret = find_below(dir, name)) || (*ret = find_below(sibling, name)))
			return 0;
	}
	return err_new(e, ERR_NOT_FOUND,
		       "program \"%s\" is neither in \"%s\" nor beside hulld: set helper_dir", name,
		       HULL_LIBEXEC);
}

/* --- images --------------------------------------------------------------------------------------- */

static const enum store_table image_tables[] = { STORE_IMAGE, STORE_LAYER, STORE_NAME };

static int images_apply(void *ctx, const struct images_change *changes, size_t count, bool durable,
			struct error *e)
{
	struct node *n = ctx;
	CLEANUP(store_abort) struct store_tx tx = store_begin(n->store, durable ? STORE_DURABLE : STORE_SAFE);

	for (size_t i = 0; i < count; i++)
		if (changes[i].data)
			store_tx_put(&tx, image_tables[changes[i].table], changes[i].key, changes[i].data,
				     changes[i].len);
		else
			store_tx_remove(&tx, image_tables[changes[i].table], changes[i].key);
	return store_commit(&tx, e);
}

static int images_each(void *ctx, enum images_table table,
		       int (*fn)(void *arg, const char *key, const void *data, size_t len, struct error *e),
		       void *arg, struct error *e)
{
	struct node *n = ctx;

	return store_each(n->store, image_tables[table], fn, arg, e);
}

static bool image_is_used(void *ctx, const char *image_id)
{
	struct node *n = ctx;
	struct container *c;
	size_t pos = 0;
	bool used = false;

	pthread_mutex_lock(&n->lock);
	while (!used && (c = map_next(&n->containers, &pos, NULL)))
		used = str_eq(c->rec->image_id, image_id);
	pthread_mutex_unlock(&n->lock);
	return used;
}

static int open_images(struct node *n, struct error *e)
{
	const char *pinned[] = { node_config(n)->sandbox_image, NULL };
	struct images_opts o = { .root_dfd = n->root_dfd,
				 .root_path = node_config(n)->root_dir,
				 .helper = n->helper_unpack,
				 .store = { .ctx = n, .apply = images_apply, .each = images_each },
				 .registries = &node_config(n)->registries,
				 .is_used = image_is_used,
				 .is_used_ctx = n,
				 .pinned = pinned };

	return images_open(&o, &n->images, e);
}

/* --- network, ids --------------------------------------------------------------------------------- */

static struct cni *open_cni(const struct node_config *c)
{
	cleanup_free char *data_dir = c->cni_default_data_dir ? NULL : str_fmt("%s/cni", c->root_dir);
	struct cni_opts o = { .conf_dir = c->cni_conf_dir,
			      .bin_dirs = c->cni_bin_dirs.n ? (const char *const *)c->cni_bin_dirs.v : NULL,
			      .fallback = { .bridge = c->cni_default_bridge,
					    .subnet = c->cni_default_subnet,
					    .data_dir = c->cni_default_data_dir ? c->cni_default_data_dir
										: data_dir } };

	return cni_open(&o);
}

/* The blocks for "userns: always": configured, or the user's own of /etc/subuid and /etc/subgid. */
static void load_pool(struct node *n)
{
	const struct node_config *c = node_config(n);
	struct idrange_pool uids = IDRANGE_POOL_INIT, gids = IDRANGE_POOL_INIT;
	struct error e = ERROR_INIT;

	n->has_pool = true;
	if (c->userns_blocks) {
		n->pool = *c->userns_blocks;
		return;
	}
	if (idrange_pool_load_subid(&uids, "/etc/subuid", c->userns_user, NULL, &e) == 0 &&
	    idrange_pool_load_subid(&gids, "/etc/subgid", c->userns_user, NULL, &e) == 0 &&
	    idrange_pool_intersect(&uids, &gids, &n->pool, &e) == 0)
		return;
	n->has_pool = false;
	snprintf(n->pool_note, sizeof(n->pool_note), "no blocks of host ids: %.200s", err_msg(&e));
}

/* --- life ----------------------------------------------------------------------------------------- */

static struct node *node_new(const struct node_config *config)
{
	struct node *n = NEW(struct node);

	n->config = config;
	n->root_dfd = n->state_dfd = n->pods_dfd = n->containers_dfd = -1;
	pthread_mutex_init(&n->save, NULL);
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->changed, NULL);
	n->ranges = idrange_new();
	return n;
}

static int open_all(struct node *n, struct error *e)
{
	bool systemd = str_eq(node_config(n)->cgroup_driver, "systemd");
	int r;

	if ((r = open_directories(n, e)) < 0 ||
	    (r = find_helper(n, "hull-pod", "pod", &n->helper_pod, e)) < 0 ||
	    (r = find_helper(n, "hull-unpack", "image", &n->helper_unpack, e)) < 0 ||
	    (r = cgroup_host_open(systemd ? CGROUP_DRIVER_SYSTEMD : CGROUP_DRIVER_CGROUPFS, &n->cgroups, e)) <
		    0 ||
	    (r = store_open(n->root_dfd, "hull.db", &n->store, e)) < 0 || (r = open_images(n, e)) < 0)
		return r;
	probe_features(n->root_dfd, node_config(n)->root_dir, &n->features);
	if (!n->features.user_namespaces)
		log_warn("pods cannot have user namespaces here: %s", n->features.missing);
	n->cni = open_cni(node_config(n));
	load_pool(n);
	if ((r = watch_start(n, e)) < 0)
		return r;
	return recover(n, e);
}

int node_open(const struct node_config *config, struct node **ret_node, struct error *e)
{
	struct node *n = node_new(config);
	int r = open_all(n, e);

	if (r < 0) {
		node_close(n);
		return r;
	}
	*ret_node = n;
	return 0;
}

static void warn_fixed(const char *key, const char *before, const char *after)
{
	if (!str_eq(before, after))
		log_warn("configuration: \"%s\" changed from \"%s\" to \"%s\"; it takes a restart of hulld",
			 key, before ? before : "", after ? after : "");
}

int node_reload(struct node *n, const struct node_config *config, struct error *e)
{
	const struct node_config *old = node_config(n);

	(void)e;
	warn_fixed("listen", old->listen, config->listen);
	warn_fixed("root", old->root_dir, config->root_dir);
	warn_fixed("state", old->state_dir, config->state_dir);
	warn_fixed("netns_dir", old->netns_dir, config->netns_dir);
	warn_fixed("cgroup_driver", old->cgroup_driver, config->cgroup_driver);
	warn_fixed("cni.conf_dir", old->cni_conf_dir, config->cni_conf_dir);
	images_set_registries(n->images, &config->registries);
	__atomic_store_n(&n->config, config, __ATOMIC_RELEASE);
	return 0;
}

static void drop_objects(struct node *n)
{
	struct sandbox *s;
	struct container *c;
	size_t pos = 0;

	while ((c = map_next(&n->containers, &pos, NULL))) {
		c->sandbox->containers = NULL; /* one reference a list entry */
		container_unref(n, c);
		container_unref(n, c);
	}
	for (pos = 0; (c = map_next(&n->container_names, &pos, NULL));)
		container_unref(n, c);
	for (pos = 0; (s = map_next(&n->sandboxes, &pos, NULL));)
		sandbox_unref(n, s);
	for (pos = 0; (s = map_next(&n->sandbox_names, &pos, NULL));)
		sandbox_unref(n, s);
	map_done(&n->containers);
	map_done(&n->container_names);
	map_done(&n->sandboxes);
	map_done(&n->sandbox_names);
}

void node_close(struct node *n)
{
	int *const fds[] = { &n->root_dfd, &n->state_dfd, &n->pods_dfd, &n->containers_dfd };

	for (size_t pos = 0;;) {
		struct sandbox *s = map_next(&n->sandboxes, &pos, NULL);

		if (!s)
			break;
		watch_remove(n, s);
	}
	watch_stop(n);
	drop_objects(n);
	if (n->images)
		images_close(n->images);
	if (n->cni)
		cni_close(n->cni);
	store_close(n->store);
	cgroup_host_free(n->cgroups);
	idrange_free(n->ranges);
	free(n->helper_pod);
	free(n->helper_unpack);
	free(n->seccomp_dir);
	free(n->mount_points);
	free(n->pod_cidr);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	pthread_mutex_destroy(&n->save);
	pthread_mutex_destroy(&n->lock);
	pthread_cond_destroy(&n->changed);
	free(n);
}
