/* SPDX-License-Identifier: Apache-2.0 */
/* Where we are in v2, and what we may do from there. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/handle.h"
#include "sys/cgroupfs.h"

/* Our own cgroup in v2: the path behind "0::" of /proc/self/cgroup. */
static int own_path_v2(char *text, size_t size, char **ret_path)
{
	char *line;

	if (cgroupfs_read(AT_FDCWD, "/proc/self/cgroup", text, size) < 0)
		return -1;
	line = str_starts(text, "0::") ? text : strstr(text, "\n0::");
	if (!line)
		return -1;
	*ret_path = strstr(line, "0::") + 3;
	(*ret_path)[strcspn(*ret_path, "\n")] = '\0';
	return 0;
}

/* A process is moved within v2 only by one who may write cgroup.procs of the nearest common ancestor of where it is
 * and where it goes (cgroups(7), "Delegation containment"); a clone into the cgroup counts as a move. */
static bool can_enter_v2(const struct cgroup_host *host, const struct strv *parts)
{
	cleanup_strv struct strv own = STRV_INIT;
	cleanup_close int dfd = -1;
	char text[4096], *path;
	size_t common = 0;

	if (own_path_v2(text, sizeof(text), &path) < 0)
		return true;
	strv_split(&own, path, "/");
	while (common < own.n && common < parts->n && str_eq(own.v[common], parts->v[common]))
		common++;
	dfd = cgroup_open_chain(host->hier[host->v2].root_dfd, parts, common);
	return dfd >= 0 && faccessat(dfd, "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

static int not_entered(const struct cgroup *cg, struct error *e)
{
	return err_new(
		e, ERR_DENIED,
		"enter cgroup \"%s\" from our own: the cgroup above both is not delegated to us (cgroups(7), "
		"\"Delegation containment\")",
		cg->path);
}

int cgroup_check_entrance(const struct cgroup *cg, struct error *e)
{
	cleanup_strv struct strv parts = STRV_INIT;

	strv_split(&parts, cg->path, "/");
	return cgroup_dfd_v2(cg) < 0 || can_enter_v2(cg->host, &parts) ? 0 : not_entered(cg, e);
}

static bool can_write(const struct cgroup_host *host, const char *path)
{
	cleanup_strv struct strv parts = STRV_INIT;
	cleanup_close int dfd = -1;

	strv_split(&parts, path, "/");
	dfd = cgroup_open_chain(host->hier[host->v2].root_dfd, &parts, parts.n);
	return dfd >= 0 && faccessat(dfd, "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

char *cgroup_default_path(const struct cgroup_host *host, const char *name)
{
	cleanup_free char *parent = NULL;
	char text[4096], *own;

	if (host->driver == CGROUP_DRIVER_SYSTEMD)
		return str_fmt(":hull:%s", name);
	if (host->may_lack_access && host->v2 >= 0 && own_path_v2(text, sizeof(text), &own) == 0 && own[1]) {
		parent = str_ndup(own, (size_t)(strrchr(own, '/') - own));
		if (can_write(host, parent))
			return str_fmt("%s/hull-%s", parent, name);
		if (can_write(host, own))
			return str_fmt("%s/hull-%s", own, name);
	}
	return str_fmt("/hull/%s", name);
}
