/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "sys/cgroupfs.h"
int cgroup_clone_fd(const struct cgroup *cg)
{
	return cgroup_dfd_v2(cg);
}

int cgroup_narrow(struct cgroup *cg, const char *name, struct error *e)
{
	int dfd = cgroup_dfd_v2(cg), child;

	if (dfd < 0)
		return err_new(e, ERR_UNSUPPORTED, "cgroup \"%s\" is in no v2 hierarchy", cg->path);
	if (cgroup_make_one(dfd, name, &child) < 0)
		return cgroup_fail(e, errno, "make cgroup \"%s/%s\"", cg->path, name);
	close(dfd);
	cg->dfd[cg->host->v2] = child;
	return 0;
}

int cgroup_follow(struct cgroup *cg, pid_t pid, struct error *e)
{
	char file[32], text[4096], *line;
	size_t n = strlen(cg->path);
	int dfd = cgroup_dfd_v2(cg), child = -1, r;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	if (dfd < 0 || cgroupfs_read(AT_FDCWD, file, text, sizeof(text)) < 0)
		return 0;
	line = str_starts(text, "0::") ? text : strstr(text, "\n0::");
	if (!line)
		return 0;
	line = strstr(line, "0::") + 3;
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, cg->path, n) != 0 || line[n] != '/' || !line[n + 1])
		return 0;
	r = path_open_beneath(dfd, line + n + 1, O_RDONLY | O_DIRECTORY, 0, true, &child, e);
	if (r < 0)
		return err_ctx(e, "open the cgroup of process %d", (int)pid);
	close(dfd);
	cg->dfd[cg->host->v2] = child;
	return 1;
}

static bool has_word(const char *list, const char *word)
{
	cleanup_strv struct strv words = STRV_INIT;

	strv_split(&words, list, ",");
	return strv_has(&words, word);
}

int cgroup_descend(struct cgroup *cg, const char *controller, const char *path, struct error *e)
{
	const char *below = path + strspn(path, "/");
	size_t n = 0;

	if (!*below)
		below = ".";
	for (size_t i = 0; i < cg->host->hier_count; i++) {
		const struct cgroup_hier *h = &cg->host->hier[i];
		struct error why = ERROR_INIT;
		int child = -1;

		if (cg->dfd[i] < 0 || (controller && (h->is_v2 || !has_word(h->option, controller))))
			continue;
		n++;
		if (path_open_beneath(cg->dfd[i], below, O_RDONLY | O_DIRECTORY, 0, true, &child, &why) >=
		    0) {
			close(cg->dfd[i]);
			cg->dfd[i] = child;
		} else if (why.sys == ENOENT && h->is_v2 && cg->host->mode == CGROUP_HYBRID) {
			/* Whoever made it knew nothing of this hierarchy, which controls nothing. */
		} else if (why.sys == ENOENT || why.sys == ENOTDIR) {
			return err_sysk(e, ERR_NOT_FOUND, why.sys, "open cgroup \"%s\" below \"%s\" in %s",
					path, cg->path, h->mount_point);
		} else if (why.sys == EXDEV || why.sys == ELOOP) {
			return err_new(e, ERR_NOT_FOUND,
				       "bad sub cgroup path: \"%s\" is not a sub cgroup path of \"%s\" in %s",
				       path, cg->path, h->mount_point);
		} else {
			return cgroup_fail(e, why.sys, "open cgroup \"%s\" below \"%s\" in %s", path,
					   cg->path, h->mount_point);
		}
	}
	if (!n)
		return err_new(e, ERR_UNSUPPORTED,
			       "unknown controller \"%s\": cgroup \"%s\" is in no such v1 hierarchy",
			       controller ? controller : "", cg->path);
	return 0;
}

int cgroup_enter_fds(struct cgroup *cg, int ret_fds[CGROUP_HIER_MAX], size_t *ret_count, struct error *e)
{
	size_t n = 0;

	for (size_t i = 0; i < cg->host->hier_count; i++) {
		if (cg->host->hier[i].is_v2 || cg->dfd[i] < 0)
			continue;
		ret_fds[n] = openat(cg->dfd[i], "tasks", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
		if (ret_fds[n] < 0) {
			int sys = errno;

			while (n > 0)
				close(ret_fds[--n]);
			return cgroup_fail(e, sys, "open tasks of cgroup \"%s\" in %s", cg->path,
					   cg->host->hier[i].mount_point);
		}
		n++;
	}
	*ret_count = n;
	return 0;
}

int cgroup_enter(const int fds[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (write(fds[i], "0", 1) < 0)
			return -1;
	return 0;
}

void cgroup_settle(struct cgroup *cg)
{
	if (cg->holder.pid == 0)
		return;
	proc_kill(&cg->holder);
	cg->holder = PROC_INIT;
}

int cgroup_attach(struct cgroup *cg, pid_t pid, struct error *e)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	for (size_t i = 0; i < cg->host->hier_count; i++) {
		if (cg->dfd[i] < 0 || cgroupfs_write(cg->dfd[i], "cgroup.procs", text) == 0)
			continue;
		if (errno == ESRCH)
			return err_sysk(e, ERR_STATE, ESRCH, "move process %d to cgroup \"%s\"", pid,
					cg->path);
		if (errno == EBUSY)
			return err_sysk(e, ERR_STATE, EBUSY,
					"move process %d to cgroup \"%s\", which has controllers enabled for "
					"its children",
					pid, cg->path);
		return cgroup_fail(e, errno, "move process %d to cgroup \"%s\" in %s", pid, cg->path,
				   cg->host->hier[i].mount_point);
	}
	return 0;
}
