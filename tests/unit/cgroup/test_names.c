/* SPDX-License-Identifier: Apache-2.0 */
/* Hierarchies found in a mountinfo text, paths, the names of systemd, and texts of statistics: all pure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cgroup/host.h"
#include "cgroup/path.h"
#include "cgroup/stats.h"
#include "base/mem.h"
#include "base/str.h"

static struct error err;

static struct cgroup_host *host_of(const char *mountinfo, const char *v2_controllers)
{
	struct cgroup_host *h = NEW(struct cgroup_host);

	cgroup_host_parse(h, mountinfo);
	for (size_t i = 0; i < h->hier_count; i++)
		h->hier[i].root_dfd = -1;
	cgroup_host_decide(h, v2_controllers);
	return h;
}

#define V2_LINE "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void pure_v2(void **state)
{
	CLEANUP(cgroup_host_free)
	struct cgroup_host *h = host_of(V2_LINE, "cpuset cpu io memory hugetlb pids rdma misc");

	(void)state;
	assert_int_equal(cgroup_host_mode(h), CGROUP_V2);
	for (unsigned c = 0; c < CGROUP_DMEM; c++)
		assert_true(cgroup_host_is_v2(h, c));
	assert_false(cgroup_host_has(h, CGROUP_NET_CLS));
}

static void controllers_of_v1_are_seen(void **state)
{
	(void)state;
	assert_true(cgroup_host_has_no_v1(""));
	assert_true(cgroup_host_has_no_v1("#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
					  "cpuset\t0\t231\t1\nmemory\t0\t231\t1\n"));
	assert_false(cgroup_host_has_no_v1("#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
					   "cpuset\t0\t231\t1\nnet_cls\t12\t1\t1\npids\t0\t231\t1"));
	assert_false(cgroup_host_has_no_v1("pids\t3\t1\t1\n"));
}

static void hybrid_with_separate_cpu_and_cpuacct(void **state)
{
	CLEANUP(cgroup_host_free)
	struct cgroup_host *h = host_of(
		"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
		"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
		"33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
		"37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
		"40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
		"hugetlb");

	(void)state;
	assert_int_equal(cgroup_host_mode(h), CGROUP_HYBRID);
	assert_int_equal(h->hier_count, 6);
	assert_int_not_equal(h->by_controller[CGROUP_CPU], h->by_controller[CGROUP_CPUACCT]);
	assert_false(cgroup_host_is_v2(h, CGROUP_MEMORY));
	assert_true(cgroup_host_is_v2(h, CGROUP_HUGETLB));
	assert_false(cgroup_host_is_v2(h, CGROUP_FREEZER));
	assert_true(cgroup_host_is_v2(h, CGROUP_DEVICES)); /* no v1 one is mounted */
	assert_false(cgroup_host_has(h, CGROUP_PIDS));
	assert_string_equal(h->hier[4].option, "name=systemd");
	assert_string_equal(h->hier[h->anchor].option, "freezer");
}

static void v1_with_cpu_and_cpuacct_together(void **state)
{
	CLEANUP(cgroup_host_free)
	struct cgroup_host *h =
		host_of("32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
			"33 31 0:30 / /a\\040b rw - cgroup cgroup rw,net_cls,net_prio\n",
			"");

	(void)state;
	assert_int_equal(cgroup_host_mode(h), CGROUP_V1);
	assert_int_equal(h->by_controller[CGROUP_CPU], h->by_controller[CGROUP_CPUACCT]);
	assert_string_equal(h->hier[0].option, "cpu,cpuacct");
	assert_string_equal(h->hier[1].option, "net_cls,net_prio");
	assert_string_equal(h->hier[1].mount_point, "/a b");
	assert_int_equal(h->v2, -1);
}

static void a_whole_mount_wins_over_a_bind_of_a_part(void **state)
{
	CLEANUP(cgroup_host_free)
	struct cgroup_host *h = host_of("1 0 0:29 /part /bound rw - cgroup cgroup rw,memory\n"
					"2 0 0:29 / /whole rw - cgroup cgroup rw,memory\n"
					"3 0 0:29 / /second rw - cgroup cgroup rw,memory\n",
					"");

	(void)state;
	assert_int_equal(h->hier_count, 1);
	assert_string_equal(h->hier[0].mount_point, "/whole");
}

static void a_named_leftover_beside_v2_is_ignored(void **state)
{
	CLEANUP(cgroup_host_free)
	struct cgroup_host *h =
		host_of(V2_LINE "2 0 0:29 / /n rw - cgroup cgroup rw,name=elogind\n", "cpu memory pids");

	(void)state;
	assert_int_equal(cgroup_host_mode(h), CGROUP_V2);
	assert_int_equal(h->hier_count, 1);
}

static void torn_lines_are_passed_over(void **state)
{
	CLEANUP(cgroup_host_free)
	struct cgroup_host *h = host_of("\n - \n1 2 - cgroup\ncgroup2\n - cgroup2\n1 2 3 - cgroup x\n", "");

	(void)state;
	assert_true(h->hier_count <= 1);
}

/* ---- paths ---- */

static void paths_are_tidied_or_refused(void **state)
{
	static const char *const bad[] = { "",	   "/",	  "///",   "/a/../b",	    "/a/..",
					   "a/..", "/./", "/a\nb", "/cgroup.procs", "/a/cgroup.x/b" };
	static const char *const untidy[] = { "a/b", "/a/b", "//a//b", "/a/b/", "a/./b//", "./a/b/." };
	char out[CGROUP_PATH_MAX] = "unchanged";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(cgroup_path_resolve(NULL, bad[i], out, &err), -ERR_INVALID);
	assert_string_equal(out, "unchanged");
	for (size_t i = 0; i < ARRAY_LEN(untidy); i++) {
		assert_int_equal(cgroup_path_resolve(NULL, untidy[i], out, &err), 0);
		assert_string_equal(out, "/a/b");
	}
}

static void slices_expand(void **state)
{
	char out[CGROUP_PATH_MAX];

	(void)state;
	assert_int_equal(cgroup_slice_expand("a-b-c.slice", out, &err), 0);
	assert_string_equal(out, "/a.slice/a-b.slice/a-b-c.slice");
	assert_int_equal(cgroup_slice_expand("kubepods-burstable-pod1_2.slice", out, &err), 0);
	assert_string_equal(out, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice");
	assert_int_equal(cgroup_slice_expand("-.slice", out, &err), 0);
	assert_string_equal(out, "");
	assert_int_equal(cgroup_slice_expand("a--b.slice", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_slice_expand("-a.slice", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_slice_expand("a-.slice", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_slice_expand(".slice", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_slice_expand("a/b.slice", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_slice_expand("a.scope", out, &err), -ERR_INVALID);
}

static void units_of_slice_prefix_name(void **state)
{
	struct cgroup_host systemd = { .driver = CGROUP_DRIVER_SYSTEMD },
			   cgroupfs = { .driver = CGROUP_DRIVER_CGROUPFS };
	char out[CGROUP_PATH_MAX];

	(void)state;
	assert_int_equal(cgroup_path_resolve(&systemd, "a-b.slice:hull:x", out, &err), 0);
	assert_string_equal(out, "/a.slice/a-b.slice/hull-x.scope");
	assert_int_equal(cgroup_path_resolve(&systemd, ":hull:x", out, &err), 0);
	assert_string_equal(out, "/system.slice/hull-x.scope");
	assert_int_equal(cgroup_path_resolve(&systemd, "a.slice::a-b.slice", out, &err), 0);
	assert_string_equal(out, "/a.slice/a-b.slice");
	assert_int_equal(cgroup_path_resolve(&systemd, "a.slice:x", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_path_resolve(&systemd, "a.slice:x:y:z", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_path_resolve(&systemd, "a.slice:x:y/z", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_path_resolve(&cgroupfs, "a.slice:x:y", out, &err), -ERR_INVALID);
}

static void container_paths_below_a_kubelets_parent(void **state)
{
	struct cgroup_host systemd = { .driver = CGROUP_DRIVER_SYSTEMD },
			   cgroupfs = { .driver = CGROUP_DRIVER_CGROUPFS };
	char out[CGROUP_PATH_MAX];

	(void)state;
	assert_int_equal(cgroup_path_below(&cgroupfs, "/kubepods/burstable/pod1", "hull", "c", out, &err), 0);
	assert_string_equal(out, "/kubepods/burstable/pod1/hull-c");
	assert_int_equal(cgroup_path_below(&cgroupfs, "", "hull", "c", out, &err), 0);
	assert_string_equal(out, "/hull/hull-c");
	assert_int_equal(cgroup_path_below(&cgroupfs, "/", "hull", "c", out, &err), 0);
	assert_string_equal(out, "/hull-c");
	assert_int_equal(cgroup_path_below(&cgroupfs, "/a/../b", "hull", "c", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_path_below(&cgroupfs, "/a", "hull", "c/d", out, &err), -ERR_INVALID);

	assert_int_equal(
		cgroup_path_below(&systemd, "/kubepods.slice/kubepods-pod1.slice", "hull", "c", out, &err),
		0);
	assert_string_equal(out, "kubepods-pod1.slice:hull:c");
	assert_int_equal(cgroup_path_below(&systemd, "kubepods-pod1.slice", "hull", "c", out, &err), 0);
	assert_string_equal(out, "kubepods-pod1.slice:hull:c");
	assert_int_equal(cgroup_path_below(&systemd, "/kubepods/burstable/pod1-2", "hull", "c", out, &err),
			 0);
	assert_string_equal(out, "kubepods-burstable-pod1_2.slice:hull:c");
	assert_int_equal(cgroup_path_below(&systemd, "", "hull", "c", out, &err), 0);
	assert_string_equal(out, "hull.slice:hull:c");
	/* In the pod's delegated scope. */
	assert_int_equal(cgroup_path_below(&systemd, "/a.slice/hull-p.scope", "hull", "c", out, &err), 0);
	assert_string_equal(out, "/a.slice/hull-p.scope/hull-c");
	/* A slice that would lie elsewhere than the path says. */
	assert_int_equal(cgroup_path_below(&systemd, "/x.slice/kubepods-pod1.slice", "hull", "c", out, &err),
			 -ERR_INVALID);
	assert_int_equal(cgroup_path_below(&systemd, "/a//b", "hull", "c", out, &err), -ERR_INVALID);
	assert_int_equal(cgroup_path_below(&systemd, "a.slice", "hull", "c:d", out, &err), -ERR_INVALID);
}

/* ---- statistics ---- */

static void pressure(void **state)
{
	struct cgroup_psi psi = { 0 };

	(void)state;
	cgroup_parse_psi("some avg10=1.50 avg60=0.25 avg300=12.00 total=123\nfull avg10=0.01 avg60=0.00 "
			 "avg300=0.00 total=7",
			 &psi);
	assert_true(psi.is_known);
	assert_int_equal(psi.some.total_ns, 123000);
	assert_int_equal(psi.full.total_ns, 7000);
	assert_true(psi.some.avg10 > 1.499 && psi.some.avg10 < 1.501);
	assert_true(psi.some.avg60 > 0.249 && psi.some.avg60 < 0.251);
	assert_true(psi.some.avg300 > 11.99 && psi.some.avg300 < 12.01);
	assert_true(psi.full.avg10 > 0.0099 && psi.full.avg10 < 0.0101);
	psi = (struct cgroup_psi){ 0 };
	cgroup_parse_psi("", &psi);
	assert_false(psi.is_known);
}

static void io_is_summed_over_devices(void **state)
{
	struct cgroup_stats s = { 0 };
	uint64_t rd = 0, wr = 0;

	(void)state;
	cgroup_parse_io_v2("8:0 rbytes=1 wbytes=20 rios=300 wios=4000 dbytes=9 dios=9\n8:16 rbytes=1 "
			   "wbytes=20 rios=300 wios=4000",
			   &s);
	assert_int_equal(s.io_read_bytes, 2);
	assert_int_equal(s.io_write_bytes, 40);
	assert_int_equal(s.io_reads, 600);
	assert_int_equal(s.io_writes, 8000);
	cgroup_parse_io_v1("8:0 Read 5\n8:0 Write 6\n8:0 Sync 1\n8:0 Total 11\n8:16 Read 2\nTotal 13", &rd,
			   &wr);
	assert_int_equal(rd, 7);
	assert_int_equal(wr, 6);
}

static void working_set_leaves_inactive_file_pages_out(void **state)
{
	struct cgroup_stats s = { .memory_usage = 1000 };

	(void)state;
	cgroup_parse_memory("anon 300\nfile 600\ninactive_file 400\npgfault 5\npgmajfault 2", true, &s);
	assert_int_equal(s.memory_working_set, 600);
	assert_int_equal(s.memory_rss, 300);
	assert_int_equal(s.memory_cache, 600);
	assert_int_equal(s.memory_faults, 5);
	assert_int_equal(s.memory_major_faults, 2);
	s = (struct cgroup_stats){ .memory_usage = 100 };
	cgroup_parse_memory("inactive_file 1\ntotal_inactive_file 400\ntotal_rss 7", false, &s);
	assert_int_equal(s.memory_working_set, 0);
	assert_int_equal(s.memory_rss, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pure_v2),
		cmocka_unit_test(controllers_of_v1_are_seen),
		cmocka_unit_test(hybrid_with_separate_cpu_and_cpuacct),
		cmocka_unit_test(v1_with_cpu_and_cpuacct_together),
		cmocka_unit_test(a_whole_mount_wins_over_a_bind_of_a_part),
		cmocka_unit_test(a_named_leftover_beside_v2_is_ignored),
		cmocka_unit_test(torn_lines_are_passed_over),
		cmocka_unit_test(paths_are_tidied_or_refused),
		cmocka_unit_test(slices_expand),
		cmocka_unit_test(units_of_slice_prefix_name),
		cmocka_unit_test(container_paths_below_a_kubelets_parent),
		cmocka_unit_test(pressure),
		cmocka_unit_test(io_is_summed_over_devices),
		cmocka_unit_test(working_set_leaves_inactive_file_pages_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
