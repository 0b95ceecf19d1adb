// SPDX-License-Identifier: Apache-2.0
/* The appliers. Nothing here allocates: it runs between clone and exec.
 *
 * Outside (our own privileges): rlimits, before the ids change, since RLIMIT_NPROC counts per user and raising a
 * hard limit asks CAP_SYS_RESOURCE of the initial user namespace; oom_score_adj, before the process becomes
 * non-dumpable, since its /proc files then belong to root of the initial namespace (proc(5)); scheduler and I/O
 * priority, which ask CAP_SYS_NICE and CAP_SYS_ADMIN there.
 *
 * Inside, in this order:
 *   LSM label        takes effect at the exec; written first, while nothing has been given up
 *   personality, memory policy (no privilege needed, but a profile may forbid the call), umask
 *   seccomp          here only without no_new_privs: then it needs CAP_SYS_ADMIN, which goes next. The profile must
 *                    then allow the calls below
 *   bounding set     needs CAP_SETPCAP; nothing else depends on it, so a child that waits has it done before
 *   groups, gid, uid need CAP_SETGID and CAP_SETUID; PR_SET_KEEPCAPS lets the permitted set survive the uid
 *   capset           the uid change has cleared the effective set
 *   ambient set      is cleared by the uid change, and needs permitted and inheritable to be final
 *   no_new_privs     after everything that it could hinder
 *   seccomp          last, so that the profile need not allow any of the above */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/ioprio.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oci/confine_internal.h"
#include "oci/sync.h"
#include "sys/caps.h"
#include "sys/seccomp.h"

/* ---- outside ------------------------------------------------------------------------------------ */

static const char *const rlimit_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "RLIMIT_CPU",	       [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
	[RLIMIT_DATA] = "RLIMIT_DATA",	       [RLIMIT_STACK] = "RLIMIT_STACK",
	[RLIMIT_CORE] = "RLIMIT_CORE",	       [RLIMIT_RSS] = "RLIMIT_RSS",
	[RLIMIT_NPROC] = "RLIMIT_NPROC",       [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
	[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",   [RLIMIT_AS] = "RLIMIT_AS",
	[RLIMIT_LOCKS] = "RLIMIT_LOCKS",       [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
	[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE", [RLIMIT_NICE] = "RLIMIT_NICE",
	[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",     [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
};

static int set_rlimit(struct confine *c, pid_t pid, const struct oci_rlimit *l, struct error *e)
{
	const char *name = rlimit_names[l->resource];
	struct rlimit want = { .rlim_cur = l->soft, .rlim_max = l->hard }, have;

	if (prlimit(pid, (unsigned int)l->resource, &want, NULL) == 0)
		return 0;
	if (errno != EPERM || prlimit(pid, (unsigned int)l->resource, NULL, &have) < 0)
		return err_sys(e, "set %s to %llu, hard %llu", name, (unsigned long long)l->soft,
			       (unsigned long long)l->hard);
	want.rlim_max = want.rlim_max < have.rlim_max ? want.rlim_max : have.rlim_max;
	want.rlim_cur = want.rlim_cur < want.rlim_max ? want.rlim_cur : want.rlim_max;
	if (prlimit(pid, (unsigned int)l->resource, &want, NULL) < 0)
		return err_sys(e, "set %s to %llu, hard %llu", name, (unsigned long long)want.rlim_cur,
			       (unsigned long long)want.rlim_max);
	confine_warn(c, "%s: hard limit %llu clamped to %llu: raising it needs CAP_SYS_RESOURCE", name,
		     (unsigned long long)l->hard, (unsigned long long)want.rlim_max);
	return 0;
}

static int open_proc(int proc_dfd, pid_t pid, const char *file, int flags)
{
	char path[96], who[16] = "self";

	if (pid)
		snprintf(who, sizeof(who), "%d", (int)pid);
	snprintf(path, sizeof(path), "%s%s/%s", proc_dfd < 0 ? "/proc/" : "", who, file);
	return openat(proc_dfd < 0 ? AT_FDCWD : proc_dfd, path, flags | O_CLOEXEC);
}

static int set_oom_score(struct confine *c, pid_t pid, int proc_dfd, struct error *e)
{
	int want = c->oom_score_adj.v, fd, n;
	char text[16];
	ssize_t done;

	if (!c->oom_score_adj.is_set)
		return 0;
	fd = open_proc(proc_dfd, pid, "oom_score_adj", O_RDWR);
	if (fd < 0)
		return err_sys(e, "open oom_score_adj");
	n = snprintf(text, sizeof(text), "%d", want);
	done = write(fd, text, (size_t)n);
	if (done < 0 && errno == EACCES && c->restrict_oom_score) {
		char have[16] = "";

		done = pread(fd, have, sizeof(have) - 1, 0);
		have[strcspn(have, "\n")] = 0;
		confine_warn(c, "oom_score_adj: left at %s: %d is lower and needs CAP_SYS_RESOURCE", have,
			     want);
	}
	if (done < 0 && errno == EACCES) {
		err_sysk(e, ERR_DENIED, EACCES, "set oom_score_adj to %d", want);
		err_hint(e, "lowering it needs CAP_SYS_RESOURCE; restrict_oom_score_adj makes hull leave it");
	} else if (done < 0) {
		err_sys(e, "set oom_score_adj to %d", want);
	}
	close(fd);
	return done < 0 ? -(int)(e ? e->kind : ERR_SYS) : 0;
}

static const char *scheduler_hint(uint32_t policy, int sys)
{
	if (policy == SCHED_DEADLINE && sys == EINVAL)
		return "1024 ns <= runtime <= deadline <= period is needed";
	if (policy == SCHED_DEADLINE && sys == EPERM)
		return "it needs CAP_SYS_NICE and all CPUs: linux.resources.cpu.cpus may leave none out";
	if (policy == SCHED_DEADLINE && sys == EBUSY)
		return "the CPUs have not that much time to promise";
	if ((policy == SCHED_FIFO || policy == SCHED_RR) && sys == EPERM)
		return "it needs CAP_SYS_NICE and, where the kernel has real-time groups, "
		       "linux.resources.cpu.realtimeRuntime";
	return NULL;
}

static int set_scheduler(const struct confine_sched *s, pid_t pid, struct error *e)
{
	const char *hint;

	if (syscall(SYS_sched_setattr, pid, s, 0) == 0)
		return 0;
	hint = scheduler_hint(s->policy, errno);
	err_sys(e, "set the scheduler to policy %u", s->policy);
	return hint ? err_hint(e, "%s", hint) : -ERR_SYS;
}

static int set_priorities(const struct confine *c, pid_t pid, struct error *e)
{
	if (c->has_ioprio && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, c->ioprio) < 0)
		return err_sys(e, "set the I/O priority to class %d, priority %d",
			       IOPRIO_PRIO_CLASS(c->ioprio), (int)IOPRIO_PRIO_DATA(c->ioprio));
	return c->has_scheduler ? set_scheduler(&c->scheduler, pid, e) : 0;
}

int confine_outside(struct confine *c, pid_t pid, int proc_dfd, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < c->rlimit_count && r == 0; i++)
		r = set_rlimit(c, pid, &c->rlimits[i], e);
	if (c->by_itself)
		return r;
	if (r == 0)
		r = set_oom_score(c, pid, proc_dfd, e);
	return r < 0 ? r : set_priorities(c, pid, e);
}

/* ---- inside ------------------------------------------------------------------------------------- */

int confine_open_child(const struct confine *c, int proc_dfd, struct confine_child *child, struct error *e)
{
	int fd;

	if (c->lsm == CONFINE_NO_LSM)
		return 0;
	/* AppArmor has a directory of its own since Linux 5.8, for when several modules are stacked. */
	fd = c->lsm == CONFINE_APPARMOR ? open_proc(proc_dfd, 0, "attr/apparmor/exec", O_WRONLY) : -1;
	if (fd < 0)
		fd = open_proc(proc_dfd, 0, "attr/exec", O_WRONLY);
	if (fd < 0)
		return err_sys(e, "open /proc/self/attr/exec");
	child->attr_fd = fd;
	return 0;
}

static int set_label(const struct confine *c, struct confine_child *child, struct error *e)
{
	size_t n;

	if (c->lsm == CONFINE_NO_LSM)
		return 0;
	n = strlen(c->lsm_text);
	if (write(child->attr_fd, c->lsm_text, n) != (ssize_t)n)
		return err_sys(e, "set the %s label \"%s\"",
			       c->lsm == CONFINE_APPARMOR ? "AppArmor" : "SELinux", c->lsm_text);
	close(child->attr_fd);
	child->attr_fd = -1;
	return 0;
}

static int set_ids(const struct confine *c, struct error *e)
{
	/* Not glibc's functions: they would ask other threads, of which a fresh clone knows nothing true. */
	if (!c->skip_setgroups && syscall(SYS_setgroups, c->group_count, c->groups) < 0 &&
	    /* Denied in this user namespace: then we keep what we came with, and nothing else was asked for. */
	    (c->group_count || errno != EPERM)) {
		int sys = errno;

		err_sys(e, "set %zu additional groups", c->group_count);
		return err_hint(
			e, sys == EPERM
				   ? "the container's user namespace forbids setgroups(2), as one does whose "
				     "gids were mapped without privilege"
				   : "is each mapped in the container's user namespace?");
	}
	if (syscall(SYS_setresgid, c->gid, c->gid, c->gid) < 0) {
		err_sys(e, "set gid %u", c->gid);
		return err_hint(e, "is it mapped in the container's user namespace?");
	}
	if (syscall(SYS_setresuid, c->uid, c->uid, c->uid) < 0) {
		err_sys(e, "set uid %u", c->uid);
		return err_hint(e, "is it mapped in the container's user namespace?");
	}
	return 0;
}

void confine_ahead(const struct confine *c, struct confine_child *child)
{
	child->is_bounded = caps_drop_bounding(c->caps[OCI_CAP_BOUNDING], NULL) >= 0;
}

static int set_ids_and_caps(const struct confine *c, const struct confine_child *child, struct error *e)
{
	int r = child->is_bounded ? 0 : caps_drop_bounding(c->caps[OCI_CAP_BOUNDING], e);

	if (r < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(e, "keep the capabilities while the uid changes");
	r = set_ids(c, e);
	if (r < 0)
		return r;
	/* fs.suid_dumpable has made it what it says, for others of the container's user to look into, and what we hold is
	 * not all theirs before the exec. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return err_sys(e, "no longer keep the capabilities");
	r = caps_set(c->caps[OCI_CAP_EFFECTIVE], c->caps[OCI_CAP_PERMITTED], c->caps[OCI_CAP_INHERITABLE], e);
	return r < 0 ? r : caps_set_ambient(c->caps[OCI_CAP_AMBIENT], e);
}

/* Whoever has the other end of report_fd passes the listener on and then says so: the program must not run before
 * there is somebody to answer for it. */
static int give_listener(const struct confine_child *child, int listener_fd, struct error *e)
{
	sync_report(child->report_fd, REPORT_LISTENER, listener_fd);
	close(listener_fd);
	if (sync_wait_byte(child->report_fd, SYNC_GO, e) < 0)
		return err_ctx(e, "hand over the seccomp listener");
	return 0;
}

static int set_seccomp(const struct confine *c, const struct confine_child *child, struct error *e)
{
	int r;

	if (!c->seccomp.len)
		return 0;
	r = seccomp_install((const struct sock_filter *)(const void *)c->seccomp.data,
			    c->seccomp.len / sizeof(struct sock_filter), c->seccomp_flags, e);
	if (r < 0 || !(c->seccomp_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return r;
	return give_listener(child, r, e);
}

int confine_inside(const struct confine *c, struct confine_child *child, struct error *e)
{
	int r = c->by_itself ? set_priorities(c, 0, e) : 0;

	if (r == 0)
		r = set_label(c, child, e);
	if (r < 0)
		return r;
	if (c->personality_is_set && personality(c->personality) < 0)
		return err_sys(e, "set the personality to %#lx", c->personality);
	if (c->memory_policy && mempolicy_set(c->memory_policy, e) < 0)
		return err_ctx(e, "linux.memoryPolicy");
	umask(c->umask);
	if (!c->no_new_privs) {
		r = set_seccomp(c, child, e);
		if (r < 0)
			return r;
	}
	r = set_ids_and_caps(c, child, e);
	if (r < 0)
		return r;
	/* Behind the last change of credentials, which clears it. A profile that forbids it has its way. */
	if (c->die_with_parent)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!c->no_new_privs)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "set no_new_privs");
	return set_seccomp(c, child, e);
}
