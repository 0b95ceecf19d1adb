/* SPDX-License-Identifier: Apache-2.0 */
/* What is a sysctl of a namespace: ipc_namespaces(7), network_namespaces(7), uts_namespaces(7),
 * namespaces(7) ("The /proc/sys/user directory"). Kubernetes' own check of a pod's sysctls has the same
 * groups; the OCI runtime spec (linux.sysctl) leaves them to the runtime. */
#include "userns/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

enum scope { SCOPE_USER, SCOPE_NET, SCOPE_IPC, SCOPE_UTS };
static const char *const scope_names[] = { "user", "network", "ipc", "uts" };

static const struct {
	const char *name; /* one that ends in '.' is a prefix */
	enum scope scope;
} groups[] = {
	{ "net.", SCOPE_NET },
	{ "fs.mqueue.", SCOPE_IPC },
	{ "kernel.auto_msgmni", SCOPE_IPC },
	{ "kernel.msg_next_id", SCOPE_IPC },
	{ "kernel.msgmax", SCOPE_IPC },
	{ "kernel.msgmnb", SCOPE_IPC },
	{ "kernel.msgmni", SCOPE_IPC },
	{ "kernel.sem", SCOPE_IPC },
	{ "kernel.sem_next_id", SCOPE_IPC },
	{ "kernel.shm_next_id", SCOPE_IPC },
	{ "kernel.shm_rmid_forced", SCOPE_IPC },
	{ "kernel.shmall", SCOPE_IPC },
	{ "kernel.shmmax", SCOPE_IPC },
	{ "kernel.shmmni", SCOPE_IPC },
	{ "kernel.domainname", SCOPE_UTS },
	{ "user.", SCOPE_USER },
};

static bool has_scope(const struct sysctl_scope *own, enum scope scope)
{
	const bool has[] = { [SCOPE_USER] = own->user,
			     [SCOPE_NET] = own->net,
			     [SCOPE_IPC] = own->ipc,
			     [SCOPE_UTS] = own->uts };

	return has[scope];
}

/* One part, of len bytes, as it will stand in the path: '/' is then '.'. */
static bool is_part(const char *part, size_t len)
{
	bool only_dots = true;

	for (size_t i = 0; i < len; i++)
		only_dots &= part[i] == '/';
	return len > 0 && !only_dots;
}

static int check_name(const char *name, struct error *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";

	if (str_is_empty(name))
		return err_new(e, ERR_INVALID, "a sysctl without a name");
	if (strlen(name) > SYSCTL_NAME_MAX)
		return err_new(e, ERR_INVALID, "sysctl \"%.64s...\": the name is longer than %d bytes", name,
			       SYSCTL_NAME_MAX);
	if (name[strspn(name, allowed)])
		return err_new(e, ERR_INVALID, "sysctl \"%s\": the name has a byte outside [A-Za-z0-9_./-]",
			       name);
	for (const char *p = name;; p++) {
		size_t len = strcspn(p, ".");

		if (!is_part(p, len))
			return err_new(e, ERR_INVALID,
				       "sysctl \"%s\": the name has an empty part, or one of dots alone",
				       name);
		p += len;
		if (!*p)
			return 0;
	}
}

static int check_value(const char *name, const char *value, struct error *e)
{
	if (!value)
		return err_new(e, ERR_INVALID, "sysctl \"%s\" without a value", name);
	if (strlen(value) > SYSCTL_VALUE_MAX)
		return err_new(e, ERR_INVALID, "sysctl \"%s\": the value is longer than %d bytes", name,
			       SYSCTL_VALUE_MAX);
	for (const char *p = value; *p; p++) {
		if (*p == '+')
			return err_new(e, ERR_INVALID, "sysctl \"%s\": the value has a '+'", name);
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return err_new(e, ERR_INVALID, "sysctl \"%s\": the value has a control byte", name);
	}
	return 0;
}

static int check_scope(const char *name, const struct sysctl_scope *own, struct error *e)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		const char *group = groups[i].name;

		if (!(str_ends(group, ".") ? str_starts(name, group) : str_eq(name, group)))
			continue;
		if (has_scope(own, groups[i].scope))
			return 0;
		return err_new(e, ERR_DENIED,
			       "sysctl \"%s\" belongs to the %s namespace, which is the host's", name,
			       scope_names[groups[i].scope]);
	}
	if (str_eq(name, "kernel.hostname"))
		return err_new(e, ERR_DENIED, "sysctl \"%s\" is set by the configured hostname alone", name);
	return err_new(e, ERR_DENIED, "sysctl \"%s\" belongs to no namespace: it would change the whole node",
		       name);
}

int sysctl_check(const char *name, const char *value, const struct sysctl_scope *own, struct error *e)
{
	int r = check_name(name, e);

	if (r == 0)
		r = check_value(name, value, e);
	return r < 0 ? r : check_scope(name, own, e);
}

void sysctl_path(const char *name, char out[SYSCTL_NAME_MAX + 1])
{
	size_t i;

	for (i = 0; i < SYSCTL_NAME_MAX && name[i]; i++)
		out[i] = name[i] == '.' ? '/' : name[i] == '/' ? '.' : name[i];
	out[i] = '\0';
}

static int write_failed(const struct sysctl_item *item, int sys, struct error *e)
{
	static const char fmt[] = "set sysctl \"%s\" to \"%.200s\"";

	switch (sys) {
	case ENOENT:
		return err_sysk(e, ERR_NOT_FOUND, sys, fmt, item->name, item->value);
	case EACCES:
	case EPERM:
		return err_sysk(e, ERR_DENIED, sys, fmt, item->name, item->value);
	case EINVAL:
	case ERANGE:
		return err_sysk(e, ERR_INVALID, sys, fmt, item->name, item->value);
	default:
		return err_sysk(e, ERR_SYS, sys, fmt, item->name, item->value);
	}
}

int sysctl_write(const struct sysctl_item *item, struct error *e)
{
	cleanup_close int root = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	char path[SYSCTL_NAME_MAX + 1];
	struct error why = ERROR_INIT;
	size_t len = strlen(item->value);
	ssize_t n;

	if (root < 0)
		return err_sys(e, "open \"/proc/sys\"");
	sysctl_path(item->name, path);
	if (path_open_beneath(root, path, O_WRONLY | O_NOCTTY, 0, true, &fd, &why) < 0)
		return write_failed(item, why.sys, e);
	n = write(fd, item->value, len);
	if (n < 0)
		return write_failed(item, errno, e);
	if ((size_t)n != len)
		return err_new(e, ERR_INVALID,
			       "set sysctl \"%s\": the kernel took only %zd bytes of \"%.200s\"", item->name,
			       n, item->value);
	return 0;
}

#define PING_GID_MAX 2147483647U /* GID_T_MAX of the kernel's ip_ping_group_range_max */

/* The extent that has this id as its first, on the given side. */
static const struct idmap_extent *starts_at(const struct idmap *map, uint32_t container_id)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->x[i].container_id == container_id)
			return &map->x[i];
	return NULL;
}

int sysctl_ping_group_range(const struct idmap *gids, char out[SYSCTL_PING_RANGE_SIZE], struct error *e)
{
	const struct idmap_extent *x = NULL, *next;
	uint32_t first = 0, last = PING_GID_MAX;

	for (size_t i = 0; gids && i < gids->n; i++)
		if (!x || gids->x[i].container_id < x->container_id)
			x = &gids->x[i];
	if (gids && (!x || x->container_id > PING_GID_MAX))
		return err_new(e, ERR_INVALID, "%s: the gid map has no gid that fits",
			       SYSCTL_PING_GROUP_RANGE);
	if (x) {
		first = x->container_id;
		/* Go on over extents that follow each other on both sides. */
		while ((next = starts_at(gids, x->container_id + x->length)) &&
		       next->host_id == x->host_id + x->length)
			x = next;
		last = x->container_id + (x->length - 1);
	}
	snprintf(out, SYSCTL_PING_RANGE_SIZE, "%u %u", first, last < PING_GID_MAX ? last : PING_GID_MAX);
	return 0;
}
