/* SPDX-License-Identifier: Apache-2.0 */
/* What the `hull` command remembers of a container between its calls: a directory ROOT/ID (0700) with
 *	state.json	the record below
 *	creating.json	what a create is about to make, should it not come to state.json: the same record, with the
 *			pid of the one who creates
 *	config.json	the spec as it was at create
 *	start.sock	the gate, until the container was started
 * and beside them ROOT/:seccomp, with the filters that profiles were compiled to (seccomp_cache.c).
 * hull-pod does not use it: it is a process that remembers. */
#ifndef HULL_OCI_STATE_H
#define HULL_OCI_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

struct oci_state {
	char *id, *bundle, *rootfs, *oci_version;
	char *created;		     /* RFC 3339 */
	char *cgroup_path;	     /* NULL: none of its own */
	unsigned int cgroup_parents; /* made with it, to be removed with it */
	struct strv freezer_files;   /* for cgroup_is_frozen_at(); empty: look for the cgroup */
	char *rdt_made;		     /* a group of resctrl, to be removed with it; NULL */
	bool has_systemd_cgroup;
	bool has_late_hooks; /* poststart or poststop: config.json need not be read for nothing */
	bool shares_pids;    /* no pid namespace of its own: its processes do not die with its init */
	pid_t pid;
	uint64_t start_time;	 /* of the process, /proc/PID/stat field 22: tells a reused pid */
	uint32_t owner;		 /* uid */
	struct strv annotations; /* key, value, key, value, ... */
	struct strv stdio; /* of the init at its start, as /proc/PID/fd has them; empty with a terminal */
};
#define OCI_STATE_INIT ((struct oci_state){ 0 })
void oci_state_done(struct oci_state *s);
DEFINE_CLEANUP_VALUE(struct oci_state, oci_state_done)

#define STATE_FILE "state.json"
#define STATE_CONFIG "config.json"
#define STATE_INTENT "creating.json"
#define STATE_SOCKET "start.sock"
#define STATE_FILTERS ":seccomp" /* in ROOT */

/* Letters, digits and "_+-.", not "." or "..", at most 1024 bytes (runc's rule). Fails: INVALID. */
int state_check_id(const char *id, struct error *e) MUST_USE;

/* ROOT/ID, which belongs to us or root, and nobody else can write. sticky is 0, or S_ISVTX for what is made, files too:
 * who cleans a $XDG_RUNTIME_DIR passes them over then.
 * Fails: INVALID (id), EXISTS, DENIED (another's), SYS. */
int state_make_dir(const char *root, const char *id, mode_t sticky, int *ret_dfd, struct error *e) MUST_USE;
/* Fails: INVALID, NOT_FOUND ("container does not exist"), DENIED, SYS. */
int state_open_dir(const char *root, const char *id, int *ret_dfd, struct error *e) MUST_USE;
/* Keep others who change or remove the container out, until dfd is closed or state_unlock(). Who waited for that may
 * find it gone: then there may be another one of its name, with the same cgroup. Fails: TIMEOUT, SYS. */
int state_lock(int dfd, bool *ret_is_gone, struct error *e) MUST_USE;
void state_unlock(int dfd);
int state_remove_dir(const char *root, const char *id, struct error *e) MUST_USE;
/* A directory of compiled seccomp filters (confine.h) beside the containers, made when it is missing; its name is no
 * id. -1 when there can be none, or one that is not ours alone: that costs time, nothing else. */
int state_open_filters(const char *root, mode_t sticky) MUST_USE;
/* The ids there are, sorted. */
int state_list(const char *root, struct strv *ret_ids, struct error *e) MUST_USE;

/* name: STATE_FILE or STATE_INTENT. */
int state_write(int dfd, const char *name, const struct oci_state *s, mode_t sticky,
		struct error *e) MUST_USE;
/* Fails: NOT_FOUND (a container that is just being made), CORRUPT, SYS. */
int state_read(int dfd, const char *name, struct oci_state *ret, struct error *e) MUST_USE;

enum oci_status { OCI_CREATED, OCI_RUNNING, OCI_PAUSED, OCI_STOPPED };
const char *state_status_name(enum oci_status status);
/* Whether the process still lives (and is the same), and has been started; paused is the cgroup's word, not known
 * here. ret_pid_fd may be NULL; it is -1 when stopped. ret_gate_fd may be NULL; otherwise it is a connection to the init,
 * as of state_connect_gate(), when that waits to be started, and -1 when it does not or has too many others waiting. */
int state_status(int dfd, const struct oci_state *s, enum oci_status *ret_status, int *ret_pid_fd,
		 int *ret_gate_fd, struct error *e) MUST_USE;
/* Connect to the gate at which a created container's init waits; it hears one caller after the other, so do not keep it.
 * flags: SOCK_NONBLOCK or 0. Returns the socket, or -1 and errno: ECONNREFUSED or ENOENT when nobody waits there. */
int state_connect_gate(int dfd, int flags) MUST_USE;
/* Note what our own fds 0 to 2 are, which the init was given. */
void state_note_stdio(struct oci_state *s);
/* Field 22 of /proc/PID/stat, and whether it is a zombie. Fails: NOT_FOUND, SYS. */
int state_process_start(pid_t pid, uint64_t *ret_start, bool *ret_is_dead, struct error *e) MUST_USE;

/* The state of OCI runtime-spec, "State", with runc's additions (rootfs, created, owner), as JSON text. owner is the
 * name of s->owner. */
void state_json(const struct oci_state *s, enum oci_status status, const char *owner, bool is_pretty,
		struct buf *b);

#endif
