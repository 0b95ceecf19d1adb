/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that are shell scripts of the test: what they are given, and what becomes of bad ones. Needs no
 * privilege. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/json.h"
#include "net/cni.h"

struct fixture {
	char dir[64];
	char *conf_dir, *bin_dir, *log;
	struct cni *cni;
};

static const struct cni_call patient = { .cancel_fd = -1 };

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	*state = f;
	strcpy(f->dir, "/tmp/hull-test-cniplug-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->conf_dir = str_fmt("%s/net.d", f->dir);
	f->bin_dir = str_fmt("%s/bin", f->dir);
	f->log = str_fmt("%s/log", f->dir);
	if (mkdir(f->conf_dir, 0755) < 0 || mkdir(f->bin_dir, 0755) < 0)
		return -1;
	f->cni = cni_open(
		&(struct cni_opts){ .conf_dir = f->conf_dir,
				    .bin_dirs = (const char *[]){ "/nonexistent/cni", f->bin_dir, NULL } });
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error e = ERROR_INIT;
	int r = path_remove_tree(AT_FDCWD, f->dir, &e);

	cni_close(f->cni);
	free(f->conf_dir);
	free(f->bin_dir);
	free(f->log);
	free(f);
	return r;
}

static void write_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	cleanup_free char *path = str_fmt("%s/%s", dir, name);
	struct error e = ERROR_INIT;

	if (file_write_atomic(AT_FDCWD, path, text, strlen(text), mode, false, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

/* A plugin that appends "NAME VERB" and its stdin to the log, then runs body. */
static void plugin(struct fixture *f, const char *name, const char *body)
{
	cleanup_free char *text =
		str_fmt("#!/bin/sh\nin=$(cat)\necho \"%s $CNI_COMMAND $in\" >>%s\n%s\n", name, f->log, body);

	write_file(f->bin_dir, name, text, 0755);
}

static void network(struct fixture *f, const char *version, const char *plugins)
{
	cleanup_free char *text = str_fmt(
		"{\"cniVersion\": \"%s\", \"name\": \"testnet\", \"plugins\": [%s]}", version, plugins);

	write_file(f->conf_dir, "10-test.conflist", text, 0644);
}

/* Good plugins: answer VERSION and ADD. */
#define ANSWER                                                                                      \
	"case $CNI_COMMAND in\n"                                                                    \
	"VERSION) echo '{\"cniVersion\": \"1.1.0\", \"supportedVersions\": [\"0.4.0\", \"1.0.0\", " \
	"\"1.1.0\"]}';;\n"                                                                          \
	"ADD) echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.9.8.7/24\"}]}';;\n"    \
	"esac"

static char *prepare_pod(struct fixture *f, const struct cni_pod *pod)
{
	struct buf record = BUF_INIT;
	struct error e = ERROR_INIT;

	if (cni_prepare(f->cni, pod, &record, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return buf_take(&record);
}

static char *prepare(struct fixture *f)
{
	return prepare_pod(f, &(struct cni_pod){ .id = "pod1", .netns_path = "/proc/self/ns/net" });
}

static struct cni_result *add(struct fixture *f, const char *record)
{
	struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	if (cni_add(f->cni, record, &patient, &result, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return result;
}

static char *take_log(struct fixture *f)
{
	struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;

	if (file_read(AT_FDCWD, f->log, 1 << 20, &b, &e) < 0)
		return str_dup("");
	unlink(f->log);
	return buf_take(&b);
}

static void assert_has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" is not in:\n%s", words, text);
}

static void assert_lacks(const char *text, const char *words)
{
	if (strstr(text, words))
		fail_msg("\"%s\" is in:\n%s", words, text);
}

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

/* ---- bad plugins ------------------------------------------------------------------------------------- */

static void each_way_to_fail_is_named(void **state)
{
	static const struct {
		const char *body, *words[3];
		int kind;
	} cases[] = {
		{ "echo 'not json'", { "printed \"not json", "which is no result" }, ERR_CORRUPT },
		{ "", { "printed \"\", which is no result" }, ERR_CORRUPT },
		{ "echo '{\"ips\": [{\"address\": \"nowhere\"}]}'",
		  { "\"nowhere\"", "item 0 of \"ips\"" },
		  ERR_CORRUPT },
		{ "echo '{\"code\": 7, \"msg\": \"bad bridge\", \"details\": \"why\"}'; exit 1",
		  { "bad bridge; details: why (CNI error code 7: invalid network configuration)" },
		  ERR_UNAVAILABLE },
		{ "echo '{\"code\": 11, \"msg\": \"busy\"}'",
		  { "exit status 0, but printed an error: busy" },
		  ERR_UNAVAILABLE },
		{ "echo oh no >&2; exit 3",
		  { "exit status 3 and no error JSON", "stderr: \"oh no\"" },
		  ERR_UNAVAILABLE },
		{ "echo panic; exit 2",
		  { "exit status 2 and printed \"panic", "no error JSON" },
		  ERR_UNAVAILABLE },
		{ "kill -SEGV $$", { "signal 11 (Segmentation fault)" }, ERR_UNAVAILABLE },
		{ "yes '{'", { "printed more than 1048576 bytes and was killed" }, ERR_UNAVAILABLE },
	};
	struct fixture *f = *state;

	network(f, "1.0.0", "{\"type\": \"good\"}, {\"type\": \"bad\"}");
	plugin(f, "good", ANSWER);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_free char *body = str_fmt("[ $CNI_COMMAND = ADD ] || exit 0\n%s", cases[i].body);
		cleanup_free char *record = NULL, *log = NULL;
		struct cni_result *result = NULL;
		struct error e = ERROR_INIT;
		int r;

		plugin(f, "bad", body);
		record = prepare(f);
		r = cni_add(f->cni, record, &patient, &result, &e);
		if (r != -cases[i].kind)
			fail_msg("%s: %d \"%s\"", cases[i].body, r, err_msg(&e));
		assert_null(result);
		assert_has(err_msg(&e), "CNI network \"testnet\", plugin \"bad\", ADD of \"eth0\": ");
		for (size_t w = 0; w < 3 && cases[i].words[w]; w++)
			assert_has(err_msg(&e), cases[i].words[w]);
		/* All of the chain is undone, in reverse, with what the first had made. */
		log = take_log(f);
		assert_has(log, "\nbad DEL ");
		assert_has(strstr(log, "\nbad DEL "), "\ngood DEL ");
		assert_has(strstr(log, "\ngood DEL "), "10.9.8.7");
	}
}

static void a_failed_undo_is_mentioned(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL;
	struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	network(f, "1.0.0", "{\"type\": \"bad\"}");
	plugin(f, "bad", "echo \"{\\\"code\\\": 100, \\\"msg\\\": \\\"no $CNI_COMMAND\\\"}\"; exit 1");
	record = prepare(f);
	assert_int_equal(cni_add(f->cni, record, &patient, &result, &e), -ERR_UNAVAILABLE);
	assert_has(err_msg(&e), "ADD of \"eth0\": no ADD");
	assert_has(err_msg(&e), "undoing it failed too");
	assert_has(err_msg(&e), "DEL of \"eth0\": no DEL");
}

static void a_missing_plugin_is_named_with_the_directories(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL;
	struct error e = ERROR_INIT;

	cleanup_buf struct buf none = BUF_INIT;
	cleanup_free char *path = str_fmt("%s/absent", f->bin_dir);

	network(f, "1.0.0", "{\"type\": \"absent\"}");
	assert_int_equal(cni_prepare(f->cni, &(struct cni_pod){ .id = "x", .netns_path = "/n" }, &none, &e),
			 -ERR_UNAVAILABLE);
	assert_has(err_msg(&e), "CNI plugin \"absent\" is not in \"/nonexistent/cni\", \"");
	assert_int_equal(none.len, 0);
	/* One that was there at the ADD and is gone at the DEL. */
	plugin(f, "absent", ANSWER);
	record = prepare(f);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cni_del(f->cni, record, &patient, &e), -ERR_UNAVAILABLE);
	assert_has(err_msg(&e), "CNI plugin \"absent\" is not in \"/nonexistent/cni\", \"");
	assert_has(err_msg(&e), f->bin_dir);
	write_file(f->bin_dir, "absent", "#!/bin/sh\n", 0644);
	assert_int_equal(cni_del(f->cni, record, &patient, &e), -ERR_UNAVAILABLE);
	assert_has(err_msg(&e), "not an executable file");
}

static bool is_alive(const char *pid_file)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct error e = ERROR_INIT;
	uint64_t pid;

	for (int i = 0; i < 100 && file_read(AT_FDCWD, pid_file, 100, &text, &e) < 0; i++)
		usleep(20000);
	if (text.len)
		text.data[strcspn(text.data, "\n")] = '\0';
	assert_int_equal(str_to_u64(buf_str(&text), &pid, &e), 0);
	/* An orphan is reaped by init a moment after it was killed. */
	for (int i = 0; i < 100; i++) {
		cleanup_free char *stat = str_fmt("/proc/%llu/stat", (unsigned long long)pid);
		cleanup_buf struct buf line = BUF_INIT;

		if (file_read(AT_FDCWD, stat, 4096, &line, &e) < 0 || strstr(buf_str(&line), ") Z "))
			return false;
		usleep(10000);
	}
	return true;
}

static void a_plugin_that_hangs_is_killed_with_its_children(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *pid_file = str_fmt("%s/pid", f->dir), *body = NULL;
	const struct cni_call impatient = { .deadline_ns = deadline_in_ms(300), .cancel_fd = -1 };
	struct cni_result *result = NULL;
	struct error e = ERROR_INIT;
	int64_t start = clock_mono_ns();

	body = str_fmt("[ $CNI_COMMAND = ADD ] || exit 0\necho waiting for leader >&2\nsleep 1000 &\necho $! "
		       ">%s\nwait",
		       pid_file);
	plugin(f, "slow", body);
	network(f, "1.0.0", "{\"type\": \"slow\"}");
	record = prepare(f);
	assert_int_equal(cni_add(f->cni, record, &impatient, &result, &e), -ERR_TIMEOUT);
	assert_true(clock_mono_ns() - start < 10 * NS_PER_S);
	assert_has(err_msg(&e), "plugin \"slow\", ADD of \"eth0\": it did not end in time and was killed");
	assert_has(err_msg(&e), "stderr: \"waiting for leader\"");
	assert_false(is_alive(pid_file));
}

static void a_canceled_request_ends_the_plugin(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *pid_file = str_fmt("%s/pid", f->dir), *body = NULL;
	struct cni_result *result = NULL;
	struct error e = ERROR_INIT;
	int fds[2];

	assert_int_equal(fd_pipe(fds, &e), 0);
	/* The plugin itself is what makes the request be canceled. */
	body = str_fmt("[ $CNI_COMMAND = ADD ] || exit 0\necho $$ >%s\necho x >/proc/%d/fd/%d\nsleep 1000",
		       pid_file, getpid(), fds[1]);
	plugin(f, "slow", body);
	network(f, "1.0.0", "{\"type\": \"slow\"}");
	record = prepare(f);
	assert_int_equal(cni_add(f->cni, record, &(struct cni_call){ .cancel_fd = fds[0] }, &result, &e),
			 -ERR_CANCELED);
	assert_has(err_msg(&e), "the request was canceled");
	assert_false(is_alive(pid_file));
	close(fds[0]);
	close(fds[1]);
}

static void what_a_plugin_leaves_running_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *pid_file = str_fmt("%s/pid", f->dir), *body = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	cleanup_buf struct buf pid_text = BUF_INIT;
	struct error e = ERROR_INIT;
	int64_t start = clock_mono_ns();
	uint32_t pid;

	body = str_fmt("sleep 20 &\necho $! >%s\n" ANSWER, pid_file);
	plugin(f, "daemon", body);
	network(f, "1.0.0", "{\"type\": \"daemon\"}");
	record = prepare(f);
	result = add(f, record);
	assert_true(clock_mono_ns() - start < 10 * NS_PER_S);
	assert_int_equal(result->ip_count, 1);
	assert_int_equal(file_read(AT_FDCWD, pid_file, 100, &pid_text, &e), 0);
	pid_text.data[strcspn(pid_text.data, "\n")] = '\0';
	assert_int_equal(str_to_u32(pid_text.data, &pid, &e), 0);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
}

/* An ADD whose hulld is killed: a child of the plugin still works, and a DEL before it is done would miss
 * what it makes. */
static void a_del_waits_for_what_a_killed_caller_left_running(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL, *log = NULL;
	struct error e = ERROR_INIT;
	int64_t start = clock_mono_ns();
	pid_t pid;

	plugin(f, "slow",
	       "[ $CNI_COMMAND = ADD ] || exit 0\n(sleep 0.6; echo late work >>$(dirname $0)/../log) "
	       "&\nwait; exit 1");
	network(f, "1.0.0", "{\"type\": \"slow\"}");
	record = prepare(f);
	pid = fork();
	if (pid == 0) {
		struct cni_result *result = NULL;

		_exit(cni_add(f->cni, record, &patient, &result, &e) < 0);
	}
	for (int i = 0; i < 500 && access(f->log, F_OK) < 0; i++)
		usleep(10000);
	usleep(50000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(cni_del(f->cni, record, &patient, &e), 0);
	assert_true(clock_mono_ns() - start < 9 * NS_PER_S);
	log = take_log(f);
	assert_has(log, "slow ADD");
	assert_has(log, "late work\nslow DEL");
}

static void a_result_of_many_pages_comes_whole(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *record = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = NULL;

	plugin(f, "long",
	       "[ $CNI_COMMAND = ADD ] || exit 0\n"
	       "echo '{\"routes\": ['; i=0; while [ $i -lt 2000 ]; do\n"
	       "echo '{\"dst\": \"10.0.0.0/8\", \"gw\": \"10.255.255.254\", \"padding\": "
	       "\"0123456789012345678901234567890123456789\"},'\n"
	       "echo noise noise noise noise noise noise noise noise noise noise >&2; i=$((i+1)); done\n"
	       "echo '{\"dst\": \"::/0\"}]}'");
	network(f, "1.0.0", "{\"type\": \"long\"}");
	record = prepare(f);
	result = add(f, record);
	assert_int_equal(result->route_count, 2001);
}

static void a_damaged_record_is_refused(void **state)
{
	static const char *const bad[] = { "", "{}", "{\"recordVersion\": 2}", "[]" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct cni_result *result = NULL;
		struct error e = ERROR_INIT;
		char *path = NULL;

		assert_int_equal(cni_add(f->cni, bad[i], &patient, &result, &e), -ERR_CORRUPT);
		assert_int_equal(cni_del(f->cni, bad[i], &patient, &e), -ERR_CORRUPT);
		assert_int_equal(cni_record_result(bad[i], &result, &e), -ERR_CORRUPT);
		assert_int_equal(cni_record_netns(bad[i], &path, &e), -ERR_CORRUPT);
		assert_null(result);
		assert_null(path);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_environment_is_the_standard_one),
		TEST(a_chain_passes_results_on_and_is_deleted_in_reverse),
		TEST(old_versions_get_neither_check_nor_previous_result_at_del),
		TEST(a_check_needs_a_result_and_the_networks_leave),
		TEST(capabilities_go_to_those_that_declare_them),
		TEST(attributes_of_the_pod_are_checked),
		TEST(each_way_to_fail_is_named),
		TEST(a_failed_undo_is_mentioned),
		TEST(a_missing_plugin_is_named_with_the_directories),
		TEST(a_plugin_that_hangs_is_killed_with_its_children),
		TEST(a_canceled_request_ends_the_plugin),
		TEST(what_a_plugin_leaves_running_is_not_waited_for),
		TEST(a_del_waits_for_what_a_killed_caller_left_running),
		TEST(a_result_of_many_pages_comes_whole),
		TEST(a_damaged_record_is_refused),
		TEST(status_tells_what_is_missing),
		TEST(status_asks_plugins_of_1_1_0),
		TEST(without_network_and_default_there_is_none),
		TEST(gc_gives_every_plugin_the_valid_attachments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
