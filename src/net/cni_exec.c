/* SPDX-License-Identifier: Apache-2.0 */
/* stdin is a memfd: a plugin that does not read cannot block us, and there is no SIGPIPE. stdout and stderr
 * are pipes that are read while it runs, for a plugin that writes without end.
 *
 * The end of the plugin is that of its process (pidfd), not of its pipes: something that it left running
 * may hold them open. What lies in the pipes by then is read; more is not waited for.
 *
 * A plugin that is stopped early is killed with its process group, which setsid(2) made: plugins execute
 * IPAM plugins and iptables, and one of those is usually what hangs. The leader is not reaped before, so
 * that its number cannot belong to another group. */
#include "net/cni_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/proc.h"
#include "net/cni_result.h"

#define READ_BYTES 16384
#define DRAIN_READS 64 /* more than a pipe holds */
#define ERR_KEEP_BYTES 4096
#define BUSY_RETRIES 5
#define BUSY_WAIT_MS 100

void cni_output_done(struct cni_output *o)
{
	buf_done(&o->out);
	buf_done(&o->err);
}

int cni_exec_find(const struct strv *dirs, const char *type, char **ret_path, struct error *e)
{
	cleanup_buf struct buf searched = BUF_INIT;

	for (size_t i = 0; i < dirs->n; i++) {
		cleanup_free char *path = str_fmt("%s/%s", dirs->v[i], type);
		struct stat st;

		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0) {
			*ret_path = take_ptr(path);
			return 0;
		}
		buf_addf(&searched, "%s\"%s\"%s", i ? ", " : "", dirs->v[i],
			 stat(path, &st) == 0 ? " (there it is not an executable file)" : "");
	}
	err_new(e, ERR_UNAVAILABLE, "CNI plugin \"%s\" is not in %s", type, buf_str(&searched));
	return err_hint(e, "install it, e.g. with the package containernetworking-plugins");
}

enum { FD_OUT, FD_ERR, FD_END, FD_CANCEL, FD_COUNT };

struct run {
	const struct cni_exec *x;
	struct cni_output *output;
	struct proc proc;
	struct pollfd fds[FD_COUNT];
};

/* Read what is there. Returns 0, or -LIMIT; an end or an error of the pipe takes it out of the poll. */
static int drain(struct run *run, int which, struct error *e)
{
	struct buf *b = which == FD_OUT ? &run->output->out : &run->output->err;

	/* Bounded, for a writer that is as fast as we are. */
	for (int i = 0; i < DRAIN_READS && run->fds[which].fd >= 0; i++) {
		ssize_t n = read(run->fds[which].fd, buf_reserve(b, READ_BYTES), READ_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			run->fds[which].fd = -1;
			return 0;
		}
		buf_added(b, (size_t)n);
		if (which == FD_ERR && b->len > ERR_KEEP_BYTES)
			buf_consume(b, b->len - ERR_KEEP_BYTES);
		if (which == FD_OUT && b->len > CNI_OUTPUT_MAX_BYTES)
			return err_new(e, ERR_LIMIT, "it printed more than %u bytes and was killed",
				       CNI_OUTPUT_MAX_BYTES);
		if (n < READ_BYTES)
			return 0;
	}
	return 0;
}

static int wait_once(struct run *run, bool *is_over, struct error *e)
{
	int left_ms = deadline_left_ms(run->x->call->deadline_ns);
	int r, n = poll(run->fds, FD_COUNT, left_ms);

	if (n < 0)
		return errno == EINTR ? 0 : err_sys(e, "wait for a CNI plugin");
	if (run->fds[FD_END].revents) {
		*is_over = true;
		return 0;
	}
	if (n == 0 || left_ms == 0)
		return err_new(e, ERR_TIMEOUT, "it did not end in time and was killed");
	if (run->fds[FD_CANCEL].revents)
		return err_new(e, ERR_CANCELED, "it was killed, because the request was canceled");
	r = run->fds[FD_OUT].revents ? drain(run, FD_OUT, e) : 0;
	if (r == 0 && run->fds[FD_ERR].revents)
		r = drain(run, FD_ERR, e);
	return r;
}

static int supervise(struct run *run, struct error *e)
{
	bool is_over = false;
	int r = 0;

	while (r == 0 && !is_over)
		r = wait_once(run, &is_over, e);
	if (r == 0)
		r = drain(run, FD_OUT, e);
	if (r < 0) {
		kill(-run->proc.pid, SIGKILL);
		proc_kill(&run->proc);
	}
	drain(run, FD_ERR, NULL); /* also what it said before it was killed */
	return r < 0 ? r : proc_wait(&run->proc, 0, &run->output->status, e);
}

static int make_input(const struct cni_exec *x, int *ret_fd, struct error *e)
{
	cleanup_close int fd = memfd_create("cni-stdin", MFD_CLOEXEC);

	if (fd < 0 || fd_write_full(fd, x->input, x->input_len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "make the stdin of a CNI plugin");
	*ret_fd = take_fd(fd);
	return 0;
}

static int make_pipe(int *ret_read, int *ret_write, struct error *e)
{
	int fds[2], r = fd_pipe(fds, e);

	if (r < 0)
		return r;
	*ret_read = fds[0];
	*ret_write = fds[1];
	return fd_nonblock(fds[0], e);
}

/* A plugin that is being replaced in place is ETXTBSY for a moment, and so is any file while another
 * thread's child holds a descriptor from before its exec. */
static int start(const struct proc_opts *o, struct proc *ret, struct error *e)
{
	int r;

	for (int i = 0;; i++) {
		struct error one = ERROR_INIT;

		r = proc_spawn(o, ret, &one);
		if (r == 0)
			return 0;
		if (one.sys != ETXTBSY || i == BUSY_RETRIES) {
			if (e)
				*e = one;
			return r;
		}
		nanosleep(&(struct timespec){ .tv_nsec = BUSY_WAIT_MS * NS_PER_MS }, NULL);
	}
}

int cni_exec_run(const struct cni_exec *x, struct cni_output *ret_output, struct error *e)
{
	cleanup_close int in = -1, out_r = -1, out_w = -1, err_r = -1, err_w = -1;
	const char *const only_path[] = { x->path, NULL };
	struct run run = { .x = x, .output = ret_output, .proc = PROC_INIT };
	int r;

	r = make_input(x, &in, e);
	if (r == 0)
		r = make_pipe(&out_r, &out_w, e);
	if (r == 0)
		r = make_pipe(&err_r, &err_w, e);
	if (r < 0)
		return r;
	r = start(&(struct proc_opts){ .path = x->path,
				       .argv = x->argv ? x->argv : only_path,
				       .env = x->env,
				       .fds = { in, out_w, err_w, x->keep_fd },
				       .fd_count = x->keep_fd > 0 ? 4 : 3,
				       .new_session = true,
				       .pdeathsig = SIGKILL },
		  &run.proc, e);
	if (r < 0)
		return r;
	close(take_fd(out_w));
	close(take_fd(err_w));
	run.fds[FD_OUT] = (struct pollfd){ .fd = out_r, .events = POLLIN };
	run.fds[FD_ERR] = (struct pollfd){ .fd = err_r, .events = POLLIN };
	run.fds[FD_END] = (struct pollfd){ .fd = run.proc.pid_fd, .events = POLLIN };
	run.fds[FD_CANCEL] = (struct pollfd){ .fd = x->call->cancel_fd, .events = POLLIN };
	return supervise(&run, e);
}
