/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes (see the header).
 *
 * A scope is started by StartTransientUnit of org.freedesktop.systemd1.Manager with the processes that it shall
 * hold (org.freedesktop.systemd1(5)); there is no scope without one. The answer is only the path of a job, and
 * the cgroup is there when the signal JobRemoved names that job. */
#include "cgroup/systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "cgroup/bus.h"
#include "cgroup/host.h"
#include "cgroup/path.h"
#include "cgroup/systemd_props.h"

#define UNIT_TIMEOUT_MS 30000
#define COLLECT_MS 2000 /* for systemd to see that a scope is empty, and to forget a unit */

/* ---- methods of the manager --------------------------------------------------------------------------- */

/* Those that answer with a job. */
static int call_job(struct bus *b, const char *member, const char *signature, const struct buf *body,
		    struct error *e)
{
	struct dbus_message reply;
	struct dbus_cursor c;
	const char *path;
	char job[256];
	int r = bus_call(b, BUS_MANAGER, member, signature, body, &reply, e);

	if (r < 0)
		return r;
	c = (struct dbus_cursor){ .data = reply.body, .len = reply.body_len };
	if (!dbus_get_str(&c, &path))
		return err_new(e, ERR_CORRUPT, "systemd: the answer to %s is no job", member);
	snprintf(job, sizeof(job), "%s", path);
	return bus_wait_job(b, job, e);
}

static int reset_failed(struct bus *b, const char *unit, struct error *e)
{
	cleanup_buf struct buf body = BUF_INIT;
	struct dbus_message reply;

	dbus_put_str(&body, unit);
	return bus_call(b, BUS_MANAGER, "ResetFailedUnit", "s", &body, &reply, e);
}

/* Has systemd a cgroup of this path? */
static bool is_there(const struct cgroup_host *host, const char *path)
{
	for (size_t i = 0; i < host->hier_count; i++)
		if ((host->hier[i].is_v2 || str_eq(host->hier[i].option, "name=systemd")) &&
		    faccessat(host->hier[i].root_dfd, path + 1, F_OK, 0) == 0)
			return true;
	return false;
}

static bool is_gone_in(const struct cgroup_host *host, const char *path, int timeout_ms)
{
	int64_t deadline = deadline_in_ms(timeout_ms);
	unsigned int pause_us = 500;

	while (is_there(host, path)) {
		if (deadline_left_ms(deadline) == 0)
			return false;
		usleep(pause_us);
		pause_us = pause_us < 16000 ? pause_us * 2 : pause_us;
	}
	return true;
}

/* StartTransientUnit(s name, s mode, a(sv) properties, a(sa(sv)) aux) */
static int start_transient(struct bus *b, const struct cgroup_host *host, const char *path, const char *unit,
			   const struct systemd_props *p, struct error *e)
{
	int64_t deadline = deadline_in_ms(COLLECT_MS);
	cleanup_buf struct buf body = BUF_INIT;

	dbus_put_str(&body, unit);
	dbus_put_str(&body, "fail");
	systemd_props_put(p, &body);
	dbus_array_end(&body, dbus_array_begin(&body, 8));
	for (;;) {
		int r = call_job(b, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body, e);

		/* One of this name that lives has a cgroup. Others are about to be forgotten, or failed. */
		if (r != -ERR_EXISTS || is_there(host, path) || deadline_left_ms(deadline) == 0)
			return r;
		(void)!reset_failed(b, unit, NULL);
		usleep(10000);
	}
}

static int stop_unit(struct bus *b, const char *unit, struct error *e)
{
	cleanup_buf struct buf body = BUF_INIT;
	int r;

	dbus_put_str(&body, unit);
	dbus_put_str(&body, "replace");
	r = call_job(b, "StopUnit", "ss", &body, e);
	(void)!reset_failed(b, unit, NULL);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* A property of the manager that is a text. */
static int get_text(struct bus *b, const char *name, const char **ret, struct error *e)
{
	cleanup_buf struct buf body = BUF_INIT;
	struct dbus_message reply;
	struct dbus_cursor c;
	const char *type;
	int r;

	dbus_put_str(&body, BUS_MANAGER);
	dbus_put_str(&body, name);
	r = bus_call(b, "org.freedesktop.DBus.Properties", "Get", "ss", &body, &reply, e);
	if (r < 0)
		return r;
	c = (struct dbus_cursor){ .data = reply.body, .len = reply.body_len };
	if (!dbus_get_sig(&c, &type) || !str_eq(type, "s") || !dbus_get_str(&c, ret))
		return err_new(e, ERR_CORRUPT, "systemd: the property %s is no text", name);
	return 0;
}

/* "252.39-1~deb12u1", "v245": 0 when it cannot be told. */
static unsigned int version_of(struct bus *b)
{
	const char *text;

	if (get_text(b, "Version", &text, NULL) < 0)
		return 0;
	text += strcspn(text, "0123456789");
	return (unsigned int)strtoul(text, NULL, 10);
}

/* ---- scopes ------------------------------------------------------------------------------------------- */

static void scope_props(const struct cgroup_unit_name *u, const char *description, pid_t pid, bool is_v2,
			struct systemd_props *p)
{
	/* Accounting switches controllers on from the root down to the scope, which systemd may do and we may
	 * not. */
	const char *const yes[] = { "Delegate", "CPUAccounting", "MemoryAccounting",
				    is_v2 ? "IOAccounting" : "BlockIOAccounting", "TasksAccounting" };

	systemd_prop_text(p, "Description", description ? description : u->unit);
	systemd_prop_text(p, "Slice", u->slice);
	/* Containers end by their owner's order, not by the shutdown of basic units before it. */
	systemd_prop_bool(p, "DefaultDependencies", false);
	/* A failed scope of this name would be in the way of the next attempt. */
	systemd_prop_text(p, "CollectMode", "inactive-or-failed");
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		systemd_prop_bool(p, yes[i], true);
	systemd_prop_pid(p, pid);
}

/* The user's systemd has its tree below a cgroup of its own. */
static int find_path(struct bus *b, const struct cgroup_unit_name *u, char ret_path[CGROUP_PATH_MAX],
		     struct error *e)
{
	char slice[CGROUP_PATH_MAX] = "";
	const char *above = "";
	int r = b->is_user ? get_text(b, "ControlGroup", &above, e) : 0;

	if (r >= 0)
		r = cgroup_slice_expand(u->slice, slice, e);
	if (r < 0)
		return r;
	if (snprintf(ret_path, CGROUP_PATH_MAX, "%s%s/%s", above, slice, u->unit) >= CGROUP_PATH_MAX)
		return err_new(e, ERR_LIMIT, "the path of the scope is too long");
	return cgroup_path_check(ret_path, e);
}

/* systemd does not always say which property it did not take. */
static void name_annotations(const struct cgroup_resources *r, struct error *e)
{
	cleanup_buf struct buf names = BUF_INIT;

	for (size_t i = 0; r && i < r->unit_property_count; i++)
		buf_addf(&names, "%s%s=%s", i ? ", " : "", r->unit_properties[i].annotation,
			 r->unit_properties[i].value);
	if (names.len)
		err_hint(e, "look at the annotations %s", buf_str(&names));
}

int systemd_scope_start(const struct cgroup_host *host, const struct cgroup_unit_name *u, pid_t pid,
			const struct cgroup_resources *r, bool is_v2, char ret_path[CGROUP_PATH_MAX],
			struct error *e)
{
	CLEANUP(systemd_props_done) struct systemd_props props = SYSTEMD_PROPS_INIT;
	CLEANUP(bus_done) struct bus b = BUS_INIT;
	unsigned int version = 0;
	int k = bus_open(&b, UNIT_TIMEOUT_MS, e);

	if (k >= 0)
		k = find_path(&b, u, ret_path, e);
	if (k >= 0) {
		if (r && systemd_wants_version(r))
			version = version_of(&b);
		scope_props(u, NULL, pid, is_v2, &props);
		systemd_props_of_start(r, version, &props);
		k = r ? systemd_props_of(r, is_v2, version, &props, e) : 0;
	}
	/* Behind ours, as the last of a name counts. */
	if (k >= 0 && r)
		k = systemd_props_of_annotations(r, &props, e);
	if (k >= 0) {
		k = start_transient(&b, host, ret_path, u->unit, &props, e);
		if (k < 0)
			name_annotations(r, e);
	}
	return k < 0 ? err_ctx(e, "start the systemd scope %s in %s", u->unit, u->slice) : 0;
}

/* SetUnitProperties(s name, b runtime, a(sv) properties) */
int systemd_unit_set(const char *unit, const struct cgroup_resources *r, bool is_v2, struct error *e)
{
	CLEANUP(systemd_props_done) struct systemd_props props = SYSTEMD_PROPS_INIT;
	CLEANUP(bus_done) struct bus b = BUS_INIT;
	cleanup_buf struct buf body = BUF_INIT;
	struct dbus_message reply;
	int k = bus_open(&b, UNIT_TIMEOUT_MS, e);

	if (k >= 0)
		k = systemd_props_of(r, is_v2, systemd_wants_version(r) ? version_of(&b) : 0, &props, e);
	if (k >= 0 && props.n) {
		dbus_put_str(&body, unit);
		dbus_put_bool(&body, true);
		systemd_props_put(&props, &body);
		k = bus_call(&b, BUS_MANAGER, "SetUnitProperties", "sba(sv)", &body, &reply, e);
	}
	return k < 0 ? err_ctx(e, "change the systemd scope %s", unit) : 0;
}

/* systemd sees by itself that a scope is empty, and removes it: the usual end, which costs no question. */
int systemd_scope_end(const struct cgroup_host *host, const char *path, struct error *e)
{
	CLEANUP(bus_done) struct bus b = BUS_INIT;
	const char *unit = systemd_unit_of(path);
	int k;

	if (is_gone_in(host, path, COLLECT_MS))
		return 0;
	k = bus_open(&b, UNIT_TIMEOUT_MS, e);
	if (k >= 0)
		k = stop_unit(&b, unit, e);
	return k < 0 ? err_ctx(e, "stop the systemd scope %s", unit) : 0;
}

const char *systemd_unit_of(const char *path)
{
	const char *last = strrchr(path, '/');

	return last && str_ends(last, ".scope") ? last + 1 : NULL;
}

/* ---- a pod's ------------------------------------------------------------------------------------------- */

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

int cgroup_scope_start(const struct cgroup_host *host, const struct cgroup_scope *scope, struct error *e)
{
	CLEANUP(systemd_props_done) struct systemd_props props = SYSTEMD_PROPS_INIT;
	CLEANUP(bus_done) struct bus b = BUS_INIT;
	struct cgroup_unit_name u = { 0 };
	char path[CGROUP_PATH_MAX] = "";
	int r;

	r = parse_scope(host, scope->path, &u, path, e);
	if (r < 0)
		return r;
	scope_props(&u, scope->description, scope->pid, cgroup_host_mode(host) == CGROUP_V2, &props);
	/* The kubelet's limits count. */
	systemd_props_of_start(NULL, 0, &props);
	r = bus_open(&b, scope->timeout_ms, e);
	if (r >= 0)
		r = start_transient(&b, host, path, u.unit, &props, e);
	if (r < 0)
		return err_ctx(e, "start the systemd scope %s in %s", u.unit, u.slice);
	if (!scope->leaf)
		return 0;
	r = enter_leaf(host, path, scope, e);
	if (r == 0)
		return 0;
	if (stop_unit(&b, u.unit, NULL) < 0)
		err_hint(e, "the scope remains");
	return err_ctx(e, "systemd scope %s", u.unit);
}

int cgroup_scope_remove(const struct cgroup_host *host, const char *path, int timeout_ms, struct error *e)
{
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
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
		r = systemd_scope_end(host, resolved, e);
	if (r == 0 && !is_gone_in(host, resolved, timeout_ms))
		r = err_new(e, ERR_TIMEOUT, "systemd has not removed \"%s\" in time", resolved);
	return r < 0 ? err_ctx(e, "remove the systemd scope %s", u.unit) : 0;
}
