/* SPDX-License-Identifier: Apache-2.0 */
/* The order at the start: directories, locks (from here on nobody else is in them), the socket (clients
 * that connect now wait in its backlog), the node with all of its recovery, and then the server. At the
 * end the other way round. */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "cri/node.h"
#include "daemon/listen.h"
#include "daemon/notify.h"
#include "daemon/server.h"

struct daemon {
	struct daemon_config *config; /* in force */
	struct daemon_config **all;   /* it and those before it: requests may still use them */
	size_t count;
	const struct config_flags *flags;
	int state_lock_fd, root_lock_fd, listen_fd, signal_fd, watchdog_fd;
	char *socket_path; /* once we listen there */
	struct node *node;
	struct server *server;
	int is_reloading;
};

/* The schema has checked both. */
static enum log_level level_of(const struct daemon_config *c)
{
	enum log_level level = LOG_LEVEL_INFO;

	return log_level_parse(c->node.log_level, &level, NULL) == 0 ? level : LOG_LEVEL_INFO;
}

/* --- reload, in a worker thread --- */

/* Owned by d from now on; freed at the end. A configuration is small, and reloads are rare. */
static void keep_config(struct daemon *d, struct daemon_config *config)
{
	d->all = mem_regrow(d->all, d->count + 1, sizeof(struct daemon_config *));
	d->all[d->count++] = config;
	d->config = config;
}

static int reload(struct daemon *d, struct error *e)
{
	struct daemon_config *next = NEW(struct daemon_config);
	int r = config_load(d->flags, next, e);

	if (r < 0) {
		free(next);
		return r;
	}
	r = node_reload(d->node, &next->node, e);
	if (r < 0) {
		config_done(next);
		free(next);
		return r;
	}
	log_set_level(level_of(next));
	keep_config(d, next);
	return 0;
}

static void reload_task(void *arg)
{
	struct daemon *d = arg;
	struct error e = ERROR_INIT;

	notify_reloading();
	if (reload(d, &e) < 0)
		log_error("reload: %s; the old configuration stays", err_msg(&e));
	else
		log_info("configuration reloaded");
	notify_ready();
	__atomic_store_n(&d->is_reloading, 0, __ATOMIC_RELEASE);
}

/* --- events of the I/O thread --- */

static void on_signal(void *arg, int fd)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;
	struct error e = ERROR_INIT;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP) {
			log_info("signal %u from pid %u", info.ssi_signo, info.ssi_pid);
			notify_stopping();
			server_stop(d->server);
		} else if (__atomic_exchange_n(&d->is_reloading, 1, __ATOMIC_ACQ_REL)) {
			log_info("reload: one is running");
		} else if (server_run_task(d->server, reload_task, d, &e) < 0) {
			log_error("reload: %s", err_msg(&e));
			__atomic_store_n(&d->is_reloading, 0, __ATOMIC_RELEASE);
		}
	}
}

static void on_watchdog(void *arg, int fd)
{
	uint64_t count;

	(void)arg;
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		notify_alive();
}

static int watch_signals(struct daemon *d, struct error *e)
{
	int64_t ns = notify_watchdog_ns();
	struct itimerspec every = { .it_interval = { ns / NS_PER_S, ns % NS_PER_S },
				    .it_value = { ns / NS_PER_S, ns % NS_PER_S } };
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signal_fd < 0)
		return err_sys(e, "make a signalfd");
	r = server_watch(d->server, d->signal_fd, on_signal, d, e);
	if (r < 0 || !ns)
		return r;
	d->watchdog_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->watchdog_fd < 0 || timerfd_settime(d->watchdog_fd, 0, &every, NULL) < 0)
		return err_sys(e, "make a timer for the watchdog");
	return server_watch(d->server, d->watchdog_fd, on_watchdog, d, e);
}

/* --- start and end --- */

/* Before any thread is made, so that all inherit the mask; children get an empty one (base/proc.h). */
static void block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Connections, monitors, pidfds and layers all take fds; the hard limit is what we are allowed. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int make_dirs(struct daemon *d, struct error *e)
{
	const struct node_config *n = &d->config->node;
	const char *path = NULL, *slash;
	int r;

	r = path_mkdir_all(n->state_dir, 0700, NULL, e);
	if (r == 0)
		r = path_mkdir_all(n->root_dir, 0700, NULL, e);
	if (r == 0)
		r = listen_path(n->listen, &path, e);
	if (r < 0 || !path)
		return r;
	slash = strrchr(path, '/');
	if (slash != path) {
		cleanup_free char *dir = str_ndup(path, (size_t)(slash - path));

		r = path_mkdir_all(dir, 0755, NULL, e);
	}
	return r;
}

static int take_places(struct daemon *d, struct error *e)
{
	const struct node_config *n = &d->config->node;
	const char *path;
	int r;

	r = make_dirs(d, e);
	if (r == 0)
		r = listen_lock(n->state_dir, "lock", &d->state_lock_fd, e);
	if (r == 0)
		r = listen_lock(n->root_dir, "lock", &d->root_lock_fd, e);
	if (r == 0)
		r = listen_path(n->listen, &path, e);
	if (r == 0)
		r = listen_unix(path, &d->listen_fd, e);
	if (r == 0)
		d->socket_path = str_dup(path);
	return r;
}

static int serve(struct daemon *d, struct error *e)
{
	struct server_opts opts = { cri_methods, CRI_METHOD_COUNT + NODE_METHOD_COUNT, d->node,
				    server_limits_default };
	int r;

	config_limits(d->config, &opts.limits);
	r = server_new(&opts, &d->server, e);
	if (r == 0)
		r = watch_signals(d, e);
	if (r == 0)
		r = server_listen(d->server, take_fd(d->listen_fd), e);
	if (r < 0)
		return r;
	log_info("hulld %s serves %s", HULL_VERSION, d->config->node.listen);
	notify_ready();
	return server_run(d->server, e);
}

static void close_all(struct daemon *d)
{
	int *const fds[] = { &d->listen_fd, &d->signal_fd, &d->watchdog_fd, &d->root_lock_fd,
			     &d->state_lock_fd };

	/* The socket first: a successor may come as soon as the locks are free. */
	if (d->socket_path)
		unlink(d->socket_path);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	free(d->socket_path);
	for (size_t i = 0; i < d->count; i++) {
		config_done(d->all[i]);
		free(d->all[i]);
	}
	free(d->all);
}

int daemon_run(struct daemon_config *config, const struct config_flags *flags, struct error *e)
{
	struct daemon d = {
		.flags = flags,
		.state_lock_fd = -1,
		.root_lock_fd = -1,
		.listen_fd = -1,
		.signal_fd = -1,
		.watchdog_fd = -1,
	};
	int r;

	keep_config(&d, mem_dup(config, sizeof(*config)));
	*config = (struct daemon_config){ 0 };
	server_tune_malloc();
	log_setup(STDERR_FILENO,
		  str_eq(d.config->node.log_format, "json") ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
		  level_of(d.config));
	umask(0077);
	block_signals();
	raise_fd_limit();
	notify_setup();
	r = take_places(&d, e);
	if (r == 0)
		r = node_open(&d.config->node, &d.node, e);
	if (r == 0)
		r = serve(&d, e);
	if (d.server && server_is_stuck(d.server)) {
		/* State is always safe to leave; waiting for a hung call is not an end. */
		log_error("calls do not end although canceled: leaving them");
		_exit(3);
	}
	if (d.server)
		server_free(d.server);
	if (d.node)
		node_close(d.node);
	close_all(&d);
	if (r == 0)
		log_info("hulld ended");
	return r;
}
