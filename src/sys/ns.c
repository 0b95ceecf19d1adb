/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cleanup.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct {
	int type;
	const char *name;
} types[] = {
	{ CLONE_NEWUSER, "user" },     { CLONE_NEWNET, "net" },	  { CLONE_NEWIPC, "ipc" },
	{ CLONE_NEWUTS, "uts" },       { CLONE_NEWNS, "mnt" },	  { CLONE_NEWPID, "pid" },
	{ CLONE_NEWCGROUP, "cgroup" }, { CLONE_NEWTIME, "time" },
};

const char *ns_name(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return "unknown";
}

int ns_type(int fd, int *ret_type, struct error *e)
{
	struct statfs fs;
	int type;

	/* The file system first: the ioctl's number may mean something to another kind of file. */
	if (fstatfs(fd, &fs) < 0)
		return err_sys(e, "look at the file system of fd %d", fd);
	if (fs.f_type != NSFS_MAGIC)
		return err_new(e, ERR_STATE, "fd %d is not a namespace", fd);
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0)
		return err_sysk(e, errno == EBADF ? ERR_STATE : ERR_SYS, errno,
				"ask for the type of the namespace of fd %d", fd);
	*ret_type = type;
	return 0;
}

int ns_check_type(int fd, int type, struct error *e)
{
	int is, r = ns_type(fd, &is, e);

	if (r < 0)
		return r;
	if (is != type)
		return err_new(e, ERR_STATE, "fd %d is a namespace of type %s, not %s", fd, ns_name(is),
			       ns_name(type));
	return 0;
}

int ns_identify(int fd, struct ns_id *ret_id, struct error *e)
{
	struct stat st;
	int type, r = ns_type(fd, &type, e);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at the namespace of fd %d", fd);
	*ret_id = (struct ns_id){ .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

int ns_is_same(int a_fd, int b_fd, bool *ret_same, struct error *e)
{
	struct ns_id a, b;
	int r = ns_identify(a_fd, &a, e);

	if (r == 0)
		r = ns_identify(b_fd, &b, e);
	if (r < 0)
		return r;
	*ret_same = ns_id_equal(a, b);
	return 0;
}

int ns_owner(int fd, int *ret_user_fd, struct error *e)
{
	int type, owner, r = ns_type(fd, &type, e);

	if (r < 0)
		return r;
	owner = ioctl(fd, NS_GET_USERNS); /* close-on-exec, as all of open_related_ns() */
	if (owner < 0)
		return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
				"ask for the user namespace that owns the %s namespace of fd %d",
				ns_name(type), fd);
	*ret_user_fd = owner;
	return 0;
}

int ns_open_own(int type, int *ret_fd, struct error *e)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", ns_name(type));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open \"%s\"", path);
	*ret_fd = fd;
	return 0;
}
