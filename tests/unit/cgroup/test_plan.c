/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cgroup/plan.h"

#define ALL ((1u << CGROUP_CONTROLLER_COUNT) - 1)

static struct error err;

/* The plan as one text: "file=value;" in order. */
static const char *plan_text(const struct cgroup_resources *res, const struct cgroup_now *now, uint32_t have,
			     uint32_t v2)
{
	CLEANUP(cgroup_plan_done) struct cgroup_plan plan = CGROUP_PLAN_INIT;
	const struct cgroup_caps caps = { have, v2, v2 ? "cpu memory newctl" : NULL };
	static char text[4096];
	size_t n = 0;

	if (cgroup_plan_resources(res, now, &caps, &plan, &err) < 0) {
		snprintf(text, sizeof(text), "%s", err_kind_name(err.kind));
		return text;
	}
	text[0] = '\0';
	for (size_t i = 0; i < plan.n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=%s;", plan.w[i].file, plan.w[i].value);
	return text;
}

static const char *v1(struct cgroup_resources res)
{
	return plan_text(&res, &CGROUP_NOW_NEW, ALL, 0);
}

static const char *v2(struct cgroup_resources res)
{
	return plan_text(&res, &CGROUP_NOW_NEW, ALL, ALL);
}

#define RES(...) ((struct cgroup_resources){ __VA_ARGS__ })

static void nothing_asked_is_nothing_written(void **state)
{
	(void)state;
	assert_string_equal(v1(RES(0)), "");
	assert_string_equal(v2(RES(0)), "");
}

static void shares_become_weight_by_the_quadratic_formula(void **state)
{
	static const struct {
		uint64_t shares, weight;
	} known[] = { { 0, 1 },	     { 2, 1 },	    { 100, 17 },       { 512, 59 },
		      { 1024, 100 }, { 2048, 174 }, { 262144, 10000 }, { 999999, 10000 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		assert_int_equal(cgroup_weight_of_shares(known[i].shares), known[i].weight);
	for (uint64_t s = 3; s < 262144; s += 7)
		assert_true(cgroup_weight_of_shares(s) >= cgroup_weight_of_shares(s - 1));
}

static void cpu_of_both_versions(void **state)
{
	struct cgroup_resources r = RES(.has_cpu_shares = true, .cpu_shares = 512, .has_cpu_quota = true,
					.cpu_quota = 50000, .has_cpu_period = true, .cpu_period = 100000);

	(void)state;
	assert_string_equal(v1(r), "cpu.cfs_period_us=100000;cpu.cfs_quota_us=50000;cpu.shares=512;");
	assert_string_equal(v2(r), "cpu.max=50000 100000;cpu.weight=59;");
	r = RES(.has_cpu_quota = true, .cpu_quota = -1);
	assert_string_equal(v1(r), "cpu.cfs_quota_us=-1;");
	assert_string_equal(v2(r), "cpu.max=max;");
}

static void a_period_alone_keeps_the_quota(void **state)
{
	struct cgroup_resources r = RES(.has_cpu_period = true, .cpu_period = 20000);
	struct cgroup_now now = CGROUP_NOW_NEW;

	(void)state;
	assert_string_equal(plan_text(&r, &now, ALL, ALL), "cpu.max=max 20000;");
	now.cpu_quota = 7000;
	assert_string_equal(plan_text(&r, &now, ALL, ALL), "cpu.max=7000 20000;");
}

static void idle_takes_no_weight(void **state)
{
	struct cgroup_resources r =
		RES(.has_cpu_idle = true, .cpu_idle = 1, .has_cpu_shares = true, .cpu_shares = 1024);

	(void)state;
	assert_string_equal(v2(r), "cpu.idle=1;");
	r.cpu_idle = 0;
	assert_string_equal(v2(r), "cpu.idle=0;cpu.weight=100;");
	r.cpu_idle = 2;
	assert_string_equal(v2(r), "invalid");
}

static void memory_and_swap_together_are_split_for_v2(void **state)
{
	struct cgroup_resources r = RES(.has_memory_limit = true, .memory_limit = 1000,
					.has_memory_swap = true, .memory_swap = 1500);

	(void)state;
	assert_string_equal(v2(r), "memory.swap.max=500;memory.max=1000;");
	r.memory_swap = 1000;
	assert_string_equal(v2(r), "memory.swap.max=0;memory.max=1000;");
	r.memory_swap = -1;
	assert_string_equal(v2(r), "memory.swap.max=max;memory.max=1000;");
	r.memory_swap = 0; /* not given */
	assert_string_equal(v2(r), "memory.max=1000;");
	r.memory_swap = 999;
	assert_string_equal(v2(r), "invalid");
	assert_non_null(strstr(err_msg(&err), "999"));
	assert_string_equal(v1(r), "invalid");
	assert_string_equal(v2(RES(.has_memory_swap = true, .memory_swap = 5)), "invalid");
}

static void no_memory_limit_means_no_swap_limit(void **state)
{
	struct cgroup_resources r = RES(.has_memory_limit = true, .memory_limit = -1);

	(void)state;
	assert_string_equal(v2(r), "memory.swap.max=max;memory.max=max;");
	assert_string_equal(v1(r), "memory.limit_in_bytes=-1;memory.memsw.limit_in_bytes=-1;");
}

static void v1_keeps_memory_below_memsw_at_each_write(void **state)
{
	struct cgroup_now now = { .memory_limit = 1000, .memsw_limit = 2000, .cpu_quota = -1 };
	struct cgroup_resources up = RES(.has_memory_limit = true, .memory_limit = 3000,
					 .has_memory_swap = true, .memory_swap = 4000);
	struct cgroup_resources down = RES(.has_memory_limit = true, .memory_limit = 500,
					   .has_memory_swap = true, .memory_swap = 600);
	struct cgroup_resources past = RES(.has_memory_limit = true, .memory_limit = 3000);

	(void)state;
	assert_string_equal(plan_text(&up, &now, ALL, 0),
			    "memory.memsw.limit_in_bytes=4000;memory.limit_in_bytes=3000;");
	assert_string_equal(plan_text(&down, &now, ALL, 0),
			    "memory.limit_in_bytes=500;memory.memsw.limit_in_bytes=600;");
	assert_string_equal(plan_text(&past, &now, ALL, 0), "invalid");
	/* On v2 the swap limit is independent. */
	assert_string_equal(plan_text(&past, &now, ALL, ALL), "memory.max=3000;");
	/* The limit stays and only its sum with swap moves. */
	assert_string_equal(plan_text(&RES(.has_memory_swap = true, .memory_swap = 1200), &now, ALL, ALL),
			    "memory.swap.max=200;");
}

static void memory_wishes_that_v2_cannot_fulfil_are_named(void **state)
{
	(void)state;
	assert_string_equal(v2(RES(.has_memory_swappiness = true, .memory_swappiness = 10)), "unsupported");
	assert_string_equal(v2(RES(.has_oom_kill_disable = true, .oom_kill_disable = true)), "unsupported");
	assert_string_equal(v2(RES(.has_oom_kill_disable = true)), "");
	assert_string_equal(v1(RES(.has_oom_kill_disable = true, .oom_kill_disable = true)),
			    "memory.oom_control=1;");
	assert_string_equal(v1(RES(.has_memory_swappiness = true, .memory_swappiness = 101)), "invalid");
	assert_string_equal(v1(RES(.has_memory_reservation = true, .memory_reservation = 9)),
			    "memory.soft_limit_in_bytes=9;");
	assert_string_equal(v2(RES(.has_memory_reservation = true, .memory_reservation = 9)),
			    "memory.low=9;");
}

static void pids(void **state)
{
	(void)state;
	assert_string_equal(v1(RES(.has_pids_limit = true, .pids_limit = 7)), "pids.max=7;");
	assert_string_equal(v2(RES(.has_pids_limit = true, .pids_limit = -1)), "pids.max=max;");
	assert_string_equal(plan_text(&RES(.has_pids_limit = true, .pids_limit = 7), &CGROUP_NOW_NEW, 0, 0),
			    "unsupported");
	assert_string_equal(plan_text(&RES(.has_pids_limit = true, .pids_limit = -1), &CGROUP_NOW_NEW, 0, 0),
			    "");
	/* A limit, not "none": the least there is with an init. */
	assert_string_equal(v1(RES(.has_pids_limit = true, .pids_limit = 0)), "pids.max=1;");
	assert_string_equal(v2(RES(.has_pids_limit = true, .pids_limit = 0)), "pids.max=1;");
}

static void cpuset_is_checked_for_foreign_bytes(void **state)
{
	(void)state;
	assert_string_equal(v1(RES(.cpuset_cpus = "0-3,7", .cpuset_mems = "0")),
			    "cpuset.cpus=0-3,7;cpuset.mems=0;");
	assert_string_equal(v2(RES(.cpuset_cpus = "")), "");
	assert_string_equal(v2(RES(.cpuset_cpus = "0\n1")), "invalid");
	assert_string_equal(v2(RES(.cpuset_mems = "all")), "invalid");
}

static void huge_pages(void **state)
{
	struct cgroup_hugepage two = { "2MB", 4096 }, zero = { "1GB", 0 }, bad = { "../x", 1 };

	(void)state;
	assert_string_equal(v1(RES(.hugepages = &two, .hugepage_count = 1)),
			    "hugetlb.2MB.limit_in_bytes=4096;hugetlb.2MB.rsvd.limit_in_bytes=4096;");
	assert_string_equal(v2(RES(.hugepages = &two, .hugepage_count = 1)),
			    "hugetlb.2MB.max=4096;hugetlb.2MB.rsvd.max=4096;");
	assert_string_equal(v2(RES(.hugepages = &bad, .hugepage_count = 1)), "invalid");
	/* What a kubelet sends to every node. */
	assert_string_equal(plan_text(&RES(.hugepages = &zero, .hugepage_count = 1), &CGROUP_NOW_NEW, 0, 0),
			    "");
	assert_string_equal(plan_text(&RES(.hugepages = &two, .hugepage_count = 1), &CGROUP_NOW_NEW, 0, 0),
			    "unsupported");
}

static void block_io(void **state)
{
	struct cgroup_blkio limits[] = { { BLKIO_READ_BPS, 8, 0, 1000 }, { BLKIO_WRITE_IOPS, 8, 16, 0 } };
	struct cgroup_resources r =
		RES(.has_blkio_weight = true, .blkio_weight = 500, .blkio = limits, .blkio_count = 2);

	(void)state;
	assert_string_equal(v1(r),
			    "blkio.weight=500;blkio.bfq.weight=500;blkio.throttle.read_bps_device=8:0 1000;"
			    "blkio.throttle.write_iops_device=8:16 0;");
	assert_string_equal(v2(r),
			    "io.bfq.weight=500;io.weight=4950;io.max=8:0 rbps=1000;io.max=8:16 wiops=max;");
	r.blkio_weight = 5;
	assert_string_equal(v1(r), "invalid");
}

static void unified_is_for_v2_and_for_resources_only(void **state)
{
	static const char *const bad[] = { "cgroup.procs", "memory/../x", "../memory.max", "memory.",	 "",
					   "memory",	   "cgroup.kill", ".max",	   "memory high" };
	struct cgroup_unified u = { "memory.high", "max" };

	(void)state;
	assert_string_equal(v2(RES(.unified = &u, .unified_count = 1)), "memory.high=max;");
	assert_string_equal(v1(RES(.unified = &u, .unified_count = 1)), "unsupported");
	assert_non_null(strstr(err_msg(&err), "v2"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		u.file = bad[i];
		assert_string_equal(v2(RES(.unified = &u, .unified_count = 1)), "invalid");
	}
}

static void unified_knows_the_hosts_controllers(void **state)
{
	struct cgroup_unified unknown = { "newctl.max", "5" }, missing = { "foo.max", "5" },
			      depth = { "cgroup.max.depth", "3" },
			      lines = { "io.max", "8:0 rbps=1\n8:16 wiops=2\n" };

	(void)state;
	assert_string_equal(v2(RES(.unified = &unknown, .unified_count = 1)), "newctl.max=5;");
	assert_string_equal(v2(RES(.unified = &missing, .unified_count = 1)), "unsupported");
	assert_non_null(strstr(err_msg(&err), "controller \"foo\" is not available"));
	assert_string_equal(v2(RES(.unified = &depth, .unified_count = 1)), "cgroup.max.depth=3;");
	assert_string_equal(v2(RES(.unified = &lines, .unified_count = 1)),
			    "io.max=8:0 rbps=1;io.max=8:16 wiops=2;");
}

static void unified_overrides_the_structured_fields(void **state)
{
	struct cgroup_unified u = { "memory.max", "7" };

	(void)state;
	assert_string_equal(
		v2(RES(.has_memory_limit = true, .memory_limit = 5, .unified = &u, .unified_count = 1)),
		"memory.max=5;memory.max=7;");
}

static void device_rules_of_v1(void **state)
{
	struct cgroup_device d[] = {
		{ false, 'a', "rwm", -1, -1 },
		{ true, 'c', "rw", 1, 3 },
		{ true, 'b', "", 8, -1 },
	};
	struct cgroup_device bad_type = { true, 'x', "r", 1, 3 }, bad_access = { true, 'c', "rx", 1, 3 };

	(void)state;
	assert_string_equal(v1(RES(.devices = d, .device_count = 3)),
			    "devices.deny=a;devices.allow=c 1:3 rw;devices.allow=b 8:* rwm;");
	assert_string_equal(v2(RES(.devices = d, .device_count = 3)), ""); /* a program, no file */
	assert_string_equal(v2(RES(.devices = &bad_type, .device_count = 1)), "invalid");
	assert_string_equal(v1(RES(.devices = &bad_access, .device_count = 1)), "invalid");
}

static const char *devices_v1(const struct cgroup_device *d, size_t n)
{
	return v1(RES(.devices = d, .device_count = n));
}

/* Nothing is allowed before the first rule; what only looks like a change is none. */
static void device_rules_of_v1_are_a_history(void **state)
{
	struct cgroup_device taken_back[] = { { true, 'c', "rwm", 1, 3 }, { false, 'c', "w", 1, 3 } };
	struct cgroup_device wider_takes[] = { { true, 'c', "rw", 1, 3 },
					       { true, 'c', "rw", 1, 5 },
					       { false, 'c', "rwm", 1, -1 } };
	struct cgroup_device reset[] = { { true, 'c', "rw", 1, 3 },
					 { true, 'a', "rwm", -1, -1 },
					 { false, 'b', "rwm", 8, 0 } };
	struct cgroup_device merged[] = { { true, 'c', "r", 1, 3 }, { true, 'c', "w", 1, 3 } };
	struct cgroup_device given_by_wider[] = { { true, 'c', "r", 1, -1 }, { true, 'c', "w", 1, 3 } };

	(void)state;
	assert_string_equal(devices_v1(taken_back, 2), "devices.deny=a;devices.allow=c 1:3 rm;");
	assert_string_equal(devices_v1(wider_takes, 3), "devices.deny=a;");
	assert_string_equal(devices_v1(reset, 3), "devices.allow=a;devices.deny=b 8:0 rwm;");
	assert_string_equal(devices_v1(merged, 2), "devices.deny=a;devices.allow=c 1:3 rw;");
	assert_string_equal(devices_v1(given_by_wider, 2),
			    "devices.deny=a;devices.allow=c 1:* r;devices.allow=c 1:3 rw;");
}

/* v1 would silently leave the device open. */
static void a_hole_in_a_wider_rule_is_refused_on_v1(void **state)
{
	struct cgroup_device hole[] = { { true, 'c', "rwm", 1, -1 }, { false, 'c', "rw", 1, 3 } };
	struct cgroup_device across[] = { { true, 'c', "r", -1, 3 }, { false, 'c', "r", 1, -1 } };
	struct cgroup_device other_access[] = { { true, 'c', "m", -1, -1 }, { false, 'c', "rw", 1, 3 } };

	(void)state;
	assert_string_equal(devices_v1(hole, 2), "unsupported");
	assert_non_null(
		strstr(err_msg(&err), "\"deny c 1:3 rw\" makes an exception from \"allow c 1:* rwm\""));
	assert_string_equal(devices_v1(across, 2), "unsupported");
	assert_string_equal(devices_v1(other_access, 2), "devices.deny=a;devices.allow=c *:* m;");
	assert_string_equal(v2(RES(.devices = hole, .device_count = 2)), "");
}

static void zero_is_not_given(void **state)
{
	struct cgroup_resources r =
		RES(.has_memory_limit = true, .has_memory_reservation = true, .has_memory_swap = true,
		    .has_cpu_shares = true, .has_cpu_quota = true, .has_cpu_period = true,
		    .has_blkio_weight = true, .has_cpu_rt_period = true, .has_cpu_rt_runtime = true);

	(void)state;
	assert_string_equal(v1(r), "");
	assert_string_equal(v2(r), "");
	assert_string_equal(plan_text(&r, &CGROUP_NOW_NEW, 0, 0), "");
}

static void real_time_is_of_v1_only(void **state)
{
	struct cgroup_resources r = RES(.has_cpu_rt_period = true, .cpu_rt_period = 1000000,
					.has_cpu_rt_runtime = true, .cpu_rt_runtime = 950000);

	(void)state;
	assert_string_equal(v1(r), "cpu.rt_period_us=1000000;cpu.rt_runtime_us=950000;");
	assert_string_equal(v2(r), "unsupported");
}

static void burst_stays_below_the_quota(void **state)
{
	struct cgroup_resources r =
		RES(.has_cpu_quota = true, .cpu_quota = 10000, .has_cpu_burst = true, .cpu_burst = 5000);

	(void)state;
	assert_string_equal(v1(r), "cpu.cfs_quota_us=10000;cpu.cfs_burst_us=5000;");
	assert_string_equal(v2(r), "cpu.max=10000;cpu.max.burst=5000;");
	r.cpu_burst = 10001;
	assert_string_equal(v1(r), "invalid");
	assert_string_equal(v2(r), "invalid");
}

static void shares_that_v1_would_change_are_refused(void **state)
{
	(void)state;
	assert_string_equal(v1(RES(.has_cpu_shares = true, .cpu_shares = 1)), "invalid");
	assert_non_null(strstr(err_msg(&err), "minimum"));
	assert_string_equal(v1(RES(.has_cpu_shares = true, .cpu_shares = 262145)), "invalid");
	assert_string_equal(v2(RES(.has_cpu_shares = true, .cpu_shares = 1)), "cpu.weight=1;");
}

static void swap_alone_is_bounded_beside_unlimited_memory_on_v2(void **state)
{
	struct cgroup_resources r = RES(.has_memory_limit = true, .memory_limit = -1, .has_memory_swap = true,
					.memory_swap = 4096);

	(void)state;
	assert_string_equal(v2(r), "memory.swap.max=4096;memory.max=max;");
	assert_string_equal(v1(r), "invalid");
}

static void weights_of_block_devices(void **state)
{
	struct cgroup_blkio w[] = { { BLKIO_WEIGHT, 8, 0, 1000 } },
			    leaf[] = { { BLKIO_LEAF_WEIGHT, 8, 0, 300 } };

	(void)state;
	assert_string_equal(v1(RES(.blkio = w, .blkio_count = 1)),
			    "blkio.weight_device=8:0 1000;blkio.bfq.weight_device=8:0 1000;");
	assert_string_equal(v2(RES(.blkio = w, .blkio_count = 1)),
			    "io.bfq.weight=8:0 1000;io.weight=8:0 10000;");
	assert_string_equal(v1(RES(.blkio = leaf, .blkio_count = 1)), "blkio.leaf_weight_device=8:0 300;");
	assert_string_equal(v2(RES(.blkio = leaf, .blkio_count = 1)), "unsupported");
	assert_string_equal(v1(RES(.has_blkio_leaf_weight = true, .blkio_leaf_weight = 10)),
			    "blkio.leaf_weight=10;");
	assert_string_equal(v2(RES(.has_blkio_leaf_weight = true, .blkio_leaf_weight = 10)), "unsupported");
	w[0].value = 1;
	assert_string_equal(v1(RES(.blkio = w, .blkio_count = 1)), "invalid");
}

static void network_is_of_v1_only(void **state)
{
	struct cgroup_net_priority prio = { "eth0", 500 }, bad = { "eth 0", 1 };
	struct cgroup_resources r = RES(.has_net_class_id = true, .net_class_id = 0x100001,
					.net_priorities = &prio, .net_priority_count = 1);
	const uint32_t without = ALL & ~(1u << CGROUP_NET_CLS | 1u << CGROUP_NET_PRIO);

	(void)state;
	assert_string_equal(v1(r), "net_cls.classid=1048577;net_prio.ifpriomap=eth0 500;");
	assert_string_equal(plan_text(&r, &CGROUP_NOW_NEW, without, without), "unsupported");
	assert_non_null(strstr(err_msg(&err), "cgroup v2"));
	assert_string_equal(v1(RES(.net_priorities = &bad, .net_priority_count = 1)), "invalid");
	assert_string_equal(plan_text(&RES(.has_net_class_id = true), &CGROUP_NOW_NEW, 0, 0), "");
}

static void rdma(void **state)
{
	struct cgroup_rdma d[] = { { "mlx5_1", true, true, 3, 10000 }, { "rxe3", false, true, 0, 7 } };

	(void)state;
	assert_string_equal(v1(RES(.rdma = d, .rdma_count = 2)),
			    "rdma.max=mlx5_1 hca_handle=3 hca_object=10000;rdma.max=rxe3 hca_object=7;");
	assert_string_equal(plan_text(&RES(.rdma = d, .rdma_count = 2), &CGROUP_NOW_NEW, 0, 0),
			    "unsupported");
	d[0].has_handles = d[0].has_objects = false;
	assert_string_equal(v2(RES(.rdma = d, .rdma_count = 1)), "invalid");
}

/* What a plan cannot do without decides whether lack of access is an error. */
static void needs_are_the_limits(void **state)
{
	CLEANUP(cgroup_plan_done) struct cgroup_plan plan = CGROUP_PLAN_INIT;
	const struct cgroup_caps caps = { ALL, 0, NULL };
	const struct cgroup_device d = { false, 'a', "", -1, -1 };
	const struct cgroup_hugepage none = { "2MB", 0 };
	const struct cgroup_resources r = {
		.has_pids_limit = true,
		.pids_limit = -1,
		.devices = &d,
		.device_count = 1,
		.hugepages = &none,
		.hugepage_count = 1,
		.has_cpu_shares = true,
		.cpu_shares = 2,
	};

	(void)state;
	assert_int_equal(cgroup_plan_resources(&r, &CGROUP_NOW_NEW, &caps, &plan, &err), 0);
	assert_int_equal(plan.needs, 1u << CGROUP_CPU);
}

/* "file", what was written to it, what the file said before, and what is written to take it back. */
static void each_write_can_be_taken_back(void **state)
{
	static const struct {
		const char *file, *value, *old, *undo;
	} known[] = {
		{ "memory.max", "5", "max", "max" },
		{ "memory.limit_in_bytes", "5", "9223372036854771712", "9223372036854771712" },
		{ "memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0", "0" },
		{ "cpu.max", "7 20", "max 100000", "max 100000" },
		{ "cpuset.cpus", "0", "", "\n" },
		{ "io.weight", "5", "default 100\n8:0 50", "100" },
		{ "io.weight", "8:0 5", "default 100\n8:0 50", "8:0 50" },
		{ "io.weight", "8:16 5", "default 100\n8:0 50", "8:16 default" },
		{ "io.bfq.weight", "5", "100", "100" },
		{ "io.max", "8:0 rbps=5", "8:0 rbps=1 wbps=max riops=max wiops=2",
		  "8:0 rbps=1 wbps=max riops=max wiops=2" },
		{ "io.max", "8:0 rbps=5", "8:16 rbps=1", "8:0 rbps=max wbps=max riops=max wiops=max" },
		{ "blkio.throttle.read_bps_device", "8:0 5", "", "8:0 0" },
		{ "blkio.throttle.read_bps_device", "8:0 5", "8:0 9", "8:0 9" },
		{ "rdma.max", "mlx hca_handle=1", "mlx hca_handle=max hca_object=4",
		  "mlx hca_handle=max hca_object=4" },
		{ "net_prio.ifpriomap", "eth0 5", "lo 0\neth0 3", "eth0 3" },
		{ "misc.max", "res 5", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct cgroup_write w = { .value = (char *)(uintptr_t)known[i].value };
		cleanup_free char *undo = NULL;

		snprintf(w.file, sizeof(w.file), "%s", known[i].file);
		undo = cgroup_undo_value(&w, known[i].old);
		if (known[i].undo)
			assert_string_equal(undo, known[i].undo);
		else
			assert_null(undo);
	}
}

static void controllers_are_judged_one_by_one(void **state)
{
	struct cgroup_resources r =
		RES(.has_memory_limit = true, .memory_limit = 5, .has_pids_limit = true, .pids_limit = 3);

	(void)state;
	/* A hybrid host whose memory controller has moved to v2. */
	assert_string_equal(plan_text(&r, &CGROUP_NOW_NEW, ALL, 1u << CGROUP_MEMORY),
			    "memory.max=5;pids.max=3;");
	assert_string_equal(plan_text(&r, &CGROUP_NOW_NEW, 1u << CGROUP_PIDS, 0), "unsupported");
	assert_non_null(strstr(err_msg(&err), "memory"));
}

static void lists_are_bounded(void **state)
{
	(void)state;
	assert_string_equal(v2(RES(.unified_count = 1u << 20)), "limit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_is_nothing_written),
		cmocka_unit_test(shares_become_weight_by_the_quadratic_formula),
		cmocka_unit_test(cpu_of_both_versions),
		cmocka_unit_test(a_period_alone_keeps_the_quota),
		cmocka_unit_test(idle_takes_no_weight),
		cmocka_unit_test(memory_and_swap_together_are_split_for_v2),
		cmocka_unit_test(no_memory_limit_means_no_swap_limit),
		cmocka_unit_test(v1_keeps_memory_below_memsw_at_each_write),
		cmocka_unit_test(memory_wishes_that_v2_cannot_fulfil_are_named),
		cmocka_unit_test(pids),
		cmocka_unit_test(cpuset_is_checked_for_foreign_bytes),
		cmocka_unit_test(huge_pages),
		cmocka_unit_test(block_io),
		cmocka_unit_test(unified_is_for_v2_and_for_resources_only),
		cmocka_unit_test(unified_overrides_the_structured_fields),
		cmocka_unit_test(device_rules_of_v1),
		cmocka_unit_test(device_rules_of_v1_are_a_history),
		cmocka_unit_test(a_hole_in_a_wider_rule_is_refused_on_v1),
		cmocka_unit_test(zero_is_not_given),
		cmocka_unit_test(real_time_is_of_v1_only),
		cmocka_unit_test(burst_stays_below_the_quota),
		cmocka_unit_test(shares_that_v1_would_change_are_refused),
		cmocka_unit_test(swap_alone_is_bounded_beside_unlimited_memory_on_v2),
		cmocka_unit_test(weights_of_block_devices),
		cmocka_unit_test(network_is_of_v1_only),
		cmocka_unit_test(rdma),
		cmocka_unit_test(needs_are_the_limits),
		cmocka_unit_test(each_write_can_be_taken_back),
		cmocka_unit_test(unified_knows_the_hosts_controllers),
		cmocka_unit_test(controllers_are_judged_one_by_one),
		cmocka_unit_test(lists_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
