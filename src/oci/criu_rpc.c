/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/criu_rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "codec/pb.h"
#include "oci/criu_plan.h"

#define MESSAGE_MAX 65536     /* of criu's answers */
#define REQUEST_MAX (1 << 18) /* what a socket takes at once */
#define LOG_MAX (64u << 20)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- the program -------------------------------------------------------------------------------------- */

/* What runs as root is written by root alone. */
static int check_program(const char *path, struct error *e)
{
	struct stat sb;

	if (stat(path, &sb) < 0 || !S_ISREG(sb.st_mode) || access(path, X_OK) < 0)
		return err_new(e, ERR_NOT_FOUND, "criu: there is no program \"%s\"", path);
	if ((sb.st_uid != 0 && sb.st_uid != geteuid()) || (sb.st_mode & (S_IWGRP | S_IWOTH)))
		return err_new(
			e, ERR_DENIED,
			"criu: \"%s\" could have been written by others than root (owner %u, mode %03o)",
			path, sb.st_uid, sb.st_mode & 0777u);
	return 0;
}

int criu_find(const char *name, char **ret_path, struct error *e)
{
	const char *path = getenv("PATH");
	cleanup_strv struct strv dirs = STRV_INIT;
	int r;

	if (strchr(name, '/')) {
		char *whole = realpath(name, NULL);

		r = check_program(whole ? whole : name, e);
		if (r < 0)
			free(whole);
		else
			*ret_path = whole;
		return r;
	}
	strv_split(&dirs, path ? path : DEFAULT_PATH, ":");
	for (size_t i = 0; i < dirs.n; i++) {
		char *found = str_fmt("%s/%s", dirs.v[i], name);

		r = found[0] == '/' && access(found, X_OK) == 0 ? check_program(found, e) : -ERR_NOT_FOUND;
		if (r >= 0)
			*ret_path = found;
		else
			free(found);
		if (r != -ERR_NOT_FOUND)
			return r;
	}
	return err_new(e, ERR_NOT_FOUND,
		       "checkpoint and restore need the program \"%s\", which is not in $PATH "
		       "(on Debian and Fedora it is the package criu; --criu names another one)",
		       name);
}

const char *const *criu_environment(void)
{
	static const char *env[] = { "PATH=" DEFAULT_PATH, "LC_ALL=C", NULL };

	return env;
}

/* ---- the process -------------------------------------------------------------------------------------- */

static int wait_for_end(const struct criu_worker *w, int flags)
{
	siginfo_t info = { 0 };

	while (waitid(P_PIDFD, (id_t)w->pid_fd, &info, WEXITED | __WALL | flags) < 0)
		if (errno != EINTR)
			return 0;
	return info.si_code;
}

void criu_worker_done(struct criu_worker *w)
{
	if (w->sock >= 0)
		close(w->sock);
	if (w->pid_fd >= 0) {
		/* One that was killed leaves helpers, stopped ones among them. Until it is reaped, no other group
		 * has its number. */
		if (w->is_child && wait_for_end(w, WNOWAIT) != CLD_EXITED && w->leads_group)
			kill(-w->pid, SIGKILL);
		if (w->is_child)
			wait_for_end(w, 0);
		close(w->pid_fd);
	}
	if (w->output_fd >= 0)
		close(w->output_fd);
	*w = CRIU_WORKER_INIT;
}

int criu_output(struct criu_worker *w, struct error *e)
{
	w->output_fd = memfd_create("criu", MFD_CLOEXEC);
	return w->output_fd < 0 ? err_sys(e, "make a file for what criu says") : 0;
}

int criu_worker_start(const char *path, struct criu_worker *ret, struct error *e)
{
	CLEANUP(criu_worker_done) struct criu_worker w = CRIU_WORKER_INIT;
	const char *const argv[] = { "criu", "swrk", "3", NULL };
	/* criu tries out what the kernel can, and mounts for that; it may be killed meanwhile. */
	struct proc_opts o = { .path = path,
			       .argv = argv,
			       .env = criu_environment(),
			       .fd_count = 4,
			       .new_session = true,
			       .own_mounts = true };
	struct proc proc;
	int pair[2], r = criu_output(&w, e);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "make a socket for criu");
	w.sock = pair[0];
	o.fds[0] = -1;
	o.fds[1] = o.fds[2] = w.output_fd;
	o.fds[CRIU_SOCK_FD] = pair[1];
	r = proc_spawn(&o, &proc, e);
	close(pair[1]);
	if (r < 0)
		return err_ctx(e, "start \"%s\"", path);
	w.pid = proc.pid;
	w.pid_fd = proc.pid_fd;
	w.is_child = w.leads_group = true;
	*ret = w;
	w = CRIU_WORKER_INIT;
	return 0;
}

/* ---- messages ----------------------------------------------------------------------------------------- */

static int send_request(struct criu_worker *w, const Hull__Criu__Request *q, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct iovec iov;
	int r = pb_pack(q, REQUEST_MAX, &b, e);

	if (r < 0)
		return err_ctx(e, "ask criu");
	iov = (struct iovec){ b.data, b.len };
	if (fd_send(w->sock, &iov, 1, NULL, 0) < 0)
		return errno == EPIPE || errno == ECONNRESET
			       ? err_new(e, ERR_UNAVAILABLE, "criu has ended before it was asked")
			       : err_sys(e, "ask criu");
	return 0;
}

/* Its children have the socket, too, and outlive a criu that is killed: the end of the connection is not to be waited
 * for alone. */
static int wait_for_message(const struct criu_worker *w, struct error *e)
{
	struct pollfd p[] = { { .fd = w->sock, .events = POLLIN }, { .fd = w->pid_fd, .events = POLLIN } };

	while (poll(p, ARRAY_LEN(p), -1) < 0)
		if (errno != EINTR)
			return err_sys(e, "wait for criu");
	/* What it said at last comes first. */
	return p[0].revents || poll(p, 1, 0) > 0
		       ? 0
		       : err_new(e, ERR_UNAVAILABLE, "criu has ended without an answer");
}

static int receive(struct criu_worker *w, struct arena *a, Hull__Criu__Response **ret, int *ret_fd,
		   struct error *e)
{
	cleanup_free char *data = mem_alloc(MESSAGE_MAX);
	size_t fd_count = 1;
	int fd = -1, r = wait_for_message(w, e);
	ssize_t n;

	if (r < 0)
		return r;
	n = fd_recv(w->sock, data, MESSAGE_MAX, &fd, &fd_count);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return err_new(e, ERR_UNAVAILABLE, "criu has ended without an answer");
	if (n < 0)
		return err_sys(e, "hear from criu");
	r = pb_unpack(&hull__criu__response__descriptor, data, (size_t)n, a, (void **)ret, e);
	if (r < 0) {
		if (fd_count)
			close(fd);
		err_kind(e, ERR_CORRUPT);
		return err_ctx(e, "the answer of criu");
	}
	*ret_fd = fd_count ? fd : -1;
	return 0;
}

static int answer_notify(struct criu_worker *w, const Hull__Criu__Response *m, int fd, criu_notify notify,
			 void *arg, struct error *e)
{
	Hull__Criu__Request yes = {
		.base.descriptor = &hull__criu__request__descriptor,
		.type = HULL__CRIU__TYPE__NOTIFY,
		.has_notify_success = true,
		.notify_success = true,
	};
	const char *script = m->notify && m->notify->script ? m->notify->script : "";
	struct error why = ERROR_INIT;
	int r = 0, sent;

	log_debug("criu is at \"%s\"", script);
	if (notify)
		r = notify(arg, script, m->notify && m->notify->has_pid ? m->notify->pid : 0, fd, e);
	else if (fd >= 0)
		close(fd);
	yes.notify_success = r >= 0;
	sent = send_request(w, &yes, r < 0 ? &why : e);
	return r < 0 ? r : sent;
}

int criu_worker_call(struct criu_worker *w, const Hull__Criu__Request *q, criu_notify notify, void *arg,
		     struct arena *a, Hull__Criu__Response **ret, struct error *e)
{
	int r = send_request(w, q, e);

	while (r >= 0) {
		Hull__Criu__Response *m;
		int fd = -1;

		r = receive(w, a, &m, &fd, e);
		if (r < 0)
			break;
		if (m->type == HULL__CRIU__TYPE__NOTIFY && m->success) {
			r = answer_notify(w, m, fd, notify, arg, e);
			continue;
		}
		if (fd >= 0)
			close(fd);
		*ret = m;
		return m->success && m->type == q->type ? 0 : 1;
	}
	return r;
}

/* ---- failure ------------------------------------------------------------------------------------------ */

static void read_output(int fd, struct buf *text)
{
	struct error ignored = ERROR_INIT;

	if (fd >= 0 && lseek(fd, 0, SEEK_SET) == 0)
		(void)!fd_read_all(fd, LOG_MAX, text, &ignored);
}

int criu_failed(const struct criu_worker *w, int dfd, const char *log_path, const char *shown,
		struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct error ignored = ERROR_INIT;
	char quote[CRIU_QUOTE_SIZE] = "";

	if (log_path && file_read(dfd, log_path, LOG_MAX, &text, &ignored) >= 0)
		criu_log_quote(buf_str(&text), text.len, quote);
	if (quote[0])
		return err_new(e, ERR_STATE, "criu failed: %s (its whole log is \"%.300s\")", quote, shown);
	buf_clear(&text);
	read_output(w->output_fd, &text);
	criu_log_quote(buf_str(&text), text.len, quote);
	if (quote[0])
		return err_new(e, ERR_STATE, "criu failed: %s", quote);
	return err_new(e, ERR_STATE, "criu failed and did not say why (its log is \"%.300s\")",
		       shown ? shown : "empty");
}
