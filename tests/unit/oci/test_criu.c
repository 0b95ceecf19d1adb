/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/str.h"
#include "oci/criu.h"
#include "oci/criu_pagemap.h"
#include "oci/criu_plan.h"

/* ---- mountinfo ---------------------------------------------------------------------------------------------- */

static const char container[] = "100 90 254:0 /bundle/rootfs / rw,relatime - ext4 /dev/vda rw\n"
				"101 100 0:41 / /proc rw,nosuid - proc proc rw\n"
				"102 101 0:41 /bus /proc/bus ro,nosuid - proc proc rw\n"
				"103 101 0:5 /null /proc/keys rw - devtmpfs dev rw\n"
				"104 100 0:43 / /dev rw,nosuid - tmpfs none rw,mode=755\n"
				"105 104 0:44 / /dev/pts rw - devpts devpts rw\n"
				"106 104 0:44 /0 /dev/console rw - devpts devpts rw\n"
				"113 109 0:60 / /data/sub/deep rw - tmpfs deep rw\n"
				"107 104 0:5 /fuse /dev/fuse rw - devtmpfs dev rw\n"
				"108 100 254:0 /host /data ro shared:7 master:3 - ext4 /dev/vda rw\n"
				"109 108 0:50 / /data/sub rw - tmpfs sub rw\n"
				"110 100 0:46 / /sys ro - sysfs sysfs rw\n"
				"111 110 0:53 / /sys/fs/cgroup ro - tmpfs none rw\n"
				"112 111 0:29 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu\n"
				"114 100 254:0 /a\\040b /with\\040space\\134 rw - ext4 /dev/vda rw\n"
				"not a line\n"
				"115 100 0:1 / /broken rw\n";

static void parse(struct mountinfo *m)
{
	*m = MOUNTINFO_INIT;
	mountinfo_parse(m, container);
	for (size_t i = 0; i < m->n; i++) {
		m->v[i].is_null = m->v[i].id == 103;
		m->v[i].is_device = m->v[i].id == 103 || m->v[i].id == 106 || m->v[i].id == 107;
	}
}

static void test_mountinfo(void **state)
{
	CLEANUP(mountinfo_done) struct mountinfo m;
	const struct mountinfo_entry *data;

	(void)state;
	parse(&m);
	assert_int_equal(m.n, 15);
	data = mountinfo_find(&m, 108);
	assert_non_null(data);
	assert_int_equal(data->parent, 100);
	assert_int_equal(data->dev, makedev(254, 0));
	assert_string_equal(data->type, "ext4");
	assert_string_equal(mountinfo_find(&m, 114)->point, "/with space\\");
	assert_null(mountinfo_find(&m, 115));
	assert_null(mountinfo_find(&m, -1));
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static void test_what_comes_from_outside_has_a_name(void **state)
{
	CLEANUP(mountinfo_done) struct mountinfo m;
	CLEANUP(criu_pairs_done) struct criu_pairs p = CRIU_PAIRS_INIT;
	const struct criu_named named[] = { { 108, "/link/to/data", false } };

	(void)state;
	parse(&m);
	criu_plan_dump(&m, named, 1, &p);
	assert_string_equal(criu_pairs_get(&p, "/data"), "/link/to/data");
	/* What is below, also when the kernel lists it before. */
	assert_string_equal(criu_pairs_get(&p, "/data/sub"), "/link/to/data/sub");
	assert_string_equal(criu_pairs_get(&p, "/data/sub/deep"), "/link/to/data/sub/deep");
	assert_string_equal(criu_pairs_get(&p, "/proc/keys"), "/dev/null");
	assert_string_equal(criu_pairs_get(&p, "/dev/fuse"), "/dev/fuse");
	assert_string_equal(criu_pairs_get(&p, "/sys/fs/cgroup/cpu,cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
	assert_int_equal(p.n, 6);
}

static void test_what_is_the_containers_own_has_none(void **state)
{
	static const char *const own[] = { "/",	       "/proc",	       "/proc/bus", "/dev",
					   "/dev/pts", "/dev/console", "/sys",	    "/sys/fs/cgroup" };
	CLEANUP(mountinfo_done) struct mountinfo m;
	CLEANUP(criu_pairs_done) struct criu_pairs p = CRIU_PAIRS_INIT;

	(void)state;
	parse(&m);
	criu_plan_dump(&m, NULL, 0, &p);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		assert_null(criu_pairs_get(&p, own[i]));
	assert_null(criu_pairs_get(&p, "/data"));
}

static void test_dev_alone_comes_from_outside(void **state)
{
	CLEANUP(mountinfo_done) struct mountinfo m;
	CLEANUP(criu_pairs_done) struct criu_pairs p = CRIU_PAIRS_INIT;
	const struct criu_named named[] = { { 104, "/dev", true } };

	(void)state;
	parse(&m);
	criu_plan_dump(&m, named, 1, &p);
	assert_string_equal(criu_pairs_get(&p, "/dev"), "/dev");
	assert_null(criu_pairs_get(&p, "/dev/pts"));
	assert_null(criu_pairs_get(&p, "/dev/console"));
}

static void test_names_on_the_stage(void **state)
{
	CLEANUP(mountinfo_done) struct mountinfo m = MOUNTINFO_INIT;
	CLEANUP(criu_pairs_done) struct criu_pairs p = CRIU_PAIRS_INIT;

	(void)state;
	mountinfo_parse(&m, "1 0 0:1 / /tmp/m1 rw - ext4 a rw\n2 1 0:2 / /tmp/m1/sub rw - tmpfs b rw\n"
			    "3 0 0:3 / /tmp/m10 rw - ext4 c rw\n4 3 0:4 / /tmp/m10/sub rw - ext4 c rw\n");
	criu_pairs_add(&p, "/data", "/tmp/m1");
	criu_plan_below(&m, "/tmp/m1", "/data", &p);
	assert_int_equal(p.n, 2);
	assert_string_equal(criu_pairs_get(&p, "/data/sub"), "/tmp/m1/sub");
	/* A name that is there already stays. */
	criu_plan_below(&m, "/tmp/m10", "/data", &p);
	assert_int_equal(p.n, 2);
	assert_string_equal(criu_pairs_get(&p, "/data/sub"), "/tmp/m1/sub");
}

/* ---- pagemap-*.img ------------------------------------------------------------------------------------------ */

#define PAGEMAP_HEAD "\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x07"

static int pages(const char *entries, size_t len, struct criu_pagemap *ret)
{
	struct error e = ERROR_INIT;
	char data[256];

	memcpy(data, PAGEMAP_HEAD, sizeof(PAGEMAP_HEAD) - 1);
	memcpy(data + sizeof(PAGEMAP_HEAD) - 1, entries, len);
	return criu_pagemap_read(data, sizeof(PAGEMAP_HEAD) - 1 + len, ret, &e);
}
#define PAGES(entries, ret) pages(entries, sizeof(entries) - 1, ret)

static void test_pagemap(void **state)
{
	struct criu_pagemap m = { 0 };

	(void)state;
	assert_int_equal(PAGES("", &m), 0);
	assert_int_equal(m.pages_id, 7);
	assert_int_equal(m.pages, 0);
	/* 3 present; 5 of the parent; 9 by the new count, and the old one does not matter. */
	assert_int_equal(PAGES("\x06\0\0\0\x08\x01\x10\x03\x20\x04"
			       "\x06\0\0\0\x08\x01\x10\x05\x20\x01"
			       "\x08\0\0\0\x08\x01\x10\x01\x20\x06\x28\x09",
			       &m),
			 0);
	assert_int_equal(m.pages, 12);
	/* Without flags: 2 of its own, 4 of the parent. */
	assert_int_equal(PAGES("\x04\0\0\0\x08\x01\x10\x02\x06\0\0\0\x08\x01\x10\x04\x18\x01", &m), 0);
	assert_int_equal(m.pages, 2);
}

static void test_wrong_pagemaps(void **state)
{
	struct criu_pagemap m = { 0 };
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(criu_pagemap_read("", 0, &m, &e), -ERR_INVALID);
	assert_int_equal(criu_pagemap_read(PAGEMAP_HEAD, 11, &m, &e), -ERR_INVALID);
	assert_int_equal(criu_pagemap_read("0123456789abcdef", 16, &m, &e), -ERR_INVALID);
	assert_int_equal(PAGES("\x04\0", &m), -ERR_INVALID);
	assert_int_equal(PAGES("\x04\0\0\0\x08\x01\x10", &m), -ERR_INVALID);
	assert_int_equal(PAGES("\xff\xff\xff\xff\x08\x01\x10\x01", &m), -ERR_INVALID);
	assert_int_equal(PAGES("\x02\0\0\0\x08\x01", &m), -ERR_INVALID);
	/* Counts that overflow. */
	assert_int_equal(PAGES("\x0f\0\0\0\x08\x01\x10\x01\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &m),
			 -ERR_INVALID);
	assert_int_equal(m.pages, 0);
}

/* ---- descriptors.json --------------------------------------------------------------------------------------- */

static void test_descriptors(void **state)
{
	static const char text[] = "[\"null[18:3]\",\"pipe:[4026]\",\"file[1b:a74071]\"]";
	CLEANUP(criu_descriptors_done) struct criu_descriptors d = CRIU_DESCRIPTORS_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(criu_descriptors_read(text, strlen(text), &d, &e), 0);
	assert_string_equal(d.key[0], "file[18:3]");
	assert_true(d.is_null[0]);
	assert_string_equal(d.key[1], "pipe:[4026]");
	assert_string_equal(d.key[2], "file[1b:a74071]");
	assert_false(d.is_null[1] || d.is_null[2]);
	criu_descriptors_done(&d);
	assert_int_equal(criu_descriptors_read("[\"tty[8801:1c]\"]", 16, &d, &e), 0);
	assert_string_equal(d.key[0], "tty[8801:1c]");
	criu_descriptors_done(&d);
	assert_int_equal(criu_descriptors_read("[\"socket:[4026]\"]", 17, &d, &e), 0);
	assert_string_equal(d.key[0], "socket:[4026]");
}

/* What runc writes for files, and what somebody else could. Only keys of criu's pass: "extRootNetNS" would hand our
 * stdin over as a namespace. */
static void test_other_descriptors_are_given_nothing(void **state)
{
	static const char *const texts[] = {
		"[]",
		"[\"/dev/null\",\"socket:[12a]\",\"extRootNetNS\"]",
		"[\"socket:[]\",\"socket:[\",\"unix[12]\"]",
		"[\"pipe:[]\",\"pipe:[12a]\",\"pipe:[12\"]",
		"[\"file[1]\",\"file[:]\",\"file[x:1]\"]",
		"[\"file[1:2]x\",\"pipe:[1]]\",\"pipe:[123456789012345678901]\"]",
		"[\"\",\"pipe:[\",\"file[\"]",
		"[\"tty[8801]\",\"tty:[1:2]\",\"ttyx[1:2]\"]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP(criu_descriptors_done) struct criu_descriptors d = CRIU_DESCRIPTORS_INIT;
		struct error e = ERROR_INIT;

		assert_int_equal(criu_descriptors_read(texts[i], strlen(texts[i]), &d, &e), 0);
		for (size_t fd = 0; fd < 3; fd++)
			assert_null(d.key[fd]);
	}
}

static void test_wrong_descriptors(void **state)
{
	static const char *const texts[] = { "",	  "{}",	       "null",	"[1]",
					     "[null]",	  "[\"a\"",    "\"a\"", "[\"a\",\"b\",\"c\",\"d\"]",
					     "[\"a\"] x", "[[\"a\"]]", "[true]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP(criu_descriptors_done) struct criu_descriptors d = CRIU_DESCRIPTORS_INIT;
		struct error e = ERROR_INIT;

		assert_true(criu_descriptors_read(texts[i], strlen(texts[i]), &d, &e) < 0);
		assert_true(*err_msg(&e));
	}
}

/* ---- the log ------------------------------------------------------------------------------------------------ */

static void test_the_last_errors_are_quoted(void **state)
{
	static const char log[] = "(00.001) Version: 3.17.1\n"
				  "(00.002) Error (criu/a.c:1): one\n"
				  "(00.003) Error (criu/b.c:2): two\n"
				  "(00.004) Warn  (criu/c.c:3): Error is a word here\n"
				  "(00.005)      1: Error (criu/d.c:4): three\t\n"
				  "(00.006) Error (criu/e.c:5): four\x1b[31m\n"
				  "Error (criu/f.c:6): five";
	char quote[CRIU_QUOTE_SIZE];

	(void)state;
	criu_log_quote(log, strlen(log), quote);
	assert_string_equal(quote, "Error (criu/b.c:2): two;      1: Error (criu/d.c:4): three; "
				   "Error (criu/e.c:5): four [31m; Error (criu/f.c:6): five");
	criu_log_quote("", 0, quote);
	assert_string_equal(quote, "");
	criu_log_quote("(00.1) fine\n\n\n", 13, quote);
	assert_string_equal(quote, "");
}

static void test_a_quote_has_an_end(void **state)
{
	char log[5000], quote[CRIU_QUOTE_SIZE];

	(void)state;
	memset(log, 'x', sizeof(log));
	memcpy(log, "Error (", 7);
	for (size_t at = 1000; at < sizeof(log); at += 1000)
		memcpy(log + at, "\nError (", 8);
	criu_log_quote(log, sizeof(log), quote);
	assert_true(strlen(quote) < CRIU_QUOTE_SIZE);
	assert_true(str_starts(quote, "Error ("));
}

/* ---- words -------------------------------------------------------------------------------------------------- */

static void test_page_servers(void **state)
{
	static const char *const wrong[] = { "",       ":",	     "host",   "host:",	 ":1",
					     "host:0", "host:65536", "host:x", "::1:80", "[]:80" };
	struct error e = ERROR_INIT;
	char *address;
	int port;

	(void)state;
	assert_int_equal(criu_page_server_parse("192.168.1.2:1234", &address, &port, &e), 0);
	assert_string_equal(address, "192.168.1.2");
	assert_int_equal(port, 1234);
	free(address);
	assert_int_equal(criu_page_server_parse("[fe80::1]:65535", &address, &port, &e), 0);
	assert_string_equal(address, "fe80::1");
	assert_int_equal(port, 65535);
	free(address);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(criu_page_server_parse(wrong[i], &address, &port, &e), -ERR_INVALID);
}

static void test_cgroup_modes(void **state)
{
	enum criu_cgroups mode;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(criu_cgroups_parse("strict", &mode, &e), 0);
	assert_int_equal(mode, CRIU_CGROUPS_STRICT);
	assert_int_equal(criu_cgroups_parse(NULL, &mode, &e), 0);
	assert_int_equal(mode, CRIU_CGROUPS_SOFT);
	assert_int_equal(criu_cgroups_parse("Soft", &mode, &e), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mountinfo),
		cmocka_unit_test(test_what_comes_from_outside_has_a_name),
		cmocka_unit_test(test_what_is_the_containers_own_has_none),
		cmocka_unit_test(test_dev_alone_comes_from_outside),
		cmocka_unit_test(test_names_on_the_stage),
		cmocka_unit_test(test_pagemap),
		cmocka_unit_test(test_wrong_pagemaps),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_other_descriptors_are_given_nothing),
		cmocka_unit_test(test_wrong_descriptors),
		cmocka_unit_test(test_the_last_errors_are_quoted),
		cmocka_unit_test(test_a_quote_has_an_end),
		cmocka_unit_test(test_page_servers),
		cmocka_unit_test(test_cgroup_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
