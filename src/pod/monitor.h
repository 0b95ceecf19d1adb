/* SPDX-License-Identifier: Apache-2.0 */
/* hull-pod's own structures. One process, one thread, one struct monitor; nothing here blocks but where
 * it is said. What takes long, or touches foreign file systems, or needs JSON and seccomp code, runs in
 * a worker: a short-lived fork of this process (worker.c).
 *
 * A container's life, by what ends each state:
 *	CREATING  a worker runs oci_create()         its answer; then CREATED, or forgotten
 *	CREATED   init waits at the gate             start: a worker opens the gate; a death
 *	RUNNING                                      a death
 *	EXITED    its cgroup is emptied and removed  delete
 * What a client waits for is looked at again after every change (container_settle()): no state says who
 * waits for it, so a client that goes away leaves nothing behind. */
#ifndef HULL_POD_MONITOR_H
#define HULL_POD_MONITOR_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "cgroup/cgroup.h"
#include "pod/client.h"
#include "pod/logfile.h"
#include "pod/oom.h"
#include "pod/protocol.h"
#include "pod/wire.h"

#define container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

struct monitor;

/* ---- loop.c: events and time --------------------------------------------------------------------- */

/* An fd in the epoll set. fn may free what the source is part of: the loop takes one event at a time. */
struct source {
	void (*fn)(struct source *s, uint32_t events);
	int fd; /* -1: not in the set */
};
#define SOURCE_OFF ((struct source){ .fd = -1 })
int source_add(struct monitor *m, struct source *s, int fd, uint32_t events,
	       void (*fn)(struct source *s, uint32_t events), struct error *e) MUST_USE;
void source_events(struct monitor *m, struct source *s, uint32_t events);
/* Take it out of the set; the fd stays the caller's. */
void source_forget(struct monitor *m, struct source *s);
/* Take it out of the set and close the fd. Accepts one that is off. */
void source_close(struct monitor *m, struct source *s);

struct timer {
	void (*fn)(struct timer *t);
	int64_t at; /* monotonic ns; 0: off */
	struct timer *next;
};
void timer_set(struct monitor *m, struct timer *t, int64_t at, void (*fn)(struct timer *t));
void timer_off(struct monitor *m, struct timer *t);

/* ---- worker.c: forks that do what must not block us ------------------------------------------------ */

enum { WORKER_FDS = 10, WORKER_TEXT = 1024 };
/* A worker's answer. In the parent fds are owned by whoever takes them (take_fd()); the rest is closed. */
struct worker_result {
	int status; /* 0 or -kind */
	struct error error;
	int64_t value[4];
	char text[WORKER_TEXT];
	int fd[WORKER_FDS]; /* -1: none */
};
/* In the worker. Returns 0 or -kind with res->error set. Its fds are closed by the end of the process. */
typedef int (*worker_fn)(void *arg, struct worker_result *res, struct error *e);
/* In the parent. res->status is -ERR_INTERNAL when the worker died without an answer. */
typedef void (*worker_done)(struct monitor *m, void *owner, struct worker_result *res);

struct worker {
	struct source answer;
	struct monitor *m;
	int pid_fd;
	worker_done done;
	void *owner;
	struct worker *next;
};
/* The worker has its own copy of arg and of all memory; done is called once, later. */
int worker_start(struct monitor *m, worker_fn fn, void *arg, worker_done done, void *owner,
		 struct worker **ret, struct error *e) MUST_USE;
/* SIGKILL; `done` still comes. */
void worker_kill(struct worker *w);

/* ---- conn.c: clients ------------------------------------------------------------------------------- */

enum { CONNS_MAX = 512 };
struct conn {
	struct source src;
	struct monitor *m;
	uint16_t op;   /* the operation that waits for its answer; 0: none */
	void *subject; /* the container or exec that it waits for */
	bool is_subscriber, has_lost;
	struct conn *next;
};
/* Handlers return -kind (the error is sent), or one of these. */
enum { REPLY_OK, REPLY_SENT, REPLY_LATER };

void conn_accept(struct source *s, uint32_t events);
/* Send the answer of conn->op; err with res < 0. Closes the connection when that cannot be done. */
void conn_reply(struct conn *c, const struct rep *rep);
void conn_reply_error(struct conn *c, const struct error *err);
void conn_close(struct conn *c);
/* The next connection after `from` (NULL: the first) that waits with op (0: any) for subject. */
struct conn *conn_waiting(struct monitor *m, struct conn *from, unsigned op, const void *subject);

/* ---- containers ------------------------------------------------------------------------------------ */

enum cgroup_fate { CGROUP_NONE, CGROUP_HELD, CGROUP_REMOVING, CGROUP_FAILED };

struct container {
	struct monitor *m;
	struct monitor_container_status st; /* what clients see; st.tail is filled on demand */
	bool has_own_pid_ns, is_abandoned, is_starting, has_start_failed, is_forgetting;
	enum monitor_pid_mode pid_mode;
	enum cgroup_fate cgroup_fate;
	struct error *cgroup_error; /* of CGROUP_FAILED */
	char *cgroup_path;
	int pid_fd, start_fd, bundle_dfd;
	int oom_fd, cgroup_fd; /* held memory.events or oom_control; v2 directory: cgroup.kill */
	int stdin_fd;	       /* our end */
	uint64_t oom_seen;
	siginfo_t exit_info; /* with has_exit_info: died while its start was under way */
	bool has_exit_info;
	struct source out, err; /* our ends of the pipes; out: the terminal's master with tty */
	struct source oom;	/* memory.events in the epoll set (v2) */
	struct logfile log;
	struct logstream log_out, log_err;
	struct log_tail tail;
	struct timer kill_timer;
	unsigned exec_number;
};

struct container *container_find(struct monitor *m, const char *id);
/* Look again at who waits for this container. May free it. */
void container_settle(struct container *c);
void container_changed(struct container *c, enum monitor_event_type event);
/* Out of the table; and all of it. */
void container_unlist(struct container *c);
void container_free(struct container *c);
/* SIGKILL to everything in it. */
void container_kill(struct container *c);
/* Its init was reaped. */
void container_exited(struct container *c, const siginfo_t *info);
/* Empty and remove its cgroup in a worker, unless that is under way or done. */
void container_clean(struct container *c);

int op_create_container(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
int op_start(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
int op_stop(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
int op_kill(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
int op_delete(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
int op_reopen_log(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;

/* build.c, in the worker: arg is a struct build. */
struct build {
	const struct req_container *q;
	const struct monitor *m;
	int target_pid_fd; /* whose pid namespace; -1: none is joined */
	int stdio[3];
};
enum { BUILD_PID_FD, BUILD_START_FD, BUILD_CONSOLE_FD, BUILD_OOM_FD, BUILD_CGROUP_FD };
int build_container(void *arg, struct worker_result *res, struct error *e) MUST_USE;
/* For oci_start() and oci_exec(), in a worker; arg is a struct container (agent.c). */
int agent_give_listener(void *arg, pid_t pid, int fd, struct error *e) MUST_USE;

/* console.c: output of containers into their logs. */
int output_open(struct container *c, int ret_write[2], struct error *e) MUST_USE;
int output_attach(struct container *c, int out_fd, int err_fd, struct error *e) MUST_USE;
/* Read what is there now, without waiting; at the end of a stream it is closed. */
void output_drain(struct container *c);
void output_close(struct container *c);

/* oom.c */
void oom_watch(struct container *c);
/* After the reap: fill oom_kills, oom_killed and message. */
void oom_judge(struct container *c);

/* ---- exec.c ---------------------------------------------------------------------------------------- */

struct exec {
	struct monitor *m;
	struct container *c;   /* NULL: it is gone */
	struct conn *conn;     /* NULL: the client is gone */
	struct worker *worker; /* while it starts */
	pid_t pid;
	int pid_fd, cgroup_fd; /* its own v2 cgroup, or -1 */
	bool is_timed_out, is_killed;
	unsigned number;
	struct timer timer;
	struct exec *next;
};
int op_exec(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
void exec_canceled(struct exec *x);
void exec_exited(struct exec *x, const siginfo_t *info);
void exec_container_gone(struct monitor *m, const struct container *c);
/* tree.c: SIGKILL to a process, its descendants and its session, as far as /proc shows them: a process that
 * made a session of its own and lost its parent is not found. For hosts without cgroup.kill. */
void tree_kill(pid_t root);

/* ---- sandbox.c ------------------------------------------------------------------------------------- */

struct sandbox {
	int user_fd, net_fd, ipc_fd, uts_fd;
	int shm_fd;	/* detached tmpfs; -1: none */
	int shm_mnt_fd; /* mount namespace that holds it where detached trees cannot be cloned */
	int init_pid_fd;
	pid_t init_pid;
	char *netns_path, *cgroup_parent;
	int seccomp_cache_dfd;
	bool is_oom_score_restricted;
};
#define SANDBOX_INIT                          \
	((struct sandbox){ .user_fd = -1,     \
			   .net_fd = -1,      \
			   .ipc_fd = -1,      \
			   .uts_fd = -1,      \
			   .shm_fd = -1,      \
			   .shm_mnt_fd = -1,  \
			   .init_pid_fd = -1, \
			   .seccomp_cache_dfd = -1 })
int op_create_sandbox(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
int op_stop_sandbox(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
/* Go on with a stop as far as it goes now. */
void sandbox_stop_step(struct monitor *m);
void sandbox_init_exited(struct monitor *m);

/* shm.c, in a worker */
int shm_create(uint64_t size_bytes, unsigned uid, unsigned gid, int *ret_tree_fd, int *ret_mnt_fd,
	       struct error *e) MUST_USE;
/* The way of older kernels: a new mount namespace with nothing in it but the tree. */
int shm_hold(int tree_fd, int *ret_mnt_fd, struct error *e) MUST_USE;
/* The tree for one more container: shm_fd itself, or a clone from the holding mount namespace. */
int shm_open_tree(const struct sandbox *s, int *ret_tree_fd, struct error *e) MUST_USE;

/* init.c, in a worker: start PID 1 of a new pid namespace as a child of our parent. */
struct init_opts {
	const char *id;
	int user_fd, net_fd, ipc_fd, uts_fd;
	int oom_score_adj;
};
int init_start(const struct init_opts *o, pid_t *ret_pid, int *ret_pid_fd, struct error *e) MUST_USE;

/* ---- exit.c, status.c, event.c, monitor.c ---------------------------------------------------------- */

struct monitor {
	int epoll_fd, pod_dfd;
	char id[MONITOR_ID_MAX + 1];
	enum monitor_pod_state state;
	bool is_creating, is_stopping, is_done;
	int64_t created_at, finished_at;
	struct sandbox sandbox;
	struct cgroup_host *cgroups;
	struct container **containers;
	size_t container_count, container_cap;
	struct exec *execs;
	struct conn *conns;
	size_t conn_count;
	struct worker *workers;
	struct timer *timers;
	struct timer stop_timer, trim_timer;
	struct rlimit files_before; /* RLIMIT_NOFILE and the OOM score that we were started with */
	char oom_score_before[8];
	struct source listen, signals;
	struct error stop_error; /* the first thing that a stop could not undo */
};

/* Reap what has ended. */
void reap(struct monitor *m);

/* Write the record; failures are logged only. */
void status_write(struct monitor *m);
int op_status(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
void status_of_container(const struct container *c, struct monitor_container_status *ret);
/* The methods of exec killing: "cgroup" or "tree". */
const char *status_exec_kill(const struct monitor *m);

int op_subscribe(struct conn *conn, struct wire_msg *msg, struct error *e) MUST_USE;
void event_send(struct monitor *m, enum monitor_event_type type, const struct container *c);
void event_writable(struct conn *conn);

/* monitor.c: the life of the process. listen_fd is a listening socket, pod_dfd the pod's directory; both
 * are taken over. Returns the exit code. */
int monitor_run(int listen_fd, int pod_dfd, const char *id);
/* In a worker: what the monitor changed for itself and its children shall not have (OOM score, limits). */
void monitor_restore(const struct monitor *m);
/* Give memory to the kernel that is not in use now; with all, also the heap, which is never used again. */
void memory_trim(bool all);
/* Show this name and id in ps(1). */
void title_keep(int argc, char **argv);
void title_set(const char *name, const char *id);

#endif
