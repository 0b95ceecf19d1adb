/* SPDX-License-Identifier: Apache-2.0 */
/* The client of hull-pod, the monitor of one pod. Linked by hulld. Blocking and thread-safe: each call
 * makes a connection of its own, so any number of threads may talk to one monitor at the same time.
 *
 * Every function takes a monitor_call: which pod, how long, and what gives up. Besides the errors
 * named at each function all of them fail with
 *	UNAVAILABLE  nobody listens: hull-pod has ended (see monitor_read_status_file())
 *	TIMEOUT      deadline_ns passed (the connection is closed, which cancels what can be canceled)
 *	CANCELED     cancel_fd became readable
 *	UNSUPPORTED  this hull-pod does not know the operation (it is older than we are)
 *	CORRUPT      the answer is not one of the protocol (src/pod/protocol.h)
 * or with the error that hull-pod itself found, its kind kept.
 *
 * Every fd passed to a function stays the caller's; hull-pod gets a duplicate. */
#ifndef HULL_POD_CLIENT_H
#define HULL_POD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/proc.h"

struct idmap;
struct sysctl_item;
struct oci_rootfs;

#define MONITOR_ID_MAX 64 /* characters of a pod or container id: a path name of [0-9a-zA-Z_.-] */

struct monitor_call {
	int pod_dfd;	     /* the pod's directory, pods/ID; monitor.sock is in it */
	int64_t deadline_ns; /* as deadline_in_ms() gives it; 0: none */
	int cancel_fd;	     /* readable: give up; -1: none */
};

/* --- life of the monitor -------------------------------------------------------------------------- */

struct monitor_spawn_opts {
	const char *helper; /* absolute path of hull-pod */
	int pod_dfd;
	const char *id;	       /* of the pod; for the process name and the log */
	const char *log_level; /* "error", "warn", "info", "debug"; NULL: "info" */
	int log_fd;	       /* where hull-pod's own log goes; -1: our stderr */
	bool log_json;
};

/* Bind pods/ID/monitor.sock (a stale one is replaced) and start hull-pod with it. Calls may follow at
 * once: they queue in the socket. hull-pod is our child, in a session of its own, and survives us. The
 * caller reaps it with proc_wait() after it has ended.
 * Fails: NOT_FOUND (no such helper), SYS. */
int monitor_spawn(const struct monitor_spawn_opts *o, struct proc *ret_proc, struct error *e) MUST_USE;

/* Is somebody listening on monitor.sock? Makes one connection. */
bool monitor_is_alive(int pod_dfd);

/* A pidfd of the hull-pod that listens there, whoever started it (SO_PEERPIDFD of the connection, or
 * SO_PEERCRED and a check). Readable when it has ended. Fails: UNAVAILABLE, SYS. */
int monitor_pidfd(int pod_dfd, int *ret_pid_fd, struct error *e) MUST_USE;

/* --- the sandbox ---------------------------------------------------------------------------------- */

struct monitor_sandbox {
	const char *id;
	bool new_user, new_net, new_ipc, new_uts; /* false: the node's */
	bool shared_pid;		 /* one pid namespace for the pod, with our built-in init as PID 1 */
	const struct idmap *uids, *gids; /* with new_user */
	const char *hostname;		 /* with new_uts; NULL or "": not set */
	const struct sysctl_item *sysctls; /* checked by the caller (sysctl_check()) */
	size_t sysctl_count;
	const char *netns_pin_path;    /* with new_net: absolute, its directory is prepared; must not exist */
	uint64_t shm_bytes;	       /* size of the pod's own /dev/shm; 0: none is made */
	int oom_score_adj;	       /* of the built-in init; clamped to what is permitted */
	const char *cgroup_parent;     /* for attribution of an OOM; NULL: unknown */
	bool systemd_cgroup;	       /* driver of all cgroup paths of this pod */
	bool restrict_oom_score;       /* clamp the containers' scores to our own (struct confine_opts) */
	const char *seccomp_cache_dir; /* keeps compiled filters, for all pods; 0700; NULL: none */
};

/* Make the pod's namespaces, pin the network namespace, make /dev/shm and the init. All or nothing:
 * when a step fails, everything made before is undone in reverse order and the error names the step.
 * ret_init_pid: pid of the built-in init, 0 without shared_pid; may be NULL.
 * Fails: EXISTS (this monitor has a sandbox already, or the pin exists), INVALID, SYS, ... */
int monitor_create_sandbox(const struct monitor_call *c, const struct monitor_sandbox *s, pid_t *ret_init_pid,
			   struct error *e) MUST_USE;

/* Kill everything in the pod (SIGKILL), undo the sandbox (init, shm, namespaces; the pin too), write the
 * final status record, answer, and exit 0. Idempotent: UNAVAILABLE when hull-pod is gone already. */
int monitor_stop_sandbox(const struct monitor_call *c, struct error *e) MUST_USE;

/* --- containers ----------------------------------------------------------------------------------- */

/* CRI's NamespaceMode for the pid namespace. user, net, ipc and uts are always the pod's. */
enum monitor_pid_mode {
	MONITOR_PID_POD = 0,	   /* the pod's shared one (the sandbox was made with shared_pid) */
	MONITOR_PID_CONTAINER = 1, /* a new one of its own */
	MONITOR_PID_NODE = 2,
	MONITOR_PID_TARGET = 3, /* the one of container pid_target: debugging, or a pause container */
};

struct monitor_container {
	const char *id;
	int bundle_dfd; /* directory that holds config.json */
	/* Paths are absolute; dfd and mapping_fd are not sent: the pod's own user namespace maps the layers.
	 * NULL: root.path of the spec, in the bundle. */
	const struct oci_rootfs *rootfs;
	bool rootfs_is_chowned; /* its files belong to the pod's ids already (a remapped copy, where the file
				 * system cannot be idmapped): the layers are taken as they are */
	int log_fd;		/* CRI log, opened O_WRONLY|O_APPEND|O_CREAT; -1: output is thrown away */
	bool tty;		/* as process.terminal of the spec: one stream, "stdout" */
	bool has_stdin, stdin_once; /* stdin is a pipe held by hull-pod; otherwise /dev/null */
	enum monitor_pid_mode pid_mode;
	const char *pid_target;	 /* id of a running container of this pod, with MONITOR_PID_TARGET */
	const char *cgroup_path; /* cgroupfs path or slice:prefix:name; NULL: linux.cgroupsPath of the spec */
	bool node_shm;		 /* leave /dev/shm as the spec has it; otherwise, where the pod has an own
				  * /dev/shm, the spec's mount at /dev/shm gets that */
};

/* Build the container up to the gate before its exec. State CREATED afterwards. If the connection goes
 * away in the middle, the container is undone.
 * Fails: EXISTS (id), NOT_FOUND (pid_target), STATE (no sandbox; sandbox stopping), and what oci_create()
 * fails with. ret_pid may be NULL. */
int monitor_create_container(const struct monitor_call *c, const struct monitor_container *m, pid_t *ret_pid,
			     struct error *e) MUST_USE;

enum monitor_state {
	MONITOR_CREATING = 0, /* not seen by clients but in STATUS of a request that is under way */
	MONITOR_CREATED = 1,
	MONITOR_RUNNING = 2,
	MONITOR_EXITED = 3,
};

#define MONITOR_MESSAGE_SIZE 256
#define MONITOR_TAIL_SIZE 512
struct monitor_container_status {
	char id[MONITOR_ID_MAX + 1];
	enum monitor_state state;
	pid_t pid;				     /* 0 when EXITED */
	int64_t created_at, started_at, finished_at; /* wall clock, ns; 0: not yet */
	int exit_code;				     /* 0..255; 128 + signal when one ended it */
	int signal;				     /* 0: none */
	bool oom_killed;    /* the kernel's OOM killer ended the container: the init itself died by
			     * SIGKILL or said 137, and its cgroup counts an OOM kill */
	uint64_t oom_kills; /* processes of the container that the OOM killer took, execs too */
	uint64_t log_lost;  /* log records that could not be written (ENOSPC, ...) */
	char message[MONITOR_MESSAGE_SIZE]; /* why: OOM attribution, or why the start failed */
	char tail[MONITOR_TAIL_SIZE]; /* last bytes of its output, NUL-terminated; may start mid-character */
};

/* Open the gate. Returns when the program runs, or with why its execve failed (the container is then
 * EXITED with exit code 128 as containerd does, and its message says the same).
 * Fails: NOT_FOUND, STATE (not CREATED), and what oci_start() fails with. */
int monitor_start(const struct monitor_call *c, const char *id, struct error *e) MUST_USE;

/* Send sig to the container's init; after timeout_ms (0: at once; negative: never) SIGKILL to everything
 * in it. Returns when it has ended and is reaped, with its final status. Idempotent: an EXITED one
 * answers at once. ret may be NULL. A second stop with a shorter time shortens the first's.
 * Fails: NOT_FOUND. */
int monitor_stop(const struct monitor_call *c, const char *id, int sig, int64_t timeout_ms,
		 struct monitor_container_status *ret, struct error *e) MUST_USE;

/* Send one signal to the container's init. Fails: NOT_FOUND, STATE (it has ended). */
int monitor_kill(const struct monitor_call *c, const char *id, int sig, struct error *e) MUST_USE;

/* Kill it if it lives, remove its cgroup, forget it. The log fd is closed. Fails: NOT_FOUND, and what
 * cgroup_remove() fails with (the container stays known, so that this can be tried again). */
int monitor_delete(const struct monitor_call *c, const char *id, struct error *e) MUST_USE;

/* Continue in another log file; every record is in exactly one of the two. Also for an EXITED container
 * (nothing happens). Fails: NOT_FOUND. */
int monitor_reopen_log(const struct monitor_call *c, const char *id, int log_fd, struct error *e) MUST_USE;

/* --- exec ----------------------------------------------------------------------------------------- */

struct monitor_exec {
	const char *id; /* container */
	int process_fd; /* process JSON of the OCI spec: a memfd or file, read from its start */
	int stdio[3];	/* -1: /dev/null. With tty all three are the new terminal's */
	bool tty;
	int64_t timeout_ms; /* 0: none */
	/* With tty: called once when the program runs; owns console_fd (the terminal's master). */
	void (*started)(void *arg, pid_t pid, int console_fd);
	void *arg;
};

/* Run a program in a running container until it ends; processes that it leaves behind do not matter.
 * A program that could not be started is an error (NOT_FOUND: no such file; DENIED: not executable).
 * timeout_ms kills the whole exec and returns TIMEOUT; so does giving up (CANCELED).
 * Fails: NOT_FOUND (container), STATE (it does not run), TIMEOUT, and what oci_exec() fails with. */
int monitor_exec(const struct monitor_call *c, const struct monitor_exec *x, int *ret_exit_code,
		 struct error *e) MUST_USE;

/* --- status --------------------------------------------------------------------------------------- */

enum monitor_pod_state {
	MONITOR_POD_EMPTY = 0, /* hull-pod runs, there is no sandbox (yet) */
	MONITOR_POD_READY = 1,
	MONITOR_POD_NOTREADY = 2, /* its built-in init died */
	MONITOR_POD_STOPPED = 3,  /* final record, hull-pod has ended */
};

struct monitor_status {
	char id[MONITOR_ID_MAX + 1];
	enum monitor_pod_state state;
	pid_t monitor_pid, init_pid; /* init_pid 0: no built-in init */
	int64_t created_at, finished_at;
	char netns_path[256];				   /* "" without */
	bool has_user, has_net, has_ipc, has_uts, has_shm; /* which namespaces are the pod's own */
	char exec_kill[16]; /* how a whole exec is killed here: "cgroup" or "tree" (best effort) */
	struct monitor_container_status *containers;
	size_t count;
};
void monitor_status_done(struct monitor_status *s);
DEFINE_CLEANUP_VALUE(struct monitor_status, monitor_status_done)
#define cleanup_monitor_status CLEANUP(monitor_status_done)
const struct monitor_container_status *monitor_status_find(const struct monitor_status *s, const char *id);

int monitor_status(const struct monitor_call *c, struct monitor_status *ret, struct error *e) MUST_USE;

/* The record that hull-pod writes into its pod's directory at every change. For when it has ended: a
 * container that is not EXITED in it was alive when hull-pod was killed.
 * Fails: NOT_FOUND (never had a sandbox), CORRUPT, SYS. */
int monitor_read_status_file(int pod_dfd, struct monitor_status *ret, struct error *e) MUST_USE;

/* --- events --------------------------------------------------------------------------------------- */

enum monitor_event_type {
	MONITOR_EVENT_LOST = 0, /* the queue was full, events are missing: ask monitor_status() */
	MONITOR_EVENT_CREATED = 1,
	MONITOR_EVENT_STARTED = 2,
	MONITOR_EVENT_EXITED = 3,
	MONITOR_EVENT_OOM = 4,
	MONITOR_EVENT_DELETED = 5,
	MONITOR_EVENT_POD = 6, /* the pod's own state changed: pod_state */
};

struct monitor_event {
	enum monitor_event_type type;
	int64_t time_ns;
	enum monitor_pod_state pod_state;
	struct monitor_container_status container; /* id "" for LOST and POD */
};

/* Receive all events from now on. The fd is for poll(2); read it with monitor_read_event(). */
int monitor_subscribe(const struct monitor_call *c, int *ret_fd, struct error *e) MUST_USE;
/* Returns 1 with an event, 0 when none is there now (the fd does not block).
 * Fails: UNAVAILABLE (hull-pod has ended), CORRUPT. */
int monitor_read_event(int fd, struct monitor_event *ret, struct error *e) MUST_USE;

#endif
