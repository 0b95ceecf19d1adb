/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mountapi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Append the first error line of a context's log: "e overlay: workdir is not empty". */
static int with_context_log(int context_fd, struct error *e)
{
	char line[256];
	ssize_t n = read(context_fd, line, sizeof(line) - 1);

	if (!e || n <= 2)
		return e ? -(int)e->kind : -ERR_SYS;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	err_hint(e, "%s", line + 2);
	return -(int)e->kind;
}

int mount_context(const char *fs_type, int *ret_context_fd, struct error *e)
{
	int fd = fsopen(fs_type, FSOPEN_CLOEXEC);

	if (fd < 0 && errno == ENODEV)
		return err_sysk(e, ERR_UNSUPPORTED, errno, "open a context of file system \"%s\"", fs_type);
	if (fd < 0)
		return err_sys(e, "open a context of file system \"%s\"", fs_type);
	*ret_context_fd = fd;
	return 0;
}

int mount_context_set(int context_fd, const struct mount_param *p, struct error *e)
{
	unsigned int command = p->fd >= 0 ? FSCONFIG_SET_FD
			       : p->value ? FSCONFIG_SET_STRING
					  : FSCONFIG_SET_FLAG;

	if (fsconfig(context_fd, command, p->key, p->value, p->fd >= 0 ? p->fd : 0) == 0)
		return 0;
	err_sys(e, "set file system option \"%s%s%.200s\"", p->key, p->value ? "=" : "",
		p->value ? p->value : "");
	return with_context_log(context_fd, e);
}

int mount_context_create(int context_fd, uint64_t attrs, int *ret_tree_fd, struct error *e)
{
	int fd;

	if (fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		err_sys(e, "create the file system");
		return with_context_log(context_fd, e);
	}
	fd = fsmount(context_fd, FSMOUNT_CLOEXEC, (unsigned int)attrs);
	if (fd < 0) {
		err_sys(e, "mount the file system");
		return with_context_log(context_fd, e);
	}
	*ret_tree_fd = fd;
	return 0;
}

int mount_context_of(int fd, int *ret_context_fd, struct error *e)
{
	int context = fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);

	if (context < 0)
		return err_sys(e, "open a context of the mounted file system");
	*ret_context_fd = context;
	return 0;
}

int mount_context_reconfigure(int context_fd, struct error *e)
{
	if (fsconfig(context_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) == 0)
		return 0;
	err_sys(e, "change the file system");
	return with_context_log(context_fd, e);
}

int mount_new(const char *fs_type, const struct mount_param *params, size_t count, uint64_t attrs,
	      int *ret_tree_fd, struct error *e)
{
	cleanup_close int context = -1;
	int r = mount_context(fs_type, &context, e);

	for (size_t i = 0; i < count && r >= 0; i++)
		r = mount_context_set(context, &params[i], e);
	if (r >= 0)
		r = mount_context_create(context, attrs, ret_tree_fd, e);
	return r < 0 ? err_ctx(e, "mount a new %s", fs_type) : 0;
}

int mount_clone(int dfd, const char *path, bool recursive, bool nofollow, int *ret_tree_fd, struct error *e)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
	int fd;

	if (!*path)
		flags |= AT_EMPTY_PATH;
	if (recursive)
		flags |= AT_RECURSIVE;
	if (nofollow)
		flags |= AT_SYMLINK_NOFOLLOW;
	fd = open_tree(dfd, path, flags);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_sysk(e, ERR_NOT_FOUND, errno, "clone the mount of \"%s\"", path);
	if (fd < 0)
		return err_sys(e, "clone the mount of \"%s\"", path);
	*ret_tree_fd = fd;
	return 0;
}

int mount_change(int tree_fd, bool recursive, const struct mount_change *c, struct error *e)
{
	struct mount_attr attr = {
		.attr_set = c->set,
		/* The access time modes are one field of the flags: setting one asks to clear the field. */
		.attr_clr = c->clear | (c->set & MOUNT_ATTR__ATIME ? MOUNT_ATTR__ATIME : 0),
		.propagation = c->propagation,
	};
	unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);

	if (c->idmap) {
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)c->userns_fd;
	}
	if (!attr.attr_set && !attr.attr_clr && !attr.propagation)
		return 0;
	if (mount_setattr(tree_fd, "", flags, &attr, sizeof(attr)) < 0)
		return err_sys(
			e, "change the attributes of a mount (set 0x%llx, clear 0x%llx, propagation 0x%lx)",
			(unsigned long long)attr.attr_set, (unsigned long long)attr.attr_clr, c->propagation);
	return 0;
}

int mount_attach(int tree_fd, int target_fd, struct error *e)
{
	if (move_mount(tree_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(e, "attach a mount");
	return 0;
}
