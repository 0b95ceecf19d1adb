/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/criu_job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"

#define LOG_LEVEL_OF_CRIU 4
#define MOUNTS_MAX 4096

void criu_job_done(struct criu_job *j)
{
	if (j->work_dfd >= 0 && j->work_dfd != j->images_dfd)
		close(j->work_dfd);
	if (j->images_dfd >= 0)
		close(j->images_dfd);
	free(j->log_path);
	*j = CRIU_JOB_INIT;
}

/* criu opens files there by name, as root, and follows links: who else can make some would choose which files. */
static int check_written(int dfd, const char *path, const char *what, struct error *e)
{
	struct stat sb;

	if (fstat(dfd, &sb) < 0)
		return err_sys(e, "look at the %s \"%s\"", what, path);
	if (sb.st_uid != 0 && sb.st_uid != geteuid())
		return err_new(e, ERR_DENIED,
			       "the %s \"%s\" belongs to user %u, who could make links there to what root "
			       "would then write",
			       what, path, sb.st_uid);
	if (sb.st_mode & (S_IWGRP | S_IWOTH))
		return err_new(
			e, ERR_DENIED,
			"the %s \"%s\" can be written by others (mode %03o), who could make links there "
			"to what root would then write",
			what, path, sb.st_mode & 0777u);
	return 0;
}

static int open_dir(const char *path, const char *what, bool makes, int *ret_dfd, struct error *e)
{
	cleanup_close int made = -1;
	int fd = -1;

	if (makes && path_mkdir_all(path, 0700, &made, e) < 0)
		return err_ctx(e, "%s", what);
	if (makes) {
		int r = check_written(made, path, what, e);

		if (r < 0)
			return r;
		*ret_dfd = take_fd(made);
		return 0;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, errno, "%s \"%s\"", what,
				path);
	*ret_dfd = fd;
	return 0;
}

int criu_job_open(const struct criu_common *c, const char *log_name, bool makes_images, struct criu_job *ret,
		  struct error *e)
{
	CLEANUP(criu_job_done) struct criu_job j = CRIU_JOB_INIT;
	cleanup_free char *whole = NULL;
	int r = open_dir(c->image_path, "directory of the images", makes_images, &j.images_dfd, e);

	j.work_dfd = j.images_dfd;
	if (r >= 0 && c->work_path)
		r = open_dir(c->work_path, "work directory", true, &j.work_dfd, e);
	if (r < 0)
		return r;
	j.log_name = log_name;
	whole = realpath(c->work_path ? c->work_path : c->image_path, NULL);
	j.log_path = str_fmt("%s/%s", whole ? whole : c->image_path, log_name);
	/* What an earlier one wrote there is not to be taken for the log of this one. */
	if (unlinkat(j.work_dfd, log_name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove the old log \"%s\"", j.log_path);
	*ret = j;
	j = CRIU_JOB_INIT;
	return 0;
}

static Hull__Criu__CgroupMode cgroup_mode(enum criu_cgroups mode)
{
	static const Hull__Criu__CgroupMode modes[] = {
		[CRIU_CGROUPS_SOFT] = HULL__CRIU__CGROUP_MODE__SOFT,
		[CRIU_CGROUPS_FULL] = HULL__CRIU__CGROUP_MODE__FULL,
		[CRIU_CGROUPS_STRICT] = HULL__CRIU__CGROUP_MODE__STRICT,
		[CRIU_CGROUPS_IGNORE] = HULL__CRIU__CGROUP_MODE__IGNORE_CGROUPS,
	};

	return modes[mode];
}

#define SET(o, field, value) ((o)->has_##field = true, (o)->field = (value))

Hull__Criu__Options *criu_job_options(const struct criu_common *c, const struct criu_job *j, struct arena *a)
{
	Hull__Criu__Options *o = arena_alloc(a, sizeof(*o));

	/* Not pb_new(), whose absent strings are "", which means something here. */
	o->base.descriptor = &hull__criu__options__descriptor;
	o->images_dir_fd = j->images_dfd;
	SET(o, work_dir_fd, j->work_dfd);
	SET(o, log_level, LOG_LEVEL_OF_CRIU);
	o->log_file = arena_str(a, j->log_name);
	o->config_file = arena_str(a, CRIU_CONFIG_FILE);
	SET(o, notify_scripts, true);
	SET(o, manage_cgroups, c->cgroups != CRIU_CGROUPS_IGNORE);
	SET(o, manage_cgroups_mode, cgroup_mode(c->cgroups));
	SET(o, tcp_established, c->tcp_established);
	SET(o, ext_unix_sk, c->ext_unix_sk);
	SET(o, shell_job, c->shell_job);
	SET(o, file_locks, c->file_locks);
	SET(o, auto_dedup, c->auto_dedup);
	SET(o, lazy_pages, c->lazy_pages);
	SET(o, orphan_pts_master, true);
	/* Interfaces and addresses are the business of whoever made them (a hook, CNI), not of the images. */
	SET(o, empty_ns, CLONE_NEWNET);
	return o;
}

void criu_job_mounts(Hull__Criu__Options *o, const struct criu_pairs *pairs, struct arena *a)
{
	o->ext_mnt = arena_array(a, pairs->n + 1, sizeof(Hull__Criu__ExternalMount *));
	for (size_t i = 0; i < pairs->n; i++) {
		Hull__Criu__ExternalMount *m = arena_alloc(a, sizeof(*m));

		m->base.descriptor = &hull__criu__external_mount__descriptor;
		m->key = arena_str(a, pairs->v[i].key);
		m->value = arena_str(a, pairs->v[i].value);
		o->ext_mnt[o->n_ext_mnt++] = m;
	}
}

enum criu_origin criu_origin_of(const struct oci_plan *plan, const struct plan_mount *pm)
{
	if (pm->kind == PLAN_BIND || pm->kind == PLAN_TREE)
		return CRIU_OUTSIDE;
	return pm->kind == PLAN_DEV && plan->in_user_ns ? CRIU_OUTSIDE_ALONE : CRIU_INSIDE;
}

const char *criu_ns_key(enum oci_ns ns)
{
	return ns == OCI_NS_NETWORK ? "extRootNetNS" : ns == OCI_NS_PID ? "extRootPidNS" : NULL;
}

bool criu_ns_is_entered(enum oci_ns ns)
{
	return ns == OCI_NS_IPC || ns == OCI_NS_UTS || ns == OCI_NS_TIME;
}

int criu_ns_refuse(const struct oci_spec *spec, struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
		if (spec->linux.namespaces[ns].path && !criu_ns_key(ns) && !criu_ns_is_entered(ns))
			return err_new(
				e, ERR_UNSUPPORTED,
				"the container joins the %s namespace \"%.200s\", and criu cannot restore "
				"into a %s namespace that exists already",
				oci_ns_info[ns].name, spec->linux.namespaces[ns].path, oci_ns_info[ns].name);
	return 0;
}

int criu_mounts_of(int proc_dfd, struct mountinfo *ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = file_read(proc_dfd, "mountinfo", MOUNTINFO_MAX_BYTES, &text, e);

	if (r < 0)
		return err_ctx(e, "mounts of the container");
	mountinfo_parse(ret, buf_str(&text));
	if (ret->n > MOUNTS_MAX)
		return err_new(e, ERR_LIMIT, "the container has %zu mounts, and %d can be checkpointed",
			       ret->n, MOUNTS_MAX);
	return 0;
}
