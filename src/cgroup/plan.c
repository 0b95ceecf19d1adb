/* SPDX-License-Identifier: Apache-2.0 */
/* From resources to file writes.
 *
 * One function a controller; each knows v1's and v2's files, since the difference is in names and units and
 * the checks are the same. What only one version can do is refused for the other before anything is made (OCI
 * config-linux.md, "Unified": no conversion, then an error). `unified` comes last, as it may override. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cgroup/plan_internal.h"

void cgroup_plan_done(struct cgroup_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->w[i].value);
	free(p->w);
	*p = CGROUP_PLAN_INIT;
}

static void planner_done(struct planner *p)
{
	cgroup_plan_done(&p->plan);
}
DEFINE_CLEANUP_VALUE(struct planner, planner_done)

void planner_put(struct planner *p, enum cgroup_controller c, uint32_t flags, const char *file,
		 const char *fmt, ...)
{
	cleanup_buf struct buf value = BUF_INIT;
	char text[PLAN_TEXT_MAX + 64];
	struct cgroup_write *w;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_adds(&value, text);
	p->plan.w = mem_regrow(p->plan.w, p->plan.n + 1, sizeof(*p->plan.w));
	w = &p->plan.w[p->plan.n++];
	*w = (struct cgroup_write){ .controller = c, .flags = flags, .value = buf_take(&value) };
	snprintf(w->file, sizeof(w->file), "%s", file);
	if (!(flags & CGROUP_WRITE_IF_EXISTS) && c != CGROUP_DEVICES && c != CGROUP_V2_CORE)
		p->plan.needs |= 1u << c;
}

void planner_put_limit(struct planner *p, enum cgroup_controller c, uint32_t flags, const char *file,
		       int64_t value)
{
	if (value >= 0)
		planner_put(p, c, flags, file, "%lld", (long long)value);
	else
		planner_put(p, c, flags, file, "%s", planner_is_v2(p, c) || c == CGROUP_PIDS ? "max" : "-1");
}

int planner_need(struct planner *p, enum cgroup_controller c, const char *what)
{
	if (planner_has(p, c))
		return 0;
	return err_new(p->e, ERR_UNSUPPORTED,
		       "%s needs the cgroup controller \"%s\", which this host does not have", what,
		       cgroup_controller_name(c));
}

/* "0-3,7": the kernel parses it; here only what could not be one. */
static int plan_cpuset(struct planner *p)
{
	const struct {
		const char *file, *value;
	} sets[] = { { "cpuset.cpus", p->res->cpuset_cpus }, { "cpuset.mems", p->res->cpuset_mems } };

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		if (str_is_empty(sets[i].value))
			continue;
		if (planner_need(p, CGROUP_CPUSET, "a cpuset") < 0)
			return -ERR_UNSUPPORTED;
		if (strlen(sets[i].value) > PLAN_TEXT_MAX ||
		    strspn(sets[i].value, "0123456789,-:/ ") != strlen(sets[i].value))
			return err_new(p->e, ERR_INVALID, "%s \"%.64s\" is not a list of numbers and ranges",
				       sets[i].file, sets[i].value);
		planner_put(p, CGROUP_CPUSET, 0, sets[i].file, "%s", sets[i].value);
	}
	return 0;
}

static int plan_pids(struct planner *p)
{
	int64_t limit = p->res->pids_limit;

	if (!p->res->has_pids_limit || (limit < 0 && !planner_has(p, CGROUP_PIDS)))
		return 0;
	if (planner_need(p, CGROUP_PIDS, "a pids limit") < 0)
		return -ERR_UNSUPPORTED;
	/* 0 is a limit (config-linux.md, "PIDs"), and 1 the least with which a container can be: its init counts.
	 * systemd's TasksMax has no 0 either. */
	planner_put_limit(p, CGROUP_PIDS, limit < 0 ? CGROUP_WRITE_IF_EXISTS : 0, "pids.max",
			  limit ? limit : 1);
	return 0;
}

static bool is_page_size(const char *s)
{
	size_t digits = s ? strspn(s, "0123456789") : 0;

	return digits > 0 && digits < 8 && strchr("KMG", s[digits]) && s[digits] &&
	       str_eq(s + digits + 1, "B");
}

static int plan_hugepages(struct planner *p)
{
	bool v2 = planner_is_v2(p, CGROUP_HUGETLB);

	for (size_t i = 0; i < p->res->hugepage_count; i++) {
		const struct cgroup_hugepage *h = &p->res->hugepages[i];
		char file[64];

		if (!is_page_size(h->page_size))
			return err_new(p->e, ERR_INVALID, "huge page size \"%.32s\" is not of the form 2MB",
				       h->page_size ? h->page_size : "");
		/* A kubelet sends 0 for every size of the node to every container; where huge pages cannot be
		 * limited at all that is no reason to refuse the pod. */
		if (!planner_has(p, CGROUP_HUGETLB) && h->limit == 0)
			continue;
		if (planner_need(p, CGROUP_HUGETLB, "a huge page limit") < 0)
			return -ERR_UNSUPPORTED;
		snprintf(file, sizeof(file), v2 ? "hugetlb.%s.max" : "hugetlb.%s.limit_in_bytes",
			 h->page_size);
		planner_put(p, CGROUP_HUGETLB, h->limit ? 0 : CGROUP_WRITE_IF_EXISTS, file, "%llu",
			    (unsigned long long)h->limit);
		/* Reservations count when they are made, not when the page is touched: without this limit
		 * too, a reserving mmap of another gets SIGBUS. Since Linux 5.7. */
		snprintf(file, sizeof(file), v2 ? "hugetlb.%s.rsvd.max" : "hugetlb.%s.rsvd.limit_in_bytes",
			 h->page_size);
		planner_put(p, CGROUP_HUGETLB, CGROUP_WRITE_IF_EXISTS, file, "%llu",
			    (unsigned long long)h->limit);
	}
	return 0;
}

/* A name of a device or interface that stands in a line of words. */
static bool is_word(const char *s)
{
	return !str_is_empty(s) && strlen(s) < 256 && !strpbrk(s, " \t\n");
}

static int plan_rdma(struct planner *p)
{
	for (size_t i = 0; i < p->res->rdma_count; i++) {
		const struct cgroup_rdma *r = &p->res->rdma[i];
		char text[64];
		int n = 0;

		if (planner_need(p, CGROUP_RDMA, "an RDMA limit") < 0)
			return -ERR_UNSUPPORTED;
		if (!is_word(r->device))
			return err_new(p->e, ERR_INVALID, "RDMA device \"%.64s\" is no name",
				       r->device ? r->device : "");
		if (!r->has_handles && !r->has_objects)
			return err_new(p->e, ERR_INVALID, "RDMA device \"%s\" has neither limit", r->device);
		if (r->has_handles)
			n = snprintf(text, sizeof(text), " hca_handle=%u", r->handles);
		if (r->has_objects)
			snprintf(text + n, sizeof(text) - (size_t)n, " hca_object=%u", r->objects);
		planner_put(p, CGROUP_RDMA, 0, "rdma.max", "%s%s", r->device, text);
	}
	return 0;
}

/* net_cls and net_prio were not taken over into v2, where packets are told apart by the cgroup itself. */
static int need_net(struct planner *p, enum cgroup_controller c, const char *what)
{
	if (planner_has(p, c))
		return 0;
	return err_new(
		p->e, ERR_UNSUPPORTED,
		"%s needs the controller \"%s\" of cgroup v1, which this host does not have; on cgroup v2 "
		"packets are matched by their cgroup (iptables -m cgroup --path, nft socket cgroupv2)",
		what, cgroup_controller_name(c));
}

static int plan_network(struct planner *p)
{
	const struct cgroup_resources *r = p->res;

	if (r->has_net_class_id && r->net_class_id) {
		if (need_net(p, CGROUP_NET_CLS, "a network class id") < 0)
			return -ERR_UNSUPPORTED;
		planner_put(p, CGROUP_NET_CLS, 0, "net_cls.classid", "%u", r->net_class_id);
	}
	for (size_t i = 0; i < r->net_priority_count; i++) {
		const struct cgroup_net_priority *prio = &r->net_priorities[i];

		if (need_net(p, CGROUP_NET_PRIO, "a network priority") < 0)
			return -ERR_UNSUPPORTED;
		if (!is_word(prio->interface))
			return err_new(p->e, ERR_INVALID, "network interface \"%.64s\" is no name",
				       prio->interface ? prio->interface : "");
		planner_put(p, CGROUP_NET_PRIO, 0, "net_prio.ifpriomap", "%s %u", prio->interface,
			    prio->priority);
	}
	return 0;
}

int cgroup_plan_resources(const struct cgroup_resources *res, const struct cgroup_now *now,
			  const struct cgroup_caps *caps, struct cgroup_plan *ret_plan, struct error *e)
{
	static int (*const steps[])(struct planner *) = {
		plan_memory, plan_cpu,	plan_cpuset,  plan_pids,    plan_hugepages,
		plan_blkio,  plan_rdma, plan_network, plan_devices, plan_unified,
	};
	CLEANUP(planner_done) struct planner p = { .res = res, .now = now, .caps = caps, .e = e };

	if (res->device_count > PLAN_LIST_MAX || res->unified_count > PLAN_LIST_MAX ||
	    res->hugepage_count > PLAN_LIST_MAX || res->blkio_count > PLAN_LIST_MAX ||
	    res->rdma_count > PLAN_LIST_MAX || res->net_priority_count > PLAN_LIST_MAX)
		return err_new(e, ERR_LIMIT, "a list of resources has more than %d entries", PLAN_LIST_MAX);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int r = steps[i](&p);

		if (r < 0)
			return r;
	}
	*ret_plan = p.plan;
	p.plan = CGROUP_PLAN_INIT;
	return 0;
}
