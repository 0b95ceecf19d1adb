/* SPDX-License-Identifier: Apache-2.0 */
#include "image/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"

#define END_TIMEOUT_MS 2000 /* to end by itself, before it is killed */
#define GONE_TIMEOUT_MS 10000

/* What of our environment the worker gets: where the proxies are, and nothing else. */
static const char *const passed_env[] = { "http_proxy", "https_proxy",	 "HTTPS_PROXY",
					  "all_proxy",	"ALL_PROXY",	 "no_proxy",
					  "NO_PROXY",	"SSL_CERT_FILE", "SSL_CERT_DIR" };

static void fill_env(struct strv *env)
{
	for (size_t i = 0; i < ARRAY_LEN(passed_env); i++) {
		const char *value = getenv(passed_env[i]);

		if (value)
			strv_addf(env, "%s=%s", passed_env[i], value);
	}
}

static int make_work_dir(struct worker *w, int tmp_dfd, struct error *e)
{
	char random[17];

	str_random_hex(random, 8);
	snprintf(w->work_name, sizeof(w->work_name), "work-%s", random);
	w->tmp_dfd = tmp_dfd;
	/* 0755: the layers' process may look through it as another uid; nobody else gets past ROOT. */
	if (mkdirat(tmp_dfd, w->work_name, 0755) < 0) {
		int r = err_sys(e, "make work directory \"tmp/%s\"", w->work_name);

		w->work_name[0] = '\0';
		return r;
	}
	w->work_dfd = openat(tmp_dfd, w->work_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->work_dfd < 0)
		return err_sys(e, "open work directory \"tmp/%s\"", w->work_name);
	/* Whatever umask we run with. */
	if (fchmod(w->work_dfd, 0755) < 0)
		return err_sys(e, "set the mode of \"tmp/%s\"", w->work_name);
	return 0;
}

static int spawn(struct worker *w, const char *helper, int sock, int alive, int source_fd, struct error *e)
{
	const char *argv[] = { helper, log_is_on(LOG_LEVEL_DEBUG) ? "debug" : "info", NULL };
	cleanup_strv struct strv env = STRV_INIT;
	struct proc_opts opts = { .path = helper,
				  .argv = argv,
				  .fds = { -1, -1, STDERR_FILENO, sock, w->work_dfd, alive, source_fd },
				  .fd_count = source_fd >= 0 ? 7 : 6,
				  .new_session = true };

	fill_env(&env);
	opts.env = (const char *const *)env.v;
	return proc_spawn(&opts, &w->proc, e);
}

int worker_start(struct worker *w, const char *helper, int tmp_dfd, int source_fd, struct error *e)
{
	int socks[2], alive[2], r;

	*w = WORKER_INIT;
	r = make_work_dir(w, tmp_dfd, e);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0)
		return err_sys(e, "make a socket pair");
	w->wire.fd = socks[0];
	r = fd_pipe(alive, e);
	if (r >= 0) {
		w->alive_fd = alive[0];
		r = spawn(w, helper, socks[1], alive[1], source_fd, e);
		close(alive[1]);
	}
	close(socks[1]);
	return r < 0 ? err_ctx(e, "start the image worker") : 0;
}

void worker_stop(struct worker *w)
{
	struct pollfd poll_fd = { .fd = w->alive_fd, .events = POLLIN };
	struct error e = ERROR_INIT;

	if (w->wire.fd >= 0)
		close(w->wire.fd);
	/* It takes its other processes along, and reaps them. */
	if (w->proc.pid_fd >= 0 && (w->is_done || pidfd_send(w->proc.pid_fd, SIGTERM) == 0))
		poll(&poll_fd, 1, END_TIMEOUT_MS);
	proc_kill(&w->proc);
	/* Its other processes end by themselves then, the kernel sees to it; it may take a moment. */
	if (w->alive_fd >= 0) {
		if (poll(&poll_fd, 1, GONE_TIMEOUT_MS) == 0)
			log_warn("processes of the image worker still run; \"tmp/%s\" stays until the next "
				 "start",
				 w->work_name);
		close(w->alive_fd);
	}
	if (w->work_dfd >= 0)
		close(w->work_dfd);
	if (w->work_name[0] && path_remove_tree(w->tmp_dfd, w->work_name, &e) < 0)
		log_warn("%s", err_msg(&e));
	wire_done(&w->wire);
	*w = WORKER_INIT;
}

static const char *const *auth_fields(const struct image_auth *auth, const char *out[6])
{
	const char *fields[6] = { 0 };

	if (auth) {
		fields[0] = auth->username;
		fields[1] = auth->password;
		fields[2] = auth->auth;
		fields[3] = auth->server_address;
		fields[4] = auth->identity_token;
		fields[5] = auth->registry_token;
	}
	for (size_t i = 0; i < 6; i++)
		out[i] = fields[i] ? fields[i] : "";
	return out;
}

uint64_t worker_auth_bytes(const struct image_auth *auth)
{
	const char *fields[6];
	uint64_t n = 0;

	auth_fields(auth, fields);
	for (size_t i = 0; i < 6; i++)
		n += strlen(fields[i]) + 1;
	return n;
}

int worker_send_auth(struct worker *w, const struct image_auth *auth, struct error *e)
{
	const char *fields[6];
	int r = 0;

	auth_fields(auth, fields);
	for (size_t i = 0; r >= 0 && i < 6; i++)
		r = wire_send_bytes(&w->wire, fields[i], strlen(fields[i]) + 1, e);
	return r;
}

/* The socket closed without a word: say how the process ended. */
static int ended(struct worker *w, struct error *e)
{
	char text[64];
	int status;

	if (proc_wait(&w->proc, deadline_in_ms(1000), &status, e) < 0)
		return err_kind(e, ERR_INTERNAL);
	return err_new(e, ERR_INTERNAL, "the image worker ended early: %s",
		       proc_status_text(status, text, sizeof(text)));
}

static int said_error(struct json_object *o, struct error *e)
{
	const char *message = "";
	int32_t kind = 0, sys = 0;

	if (json_get_str(o, "message", &message, e) < 0 || json_get_i32(o, "kind", &kind, e) < 0 ||
	    json_get_i32(o, "sys", &sys, e) < 0)
		return -e->kind;
	if (kind <= ERR_NONE || kind >= ERR_KIND_COUNT)
		kind = ERR_INTERNAL;
	err_new(e, (enum err_kind)kind, "%s", message);
	e->sys = sys;
	return -kind;
}

int worker_event(struct worker *w, int cancel_fd, int64_t deadline_ns, struct json_object **ret,
		 const char **ret_name, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	int r = wire_receive(&w->wire, cancel_fd, deadline_ns, &o, e);

	if (r <= 0)
		return r < 0 ? r : ended(w, e);
	r = json_need(json_get_str(o, "event", ret_name, e), "event", e);
	if (r < 0)
		return err_kind(e, ERR_INTERNAL);
	if (str_eq(*ret_name, "error"))
		return said_error(o, e);
	*ret = take_ptr(o);
	return 0;
}
