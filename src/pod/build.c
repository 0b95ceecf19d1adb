/* SPDX-License-Identifier: Apache-2.0 */
/* The builder: a worker that reads config.json and makes the container with the pod's namespaces. The
 * JSON and seccomp code runs only here, so the monitor itself never has their pages. */
#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "oci/runtime.h"
#include "pod/monitor.h"
#include "sys/pidfd.h"

#define CONFIG_FILE "config.json"

static int read_spec(int bundle_dfd, struct oci_spec **ret, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = file_read(bundle_dfd, CONFIG_FILE, OCI_SPEC_MAX_BYTES, &b, e);

	if (r == 0)
		r = oci_spec_parse(b.data, b.len, ret, e);
	return r < 0 ? err_ctx(e, "%s of the bundle", CONFIG_FILE) : 0;
}

static int fill_rootfs(const struct build *b, struct oci_rootfs *rootfs, struct error *e)
{
	const struct req_container *q = b->q;
	const char **lowers = mem_array(ROOTFS_LOWERS_MAX, sizeof(*lowers));
	const char *lower;
	size_t pos = 0;

	*rootfs = OCI_ROOTFS_INIT;
	if (q->rootfs_kind != ROOTFS_DIR && q->rootfs_kind != ROOTFS_OVERLAY)
		return err_new(e, ERR_INVALID, "root file system of kind %d is not known", q->rootfs_kind);
	while ((lower = proto_next_string(&q->rootfs_lowers, &pos))) {
		if (rootfs->lower_count == ROOTFS_LOWERS_MAX)
			return err_new(e, ERR_LIMIT, "root file system has more than %d layers",
				       ROOTFS_LOWERS_MAX);
		lowers[rootfs->lower_count++] = lower;
	}
	rootfs->kind = (enum oci_rootfs_kind)q->rootfs_kind;
	rootfs->path = q->rootfs_path;
	rootfs->lowers = lowers;
	rootfs->upper = q->rootfs_upper;
	rootfs->work = q->rootfs_work;
	rootfs->readonly = q->rootfs_readonly;
	rootfs->mapping_fd = q->rootfs_is_chowned ? -1 : b->m->sandbox.user_fd;
	return 0;
}

static int fill_namespaces(const struct build *b, struct oci_create *o, struct error *e)
{
	const struct sandbox *s = &b->m->sandbox;

	o->ns_fd[OCI_NS_USER] = s->user_fd;
	o->ns_fd[OCI_NS_NETWORK] = s->net_fd;
	o->ns_fd[OCI_NS_IPC] = s->ipc_fd;
	o->ns_fd[OCI_NS_UTS] = s->uts_fd;
	if (b->target_pid_fd < 0)
		return 0;
	return pidfd_ns(b->target_pid_fd, CLONE_NEWPID, &o->ns_fd[OCI_NS_PID], e);
}

static int fill_shm(const struct build *b, struct oci_create *o, struct error *e)
{
	const struct sandbox *s = &b->m->sandbox;
	int tree_fd = -1, r;

	if (b->q->node_shm || (s->shm_fd < 0 && s->shm_mnt_fd < 0))
		return 0;
	r = shm_open_tree(s, &tree_fd, e);
	if (r < 0)
		return r;
	o->mount_fds[o->mount_fd_count++] =
		(struct oci_mount_fd){ .destination = "/dev/shm", .tree_fd = tree_fd };
	return 0;
}

static int dup_into(int fd, int *ret, struct error *e)
{
	return fd < 0 ? 0 : fd_dup(fd, ret, e);
}

/* What we hold of the container's cgroup after the builder is gone. */
static int answer_cgroup(const struct cgroup *cg, struct worker_result *res, struct error *e)
{
	int r;

	if (!cg)
		return 0;
	if (strlen(cgroup_path(cg)) >= sizeof(res->text))
		return err_new(e, ERR_LIMIT, "cgroup path \"%s\" is too long", cgroup_path(cg));
	strcpy(res->text, cgroup_path(cg));
	r = dup_into(cgroup_oom_fd(cg), &res->fd[BUILD_OOM_FD], e);
	return r < 0 ? r : dup_into(cgroup_clone_fd(cg), &res->fd[BUILD_CGROUP_FD], e);
}

/* Nothing is freed: the process ends with this. */
int build_container(void *arg, struct worker_result *res, struct error *e)
{
	const struct build *b = arg;
	struct oci_create o = OCI_CREATE_INIT;
	struct oci_init init = OCI_INIT_INIT;
	struct oci_rootfs rootfs;
	struct oci_spec *spec = NULL;
	int r = read_spec(b->q->bundle_dfd, &spec, e);

	if (r == 0 && b->q->has_rootfs)
		r = fill_rootfs(b, &rootfs, e);
	if (r == 0)
		r = fill_namespaces(b, &o, e);
	if (r == 0)
		r = fill_shm(b, &o, e);
	if (r < 0)
		return r;
	o.id = b->q->id;
	o.spec = spec;
	o.bundle_dfd = b->q->bundle_dfd;
	o.rootfs = b->q->has_rootfs ? &rootfs : NULL;
	memcpy(o.stdio, b->stdio, sizeof(o.stdio));
	o.cgroups = b->m->cgroups;
	o.cgroup_path = b->q->cgroup_path;
	o.clone_parent = true;
	o.new_keyring = true;
	o.die_with_parent = true;
	o.restrict_oom_score = b->m->sandbox.is_oom_score_restricted;
	o.seccomp_cache_dfd = b->m->sandbox.seccomp_cache_dfd;
	r = oci_create(&o, &init, e);
	if (r < 0)
		return r;
	res->value[0] = init.pid;
	res->fd[BUILD_PID_FD] = init.pid_fd;
	res->fd[BUILD_START_FD] = init.start_fd;
	res->fd[BUILD_CONSOLE_FD] = init.console_fd;
	r = answer_cgroup(init.cgroup, res, e);
	if (r < 0)
		pidfd_send(init.pid_fd, SIGKILL);
	return r;
}
