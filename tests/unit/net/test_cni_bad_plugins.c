/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of plugins that fail, hang, leave something running or lie. Needs no privilege. */
#include "plugin_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_way_to_fail_is_named),
		TEST(a_failed_undo_is_mentioned),
		TEST(a_missing_plugin_is_named_with_the_directories),
		TEST(a_plugin_that_hangs_is_killed_with_its_children),
		TEST(a_canceled_request_ends_the_plugin),
		TEST(what_a_plugin_leaves_running_is_not_waited_for),
		TEST(a_del_waits_for_what_a_killed_caller_left_running),
		TEST(a_result_of_many_pages_comes_whole),
		TEST(a_damaged_record_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
