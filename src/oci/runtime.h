/* SPDX-License-Identifier: Apache-2.0 */
/* Containers: create, start, exec. What is behind this is told at the top of bootstrap.c.
 *
 * All callers are single-threaded. They are left as they were, but for PR_SET_DUMPABLE, which is 0 from
 * then on: what they hold must not be reachable by ptrace(2) from a container. */
#ifndef HULL_OCI_RUNTIME_H
#define HULL_OCI_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/rootfs.h"
#include "oci/spec.h"

/* A detached mount to be attached where the spec has a mount with this destination, in place of that
 * mount's own source: tree_fd is cloned, so one tree (a pod's /dev/shm) serves many containers. */
struct oci_mount_fd {
	const char *destination; /* compared with the spec's after cleaning */
	int tree_fd;		 /* borrowed. Before Linux 6.15 only a mount that is attached in the caller's
					 * mount namespace can be cloned; a detached one is then used up */
};
#define OCI_MOUNT_FDS_MAX 8

struct oci_create {
	const char *id; /* for messages, and the hostname of nothing */
	const struct oci_spec *spec;
	int bundle_dfd;			 /* relative paths of the spec (root.path, bind sources) start here */
	const struct oci_rootfs *rootfs; /* NULL: ROOTFS_DIR of the spec's root.path */
	int stdio[3];			 /* borrowed; -1 is /dev/null. Not used with process.terminal */
	int ns_fd[OCI_NS_COUNT];	 /* join this one, whatever the spec says of that namespace; -1.
					 * Borrowed */
	struct oci_mount_fd mount_fds[OCI_MOUNT_FDS_MAX];
	size_t mount_fd_count;
	const struct cgroup_host *cgroups; /* NULL: the container stays in the caller's cgroups */
	const char *cgroup_path;	   /* NULL: the spec's linux.cgroupsPath, and without that /hull/ID */
	bool without_cgroup;	 /* all the same it stays in the caller's, and must ask for no limits */
	bool clone_parent;	 /* init is a child of the caller's parent, who reaps it; so is a helper
					 * that joins namespaces and has exited when oci_create() returns */
	bool needs_user_ns;	 /* we may mount nothing where we are (userns/rootless.h): all is done in the
					 * user namespace of the spec */
	bool no_pivot;		 /* MS_MOVE and chroot in place of pivot_root (initramfs) */
	bool new_keyring;	 /* a session keyring of its own (runc's default) */
	bool restrict_oom_score; /* see confine.h */
	bool caps_lenient;	 /* see confine.h */
	bool keeps_groups;    /* the caller's supplementary groups, and none of process.user.additionalGids */
	bool die_with_parent; /* see confine.h; the parent is the one that clone_parent says */
	int seccomp_cache_dfd; /* see confine.h; -1: none. Borrowed */
	bool bare_newlines;    /* of process.terminal: "\n" is not made "\r\n". For a caller who shows it on a
					 * terminal of his own, which does that (runc's way) */
	int preserve_fds;      /* fds 3 .. 3 + n - 1 of the caller go to the container's process */
	int gate_listen_fd;    /* a listening SOCK_SEQPACKET socket at which init waits for its
					 * start after oci_keep(), for callers that exit before; -1:
					 * start_fd. Borrowed */
};
#define OCI_CREATE_INIT                                     \
	((struct oci_create){                               \
		.bundle_dfd = -1,                           \
		.stdio = { -1, -1, -1 },                    \
		.ns_fd = { [0 ... OCI_NS_COUNT - 1] = -1 }, \
		.seccomp_cache_dfd = -1,                    \
		.gate_listen_fd = -1,                       \
	})

struct oci_init {
	pid_t pid; /* as the caller sees it */
	int pid_fd;
	int start_fd;	       /* the gate: oci_start(), or oci_keep() with gate_listen_fd; closed without it,
				 * init dies. -1 after oci_exec() */
	int console_fd;	       /* the terminal's master when process.terminal, else -1 */
	struct cgroup *cgroup; /* NULL without cgroups, when none could be made, and after oci_exec() */
	char *rdt_made;	       /* goes with the container (oci/intel_rdt.h); NULL */
};
#define OCI_INIT_INIT \
	((struct oci_init){ .pid = 0, .pid_fd = -1, .start_fd = -1, .console_fd = -1, .cgroup = NULL })
/* Close the fds and free the cgroup handle; process and cgroup stay. */
void oci_init_done(struct oci_init *i);
DEFINE_CLEANUP_VALUE(struct oci_init, oci_init_done)

/* Make the container: when this returns 0, its init has done everything but the exec, and waits at the
 * gate. When it fails nothing is left: no process, no cgroup, no mount. Of the spec's hooks, prestart, createRuntime
 * and createContainer have run then, and startContainer runs when the gate opens; poststart and poststop are the
 * caller's (oci/hooks.h).
 * Fails: INVALID      the spec contradicts itself or the host
 *        NOT_FOUND    a bind source, namespace path or rootfs is missing
 *        UNSUPPORTED  the spec asks for what this kernel or build cannot do
 *        DENIED, SYS  the message names step, object, path
 * Ids, limits and maps are judged before anything is made. */
int oci_create(const struct oci_create *o, struct oci_init *ret, struct error *e) MUST_USE;

/* With gate_listen_fd: the init shall outlive the caller, who has noted by now that it exists. */
void oci_keep(int start_fd);

/* The listener of a seccomp profile with SCMP_ACT_NOTIFY is given to this, before the process goes on; pid is that of
 * the process, 0 for a container's init. The fd is borrowed. */
struct oci_listener {
	int (*give)(void *arg, pid_t pid, int fd, struct error *e);
	void *arg;
};

/* Open the gate. Returns 0 when execve(2) of the container's process succeeded. The fd stays open.
 * Fails: NOT_FOUND  the program does not exist (a shell's exit code 127)
 *        DENIED     it may not be executed (126)
 *        STATE      init is dead already, or the spec has no process to run (then init waits on). With e->sys set
 *                   to ECONNRESET it has never said a word to us: who comes by gate_listen_fd may be too late,
 *                   because somebody else has started the container
 *        SYS, INVALID, and as listener.give */
int oci_start(int start_fd, const struct oci_listener *listener, struct error *e) MUST_USE;

struct oci_exec {
	const char *id;		     /* for messages */
	pid_t pid;		     /* the container's init */
	int pid_fd;		     /* the same; borrowed */
	const struct oci_spec *spec; /* the container's: namespaces, seccomp, masks */
	const struct oci_process *process;
	int stdio[3];	       /* as in oci_create */
	struct cgroup *cgroup; /* entered; NULL: the caller's */
	bool clone_parent;     /* as in oci_create, and the next */
	bool needs_user_ns;
	bool restrict_oom_score;
	bool caps_lenient;
	bool keeps_groups;
	bool die_with_parent;
	int seccomp_cache_dfd;
	bool bare_newlines;
	int preserve_fds;
	struct oci_listener listener;
};
#define OCI_EXEC_INIT ((struct oci_exec){ .pid_fd = -1, .stdio = { -1, -1, -1 }, .seccomp_cache_dfd = -1 })

/* Run another process in a container. Returns 0 when its execve(2) succeeded.
 * Fails: as oci_start() and oci_create(); STATE when the container's init is gone. */
int oci_exec(const struct oci_exec *o, struct oci_init *ret, struct error *e) MUST_USE;

#endif
