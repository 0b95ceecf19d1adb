/* SPDX-License-Identifier: Apache-2.0 */
/* The `hull` command line: runc's commands, options and exit codes. One file a command or two. */
#ifndef HULL_HULL_HULL_H
#define HULL_HULL_HULL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/runtime.h"
#include "oci/state.h"

#define HULL_STATE_ROOT "/run/hull/oci"

struct hull {
	const char *root;
	bool has_systemd_cgroup;
};

/* argv[0] is the command's name. Returns the exit status of the program; negative is -kind, with *e to be
 * reported. */
typedef int (*hull_command)(struct hull *h, int argc, char **argv, struct error *e);
int command_create(struct hull *h, int argc, char **argv, struct error *e);
int command_run(struct hull *h, int argc, char **argv, struct error *e);
int command_start(struct hull *h, int argc, char **argv, struct error *e);
int command_state(struct hull *h, int argc, char **argv, struct error *e);
int command_list(struct hull *h, int argc, char **argv, struct error *e);
int command_kill(struct hull *h, int argc, char **argv, struct error *e);
int command_delete(struct hull *h, int argc, char **argv, struct error *e);
int command_exec(struct hull *h, int argc, char **argv, struct error *e);
int command_spec(struct hull *h, int argc, char **argv, struct error *e);
int command_pause(struct hull *h, int argc, char **argv, struct error *e);
int command_resume(struct hull *h, int argc, char **argv, struct error *e);
int command_ps(struct hull *h, int argc, char **argv, struct error *e);

/* ---- options ------------------------------------------------------------------------------------------
 * Words as urfave/cli of runc reads them: "-b DIR", "--bundle DIR", "--bundle=DIR", "--flag", "--flag=true". */
struct option_word {
	const char *name; /* long, without dashes */
	char letter;	  /* short, or 0 */
	bool *flag;	  /* one of these two */
	const char **value;
	struct strv *values; /* or this: may come often */
};
/* Take the options out of argv[1 ..]; what remains are the arguments, from argv[1] on: returns their count.
 * With stops_at_argument nothing behind the first argument but `before` more is an option (exec, run).
 * Fails: INVALID. */
int options_take(int argc, char **argv, const struct option_word *words, size_t count, int before,
		 struct error *e) MUST_USE;
int options_number(const char *text, const char *what, int *ret, struct error *e) MUST_USE;

/* ---- containers ---------------------------------------------------------------------------------------- */
struct container {
	struct oci_state state;
	int dfd; /* of its state directory */
	enum oci_status status;
	int pid_fd; /* -1 when stopped */
};
#define CONTAINER_INIT ((struct container){ .dfd = -1, .pid_fd = -1 })
void container_done(struct container *c);
DEFINE_CLEANUP_VALUE(struct container, container_done)
int container_load(struct hull *h, const char *id, struct container *ret, struct error *e) MUST_USE;
/* OCI_PAUSED in place of OCI_RUNNING when its cgroup is frozen. */
enum oci_status container_full_status(struct hull *h, struct container *c);
int container_cgroup(const struct hull *h, const struct container *c, struct cgroup_host **ret_host,
		     struct cgroup **ret_cgroup, struct error *e) MUST_USE;
int container_spec(const struct container *c, struct oci_spec **ret, struct error *e) MUST_USE;
/* Open the gate of a created container. */
int container_start(struct container *c, struct error *e) MUST_USE;
/* Kill what lives of it and remove all traces. */
int container_destroy(struct hull *h, struct container *c, struct error *e) MUST_USE;
int hull_cgroups(const struct hull *h, struct cgroup_host **ret, struct error *e) MUST_USE;

/* ---- terminals and signals (foreground.c) ---------------------------------------------------------------- */
/* Hand a terminal's master to the program that listens at path (SCM_RIGHTS, as runc's --console-socket). */
int console_send(const char *path, int master_fd, struct error *e) MUST_USE;
/* Stay with a process until it ends: pass our signals on, and between a terminal (master_fd, or -1) and our own
 * stdin and stdout all bytes. Returns its exit status, 128 + n for signal n. */
int foreground_wait(int pid_fd, int master_fd, struct error *e) MUST_USE;
/* Signals that are to be passed on must not kill us before we do: call before the process is made. */
void foreground_prepare(void);

int write_pid_file(const char *path, pid_t pid, struct error *e) MUST_USE;

#endif
