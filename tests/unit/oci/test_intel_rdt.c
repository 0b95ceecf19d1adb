/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of linux.intelRdt, and what is done of it below a directory that looks like resctrl: few machines have the
 * real one. What only its kernel can answer (last_cmd_status, a schema that it refuses) stands in files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "oci/intel_rdt.h"

#define RDT(keys) "{\"ociVersion\":\"1.3.0\",\"linux\":{\"intelRdt\":{" keys "}}}"

static int plan_of(const char *json, struct intel_rdt *ret, struct error *e)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	int r = oci_spec_parse(json, strlen(json), &spec, e);

	return r < 0 ? r : intel_rdt_plan(spec->linux.intel_rdt, "the-id", ret, e);
}

static void without_a_class_the_group_is_the_containers_own(void **state)
{
	CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(plan_of(RDT("\"enableMonitoring\":true"), &p, &e), 0);
	assert_string_equal(p.group, "the-id");
	assert_string_equal(p.monitor, "the-id/mon_groups/the-id");
	assert_null(p.schemata);
	assert_false(p.has_clos);
	assert_false(p.must_exist);
}

static void schemata_come_in_the_specifications_order(void **state)
{
	CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(plan_of(RDT("\"schemata\":[\"L2:0=f\",\"MB:1=70\"],\"memBwSchema\":\"MB:0=20\","
				     "\"l3CacheSchema\":\"L3:0=7f0\",\"closID\":\"guaranteed\""),
				 &p, &e),
			 0);
	assert_string_equal(p.group, "guaranteed");
	assert_string_equal(p.schemata, "L3:0=7f0\nMB:0=20\nL2:0=f\nMB:1=70\n");
	assert_null(p.monitor);
	assert_true(p.has_clos);
	assert_false(p.must_exist);
}

static void the_default_class_and_one_that_must_be_there(void **state)
{
	CLEANUP(intel_rdt_done) struct intel_rdt root = INTEL_RDT_INIT, other = INTEL_RDT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(plan_of(RDT("\"closID\":\"/\",\"enableMonitoring\":true"), &root, &e), 0);
	assert_string_equal(root.group, ".");
	assert_string_equal(root.monitor, "./mon_groups/the-id");
	assert_int_equal(plan_of(RDT("\"closID\":\"there\""), &other, &e), 0);
	assert_true(other.must_exist);
}

static void nonsense_is_refused(void **state)
{
	static const struct {
		const char *json, *why;
	} cases[] = {
		{ RDT("\"closID\":\"a/b\""), "linux.intelRdt.closID: \"a/b\" is not the name" },
		{ RDT("\"closID\":\"..\""), "linux.intelRdt.closID" },
		{ RDT("\"memBwSchema\":\"L3:0=1\""),
		  "linux.intelRdt.memBwSchema: \"L3:0=1\" does not begin" },
		{ RDT("\"l3CacheSchema\":\"L3:0=1\\nMB:0=1\""),
		  "linux.intelRdt.l3CacheSchema: has a newline" },
		{ RDT("\"schemata\":[\"L2:0=1\\n\"]"), "linux.intelRdt.schemata: has a newline" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
		struct error e = ERROR_INIT;

		assert_int_equal(plan_of(cases[i].json, &p, &e), -ERR_INVALID);
		assert_non_null(strstr(err_msg(&e), cases[i].why));
	}
}

/* ---- effect ------------------------------------------------------------------------------------- */

static char root[64];
static int root_dfd;

static void put(const char *path, const char *text)
{
	int fd = openat(root_dfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void expect_file(const char *path, const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;

	assert_int_equal(file_read(root_dfd, path, 4096, &b, NULL), 0);
	assert_string_equal(buf_str(&b), text);
}

static bool exists(const char *path)
{
	return faccessat(root_dfd, path, F_OK, 0) == 0;
}

static int make_root(void **state)
{
	snprintf(root, sizeof(root), "/tmp/hull-test-rdt-XXXXXX");
	*state = mkdtemp(root);
	root_dfd = *state ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (root_dfd < 0)
		return -1;
	for (size_t i = 0; i < 5; i++)
		if (mkdirat(root_dfd,
			    (const char *[]){ "info", "info/MB", "there", "there/mon_groups",
					      "mon_groups" }[i],
			    0755) < 0)
			return -1;
	put("info/last_cmd_status", "Mask out of range\n");
	put("info/MB/bandwidth_gran", "10\n");
	put("there/tasks", "");
	put("there/schemata", "    MB:0= 30;1=100\n    L3:0=7f0;1=01f\n");
	return 0;
}

static int remove_root(void **state)
{
	char command[96];

	(void)state;
	close(root_dfd);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void a_group_of_its_own_is_made_and_removed(void **state)
{
	CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(plan_of(RDT(""), &p, &e), 0);
	assert_int_equal(intel_rdt_check(root_dfd, &p, &e), 0);
	assert_string_equal(intel_rdt_to_make(root_dfd, &p), "the-id");
	assert_int_equal(intel_rdt_make(root_dfd, &p, &e), 0);
	assert_null(intel_rdt_to_make(root_dfd, &p));
	assert_true(exists("the-id"));
	assert_string_equal(intel_rdt_made(&p), "the-id");
	assert_int_equal(intel_rdt_remove(root_dfd, "the-id", &e), 0);
	assert_false(exists("the-id"));
	assert_int_equal(intel_rdt_remove(root_dfd, "the-id", &e), 0);
}

/* The directory of ordinary files has no "schemata" of its own making: what the kernel would refuse fails here. */
static void what_cannot_be_set_leaves_no_group_and_tells_why(void **state)
{
	CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(plan_of(RDT("\"l3CacheSchema\":\"L3:0=fffff\""), &p, &e), 0);
	assert_true(intel_rdt_make(root_dfd, &p, &e) < 0);
	assert_non_null(strstr(err_msg(&e), "last_cmd_status: Mask out of range"));
	assert_non_null(strstr(err_msg(&e), "the-id/schemata"));
	assert_false(exists("the-id"));
	assert_null(intel_rdt_made(&p));
}

static void a_class_that_is_there_is_entered_and_stays(void **state)
{
	CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(plan_of(RDT("\"closID\":\"there\",\"enableMonitoring\":true"), &p, &e), 0);
	assert_int_equal(intel_rdt_check(root_dfd, &p, &e), 0);
	assert_string_equal(intel_rdt_to_make(root_dfd, &p), "there/mon_groups/the-id");
	assert_int_equal(intel_rdt_make(root_dfd, &p, &e), 0);
	assert_null(intel_rdt_to_make(root_dfd, &p));
	put("there/mon_groups/the-id/tasks", "");
	assert_int_equal(intel_rdt_enter(root_dfd, &p, 4711, &e), 0);
	expect_file("there/tasks", "4711");
	expect_file("there/mon_groups/the-id/tasks", "4711");
	assert_string_equal(intel_rdt_made(&p), "there/mon_groups/the-id");
	assert_int_equal(unlinkat(root_dfd, "there/mon_groups/the-id/tasks", 0), 0);
	assert_int_equal(intel_rdt_remove(root_dfd, intel_rdt_made(&p), &e), 0);
	assert_true(exists("there"));
}

static void a_class_that_must_be_there_is_not(void **state)
{
	CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(plan_of(RDT("\"closID\":\"nowhere\""), &p, &e), 0);
	assert_int_equal(intel_rdt_check(root_dfd, &p, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), "\"nowhere\""));
}

/* Numbers are compared, not texts: leading zeros, order, blanks and the steps of bandwidth make no difference. */
static void schemata_of_a_class_have_to_be_those_asked_for(void **state)
{
	static const struct {
		const char *json;
		int result;
	} cases[] = {
		{ RDT("\"closID\":\"there\",\"l3CacheSchema\":\"L3:0=7f0;1=1f\""), 0 },
		{ RDT("\"closID\":\"there\",\"l3CacheSchema\":\"L3:1=1f;0=7f0\""), 0 },
		{ RDT("\"closID\":\"there\",\"memBwSchema\":\"MB:0=21\""), 0 },
		{ RDT("\"closID\":\"there\",\"schemata\":[\"L3:0=7f0\",\"MB:1=100\"]"), 0 },
		{ RDT("\"closID\":\"there\",\"l3CacheSchema\":\"L3:0=7f1\""), -ERR_INVALID },
		{ RDT("\"closID\":\"there\",\"l3CacheSchema\":\"L3:2=1f\""), -ERR_INVALID },
		{ RDT("\"closID\":\"there\",\"memBwSchema\":\"MB:0=50\""), -ERR_INVALID },
		{ RDT("\"closID\":\"there\",\"schemata\":[\"L2:0=f\"]"), -ERR_INVALID },
		{ RDT("\"closID\":\"there\",\"schemata\":[\"garbage\"]"), -ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
		struct error e = ERROR_INIT;

		assert_int_equal(plan_of(cases[i].json, &p, &e), 0);
		assert_int_equal(intel_rdt_check(root_dfd, &p, &e), cases[i].result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_class_the_group_is_the_containers_own),
		cmocka_unit_test(schemata_come_in_the_specifications_order),
		cmocka_unit_test(the_default_class_and_one_that_must_be_there),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_group_of_its_own_is_made_and_removed),
		cmocka_unit_test(what_cannot_be_set_leaves_no_group_and_tells_why),
		cmocka_unit_test(a_class_that_is_there_is_entered_and_stays),
		cmocka_unit_test(a_class_that_must_be_there_is_not),
		cmocka_unit_test(schemata_of_a_class_have_to_be_those_asked_for),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
