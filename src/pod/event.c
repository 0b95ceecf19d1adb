/* SPDX-License-Identifier: Apache-2.0 */
/* Events to subscribers. The queue of each is its socket's buffer, which the kernel bounds. One who lets it
 * run full loses events, not us: when there is room again, it is told to ask for the whole status. */
#include <sys/epoll.h>

#include "base/clock.h"
#include "pod/monitor.h"

static int send_one(struct conn *conn, const struct wire_event *w)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;

	wire_encode(&o, fields_event, w);
	return wire_send(conn->src.fd, OP_EVENT, &o);
}

void event_send(struct monitor *m, enum monitor_event_type type, const struct container *c)
{
	struct wire_event w = { .type = (int)type, .pod_state = (int)m->state, .time_ns = clock_wall_ns() };
	cleanup_wire_out struct wire_out status = WIRE_OUT_INIT;
	bool is_filled = false;

	for (struct conn *conn = m->conns; conn; conn = conn->next) {
		if (!conn->is_subscriber || conn->has_lost)
			continue;
		if (c && !is_filled) {
			struct monitor_container_status st;

			status_of_container(c, &st);
			proto_add_container_status(&status, &st);
			w.status = (struct wire_bytes){ status.b.data, status.b.len };
			is_filled = true;
		}
		if (send_one(conn, &w) < 0) {
			conn->has_lost = true;
			source_events(m, &conn->src, EPOLLIN | EPOLLRDHUP | EPOLLOUT);
		}
	}
}

void event_writable(struct conn *conn)
{
	struct wire_event w = { .type = MONITOR_EVENT_LOST,
				.pod_state = (int)conn->m->state,
				.time_ns = clock_wall_ns() };

	if (!conn->has_lost || send_one(conn, &w) == 0) {
		conn->has_lost = false;
		source_events(conn->m, &conn->src, EPOLLIN | EPOLLRDHUP);
	}
}

int op_subscribe(struct conn *conn, struct wire_msg *msg, struct error *e)
{
	(void)msg;
	(void)e;
	conn_reply(conn, &REP_INIT);
	conn->is_subscriber = true;
	return REPLY_SENT;
}
