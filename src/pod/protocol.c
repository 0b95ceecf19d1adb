/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/protocol.h"

#include <string.h>

#include "base/mem.h"
#include "base/path.h"

#define ID_BYTES MONITOR_ID_MAX

#define FIELD(tag_, type_, strct, member, max_)                                                          \
	{                                                                                                \
		.tag = (tag_), .type = (type_), .offset = offsetof(struct strct, member), .max = (max_), \
		.name = #member                                                                          \
	}
#define CRITICAL(tag_, type_, strct, member, max_)                                       \
	{                                                                                \
		.tag = (tag_), .type = (type_), .flags = WIRE_CRITICAL,                  \
		.offset = offsetof(struct strct, member), .max = (max_), .name = #member \
	}
#define END                      \
	{                        \
		.type = WIRE_END \
	}

/* Tags are never used again for something else. A field that changes what is made is critical: a monitor
 * that does not know it must not make something weaker. */
const struct wire_field fields_sandbox[] = {
	CRITICAL(1, WIRE_STR, req_sandbox, id, ID_BYTES),
	CRITICAL(2, WIRE_BOOL, req_sandbox, new_user, 0),
	CRITICAL(3, WIRE_BOOL, req_sandbox, new_net, 0),
	CRITICAL(4, WIRE_BOOL, req_sandbox, new_ipc, 0),
	CRITICAL(5, WIRE_BOOL, req_sandbox, new_uts, 0),
	CRITICAL(6, WIRE_BOOL, req_sandbox, shared_pid, 0),
	CRITICAL(7, WIRE_BYTES, req_sandbox, uids, 12 * 340),
	CRITICAL(8, WIRE_BYTES, req_sandbox, gids, 12 * 340),
	CRITICAL(9, WIRE_STR, req_sandbox, hostname, 64),
	CRITICAL(10, WIRE_BYTES, req_sandbox, sysctls, PROTO_SYSCTL_BYTES),
	CRITICAL(11, WIRE_STR, req_sandbox, netns_pin_path,
		 sizeof(((struct monitor_status *)0)->netns_path) - 1),
	CRITICAL(12, WIRE_U64, req_sandbox, shm_bytes, 0),
	FIELD(13, WIRE_INT, req_sandbox, oom_score_adj, 0),
	FIELD(14, WIRE_STR, req_sandbox, cgroup_parent, PROTO_PATH_MAX),
	CRITICAL(15, WIRE_BOOL, req_sandbox, systemd_cgroup, 0),
	FIELD(16, WIRE_BOOL, req_sandbox, restrict_oom_score, 0),
	FIELD(17, WIRE_STR, req_sandbox, seccomp_cache_dir, PROTO_PATH_MAX),
	END
};

const struct wire_field fields_container[] = {
	CRITICAL(1, WIRE_STR, req_container, id, ID_BYTES),
	CRITICAL(2, WIRE_FD, req_container, bundle_dfd, 0),
	CRITICAL(3, WIRE_FD, req_container, log_fd, 0),
	CRITICAL(4, WIRE_BOOL, req_container, tty, 0),
	CRITICAL(5, WIRE_BOOL, req_container, has_stdin, 0),
	FIELD(6, WIRE_BOOL, req_container, stdin_once, 0),
	CRITICAL(7, WIRE_INT, req_container, pid_mode, 0),
	CRITICAL(8, WIRE_STR, req_container, pid_target, ID_BYTES),
	CRITICAL(9, WIRE_STR, req_container, cgroup_path, PROTO_PATH_MAX),
	CRITICAL(10, WIRE_BOOL, req_container, node_shm, 0),
	CRITICAL(11, WIRE_BOOL, req_container, has_rootfs, 0),
	CRITICAL(12, WIRE_INT, req_container, rootfs_kind, 0),
	CRITICAL(13, WIRE_STR, req_container, rootfs_path, PROTO_PATH_MAX),
	CRITICAL(14, WIRE_STR, req_container, rootfs_upper, PROTO_PATH_MAX),
	CRITICAL(15, WIRE_STR, req_container, rootfs_work, PROTO_PATH_MAX),
	CRITICAL(16, WIRE_BYTES, req_container, rootfs_lowers, PROTO_LOWERS_BYTES),
	CRITICAL(17, WIRE_BOOL, req_container, rootfs_readonly, 0),
	CRITICAL(18, WIRE_BOOL, req_container, rootfs_is_chowned, 0),
	END
};

const struct wire_field fields_object[] = { CRITICAL(1, WIRE_STR, req_object, id, ID_BYTES),
					    CRITICAL(2, WIRE_INT, req_object, signal, 0),
					    CRITICAL(3, WIRE_I64, req_object, timeout_ms, 0),
					    CRITICAL(4, WIRE_FD, req_object, log_fd, 0), END };

const struct wire_field fields_exec[] = {
	CRITICAL(1, WIRE_STR, req_exec, id, ID_BYTES),	CRITICAL(2, WIRE_FD, req_exec, process_fd, 0),
	CRITICAL(3, WIRE_FD, req_exec, stdio[0], 0),	CRITICAL(4, WIRE_FD, req_exec, stdio[1], 0),
	CRITICAL(5, WIRE_FD, req_exec, stdio[2], 0),	CRITICAL(6, WIRE_BOOL, req_exec, tty, 0),
	CRITICAL(7, WIRE_I64, req_exec, timeout_ms, 0), END
};

const struct wire_field fields_reply[] = { FIELD(1, WIRE_INT, rep, err_kind, 0),
					   FIELD(2, WIRE_INT, rep, err_sys, 0),
					   FIELD(3, WIRE_STR, rep, err_text,
						 sizeof(((struct error *)0)->text)),
					   FIELD(4, WIRE_INT, rep, pid, 0),
					   FIELD(5, WIRE_INT, rep, exit_code, 0),
					   FIELD(6, WIRE_FD, rep, console_fd, 0),
					   FIELD(7, WIRE_BYTES, rep, status, WIRE_INLINE_MAX),
					   END };

const struct wire_field fields_status[] = {
	FIELD(1, WIRE_CHARS, monitor_container_status, id, ID_BYTES + 1),
	FIELD(2, WIRE_INT, monitor_container_status, state, 0),
	FIELD(3, WIRE_INT, monitor_container_status, pid, 0),
	FIELD(4, WIRE_I64, monitor_container_status, created_at, 0),
	FIELD(5, WIRE_I64, monitor_container_status, started_at, 0),
	FIELD(6, WIRE_I64, monitor_container_status, finished_at, 0),
	FIELD(7, WIRE_INT, monitor_container_status, exit_code, 0),
	FIELD(8, WIRE_INT, monitor_container_status, signal, 0),
	FIELD(9, WIRE_BOOL, monitor_container_status, oom_killed, 0),
	FIELD(10, WIRE_U64, monitor_container_status, oom_kills, 0),
	FIELD(11, WIRE_U64, monitor_container_status, log_lost, 0),
	FIELD(12, WIRE_CHARS, monitor_container_status, message, MONITOR_MESSAGE_SIZE),
	FIELD(13, WIRE_CHARS, monitor_container_status, tail, MONITOR_TAIL_SIZE),
	END
};
_Static_assert(sizeof(enum monitor_state) == sizeof(int), "decoded as an int");

const struct wire_field fields_pod[] = {
	FIELD(1, WIRE_CHARS, monitor_status, id, ID_BYTES + 1),
	FIELD(2, WIRE_INT, monitor_status, state, 0),
	FIELD(3, WIRE_INT, monitor_status, monitor_pid, 0),
	FIELD(4, WIRE_INT, monitor_status, init_pid, 0),
	FIELD(5, WIRE_I64, monitor_status, created_at, 0),
	FIELD(6, WIRE_I64, monitor_status, finished_at, 0),
	FIELD(7, WIRE_CHARS, monitor_status, netns_path, sizeof(((struct monitor_status *)0)->netns_path)),
	FIELD(8, WIRE_BOOL, monitor_status, has_user, 0),
	FIELD(9, WIRE_BOOL, monitor_status, has_net, 0),
	FIELD(10, WIRE_BOOL, monitor_status, has_ipc, 0),
	FIELD(11, WIRE_BOOL, monitor_status, has_uts, 0),
	FIELD(12, WIRE_BOOL, monitor_status, has_shm, 0),
	FIELD(13, WIRE_CHARS, monitor_status, exec_kill, sizeof(((struct monitor_status *)0)->exec_kill)),
	END
};

const struct wire_field fields_event[] = { FIELD(1, WIRE_INT, wire_event, type, 0),
					   FIELD(2, WIRE_INT, wire_event, pod_state, 0),
					   FIELD(3, WIRE_I64, wire_event, time_ns, 0),
					   FIELD(4, WIRE_BYTES, wire_event, status, WIRE_INLINE_MAX), END };

const char *wire_op_name(unsigned op)
{
	static const char *const names[OP_COUNT] = {
		[OP_CREATE_SANDBOX] = "create-sandbox",
		[OP_CREATE_CONTAINER] = "create-container",
		[OP_START] = "start",
		[OP_STOP] = "stop",
		[OP_KILL] = "kill",
		[OP_DELETE] = "delete",
		[OP_REOPEN_LOG] = "reopen-log",
		[OP_EXEC] = "exec",
		[OP_STATUS] = "status",
		[OP_STOP_SANDBOX] = "stop-sandbox",
		[OP_SUBSCRIBE] = "subscribe",
	};

	return op < OP_COUNT ? names[op] : NULL;
}

bool proto_is_id(const char *id)
{
	size_t n = id ? strlen(id) : 0;

	if (n == 0 || n > MONITOR_ID_MAX || !path_is_name(id))
		return false;
	return strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-") == n;
}

const char *proto_next_string(const struct wire_bytes *b, size_t *pos)
{
	const char *s = b->p + *pos;
	const char *nul;

	if (*pos >= b->n)
		return NULL;
	nul = memchr(s, '\0', b->n - *pos);
	if (!nul)
		return NULL;
	*pos += (size_t)(nul - s) + 1;
	return s;
}

void proto_add_container_status(struct wire_out *o, const struct monitor_container_status *s)
{
	wire_encode(o, fields_status, s);
}

int proto_read_container_status(const struct wire_bytes *b, struct monitor_container_status *ret,
				struct error *e)
{
	struct monitor_container_status s = { 0 };
	int r = wire_decode(fields_status, b->p, b->n, NULL, 0, &s, e);

	if (r == 0)
		*ret = s;
	return r;
}

static int read_containers(const void *body, size_t len, struct monitor_status *s, struct error *e)
{
	struct wire_tlv t;
	const char *value;
	size_t pos = 0, cap = 0;
	int r;

	while ((r = wire_next(body, len, &pos, &t, &value, e)) > 0) {
		struct wire_bytes b = { value, t.len };

		if (t.tag != TAG_CONTAINER)
			continue;
		if (s->count == MONITOR_CONTAINERS_MAX)
			return err_new(e, ERR_LIMIT, "more than %d containers", MONITOR_CONTAINERS_MAX);
		if (s->count == cap) {
			cap = cap ? cap * 2 : 4;
			s->containers = mem_regrow(s->containers, cap, sizeof(s->containers[0]));
		}
		r = proto_read_container_status(&b, &s->containers[s->count], e);
		if (r < 0)
			return r;
		s->count++;
	}
	return r;
}

int proto_read_status(const void *body, size_t len, struct monitor_status *ret, struct error *e)
{
	cleanup_monitor_status struct monitor_status s = { 0 };
	int r = wire_decode(fields_pod, body, len, NULL, 0, &s, e);

	if (r == 0)
		r = read_containers(body, len, &s, e);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct monitor_status){ 0 };
	return 0;
}

int proto_read_event(const void *body, size_t len, struct monitor_event *ret, struct error *e)
{
	struct wire_event w = { 0 };
	struct monitor_event ev = { 0 };
	int r = wire_decode(fields_event, body, len, NULL, 0, &w, e);

	if (r == 0 && w.status.n > 0)
		r = proto_read_container_status(&w.status, &ev.container, e);
	if (r < 0)
		return r;
	ev.type = (enum monitor_event_type)w.type;
	ev.pod_state = (enum monitor_pod_state)w.pod_state;
	ev.time_ns = w.time_ns;
	*ret = ev;
	return 0;
}

void monitor_status_done(struct monitor_status *s)
{
	free(s->containers);
	s->containers = NULL;
	s->count = 0;
}

const struct monitor_container_status *monitor_status_find(const struct monitor_status *s, const char *id)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->containers[i].id, id) == 0)
			return &s->containers[i];
	return NULL;
}
