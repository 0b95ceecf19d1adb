/* SPDX-License-Identifier: Apache-2.0 */
/* How a container comes to be.
 *
 *   caller (host privileges)                       init (new process)
 *   ------------------------------------------    ------------------------------------------------------
 *   plan: namespaces, mounts, ids (pure)
 *   a network namespace is begun on another processor
 *   open namespaces to join, the host's /proc
 *   confinement prepared (seccomp compiled)
 *   make the cgroup with its limits, the resctrl group
 *   root file system as a detached tree
 *   mount sources as detached trees, /dev filled
 *   clone: joins, new namespaces, v2 cgroup  --->  enters v1 cgroups and the network namespace, new session, signals
 *   writes id maps of a new user namespace,
 *   moves network interfaces in               --->  becomes root of its user namespace
 *                                                  cgroup and time namespaces, hostname, loopback up, sysctls
 *                                                  fresh proc, sysfs, devpts, tmpfs ... (detached)
 *                                                  mounts private; attaches root; pivots; drops the host's mounts
 *                                                  attaches mounts in order; devices; terminal
 *                                                  (with hooks: mounts first, at the bundle's rootfs, then
 *   prestart and createRuntime hooks         <--->  createContainer hooks, then the pivot)
 *                                                  masked and read-only paths; working directory; read-only root
 *   READY                                    <---  program found; waits at the gate
 *   oci_keep(), when others will start it    --->  the caller may go
 *   rlimits, OOM score, scheduler on its pid
 *   ... oci_start(): start byte              --->  startContainer hooks; close-on-exec for all; capabilities, ids, seccomp
 *   EXEC, then the end of the connection     <---  execve
 *
 * Rules that hold throughout:
 * - What the host's privileges are needed for is done by the caller, before: sources are opened before any user
 *   namespace is entered, so it does not matter which of the host's files the container's root could reach. Rlimits
 *   and the OOM score come after READY, from outside: raising needs the host's privileges, and a low limit of open
 *   files must not hinder the setup.
 * - The init holds host things (detached trees, fds) until its exec, so it is never dumpable: a process of a
 *   namespace that it joined cannot trace it or open its /proc/PID/fd (CVE-2016-9962).
 * - The container's files are untrusted from the first look: each path is resolved inside the root, to an fd, and by
 *   then the host's mounts are gone from our mount namespace, so there is nowhere else to be led to.
 * - Errors of the init come back as struct error over the same socket that is the gate. Its end is an answer, too.
 * - When a step fails, what was made is taken back: the process killed and reaped, the cgroup removed. All else is
 *   fds, and goes with them. */
#include "oci/build.h"

#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/hooks.h"
#include "oci/setup.h"
#include "oci/stage.h"
#include "oci/sync.h"
#include "sys/caps.h"
#include "sys/pidfd.h"

void oci_init_done(struct oci_init *i)
{
	if (i->pid_fd >= 0)
		close(i->pid_fd);
	if (i->start_fd >= 0)
		close(i->start_fd);
	if (i->console_fd >= 0)
		close(i->console_fd);
	if (i->cgroup)
		cgroup_free(i->cgroup);
	free(i->rdt_made);
	*i = OCI_INIT_INIT;
}

/* ---- what the caller holds while it builds --------------------------------------------------------------- */

static void build_done(struct build *b)
{
	netns_ahead_done(&b->net);
	if (b->init.p.net_ns_fd >= 0)
		close(b->init.p.net_ns_fd);
	for (size_t i = 0; i < OCI_NS_COUNT; i++)
		if (b->opened_ns[i] >= 0)
			close(b->opened_ns[i]);
	for (size_t i = 0; i < b->init.p.cgroup_fd_count; i++)
		close(b->init.p.cgroup_fds[i]);
	if (b->init.p.proc_dfd >= 0)
		close(b->init.p.proc_dfd);
	for (size_t i = 0; i < 2; i++)
		if (b->sync[i] >= 0)
			close(b->sync[i]);
	if (b->root_tree >= 0)
		close(b->root_tree);
	if (b->null_fd >= 0)
		close(b->null_fd);
	if (b->console_fd >= 0)
		close(b->console_fd);
	oom_lend_end(&b->oom);
	mount_set_done(&b->mounts);
	oci_plan_done(&b->plan);
	net_devices_done(&b->net_devices);
	intel_rdt_done(&b->rdt);
	if (b->rdt_dfd >= 0)
		close(b->rdt_dfd);
	confine_free_p(&b->confine);
	cgroup_free_p(&b->cgroup);
	free(b->uids);
	free(b->gids);
	free(b->own_cgroup_path);
	free(b->bundle);
	free(b->root_path);
}
DEFINE_CLEANUP_VALUE(struct build, build_done)

/* ---- steps ------------------------------------------------------------------------------------------------- */

/* From here on what we hold must not be reachable by ptrace(2) from a container; until here newuidmap(1) had to see
 * that we are who we are, and oom_score_adj had to be ours. */
static int go_dark(struct build *b, struct error *e)
{
	int r = b->o->needs_user_ns ? oom_lend_begin(&b->o->spec->process, &b->oom, e) : 0;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}

static int find_net_devices(struct build *b, struct error *e)
{
	return net_devices_find(&b->o->spec->linux, &b->net_devices, e);
}

static int open_root(struct build *b, int bundle_dfd, struct error *e)
{
	struct oci_rootfs own = OCI_ROOTFS_INIT, use;

	own.path = b->o->spec->root.path;
	own.dfd = bundle_dfd;
	use = b->o->rootfs ? *b->o->rootfs : own;
	use.is_slave = b->o->spec->linux.rootfs_propagation & MS_SLAVE;
	use.readonly = false; /* mount points may have to be made in it: mounts_finish() */
	return rootfs_open(&use, &b->root_tree, e);
}

static int open_mounts(struct build *b, int bundle_dfd, struct error *e)
{
	const struct mounts_env env = {
		.create = b->o,
		.bundle_dfd = bundle_dfd,
		.plan = &b->plan,
		.cgroup = b->cgroup,
		.user_fd = b->spawn.join_fd[OCI_NS_USER],
		.uids = b->uids,
		.gids = b->gids,
	};

	return mounts_open(&env, &b->mounts, e);
}

static int open_trees_from(void *arg, int bundle_dfd, struct error *e)
{
	struct build *b = arg;
	int r = open_root(b, bundle_dfd, e);

	return r < 0 ? r : open_mounts(b, bundle_dfd, e);
}

static int open_trees(struct build *b, struct error *e)
{
	int bundle_dfd = b->o->bundle_dfd;

	return b->o->needs_user_ns
		       ? stage_run(b->spawn.join_fd[OCI_NS_USER], bundle_dfd, open_trees_from, b, e)
		       : open_trees_from(b, bundle_dfd, e);
}

static int prepare_confinement(struct build *b, struct error *e)
{
	const struct oci_linux *l = &b->o->spec->linux;
	const struct confine_opts opts = {
		.process = &b->o->spec->process,
		.seccomp = l->seccomp,
		.memory_policy = l->memory_policy,
		.personality_is_set = l->personality.is_set,
		.personality = l->personality.domain,
		.in_user_ns = b->plan.in_user_ns,
		.setgroups_denied = b->setgroups_denied,
		.by_itself = b->o->needs_user_ns,
		.restrict_oom_score = b->o->restrict_oom_score,
		.caps_lenient = b->o->caps_lenient,
		.keeps_groups = b->o->keeps_groups,
		.die_with_parent = b->o->die_with_parent,
		.seccomp_cache_dfd = b->o->seccomp_cache_dfd,
	};

	return confine_prepare(&opts, &b->confine, e);
}

/* ---- clone and wait ---------------------------------------------------------------------------------------- */

/* Before the init sets sysctls, which may be an interface's own, and before any hook. */
static int move_net_devices(struct build *b, struct error *e)
{
	cleanup_close int netns = -1;
	int r;

	if (!b->net_devices.n)
		return 0;
	/* Made ahead, it is the init's own only when that has entered it. */
	if (b->init.p.net_ns_fd >= 0)
		return net_devices_move(&b->net_devices, b->init.p.net_ns_fd, e);
	r = pidfd_ns(b->spawn.pid_fd, CLONE_NEWNET, &netns, e);
	return r < 0 ? r : net_devices_move(&b->net_devices, netns, e);
}

static int runtime_hooks(struct build *b, struct error *e)
{
	const struct hook_state state = {
		.id = b->o->id,
		.status = "creating",
		.bundle = b->bundle,
		.pid = b->spawn.pid,
	};
	int r = hooks_run(b->o->spec, OCI_HOOK_PRESTART, &state, e);

	return r < 0 ? r : hooks_run(b->o->spec, OCI_HOOK_CREATE_RUNTIME, &state, e);
}

static int wait_ready(struct build *b, struct error *e)
{
	for (;;) {
		enum report_kind kind;
		cleanup_close int fd = -1;
		int r = sync_receive(b->sync[0], &kind, &fd, e);

		if (r < 0)
			return r;
		switch (kind) {
		case REPORT_CONSOLE:
			b->console_fd = take_fd(fd);
			break;
		case REPORT_PREPARED:
			b->is_prepared = true;
			r = runtime_hooks(b, e);
			if (r < 0)
				return r;
			sync_send_byte(b->sync[0], SYNC_GO);
			break;
		case REPORT_READY:
			return 0;
		case REPORT_END:
			return err_new(e, ERR_STATE, "the init process died while the container was set up");
		default:
			return err_new(e, ERR_CORRUPT, "the init process reported %d", kind);
		}
	}
}

/* Hooks are told paths. */
static void find_paths(struct build *b)
{
	const char *root = b->o->spec->root.path;
	char link[PATH_FD_SIZE], bundle[PATH_MAX];
	ssize_t n;

	if (!hooks_before_pivot(b->o->spec) && !b->o->spec->hooks[OCI_HOOK_START_CONTAINER].n)
		return;
	n = b->o->bundle_dfd < 0 ? -1
				 : readlink(path_of_fd(b->o->bundle_dfd, link), bundle, sizeof(bundle) - 1);
	if (n < 0)
		return;
	bundle[n] = '\0';
	b->bundle = str_dup(bundle);
	if (b->o->spec->has_root)
		b->root_path = root[0] == '/' ? str_dup(root) : str_fmt("%s/%s", bundle, root);
}

/* A loopback interface is born down, and nobody else would bring it up: who makes the namespace himself, as engines with
 * networks do, gives us its path. Not worth a container where we may not: a nested one, without CAP_NET_ADMIN. */
static void take_net(struct build *b)
{
	struct init_container *c = &b->init;
	bool is_lo_up = false;

	c->p.net_ns_fd = netns_ahead_take(&b->net, &is_lo_up);
	if (c->p.net_ns_fd >= 0)
		b->spawn.clone_flags &= ~(uint64_t)CLONE_NEWNET;
	if (!b->plan.makes[OCI_NS_NETWORK] || is_lo_up)
		return;
	c->brings_lo_up = b->plan.in_user_ns || caps_have(CAP_NET_ADMIN);
	if (!c->brings_lo_up)
		log_warn("container \"%s\": without CAP_NET_ADMIN the loopback interface of its network "
			 "namespace stays down",
			 b->o->id);
}

static int run_init(struct build *b, struct error *e)
{
	struct init_container *c = &b->init;
	int r = sync_pair(b->sync, e);

	if (r < 0)
		return r;
	find_paths(b);
	c->bundle = b->bundle;
	c->root_path = b->root_path;
	c->p.process = &b->o->spec->process;
	c->p.confine = b->confine;
	c->p.preserve_fds = b->o->preserve_fds;
	c->p.in_user_ns = b->plan.in_user_ns;
	c->p.keeps_groups = b->o->keeps_groups;
	c->p.sync_fd = b->sync[1];
	c->peer_fd = b->sync[0];
	c->create = b->o;
	c->plan = &b->plan;
	c->mounts = &b->mounts;
	c->root_tree = b->root_tree;
	c->waits_for_go = (b->plan.clone_flags & CLONE_NEWUSER) || b->net_devices.n;
	b->spawn.clone_flags = b->plan.clone_flags;
	take_net(b);
	b->spawn.clone_parent = b->o->clone_parent;
	b->spawn.main = init_container_main;
	b->spawn.arg = c;
	r = spawn_run(&b->spawn, e);
	oom_lend_end(&b->oom);
	if (r < 0)
		return r;
	close(take_fd(b->sync[1]));
	if (b->rdt_dfd >= 0)
		r = intel_rdt_enter(b->rdt_dfd, &b->rdt, b->spawn.pid, e);
	if (r >= 0)
		r = build_write_maps(b, e);
	if (r >= 0)
		r = move_net_devices(b, e);
	if (r >= 0 && c->waits_for_go)
		sync_send_byte(b->sync[0], SYNC_GO);
	if (r >= 0)
		r = wait_ready(b, e);
	if (b->cgroup)
		cgroup_settle(b->cgroup);
	if (r >= 0)
		r = confine_outside(b->confine, b->spawn.pid, c->p.proc_dfd, e);
	return r;
}

static int build(struct build *b, struct error *e)
{
	static int (*const steps[])(struct build *, struct error *) = {
		build_open_namespaces, build_find_maps,	    build_check_ids,	build_open_rdt,
		find_net_devices,      prepare_confinement, build_make_user_ns, go_dark,
		build_make_cgroup,     build_make_rdt,	    open_trees,
	};
	int r = oci_plan_make(b->o, &b->plan, e);

	if (r >= 0)
		r = setup_open_proc(&b->init.p.proc_dfd, e);
	if (r >= 0 && b->plan.makes[OCI_NS_NETWORK] && !b->plan.in_user_ns)
		netns_ahead_begin(&b->net, b->init.p.proc_dfd);
	for (size_t i = 0; i < ARRAY_LEN(steps) && r >= 0; i++)
		r = steps[i](b, e);
	if (r >= 0)
		r = setup_stdio(b->o->stdio, &b->o->spec->process, b->uids, &b->null_fd, b->init.p.stdio, e);
	return r < 0 ? r : run_init(b, e);
}

static void undo(struct build *b)
{
	struct error e = ERROR_INIT;
	unsigned int parents;

	net_devices_return(&b->net_devices);
	spawn_kill(&b->spawn);
	if (b->cgroup) {
		parents = cgroup_made_parents(b->cgroup);
		if (cgroup_kill(b->cgroup, 2000, &e) < 0 ||
		    cgroup_remove(b->o->cgroups, cgroup_path(b->cgroup), parents, &e) < 0)
			log_warn("take back the cgroup of container \"%s\": %s", b->o->id, err_msg(&e));
	}
	if (intel_rdt_made(&b->rdt) && intel_rdt_remove(b->rdt_dfd, intel_rdt_made(&b->rdt), &e) < 0)
		log_warn("container \"%s\": %s", b->o->id, err_msg(&e));
	/* OCI runtime.md, "Lifecycle", steps 3 to 5: a hook that fails leads to step 12, and so to the poststop hooks. */
	if (b->is_prepared)
		hooks_poststop(b->o->spec, b->o->id, b->bundle);
}

int oci_create(const struct oci_create *o, struct oci_init *ret, struct error *e)
{
	CLEANUP(build_done)
	struct build b = {
		.o = o,
		.plan = OCI_PLAN_INIT,
		.mounts = MOUNT_SET_INIT,
		.spawn = SPAWN_INIT,
		.opened_ns = { [0 ... OCI_NS_COUNT - 1] = -1 },
		.rdt = INTEL_RDT_INIT,
		.rdt_dfd = -1,
		.net_devices = NET_DEVICES_INIT,
		.root_tree = -1,
		.null_fd = -1,
		.console_fd = -1,
		.sync = { -1, -1 },
		.oom = OOM_LEND_INIT,
		.init.p = { .proc_dfd = -1, .cgroup_ns_pid_fd = -1, .net_ns_fd = -1, .time_ns_fd = -1 },
		.net = NETNS_AHEAD_INIT,
	};
	const char *warning;
	int r;

	if (!o->needs_user_ns)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	r = build(&b, e);
	if (r < 0) {
		undo(&b);
		return err_ctx(e, "create container \"%s\"", o->id);
	}
	for (size_t i = 0; (warning = confine_warning(b.confine, i)); i++)
		log_warn("container \"%s\": %s", o->id, warning);
	*ret = (struct oci_init){
		.pid = b.spawn.pid,
		.pid_fd = take_fd(b.spawn.pid_fd),
		.start_fd = take_fd(b.sync[0]),
		.console_fd = take_fd(b.console_fd),
		.cgroup = take_ptr(b.cgroup),
		.rdt_made = intel_rdt_made(&b.rdt) ? str_dup(intel_rdt_made(&b.rdt)) : NULL,
	};
	return 0;
}
