/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup/systemd_props.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cgroup/dbus.h"
#include "cgroup/plan.h"

#define INFINITE UINT64_MAX
#define DEFAULT_PERIOD_US 100000u
#define QUOTA_STEP_US 10000u /* 1 % of a second */
#define SET_MAX 8192u	     /* cpus or nodes */
/* Versions of systemd: CPUWeight=idle; OOMPolicy of scopes. */
#define VERSION_IDLE 252
#define VERSION_OOM_POLICY 253

void systemd_props_done(struct systemd_props *p)
{
	for (size_t i = 0; i < p->n; i++) {
		buf_done(&p->v[i].bytes);
		strv_done(&p->v[i].words);
		systemd_value_done(&p->v[i].value);
		free(p->v[i].own_name);
	}
	free(p->v);
	*p = SYSTEMD_PROPS_INIT;
}

static struct systemd_prop *add(struct systemd_props *p, const char *name, enum systemd_prop_kind kind)
{
	p->v = mem_regrow(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n] = (struct systemd_prop){ .name = name, .kind = kind };
	return &p->v[p->n++];
}

void systemd_prop_u64(struct systemd_props *p, const char *name, uint64_t number)
{
	add(p, name, PROP_U64)->number = number;
}

void systemd_prop_bool(struct systemd_props *p, const char *name, bool value)
{
	add(p, name, PROP_BOOL)->number = value;
}

void systemd_prop_text(struct systemd_props *p, const char *name, const char *text)
{
	buf_adds(&add(p, name, PROP_TEXT)->bytes, text);
}

void systemd_prop_pid(struct systemd_props *p, pid_t pid)
{
	add(p, "PIDs", PROP_PIDS)->number = (uint64_t)pid;
}

/* ---- the wire ---------------------------------------------------------------------------------------- */

static void put_words(const struct systemd_prop *x, struct buf *b)
{
	struct dbus_array a = dbus_array_begin(b, 8);

	for (size_t i = 0; i + 1 < x->words.n; i += 2) {
		dbus_align(b, 8);
		dbus_put_str(b, x->words.v[i]);
		if (x->kind == PROP_RATES)
			dbus_put_u64(b, strtoull(x->words.v[i + 1], NULL, 10));
		else
			dbus_put_str(b, x->words.v[i + 1]);
	}
	dbus_array_end(b, a);
}

static void put_value(const struct systemd_prop *x, struct buf *b)
{
	static const char *const signatures[] = {
		[PROP_U64] = "t",	[PROP_BOOL] = "b",	[PROP_TEXT] = "s", [PROP_BYTES] = "ay",
		[PROP_PAIRS] = "a(ss)", [PROP_RATES] = "a(st)", [PROP_PIDS] = "au"
	};
	struct dbus_array a;

	if (x->kind == PROP_VALUE) {
		systemd_value_put(&x->value, b);
		return;
	}
	dbus_put_sig(b, signatures[x->kind]);
	switch (x->kind) {
	case PROP_U64:
		dbus_put_u64(b, x->number);
		break;
	case PROP_BOOL:
		dbus_put_bool(b, x->number);
		break;
	case PROP_TEXT:
		dbus_put_str(b, buf_str(&x->bytes));
		break;
	case PROP_BYTES:
		a = dbus_array_begin(b, 1);
		buf_add(b, buf_str(&x->bytes), x->bytes.len);
		dbus_array_end(b, a);
		break;
	case PROP_PAIRS:
	case PROP_RATES:
		put_words(x, b);
		break;
	case PROP_PIDS:
		a = dbus_array_begin(b, 4);
		dbus_put_u32(b, (uint32_t)x->number);
		dbus_array_end(b, a);
		break;
	case PROP_VALUE:
		break;
	}
}

void systemd_props_put(const struct systemd_props *p, struct buf *b)
{
	struct dbus_array a = dbus_array_begin(b, 8);

	for (size_t i = 0; i < p->n; i++) {
		dbus_align(b, 8);
		dbus_put_str(b, p->v[i].name);
		put_value(&p->v[i], b);
	}
	dbus_array_end(b, a);
}

/* ---- memory, cpu, pids --------------------------------------------------------------------------------- */

static uint64_t limit_of(int64_t n)
{
	return n < 0 ? INFINITE : (uint64_t)n;
}

static void memory(const struct cgroup_resources *r, bool v2, struct systemd_props *p)
{
	bool has_limit = r->has_memory_limit && r->memory_limit;

	if (has_limit)
		systemd_prop_u64(p, v2 ? "MemoryMax" : "MemoryLimit", limit_of(r->memory_limit));
	if (!v2)
		return;
	if (r->has_memory_reservation && r->memory_reservation)
		systemd_prop_u64(p, "MemoryLow", limit_of(r->memory_reservation));
	if (has_limit && r->memory_limit < 0 && !(r->has_memory_swap && r->memory_swap))
		systemd_prop_u64(p, "MemorySwapMax", INFINITE);
	else if (r->has_memory_swap && r->memory_swap < 0)
		systemd_prop_u64(p, "MemorySwapMax", INFINITE);
	else if (r->has_memory_swap && r->memory_swap && has_limit)
		systemd_prop_u64(
			p, "MemorySwapMax",
			(uint64_t)(r->memory_limit < 0 ? r->memory_swap : r->memory_swap - r->memory_limit));
}

static uint64_t period_of(const struct cgroup_resources *r)
{
	return r->has_cpu_period && r->cpu_period ? r->cpu_period : DEFAULT_PERIOD_US;
}

static uint64_t per_second(uint64_t quota, uint64_t period)
{
	uint64_t us = quota > INFINITE / 1000000 ? INFINITE : quota * 1000000 / period;

	return us % QUOTA_STEP_US ? (us / QUOTA_STEP_US + 1) * QUOTA_STEP_US : us;
}

void systemd_round_quota(struct cgroup_resources *r)
{
	uint64_t us;

	if (!r->has_cpu_quota || r->cpu_quota <= 0)
		return;
	us = per_second((uint64_t)r->cpu_quota, period_of(r));
	if (us < INFINITE / period_of(r))
		r->cpu_quota = (int64_t)(us * period_of(r) / 1000000);
}

static void cpu(const struct cgroup_resources *r, bool v2, unsigned int version, struct systemd_props *p)
{
	bool has_period = r->has_cpu_period && r->cpu_period, has_quota = r->has_cpu_quota && r->cpu_quota;
	bool is_idle = v2 && r->has_cpu_idle && r->cpu_idle == 1;

	if (is_idle && version >= VERSION_IDLE)
		systemd_prop_u64(p, "CPUWeight", 0); /* "idle" */
	else if (!is_idle && r->has_cpu_shares && r->cpu_shares)
		systemd_prop_u64(p, v2 ? "CPUWeight" : "CPUShares",
				 v2 ? cgroup_weight_of_shares(r->cpu_shares) : r->cpu_shares);
	if (has_period)
		systemd_prop_u64(p, "CPUQuotaPeriodUSec", r->cpu_period);
	if (has_quota || has_period)
		systemd_prop_u64(p, "CPUQuotaPerSecUSec",
				 has_quota && r->cpu_quota > 0
					 ? per_second((uint64_t)r->cpu_quota, period_of(r))
					 : INFINITE);
}

/* "0-2,5" as bits, the first byte has 0 to 7. Nothing is added for what is no list, or an empty one. */
static void set(const char *text, const char *name, struct systemd_props *p)
{
	unsigned char bits[SET_MAX / 8] = { 0 };
	cleanup_strv struct strv ranges = STRV_INIT;
	size_t len = 0;

	strv_split(&ranges, text ? text : "", ", ");
	for (size_t i = 0; i < ranges.n; i++) {
		char *end;
		unsigned long from = strtoul(ranges.v[i], &end, 10);
		unsigned long to = *end == '-' ? strtoul(end + 1, &end, 10) : from;

		if (*end || to >= SET_MAX || end == ranges.v[i])
			return;
		for (; from <= to; from++) {
			bits[from / 8] |= (unsigned char)(1u << from % 8);
			len = from / 8 + 1 > len ? from / 8 + 1 : len;
		}
	}
	if (len)
		buf_add(&add(p, name, PROP_BYTES)->bytes, bits, len);
}

/* ---- block I/O ------------------------------------------------------------------------------------------ */

static void blkio(const struct cgroup_resources *r, bool v2, struct systemd_props *p)
{
	static const char *const names[] = { [BLKIO_READ_BPS] = "IOReadBandwidthMax",
					     [BLKIO_WRITE_BPS] = "IOWriteBandwidthMax",
					     [BLKIO_READ_IOPS] = "IOReadIOPSMax",
					     [BLKIO_WRITE_IOPS] = "IOWriteIOPSMax" };

	if (!v2 && r->has_blkio_weight && r->blkio_weight)
		systemd_prop_u64(p, "BlockIOWeight", r->blkio_weight);
	for (enum cgroup_blkio_kind kind = BLKIO_READ_BPS; v2 && kind <= BLKIO_WRITE_IOPS; kind++) {
		struct systemd_prop *x = NULL;

		for (size_t i = 0; i < r->blkio_count; i++) {
			const struct cgroup_blkio *b = &r->blkio[i];

			if (b->kind != kind)
				continue;
			x = x ? x : add(p, names[kind], PROP_RATES);
			strv_addf(&x->words, "/dev/block/%u:%u", b->major, b->minor);
			strv_addf(&x->words, "%" PRIu64, b->value ? b->value : INFINITE);
		}
	}
}

/* ---- devices -------------------------------------------------------------------------------------------- */

/* A pattern of DeviceAllow=; false for one that systemd has no words for. */
static bool device_pattern(const struct cgroup_device *d, char out[64])
{
	const char *type = d->type == 'b' ? "block" : "char";

	if (d->major < 0 && d->minor >= 0)
		return false;
	if (d->major < 0)
		snprintf(out, 64, "%s-*", type);
	else if (d->minor < 0)
		snprintf(out, 64, "%s-%" PRId64, type, d->major);
	else
		snprintf(out, 64, "/dev/%s/%" PRId64 ":%" PRId64, type, d->major, d->minor);
	return true;
}

static void devices(const struct cgroup_resources *r, struct systemd_props *p)
{
	CLEANUP(cgroup_device_list_done) struct cgroup_device_list list = { 0 };
	bool can_say = r->device_count && cgroup_device_list_make(r, &list, NULL) >= 0 && !list.allows;
	struct systemd_prop *x;
	char pattern[64];

	if (!r->device_count)
		return;
	for (size_t i = 0; i < list.n; i++)
		can_say = can_say && device_pattern(&list.v[i], pattern);
	/* An empty list takes away what an existing unit has. */
	add(p, "DeviceAllow", PROP_PAIRS);
	systemd_prop_text(p, "DevicePolicy", can_say ? "strict" : "auto");
	if (!can_say)
		return;
	x = add(p, "DeviceAllow", PROP_PAIRS);
	for (size_t i = 0; i < list.n; i++) {
		device_pattern(&list.v[i], pattern);
		strv_add(&x->words, pattern);
		strv_add(&x->words, list.v[i].access);
	}
}

/* ---- unified -------------------------------------------------------------------------------------------- */

static int number_of(const struct cgroup_unified *u, uint64_t *ret, struct error *e)
{
	cleanup_free char *text = str_ndup(u->value, strcspn(u->value, " \n"));

	*ret = INFINITE;
	if (str_eq(text, "max") || str_to_u64(text, ret, e) >= 0)
		return 0;
	return err_ctx(e, "unified key \"%s\"", u->file);
}

/* "max", "50000", "50000 100000" */
static int cpu_max(const struct cgroup_unified *u, struct systemd_props *p, struct error *e)
{
	const char *space = strchr(u->value, ' ');
	uint64_t quota = INFINITE, period = DEFAULT_PERIOD_US;
	int r = number_of(u, &quota, e);

	if (r >= 0 && space)
		r = str_to_u64(space + 1, &period, e);
	if (r < 0 || period == 0)
		return err_new(e, ERR_INVALID, "unified key \"cpu.max\": \"%s\" is no quota and period",
			       u->value);
	if (space)
		systemd_prop_u64(p, "CPUQuotaPeriodUSec", period);
	systemd_prop_u64(p, "CPUQuotaPerSecUSec", quota == INFINITE ? INFINITE : per_second(quota, period));
	return 0;
}

static int unified_key(const struct cgroup_unified *u, struct systemd_props *p, struct error *e)
{
	static const struct {
		const char *file, *name;
	} numbers[] = { { "cpu.weight", "CPUWeight" }, { "memory.high", "MemoryHigh" },
			{ "memory.low", "MemoryLow" }, { "memory.min", "MemoryMin" },
			{ "memory.max", "MemoryMax" }, { "memory.swap.max", "MemorySwapMax" },
			{ "pids.max", "TasksMax" } };
	uint64_t n = 0;
	int r;

	if (str_eq(u->file, "cpu.max"))
		return cpu_max(u, p, e);
	if (str_eq(u->file, "cpuset.cpus"))
		set(u->value, "AllowedCPUs", p);
	if (str_eq(u->file, "cpuset.mems"))
		set(u->value, "AllowedMemoryNodes", p);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (!str_eq(u->file, numbers[i].file))
			continue;
		r = number_of(u, &n, e);
		if (r < 0)
			return r;
		/* TasksMax has no 0. */
		systemd_prop_u64(p, numbers[i].name, n || !str_eq(numbers[i].name, "TasksMax") ? n : 1);
	}
	return 0;
}

/* ---- all ------------------------------------------------------------------------------------------------- */

bool systemd_wants_version(const struct cgroup_resources *r)
{
	if (r->has_cpu_idle && r->cpu_idle)
		return true;
	for (size_t i = 0; i < r->unified_count; i++)
		if (str_eq(r->unified[i].file, "memory.oom.group"))
			return true;
	return false;
}

int systemd_props_of(const struct cgroup_resources *r, bool is_v2, unsigned int version,
		     struct systemd_props *p, struct error *e)
{
	memory(r, is_v2, p);
	cpu(r, is_v2, version, p);
	set(r->cpuset_cpus, "AllowedCPUs", p);
	set(r->cpuset_mems, "AllowedMemoryNodes", p);
	if (r->has_pids_limit)
		systemd_prop_u64(p, "TasksMax", r->pids_limit ? limit_of(r->pids_limit) : 1);
	blkio(r, is_v2, p);
	devices(r, p);
	for (size_t i = 0; i < r->unified_count; i++) {
		int k = unified_key(&r->unified[i], p, e);

		if (k < 0)
			return k;
	}
	return 0;
}

void systemd_props_of_start(const struct cgroup_resources *r, unsigned int version, struct systemd_props *p)
{
	/* No limit is none, and not systemd's DefaultTasksMax, 15 % of the machine's. */
	if (!r || !r->has_pids_limit)
		systemd_prop_u64(p, "TasksMax", INFINITE);
	for (size_t i = 0; r && i < r->unified_count; i++)
		if (str_eq(r->unified[i].file, "memory.oom.group") && version >= VERSION_OOM_POLICY)
			systemd_prop_text(p, "OOMPolicy",
					  str_eq(r->unified[i].value, "1") ? "kill" : "continue");
}

/* ---- annotations ------------------------------------------------------------------------------------------ */

/* runc's rules: letters, three at least; "TimeoutStopSec", as unit files have it, is D-Bus's "TimeoutStopUSec". */
static int annotation(const struct cgroup_unit_property *u, struct systemd_props *p, struct error *e)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *name = u->annotation + sizeof(CGROUP_UNIT_ANNOTATION) - 1;
	size_t len = strlen(name);
	struct systemd_prop *x;
	int r;

	if (len < 3 || name[strspn(name, letters)])
		return err_new(e, ERR_INVALID, "\"%s\" is no name of a property of systemd", name);
	x = add(p, name, PROP_VALUE);
	r = systemd_value_parse(u->value, &x->value, e);
	if (r < 0)
		return err_ctx(e, "\"%s\" is no value of a property of systemd", u->value);
	if (len < 4 || !str_ends(name, "Sec") || name[len - 4] < 'a')
		return 0;
	x->name = x->own_name = str_fmt("%.*sUSec", (int)(len - 3), name);
	r = systemd_value_to_usec(&x->value, e);
	return r < 0 ? err_ctx(e, "\"%s\"", u->value) : 0;
}

int systemd_props_of_annotations(const struct cgroup_resources *r, struct systemd_props *p, struct error *e)
{
	for (size_t i = 0; i < r->unit_property_count; i++) {
		int k = annotation(&r->unit_properties[i], p, e);

		if (k < 0)
			return err_ctx(e, "annotation \"%s\"", r->unit_properties[i].annotation);
	}
	return 0;
}
