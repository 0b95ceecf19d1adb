/* SPDX-License-Identifier: Apache-2.0 */
/* The device rules. They are a history that begins with "nothing is allowed"; a later rule changes what earlier ones
 * said of the accesses and devices that it names. v2 runs that as a program (devices.c). v1 keeps a default, and a
 * list of exceptions from it: a rule against the default is one more exception, a rule with the default takes its
 * accesses out of the exceptions. But the kernel takes out only from an exception of exactly the same numbers (see
 * dev_exception_rm() in its security/device_cgroup.c) and silently ignores the rest; so the list is computed here. A
 * rule that cuts a hole into a wider exception has no list at all, and is refused: to write it would leave the
 * device open. */
#include <stdio.h>
#include <string.h>

#include "cgroup/plan_internal.h"

enum { READ = 1, WRITE = 2, MKNOD = 4, ALL_ACCESS = 7 };

struct exception {
	char type;
	int64_t major, minor; /* -1: any */
	unsigned access;
};

struct list {
	bool allows; /* the default */
	struct exception *v;
	size_t n;
};

static void list_done(struct list *l)
{
	free(l->v);
}
DEFINE_CLEANUP_VALUE(struct list, list_done)

void cgroup_device_list_done(struct cgroup_device_list *l)
{
	free(l->v);
}

static int check(struct planner *p, const struct cgroup_device *d)
{
	if (!d->type || !strchr("abc", d->type))
		return err_new(p->e, ERR_INVALID, "device rule has type '%c', known are a, b and c",
			       d->type ? d->type : ' ');
	if (d->access[3] || strspn(d->access, "rwm") != strlen(d->access))
		return err_new(p->e, ERR_INVALID, "device rule has access \"%.4s\", known are r, w and m",
			       d->access);
	if (d->major < -1 || d->major > UINT32_MAX || d->minor < -1 || d->minor > UINT32_MAX)
		return err_new(p->e, ERR_INVALID, "device rule has numbers %lld:%lld", (long long)d->major,
			       (long long)d->minor);
	return 0;
}

static unsigned access_of(const struct cgroup_device *d)
{
	unsigned bits = (strchr(d->access, 'r') ? READ : 0) | (strchr(d->access, 'w') ? WRITE : 0) |
			(strchr(d->access, 'm') ? MKNOD : 0);

	return bits ? bits : ALL_ACCESS;
}

static void access_text(unsigned access, char out[4])
{
	size_t n = 0;

	if (access & READ)
		out[n++] = 'r';
	if (access & WRITE)
		out[n++] = 'w';
	if (access & MKNOD)
		out[n++] = 'm';
	out[n] = '\0';
}

static const char *rule_text(const struct exception *x, char out[64])
{
	char major[24] = "*", minor[24] = "*", access[4];

	access_text(x->access, access);
	if (x->major >= 0)
		snprintf(major, sizeof(major), "%lld", (long long)x->major);
	if (x->minor >= 0)
		snprintf(minor, sizeof(minor), "%lld", (long long)x->minor);
	snprintf(out, 64, "%c %s:%s %s", x->type, major, minor, access);
	return out;
}

/* Is every device of b one of a? */
static bool covers(const struct exception *a, const struct exception *b)
{
	return a->type == b->type && (a->major < 0 || a->major == b->major) &&
	       (a->minor < 0 || a->minor == b->minor);
}

static bool overlaps(const struct exception *a, const struct exception *b)
{
	return a->type == b->type && (a->major < 0 || b->major < 0 || a->major == b->major) &&
	       (a->minor < 0 || b->minor < 0 || a->minor == b->minor);
}

/* The kernel asks for one exception that has all accesses of an open: what a wider one gives is given by the
 * narrower ones, too. */
static void add_exception(struct list *l, struct exception x)
{
	struct exception *same = NULL;

	for (size_t i = 0; i < l->n; i++) {
		if (covers(&l->v[i], &x) && covers(&x, &l->v[i]))
			same = &l->v[i];
		else if (covers(&l->v[i], &x))
			x.access |= l->v[i].access;
		else if (covers(&x, &l->v[i]))
			l->v[i].access |= x.access;
	}
	if (same) {
		same->access |= x.access;
		return;
	}
	l->v = mem_regrow(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = x;
}

static int take_out(struct list *l, const struct exception *x, struct error *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct exception *old = &l->v[i];
		char a[64], b[64];

		if (covers(x, old)) {
			old->access &= ~x->access;
		} else if (overlaps(x, old) && old->access & x->access) {
			return err_new(
				e, ERR_UNSUPPORTED,
				"device rule \"%s %s\" makes an exception from \"%s %s\": the lists of "
				"cgroup v1 cannot say that (cgroup v2 can); name the single devices",
				l->allows ? "allow" : "deny", rule_text(x, a), l->allows ? "deny" : "allow",
				rule_text(old, b));
		}
		if (old->access)
			l->v[kept++] = *old;
	}
	l->n = kept;
	return 0;
}

static int add_rule(struct list *l, const struct cgroup_device *d, struct error *e)
{
	const struct exception x = { d->type, d->major, d->minor, access_of(d) };

	if (d->type == 'a') { /* everything: the kernel ignores numbers and access here */
		l->allows = d->allow;
		l->n = 0;
		return 0;
	}
	if (d->allow == l->allows)
		return take_out(l, &x, e);
	add_exception(l, x);
	return 0;
}

static int make_list(const struct cgroup_resources *r, struct list *l, struct error *e)
{
	for (size_t i = 0; i < r->device_count; i++) {
		int k = add_rule(l, &r->devices[i], e);

		if (k < 0)
			return k;
	}
	return 0;
}

int cgroup_device_list_make(const struct cgroup_resources *r, struct cgroup_device_list *ret, struct error *e)
{
	CLEANUP(list_done) struct list list = { 0 };
	int k = make_list(r, &list, e);

	if (k < 0)
		return k;
	ret->allows = list.allows;
	ret->n = list.n;
	ret->v = mem_array(list.n + 1, sizeof(*ret->v));
	for (size_t i = 0; i < list.n; i++) {
		const struct exception *x = &list.v[i];

		ret->v[i] = (struct cgroup_device){ !list.allows, x->type, "", x->major, x->minor };
		access_text(x->access, ret->v[i].access);
	}
	return 0;
}

int plan_devices(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	CLEANUP(list_done) struct list list = { 0 };
	char text[64];
	int k;

	for (size_t i = 0; i < r->device_count; i++)
		if (check(p, &r->devices[i]) < 0)
			return -ERR_INVALID;
	if (r->device_count == 0)
		return 0;
	if (planner_is_v2(p, CGROUP_DEVICES)) {
		p->plan.device_filter = true;
		return 0;
	}
	if (planner_need(p, CGROUP_DEVICES, "a device rule") < 0)
		return -ERR_UNSUPPORTED;
	k = make_list(r, &list, p->e);
	if (k < 0)
		return k;
	planner_put(p, CGROUP_DEVICES, 0, list.allows ? "devices.allow" : "devices.deny", "a");
	for (size_t i = 0; i < list.n; i++)
		planner_put(p, CGROUP_DEVICES, 0, list.allows ? "devices.deny" : "devices.allow", "%s",
			    rule_text(&list.v[i], text));
	return 0;
}
