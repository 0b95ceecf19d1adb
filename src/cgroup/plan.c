/* SPDX-License-Identifier: Apache-2.0 */
/* From resources to file writes.
 *
 * One function a controller; each knows v1's and v2's files, since the difference is in names and units and
 * the checks are the same. Within a controller the order matters:
 *   memory  v1 keeps memory <= memory+swap at every instant, so raising writes memsw first and lowering
 *           writes it last.
 *   cpu     quota, period and burst bound each other (burst <= quota, and the share of a child may not pass
 *           its parent's); which must come first depends on the old values, so the kernel is asked: the write
 *           that it refuses is tried again at the end.
 *   unified last, as the OCI runtime spec lets it override. */
#include "cgroup/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cgroup/host.h"

#define CPU_SHARES_MIN 2u
#define CPU_SHARES_MAX 262144u
/* Bounds of what others may send. */
#define LIST_MAX 4096
#define TEXT_MAX 4096

struct planner {
	const struct cgroup_resources *res;
	const struct cgroup_now *now;
	uint32_t have, v2;
	struct cgroup_plan plan;
	struct error *e;
};

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

static bool is_v2(const struct planner *p, enum cgroup_controller c)
{
	return p->v2 & 1u << c;
}

static void put(struct planner *p, enum cgroup_controller c, uint32_t flags, const char *file,
		const char *fmt, ...) PRINTF(5, 6);
static void put(struct planner *p, enum cgroup_controller c, uint32_t flags, const char *file,
		const char *fmt, ...)
{
	cleanup_buf struct buf value = BUF_INIT;
	char text[TEXT_MAX + 64];
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
	if (!(flags & CGROUP_WRITE_IF_EXISTS) && c != CGROUP_DEVICES)
		p->plan.needs |= 1u << c;
}

/* A limit where a negative number is none: v1 wants -1 and v2 "max". */
static void put_limit(struct planner *p, enum cgroup_controller c, uint32_t flags, const char *file,
		      int64_t value)
{
	if (value >= 0)
		put(p, c, flags, file, "%lld", (long long)value);
	else
		put(p, c, flags, file, "%s", is_v2(p, c) || c == CGROUP_PIDS ? "max" : "-1");
}

static int need(struct planner *p, enum cgroup_controller c, const char *what)
{
	if (p->have & 1u << c)
		return 0;
	return err_new(p->e, ERR_UNSUPPORTED,
		       "%s needs the cgroup controller \"%s\", which this host does not have", what,
		       cgroup_controller_name(c));
}

/* ---- memory ------------------------------------------------------------------------------------- */

static uint64_t limit_of(int64_t value)
{
	return value < 0 ? CGROUP_NO_LIMIT : (uint64_t)value;
}

/* The memory limit and memory+swap limit that shall be in force afterwards; *ret_has_swap says whether the
 * latter is to be written. */
static int memory_targets(struct planner *p, uint64_t *ret_memory, uint64_t *ret_memsw, bool *ret_has_swap)
{
	const struct cgroup_resources *r = p->res;
	uint64_t memory = r->has_memory_limit ? limit_of(r->memory_limit) : p->now->memory_limit;
	/* 0 is "not given" in every engine that sends this field. */
	bool has_swap = r->has_memory_swap && r->memory_swap != 0;
	uint64_t memsw = has_swap ? limit_of(r->memory_swap) : p->now->memsw_limit;

	/* Without any memory limit a bound of memory and swap has no meaning left, as runc. */
	if (r->has_memory_limit && memory == CGROUP_NO_LIMIT && !has_swap) {
		memsw = CGROUP_NO_LIMIT;
		has_swap = true;
	}
	if (has_swap && memsw != CGROUP_NO_LIMIT && memory == CGROUP_NO_LIMIT)
		return err_new(p->e, ERR_INVALID, "memory+swap limit %lld is given without a memory limit",
			       (long long)r->memory_swap);
	if (memsw < memory && (has_swap || !is_v2(p, CGROUP_MEMORY)))
		return err_new(p->e, ERR_INVALID, "memory+swap limit %llu is below the memory limit %llu",
			       (unsigned long long)memsw, (unsigned long long)memory);
	*ret_memory = memory;
	*ret_memsw = memsw;
	*ret_has_swap = has_swap;
	return 0;
}

static void plan_memory_v1(struct planner *p, uint64_t memory, uint64_t memsw, bool has_swap)
{
	const struct cgroup_resources *r = p->res;
	/* A host without swap accounting has no memsw file. That is no matter when no swap is wanted beyond
	 * what the memory limit bounds, or no bound at all. */
	uint32_t swap_flags = memsw == memory || memsw == CGROUP_NO_LIMIT ? CGROUP_WRITE_IF_EXISTS : 0;
	bool swap_first = memory > p->now->memsw_limit;

	if (has_swap && swap_first)
		put_limit(p, CGROUP_MEMORY, swap_flags, "memory.memsw.limit_in_bytes",
			  memsw == CGROUP_NO_LIMIT ? -1 : (int64_t)memsw);
	if (r->has_memory_limit)
		put_limit(p, CGROUP_MEMORY, 0, "memory.limit_in_bytes", r->memory_limit);
	if (has_swap && !swap_first)
		put_limit(p, CGROUP_MEMORY, swap_flags, "memory.memsw.limit_in_bytes",
			  memsw == CGROUP_NO_LIMIT ? -1 : (int64_t)memsw);
	if (r->has_memory_reservation)
		put_limit(p, CGROUP_MEMORY, 0, "memory.soft_limit_in_bytes", r->memory_reservation);
	if (r->has_memory_swappiness)
		put(p, CGROUP_MEMORY, 0, "memory.swappiness", "%llu",
		    (unsigned long long)r->memory_swappiness);
	if (r->has_oom_kill_disable)
		put(p, CGROUP_MEMORY, 0, "memory.oom_control", "%d", r->oom_kill_disable ? 1 : 0);
}

static void plan_memory_v2(struct planner *p, uint64_t memory, uint64_t memsw, bool has_swap)
{
	const struct cgroup_resources *r = p->res;

	if (has_swap)
		put_limit(p, CGROUP_MEMORY,
			  memsw == memory || memsw == CGROUP_NO_LIMIT ? CGROUP_WRITE_IF_EXISTS : 0,
			  "memory.swap.max", memsw == CGROUP_NO_LIMIT ? -1 : (int64_t)(memsw - memory));
	if (r->has_memory_limit)
		put_limit(p, CGROUP_MEMORY, 0, "memory.max", r->memory_limit);
	if (r->has_memory_reservation)
		put_limit(p, CGROUP_MEMORY, 0, "memory.low", r->memory_reservation);
}

static int plan_memory(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	bool v2 = is_v2(p, CGROUP_MEMORY), has_swap = false;
	uint64_t memory = 0, memsw = 0;

	if (!r->has_memory_limit && !r->has_memory_reservation && !r->has_memory_swap &&
	    !r->has_memory_swappiness && !r->has_oom_kill_disable)
		return 0;
	if (need(p, CGROUP_MEMORY, "a memory limit") < 0)
		return -ERR_UNSUPPORTED;
	if (v2 && r->has_memory_swappiness)
		return err_new(p->e, ERR_UNSUPPORTED, "cgroup v2 has no swappiness of a cgroup");
	if (v2 && r->has_oom_kill_disable && r->oom_kill_disable)
		return err_new(p->e, ERR_UNSUPPORTED, "cgroup v2 cannot disable the OOM killer for a cgroup");
	if (r->has_memory_swappiness && r->memory_swappiness > 100)
		return err_new(p->e, ERR_INVALID, "swappiness %llu is not in 0..100",
			       (unsigned long long)r->memory_swappiness);
	if (memory_targets(p, &memory, &memsw, &has_swap) < 0)
		return -ERR_INVALID;
	(v2 ? plan_memory_v2 : plan_memory_v1)(p, memory, memsw, has_swap);
	return 0;
}

/* ---- cpu ---------------------------------------------------------------------------------------- */

/* With l = log2(shares): weight = 10^((l*l + 125*l) / 612 - 7/34), the curve through (2, 1), (1024, 100) and
 * (262144, 10000). The linear one gave 39 for the default 1024 and so halved every container beside
 * processes that keep the default weight. */
uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	double l;

	if (shares <= CPU_SHARES_MIN)
		return 1;
	if (shares >= CPU_SHARES_MAX)
		return 10000;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34));
}

static void plan_cpu_v1(struct planner *p)
{
	const struct cgroup_resources *r = p->res;

	if (r->has_cpu_period && r->cpu_period)
		put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.cfs_period_us", "%llu",
		    (unsigned long long)r->cpu_period);
	if (r->has_cpu_quota && r->cpu_quota)
		put_limit(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.cfs_quota_us", r->cpu_quota);
	if (r->has_cpu_burst)
		put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.cfs_burst_us", "%llu",
		    (unsigned long long)r->cpu_burst);
	if (r->has_cpu_idle)
		put(p, CGROUP_CPU, 0, "cpu.idle", "%lld", (long long)r->cpu_idle);
	if (r->has_cpu_shares && r->cpu_shares && !(r->has_cpu_idle && r->cpu_idle))
		put(p, CGROUP_CPU, 0, "cpu.shares", "%llu", (unsigned long long)r->cpu_shares);
}

static void plan_cpu_v2(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	bool has_quota = r->has_cpu_quota && r->cpu_quota;
	int64_t quota = has_quota ? r->cpu_quota : p->now->cpu_quota;
	char max[32] = "max";

	if (quota > 0)
		snprintf(max, sizeof(max), "%lld", (long long)quota);
	/* cpu.max takes a quota alone, but no period alone. */
	if (r->has_cpu_period && r->cpu_period)
		put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.max", "%s %llu", max,
		    (unsigned long long)r->cpu_period);
	else if (has_quota)
		put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.max", "%s", max);
	if (r->has_cpu_burst)
		put(p, CGROUP_CPU, CGROUP_WRITE_RETRY_LAST, "cpu.max.burst", "%llu",
		    (unsigned long long)r->cpu_burst);
	if (r->has_cpu_idle)
		put(p, CGROUP_CPU, 0, "cpu.idle", "%lld", (long long)r->cpu_idle);
	/* The kernel refuses a weight while the cgroup is idle. */
	if (r->has_cpu_shares && r->cpu_shares && !(r->has_cpu_idle && r->cpu_idle))
		put(p, CGROUP_CPU, 0, "cpu.weight", "%llu",
		    (unsigned long long)cgroup_weight_of_shares(r->cpu_shares));
}

static int plan_cpu(struct planner *p)
{
	const struct cgroup_resources *r = p->res;

	if (!r->has_cpu_shares && !r->has_cpu_quota && !r->has_cpu_period && !r->has_cpu_burst &&
	    !r->has_cpu_idle)
		return 0;
	if (need(p, CGROUP_CPU, "a cpu limit") < 0)
		return -ERR_UNSUPPORTED;
	if (r->has_cpu_idle && r->cpu_idle != 0 && r->cpu_idle != 1)
		return err_new(p->e, ERR_INVALID, "cpu idle %lld is neither 0 nor 1", (long long)r->cpu_idle);
	(is_v2(p, CGROUP_CPU) ? plan_cpu_v2 : plan_cpu_v1)(p);
	return 0;
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
		if (need(p, CGROUP_CPUSET, "a cpuset") < 0)
			return -ERR_UNSUPPORTED;
		if (strlen(sets[i].value) > TEXT_MAX ||
		    strspn(sets[i].value, "0123456789,-:/ ") != strlen(sets[i].value))
			return err_new(p->e, ERR_INVALID, "%s \"%.64s\" is not a list of numbers and ranges",
				       sets[i].file, sets[i].value);
		put(p, CGROUP_CPUSET, 0, sets[i].file, "%s", sets[i].value);
	}
	return 0;
}

/* ---- pids, huge pages, block I/O ----------------------------------------------------------------- */

static int plan_pids(struct planner *p)
{
	if (!p->res->has_pids_limit)
		return 0;
	if (p->res->pids_limit <= 0 && !(p->have & 1u << CGROUP_PIDS))
		return 0;
	if (need(p, CGROUP_PIDS, "a pids limit") < 0)
		return -ERR_UNSUPPORTED;
	put_limit(p, CGROUP_PIDS, p->res->pids_limit > 0 ? 0 : CGROUP_WRITE_IF_EXISTS, "pids.max",
		  p->res->pids_limit > 0 ? p->res->pids_limit : -1);
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
	bool v2 = is_v2(p, CGROUP_HUGETLB);

	for (size_t i = 0; i < p->res->hugepage_count; i++) {
		const struct cgroup_hugepage *h = &p->res->hugepages[i];
		char file[64];

		if (!is_page_size(h->page_size))
			return err_new(p->e, ERR_INVALID, "huge page size \"%.32s\" is not of the form 2MB",
				       h->page_size ? h->page_size : "");
		/* A kubelet sends 0 for every size of the node to every container; where huge pages cannot be
		 * limited at all that is no reason to refuse the pod. */
		if (!(p->have & 1u << CGROUP_HUGETLB) && h->limit == 0)
			continue;
		if (need(p, CGROUP_HUGETLB, "a huge page limit") < 0)
			return -ERR_UNSUPPORTED;
		snprintf(file, sizeof(file), v2 ? "hugetlb.%s.max" : "hugetlb.%s.limit_in_bytes",
			 h->page_size);
		put(p, CGROUP_HUGETLB, h->limit ? 0 : CGROUP_WRITE_IF_EXISTS, file, "%llu",
		    (unsigned long long)h->limit);
		/* Reservations count when they are made, not when the page is touched: without this limit
		 * too, a reserving mmap of another gets SIGBUS. Since Linux 5.7. */
		snprintf(file, sizeof(file), v2 ? "hugetlb.%s.rsvd.max" : "hugetlb.%s.rsvd.limit_in_bytes",
			 h->page_size);
		put(p, CGROUP_HUGETLB, CGROUP_WRITE_IF_EXISTS, file, "%llu", (unsigned long long)h->limit);
	}
	return 0;
}

/* io.weight is 1..10000 where blkio.weight and io.bfq.weight are 1..1000. */
static unsigned io_weight(unsigned weight)
{
	return 1 + (weight - 10) * 9999 / 990;
}

static void plan_blkio_device(struct planner *p, const struct cgroup_blkio *b)
{
	static const struct {
		const char *v1, *v2_key;
	} limits[] = {
		[BLKIO_READ_BPS] = { "blkio.throttle.read_bps_device", "rbps" },
		[BLKIO_WRITE_BPS] = { "blkio.throttle.write_bps_device", "wbps" },
		[BLKIO_READ_IOPS] = { "blkio.throttle.read_iops_device", "riops" },
		[BLKIO_WRITE_IOPS] = { "blkio.throttle.write_iops_device", "wiops" },
	};
	bool v2 = is_v2(p, CGROUP_BLKIO);
	unsigned long long value = b->value;

	if (b->kind == BLKIO_WEIGHT && v2) {
		put(p, CGROUP_BLKIO, 0, "io.bfq.weight", "%u:%u %llu", b->major, b->minor, value);
	} else if (b->kind == BLKIO_WEIGHT) {
		put(p, CGROUP_BLKIO, CGROUP_WRITE_ELSE_NEXT, "blkio.weight_device", "%u:%u %llu", b->major,
		    b->minor, value);
		put(p, CGROUP_BLKIO, 0, "blkio.bfq.weight_device", "%u:%u %llu", b->major, b->minor, value);
	} else if (v2 && value == 0) {
		put(p, CGROUP_BLKIO, 0, "io.max", "%u:%u %s=max", b->major, b->minor, limits[b->kind].v2_key);
	} else if (v2) {
		put(p, CGROUP_BLKIO, 0, "io.max", "%u:%u %s=%llu", b->major, b->minor, limits[b->kind].v2_key,
		    value);
	} else {
		put(p, CGROUP_BLKIO, 0, limits[b->kind].v1, "%u:%u %llu", b->major, b->minor, value);
	}
}

static int plan_blkio(struct planner *p)
{
	const struct cgroup_resources *r = p->res;
	/* 0 is "not given", as with cpu shares. */
	bool has_weight = r->has_blkio_weight && r->blkio_weight;

	if (!has_weight && r->blkio_count == 0)
		return 0;
	if (need(p, CGROUP_BLKIO, "a block I/O limit") < 0)
		return -ERR_UNSUPPORTED;
	if (has_weight && (r->blkio_weight < 10 || r->blkio_weight > 1000))
		return err_new(p->e, ERR_INVALID, "block I/O weight %u is not in 10..1000", r->blkio_weight);
	if (has_weight && is_v2(p, CGROUP_BLKIO)) {
		put(p, CGROUP_BLKIO, CGROUP_WRITE_ELSE_NEXT, "io.bfq.weight", "%u", r->blkio_weight);
		put(p, CGROUP_BLKIO, 0, "io.weight", "%u", io_weight(r->blkio_weight));
	} else if (has_weight) {
		put(p, CGROUP_BLKIO, CGROUP_WRITE_ELSE_NEXT, "blkio.weight", "%u", r->blkio_weight);
		put(p, CGROUP_BLKIO, 0, "blkio.bfq.weight", "%u", r->blkio_weight);
	}
	for (size_t i = 0; i < r->blkio_count; i++) {
		if ((unsigned)r->blkio[i].kind > BLKIO_WRITE_IOPS)
			return err_new(p->e, ERR_INVALID, "unknown kind of block I/O limit");
		plan_blkio_device(p, &r->blkio[i]);
	}
	return 0;
}

/* ---- devices ------------------------------------------------------------------------------------- */

static int check_device(struct planner *p, const struct cgroup_device *d)
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

static int plan_devices(struct planner *p)
{
	const struct cgroup_resources *r = p->res;

	for (size_t i = 0; i < r->device_count; i++) {
		const struct cgroup_device *d = &r->devices[i];
		const char *access = *d->access ? d->access : "rwm";
		const char *file = d->allow ? "devices.allow" : "devices.deny";
		char major[24] = "*", minor[24] = "*";

		if (check_device(p, d) < 0)
			return -ERR_INVALID;
		if (is_v2(p, CGROUP_DEVICES)) {
			p->plan.device_filter = true;
			continue;
		}
		if (need(p, CGROUP_DEVICES, "a device rule") < 0)
			return -ERR_UNSUPPORTED;
		if (d->major >= 0)
			snprintf(major, sizeof(major), "%lld", (long long)d->major);
		if (d->minor >= 0)
			snprintf(minor, sizeof(minor), "%lld", (long long)d->minor);
		if (d->type == 'a') /* all of everything: the kernel ignores numbers and access here */
			put(p, CGROUP_DEVICES, 0, file, "a");
		else
			put(p, CGROUP_DEVICES, 0, file, "%c %s:%s %s", d->type, major, minor, access);
	}
	return 0;
}

/* ---- unified ------------------------------------------------------------------------------------- */

/* Files of v2 controllers, whether or not we have structured fields for them. Those of the core
 * ("cgroup.procs", "cgroup.subtree_control") are not resources. */
static int unified_controller(const char *file, enum cgroup_controller *ret)
{
	static const struct {
		const char *prefix;
		enum cgroup_controller c;
	} known[] = {
		{ "cpu.", CGROUP_CPU },	 { "cpuset.", CGROUP_CPUSET }, { "memory.", CGROUP_MEMORY },
		{ "io.", CGROUP_BLKIO }, { "pids.", CGROUP_PIDS },     { "hugetlb.", CGROUP_HUGETLB },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_starts(file, known[i].prefix) && file[strlen(known[i].prefix)]) {
			*ret = known[i].c;
			return 0;
		}
	return -1;
}

static int plan_unified(struct planner *p)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";

	for (size_t i = 0; i < p->res->unified_count; i++) {
		const struct cgroup_unified *u = &p->res->unified[i];
		enum cgroup_controller c;

		if (str_is_empty(u->file) || strlen(u->file) >= sizeof(((struct cgroup_write *)0)->file) ||
		    strspn(u->file, letters) != strlen(u->file))
			return err_new(p->e, ERR_INVALID,
				       "unified key \"%.64s\" is not the name of a cgroup file",
				       u->file ? u->file : "");
		if (unified_controller(u->file, &c) < 0)
			return err_new(p->e, ERR_INVALID,
				       "unified key \"%s\" does not start with a known controller (cpu, "
				       "cpuset, memory, io, "
				       "pids, hugetlb)",
				       u->file);
		if (!u->value || strlen(u->value) > TEXT_MAX)
			return err_new(p->e, ERR_LIMIT,
				       "the value of unified key \"%s\" is missing or longer than %d bytes",
				       u->file, TEXT_MAX);
		if (!is_v2(p, c) && p->have & 1u << c)
			return err_new(p->e, ERR_UNSUPPORTED,
				       "unified key \"%s\" is for cgroup v2, and on this host \"%s\" is a v1 "
				       "controller",
				       u->file, cgroup_controller_name(c));
		if (need(p, c, u->file) < 0)
			return -ERR_UNSUPPORTED;
		put(p, c, 0, u->file, "%s", u->value);
	}
	return 0;
}

int cgroup_plan_resources(const struct cgroup_resources *res, const struct cgroup_now *now, uint32_t have,
			  uint32_t v2, struct cgroup_plan *ret_plan, struct error *e)
{
	static int (*const steps[])(struct planner *) = {
		plan_memory,	plan_cpu,   plan_cpuset,  plan_pids,
		plan_hugepages, plan_blkio, plan_devices, plan_unified,
	};
	CLEANUP(planner_done) struct planner p = { .res = res, .now = now, .have = have, .v2 = v2, .e = e };

	if (res->device_count > LIST_MAX || res->unified_count > LIST_MAX || res->hugepage_count > LIST_MAX ||
	    res->blkio_count > LIST_MAX)
		return err_new(e, ERR_LIMIT, "a list of resources has more than %d entries", LIST_MAX);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int r = steps[i](&p);

		if (r < 0)
			return r;
	}
	*ret_plan = p.plan;
	p.plan = CGROUP_PLAN_INIT;
	return 0;
}
