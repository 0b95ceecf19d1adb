/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "net/cni_result.h"

static struct json_object *read_result(const char *text, enum cni_version wanted)
{
	struct json_object *o = NULL;
	struct error e = ERROR_INIT;

	if (cni_result_read(text, strlen(text), wanted, &o, &e) < 0)
		fail_msg("%s: %s", text, err_msg(&e));
	return o;
}

static struct cni_result *result_of(const char *text)
{
	cleanup_json struct json_object *o = read_result(text, CNI_1_0_0);
	struct cni_result *r = NULL;
	struct error e = ERROR_INIT;

	if (cni_result_from_json(o, "eth0", &r, &e) < 0)
		fail_msg("%s: %s", text, err_msg(&e));
	return r;
}

static const char full[] =
	"{\"cniVersion\": \"0.4.0\","
	"\"interfaces\": [{\"name\": \"br\", \"mac\": \"aa:bb\"}, {\"name\": \"veth1\"},"
	" {\"name\": \"eth0\", \"mac\": \"cc\", \"sandbox\": \"/run/netns/x\"}],"
	"\"ips\": [{\"version\": \"4\", \"address\": \"10.1.0.1/16\", \"interface\": 0},"
	" {\"version\": \"4\", \"address\": \"10.1.0.5/16\", \"gateway\": \"10.1.0.1\", \"interface\": 2},"
	" {\"version\": \"6\", \"address\": \"fd00::5/64\", \"interface\": 2}],"
	"\"routes\": [{\"dst\": \"0.0.0.0/0\", \"gw\": \"10.1.0.1\", \"mtu\": 1400}, {\"dst\": "
	"\"fd00::/8\"}],"
	"\"dns\": {\"nameservers\": [\"10.1.0.1\"], \"domain\": \"local\", \"search\": [\"a\", \"b\"], "
	"\"options\": [\"ndots:5\"]},"
	"\"of_a_plugin\": {\"kept\": true}}";

static void the_pods_addresses_are_those_in_the_sandbox(void **state)
{
	CLEANUP(cni_result_free) struct cni_result *r = result_of(full);

	(void)state;
	assert_int_equal(r->ip_count, 2);
	assert_string_equal(r->ips[0].address, "10.1.0.5");
	assert_int_equal(r->ips[0].prefix, 16);
	assert_string_equal(r->ips[0].gateway, "10.1.0.1");
	assert_int_equal(r->ips[0].interface, 2);
	assert_string_equal(r->ips[1].address, "fd00::5");
	assert_int_equal(r->ips[1].prefix, 64);
	assert_null(r->ips[1].gateway);
	assert_int_equal(r->interface_count, 3);
	assert_string_equal(r->interfaces[2].sandbox, "/run/netns/x");
	assert_null(r->interfaces[1].mac);
	assert_int_equal(r->route_count, 2);
	assert_string_equal(r->routes[0].gw, "10.1.0.1");
	assert_null(r->routes[1].gw);
	assert_string_equal(r->dns_servers[0], "10.1.0.1");
	assert_null(r->dns_servers[1]);
	assert_string_equal(r->dns_searches[1], "b");
	assert_string_equal(r->dns_options[0], "ndots:5");
	assert_string_equal(r->dns_domain, "local");
	assert_non_null(strstr(r->json, "\"kept\":true"));
}

static void the_asked_interface_wins_over_others_in_the_sandbox(void **state)
{
	CLEANUP(cni_result_free)
	struct cni_result *r = result_of("{\"interfaces\": [{\"name\": \"net1\", \"sandbox\": \"/n\"}, "
					 "{\"name\": \"eth0\", \"sandbox\": \"/n\"}],"
					 "\"ips\": [{\"address\": \"1.1.1.1/8\", \"interface\": 0}, "
					 "{\"address\": \"2.2.2.2/8\", \"interface\": 1}]}");
	CLEANUP(cni_result_free)
	struct cni_result *other = result_of("{\"interfaces\": [{\"name\": \"net1\", \"sandbox\": \"/n\"}],"
					     "\"ips\": [{\"address\": \"1.1.1.1/8\", \"interface\": 0}]}");

	(void)state;
	assert_int_equal(r->ip_count, 1);
	assert_string_equal(r->ips[0].address, "2.2.2.2");
	assert_int_equal(other->ip_count, 1);
}

static void addresses_without_interface_are_the_pods_when_there_are_no_others(void **state)
{
	CLEANUP(cni_result_free)
	struct cni_result *r = result_of("{\"ips\": [{\"address\": \"1.2.3.4/24\"}]}");
	CLEANUP(cni_result_free)
	struct cni_result *host = result_of("{\"interfaces\": [{\"name\": \"br\"}], \"ips\": [{\"address\": "
					    "\"1.2.3.4/24\", \"interface\": 0}]}");
	CLEANUP(cni_result_free) struct cni_result *empty = result_of("{}");

	(void)state;
	assert_int_equal(r->ip_count, 1);
	assert_int_equal(r->ips[0].interface, -1);
	assert_int_equal(host->ip_count, 0);
	assert_int_equal(empty->ip_count, 0);
	assert_null(empty->dns_servers);
}

static void results_are_given_on_in_the_networks_version(void **state)
{
	cleanup_json struct json_object *newer = read_result(full, CNI_1_0_0), *older = NULL;
	cleanup_buf struct buf text = BUF_INIT, old_text = BUF_INIT;

	(void)state;
	json_text(newer, false, &text);
	assert_null(strstr(buf_str(&text), "\"version\""));
	assert_non_null(strstr(buf_str(&text), "\"cniVersion\":\"1.0.0\""));
	older = read_result(buf_str(&text), CNI_0_3_1);
	json_text(older, false, &old_text);
	assert_non_null(strstr(buf_str(&old_text), "\"cniVersion\":\"0.3.1\""));
	assert_non_null(strstr(buf_str(&old_text), "\"version\":\"4\""));
	assert_non_null(strstr(buf_str(&old_text), "\"version\":\"6\""));
	assert_non_null(strstr(buf_str(&old_text), "\"mtu\":1400"));
}

static void what_is_no_result_is_named(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "", "" },
		{ "garbage", "" },
		{ "[]", "object" },
		{ "{} {}", "" },
		{ "{\"cniVersion\": \"7.0.0\"}", "\"7.0.0\"" },
		{ "{\"ips\": {}}", "ips" },
		{ "{\"ips\": [3]}", "item 0 of \"ips\" is a number" },
		{ "{\"ips\": [{}]}", "item 0 of \"ips\": \"address\" is missing" },
		{ "{\"ips\": [{\"address\": \"10.0.0.1\"}]}", "\"10.0.0.1\"" },
		{ "{\"ips\": [{\"address\": \"10.0.0.1/33\"}]}", "\"10.0.0.1/33\"" },
		{ "{\"ips\": [{\"address\": \"10.0.0.300/8\"}]}", "\"10.0.0.300/8\"" },
		{ "{\"ips\": [{\"address\": \"fd00::1/129\"}]}", "\"fd00::1/129\"" },
		{ "{\"ips\": [{\"address\": \"10.0.0.1/8\", \"gateway\": \"here\"}]}",
		  "\"gateway\" is \"here\"" },
		{ "{\"ips\": [{\"address\": \"10.0.0.1/8\", \"interface\": 0}]}",
		  "\"interface\" is 0, but there are 0" },
		{ "{\"interfaces\": [{}], \"ips\": [{\"address\": \"10.0.0.1/8\", \"interface\": -2}]}",
		  "-2" },
		{ "{\"routes\": [{\"gw\": \"10.0.0.1\"}]}", "item 0 of \"routes\": \"dst\" is missing" },
		{ "{\"dns\": {\"nameservers\": \"x\"}}", "\"dns\"" },
		{ "{\"interfaces\": [{\"name\": 1}]}", "name" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_object *o = NULL;
		struct error e = ERROR_INIT;
		int r = cni_result_read(cases[i].text, strlen(cases[i].text), CNI_1_0_0, &o, &e);

		if (r != -ERR_CORRUPT || o || !strstr(err_msg(&e), cases[i].words))
			fail_msg("%s: %d \"%s\"", cases[i].text, r, err_msg(&e));
	}
}

static void errors_keep_message_details_and_code(void **state)
{
	static const char text[] =
		"{\"cniVersion\": \"1.0.0\", \"code\": 11, \"msg\": \"busy\", \"details\": \"later\"}";
	static const char *const others[] = {
		"", "{}", "{\"msg\": \"x\"}", "{\"code\": \"x\"}", "{\"code\": -1}", "[]"
	};
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(cni_error_read(text, strlen(text), &e), -ERR_UNAVAILABLE);
	assert_string_equal(err_msg(&e), "busy; details: later (CNI error code 11: try again later)");
	assert_int_equal(cni_error_read("{\"code\": 999}", 13, &e), -ERR_UNAVAILABLE);
	assert_string_equal(err_msg(&e), "it gives no message (CNI error code 999)");
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(cni_error_read(others[i], strlen(others[i]), &e), 0);
}

static void versions_are_read(void **state)
{
	static const char text[] =
		"{\"cniVersion\": \"1.0.0\", \"supportedVersions\": [\"0.4.0\", \"1.0.0\"]}";
	cleanup_strv struct strv versions = STRV_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(cni_versions_read(text, strlen(text), &versions, &e), 0);
	assert_int_equal(versions.n, 2);
	assert_string_equal(versions.v[1], "1.0.0");
	assert_int_equal(cni_versions_read("{}", 2, &versions, &e), -ERR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pods_addresses_are_those_in_the_sandbox),
		cmocka_unit_test(the_asked_interface_wins_over_others_in_the_sandbox),
		cmocka_unit_test(addresses_without_interface_are_the_pods_when_there_are_no_others),
		cmocka_unit_test(results_are_given_on_in_the_networks_version),
		cmocka_unit_test(what_is_no_result_is_named),
		cmocka_unit_test(errors_keep_message_details_and_code),
		cmocka_unit_test(versions_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
