/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct server, shared by server.c (the loop), server_conn.c and server_calls.c. All of it
 * belongs to the I/O thread, but for what the lock guards. */
#ifndef HULL_DAEMON_SERVER_INTERNAL_H
#define HULL_DAEMON_SERVER_INTERNAL_H

#include <pthread.h>

#include "base/buf.h"
#include "daemon/server.h"
#include "proto/grpc_server.h"

#define SERVER_WATCHES_MAX 8
#define SERVER_READ_SIZE ((size_t)32 * 1024)

struct output;
struct request;

enum source_kind { SOURCE_CONN, SOURCE_LISTEN, SOURCE_WATCH, SOURCE_OUTPUTS };

/* What epoll's data.ptr points to: the first member of everything that is waited for. */
struct source {
	enum source_kind kind;
	int fd;
};

struct watch {
	struct source source;
	server_watch_fn fn;
	void *arg;
};

struct conn {
	struct source source;
	struct server *server;
	struct conn *next, *prev;
	struct grpc_conn *grpc;
	struct buf out; /* pulled and not yet taken by the socket */
	size_t out_at;
	int64_t accepted_ns, heard_ns, stalled_ns; /* stalled_ns: since when out does not move; 0 */
	int64_t pinged_ns;			   /* a ping is out since then; 0 */
	bool is_dead, is_dirty, is_closing;
	bool is_watched_out; /* epoll reports room in the socket */
};

struct server {
	struct server_opts opts;
	struct workers *workers;
	int epoll_fd, spare_fd;
	struct watch watches[SERVER_WATCHES_MAX];
	unsigned watch_count;
	struct conn *conns;
	unsigned conn_count;
	struct request *requests; /* open streams */
	unsigned request_count;
	uint64_t next_number;
	size_t request_bytes;
	int64_t now_ns;
	int64_t stop_ns; /* when the next step of draining is due; 0: serving */
	int stop_step;
	bool has_large; /* memory to give back */
	char *read_buf;

	struct source wake;
	pthread_mutex_t lock; /* of: */
	struct output *outputs, **outputs_end;
};

/* Wait for events of the source too. Fails: SYS */
int server_watch_fd(struct server *s, struct source *source, uint32_t events, struct error *e) MUST_USE;

/* The sooner of two times, of which 0 is never. */
static inline int64_t server_sooner(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* --- server_calls.c --- */

/* What a connection's gRPC side calls; its arg is the struct conn. */
extern const struct grpc_server_ops server_grpc_ops;

/* Give what the workers posted to the streams. */
void server_take_outputs(struct server *s);

/* --- server_conn.c --- */

/* It has something to say: server_conn_flush() is due. */
static inline void server_conn_mark(struct conn *c)
{
	c->is_dirty = true;
}

/* Accept what waits at a listening socket; beyond the limits it is refused. */
void server_accept_all(struct server *s, int listen_fd);
void server_conn_event(struct conn *c, uint32_t events);
void server_conn_flush(struct conn *c);

/* When the next thing about this connection is due (0: never); what is due is done in server_conn_expire(). */
int64_t server_conn_deadline(const struct conn *c);
void server_conn_expire(struct conn *c, int64_t now);

/* Ask for room in the socket only while something waits for it. */
void server_conn_update_watch(struct conn *c);

/* Take it out of the server's list, close and free it. */
void server_conn_free(struct conn *c);

#endif
