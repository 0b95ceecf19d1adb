/* SPDX-License-Identifier: Apache-2.0 */
/* systemd listens for root on a socket of its own, without a daemon in between: that is tried first, since it is there
 * whether or not there is a D-Bus daemon, and one hop shorter. Otherwise it is org.freedesktop.systemd1 on the system
 * bus or the user's.
 *
 * A connection begins with SASL (D-Bus Specification, "Authentication Protocol"): mechanism EXTERNAL without an identity,
 * so that the server takes the credentials of the socket. In a user namespace we would name another uid than the
 * one it sees. */
#include "cgroup/bus.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define DAEMON "org.freedesktop.DBus"
#define INITIAL_USER_NS 0xEFFFFFFDu /* PROC_USER_INIT_INO of the kernel */

void bus_done(struct bus *b)
{
	if (b->fd >= 0)
		close(b->fd);
	buf_done(&b->in);
	*b = BUS_INIT;
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

static int wait_for(struct bus *b, short events, struct error *e)
{
	struct pollfd p = { .fd = b->fd, .events = events };

	for (;;) {
		int n = poll(&p, 1, deadline_left_ms(b->deadline));

		if (n > 0)
			return 0;
		if (n == 0)
			return err_new(e, ERR_TIMEOUT, "systemd does not answer in time");
		if (errno != EINTR)
			return err_sysk(e, ERR_UNAVAILABLE, errno, "wait for systemd");
	}
}

static int send_all(struct bus *b, const char *data, size_t n, struct error *e)
{
	while (n > 0) {
		ssize_t sent = send(b->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r;

		if (sent >= 0) {
			data += sent;
			n -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return err_sysk(e, ERR_UNAVAILABLE, errno, "write to systemd");
		r = wait_for(b, POLLOUT, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* More bytes at the end of b->in. */
static int receive(struct bus *b, struct error *e)
{
	for (;;) {
		ssize_t n;
		int r = wait_for(b, POLLIN, e);

		if (r < 0)
			return r;
		n = recv(b->fd, buf_reserve(&b->in, 4096), 4096, MSG_DONTWAIT);
		if (n > 0) {
			buf_added(&b->in, (size_t)n);
			return 0;
		}
		if (n == 0)
			return err_new(e, ERR_UNAVAILABLE, "systemd closed the connection");
		if (errno != EAGAIN && errno != EINTR)
			return err_sysk(e, ERR_UNAVAILABLE, errno, "read from systemd");
	}
}

/* ---- the connection ------------------------------------------------------------------------------------ */

static int connect_to(struct bus *b, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, path, n);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] != '@'))) < 0) {
		int sys = errno;

		close(fd);
		errno = sys;
		return -1;
	}
	b->fd = fd;
	return 0;
}

/* One line of the server, without its end, taken off b->in. The caller frees it. */
static int auth_line(struct bus *b, char **ret, struct error *e)
{
	for (;;) {
		const char *end = strstr(buf_str(&b->in), "\r\n");
		int r;

		if (end) {
			size_t n = (size_t)(end - b->in.data);

			*ret = str_ndup(b->in.data, n);
			buf_consume(&b->in, n + 2);
			return 0;
		}
		if (b->in.len > 4096)
			return err_new(e, ERR_CORRUPT, "what answers is no D-Bus server");
		r = receive(b, e);
		if (r < 0)
			return r;
	}
}

/* All our words go at once: what a server reads together with BEGIN, systemd would leave unread until more comes. */
static int authenticate(struct bus *b, struct error *e)
{
	static const char words[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	int r = send_all(b, words, sizeof(words) - 1, e);

	while (r >= 0) {
		cleanup_free char *line = NULL;

		r = auth_line(b, &line, e);
		if (r < 0 || str_starts(line, "OK "))
			break;
		if (!str_eq(line, "DATA") && !str_starts(line, "DATA "))
			return err_new(e, ERR_DENIED, "D-Bus does not let us in (\"%.100s\")", line);
	}
	return r;
}

bool bus_is_user(void)
{
	struct stat st;

	return geteuid() != 0 || stat("/proc/self/ns/user", &st) < 0 || st.st_ino != INITIAL_USER_NS;
}

/* "unix:path=/run/x,guid=...;..." of an environment variable: the first path, or "@name". */
static char *address_path(const char *address)
{
	const char *path = address ? strstr(address, "unix:path=") : NULL;
	const char *name = address ? strstr(address, "unix:abstract=") : NULL;

	if (path) {
		path += strlen("unix:path=");
		return str_ndup(path, strcspn(path, ",;"));
	}
	if (!name)
		return NULL;
	name += strlen("unix:abstract=");
	return str_fmt("@%.*s", (int)strcspn(name, ",;"), name);
}

static int no_user_manager(const struct bus *b, int sys, struct error *e)
{
	err_sysk(e, ERR_UNAVAILABLE, sys, "reach systemd");
	if (b->is_user && !getenv("XDG_RUNTIME_DIR"))
		return err_hint(e,
				"the user's systemd is found by $XDG_RUNTIME_DIR, which is not set: log in "
				"through systemd, or have it run by \"loginctl enable-linger\"");
	return -ERR_UNAVAILABLE;
}

/* Sockets in the order in which they are tried; the first is systemd's own. */
static void socket_paths(const struct bus *b, struct strv *direct, struct strv *through)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	cleanup_free char *given =
		address_path(getenv(b->is_user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS"));

	if (given)
		strv_add(through, given);
	if (!b->is_user) {
		strv_add(direct, "/run/systemd/private");
		strv_add(through, "/run/dbus/system_bus_socket");
	} else if (runtime) {
		strv_addf(direct, "%s/systemd/private", runtime);
		strv_addf(through, "%s/bus", runtime);
	}
}

static int connect_any(struct bus *b, struct error *e)
{
	cleanup_strv struct strv direct = STRV_INIT, through = STRV_INIT;
	int sys = ENOENT;

	socket_paths(b, &direct, &through);
	for (size_t i = 0; i < direct.n; i++) {
		b->is_direct = true;
		if (connect_to(b, direct.v[i]) == 0)
			return 0;
		sys = errno;
	}
	b->is_direct = false;
	for (size_t i = 0; i < through.n; i++) {
		if (connect_to(b, through.v[i]) == 0)
			return 0;
		sys = errno;
	}
	return no_user_manager(b, sys, e);
}

/* ---- messages ------------------------------------------------------------------------------------------- */

/* JobRemoved(u id, o job, s unit, s result) */
static void note_signal(struct bus *b, const struct dbus_message *m)
{
	struct dbus_cursor c = { .data = m->body, .len = m->body_len };
	const char *job, *unit, *result;
	uint32_t id;

	if (!str_eq(m->member, "JobRemoved") || !str_eq(m->interface, BUS_MANAGER) ||
	    !dbus_get_u32(&c, &id) || !dbus_get_str(&c, &job) || !dbus_get_str(&c, &unit) ||
	    !dbus_get_str(&c, &result))
		return;
	snprintf(b->ended_job, sizeof(b->ended_job), "%s", job);
	snprintf(b->ended_result, sizeof(b->ended_result), "%s", result);
}

/* The next message; it stays in b->in until the next call of this. What comes with it is not lost. */
static int next(struct bus *b, struct dbus_message *ret, struct error *e)
{
	buf_consume(&b->in, b->used);
	b->used = 0;
	for (;;) {
		int n = dbus_parse(b->in.data ? b->in.data : "", b->in.len, ret, e);

		if (n < 0)
			return n;
		if (n > 0) {
			b->used = (size_t)n;
			if (ret->type == DBUS_SIGNAL)
				note_signal(b, ret);
			return 0;
		}
		n = receive(b, e);
		if (n < 0)
			return n;
	}
}

/* systemd's and the daemon's errors, by the ends of their names. */
static int call_failed(const struct dbus_message *m, struct error *e)
{
	static const struct {
		const char *end;
		enum err_kind kind;
	} known[] = {
		{ ".UnitExists", ERR_EXISTS },		 { ".NoSuchUnit", ERR_NOT_FOUND },
		{ ".InvalidArgs", ERR_INVALID },	 { ".PropertyReadOnly", ERR_INVALID },
		{ ".AccessDenied", ERR_DENIED },	 { ".InteractiveAuthorizationRequired", ERR_DENIED },
		{ ".UnknownProperty", ERR_UNSUPPORTED },
	};
	struct dbus_cursor c = { .data = m->body, .len = m->body_len };
	const char *text = "";

	if (m->signature[0] != 's' || !dbus_get_str(&c, &text))
		text = "no reason is given";
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (str_ends(m->error_name, known[i].end))
			return err_new(e, known[i].kind, "systemd: %s", text);
	return err_new(e, ERR_UNAVAILABLE, "systemd: %s (%s)", text, m->error_name);
}

static int call(struct bus *b, const struct dbus_call *c, struct dbus_message *ret, struct error *e)
{
	cleanup_buf struct buf out = BUF_INIT;
	uint32_t serial = ++b->serial;
	int r;

	dbus_put_call(&out, c, serial);
	r = send_all(b, out.data, out.len, e);
	while (r >= 0) {
		r = next(b, ret, e);
		if (r < 0)
			break;
		if (ret->reply_serial == serial && ret->type == DBUS_ERROR)
			return call_failed(ret, e);
		if (ret->reply_serial == serial && ret->type == DBUS_RETURN)
			return 0;
	}
	return r;
}

int bus_call(struct bus *b, const char *interface, const char *member, const char *signature,
	     const struct buf *body, struct dbus_message *ret_reply, struct error *e)
{
	const struct dbus_call c = {
		.destination = b->is_direct ? NULL : SYSTEMD,
		.path = OBJECT,
		.interface = interface,
		.member = member,
		.signature = signature,
		.body = body,
	};

	return call(b, &c, ret_reply, e);
}

/* On a bus: be somebody, and hear of jobs. */
static int introduce(struct bus *b, struct error *e)
{
	struct dbus_call hello = {
		.destination = DAEMON, .path = "/org/freedesktop/DBus", .interface = DAEMON, .member = "Hello"
	};
	cleanup_buf struct buf rule = BUF_INIT;
	struct dbus_message reply;
	int r = call(b, &hello, &reply, e);

	if (r < 0)
		return r;
	dbus_put_str(&rule,
		     "type='signal',sender='" SYSTEMD "',interface='" BUS_MANAGER "',member='JobRemoved'");
	hello.member = "AddMatch";
	hello.signature = "s";
	hello.body = &rule;
	r = call(b, &hello, &reply, e);
	return r < 0 ? r : bus_call(b, BUS_MANAGER, "Subscribe", NULL, NULL, &reply, e);
}

int bus_open(struct bus *b, int timeout_ms, struct error *e)
{
	int r;

	*b = BUS_INIT;
	b->deadline = deadline_in_ms(timeout_ms);
	b->is_user = bus_is_user();
	r = connect_any(b, e);
	if (r >= 0)
		r = authenticate(b, e);
	if (r >= 0 && !b->is_direct)
		r = introduce(b, e);
	if (r < 0)
		bus_done(b);
	return r;
}

int bus_wait_job(struct bus *b, const char *job, struct error *e)
{
	while (!str_eq(b->ended_job, job)) {
		struct dbus_message m;
		int r = next(b, &m, e);

		if (r < 0)
			return r;
	}
	if (!str_eq(b->ended_result, "done"))
		return err_new(e, ERR_UNAVAILABLE, "systemd: the job's result is \"%s\"", b->ended_result);
	return 0;
}
