/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/cni_config.h"

#define PLUGINS "\"plugins\": [{\"type\": \"bridge\"}]"

static struct cni_config *parse(const char *text, bool is_list)
{
	struct cni_config *c = NULL;
	struct error e = ERROR_INIT;

	if (cni_config_parse(text, strlen(text), is_list, &c, &e) < 0)
		fail_msg("%s: %s", text, err_msg(&e));
	return c;
}

static void every_version_from_0_3_0_to_1_1_0_is_taken(void **state)
{
	static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		cleanup_free char *text =
			str_fmt("{\"cniVersion\": \"%s\", \"name\": \"n\", " PLUGINS "}", versions[i]);
		CLEANUP(cni_config_free) struct cni_config *c = parse(text, true);

		assert_int_equal(c->version, i);
		assert_string_equal(cni_version_text(c->version), versions[i]);
		assert_false(c->disable_check || c->disable_gc || c->is_default);
	}
}

static void the_highest_common_version_is_chosen(void **state)
{
	CLEANUP(cni_config_free)
	struct cni_config *c = parse("{\"cniVersion\": \"0.4.0\", \"cniVersions\": [\"1.0.0\", \"0.3.1\", "
				     "\"9.9.9\"], \"name\": \"n\", " PLUGINS "}",
				     true);
	CLEANUP(cni_config_free)
	struct cni_config *without_single =
		parse("{\"cniVersions\": [\"0.3.1\", \"0.4.0\"], \"name\": \"n\", " PLUGINS "}", true);

	(void)state;
	assert_int_equal(c->version, CNI_1_0_0);
	assert_int_equal(without_single->version, CNI_0_4_0);
}

static void flags_are_booleans_or_their_words(void **state)
{
	CLEANUP(cni_config_free)
	struct cni_config *c = parse("{\"cniVersion\": \"1.1.0\", \"name\": \"n\", \"disableCheck\": true, "
				     "\"disableGC\": \"true\", " PLUGINS "}",
				     true);

	(void)state;
	assert_true(c->disable_check);
	assert_true(c->disable_gc);
}

static void a_single_plugin_becomes_a_list_of_one(void **state)
{
	CLEANUP(cni_config_free)
	struct cni_config *c = parse("{\"cniVersion\": \"0.3.1\", \"name\": \"my.net_1-a\", \"type\": "
				     "\"macvlan\", \"ipam\": {}, \"x\": 1}",
				     false);

	(void)state;
	assert_int_equal(c->plugin_count, 1);
	assert_string_equal(cni_plugin_type(cni_config_plugin(c, 0)), "macvlan");
	assert_string_equal(c->name, "my.net_1-a");
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *words;
		bool is_list;
	} cases[] = {
		{ "", "", true },
		{ "[]", "object", true },
		{ "{\"name\": \"n\", " PLUGINS "}", "\"cniVersion\" is missing", true },
		{ "{\"cniVersion\": \"0.2.0\", \"name\": \"n\", " PLUGINS "}",
		  "\"0.2.0\"; 0.3.0 to 1.1.0 are known", true },
		{ "{\"cniVersion\": 1, \"name\": \"n\", " PLUGINS "}", "cniVersion", true },
		{ "{\"cniVersion\": \"1.0.0\", " PLUGINS "}", "\"name\" is missing", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"../x\", " PLUGINS "}", "\"../x\"", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"-x\", " PLUGINS "}", "\"-x\"", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"\", " PLUGINS "}", "\"name\" is \"\"", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\"}", "\"plugins\" is missing", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": []}", "0 entries", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": [1]}",
		  "plugin 1 of \"plugins\": a number", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": [{\"type\": \"a\"}, {}]}",
		  "plugin 2 of \"plugins\": \"type\" is missing", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": [{\"type\": \"../../bin/sh\"}]}",
		  "../../bin/sh", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": [{\"type\": \"..\"}]}", "\"..\"",
		  true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": [{\"type\": \"a\", \"ipam\": "
		  "{\"type\": \"x/y\"}}]}",
		  "\"ipam\": \"type\" is \"x/y\"", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"plugins\": [{\"type\": \"a\", "
		  "\"capabilities\": {\"ips\": 1}}]}",
		  "\"ips\" is a number", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"disableCheck\": \"perhaps\", " PLUGINS "}",
		  "\"disableCheck\"", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"disableCheck\": 3, " PLUGINS "}",
		  "disableCheck", true },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", " PLUGINS "}", "ends in .conflist", false },
		{ "{\"cniVersion\": \"1.0.0\", \"name\": \"n\"}", "\"type\" is missing", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cni_config *c = NULL;
		struct error e = ERROR_INIT;
		int r = cni_config_parse(cases[i].text, strlen(cases[i].text), cases[i].is_list, &c, &e);

		if (r != -ERR_INVALID || c || !strstr(err_msg(&e), cases[i].words))
			fail_msg("%s: %d \"%s\"", cases[i].text, r, err_msg(&e));
	}
}

static void names_follow_the_spec(void **state)
{
	(void)state;
	assert_true(cni_is_name("a") && cni_is_name("0.x_-y"));
	assert_false(cni_is_name("") || cni_is_name(".a") || cni_is_name("a b") || cni_is_name("a/b") ||
		     cni_is_name(NULL));
	assert_true(cni_is_ifname("eth0") && cni_is_ifname("fifteen-letters"));
	assert_false(cni_is_ifname("sixteen--letters") || cni_is_ifname("") || cni_is_ifname(".") ||
		     cni_is_ifname("..") || cni_is_ifname("a:b") || cni_is_ifname("a/b") ||
		     cni_is_ifname("a b") || cni_is_ifname(NULL));
}

static void a_record_brings_a_configuration_back(void **state)
{
	CLEANUP(cni_config_free)
	struct cni_config *
		c = parse("{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"disableCheck\": true, " PLUGINS "}",
			  true),
	       *back = NULL;
	cleanup_json struct json_object *o = NULL;
	struct error e = ERROR_INIT;

	(void)state;
	c->path = str_dup("/etc/cni/net.d/x.conflist");
	o = cni_config_to_json(c);
	assert_int_equal(cni_config_from_json(o, &back, &e), 0);
	assert_string_equal(back->name, c->name);
	assert_string_equal(back->path, c->path);
	assert_int_equal(back->version, c->version);
	assert_true(back->disable_check);
	assert_false(back->is_default);
	assert_string_equal(cni_plugin_type(cni_config_plugin(back, 0)), "bridge");
}

/* ---- directories ------------------------------------------------------------------------------------- */

static int make_dir(void **state)
{
	char *dir = str_dup("/tmp/hull-test-cniconf-XXXXXX");

	*state = dir;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	struct error e = ERROR_INIT;
	int r = path_remove_tree(AT_FDCWD, *state, &e);

	free(*state);
	return r;
}

static void write_file(const char *dir, const char *name, const char *text)
{
	cleanup_free char *path = str_fmt("%s/%s", dir, name);
	struct error e = ERROR_INIT;

	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, false, &e), 0);
}

static void the_first_valid_file_in_order_of_names_is_taken(void **state)
{
	CLEANUP(cni_config_free) struct cni_config *c = NULL, *second = NULL;
	cleanup_buf struct buf skipped = BUF_INIT;
	struct error e = ERROR_INIT;
	cleanup_free char *single = str_fmt("%s/30-single.conf", (char *)*state);

	write_file(*state, "00-readme.txt", "not looked at");
	write_file(*state, "10-broken.conflist", "{");
	write_file(*state, "30-single.conf",
		   "{\"cniVersion\": \"0.4.0\", \"name\": \"single\", \"type\": \"ptp\"}");
	write_file(*state, "20-list.json",
		   "{\"cniVersion\": \"0.4.0\", \"name\": \"json\", \"type\": \"ptp\"}");
	write_file(*state, "40-list.conflist",
		   "{\"cniVersion\": \"1.0.0\", \"name\": \"list\", " PLUGINS "}");
	assert_int_equal(cni_config_load(*state, &c, &skipped, &e), 0);
	assert_string_equal(c->name, "json");
	assert_true(str_ends(c->path, "/20-list.json"));
	assert_non_null(strstr(buf_str(&skipped), "10-broken.conflist"));
	assert_null(strstr(buf_str(&skipped), "readme"));
	assert_int_equal(unlinkat(AT_FDCWD, c->path, 0), 0);
	assert_int_equal(cni_config_load(*state, &second, &skipped, &e), 0);
	assert_string_equal(second->path, single);
}

static void no_configuration_differs_from_only_broken_ones(void **state)
{
	cleanup_free char *missing = str_fmt("%s/missing", (char *)*state);
	cleanup_buf struct buf skipped = BUF_INIT;
	struct cni_config *c = NULL;
	struct error e = ERROR_INIT;

	assert_int_equal(cni_config_load(missing, &c, &skipped, &e), -ERR_NOT_FOUND);
	write_file(*state, "readme.txt", "");
	assert_int_equal(cni_config_load(*state, &c, &skipped, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), (char *)*state));
	write_file(*state, "b.conf", "{}");
	write_file(*state, "a.conflist", "{\"cniVersion\": \"1.0.0\", \"name\": \"n\"}");
	assert_int_equal(cni_config_load(*state, &c, &skipped, &e), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "/a.conflist\": \"plugins\" is missing"));
	assert_non_null(strstr(buf_str(&skipped), "/b.conf"));
	assert_null(c);
}

static void the_default_network_maps_ports_where_needed(void **state)
{
	const struct cni_default_opts o = { .bridge = "br9", .subnet = "10.1.0.0/16", .data_dir = "/d" };
	const struct cni_default_opts bad_subnet = { .bridge = "br9",
						     .subnet = "10.1.0.0",
						     .data_dir = "/d" };
	const struct cni_default_opts bad = { .bridge = "a bridge",
					      .subnet = "10.1.0.0/16",
					      .data_dir = "/d" };
	struct cni_config *none = NULL;
	struct error e = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(cni_config_free) struct cni_config *c = NULL;

		assert_int_equal(cni_config_default(&o, i == 1, &c, &e), 0);
		assert_true(c->is_default);
		assert_string_equal(c->name, "br9");
		assert_int_equal(c->plugin_count, 1 + i);
		assert_string_equal(cni_plugin_type(cni_config_plugin(c, i)), i ? "portmap" : "bridge");
	}
	assert_int_equal(cni_config_default(&bad, true, &none, &e), -ERR_INVALID);
	assert_int_equal(cni_config_default(&bad_subnet, true, &none, &e), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_from_0_3_0_to_1_1_0_is_taken),
		cmocka_unit_test(the_highest_common_version_is_chosen),
		cmocka_unit_test(flags_are_booleans_or_their_words),
		cmocka_unit_test(a_single_plugin_becomes_a_list_of_one),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(names_follow_the_spec),
		cmocka_unit_test(a_record_brings_a_configuration_back),
		cmocka_unit_test_setup_teardown(the_first_valid_file_in_order_of_names_is_taken, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(no_configuration_differs_from_only_broken_ones, make_dir,
						remove_dir),
		cmocka_unit_test(the_default_network_maps_ports_where_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
