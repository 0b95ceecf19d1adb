/* SPDX-License-Identifier: Apache-2.0 */
/* The init of a new container, stage by stage; bootstrap.c tells the whole story. */
#include "oci/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/hooks.h"
#include "oci/sync.h"
#include "oci/tty.h"
#include "sys/mountapi.h"
#include "sys/netlink.h"

#define STACK_RELEASED (128u * 1024)
#define STACK_MAX (512u * 1024) /* the kernel's guard gap is 1 MiB */

/* ---- stage 1: in the namespaces, on the host's mounts ------------------------------------------------ */

static int set_names(const struct oci_spec *s, struct error *e)
{
	if (s->hostname && sethostname(s->hostname, strlen(s->hostname)) < 0)
		return err_sys(e, "set the hostname \"%s\"", s->hostname);
	if (s->domainname && setdomainname(s->domainname, strlen(s->domainname)) < 0)
		return err_sys(e, "set the domain name \"%s\"", s->domainname);
	return 0;
}

static int write_checked(int proc_dfd, const char *path, const char *value, struct error *e)
{
	cleanup_close int fd = -1;
	struct statfs fs;
	int r = path_open_beneath(proc_dfd, path, O_WRONLY, 0, true, &fd, e);

	if (r < 0)
		return r;
	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return err_new(e, ERR_DENIED, "\"%s\" is not on a procfs", path);
	if (write(fd, value, strlen(value)) < 0)
		return err_sys(e, "write \"%s\" to \"%s\"", value, path);
	return 0;
}

static int set_sysctl(int proc_dfd, const struct sysctl_item *item, struct error *e)
{
	char below_sys[SYSCTL_NAME_MAX + 1];
	cleanup_free char *path = NULL;
	int r;

	sysctl_path(item->name, below_sys);
	path = str_fmt("sys/%s", below_sys);
	r = write_checked(proc_dfd, path, item->value, e);
	return r < 0 ? err_ctx(e, "sysctl \"%s\"", item->name) : 0;
}

/* Not dumpable, our own files in /proc belong to the host's root, whom a user namespace does not know: the
 * flag is lifted for the one write. Nobody else is in our new pid namespace then (checked by the caller). */
static int set_time_offsets(const struct init_container *c, struct error *e)
{
	const struct oci_linux *l = &c->create->spec->linux;
	char self[24] = "", path[64];
	cleanup_close int ns = -1;
	int r = 0;

	if (readlinkat(c->p.proc_dfd, "self", self, sizeof(self) - 1) < 0)
		return err_sys(e, "find ourselves in /proc");
	snprintf(path, sizeof(path), "%s/timens_offsets", self);
	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(e, "make a time namespace");
	if (c->p.in_user_ns)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	for (size_t i = 0; i < l->time_offsets.n && r >= 0; i++) {
		const struct oci_time_offset *t = &l->time_offsets.v[i];
		cleanup_free char *line = str_fmt("%s %lld %u\n", t->clock, (long long)t->secs, t->nanosecs);

		r = write_checked(c->p.proc_dfd, path, line, e);
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (r < 0)
		return r;
	ns = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWTIME) < 0)
		return err_sys(e, "enter the time namespace");
	return 0;
}

static int stage_namespaces(struct init_container *c, struct error *e)
{
	const struct oci_spec *s = c->create->spec;
	int r;

	/* Only now, as a member of the container's cgroup: it becomes the namespace's root. */
	if (c->plan->makes[OCI_NS_CGROUP] && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, "make a cgroup namespace");
	if (c->plan->late_ipc && unshare(CLONE_NEWIPC) < 0)
		return err_sys(e, "make an ipc namespace");
	/* Without a name: one that somebody else has made under the same name, and opened to others, would be joined. */
	if (c->create->new_keyring && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 &&
	    errno != ENOSYS && errno != EDQUOT && errno != EPERM)
		return err_sys(e, "make a session keyring");
	r = set_names(s, e);
	if (r >= 0 && c->brings_lo_up)
		r = netlink_link_up("lo", e);
	if (r >= 0 && c->plan->makes[OCI_NS_TIME])
		r = set_time_offsets(c, e);
	for (size_t i = 0; i < c->plan->sysctl_count && r >= 0; i++)
		r = set_sysctl(c->p.proc_dfd, &c->plan->sysctls[i], e);
	return r;
}

/* ---- stage 2: the root ---------------------------------------------------------------------------- */

static int create_hooks(struct init_container *c, struct error *e)
{
	/* "For hooks executed in the container namespace, it is the pid as seen by the container" (runtime.md). */
	struct hook_state state = {
		.id = c->create->id,
		.status = "creating",
		.bundle = c->bundle,
		.pid = getpid(),
		.keeps_cwd = true,
	};

	/* As with runc: such hooks change what is in there, and may say ./lib. */
	if (c->create->spec->hooks[OCI_HOOK_CREATE_CONTAINER].n && fchdir(c->root_tree) < 0)
		return err_sys(e, "enter the root file system for its hooks");
	return hooks_run(c->create->spec, OCI_HOOK_CREATE_CONTAINER, &state, e);
}

/* The program is the container's, maybe the image's: it gets what the container's process gets, and no more. */
static int start_hooks(struct init_container *c, const struct program *program, struct error *e)
{
	struct hook_state state = {
		.id = c->create->id,
		.status = "created",
		.bundle = c->bundle,
		.pid = getpid(),
		.env = program->env,
		.keeps_cwd = true,
	};

	return hooks_run(c->create->spec, OCI_HOOK_START_CONTAINER, &state, e);
}

/* With hooks that look for the root file system where the bundle has it, everything is put together there first, and
 * becomes the root afterwards. Paths of the image are resolved inside the root in either case. */
static int root_with_hooks(struct init_container *c, struct error *e)
{
	int r = pivot_attach(c->root_tree, c->root_path, c->create->spec->linux.rootfs_propagation, e);

	if (r >= 0)
		r = mounts_attach(c->mounts, c->create, c->root_tree, e);
	if (r >= 0) {
		sync_report(c->p.sync_fd, REPORT_PREPARED, -1);
		r = sync_wait_byte(c->p.sync_fd, SYNC_GO, e);
	}
	if (r >= 0)
		r = create_hooks(c, e);
	return r < 0 ? r : pivot_enter(c->root_tree, c->create->no_pivot, e);
}

static int root_alone(struct init_container *c, struct error *e)
{
	int r = pivot_attach(c->root_tree, NULL, c->create->spec->linux.rootfs_propagation, e);

	if (r >= 0)
		r = pivot_enter(c->root_tree, c->create->no_pivot, e);
	return r < 0 ? r : mounts_attach(c->mounts, c->create, c->root_tree, e);
}

static int stage_root(struct init_container *c, struct error *e)
{
	return hooks_before_pivot(c->create->spec) ? root_with_hooks(c, e) : root_alone(c, e);
}

/* Behind all that binds something of the root: what is unbindable is so for us too. */
static int set_root_propagation(const struct init_container *c, struct error *e)
{
	unsigned long propagation = c->create->spec->linux.rootfs_propagation;
	const struct mount_change change = { .propagation = propagation & ~(unsigned long)MS_REC };
	int r = propagation ? mount_change(c->root_tree, propagation & MS_REC, &change, e) : 0;

	return r < 0 ? err_ctx(e, "linux.rootfsPropagation") : 0;
}

/* ---- stage 3: the process --------------------------------------------------------------------------- */

static int stage_terminal(struct init_container *c, struct error *e)
{
	struct tty tty = TTY_INIT;
	int r;

	if (!c->p.process->terminal)
		return process_set_stdio(c->p.stdio, c->p.preserve_fds, e);
	r = tty_open(c->root_tree, c->p.process, c->create->bare_newlines, &tty, e);
	if (r >= 0)
		r = tty_bind_console(&tty, c->root_tree, e);
	if (r >= 0)
		r = tty_take(&tty, e);
	if (r < 0)
		return r;
	sync_report(c->p.sync_fd, REPORT_CONSOLE, tty.master_fd);
	close(tty.master_fd);
	return process_set_stdio((int[3]){ tty.slave_fd, tty.slave_fd, tty.slave_fd }, c->p.preserve_fds, e);
}

/* "process ... is REQUIRED when start is called" (OCI config.md): not before. */
static int check_has_process(const struct init_container *c, int gate_fd)
{
	struct error e = ERROR_INIT;

	if (c->p.process->args.n)
		return 0;
	err_new(&e, ERR_STATE, "the spec has no process to run");
	sync_report_error(gate_fd, &e);
	return -(int)e.kind;
}

/* What lies below our own frame of the stack, and free blocks of the heap, are pages that the caller has written to and
 * that are ours alone once it is gone. A container that waits for its start (a pod's, for its image volumes) does not
 * need them. */
static void release_memory(void)
{
	/* The kernel puts these bytes above the first stack. We may be on that of a vchild, below which are others' pages;
	 * below the first one is a gap. */
	const uintptr_t top = getauxval(AT_RANDOM), page = getauxval(AT_PAGESZ);
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(page - 1);

	malloc_trim(0);
	if (here < top && top - here < STACK_MAX)
		madvise((void *)(here - page - STACK_RELEASED), STACK_RELEASED, MADV_DONTNEED);
}

static void end_by_signal(int sig)
{
	_exit(128 + sig);
}

/* The init of a pid namespace gets no signal whose default it has left in place (pid_namespaces(7)). But a container that
 * waits to be started can be ended like one that runs. execve(2) takes it back. */
static void heed_signals(void)
{
	static const int harmless[] = { SIGKILL,  SIGSTOP, SIGCHLD, SIGCONT, SIGURG,
					SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU };
	const struct sigaction action = { .sa_handler = end_by_signal };

	for (int sig = 1; sig < NSIG; sig++) {
		bool ends = true;

		for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
			ends = ends && sig != harmless[i];
		if (ends)
			sigaction(sig, &action, NULL);
	}
}

/* What can be done beforehand is done while the caller is busy with its record.
 * With a listening socket, whoever may connect (its directory is the host root's) is the one who starts. */
static int wait_at_gate(struct init_container *c, struct confine_child *child, int *gate_fd, struct error *e)
{
	int listen_fd = c->create->gate_listen_fd, fd;

	confine_ahead(c->p.confine, child);
	if (listen_fd < 0) {
		do {
			int r = sync_wait_byte(c->p.sync_fd, SYNC_START, e);

			if (r < 0)
				return r;
		} while (check_has_process(c, c->p.sync_fd) < 0);
		return 0;
	}
	heed_signals();
	release_memory();
	/* A caller that dies before it has noted that we exist must not leave us behind. */
	if (sync_wait_byte(c->p.sync_fd, SYNC_GO, e) < 0)
		_exit(127);
	close(c->p.sync_fd);
	*gate_fd = -1;
	for (;;) {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && errno == EINTR)
			continue;
		if (fd < 0)
			return err_sys(e, "wait for the start");
		if (sync_wait_byte(fd, SYNC_START, e) == 0 && check_has_process(c, fd) == 0)
			break;
		close(fd); /* somebody looked in and left */
	}
	*gate_fd = fd;
	return 0;
}

static int run_stages(struct init_container *c, int *gate_fd, struct error *e)
{
	struct confine_child child = CONFINE_CHILD_INIT;
	struct program program;
	int r = process_begin(&c->p, e);

	close(c->peer_fd);
	if (r >= 0 && c->waits_for_go)
		r = sync_wait_byte(c->p.sync_fd, SYNC_GO, e);
	if (r >= 0)
		r = process_become_root(&c->p, e);
	if (r >= 0)
		r = stage_namespaces(c, e);
	if (r >= 0)
		r = confine_open_child(c->p.confine, c->p.proc_dfd, &child, e);
	if (r >= 0)
		r = mounts_fresh(c->mounts, c->create, e);
	if (r >= 0)
		r = stage_root(c, e);
	if (r >= 0)
		r = stage_terminal(c, e);
	if (r >= 0)
		r = mask_paths(c->mounts, c->create->spec, c->root_tree, e);
	if (r >= 0 && c->p.process->cwd)
		r = process_enter_cwd(&c->p, c->root_tree, true, e);
	if (r >= 0)
		r = set_root_propagation(c, e);
	if (r >= 0)
		r = mounts_finish(c->mounts, c->root_tree, e);
	if (r >= 0 && c->p.process->args.n)
		r = process_find_program(c->p.process, c->root_tree, &program, e);
	if (r < 0)
		return r;
	process_close_rest(&c->p, (int[]){ c->p.sync_fd, c->create->gate_listen_fd, child.attr_fd });
	sync_report(c->p.sync_fd, REPORT_READY, -1);
	r = wait_at_gate(c, &child, gate_fd, e);
	if (r >= 0)
		r = process_confine(&c->p, &child, *gate_fd, e);
	if (r >= 0)
		r = start_hooks(c, &program, e);
	return r < 0 ? r : process_exec(&c->p, &program, *gate_fd, e);
}

int init_container_main(void *arg)
{
	struct init_container *c = arg;
	struct error e = ERROR_INIT;
	int gate_fd = c->p.sync_fd;

	umask(022);
	run_stages(c, &gate_fd, &e);
	if (gate_fd >= 0)
		sync_report_error(gate_fd, &e);
	return 127;
}
