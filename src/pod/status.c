/* SPDX-License-Identifier: Apache-2.0 */
/* The status: as an answer, and as the record in the pod's directory, in the same encoding. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "pod/monitor.h"

void status_of_container(const struct container *c, struct monitor_container_status *ret)
{
	*ret = c->st;
	ret->log_lost = c->log.lost;
	log_tail_text(&c->tail, ret->tail);
}

const char *status_exec_kill(const struct monitor *m)
{
	if (!m->cgroups)
		return "";
	return cgroup_host_mode(m->cgroups) == CGROUP_V1 ? "tree" : "cgroup";
}

static void add_pod(const struct monitor *m, struct wire_out *o)
{
	const struct sandbox *s = &m->sandbox;
	struct monitor_status st = { .state = m->state,
				     .monitor_pid = getpid(),
				     .init_pid = s->init_pid,
				     .created_at = m->created_at,
				     .finished_at = m->finished_at,
				     .has_user = s->user_fd >= 0,
				     .has_net = s->net_fd >= 0,
				     .has_ipc = s->ipc_fd >= 0,
				     .has_uts = s->uts_fd >= 0,
				     .has_shm = s->shm_fd >= 0 || s->shm_mnt_fd >= 0 };

	memcpy(st.id, m->id, sizeof(st.id));
	if (s->netns_path)
		strncpy(st.netns_path, s->netns_path, sizeof(st.netns_path) - 1);
	strncpy(st.exec_kill, status_exec_kill(m), sizeof(st.exec_kill) - 1);
	wire_encode(o, fields_pod, &st);
}

static void add_all(const struct monitor *m, struct wire_out *o)
{
	add_pod(m, o);
	for (size_t i = 0; i < m->container_count; i++) {
		cleanup_wire_out struct wire_out one = WIRE_OUT_INIT;
		struct monitor_container_status st;

		if (m->containers[i]->st.state == MONITOR_CREATING)
			continue;
		status_of_container(m->containers[i], &st);
		proto_add_container_status(&one, &st);
		wire_add(o, TAG_CONTAINER, 0, one.b.data, one.b.len);
	}
}

int op_status(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;

	(void)msg;
	add_all(conn->m, &o);
	if (wire_send(conn->src.fd, OP_RECORD, &o) < 0)
		return err_sys(e, "send the status");
	conn->op = 0;
	return REPLY_SENT;
}

void status_write(struct monitor *m)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	cleanup_buf struct buf record = BUF_INIT;
	struct wire_header h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .op = OP_RECORD };
	struct error err = ERROR_INIT;

	add_all(m, &o);
	h.len = (uint32_t)o.b.len;
	buf_add(&record, &h, sizeof(h));
	buf_add(&record, o.b.data, o.b.len);
	/* tmpfs: no fsync; what it describes does not outlive the kernel either. */
	if (file_write_atomic(m->pod_dfd, MONITOR_STATUS_FILE, record.data, record.len, 0600, false, &err) <
	    0)
		log_error("write the status record: %s", err_msg(&err));
}
