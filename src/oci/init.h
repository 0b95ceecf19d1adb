/* SPDX-License-Identifier: Apache-2.0 */
/* What a process does inside the container before it becomes the container's program: the init of a new
 * container, and the process of an exec. */
#ifndef HULL_OCI_INIT_H
#define HULL_OCI_INIT_H

#include "cgroup/cgroup.h"
#include "oci/confine.h"
#include "oci/mounts.h"
#include "oci/plan.h"
#include "sys/numlist.h"

/* All fds are inherited ones; the memory is a fork's copy. */
struct init_process {
	const struct oci_process *process;
	const struct confine *confine;
	int stdio[3]; /* none is -1 */
	int preserve_fds;
	int sync_fd;
	int proc_dfd; /* a procfs of the caller, checked */
	int cgroup_fds[CGROUP_HIER_MAX];
	size_t cgroup_fd_count;
	int cgroup_ns_pid_fd; /* whose cgroup namespace to join; -1 */
	int net_ns_fd;	      /* a new network namespace that was made ahead (sys/netns_ahead.h); -1 */
	int time_ns_fd;	      /* a time namespace to join, or the pidfd of a member; -1 */
	bool in_user_ns;
	bool keeps_groups; /* those of the caller */
	const struct numlist
		*final_cpus; /* to run on these once the cgroup is entered; NULL: as keeps_cpus says */
	bool keeps_cpus; /* on those that the kernel left us; else on all that the cgroup has, whatever our caller's are */
};

struct init_container {
	struct init_process p;
	const struct oci_create *create;
	const struct oci_plan *plan;
	struct mount_set *mounts;
	int root_tree;
	int peer_fd;	    /* the caller's end of sync_fd, to be closed */
	bool brings_lo_up;  /* the network namespace is new, and so its loopback interface down */
	bool waits_for_go;  /* the user namespace is new, or interfaces are moved in: that comes first */
	const char *bundle; /* for hooks: its path, and where the root file system is said to be */
	const char *root_path;
};
/* Returns the exit status; arg is a struct init_container. */
int init_container_main(void *arg);

/* Parts that an exec's process shares (process.c). Each fails with the step's name in the message. */
int process_begin(const struct init_process *p, struct error *e) MUST_USE; /* cgroups, session, signals */
int process_become_root(const struct init_process *p,
			struct error *e) MUST_USE; /* uid and gid 0 of the user ns, or process.user's */
int process_enter_cwd(const struct init_process *p, int root_fd, bool makes_it, struct error *e) MUST_USE;
/* An init may wait for long, and whoever enters a container is looked for there. What its caller had open (hull's own, the
 * host's /proc among it, and what others passed on to hull: the pipe whose end somebody waits for) is closed: but for
 * stdio, fds to be preserved, and what is still to be used (-1: none). keep gets sorted. */
#define PROCESS_KEEPS 3
void process_close_rest(const struct init_process *p, int keep[PROCESS_KEEPS]);
int process_set_stdio(const int stdio[3], int preserve_fds, struct error *e) MUST_USE;
/* The program's path: process.args[0] itself with a '/', else found in PATH of process.env, inside the root
 * of the calling process; and its environment, with HOME from the image's passwd when it is missing. Both
 * are never freed: what comes next is execve(2). Fails: NOT_FOUND, DENIED. */
struct program {
	const char *path;
	const char *const *env;
};
int process_find_program(const struct oci_process *p, int root_fd, struct program *ret,
			 struct error *e) MUST_USE;
/* Confine ourselves: what comes after it has the rights of the container's process and no others. A seccomp listener is
 * handed to the gate, and its word awaited. */
int process_confine(const struct init_process *p, struct confine_child *child, int gate_fd,
		    struct error *e) MUST_USE;
/* Tell the gate, exec. Returns only when it failed. */
int process_exec(const struct init_process *p, const struct program *program, int gate_fd,
		 struct error *e) MUST_USE;

#endif
