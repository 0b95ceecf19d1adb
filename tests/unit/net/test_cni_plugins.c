/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins are given, and what is asked of them besides. Needs no privilege. */
#include "plugin_fixture.h"

/* ---- what plugins are given -------------------------------------------------------------------------- */

static void the_environment_is_the_standard_one(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *log = NULL, *path = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = NULL;

	plugin(f, "p",
	       "env | sort >>"
	       "$(dirname $0)/../log\n" ANSWER);
	network(f, "1.0.0", "{\"type\": \"p\"}");
	setenv("HULL_SECRET_OF_THE_DAEMON", "1", 1);
	record = prepare_pod(f, &(struct cni_pod){ .id = "pod1",
						   .netns_path = "/proc/self/ns/net",
						   .ifname = "net7",
						   .name = "web-0",
						   .ns = "shop",
						   .uid = "1-2" });
	result = add(f, record);
	unsetenv("HULL_SECRET_OF_THE_DAEMON");
	log = take_log(f);
	path = str_fmt("\nCNI_PATH=/nonexistent/cni:%s\n", f->bin_dir);
	assert_has(log, "\nCNI_COMMAND=ADD\n");
	assert_has(log, "\nCNI_CONTAINERID=pod1\n");
	assert_has(log, "\nCNI_NETNS=/proc/self/ns/net\n");
	assert_has(log, "\nCNI_IFNAME=net7\n");
	assert_has(log, "\nCNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;"
			"K8S_POD_INFRA_CONTAINER_ID=pod1;K8S_POD_UID=1-2\n");
	assert_has(log, path);
	assert_has(log, "/usr/sbin");
	assert_lacks(log, "HULL_SECRET");
	assert_string_equal(result->ips[0].address, "10.9.8.7");
}

static void a_chain_passes_results_on_and_is_deleted_in_reverse(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *added = NULL, *checked = NULL, *deleted = NULL, *second = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	plugin(f, "one", ANSWER);
	plugin(f, "two",
	       "case $CNI_COMMAND in ADD) echo '{\"ips\": [{\"address\": \"10.9.8.8/24\"}]}';; esac");
	network(f, "0.4.0",
		"{\"type\": \"one\", \"prevResult\": {}, \"own\": [1, {\"a\": null}]}, {\"type\": \"two\"}");
	record = prepare(f);
	result = add(f, record);
	assert_int_equal(result->ip_count, 1);
	assert_string_equal(result->ips[0].address, "10.9.8.8");
	added = take_log(f);
	second = strstr(added, "two ADD");
	assert_non_null(second);
	second[-1] = '\0';
	assert_true(str_starts(added, "one ADD "));
	assert_lacks(added, "prevResult");
	assert_has(added, "\"own\":[1,{\"a\":null}]");
	assert_has(added, "\"name\":\"testnet\"");
	assert_has(added, "\"cniVersion\":\"0.4.0\"");
	/* The first result, in the form of 0.4.0 although the plugin wrote 1.0.0. */
	assert_has(second, "\"prevResult\":{");
	assert_has(second, "\"address\":\"10.9.8.7/24\"");
	assert_has(second, "\"version\":\"4\"");
	second = NULL;

	assert_int_equal(cni_check(f->cni, result->record, &patient, &e), 0);
	checked = take_log(f);
	assert_true(str_starts(checked, "one CHECK "));
	assert_has(checked, "\ntwo CHECK ");
	assert_has(checked, "10.9.8.8");

	assert_int_equal(cni_del(f->cni, result->record, &patient, &e), 0);
	deleted = take_log(f);
	assert_true(str_starts(deleted, "two DEL "));
	assert_has(deleted, "\none DEL ");
	assert_has(strstr(deleted, "\none DEL "), "10.9.8.8");
}

static void old_versions_get_neither_check_nor_previous_result_at_del(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *log = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	plugin(f, "one", ANSWER);
	network(f, "0.3.1", "{\"type\": \"one\"}");
	record = prepare(f);
	result = add(f, record);
	free(take_log(f));
	assert_int_equal(cni_check(f->cni, result->record, &patient, &e), 0);
	assert_int_equal(cni_del(f->cni, result->record, &patient, &e), 0);
	log = take_log(f);
	assert_true(str_starts(log, "one DEL "));
	assert_lacks(log, "prevResult");
	assert_lacks(log, "CHECK");
}

static void a_check_needs_a_result_and_the_networks_leave(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *unchecked = NULL, *log = NULL;
	struct error e = ERROR_INIT;

	plugin(f, "one", ANSWER);
	network(f, "1.0.0", "{\"type\": \"one\"}");
	record = prepare(f);
	assert_int_equal(cni_check(f->cni, record, &patient, &e), -ERR_STATE);
	write_file(f->conf_dir, "10-test.conflist",
		   "{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"disableCheck\": true, \"plugins\": "
		   "[{\"type\": \"one\"}]}",
		   0644);
	unchecked = prepare(f);
	assert_int_equal(cni_check(f->cni, unchecked, &patient, &e), 0);
	log = take_log(f);
	assert_string_equal(log, "");
}

static void capabilities_go_to_those_that_declare_them(void **state)
{
	struct fixture *f = *state;
	const struct cni_port ports[] = {
		{ .host_port = 8080, .container_port = 80, .protocol = "TCP" },
		{ .host_port = 0, .container_port = 81 },
		{ .host_port = 53, .container_port = 53, .protocol = "udp", .host_ip = "127.0.0.1" }
	};
	const struct cni_range range = { .subnet = "10.4.0.0/24", .start = "10.4.0.9" };
	const struct cni_pair annotation = { "k8s.v1/x", "y" };
	const struct cni_pod pod = {
		.id = "pod1",
		.netns_path = "/proc/self/ns/net",
		.ports = ports,
		.port_count = 3,
		.dns_servers = (const char *[]){ "10.0.0.53" },
		.dns_server_count = 1,
		.dns_searches = (const char *[]){ "a.local", "b.local" },
		.dns_search_count = 2,
		.bandwidth = { .ingress_rate = 1000000 },
		.ranges = &range,
		.range_count = 1,
		.ips = (const char *[]){ "10.4.0.10/24" },
		.ip_count = 1,
		.mac = "02:00:00:00:00:01",
		.infiniband_guid = "24:8a",
		.device_id = "0000:01:00.0",
		.cgroup_path = "/kubepods/x",
		.annotations = &annotation,
		.annotation_count = 1,
	};
	cleanup_free char *record = NULL, *log = NULL, *two = NULL, *three = NULL;

	plugin(f, "one", ANSWER);
	plugin(f, "two", ANSWER);
	plugin(f, "three", ANSWER);
	network(f, "1.0.0",
		"{\"type\": \"one\", \"capabilities\": {\"portMappings\": true, \"dns\": false}},"
		"{\"type\": \"two\", \"runtimeConfig\": {\"mac\": \"spoofed\"}},"
		"{\"type\": \"three\", \"capabilities\": {\"dns\": true, \"bandwidth\": true, \"ipRanges\": "
		"true,"
		" \"ips\": true, \"mac\": true, \"infinibandGUID\": true, \"deviceID\": true, "
		"\"cgroupPath\": true,"
		" \"io.kubernetes.cri.pod-annotations\": true, \"unheardOf\": true}}");
	record = prepare_pod(f, &pod);
	cni_result_free(add(f, record));
	log = take_log(f);
	two = str_dup(strstr(log, "\ntwo ADD"));
	three = str_dup(strstr(two, "\nthree ADD"));
	*strstr(two, "\nthree ADD") = '\0';
	*strstr(log, "\ntwo ADD") = '\0';
	assert_has(log, "\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,"
			"\"protocol\":\"tcp\","
			"\"hostIP\":\"\"},{\"hostPort\":53,\"containerPort\":53,\"protocol\":\"udp\","
			"\"hostIP\":\"127.0.0.1\"}]}");
	assert_lacks(two, "runtimeConfig");
	assert_lacks(three, "hostPort");
	assert_has(three, "\"dns\":{\"servers\":[\"10.0.0.53\"],\"searches\":[\"a.local\",\"b.local\"],"
			  "\"options\":[]}");
	assert_has(three, "\"bandwidth\":{\"ingressRate\":1000000,\"ingressBurst\":4294967295}");
	assert_has(three, "\"ipRanges\":[[{\"subnet\":\"10.4.0.0/24\",\"rangeStart\":\"10.4.0.9\"}]]");
	assert_has(three, "\"ips\":[\"10.4.0.10/24\"]");
	assert_has(three, "\"mac\":\"02:00:00:00:00:01\"");
	assert_has(three, "\"infinibandGUID\":\"24:8a\"");
	assert_has(three, "\"deviceID\":\"0000:01:00.0\"");
	assert_has(three, "\"cgroupPath\":\"/kubepods/x\"");
	assert_has(three, "\"io.kubernetes.cri.pod-annotations\":{\"k8s.v1/x\":\"y\"}");
}

static void attributes_of_the_pod_are_checked(void **state)
{
	struct fixture *f = *state;
	const struct cni_port bad_port = { .host_port = 1, .container_port = 0 };
	const struct cni_port bad_protocol = { .host_port = 1, .container_port = 1, .protocol = "ip" };
	const struct cni_port bad_host = { .host_port = 1, .container_port = 1, .host_ip = "localhost" };
	const struct cni_range bad_range = { .subnet = "10.0.0.0" };
	const struct {
		struct cni_pod pod;
		const char *words;
	} cases[] = {
		{ { .netns_path = "/n" }, "container id" },
		{ { .id = "../x", .netns_path = "/n" }, "\"../x\"" },
		{ { .id = "x" }, "network namespace" },
		{ { .id = "x", .netns_path = "n" }, "\"n\"" },
		{ { .id = "x", .netns_path = "/a/../n" }, "/a/../n" },
		{ { .id = "x", .netns_path = "/n", .ifname = "a/b" }, "\"a/b\"" },
		{ { .id = "x", .netns_path = "/n", .name = "a;IP=10.0.0.1" }, "K8S_POD_NAME" },
		{ { .id = "x", .netns_path = "/n", .ports = &bad_port, .port_count = 1 },
		  "container port 0" },
		{ { .id = "x", .netns_path = "/n", .ports = &bad_protocol, .port_count = 1 }, "\"ip\"" },
		{ { .id = "x", .netns_path = "/n", .ports = &bad_host, .port_count = 1 }, "\"localhost\"" },
		{ { .id = "x", .netns_path = "/n", .ranges = &bad_range, .range_count = 1 }, "\"10.0.0.0\"" },
		{ { .id = "x", .netns_path = "/n", .ips = (const char *[]){ "any" }, .ip_count = 1 },
		  "\"any\"" },
		{ { .id = "x",
		    .netns_path = "/n",
		    .dns_servers = (const char *[]){ "dns" },
		    .dns_server_count = 1 },
		  "\"dns\"" },
	};

	network(f, "1.0.0", "{\"type\": \"one\"}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_buf struct buf record = BUF_INIT;
		struct error e = ERROR_INIT;

		assert_int_equal(cni_prepare(f->cni, &cases[i].pod, &record, &e), -ERR_INVALID);
		assert_has(err_msg(&e), cases[i].words);
		assert_int_equal(record.len, 0);
	}
}

/* ---- status and GC ----------------------------------------------------------------------------------- */

static void assert_status(struct fixture *f, bool is_ready, const char *words)
{
	CLEANUP(cni_status_done) struct cni_status s = { 0 };

	cni_status(f->cni, &patient, &s);
	if (s.is_ready != is_ready)
		fail_msg("ready: %d: %s", s.is_ready, s.message);
	assert_string_equal(s.reason, is_ready ? "" : "NetworkPluginNotReady");
	assert_has(s.message, words);
}

static void status_tells_what_is_missing(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *log = NULL;

	/* The built-in network needs the plugin "bridge", which is not among ours. */
	assert_status(f, false, "CNI plugin \"bridge\" is not in ");
	write_file(f->conf_dir, "10-test.conflist", "{", 0644);
	assert_status(f, false, "10-test.conflist");
	network(f, "1.0.0", "{\"type\": \"one\", \"ipam\": {\"type\": \"two\"}}");
	plugin(f, "one", ANSWER);
	assert_status(f, false, "CNI plugin \"two\" is not in ");
	plugin(f, "two", "echo '{\"cniVersion\": \"0.4.0\", \"supportedVersions\": [\"0.3.0\", \"0.4.0\"]}'");
	assert_status(f, false,
		      "\"two\" does not know version 1.0.0 of the configuration, but 0.3.0 to 0.4.0");
	free(take_log(f));
	/* The answers are remembered until the file changes. */
	assert_status(f, false, "\"two\" does not know version 1.0.0");
	log = take_log(f);
	assert_string_equal(log, "");
	plugin(f, "two", ANSWER);
	assert_status(f, true, "network \"testnet\" of \"");
	write_file(f->conf_dir, "00-broken.conf", "{", 0644);
	assert_status(f, true, "passed over: CNI configuration \"");
}

static void status_asks_plugins_of_1_1_0(void **state)
{
	struct fixture *f = *state;

	network(f, "1.1.0", "{\"type\": \"one\"}, {\"type\": \"two\"}");
	plugin(f, "one", ANSWER);
	plugin(f, "two",
	       "[ $CNI_COMMAND = STATUS ] && { echo '{\"code\": 50, \"msg\": \"no route\"}'; exit 1; "
	       "}\n" ANSWER);
	assert_status(f, false,
		      "plugin \"two\", STATUS: no route (CNI error code 50: the plugin is not available)");
	plugin(f, "two", ANSWER);
	assert_status(f, true, "testnet");
}

static void without_network_and_default_there_is_none(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cni_close)
	struct cni *none =
		cni_open(&(struct cni_opts){ .conf_dir = f->conf_dir, .fallback = { .is_off = true } });
	CLEANUP(cni_status_done) struct cni_status s = { 0 };
	cleanup_buf struct buf record = BUF_INIT;
	struct error e = ERROR_INIT;

	cni_status(none, &patient, &s);
	assert_false(s.is_ready);
	assert_has(s.message, "no *.conflist, *.conf or *.json in CNI directory");
	assert_int_equal(cni_prepare(none, &(struct cni_pod){ .id = "x", .netns_path = "/n" }, &record, &e),
			 -ERR_UNAVAILABLE);
	assert_string_equal(err_msg(&e), s.message);
}

static void gc_gives_every_plugin_the_valid_attachments(void **state)
{
	const struct cni_attachment valid[] = { { .id = "a" }, { .id = "b", .ifname = "net1" } };
	struct fixture *f = *state;
	cleanup_free char *log = NULL, *none = NULL;
	struct error e = ERROR_INIT;

	network(f, "1.1.0", "{\"type\": \"one\"}, {\"type\": \"two\"}");
	plugin(f, "one", "echo '{\"code\": 99, \"msg\": \"no GC today\"}'; exit 1");
	plugin(f, "two", ANSWER);
	assert_int_equal(cni_gc(f->cni, valid, 2, &patient, &e), -ERR_UNAVAILABLE);
	assert_has(err_msg(&e), "plugin \"one\", GC: no GC today");
	log = take_log(f);
	assert_has(log, "\ntwo GC ");
	assert_has(strstr(log, "\ntwo GC "),
		   "\"cni.dev/valid-attachments\":[{\"containerID\":\"a\",\"ifname\":\"eth0\"},"
		   "{\"containerID\":\"b\",\"ifname\":\"net1\"}]");
	network(f, "1.0.0", "{\"type\": \"one\"}");
	assert_int_equal(cni_gc(f->cni, valid, 2, &patient, &e), 0);
	none = take_log(f);
	assert_string_equal(none, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_environment_is_the_standard_one),
		TEST(a_chain_passes_results_on_and_is_deleted_in_reverse),
		TEST(old_versions_get_neither_check_nor_previous_result_at_del),
		TEST(a_check_needs_a_result_and_the_networks_leave),
		TEST(capabilities_go_to_those_that_declare_them),
		TEST(attributes_of_the_pod_are_checked),
		TEST(status_tells_what_is_missing),
		TEST(status_asks_plugins_of_1_1_0),
		TEST(without_network_and_default_there_is_none),
		TEST(gc_gives_every_plugin_the_valid_attachments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
