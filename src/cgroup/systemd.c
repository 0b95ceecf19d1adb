/* SPDX-License-Identifier: Apache-2.0 */
/* One delegated scope a pod (see the header).
 *
 * A scope is started by StartTransientUnit of org.freedesktop.systemd1.Manager with the processes that it shall
 * hold (org.freedesktop.systemd1(5)); there is no scope without one. The answer is only the path of a job, and
 * the cgroup is there when the signal JobRemoved names that job, so the signal is subscribed to before the call. */
#include "cgroup/systemd.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/clock.h"
#include "base/str.h"
#include "cgroup/path.h"

#define DESTINATION "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

/* ---- libsystemd, when it is needed ------------------------------------------------------------- */

#define SYMBOLS(X)                        \
	X(sd_bus_open_system)             \
	X(sd_bus_open_user)               \
	X(sd_bus_flush_close_unref)       \
	X(sd_bus_call)                    \
	X(sd_bus_call_method)             \
	X(sd_bus_match_signal)            \
	X(sd_bus_process)                 \
	X(sd_bus_wait)                    \
	X(sd_bus_error_free)              \
	X(sd_bus_message_new_method_call) \
	X(sd_bus_message_append)          \
	X(sd_bus_message_open_container)  \
	X(sd_bus_message_close_container) \
	X(sd_bus_message_read)            \
	X(sd_bus_message_unref)

#define MEMBER(name) __typeof__(&name) name;
struct lib {
	SYMBOLS(MEMBER)
};

static int load(struct lib *ret, struct error *e)
{
	static const struct {
		const char *name;
		size_t at;
	} symbols[] = {
#define ENTRY(name) { #name, offsetof(struct lib, name) },
		SYMBOLS(ENTRY)
	};
	/* Never closed: the next call finds it loaded, and libsystemd does not like to be unloaded. */
	void *so = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!so) {
		err_new(e, ERR_UNSUPPORTED, "the systemd cgroup driver needs libsystemd: %s", dlerror());
		return -ERR_UNSUPPORTED;
	}
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
		void *symbol = dlsym(so, symbols[i].name);

		if (!symbol) {
			err_new(e, ERR_UNSUPPORTED, "libsystemd has no %s", symbols[i].name);
			return -ERR_UNSUPPORTED;
		}
		memcpy((char *)ret + symbols[i].at, &symbol, sizeof(symbol));
	}
	return 0;
}

/* ---- the bus ------------------------------------------------------------------------------------ */

struct bus {
	struct lib lib;
	sd_bus *bus;
	sd_bus_message *request, *reply;
	sd_bus_error error;
	char job[256];	 /* whose end is waited for; "" before the answer */
	char ended[256]; /* jobs may end before the answer comes: the last one */
	char result[32];
};

static void bus_done(struct bus *b)
{
	if (!b->lib.sd_bus_message_unref)
		return;
	b->lib.sd_bus_error_free(&b->error);
	b->lib.sd_bus_message_unref(b->request);
	b->lib.sd_bus_message_unref(b->reply);
	if (b->bus)
		b->lib.sd_bus_flush_close_unref(b->bus);
}
DEFINE_CLEANUP_VALUE(struct bus, bus_done)

/* r is a negative errno of sd-bus. */
static int failed(const struct bus *b, int r, const char *what, struct error *e)
{
	if (b->error.name && (strstr(b->error.name, ".UnitExists") || strstr(b->error.name, ".NameHasOwner")))
		return err_new(e, ERR_EXISTS, "%s: %s", what, b->error.message);
	if (b->error.name &&
	    (strstr(b->error.name, ".InvalidArgs") || strstr(b->error.name, ".PropertyReadOnly")))
		return err_new(e, ERR_INVALID, "%s: %s", what, b->error.message);
	if (b->error.name && strstr(b->error.name, ".AccessDenied"))
		return err_new(e, ERR_DENIED, "%s: %s", what, b->error.message);
	if (b->error.message)
		return err_new(e, ERR_UNAVAILABLE, "%s: %s (%s)", what, b->error.message, b->error.name);
	return err_sysk(e, r == -ETIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, -r, "%s", what);
}

static int bus_open(struct bus *b, struct error *e)
{
	int r = load(&b->lib, e);

	if (r < 0) {
		b->lib = (struct lib){ 0 };
		return r;
	}
	/* A rootless hull has its own systemd, that of the user's session. */
	r = geteuid() == 0 ? b->lib.sd_bus_open_system(&b->bus) : b->lib.sd_bus_open_user(&b->bus);
	return r < 0 ? failed(b, r, "connect to D-Bus", e) : 0;
}

/* JobRemoved(u id, o job, s unit, s result) */
static int on_job_removed(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	const char *job, *unit, *result;
	struct bus *b = arg;
	uint32_t id;

	(void)error;
	if (b->lib.sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
		return 0;
	if (*b->job && !str_eq(job, b->job))
		return 0;
	snprintf(b->ended, sizeof(b->ended), "%s", job);
	snprintf(b->result, sizeof(b->result), "%s", result);
	return 0;
}

static int wait_for_job(struct bus *b, const char *unit, int64_t deadline, struct error *e)
{
	while (!str_eq(b->ended, b->job)) {
		int r = b->lib.sd_bus_process(b->bus, NULL);

		if (r == 0 && deadline_left_ms(deadline) == 0)
			return err_new(e, ERR_TIMEOUT, "systemd did not finish the start of %s in time",
				       unit);
		if (r == 0)
			r = b->lib.sd_bus_wait(b->bus, (uint64_t)deadline_left_ms(deadline) * 1000);
		if (r < 0 && r != -EINTR)
			return failed(b, r, "wait for systemd", e);
	}
	if (!str_eq(b->result, "done"))
		return err_new(e, ERR_UNAVAILABLE, "systemd could not start %s: the job's result is \"%s\"",
			       unit, b->result);
	return 0;
}

/* ---- the scope ---------------------------------------------------------------------------------- */

/* StartTransientUnit(s name, s mode, a(sv) properties, a(sa(sv)) aux) */
static int build_request(struct bus *b, const struct cgroup_scope *s, const struct cgroup_unit_name *u)
{
	/* Accounting switches controllers on from the root down to the scope, which systemd may do and we may
	 * not. */
	static const char *const yes[] = { "Delegate", "CPUAccounting", "MemoryAccounting", "IOAccounting",
					   "TasksAccounting" };
	const struct lib *l = &b->lib;
	int r = l->sd_bus_message_new_method_call(b->bus, &b->request, DESTINATION, OBJECT, MANAGER,
						  "StartTransientUnit");

	if (r < 0 || (r = l->sd_bus_message_append(b->request, "ss", u->unit, "fail")) < 0 ||
	    (r = l->sd_bus_message_open_container(b->request, 'a', "(sv)")) < 0 ||
	    (r = l->sd_bus_message_append(b->request, "(sv)", "Description", "s",
					  s->description ? s->description : u->unit)) < 0 ||
	    (r = l->sd_bus_message_append(b->request, "(sv)", "Slice", "s", u->slice)) < 0 ||
	    /* Pods end by the kubelet's order, not by the shutdown of basic units before it. */
	    (r = l->sd_bus_message_append(b->request, "(sv)", "DefaultDependencies", "b", 0)) < 0 ||
	    /* A failed scope of this name would be in the way of the next attempt. */
	    (r = l->sd_bus_message_append(b->request, "(sv)", "CollectMode", "s", "inactive-or-failed")) <
		    0 ||
	    /* The kubelet's limits count; systemd's default for a scope is 15 % of the machine's. */
	    (r = l->sd_bus_message_append(b->request, "(sv)", "TasksMax", "t", UINT64_MAX)) < 0 ||
	    (r = l->sd_bus_message_append(b->request, "(sv)", "PIDs", "au", 1, (uint32_t)s->pid)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if ((r = l->sd_bus_message_append(b->request, "(sv)", yes[i], "b", 1)) < 0)
			return r;
	if ((r = l->sd_bus_message_close_container(b->request)) < 0)
		return r;
	return l->sd_bus_message_append(b->request, "a(sa(sv))", 0);
}

static int start_unit(struct bus *b, const struct cgroup_scope *s, const struct cgroup_unit_name *u,
		      struct error *e)
{
	int64_t deadline = deadline_in_ms(s->timeout_ms);
	const struct lib *l = &b->lib;
	const char *job;
	int r;

	r = l->sd_bus_match_signal(b->bus, NULL, DESTINATION, OBJECT, MANAGER, "JobRemoved", on_job_removed,
				   b);
	if (r < 0)
		return failed(b, r, "listen to systemd", e);
	/* Without a subscriber systemd sends no signals. */
	r = l->sd_bus_call_method(b->bus, DESTINATION, OBJECT, MANAGER, "Subscribe", &b->error, NULL, NULL);
	if (r < 0)
		return failed(b, r, "subscribe to systemd", e);
	r = build_request(b, s, u);
	if (r < 0)
		return failed(b, r, "write the request to systemd", e);
	r = l->sd_bus_call(b->bus, b->request, (uint64_t)s->timeout_ms * 1000, &b->error, &b->reply);
	if (r < 0)
		return failed(b, r, "ask systemd for a scope", e);
	r = l->sd_bus_message_read(b->reply, "o", &job);
	if (r < 0)
		return failed(b, r, "read systemd's answer", e);
	snprintf(b->job, sizeof(b->job), "%s", job);
	return wait_for_job(b, u->unit, deadline, e);
}

/* Move the process out of the scope's own directory, so that controllers can be enabled for children. */
static int enter_leaf(const struct cgroup_host *host, const char *path, const struct cgroup_scope *s,
		      struct error *e)
{
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	cleanup_free char *leaf = str_fmt("%s/%s", path, s->leaf);
	int r = cgroup_ensure(host, leaf, NULL, &cg, e);

	return r < 0 ? r : cgroup_attach(cg, s->pid, e);
}

/* The unit that a path of either form names. */
static int parse_scope(const struct cgroup_host *host, const char *text, struct cgroup_unit_name *ret_unit,
		       char ret_path[CGROUP_PATH_MAX], struct error *e)
{
	char path[CGROUP_PATH_MAX] = "", expanded[CGROUP_PATH_MAX] = "";
	struct cgroup_unit_name u = { .slice = "-.slice" };
	char *last, *slice;
	int r = cgroup_path_resolve(host, text, path, e);

	if (r < 0)
		return r;
	memcpy(ret_path, path, sizeof(path));
	last = strrchr(path, '/');
	*last++ = '\0';
	slice = strrchr(path, '/');
	if (!str_ends(last, ".scope") || strlen(last) >= sizeof(u.unit) ||
	    (slice && strlen(slice) >= sizeof(u.slice)))
		return err_new(e, ERR_INVALID, "\"%s\" does not name a scope", text);
	strncpy(u.unit, last, sizeof(u.unit) - 1);
	if (slice) {
		memset(u.slice, 0, sizeof(u.slice));
		strncpy(u.slice, slice + 1, sizeof(u.slice) - 1);
	}
	r = cgroup_slice_expand(u.slice, expanded, e);
	if (r < 0)
		return r;
	if (!str_eq(expanded, path))
		return err_new(e, ERR_INVALID, "\"%s\" is not where a scope of slice %s lies", text, u.slice);
	*ret_unit = u;
	return 0;
}

static int stop_unit(struct bus *b, const struct cgroup_unit_name *u, struct error *e)
{
	int r = b->lib.sd_bus_call_method(b->bus, DESTINATION, OBJECT, MANAGER, "StopUnit", &b->error, NULL,
					  "ss", u->unit, "replace");

	if (r >= 0 || (b->error.name && strstr(b->error.name, ".NoSuchUnit")))
		return 0;
	return failed(b, r, "ask systemd", e);
}

int cgroup_scope_start(const struct cgroup_host *host, const struct cgroup_scope *scope, struct error *e)
{
	CLEANUP(bus_done) struct bus b = { 0 };
	struct cgroup_unit_name u = { 0 };
	char path[CGROUP_PATH_MAX] = "";
	int r;

	r = parse_scope(host, scope->path, &u, path, e);
	if (r < 0)
		return r;
	r = bus_open(&b, e);
	if (r == 0)
		r = start_unit(&b, scope, &u, e);
	if (r < 0)
		return err_ctx(e, "start the systemd scope %s in %s", u.unit, u.slice);
	if (!scope->leaf)
		return 0;
	r = enter_leaf(host, path, scope, e);
	if (r == 0)
		return 0;
	if (stop_unit(&b, &u, NULL) < 0)
		err_hint(e, "the scope remains");
	return err_ctx(e, "systemd scope %s", u.unit);
}

/* systemd removes the directory when it has seen that the cgroup is empty. */
static int wait_until_gone(const struct cgroup_host *host, const char *path, int64_t deadline,
			   struct error *e)
{
	for (;;) {
		CLEANUP(cgroup_free) struct cgroup *cg = NULL;
		int r = cgroup_open(host, path, &cg, e);

		if (r == -ERR_NOT_FOUND)
			return 0;
		if (r < 0)
			return r;
		if (deadline_left_ms(deadline) == 0)
			return err_new(e, ERR_TIMEOUT, "systemd has not removed \"%s\" in time", path);
		usleep(2000);
	}
}

int cgroup_scope_remove(const struct cgroup_host *host, const char *path, int timeout_ms, struct error *e)
{
	int64_t deadline = deadline_in_ms(timeout_ms);
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	CLEANUP(bus_done) struct bus b = { 0 };
	struct cgroup_unit_name u = { 0 };
	char resolved[CGROUP_PATH_MAX] = "";
	int r;

	r = parse_scope(host, path, &u, resolved, e);
	if (r < 0)
		return r;
	r = cgroup_open(host, resolved, &cg, e);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = cgroup_kill(cg, timeout_ms, e);
	if (r == 0)
		r = bus_open(&b, e);
	if (r == 0)
		r = stop_unit(&b, &u, e);
	if (r == 0)
		r = wait_until_gone(host, resolved, deadline, e);
	return r < 0 ? err_ctx(e, "remove the systemd scope %s", u.unit) : 0;
}
