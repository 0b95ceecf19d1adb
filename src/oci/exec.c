/* SPDX-License-Identifier: Apache-2.0 */
/* Another process in a container that runs: all of its namespaces are joined at once by its init's pidfd, so there
 * is no pid and no path that could by now belong to something else; then a clone, for the pid namespace. The root of
 * the mount namespace becomes our root by that (setns(2)). Only the cgroup namespace is joined by the new process
 * itself, once it is in the cgroup (process_begin()). */
#include "oci/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/confine.h"
#include "oci/ids.h"
#include "oci/init.h"
#include "oci/intel_rdt.h"
#include "oci/oom_lend.h"
#include "oci/setup.h"
#include "oci/spawn.h"
#include "oci/sync.h"
#include "oci/tty.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "userns/userns.h"

struct exec_build {
	const struct oci_exec *o;
	struct init_process p;
	struct spawn spawn;
	struct confine *confine;
	struct oom_lend oom;
	struct numlist initial_cpus, final_cpus;
	int null_fd, console_fd, sync[2];
};

static void exec_build_done(struct exec_build *b)
{
	for (size_t i = 0; i < b->p.cgroup_fd_count; i++)
		close(b->p.cgroup_fds[i]);
	for (size_t i = 0; i < 2; i++)
		if (b->sync[i] >= 0)
			close(b->sync[i]);
	if (b->p.proc_dfd >= 0)
		close(b->p.proc_dfd);
	if (b->null_fd >= 0)
		close(b->null_fd);
	if (b->console_fd >= 0)
		close(b->console_fd);
	oom_lend_end(&b->oom);
	confine_free_p(&b->confine);
}
DEFINE_CLEANUP_VALUE(struct exec_build, exec_build_done)

/* ---- the new process --------------------------------------------------------------------------------------- */

static int take_terminal(struct exec_build *b, int root_fd, struct error *e)
{
	struct tty tty = TTY_INIT;
	int r;

	if (!b->o->process->terminal)
		return process_set_stdio(b->p.stdio, b->p.preserve_fds, e);
	r = tty_open(root_fd, b->o->process, b->o->bare_newlines, &tty, e);
	if (r >= 0)
		r = tty_take(&tty, e);
	if (r < 0)
		return r;
	sync_report(b->p.sync_fd, REPORT_CONSOLE, tty.master_fd);
	close(tty.master_fd);
	return process_set_stdio((int[3]){ tty.slave_fd, tty.slave_fd, tty.slave_fd }, b->p.preserve_fds, e);
}

static int run_process(struct exec_build *b, struct error *e)
{
	struct confine_child child = CONFINE_CHILD_INIT;
	struct program program;
	int root_fd = -1, r;

	r = process_begin(&b->p, e);
	if (r >= 0)
		r = process_become_root(&b->p, e);
	if (r >= 0)
		r = confine_open_child(b->confine, b->p.proc_dfd, &child, e);
	if (r < 0)
		return r;
	root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_sys(e, "open the container's root");
	r = take_terminal(b, root_fd, e);
	if (r >= 0)
		r = process_enter_cwd(&b->p, root_fd, false, e);
	if (r >= 0)
		r = process_find_program(b->o->process, root_fd, &program, e);
	if (r < 0)
		return r;
	process_close_rest(&b->p, (int[]){ b->p.sync_fd, child.attr_fd, -1 });
	sync_report(b->p.sync_fd, REPORT_READY, -1);
	r = sync_wait_byte(b->p.sync_fd, SYNC_START, e);
	if (r >= 0)
		r = process_confine(&b->p, &child, b->p.sync_fd, e);
	return r < 0 ? r : process_exec(&b->p, &program, b->p.sync_fd, e);
}

static int exec_main(void *arg)
{
	struct exec_build *b = arg;
	struct error e = ERROR_INIT;

	close(b->sync[0]);
	umask(022);
	run_process(b, &e);
	sync_report_error(b->p.sync_fd, &e);
	return 127;
}

/* ---- the caller -------------------------------------------------------------------------------------------- */

/* Is the container's namespace of this kind ours? */
static int is_own(const struct exec_build *b, enum oci_ns ns, bool *ret_same, struct error *e)
{
	cleanup_close int theirs = -1, own = -1;
	int r = pidfd_ns(b->o->pid_fd, (int)oci_ns_info[ns].clone_flag, &theirs, e);

	if (r >= 0)
		r = ns_open_own((int)oci_ns_info[ns].clone_flag, &own, e);
	if (r >= 0)
		r = ns_is_same(theirs, own, ret_same, e);
	return r == -ERR_NOT_FOUND ? err_kind(e, ERR_STATE) : r;
}

/* The namespaces that the container does not share with us. One that the spec names by a path may be ours, the user
 * namespace in any case (hull itself runs inside of it): setns(2) would refuse. */
static int find_namespaces(struct exec_build *b, struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		const struct oci_namespace *n = &b->o->spec->linux.namespaces[ns];
		bool same = false;
		int r = n->is_set && (n->path || ns == OCI_NS_USER) ? is_own(b, ns, &same, e) : 0;

		if (r < 0)
			return r;
		if (n->is_set && !same)
			b->spawn.join_flags |= (uint64_t)oci_ns_info[ns].clone_flag;
	}
	if (b->spawn.join_flags & CLONE_NEWCGROUP) {
		b->spawn.join_flags &= ~(uint64_t)CLONE_NEWCGROUP; /* by process_begin() */
		b->p.cgroup_ns_pid_fd = b->o->pid_fd;
	}
	if (b->spawn.join_flags & CLONE_NEWTIME) {
		b->spawn.join_flags &= ~(uint64_t)CLONE_NEWTIME; /* likewise */
		b->p.time_ns_fd = b->o->pid_fd;
	}
	b->p.in_user_ns = b->spawn.join_flags & CLONE_NEWUSER;
	return 0;
}

static int prepare(struct exec_build *b, struct error *e)
{
	const struct oci_linux *l = &b->o->spec->linux;
	const struct confine_opts opts = {
		.process = b->o->process,
		.seccomp = l->seccomp,
		.memory_policy = l->memory_policy,
		.personality_is_set = l->personality.is_set,
		.personality = l->personality.domain,
		.in_user_ns = b->p.in_user_ns,
		.by_itself = b->o->needs_user_ns,
		.restrict_oom_score = b->o->restrict_oom_score,
		.caps_lenient = b->o->caps_lenient,
		.keeps_groups = b->o->keeps_groups,
		.die_with_parent = b->o->die_with_parent,
		.seccomp_cache_dfd = b->o->seccomp_cache_dfd,
	};
	cleanup_free struct idmap *uids = NULL, *gids = NULL;
	int r = 0;

	if (!b->o->process->args.n)
		return err_new(e, ERR_INVALID, "no program to run");
	if (b->p.in_user_ns) {
		uids = NEW(struct idmap);
		gids = NEW(struct idmap);
		r = ids_map(&l->uid_mappings, "linux.uidMappings", uids, e);
		if (r >= 0)
			r = ids_map(&l->gid_mappings, "linux.gidMappings", gids, e);
		/* Of a joined namespace they need not be in the spec; the kernel has its say in any case. */
		if (r >= 0 && uids->n && gids->n)
			r = ids_check(&b->o->process->user, uids, gids, e);
	}
	if (r >= 0)
		r = setup_stdio(b->o->stdio, b->o->process, uids, &b->null_fd, b->p.stdio, e);
	if (r >= 0)
		r = setup_open_proc(&b->p.proc_dfd, e);
	if (r >= 0)
		r = confine_prepare(&opts, &b->confine, e);
	if (r >= 0 && b->o->cgroup)
		r = cgroup_enter_fds(b->o->cgroup, b->p.cgroup_fds, &b->p.cgroup_fd_count, e);
	return r < 0 ? r : sync_pair(b->sync, e);
}

static int wait_exec(struct exec_build *b, struct error *e)
{
	bool is_executing = false;

	for (;;) {
		enum report_kind kind;
		cleanup_close int fd = -1;
		int r = sync_receive(b->sync[0], &kind, &fd, e);

		if (r < 0)
			return r;
		if (kind == REPORT_CONSOLE)
			b->console_fd = take_fd(fd);
		if (kind == REPORT_READY) {
			r = confine_outside(b->confine, b->spawn.pid, b->p.proc_dfd, e);
			if (r < 0)
				return r;
			sync_send_byte(b->sync[0], SYNC_START);
		}
		if (kind == REPORT_LISTENER) {
			r = setup_give_listener(&b->o->listener, b->spawn.pid, fd, e);
			if (r < 0)
				return r;
			sync_send_byte(b->sync[0], SYNC_GO);
		}
		if (kind == REPORT_EXEC)
			is_executing = true;
		if (kind == REPORT_END)
			return is_executing ? 0 : err_new(e, ERR_STATE, "the process died before its exec");
	}
}

/* process.execCPUAffinity: where the new process begins, and where it goes on once it is in the container's cgroup. An
 * empty list is none. */
static int read_affinity(struct exec_build *b, struct error *e)
{
	const char *initial = b->o->process->exec_cpu_affinity_initial;
	const char *final = b->o->process->exec_cpu_affinity_final;
	int r = initial ? numlist_parse(initial, &b->initial_cpus, e) : 0;

	if (r >= 0 && final)
		r = numlist_parse(final, &b->final_cpus, e);
	if (r < 0)
		return err_ctx(e, "process.execCPUAffinity");
	b->p.keeps_cpus = b->initial_cpus.count;
	b->p.final_cpus = b->final_cpus.count ? &b->final_cpus : NULL;
	return 0;
}

/* A clone begins on the CPUs of its maker, who takes them for that long. */
static int spawn_on_cpus(struct exec_build *b, struct error *e)
{
	unsigned long own[NUMLIST_BITS / NUMLIST_WORD_BITS] = { 0 };
	const struct numlist *initial = &b->initial_cpus;
	int r;

	if (!initial->count)
		return spawn_run(&b->spawn, e);
	if (sched_getaffinity(0, sizeof(own), (cpu_set_t *)(void *)own) < 0 ||
	    sched_setaffinity(0, sizeof(initial->words), (const cpu_set_t *)(const void *)initial->words) < 0)
		return err_sys(e, "run on the CPUs of process.execCPUAffinity.initial, \"%s\"",
			       b->o->process->exec_cpu_affinity_initial);
	r = spawn_run(&b->spawn, e);
	(void)!sched_setaffinity(0, sizeof(own), (const cpu_set_t *)(const void *)own);
	return r;
}

/* resctrl is inherited from whoever makes the process, and that was not the container. */
static int enter_rdt(struct exec_build *b, struct error *e)
{
	const struct oci_intel_rdt *spec = b->o->spec->linux.intel_rdt;
	CLEANUP(intel_rdt_done) struct intel_rdt plan = INTEL_RDT_INIT;
	cleanup_close int dfd = -1;
	int r;

	if (!spec)
		return 0;
	r = intel_rdt_plan(spec, b->o->id, &plan, e);
	if (r >= 0)
		r = intel_rdt_open(&dfd, e);
	return r < 0 ? r : intel_rdt_enter(dfd, &plan, b->spawn.pid, e);
}

static int run_exec(struct exec_build *b, struct error *e)
{
	int r = find_namespaces(b, e);

	if (r >= 0)
		r = read_affinity(b, e);

	if (r >= 0)
		r = prepare(b, e);
	if (r < 0)
		return r;
	b->p.process = b->o->process;
	b->p.confine = b->confine;
	b->p.preserve_fds = b->o->preserve_fds;
	b->p.keeps_groups = b->o->keeps_groups;
	b->p.sync_fd = b->sync[1];
	b->spawn.join_pid_fd = b->o->pid_fd;
	b->spawn.cgroup_fd = b->o->cgroup ? cgroup_clone_fd(b->o->cgroup) : -1;
	b->spawn.clone_parent = b->o->clone_parent;
	b->spawn.main = exec_main;
	b->spawn.arg = b;
	r = spawn_on_cpus(b, e);
	oom_lend_end(&b->oom);
	if (r < 0)
		return r;
	close(take_fd(b->sync[1]));
	r = enter_rdt(b, e);
	return r < 0 ? r : wait_exec(b, e);
}

int oci_exec(const struct oci_exec *o, struct oci_init *ret, struct error *e)
{
	CLEANUP(exec_build_done)
	struct exec_build b = {
		.o = o,
		.p = { .proc_dfd = -1, .cgroup_ns_pid_fd = -1, .net_ns_fd = -1, .time_ns_fd = -1 },
		.spawn = SPAWN_INIT,
		.null_fd = -1,
		.console_fd = -1,
		.sync = { -1, -1 },
		.oom = OOM_LEND_INIT,
	};
	const char *warning;
	int r;

	r = o->needs_user_ns ? oom_lend_begin(o->process, &b.oom, e) : 0;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (r >= 0)
		r = run_exec(&b, e);
	if (r < 0) {
		spawn_kill(&b.spawn);
		return err_ctx(e, "exec in container \"%s\"", o->id);
	}
	for (size_t i = 0; (warning = confine_warning(b.confine, i)); i++)
		log_warn("exec in container \"%s\": %s", o->id, warning);
	*ret = (struct oci_init){
		.pid = b.spawn.pid,
		.pid_fd = take_fd(b.spawn.pid_fd),
		.start_fd = -1,
		.console_fd = take_fd(b.console_fd),
		.cgroup = NULL,
	};
	return 0;
}
