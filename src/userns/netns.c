/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "sys/pidfd.h"

void netns_random_name(char out[NETNS_NAME_SIZE])
{
	char hex[33];

	str_random_hex(hex, 16);
	snprintf(out, NETNS_NAME_SIZE, "cni-%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

static int bind_over(int dfd, const char *name, int net_fd, struct error *e)
{
	char source[PATH_FD_SIZE], dir[PATH_FD_SIZE], target[PATH_FD_SIZE + NAME_MAX + 2];

	snprintf(target, sizeof(target), "%s/%s", path_of_fd(dfd, dir), name);
	if (mount(path_of_fd(net_fd, source), target, NULL, MS_BIND, NULL) < 0)
		return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
				"bind the namespace over \"%s\"", name);
	return 0;
}

static int pin(const char *dir, const char *name, int net_fd, struct error *e)
{
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd, r;

	if (dfd < 0)
		return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno, "open directory \"%s\"",
				dir);
	fd = openat(dfd, name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return err_sysk(e, errno == EEXIST ? ERR_EXISTS : ERR_SYS, errno, "create \"%s/%s\"", dir,
				name);
	close(fd);
	r = bind_over(dfd, name, net_fd, e);
	if (r < 0)
		unlinkat(dfd, name, 0);
	return r;
}

int netns_pin(const char *dir, const char *name, int net_fd, struct error *e)
{
	int r;

	if (!path_is_name(name))
		return err_new(e, ERR_INVALID, "\"%s\" is no name for a network namespace", name);
	r = ns_check_type(net_fd, CLONE_NEWNET, e);
	if (r == 0)
		r = pin(dir, name, net_fd, e);
	return r < 0 ? err_ctx(e, "pin a network namespace as \"%s\"", name) : 0;
}

int netns_pin_from_pidfd(const char *dir, const char *name, int pid_fd, struct error *e)
{
	cleanup_close int net_fd = -1;
	int r = pidfd_ns(pid_fd, CLONE_NEWNET, &net_fd, e);

	return r < 0 ? r : netns_pin(dir, name, net_fd, e);
}

int netns_new(const char *dir, const struct netns_opts *opts, struct netns *ret, struct error *e)
{
	struct podns_opts make = {
		.net = true,
		.user = opts->uids != NULL,
		.uids = opts->uids,
		.gids = opts->gids,
		.join_user = opts->user_fd >= 0,
		.join_user_fd = opts->user_fd,
	};
	cleanup_podns struct podns ns = PODNS_INIT;
	char name[NETNS_NAME_SIZE];
	int r;

	if (strlen(dir) + 1 + NETNS_NAME_SIZE > sizeof(ret->path))
		return err_new(e, ERR_INVALID, "directory \"%.64s...\" is too long", dir);
	r = podns_create(&make, &ns, e);
	if (r < 0)
		return r;
	netns_random_name(name);
	r = netns_pin(dir, name, ns.net_fd, e);
	if (r < 0)
		return r;
	snprintf(ret->path, sizeof(ret->path), "%s/%s", dir, name);
	ret->net_fd = take_fd(ns.net_fd);
	ret->user_fd = take_fd(ns.user_fd);
	return 0;
}

void netns_done(struct netns *ns)
{
	cleanup_close_p(&ns->net_fd);
	cleanup_close_p(&ns->user_fd);
}

int netns_open(const char *path, int *ret_fd, struct error *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0 && (errno == ENXIO || errno == ENODEV)) /* a socket, a device without driver */
		return err_sysk(e, ERR_STATE, errno, "\"%s\" is not a network namespace", path);
	if (fd < 0)
		return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno,
				"open network namespace \"%s\"", path);
	r = ns_check_type(fd, CLONE_NEWNET, e);
	if (r < 0)
		return err_ctx(e, "open network namespace \"%s\"", path);
	*ret_fd = take_fd(fd);
	return 0;
}

enum pin_state { PIN_GONE, PIN_NAMESPACE, PIN_STALE, PIN_OTHER };

/* What is there, without opening it for anything: a link is not followed, a pipe not waited for. */
static int look(const char *path, enum pin_state *ret, struct error *e)
{
	cleanup_close int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		*ret = PIN_GONE;
		return 0;
	}
	if (fd < 0 || fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "look at \"%s\"", path);
	*ret = fs.f_type == NSFS_MAGIC ? PIN_NAMESPACE : S_ISREG(st.st_mode) ? PIN_STALE : PIN_OTHER;
	return 0;
}

static int not_a_pin(const char *path, struct error *e)
{
	return err_new(e, ERR_STATE, "\"%s\" is neither a namespace nor the file of one: left alone", path);
}

#define REMOVE_TRIES 64 /* mounts over mounts, or somebody else who removes it too */

int netns_remove(const char *path, struct error *e)
{
	for (int tries = 0; tries < REMOVE_TRIES; tries++) {
		enum pin_state state;
		int r = look(path, &state, e);

		if (r < 0)
			return err_ctx(e, "remove network namespace");
		switch (state) {
		case PIN_GONE:
			return 0;
		case PIN_NAMESPACE: /* EINVAL: not mounted any more */
			if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
			    errno != ENOENT)
				return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
						"unmount network namespace \"%s\"", path);
			break;
		case PIN_STALE: /* EBUSY: mounted over since we looked */
			if (unlink(path) == 0 || errno == ENOENT)
				return 0;
			if (errno != EBUSY)
				return err_sys(e, "remove the file of network namespace \"%s\"", path);
			break;
		case PIN_OTHER:
			return not_a_pin(path, e);
		}
	}
	return err_new(e, ERR_STATE,
		       "network namespace \"%s\" is still mounted after %d attempts to unmount it", path,
		       REMOVE_TRIES);
}

int netns_is_closed(const char *path, bool *ret_closed, struct error *e)
{
	enum pin_state state;
	int r = look(path, &state, e);

	if (r < 0)
		return r;
	if (state == PIN_OTHER)
		return not_a_pin(path, e);
	if (state == PIN_STALE && unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, "remove the stale file \"%s\"", path);
	*ret_closed = state != PIN_NAMESPACE;
	return 0;
}

int netns_owner(int net_fd, int *ret_user_fd, struct error *e)
{
	cleanup_close int user_fd = -1;
	int r = ns_check_type(net_fd, CLONE_NEWNET, e);

	if (r == 0)
		r = ns_owner(net_fd, &user_fd, e);
	if (r == 0)
		r = ns_check_type(user_fd, CLONE_NEWUSER, e);
	if (r < 0)
		return r;
	*ret_user_fd = take_fd(user_fd);
	return 0;
}

int netns_open_with_owner(const char *path, const struct ns_id *expect, int *ret_net_fd, int *ret_user_fd,
			  struct error *e)
{
	cleanup_close int net_fd = -1, user_fd = -1;
	struct ns_id is;
	int r = netns_open(path, &net_fd, e);

	if (r < 0)
		return r;
	r = netns_owner(net_fd, &user_fd, e);
	if (r == 0)
		r = ns_identify(user_fd, &is, e);
	if (r < 0)
		return err_ctx(e, "find the owner of network namespace \"%s\"", path);
	if (expect && !ns_id_equal(is, *expect))
		return err_new(e, ERR_STATE,
			       "network namespace \"%s\" is owned by user namespace %llu (device %llu), not "
			       "by %llu (device %llu)",
			       path, (unsigned long long)is.ino, (unsigned long long)is.dev,
			       (unsigned long long)expect->ino, (unsigned long long)expect->dev);
	*ret_net_fd = take_fd(net_fd);
	*ret_user_fd = take_fd(user_fd);
	return 0;
}

int netns_is_owned_by(int net_fd, int user_fd, bool *ret_owned, struct error *e)
{
	cleanup_close int owner = -1;
	int r = netns_owner(net_fd, &owner, e);

	return r < 0 ? r : ns_is_same(owner, user_fd, ret_owned, e);
}
