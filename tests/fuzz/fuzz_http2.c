/* SPDX-License-Identifier: Apache-2.0 */
/* A server session fed with arbitrary bytes: the first byte says whether a good preface goes before them
 * (1), in what pieces they come (2 to 4), and how requests are answered (5, 6). Every stream that was
 * given out is taken back, and every byte reserved given back. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/grpc_server.h"

struct state {
	unsigned how, open;
	size_t reserved;
};

static bool is_known(void *arg, const char *path)
{
	(void)arg;
	return strcmp(path, "/x/y") == 0;
}

static bool reserve(void *arg, ssize_t n)
{
	struct state *s = arg;

	if (n > 0 && s->reserved + (size_t)n > 100000)
		return false;
	s->reserved += (size_t)n;
	return true;
}

static void on_request(void *arg, struct grpc_stream *stream, struct grpc_request *req)
{
	struct state *s = arg;
	struct buf message = BUF_INIT;

	s->open++;
	grpc_stream_set_user(stream, s);
	buf_add(&message, "12345", GRPC_PREFIX_SIZE);
	buf_add(&message, buf_str(&req->message), req->message.len);
	if (s->how & 1)
		grpc_stream_send(stream, &message);
	if (s->how & 2)
		grpc_stream_finish(stream, s->how & 1 ? GRPC_OK : GRPC_NOT_FOUND, "w\xc3\xb6rds");
	buf_done(&message);
}

static void on_closed(void *arg, void *user)
{
	struct state *s = arg;

	if (user != s || s->open == 0)
		abort();
	s->open--;
}

static void on_drained(void *arg, void *user, size_t n)
{
	if (user != arg || n == 0)
		abort();
}

static const struct grpc_server_ops ops = { is_known, reserve, on_request, on_closed, on_drained };
static const struct grpc_server_limits limits = { 16, 2048, 65536, 65536, 1000 };

static int feed(struct grpc_conn *c, const void *data, size_t size, int64_t now)
{
	const uint8_t *out;
	int r = grpc_conn_feed(c, data, size, now, NULL);

	while (grpc_conn_pull(c, &out, NULL) > 0)
		;
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	struct state s = { 0 };
	struct grpc_conn *c;
	size_t piece;
	int r = 0;

	if (size == 0)
		return 0;
	s.how = data[0] >> 4;
	piece = (size_t)1 << (data[0] >> 1 & 7) * 2;
	if (grpc_conn_new(&ops, &limits, &s, &c, NULL) < 0)
		abort();
	if (data[0] & 1)
		r = feed(c, preface, sizeof(preface), 0);
	for (size_t at = 1; r == 0 && at < size && !grpc_conn_is_over(c); at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		r = feed(c, data + at, n, (int64_t)at);
		if (grpc_conn_deadline(c) && grpc_conn_deadline(c) <= (int64_t)at)
			grpc_conn_expire(c, (int64_t)at);
	}
	if (s.how & 4)
		grpc_conn_shutdown(c);
	feed(c, "", 0, 100000);
	grpc_conn_expire(c, 1000000000);
	grpc_conn_free(c);
	if (s.open != 0 || s.reserved != 0)
		abort();
	return 0;
}
