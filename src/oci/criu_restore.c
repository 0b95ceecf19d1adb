/* SPDX-License-Identifier: Apache-2.0 */
/* A restore.
 *
 *   caller                                          criu
 *   ----------------------------------------------  ------------------------------------------------------
 *   criu and the images looked at
 *   cgroup, root and mounts opened, as for a create
 *   a process with a mount namespace of its own --> stage set, becomes criu
 *   RESTORE: what lies where                    --> makes the namespaces and the mounts
 *   prestart, createRuntime hooks; lo           <-- "setup-namespaces"
 *   the terminal's master                       <-- "orphan-pts-master"
 *   the container is recorded                   <-- "post-restore": everything is there, nothing runs
 *                                                   lets all run, and ends
 *
 * The restored init is criu's sibling, so ours. When a step fails, criu undoes what it did as soon as its socket
 * closes; the cgroup, in which all of it happened, is emptied and removed by us. */
#include "oci/criu_restore.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "oci/criu_rpc.h"
#include "oci/hooks.h"
#include "oci/setup.h"
#include "sys/netlink.h"
#include "sys/pidfd.h"
#include "sys/vchild.h"

static void restore_done(struct restore *x)
{
	criu_worker_done(&x->worker);
	criu_job_done(&x->job);
	criu_descriptors_done(&x->descriptors);
	mount_set_done(&x->mounts);
	oci_plan_done(&x->plan);
	free(x->uids);
	free(x->gids);
	cgroup_free_p(&x->cgroup);
	free(x->cgroup_path);
	if (x->root_tree >= 0)
		close(x->root_tree);
	if (x->null_fd >= 0)
		close(x->null_fd);
	if (x->work_tree >= 0)
		close(x->work_tree);
	if (x->images_tree >= 0)
		close(x->images_tree);
	if (x->parent_tree >= 0)
		close(x->parent_tree);
	for (size_t i = 0; i < 2; i++)
		if (x->dfds[i] >= 0)
			close(x->dfds[i]);
	for (size_t i = 0; i < OCI_NS_COUNT; i++)
		if (x->ns_fd[i] >= 0)
			close(x->ns_fd[i]);
	criu_pairs_done(&x->names);
	arena_done(&x->arena);
	oci_init_done(&x->init);
	free(x->bundle);
}
DEFINE_CLEANUP_VALUE(struct restore, restore_done)

/* ---- before criu -------------------------------------------------------------------------------------- */

static int find_bundle(struct restore *x, struct error *e)
{
	char link[PATH_FD_SIZE], text[PATH_MAX];
	ssize_t n;

	if (!hooks_before_pivot(x->o->spec) || x->o->bundle_dfd < 0)
		return 0;
	n = readlink(path_of_fd(x->o->bundle_dfd, link), text, sizeof(text));
	if (n < 0)
		return err_sys(e, "find the path of the bundle");
	x->bundle = str_ndup(text, (size_t)n);
	return 0;
}

static int open_null(struct restore *x, struct error *e)
{
	x->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return x->null_fd < 0 ? err_sys(e, "open /dev/null") : 0;
}

static int start_worker(struct restore *x, const char *program, struct error *e)
{
	struct criu_stage *s = &x->stage;

	s->program = program;
	s->create = x->o;
	s->plan = &x->plan;
	s->mounts = &x->mounts;
	s->root_tree = x->root_tree;
	s->cgroup = x->cgroup;
	s->keeps_session = x->r->common.shell_job;
	for (size_t i = 0; i < 3; i++)
		s->fds[s->fd_count++] = x->descriptors.is_null[i] ? x->null_fd : x->stdio[i];
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
		if (x->ns_fd[ns] >= 0 && criu_ns_key(ns))
			s->fds[s->fd_count++] = x->ns_fd[ns];
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
		s->enter_fd[ns] = criu_ns_is_entered(ns) ? x->ns_fd[ns] : -1;
	/* criu makes a cgroup namespace only where it manages cgroups. */
	s->makes_cgroup_ns = x->plan.makes[OCI_NS_CGROUP] && x->r->common.cgroups == CRIU_CGROUPS_IGNORE;
	s->work_tree = x->work_tree;
	s->images_tree = x->images_tree;
	s->parent_tree = x->parent_tree;
	return criu_stage_start(s, &x->worker, x->dfds, e);
}

static int find_names(struct restore *x, int proc_dfd, struct error *e)
{
	CLEANUP(mountinfo_done) struct mountinfo mounts = MOUNTINFO_INIT;
	int r = criu_mounts_of(proc_dfd, &mounts, e);

	if (r >= 0)
		criu_stage_names(&x->stage, &mounts, &x->names);
	return r;
}

/* ---- the request -------------------------------------------------------------------------------------- */

static void inherit(Hull__Criu__Options *o, const char *key, size_t fd, struct arena *a)
{
	Hull__Criu__InheritFd *i = arena_alloc(a, sizeof(*i));

	i->base.descriptor = &hull__criu__inherit_fd__descriptor;
	i->key = arena_str(a, key);
	i->fd = (int)fd;
	o->inherit_fd[o->n_inherit_fd++] = i;
}

static void add_files(struct restore *x, Hull__Criu__Options *o)
{
	struct arena *a = &x->arena;
	size_t fd = CRIU_STAGE_FDS + 3;

	o->inherit_fd = arena_array(a, 3 + OCI_NS_COUNT, sizeof(Hull__Criu__InheritFd *));
	for (size_t i = 0; i < 3; i++)
		if (x->descriptors.key[i])
			inherit(o, x->descriptors.key[i], CRIU_STAGE_FDS + i, a);
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
		if (x->ns_fd[ns] >= 0 && criu_ns_key(ns))
			inherit(o, criu_ns_key(ns), fd++, a);
}

/* Where criu is, the container's processes shall be: in each hierarchy, under each of its controllers' names. */
static int add_cgroups(struct restore *x, int proc_dfd, Hull__Criu__Options *o, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_strv struct strv lines = STRV_INIT;
	struct arena *a = &x->arena;
	int r = file_read(proc_dfd, "cgroup", 65536, &text, e);

	if (r < 0)
		return err_ctx(e, "cgroups of criu");
	strv_split(&lines, buf_str(&text), "\n");
	o->cg_root = arena_array(a, text.len + 1, sizeof(Hull__Criu__CgroupRoot *));
	for (size_t i = 0; i < lines.n; i++) {
		char *names = strchr(lines.v[i], ':'), *path = names ? strchr(++names, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		for (char *name = names, *next; name; name = next) {
			Hull__Criu__CgroupRoot *c = arena_alloc(a, sizeof(*c));

			next = strchr(name, ',');
			if (next)
				*next++ = '\0';
			c->base.descriptor = &hull__criu__cgroup_root__descriptor;
			c->controller = arena_str(a, name);
			c->path = arena_str(a, path);
			o->cg_root[o->n_cg_root++] = c;
		}
	}
	return 0;
}

static int fill(struct restore *x, Hull__Criu__Options *o, struct error *e)
{
	cleanup_close int proc = -1;
	int r = pidfd_proc_dir(x->worker.pid_fd, &proc, e);

	if (r >= 0)
		r = find_names(x, proc, e);
	if (r >= 0 && x->cgroup)
		r = add_cgroups(x, proc, o, e);
	if (r < 0)
		return r;
	criu_job_mounts(o, &x->names, &x->arena);
	add_files(x, o);
	o->work_dir_fd = x->dfds[0];
	if (x->dfds[1] >= 0)
		o->images_dir_fd = x->dfds[1];
	o->root = arena_str(&x->arena, CRIU_STAGE_ROOT);
	o->has_rst_sibling = true;
	o->rst_sibling = true;
	o->has_evasive_devices = true;
	o->evasive_devices = true;
	if (x->r->lsm_profile)
		o->lsm_profile = arena_str(&x->arena, x->r->lsm_profile);
	if (x->r->lsm_mount_context)
		o->lsm_mount_context = arena_str(&x->arena, x->r->lsm_mount_context);
	return 0;
}

/* ---- what criu asks back ------------------------------------------------------------------------------ */

static int lo_up(void *arg, struct error *e)
{
	const int *net = arg;

	if (setns(*net, CLONE_NEWNET) < 0)
		return err_sys(e, "enter the network namespace");
	return netlink_link_up("lo", e);
}

/* The images have no interfaces; this one is nobody's but the runtime's. */
static int set_up_network(struct restore *x, pid_t pid, struct error *e)
{
	cleanup_close int pid_fd = -1, net = -1;
	int r;

	if (!x->plan.makes[OCI_NS_NETWORK])
		return 0;
	r = pidfd_open_(pid, &pid_fd, e);
	if (r >= 0)
		r = pidfd_ns(pid_fd, CLONE_NEWNET, &net, e);
	if (r >= 0)
		r = vchild_run(lo_up, &net, e);
	return r < 0 ? err_ctx(e, "interface lo of the container") : 0;
}

static int on_namespaces(struct restore *x, pid_t pid, struct error *e)
{
	const struct hook_state state = {
		.id = x->o->id,
		.status = "creating",
		.bundle = x->bundle,
		.pid = pid,
	};
	int r = set_up_network(x, pid, e);

	if (r >= 0)
		r = hooks_run(x->o->spec, OCI_HOOK_PRESTART, &state, e);
	return r < 0 ? r : hooks_run(x->o->spec, OCI_HOOK_CREATE_RUNTIME, &state, e);
}

/* It is our child, or our parent's, and stopped: the pid is its own. */
static int on_restored(struct restore *x, pid_t pid, struct error *e)
{
	int r = pidfd_open_(pid, &x->init.pid_fd, e);

	if (r < 0)
		return r;
	x->init.pid = pid;
	r = restored_check_namespaces(x, e);
	if (r >= 0)
		r = restored_protect_root(x, e);
	if (r < 0)
		return r;
	x->init.cgroup = x->cgroup;
	r = x->r->restored ? x->r->restored(x->r->arg, &x->init, e) : 0;
	x->init.cgroup = NULL;
	return r;
}

static int on_notify(void *arg, const char *script, pid_t pid, int fd, struct error *e)
{
	struct restore *x = arg;

	if (str_eq(script, "orphan-pts-master") && fd >= 0 && x->init.console_fd < 0) {
		x->init.console_fd = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	if (str_eq(script, "setup-namespaces"))
		return on_namespaces(x, pid, e);
	if (str_eq(script, "post-restore"))
		return on_restored(x, pid, e);
	return 0;
}

static int ask(struct restore *x, struct error *e)
{
	Hull__Criu__Request q = {
		.base.descriptor = &hull__criu__request__descriptor,
		.type = HULL__CRIU__TYPE__RESTORE,
	};
	Hull__Criu__Response *answer = NULL;
	int r;

	q.opts = criu_job_options(&x->r->common, &x->job, &x->arena);
	r = fill(x, q.opts, e);
	if (r < 0)
		return r;
	r = criu_worker_call(&x->worker, &q, on_notify, x, &x->arena, &answer, e);
	if (r == 1 || r == -ERR_UNAVAILABLE)
		return criu_failed(&x->worker, x->job.work_dfd, x->job.log_name, x->job.log_path, e);
	if (r >= 0 && x->init.pid_fd < 0)
		return err_new(e, ERR_CORRUPT, "criu restored something without saying what");
	return r;
}

/* ---- all ---------------------------------------------------------------------------------------------- */

static void undo(struct restore *x)
{
	struct error e = ERROR_INIT;

	if (x->init.pid_fd >= 0)
		pidfd_send(x->init.pid_fd, SIGKILL);
	criu_worker_done(&x->worker);
	if (x->init.pid_fd >= 0 && !x->o->clone_parent) {
		struct proc init = { x->init.pid, x->init.pid_fd };

		proc_kill(&init);
		x->init.pid_fd = -1;
	}
	if (!x->cgroup)
		return;
	if (cgroup_kill(x->cgroup, 2000, &e) < 0 ||
	    cgroup_remove(x->o->cgroups, x->cgroup_path, cgroup_made_parents(x->cgroup), &e) < 0)
		log_warn("take back the cgroup of container \"%s\": %s", x->o->id, err_msg(&e));
}

static int look(struct restore *x, char **ret_program, struct error *e)
{
	int version, r = oci_plan_make(x->o, &x->plan, e);

	if (r >= 0)
		r = criu_probe(&x->r->common, false, ret_program, &version, e);
	if (r >= 0)
		r = criu_job_open(&x->r->common, "restore.log", false, &x->job, e);
	if (r >= 0)
		/* Lazy pages are elsewhere. */
		r = criu_images_check(x->job.images_dfd, !x->r->common.lazy_pages, e);
	if (r >= 0)
		r = criu_images_descriptors(x->job.images_dfd, &x->descriptors, e);
	return r < 0 ? err_ctx(e, "checkpoint \"%s\"", x->r->common.image_path) : 0;
}

static int restore(struct restore *x, struct error *e)
{
	static int (*const steps[])(struct restore *, struct error *) = {
		restore_open_namespaces, restore_find_maps,  find_bundle,
		restore_make_cgroup,	 restore_open_trees,
	};
	cleanup_free char *program = NULL;
	int r = look(x, &program, e);

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(steps) && r >= 0; i++)
		r = steps[i](x, e);
	if (r >= 0)
		r = open_null(x, e);
	if (r >= 0)
		r = setup_stdio(x->o->stdio, &x->o->spec->process, x->uids, &x->null_fd, x->stdio, e);
	if (r >= 0)
		r = start_worker(x, program, e);
	return r < 0 ? r : ask(x, e);
}

int criu_restore(const struct criu_restore *r, struct oci_init *ret, struct error *e)
{
	CLEANUP(restore_done)
	struct restore x = {
		.r = r,
		.o = r->create,
		.job = CRIU_JOB_INIT,
		.plan = OCI_PLAN_INIT,
		.mounts = MOUNT_SET_INIT,
		.root_tree = -1,
		.null_fd = -1,
		.work_tree = -1,
		.images_tree = -1,
		.parent_tree = -1,
		.dfds = { -1, -1 },
		.ns_fd = { [0 ... OCI_NS_COUNT - 1] = -1 },
		.worker = CRIU_WORKER_INIT,
		.init = OCI_INIT_INIT,
	};
	int result = restore(&x, e);

	if (result < 0) {
		undo(&x);
		return err_ctx(e, "restore container \"%s\"", x.o->id);
	}
	*ret = x.init;
	x.init = OCI_INIT_INIT;
	ret->cgroup = take_ptr(x.cgroup);
	return 0;
}
