/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol between hulld and hull-pod, shared by both ends.
 *
 * A SOCK_SEQPACKET connection carries one request at a time; closing it cancels what can be canceled. A
 * message is a header and a body of tagged values. A body that would make the message longer than
 * WIRE_INLINE_MAX travels in a sealed memfd, which is then the last fd of the message, and the message
 * is the bare header. All numbers are of the host's byte order: both ends are on one kernel.
 *
 * Versions: a change that an older peer may ignore is a new tag, and unknown tags are skipped; one that it
 * must not ignore sets WIRE_CRITICAL, and a peer that does not know the tag then refuses the message by
 * name. WIRE_VERSION changes only when even the header is read differently. */
#ifndef HULL_POD_PROTOCOL_H
#define HULL_POD_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pod/client.h"
#include "pod/wire.h"

#define MONITOR_SOCKET "monitor.sock"
#define MONITOR_STATUS_FILE "status"

/* The fds that hull-pod is started with. */
#define MONITOR_FD_LISTEN 3
#define MONITOR_FD_POD_DIR 4

enum wire_op {
	OP_CREATE_SANDBOX = 1,
	OP_CREATE_CONTAINER = 2,
	OP_START = 3,
	OP_STOP = 4,
	OP_KILL = 5,
	OP_DELETE = 6,
	OP_REOPEN_LOG = 7,
	OP_EXEC = 8,
	OP_STATUS = 9,
	OP_STOP_SANDBOX = 10,
	OP_SUBSCRIBE = 11,
	OP_COUNT,

	OP_REPLY = 0x8000,   /* set in the answer to an operation */
	OP_STARTED = 0x4001, /* before the answer to OP_EXEC with a terminal: its master comes along */
	OP_EVENT = 0x4002,   /* on a connection that subscribed */
	OP_RECORD = 0x4003,  /* the status file */
};
const char *wire_op_name(unsigned op); /* "create-sandbox", or NULL */

/* Bodies. Every one is a table of fields (protocol.c), by which both ends read and write it. */

struct req_sandbox {
	const char *id, *hostname, *netns_pin_path, *cgroup_parent, *seccomp_cache_dir;
	bool new_user, new_net, new_ipc, new_uts, shared_pid, systemd_cgroup, restrict_oom_score;
	struct wire_bytes uids, gids; /* struct idmap_extent[] */
	struct wire_bytes sysctls;    /* name NUL value NUL ... */
	uint64_t shm_bytes;
	int oom_score_adj;
};

struct req_container {
	const char *id, *pid_target, *cgroup_path;
	int bundle_dfd, log_fd;
	bool tty, has_stdin, stdin_once, node_shm;
	int pid_mode;
	bool has_rootfs, rootfs_readonly, rootfs_is_chowned;
	int rootfs_kind;
	const char *rootfs_path, *rootfs_upper, *rootfs_work;
	struct wire_bytes rootfs_lowers; /* path NUL ... */
};
#define REQ_CONTAINER_INIT ((struct req_container){ .bundle_dfd = -1, .log_fd = -1 })

/* START, STOP, KILL, DELETE, REOPEN_LOG */
struct req_object {
	const char *id;
	int signal, log_fd;
	int64_t timeout_ms;
};
#define REQ_OBJECT_INIT ((struct req_object){ .log_fd = -1 })

struct req_exec {
	const char *id;
	int process_fd, stdio[3];
	bool tty;
	int64_t timeout_ms;
};
#define REQ_EXEC_INIT ((struct req_exec){ .process_fd = -1, .stdio = { -1, -1, -1 } })

/* Every answer. An error is in kind, sys and text; the rest by operation. */
struct rep {
	int err_kind, err_sys;
	const char *err_text;
	int pid, exit_code, console_fd;
	struct wire_bytes status; /* a container's, as fields_status */
};
#define REP_INIT ((struct rep){ .console_fd = -1 })

/* The head of STATUS and of the status file; each container follows as TAG_CONTAINER. */
#define TAG_CONTAINER 100

/* An event: as struct monitor_event, the container in status. */
struct wire_event {
	int type, pod_state;
	int64_t time_ns;
	struct wire_bytes status;
};

extern const struct wire_field fields_sandbox[], fields_container[], fields_object[], fields_exec[],
	fields_reply[], fields_status[], fields_pod[], fields_event[];

/* Bounds of what comes in, checked with the tables. */
#define MONITOR_CONTAINERS_MAX 1024
#define PROTO_PATH_MAX 4095
#define PROTO_LOWERS_BYTES (512 * 4096)
#define PROTO_SYSCTL_BYTES 65536

/* A pod or container id: 1 to MONITOR_ID_MAX of [0-9a-zA-Z_.-], and a path name. */
bool proto_is_id(const char *id);

/* Walk "a NUL b NUL": *pos starts at 0; NULL at the end. The last byte must be NUL (else it is left out). */
const char *proto_next_string(const struct wire_bytes *b, size_t *pos);

/* STATUS bodies, for both ends. read: owned strings only in *ret. */
void proto_add_container_status(struct wire_out *o, const struct monitor_container_status *s);
int proto_read_container_status(const struct wire_bytes *b, struct monitor_container_status *ret,
				struct error *e) MUST_USE;
int proto_read_status(const void *body, size_t len, struct monitor_status *ret, struct error *e) MUST_USE;
int proto_read_event(const void *body, size_t len, struct monitor_event *ret, struct error *e) MUST_USE;

#endif
