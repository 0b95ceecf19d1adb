/* SPDX-License-Identifier: Apache-2.0 */
/* ExecSync: a program in a running container, with its output kept. A thread reads the two pipes while
 * this one waits for the end; memory is bounded whatever the program writes (CVE-2022-1708,
 * CVE-2022-31030): what is over is read and thrown away. When the program has ended the pipes are read
 * until they are empty, but a grandchild that keeps them open is not waited for. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/json.h"
#include "cri/container.h"
#include "cri/handlers.h"
#include "cri/sandbox.h"

#define OUTPUT_MAX ((size_t)16 * 1024 * 1024 - 64 * 1024) /* both together: the answer stays under 16 MiB */
#define ARGS_BYTES_MAX (1u << 20)
#define DRAIN_MS 100 /* for what is already on its way when the program has ended */

/* --- output --------------------------------------------------------------------------------------- */

struct output {
	int fds[2], done_fd;
	struct buf text[2];
	pthread_t thread;
};

/* Returns false at the end of the stream. */
static bool take(struct output *o, int i)
{
	char piece[16384];
	ssize_t n = read(o->fds[i], piece, sizeof(piece));
	size_t room = OUTPUT_MAX - o->text[0].len - o->text[1].len;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	buf_add(&o->text[i], piece, (size_t)n < room ? (size_t)n : room);
	return true;
}

static void *read_output(void *arg)
{
	struct output *o = arg;
	struct pollfd p[3] = { { .fd = o->fds[0], .events = POLLIN },
			       { .fd = o->fds[1], .events = POLLIN },
			       { .fd = o->done_fd, .events = POLLIN } };
	int timeout = -1;

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		int n = poll(p, ARRAY_LEN(p), timeout);

		if (n < 0 && errno != EINTR)
			break;
		if (n == 0)
			break; /* the program has ended and nothing came for a while */
		for (int i = 0; i < 2; i++)
			if (p[i].fd >= 0 && p[i].revents && !take(o, i))
				p[i].fd = -1;
		if (p[2].revents) {
			p[2].fd = -1;
			timeout = DRAIN_MS;
		}
	}
	return NULL;
}

static int output_start(struct output *o, int ret_write[2], struct error *e)
{
	int a[2], b[2], r;

	*o = (struct output){ .fds = { -1, -1 }, .done_fd = eventfd(0, EFD_CLOEXEC) };
	if (o->done_fd < 0)
		return err_sys(e, "make an eventfd");
	if ((r = fd_pipe(a, e)) < 0)
		return r;
	if ((r = fd_pipe(b, e)) < 0) {
		close(a[0]);
		close(a[1]);
		return r;
	}
	o->fds[0] = a[0];
	o->fds[1] = b[0];
	ret_write[0] = a[1];
	ret_write[1] = b[1];
	r = pthread_create(&o->thread, NULL, read_output, o);
	if (r != 0) {
		o->thread = 0;
		errno = r;
		return err_sys(e, "start a thread for the output");
	}
	return 0;
}

static void output_end(struct output *o)
{
	if (o->thread) {
		eventfd_write(o->done_fd, 1);
		pthread_join(o->thread, NULL);
		o->thread = 0;
	}
}

static void output_done(struct output *o)
{
	output_end(o);
	for (int i = 0; i < 2; i++) {
		buf_done(&o->text[i]);
		if (o->fds[i] >= 0)
			close(o->fds[i]);
	}
	if (o->done_fd >= 0)
		close(o->done_fd);
}
DEFINE_CLEANUP_VALUE(struct output, output_done)

/* --- process -------------------------------------------------------------------------------------- */

/* The container's own process of its config.json, with other arguments and no terminal. */
static int process_fd(struct container *c, char *const *cmd, size_t n, int *ret_fd, struct error *e)
{
	cleanup_free char *path = str_fmt("%s/config.json", c->rec->id);
	cleanup_json struct json_object *spec = NULL;
	cleanup_buf struct buf text = BUF_INIT, out = BUF_INIT;
	cleanup_close int fd = -1;
	struct json_object *process;
	int r;

	if ((r = file_read(c->sandbox->pod_dfd, path, JSON_MAX_BYTES, &text, e)) < 0 ||
	    (r = json_parse_object(text.data, text.len, 0, &spec, e)) < 0 ||
	    (r = json_need(json_get_object(spec, "process", &process, e), "process", e)) < 0)
		return err_ctx(e, "read the container's spec");
	json_put_strs(process, "args", (const char *const *)cmd, n);
	json_put_bool(process, "terminal", false);
	json_text(process, false, &out);
	fd = memfd_create("process.json", MFD_CLOEXEC);
	if (fd < 0 || fd_write_full(fd, out.data, out.len) < 0)
		return err_sys(e, "write the process to a memfd");
	*ret_fd = take_fd(fd);
	return 0;
}

static int check_request(const PB(ExecSyncRequest) *req, struct error *e)
{
	size_t bytes = 0;

	if (req->n_cmd == 0 || !*req->cmd[0])
		return err_new(e, ERR_INVALID, "cmd is empty");
	for (size_t i = 0; i < req->n_cmd; i++)
		bytes += strlen(req->cmd[i]) + 1;
	if (bytes > ARGS_BYTES_MAX)
		return err_new(e, ERR_LIMIT, "cmd has %zu bytes; at most %u are allowed", bytes,
			       ARGS_BYTES_MAX);
	if (req->timeout < 0)
		return err_new(e, ERR_INVALID, "timeout %lld s is negative", (long long)req->timeout);
	return 0;
}

static int run(struct node *n, struct container *c, const PB(ExecSyncRequest) *req, const struct call *call,
	       struct output *o, int *ret_exit, struct error *e)
{
	struct monitor_call m = sandbox_call(c->sandbox, call);
	struct monitor_exec x = { .id = c->rec->id, .process_fd = -1, .stdio = { -1, -1, -1 } };
	cleanup_close int process = -1, out = -1, err = -1;
	int write_fds[2] = { -1, -1 }, r;
	unsigned state;

	pthread_mutex_lock(&n->lock);
	state = c->rec->state;
	pthread_mutex_unlock(&n->lock);
	if (state != RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING)
		return err_new(e, ERR_STATE, "container \"%s\" is not running", c->rec->id);
	if ((r = process_fd(c, req->cmd, req->n_cmd, &process, e)) < 0 ||
	    (r = output_start(o, write_fds, e)) < 0)
		return r;
	out = write_fds[0];
	err = write_fds[1];
	x.process_fd = process;
	x.stdio[1] = out;
	x.stdio[2] = err;
	x.timeout_ms = req->timeout > INT32_MAX ? 0 : req->timeout * 1000;
	r = monitor_exec(&m, &x, ret_exit, e);
	/* The program is not there; NOT_FOUND would say so of the container. */
	return r == -ERR_NOT_FOUND ? err_kind(e, ERR_INVALID) : r;
}

int cri_exec_sync(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const PB(ExecSyncRequest) *req = request;
	PB(ExecSyncResponse) *resp = response;
	CLEANUP(output_done) struct output o = { .fds = { -1, -1 }, .done_fd = -1 };
	struct container *c;
	int r, exit_code = 0;

	if ((r = check_request(req, e)) < 0 || (r = container_find(n, req->container_id, &c, e)) < 0)
		return r;
	r = run(n, c, req, call, &o, &exit_code, e);
	output_end(&o);
	if (r == 0) {
		resp->exit_code = exit_code;
		resp->stdout.data = arena_dup(call->arena, o.text[0].data, o.text[0].len);
		resp->stdout.len = o.text[0].len;
		resp->stderr.data = arena_dup(call->arena, o.text[1].data, o.text[1].len);
		resp->stderr.len = o.text[1].len;
	} else {
		err_ctx(e, "exec in container \"%s\"", c->rec->config->metadata->name);
	}
	container_unref(n, c);
	return r;
}
