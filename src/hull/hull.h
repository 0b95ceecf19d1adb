/* SPDX-License-Identifier: Apache-2.0 */
/* The `hull` command line: runc's commands, options and exit codes. One file a command or two. */
#ifndef HULL_HULL_HULL_H
#define HULL_HULL_HULL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cgroup/cgroup.h"
#include "hull/options.h"
#include "oci/runtime.h"
#include "oci/state.h"
#include "userns/rootless.h"

/* Beside hulld's own state in /run/hull. In $XDG_RUNTIME_DIR for who is not root of the host (userns/rootless.h). */
#define HULL_STATE_ROOT "/run/hull/oci"
#define HULL_STATE_BELOW "hull/oci"

/* What stands before the command. */
struct hull {
	const char *root;
	char *own_root; /* root, when it is ours to free */
	const char *log, *log_format;
	const char *rootless_text;
	const char *criu;
	const char *cgroup_manager;
	bool is_debug, has_systemd_cgroup, without_cgroups, wants_version;
	mode_t state_sticky;	  /* S_ISVTX where cleaners are about, else 0 */
	struct rootless rootless; /* what is so here, and of it what rootless_text decides */
};

/* Without a log, warnings go to stderr from now on: it is no container's, or that has ended. */
void hull_show_warnings(const struct hull *h);

/* ---- help (help.c): to stdout; the short form for wrong words to stderr ---- */
void help_hull(void);
void help_command(const struct command *c);
void help_usage(const struct command *c); /* NULL: of the program */

/* ---- containers ---------------------------------------------------------------------------------------- */
struct container {
	struct oci_state state;
	int dfd; /* of its state directory */
	enum oci_status status;
	int pid_fd;  /* -1 when stopped */
	int gate_fd; /* for container_start(): a connection to the init that waits; -1: it connects itself */
	bool has_failed_hook; /* in container_start(): the container has to go */
	const struct cgroup_host
		*cgroups; /* where they are open already; borrowed, as its cgroup. NULL: not */
	struct cgroup *cgroup;
};
#define CONTAINER_INIT ((struct container){ .dfd = -1, .pid_fd = -1, .gate_fd = -1 })
void container_done(struct container *c);
DEFINE_CLEANUP_VALUE(struct container, container_done)
int container_load(struct hull *h, const char *id, struct container *ret, struct error *e) MUST_USE;
/* As container_load(), for a container_start() that follows at once: while it is there, no other start is heard. */
int container_load_to_start(struct hull *h, const char *id, struct container *ret, struct error *e) MUST_USE;
/* OCI_PAUSED in place of OCI_CREATED or OCI_RUNNING when its cgroup is frozen. */
enum oci_status container_full_status(struct hull *h, struct container *c);
int container_cgroup(const struct hull *h, const struct container *c, struct cgroup_host **ret_host,
		     struct cgroup **ret_cgroup, struct error *e) MUST_USE;
int container_spec(const struct container *c, struct oci_spec **ret, struct error *e) MUST_USE;
/* For oci_start() and oci_exec(); arg is a struct container: hand a seccomp listener to the agent of its profile. */
int container_give_listener(void *arg, pid_t pid, int fd, struct error *e) MUST_USE;
/* Open the gate of a created container. When it fails and has_failed_hook is set then, the caller destroys it. */
int container_start(struct container *c, struct error *e) MUST_USE;
/* Kill what lives of it, remove its cgroup, run its poststop hooks. */
int container_end(struct hull *h, struct container *c, struct error *e) MUST_USE;
/* And forget it. */
int container_destroy(struct hull *h, struct container *c, struct error *e) MUST_USE;
int hull_cgroups(const struct hull *h, struct cgroup_host **ret, struct error *e) MUST_USE;

/* ---- terminals and signals (foreground.c) ---------------------------------------------------------------- */
/* The program that listens at path is to get a terminal's master, with the message runc sends (SCM_RIGHTS). It is
 * reached before anything is made. */
int console_connect(const char *path, int *ret_sock, struct error *e) MUST_USE;
int console_send(int sock, int master_fd, struct error *e) MUST_USE;
/* Call before the process is made: signals that are to be passed on must not kill us before we do, and orphans that it
 * leaves become our children. */
void foreground_prepare(bool is_subreaper);
/* The terminal that is made for *p begins with the size of ours. */
void foreground_size(struct oci_process *p);
/* Stay with a process until it ends: pass our signals on, and between its terminal (if console_fd is one) and our own
 * stdin and stdout all bytes; notify_sock, if not -1, is heard (notify.h). Returns its exit status, 128 + n for signal n. */
int foreground_wait(const struct oci_init *i, int notify_sock, struct error *e) MUST_USE;

/* ---- signals (signals.c) ---- */
/* "9", "KILL", "SIGKILL", "kill", "RTMIN+3". Fails: INVALID. */
int signal_parse(const char *text, int *ret, struct error *e) MUST_USE;

/* ---- fds (fds.c) ---- */
/* Whether the fds 3 .. 3 + count - 1 are such that we were given. Fails: INVALID. */
int preserved_fds_check(int count, struct error *e) MUST_USE;
/* How many fds socket activation gave us (LISTEN_FDS, when LISTEN_PID is us). */
int listen_fds_count(void);
/* A program that listens at a unix socket gets an fd of ours (SCM_RIGHTS). option is for messages. */
int handover_connect(const char *path, const char *option, int *ret_sock, struct error *e) MUST_USE;
int handover_send(int sock, const char *option, const char *name, int fd, struct error *e) MUST_USE;

/* What --format says, "table" (or NULL) or "json". Fails: INVALID. */
int wants_json(const char *format, bool *ret, struct error *e) MUST_USE;

/* crun's annotation, which podman sets for "--group-add keep-groups": with the value "1" the container's processes keep the
 * supplementary groups of who started them, so that files open to a user by such a group stay so. */
#define HULL_GROUPS_ANNOTATION "run.oci.keep_original_groups"
bool hull_keeps_groups(const struct oci_spec *spec);

/* ---- who is not root (rootless.c) --------------------------------------------------------------------------- */
/* Fill rootless in, and root unless it was given. */
void hull_find_state(struct hull *h, enum rootless_word word);
/* Add the remedy to an error of the state's directory. Returns -kind. */
int hull_state_error(const struct hull *h, struct error *e);
/* The error of what needs a cgroup for a container that has none. Fails: STATE, always. */
int hull_no_cgroup(const struct hull *h, const char *id, struct error *e);

int write_pid_file(const char *path, pid_t pid, struct error *e) MUST_USE;

#endif
