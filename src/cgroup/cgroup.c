/* SPDX-License-Identifier: Apache-2.0 */
/* The handle: one directory fd a hierarchy. */
#include "cgroup/handle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cgroup/path.h"
#include "sys/cgroupfs.h"

int cgroup_fail(struct error *e, int sys, const char *fmt, ...)
{
	bool is_denied = sys == EACCES || sys == EPERM || sys == EROFS;
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!is_denied)
		return err_sysk(e, ERR_SYS, sys, "%s", what);
	err_sysk(e, ERR_DENIED, sys, "%s", what);
	err_hint(e, sys == EROFS ? "the hierarchy is mounted read-only here"
				 : "the cgroup is not delegated to us");
	return -ERR_DENIED;
}

int cgroup_dfd(const struct cgroup *cg, enum cgroup_controller c)
{
	int at = cg->host->by_controller[c];

	return at < 0 ? -1 : cg->dfd[at];
}

int cgroup_dfd_v2(const struct cgroup *cg)
{
	return cg->host->v2 < 0 ? -1 : cg->dfd[cg->host->v2];
}

ssize_t cgroup_read_file(const struct cgroup *cg, enum cgroup_controller c, const char *file, char *text,
			 size_t size)
{
	int dfd = c == CGROUP_CONTROLLER_COUNT ? cgroup_dfd_v2(cg) : cgroup_dfd(cg, c);

	if (dfd >= 0)
		return cgroupfs_read(dfd, file, text, size);
	errno = ENOENT;
	return -1;
}

bool cgroup_has_v2_files(const struct cgroup *cg, enum cgroup_controller c)
{
	return cgroup_host_is_v2(cg->host, c);
}

struct cgroup *cgroup_handle_new(const struct cgroup_host *host, const char *path)
{
	struct cgroup *cg = NEW(struct cgroup);

	cg->host = host;
	cg->path = str_dup(path);
	for (size_t i = 0; i < CGROUP_HIER_MAX; i++)
		cg->dfd[i] = -1;
	cg->oom_fd = cg->oom_local_fd = -1;
	cg->holder = PROC_INIT;
	return cg;
}

void cgroup_free(struct cgroup *cg)
{
	if (!cg)
		return;
	cgroup_settle(cg);
	for (size_t i = 0; i < CGROUP_HIER_MAX; i++)
		if (cg->dfd[i] >= 0)
			close(cg->dfd[i]);
	if (cg->oom_fd >= 0)
		close(cg->oom_fd);
	if (cg->oom_local_fd >= 0)
		close(cg->oom_local_fd);
	free(cg->path);
	free(cg);
}

const char *cgroup_path(const struct cgroup *cg)
{
	return cg->path;
}

unsigned cgroup_made_parents(const struct cgroup *cg)
{
	return cg->made_parents;
}
/* ---- opening ------------------------------------------------------------------------------------- */

int cgroup_open_chain(int root_dfd, const struct strv *parts, size_t count)
{
	int dfd = dup(root_dfd);

	for (size_t at = 0; dfd >= 0 && at < count; at++) {
		int child = cgroupfs_open_dir(dfd, parts->v[at]);
		int sys = errno;

		close(dfd);
		dfd = child;
		errno = sys;
	}
	return dfd;
}

int cgroup_open(const struct cgroup_host *host, const char *path, struct cgroup **ret_cg, struct error *e)
{
	cleanup_strv struct strv parts = STRV_INIT;
	char resolved[CGROUP_PATH_MAX];
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	size_t found = 0;
	int r;

	r = cgroup_path_resolve(host, path, resolved, e);
	if (r < 0)
		return r;
	cg = cgroup_handle_new(host, resolved);
	strv_split(&parts, resolved, "/");
	for (size_t i = 0; i < host->hier_count; i++) {
		cg->dfd[i] = cgroup_open_chain(host->hier[i].root_dfd, &parts, parts.n);
		if (cg->dfd[i] >= 0)
			found++;
		else if (errno != ENOENT)
			return cgroup_fail(e, errno, "open cgroup \"%s\" in %s", resolved,
					   host->hier[i].mount_point);
	}
	if (found == 0)
		return err_new(e, ERR_NOT_FOUND, "cgroup \"%s\" does not exist", resolved);
	cgroup_oom_open(cg);
	*ret_cg = take_ptr(cg);
	return 0;
}
