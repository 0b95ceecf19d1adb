/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups behind one interface: v2, v1, and the hybrid layout (v1 controllers, and a v2
 * hierarchy without useful ones, which still gives CLONE_INTO_CGROUP, cgroup.kill and pressure).
 *
 * A cgroup is named by an absolute path that is the same in each hierarchy, "/kubepods/pod1/hull-2".
 * With the systemd driver a path may also be "slice:prefix:name" (cgroup/systemd.h): for making a cgroup, whose
 * cgroup_path() is then the one to remember.
 *
 * A struct cgroup holds one directory fd a hierarchy and everything is done through these, so a path
 * that is removed and made again by somebody else is never mistaken for ours. The library keeps no
 * thread and no global state; a handle is used by one thread at a time, a host by any number.
 *
 * "State before effect" is the caller's: it journals the path before cgroup_create() and forgets it
 * after cgroup_remove(), which accepts what was never made.
 *
 * Kinds of failure common to all: INVALID (the caller's value), UNSUPPORTED (no such controller or
 * file on this host), STATE (a process where none may be, or none), DENIED (EACCES, EPERM, EROFS: a
 * hierarchy that is not delegated to us; the caller decides whether it can do without), SYS. */
#ifndef HULL_CGROUP_CGROUP_H
#define HULL_CGROUP_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

enum cgroup_mode { CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };
enum cgroup_driver { CGROUP_DRIVER_CGROUPFS, CGROUP_DRIVER_SYSTEMD };

/* By their v1 names; in v2 blkio is "io", cpuacct is part of cpu, and freezer and devices are not
 * controllers but always there. */
enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_FREEZER,
	CGROUP_DEVICES,
	CGROUP_BLKIO,
	CGROUP_HUGETLB,
	CGROUP_RDMA,
	CGROUP_MISC,
	CGROUP_DMEM,	 /* v2 only (Linux 6.14) */
	CGROUP_NET_CLS,	 /* v1 only */
	CGROUP_NET_PRIO, /* v1 only */
	CGROUP_CONTROLLER_COUNT
};

/* One hierarchy a mount; on v1 at most each controller, a few named ones, and v2 beside them. */
#define CGROUP_HIER_MAX 14
#define CGROUP_PATH_MAX 1024

/* ---- the host ---------------------------------------------------------------------------------- */

struct cgroup_host;

/* Find the mounted hierarchies (/proc/self/mountinfo), once.
 * Fails: UNSUPPORTED  nothing is mounted, or the systemd driver where systemd is not running; SYS */
int cgroup_host_open(enum cgroup_driver driver, struct cgroup_host **ret_host, struct error *e) MUST_USE;
/* The same with nothing but what cgroup_is_frozen() looks at, for those who ask no more: the hierarchies of v1 are many.
 */
int cgroup_host_open_freezer(enum cgroup_driver driver, struct cgroup_host **ret_host,
			     struct error *e) MUST_USE;
void cgroup_host_free(struct cgroup_host *host);
DEFINE_CLEANUP(struct cgroup_host, cgroup_host_free)

/* Access. A process that has no full access to cgroups (a user, or root of a child user namespace: "rootless" in one of
 * its two meanings) may still run containers that ask for no limits. After this call, of this host:
 * - cgroup_create() and cgroup_ensure() leave a hierarchy out that they may not write (DENIED, or read-only), or in
 *   which a process of ours may not be moved to the new cgroup. They fail (DENIED, with the reason and the remedy) only
 *   if the resources have a limit for a controller there. Where nothing at all could be made, they return 0 with a NULL
 *   cgroup: the container stays in its caller's cgroups.
 * - Device rules are applied where they can be, and are no limits in this sense: in a user namespace nobody makes
 *   device nodes.
 * Everything else fails as always. The caller decides when this is so. */
void cgroup_host_may_lack_access(struct cgroup_host *host);

enum cgroup_mode cgroup_host_mode(const struct cgroup_host *host);
enum cgroup_driver cgroup_host_driver(const struct cgroup_host *host);
bool cgroup_host_has(const struct cgroup_host *host, enum cgroup_controller c);
/* "v1", "hybrid", "v2"; "cpu", "blkio", ... */
const char *cgroup_mode_name(enum cgroup_mode mode);
const char *cgroup_controller_name(enum cgroup_controller c);
/* For mounting cgroups into a container: the i-th hierarchy's mount point, its v1 mount option ("cpu,cpuacct",
 * "name=systemd") or "" for v2. Returns false behind the last. */
bool cgroup_host_hierarchy(const struct cgroup_host *host, size_t i, const char **ret_mount_point,
			   const char **ret_v1_option);

/* The path of a container's cgroup below a parent as CRI or OCI gives it, in the driver's form:
 * cgroupfs, or a parent that is the path of a scope (cgroup/systemd.h): <parent>/<prefix>-<name>; systemd:
 * <last slice of parent>:<prefix>:<name>. An empty parent is "/hull" (cgroupfs) or "hull.slice" (systemd).
 * Fails: INVALID. */
int cgroup_path_below(const struct cgroup_host *host, const char *parent, const char *prefix,
		      const char *name, char ret_path[CGROUP_PATH_MAX], struct error *e) MUST_USE;
/* The cgroupfs path that a path of either form stands for: "/a.slice/a-b.slice/hull-x.scope". */
int cgroup_path_resolve(const struct cgroup_host *host, const char *path, char ret_path[CGROUP_PATH_MAX],
			struct error *e) MUST_USE;

/* ---- resources --------------------------------------------------------------------------------- */

/* A device rule of the OCI spec (linux.resources.devices). */
struct cgroup_device {
	bool allow;
	char type;	      /* 'a' all, 'b' block, 'c' character */
	char access[4];	      /* of "rwm"; empty means all */
	int64_t major, minor; /* -1: any */
};
struct cgroup_hugepage {
	const char *page_size; /* "2MB", "1GB": as in the name of the file */
	uint64_t limit;	       /* bytes */
};
struct cgroup_unified {
	const char *file, *value; /* "memory.high", "max" */
};
/* OCI blockIO weightDevice and throttle*Device */
enum cgroup_blkio_kind {
	BLKIO_WEIGHT,
	BLKIO_LEAF_WEIGHT,
	BLKIO_READ_BPS,
	BLKIO_WRITE_BPS,
	BLKIO_READ_IOPS,
	BLKIO_WRITE_IOPS
};
struct cgroup_blkio {
	enum cgroup_blkio_kind kind;
	uint32_t major, minor;
	uint64_t value;
};
struct cgroup_rdma {
	const char *device;
	bool has_handles, has_objects;
	uint32_t handles, objects;
};
/* A property of the scope that systemd makes: an annotation of this prefix and a name, "TimeoutStopUSec" (or Sec: a
 * number of seconds), whose value is GVariant's text, "uint64 5000000" (systemd_value.h). */
#define CGROUP_UNIT_ANNOTATION "org.systemd.property."
struct cgroup_unit_property {
	const char *annotation, *value;
};
struct cgroup_net_priority {
	const char *interface;
	uint32_t priority;
};

/* What is asked for; a field without its has_ flag stays as it is. Everything pointed at is the caller's.
 * Values have the meaning of the OCI runtime spec, config-linux.md, whatever the host's version is:
 * shares are converted to a v2 weight, memory+swap to v2 swap. -1 of a limit means none; 0 of a limit of memory, cpu or
 * block I/O is taken as not given, as kubelets and engines send it. */
struct cgroup_resources {
	bool has_memory_limit, has_memory_reservation, has_memory_swap, has_memory_swappiness;
	bool has_oom_kill_disable;
	int64_t memory_limit, memory_reservation; /* bytes */
	int64_t memory_swap;			  /* bytes of memory and swap together */
	uint64_t memory_swappiness;
	bool oom_kill_disable;		 /* v1 only: on v2 true is UNSUPPORTED */
	bool memory_check_before_update; /* refuse a limit that is below the present use */

	bool has_cpu_shares, has_cpu_quota, has_cpu_period, has_cpu_burst, has_cpu_idle;
	bool has_cpu_rt_runtime, has_cpu_rt_period;
	uint64_t cpu_shares;		/* 2..262144 */
	int64_t cpu_quota;		/* us in each period; <= 0: none */
	uint64_t cpu_period, cpu_burst; /* us */
	int64_t cpu_idle;		/* 0 or 1 */
	int64_t cpu_rt_runtime;		/* us in each period; v1 only */
	uint64_t cpu_rt_period;		/* us */

	const char *cpuset_cpus, *cpuset_mems; /* NULL or "": as it is */

	bool has_pids_limit;
	int64_t pids_limit; /* < 0: none; 0 counts as 1: the container's init */

	bool has_blkio_weight, has_blkio_leaf_weight;
	uint16_t blkio_weight; /* 10..1000 */
	uint16_t blkio_leaf_weight;
	const struct cgroup_blkio *blkio;
	size_t blkio_count;

	const struct cgroup_hugepage *hugepages;
	size_t hugepage_count;

	const struct cgroup_rdma *rdma;
	size_t rdma_count;

	bool has_net_class_id;
	uint32_t net_class_id;
	const struct cgroup_net_priority *net_priorities;
	size_t net_priority_count;

	const struct cgroup_unified *unified; /* v2 only; written last, in order */
	size_t unified_count;

	/* Applied in order to "nothing is allowed", later rules win. Nothing is filtered when device_count is 0. */
	const struct cgroup_device *devices;
	size_t device_count;

	/* Of a scope, when it is made; of other cgroups they mean nothing. They count against what we give it. */
	const struct cgroup_unit_property *unit_properties;
	size_t unit_property_count;
};

/* ---- life -------------------------------------------------------------------------------------- */

struct cgroup;

/* Where the cgroup of a container goes when nobody said: "/hull/NAME", and with the systemd driver the scope hull-NAME
 * in the slice that systemd has for that (":hull:NAME"). Without full access (above), beside our own in
 * v2, where what is delegated to a user begins (our own holds us, so a child of it would get no controllers; it is the
 * second choice). The caller frees it. */
char *cgroup_default_path(const struct cgroup_host *host, const char *name) MUST_USE;

/* All below take a cgroup that is in some hierarchies only: the others do not count. */

/* With the systemd driver and a path "slice:prefix:name", systemd makes a scope for it, delegated and with the resources as
 * properties; what it does not make is made as below.
 * Make the cgroup with its missing parents (v2: with the controllers enabled down the path; v1: with the
 * cpuset filled down the path), and apply res (may be NULL). When a step fails, what was made is removed.
 * Fails: EXISTS       the cgroup is there already and holds processes (an empty one is taken over, unless another
 *                     cgroup_create() made it whose handle is open still, in any process)
 *        STATE        it, or a cgroup above it, is frozen
 *        STATE        v2: a parent holds processes, so no controller can be enabled below it
 *        UNSUPPORTED  res needs a controller that is not there
 *        INVALID, DENIED, SYS */
int cgroup_create(const struct cgroup_host *host, const char *path, const struct cgroup_resources *res,
		  struct cgroup **ret_cg, struct error *e) MUST_USE;
/* The same for a pod's parent or another inner cgroup: one that is there, with or without processes, is
 * fine and is opened. */
int cgroup_ensure(const struct cgroup_host *host, const char *path, const struct cgroup_resources *res,
		  struct cgroup **ret_cg, struct error *e) MUST_USE;
/* Fails: NOT_FOUND (in no hierarchy that has limits), INVALID, SYS. Hierarchies where it is missing are
 * left out. */
int cgroup_open(const struct cgroup_host *host, const char *path, struct cgroup **ret_cg,
		struct error *e) MUST_USE;
/* Close; the cgroup stays. */
void cgroup_free(struct cgroup *cg);
DEFINE_CLEANUP(struct cgroup, cgroup_free)

/* The resolved path, owned by cg. */
const char *cgroup_path(const struct cgroup *cg);
/* How many parents were made above the cgroup itself that do not say so themselves: of cgroup_ensure() all, of
 * cgroup_create() those that could not be marked (cgroup_remove()). */
unsigned cgroup_made_parents(const struct cgroup *cg);

/* Before it is made, for a journal: how many parents are missing in the hierarchy that lacks most. For whoever removes
 * what a process left behind that was killed between making a parent and marking it. */
unsigned cgroup_missing_parents(const struct cgroup_host *host, const char *path);

/* Change limits of a living cgroup. The kernel takes one file at a time; when it refuses one (the error names file and
 * value), or makes something else of a number, the old values of those before are written again. */
int cgroup_update(struct cgroup *cg, const struct cgroup_resources *res, struct error *e) MUST_USE;

/* v2: the user may make cgroups in it and move its processes between them; its limits stay out of reach.
 * Fails: UNSUPPORTED (v1), DENIED, SYS */
int cgroup_give_to(const struct cgroup *cg, uid_t uid, struct error *e) MUST_USE;

/* Remove the cgroup and all below it, deepest first, then up to `parents` parents as far as they are empty, and further
 * up those empty ones that bear the mark of cgroup_create(): so the last of several containers takes away what the
 * first one's creation made, and what others made stays.
 * What is gone already counts as removed. EBUSY is retried for two seconds (v1 freezer and dying
 * processes). Processes are not killed here. Fails: STATE (processes remain: names one), DENIED, SYS. */
int cgroup_remove(const struct cgroup_host *host, const char *path, unsigned parents,
		  struct error *e) MUST_USE;

/* ---- entering ---------------------------------------------------------------------------------- */

/* Whether a process of ours may be moved or cloned into it, in v2. Fails: DENIED. */
int cgroup_check_entrance(const struct cgroup *cg, struct error *e) MUST_USE;
/* v2 and hybrid: the fd for clone_args.cgroup with CLONE_INTO_CGROUP; owned by cg. -1 on v1. */
int cgroup_clone_fd(const struct cgroup *cg);

/* v2 and hybrid: from now on cg means, in the v2 hierarchy, the child `name` of what it meant before, which is
 * made without controllers; in v1 hierarchies it stays. So a part of a container's processes (an exec) can be
 * killed as one, at the price of a mkdir. Whoever made it removes it, or cgroup_remove() of the whole does.
 * Fails: UNSUPPORTED (v1), DENIED, SYS. */
int cgroup_narrow(struct cgroup *cg, const char *name, struct error *e) MUST_USE;

/* v2: from now on cg means the cgroup below it that this process is in, which may have been moved by whoever lives in
 * there: a cgroup with controllers for those below it takes no process itself ("no internal processes", cgroups(7)).
 * Returns 1, or 0 when the process is in no other one below. Fails: SYS. */
int cgroup_follow(struct cgroup *cg, pid_t pid, struct error *e) MUST_USE;

/* From now on cg means what is at path below it, in the v1 hierarchy of one controller, or with NULL in all
 * hierarchies. It must be there.
 * Fails: NOT_FOUND, UNSUPPORTED (no such hierarchy), DENIED, SYS. */
int cgroup_descend(struct cgroup *cg, const char *controller, const char *path, struct error *e) MUST_USE;

/* v1 and hybrid: open files into each of which a single-threaded child writes "0" to move itself
 * (cgroup_enter()); on v2 none (*ret_count is 0: the clone fd does it all). The caller closes them.
 * A `tasks` write by the task itself takes no thread-group lock and so costs no RCU grace period
 * (1 ms for nine hierarchies against 5 to 12).
 * Permission was checked when the file was opened (the kernel keeps the opener's credentials,
 * CVE-2021-4197): the child may have entered a user namespace or dropped everything since. */
int cgroup_enter_fds(struct cgroup *cg, int ret_fds[CGROUP_HIER_MAX], size_t *ret_count,
		     struct error *e) MUST_USE;
/* In the child; async-signal-safe. Returns 0 or -1 with errno. */
int cgroup_enter(const int fds[], size_t count);
/* Call when a process is in a new cgroup: until then that of a scope of systemd holds a process of ours. */
void cgroup_settle(struct cgroup *cg);
/* Move another process, with all its threads, into every hierarchy (cgroup.procs: slow). */
int cgroup_attach(struct cgroup *cg, pid_t pid, struct error *e) MUST_USE;

/* ---- processes --------------------------------------------------------------------------------- */

/* SIGKILL everything in the cgroup and below it, frozen or not. With timeout_ms > 0 wait (poll) until it
 * is empty; with 0 return after one round, which is complete on v2 and hybrid (cgroup.kill).
 * Fails: TIMEOUT (names a process that remains). */
int cgroup_kill(struct cgroup *cg, int timeout_ms, struct error *e) MUST_USE;
/* Send sig to every process in it and below; the cgroup is frozen meanwhile where that is needed so
 * that no pid is reused under our hands. */
int cgroup_signal(struct cgroup *cg, int sig, struct error *e) MUST_USE;
/* Waits until all are frozen; thaws again when the time is over. Fails: TIMEOUT, UNSUPPORTED. */
int cgroup_freeze(struct cgroup *cg, int timeout_ms, struct error *e) MUST_USE;
int cgroup_thaw(struct cgroup *cg, struct error *e) MUST_USE;
bool cgroup_is_frozen(const struct cgroup *cg);
/* For those who ask often and ask no more: the files that cgroup_is_frozen() reads, as paths. Whoever keeps them need not
 * look for the hierarchies each time. */
void cgroup_freezer_files(const struct cgroup *cg, struct strv *ret);
/* 1: frozen; 0: not; -1: a file is not there, or not of a cgroup (others are mounted here): then only
 * cgroup_is_frozen() knows. */
int cgroup_is_frozen_at(const struct strv *files);
/* No process in it nor below. A cgroup that was removed is empty. */
int cgroup_is_empty(const struct cgroup *cg, bool *ret_empty, struct error *e) MUST_USE;
/* Processes in it and below; *ret_pids is the caller's to free, NULL when there are none. */
int cgroup_procs(const struct cgroup *cg, pid_t **ret_pids, size_t *ret_count, struct error *e) MUST_USE;

/* ---- observation ------------------------------------------------------------------------------- */

/* Read through fds held since the cgroup was opened, so it works after the last process was reaped, in any
 * order with its removal up to rmdir. */
struct cgroup_oom {
	uint64_t kills;	      /* processes of the cgroup (v2: and below) that the OOM killer ended */
	uint64_t kills_local; /* not counting cgroups below */
	uint64_t limit_hits;  /* v2: how often its own limit was what was hit; kills without one mean that
				 * a parent's limit, or the node's memory, was. v1: perhaps only 1 for
				 * any number of hits */
};
int cgroup_oom(const struct cgroup *cg, struct cgroup_oom *ret, struct error *e) MUST_USE;
/* memory.events (v2) or memory.oom_control (v1), owned by cg, or -1 without a memory controller. On v2
 * poll(2) reports POLLPRI when it changed. */
int cgroup_oom_fd(const struct cgroup *cg);
/* The count in such an fd, whichever version it is of. */
int cgroup_oom_kills(int oom_fd, uint64_t *ret_kills, struct error *e) MUST_USE;

/* To be told of the OOM killer while it happens. */
struct cgroup_oom_watch {
	int fd;		 /* to be polled ... */
	short events;	 /* ... for these */
	int control_dfd; /* v1; else -1 */
	uint64_t kills;	 /* v2: as last taken */
};
#define CGROUP_OOM_WATCH_INIT ((struct cgroup_oom_watch){ .fd = -1, .control_dfd = -1 })
void cgroup_oom_watch_done(struct cgroup_oom_watch *w);
DEFINE_CLEANUP_VALUE(struct cgroup_oom_watch, cgroup_oom_watch_done)
/* Fails: UNSUPPORTED (no memory controller), DENIED, SYS */
int cgroup_oom_watch_open(const struct cgroup *cg, struct cgroup_oom_watch *ret, struct error *e) MUST_USE;
/* Was there an OOM kill since the last call? Never waits. */
bool cgroup_oom_watch_take(struct cgroup_oom_watch *w);

/* A control file as it is, for who shows what the kernel says: of the hierarchy where controller c is
 * (CGROUP_CONTROLLER_COUNT: of v2). As cgroupfs_read(). */
ssize_t cgroup_read_file(const struct cgroup *cg, enum cgroup_controller c, const char *file, char *text,
			 size_t size);
/* Has c the files of v2 here? */
bool cgroup_has_v2_files(const struct cgroup *cg, enum cgroup_controller c);

#define CGROUP_NO_LIMIT UINT64_MAX

struct cgroup_psi_line {
	uint64_t total_ns;
	double avg10, avg60, avg300;
};
struct cgroup_psi {
	bool is_known;
	struct cgroup_psi_line some, full;
};
struct cgroup_stats {
	int64_t time_ns; /* CLOCK_REALTIME of the reading */

	bool has_cpu, has_memory, has_swap, has_pids, has_io;

	uint64_t cpu_usage_ns, cpu_user_ns, cpu_system_ns;
	uint64_t cpu_periods, cpu_throttled, cpu_throttled_ns;

	uint64_t memory_usage, memory_peak, memory_working_set, memory_rss, memory_cache;
	uint64_t memory_faults, memory_major_faults;
	uint64_t memory_limit; /* CGROUP_NO_LIMIT: none of its own */

	uint64_t swap_usage, swap_limit; /* swap alone, on v1 too */

	uint64_t pids, pids_limit;

	uint64_t io_read_bytes, io_write_bytes, io_reads, io_writes;

	struct cgroup_psi cpu_psi, memory_psi, io_psi;

	struct cgroup_oom oom;
};
/* Reads what there is; a part whose controller is missing has its has_ flag false. */
int cgroup_stats(const struct cgroup *cg, struct cgroup_stats *ret, struct error *e) MUST_USE;

#endif
