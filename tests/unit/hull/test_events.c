/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hull/events.h"
#include "hull/stats.h"

static struct error err;

static void durations_are_gos(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} known[] = {
		{ "0", 0 },
		{ "5s", 5 * NS_PER_S },
		{ "+5s", 5 * NS_PER_S },
		{ "-5s", -5 * NS_PER_S },
		{ "300ms", 300 * NS_PER_MS },
		{ "1.5h", 5400 * NS_PER_S },
		{ ".5s", NS_PER_S / 2 },
		{ "1.s", NS_PER_S },
		{ "1h2m3s4ms5us6ns", 3723 * NS_PER_S + 4 * NS_PER_MS + 5006 },
		{ "7\xc2\xb5s", 7000 },
		{ "7\xce\xbcs", 7000 },
		{ "0.0000000001s", 0 },
		{ "2562047h", 2562047LL * 3600 * NS_PER_S },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		int64_t ns = 1;

		if (duration_parse(known[i].text, &ns, &err) < 0)
			fail_msg("%s: %s", known[i].text, err_msg(&err));
		assert_true(ns == known[i].ns);
	}
}

static void what_is_no_duration_is_refused(void **state)
{
	static const char *const bad[] = {
		"",    "5",  "s",     ".s", "-",    "5 s",	"5x",
		"1s1", "m5", "1..5s", "5S", "--5s", "2562048h", "99999999999999999999s"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ns = 1;

		if (duration_parse(bad[i], &ns, &err) != -ERR_INVALID)
			fail_msg("\"%s\" is taken for %lld", bad[i], (long long)ns);
	}
}

static void assert_json(struct json_object *o, const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;

	json_text(o, false, &b);
	json_free(o);
	assert_string_equal(buf_str(&b), text);
}

static void entries_of_block_devices(void **state)
{
	(void)state;
	assert_json(stats_blkio_v1("8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096"),
		    "[{\"major\":8,\"op\":\"Read\",\"value\":4096},{\"major\":8,\"op\":\"Write\"},"
		    "{\"major\":8,\"op\":\"Total\",\"value\":4096}]");
	assert_json(stats_blkio_v1("8:16 77"), "[{\"major\":8,\"minor\":16,\"value\":77}]");
	assert_null(stats_blkio_v1("Total 0"));
	assert_null(stats_blkio_v1(""));
}

static void lists_of_cpus(void **state)
{
	(void)state;
	assert_json(stats_cpu_list("0-2,5"), "[0,1,2,5]");
	assert_json(stats_cpu_list("7"), "[7]");
	assert_json(stats_cpu_list(""), "[]");
	assert_json(stats_cpu_list("3-1"), "[]");
}

/* ---- Intel RDT, below a directory that looks like resctrl ------------------------------------------------------- */

static void put_file(int dfd, const char *path, const char *text)
{
	cleanup_free char *folders = str_dup(path);
	int fd;

	for (char *slash = strchr(folders, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		assert_true(mkdirat(dfd, folders, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	fd = openat(dfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_return_code(fd, errno);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int make_resctrl(void **state)
{
	char path[] = "/tmp/hull-test-stats-XXXXXX";

	*state = mkdtemp(path) ? str_dup(path) : NULL;
	return *state == NULL;
}

static int remove_resctrl(void **state)
{
	cleanup_free char *command = str_fmt("rm -rf '%s'", (char *)*state);

	free(*state);
	return system(command); // NOLINT(cert-env33-c): a name of ours
}

static void assert_rdt(int dfd, struct intel_rdt *p, const char *text)
{
	struct json_object *o = json_new();

	stats_add_rdt(dfd, p, o);
	assert_json(o, text);
}

#define CACHE                                                                             \
	"\"l3_cache_info\":{\"cbm_mask\":\"7ff\",\"min_cbm_bits\":1,\"num_closids\":16}," \
	"\"l3_cache_schema_root\":\"L3:0=7ff;1=7ff\",\"l3_cache_schema\":\"L3:0=7f0;1=1f\""
#define BANDWIDTH                                                                                   \
	"\"mem_bw_info\":{\"bandwidth_gran\":10,\"delay_linear\":1,\"min_bandwidth\":10,"           \
	"\"num_closids\":8},\"mem_bw_schema_root\":\"MB:0=100;1=100\",\"mem_bw_schema\":\"MB:0=20;" \
	"1=70\""

/* Names and what is left out are those of runc's types.IntelRdt. */
static void groups_of_resctrl(void **state)
{
	struct intel_rdt p = { .group = (char *)"box" };
	cleanup_close int dfd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_return_code(dfd, errno);
	put_file(dfd, "schemata", "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n");
	assert_rdt(-1, &p, "{\"intel_rdt\":{}}");
	assert_rdt(dfd, &(struct intel_rdt){ 0 }, "{\"intel_rdt\":{}}");
	assert_rdt(dfd, &p, "{\"intel_rdt\":{}}");
	put_file(dfd, "box/schemata", "    MB:0=20;1=70\n    L3:0=7f0;1=1f\n");
	/* Without what the hardware has to say of it, there is nothing of it. */
	assert_rdt(dfd, &p, "{\"intel_rdt\":{}}");
	put_file(dfd, "info/L3/cbm_mask", "7ff\n");
	put_file(dfd, "info/L3/min_cbm_bits", "1\n");
	put_file(dfd, "info/L3/num_closids", "16\n");
	assert_rdt(dfd, &p, "{\"intel_rdt\":{" CACHE "}}");
	put_file(dfd, "info/MB/bandwidth_gran", "10\n");
	put_file(dfd, "info/MB/delay_linear", "1\n");
	put_file(dfd, "info/MB/min_bandwidth", "10\n");
	put_file(dfd, "info/MB/num_closids", "8\n");
	assert_rdt(dfd, &p, "{\"intel_rdt\":{" CACHE "," BANDWIDTH "}}");
}

static void what_resctrl_counts(void **state)
{
	struct intel_rdt p = { .group = (char *)"box" };
	cleanup_close int dfd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_return_code(dfd, errno);
	put_file(dfd, "box/mon_data/mon_L3_01/llc_occupancy", "4096\n");
	put_file(dfd, "box/mon_data/mon_L3_00/llc_occupancy", "8192\n");
	put_file(dfd, "box/mon_data/mon_L3_00/mbm_local_bytes", "7\n");
	put_file(dfd, "box/mon_groups/own/mon_data/mon_L3_00/llc_occupancy", "1\n");
	assert_rdt(dfd, &p, "{\"intel_rdt\":{}}");
	put_file(dfd, "info/L3_MON/mon_features", "llc_occupancy\nmbm_local_bytes\n");
	assert_rdt(dfd, &p,
		   "{\"intel_rdt\":{\"mbm_stats\":[{\"mbm_total_bytes\":0,\"mbm_local_bytes\":7},"
		   "{\"mbm_total_bytes\":0,\"mbm_local_bytes\":0}],"
		   "\"cmt_stats\":[{\"llc_occupancy\":8192},{\"llc_occupancy\":4096}]}}");
	p.monitor = (char *)"box/mon_groups/own";
	assert_rdt(dfd, &p,
		   "{\"intel_rdt\":{\"mbm_stats\":[{\"mbm_total_bytes\":0,\"mbm_local_bytes\":0}],"
		   "\"cmt_stats\":[{\"llc_occupancy\":1}]}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_gos),
		cmocka_unit_test(what_is_no_duration_is_refused),
		cmocka_unit_test(entries_of_block_devices),
		cmocka_unit_test(lists_of_cpus),
		cmocka_unit_test_setup_teardown(groups_of_resctrl, make_resctrl, remove_resctrl),
		cmocka_unit_test_setup_teardown(what_resctrl_counts, make_resctrl, remove_resctrl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
