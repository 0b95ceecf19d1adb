/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "pod/protocol.h"

static struct wire_bytes body_of(const struct wire_out *o)
{
	return (struct wire_bytes){ o->b.data, o->b.len };
}

static void a_request_comes_back_as_it_was_sent(void **state)
{
	const struct req_container q = { .id = "c1",
					 .pid_target = "other",
					 .bundle_dfd = 11,
					 .log_fd = -1,
					 .tty = true,
					 .pid_mode = MONITOR_PID_TARGET,
					 .has_rootfs = true,
					 .rootfs_lowers = { "/a\0/b", 6 } };
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	struct req_container got = REQ_CONTAINER_INIT;
	struct error e = ERROR_INIT;
	const int fds[] = { 42 };
	size_t pos = 0;

	(void)state;
	wire_encode(&o, fields_container, &q);
	assert_int_equal(o.fd_count, 1);
	assert_int_equal(o.fds[0], 11);
	assert_int_equal(wire_decode(fields_container, o.b.data, o.b.len, fds, 1, &got, &e), 0);
	assert_string_equal(got.id, "c1");
	assert_string_equal(got.pid_target, "other");
	assert_null(got.cgroup_path);
	assert_int_equal(got.bundle_dfd, 42);
	assert_int_equal(got.log_fd, -1);
	assert_true(got.tty);
	assert_int_equal(got.pid_mode, MONITOR_PID_TARGET);
	assert_string_equal(proto_next_string(&got.rootfs_lowers, &pos), "/a");
	assert_string_equal(proto_next_string(&got.rootfs_lowers, &pos), "/b");
	assert_null(proto_next_string(&got.rootfs_lowers, &pos));
}

static void negative_numbers_survive(void **state)
{
	const struct req_object q = { .id = "c", .signal = -5, .timeout_ms = INT64_MIN, .log_fd = -1 };
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	struct req_object got = REQ_OBJECT_INIT;

	(void)state;
	wire_encode(&o, fields_object, &q);
	assert_int_equal(wire_decode(fields_object, o.b.data, o.b.len, NULL, 0, &got, NULL), 0);
	assert_int_equal(got.signal, -5);
	assert_true(got.timeout_ms == INT64_MIN);
}

static void unknown_tags_are_skipped_unless_critical(void **state)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	struct req_object got = REQ_OBJECT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	wire_add(&o, 9999, 0, "future", 6);
	wire_add(&o, 1, 0, "c1", 3);
	assert_int_equal(wire_decode(fields_object, o.b.data, o.b.len, NULL, 0, &got, &e), 0);
	assert_string_equal(got.id, "c1");
	wire_add(&o, 9998, WIRE_CRITICAL, "future", 6);
	assert_int_equal(wire_decode(fields_object, o.b.data, o.b.len, NULL, 0, &got, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "9998"));
}

static int decode_one(unsigned tag, const void *data, size_t n)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	struct req_object got = REQ_OBJECT_INIT;

	wire_add(&o, tag, 0, data, n);
	return wire_decode(fields_object, o.b.data, o.b.len, NULL, 0, &got, NULL);
}

static void malformed_values_are_refused(void **state)
{
	const uint64_t big = UINT64_C(1) << 40, zero = 0;
	char long_id[100];

	(void)state;
	memset(long_id, 'x', sizeof(long_id));
	long_id[sizeof(long_id) - 1] = '\0';
	assert_int_equal(decode_one(1, "no end", 6), -ERR_CORRUPT);
	assert_int_equal(decode_one(1, "a\0b", 4), -ERR_CORRUPT);
	assert_int_equal(decode_one(1, "", 0), -ERR_CORRUPT);
	assert_int_equal(decode_one(1, long_id, sizeof(long_id)), -ERR_LIMIT);
	assert_int_equal(decode_one(2, "1234", 4), -ERR_CORRUPT);
	assert_int_equal(decode_one(2, &big, sizeof(big)), -ERR_INVALID);
	assert_int_equal(decode_one(4, &zero, sizeof(zero)), -ERR_CORRUPT); /* fd 0 of none */
}

static void a_tag_that_comes_twice_is_refused(void **state)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	struct req_object got = REQ_OBJECT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	wire_add(&o, 1, 0, "a", 2);
	wire_add(&o, 1, 0, "b", 2);
	assert_int_equal(wire_decode(fields_object, o.b.data, o.b.len, NULL, 0, &got, &e), -ERR_CORRUPT);
	assert_non_null(strstr(err_msg(&e), "id"));
}

static void every_cut_of_a_message_is_refused(void **state)
{
	const struct req_object q = { .id = "container", .signal = 9, .timeout_ms = 77, .log_fd = -1 };
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	struct wire_bytes body;
	size_t good = 0;

	(void)state;
	wire_encode(&o, fields_object, &q);
	body = body_of(&o);
	for (size_t n = 0; n < body.n; n++) {
		struct req_object got = REQ_OBJECT_INIT;

		good += wire_decode(fields_object, body.p, n, NULL, 0, &got, NULL) == 0;
	}
	assert_int_equal(good, 3); /* empty, and behind the first and the second of three values */
}

static void large_bodies_go_through_a_sealed_memfd(void **state)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT;
	cleanup_wire_msg struct wire_msg m;
	char *big = calloc(1, 300000);
	struct req_container got = REQ_CONTAINER_INIT;
	struct error e = ERROR_INIT;
	int s[2];

	(void)state;
	wire_msg_init(&m);
	memset(big, 'l', 299999);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	wire_encode(&o, fields_container,
		    &(struct req_container){
			    .id = "c", .bundle_dfd = s[0], .log_fd = -1, .rootfs_lowers = { big, 300000 } });
	assert_int_equal(wire_send(s[0], OP_CREATE_CONTAINER, &o), 0);
	assert_int_equal(wire_recv(s[1], &m, &e), 1);
	assert_int_equal(m.h.op, OP_CREATE_CONTAINER);
	assert_int_equal(m.fd_count, 1); /* the bundle; the body's own is closed */
	assert_int_equal(wire_decode(fields_container, m.body, m.h.len, m.fds, m.fd_count, &got, &e), 0);
	assert_int_equal(got.rootfs_lowers.n, 300000);
	assert_int_equal(got.rootfs_lowers.p[299998], 'l');
	free(big);
	close(s[0]);
	close(s[1]);
}

/* Send these raw bytes (and this fd), and receive. */
static int recv_raw(const void *data, size_t n, int fd, struct error *e)
{
	cleanup_wire_msg struct wire_msg m;
	struct iovec iov = { (void *)data, n };
	int s[2], r;

	wire_msg_init(&m);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	assert_int_equal(fd_send(s[0], &iov, 1, &fd, fd >= 0 ? 1 : 0), 0);
	r = wire_recv(s[1], &m, e);
	close(s[0]);
	close(s[1]);
	return r;
}

static void an_unsealed_or_wrong_body_file_is_refused(void **state)
{
	const struct wire_header h = {
		.magic = WIRE_MAGIC, .version = WIRE_VERSION, .op = OP_STOP, .len = 10
	};
	struct error e = ERROR_INIT;
	cleanup_close int plain = memfd_create("plain", MFD_CLOEXEC);
	cleanup_close int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(ftruncate(plain, 10), 0);
	assert_int_equal(recv_raw(&h, sizeof(h), plain, &e), -ERR_CORRUPT);
	assert_int_equal(recv_raw(&h, sizeof(h), -1, &e), -ERR_CORRUPT);
	assert_int_equal(ftruncate(sealed, 9), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_GROW), 0);
	assert_int_equal(recv_raw(&h, sizeof(h), sealed, &e), -ERR_CORRUPT);
}

static void other_versions_and_strangers_are_named(void **state)
{
	struct wire_header h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION + 1, .op = OP_STATUS };
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(recv_raw(&h, sizeof(h), -1, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "version 2"));
	h.magic = 1;
	assert_int_equal(recv_raw(&h, sizeof(h), -1, &e), -ERR_CORRUPT);
	assert_int_equal(recv_raw("GET / HTTP", 10, -1, &e), -ERR_CORRUPT);
	h = (struct wire_header){ .magic = WIRE_MAGIC, .version = WIRE_VERSION, .len = WIRE_BODY_MAX + 1 };
	assert_int_equal(recv_raw(&h, sizeof(h), -1, &e), -ERR_LIMIT);
}

static void a_status_survives_both_ways(void **state)
{
	const struct monitor_status pod = {
		.id = "pod", .state = MONITOR_POD_READY, .monitor_pid = 12, .has_net = true
	};
	const struct monitor_container_status c = { .id = "c",
						    .state = MONITOR_EXITED,
						    .exit_code = 137,
						    .signal = 9,
						    .oom_killed = true,
						    .oom_kills = 3,
						    .message = "why",
						    .tail = "last" };
	cleanup_monitor_status struct monitor_status got = { 0 };
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT, one = WIRE_OUT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	wire_encode(&o, fields_pod, &pod);
	proto_add_container_status(&one, &c);
	wire_add(&o, TAG_CONTAINER, 0, one.b.data, one.b.len);
	wire_add(&o, TAG_CONTAINER, 0, one.b.data, one.b.len);
	assert_int_equal(proto_read_status(o.b.data, o.b.len, &got, &e), 0);
	assert_string_equal(got.id, "pod");
	assert_int_equal(got.state, MONITOR_POD_READY);
	assert_true(got.has_net);
	assert_false(got.has_user);
	assert_int_equal(got.count, 2);
	assert_ptr_equal(monitor_status_find(&got, "c"), &got.containers[0]);
	assert_null(monitor_status_find(&got, "d"));
	assert_int_equal(got.containers[1].exit_code, 137);
	assert_true(got.containers[1].oom_killed);
	assert_string_equal(got.containers[1].message, "why");
	assert_string_equal(got.containers[1].tail, "last");
}

static void a_broken_status_record_is_corrupt(void **state)
{
	char dir[] = "/tmp/hull-test-pod-XXXXXX";
	struct wire_header h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .op = OP_RECORD, .len = 5 };
	cleanup_monitor_status struct monitor_status got = { 0 };
	struct error e = ERROR_INIT;
	cleanup_close int dfd = -1, fd = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(monitor_read_status_file(dfd, &got, &e), -ERR_NOT_FOUND);
	fd = openat(dfd, "status", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(monitor_read_status_file(dfd, &got, &e), -ERR_CORRUPT);
	assert_int_equal(write(fd, "12345", 5), 5);
	assert_int_equal(monitor_read_status_file(dfd, &got, &e), -ERR_CORRUPT);
	assert_int_equal(unlinkat(dfd, "status", 0), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void ids_are_plain_names(void **state)
{
	char longest[MONITOR_ID_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[MONITOR_ID_MAX] = '\0';
	assert_true(proto_is_id(longest));
	longest[MONITOR_ID_MAX] = 'a';
	longest[MONITOR_ID_MAX + 1] = '\0';
	assert_false(proto_is_id(longest));
	assert_true(proto_is_id("0a.B_c-9"));
	assert_false(proto_is_id(".."));
	assert_false(proto_is_id("a/b"));
	assert_false(proto_is_id("a b"));
	assert_false(proto_is_id(""));
	assert_false(proto_is_id(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_comes_back_as_it_was_sent),
		cmocka_unit_test(negative_numbers_survive),
		cmocka_unit_test(unknown_tags_are_skipped_unless_critical),
		cmocka_unit_test(malformed_values_are_refused),
		cmocka_unit_test(a_tag_that_comes_twice_is_refused),
		cmocka_unit_test(every_cut_of_a_message_is_refused),
		cmocka_unit_test(large_bodies_go_through_a_sealed_memfd),
		cmocka_unit_test(an_unsealed_or_wrong_body_file_is_refused),
		cmocka_unit_test(other_versions_and_strangers_are_named),
		cmocka_unit_test(a_status_survives_both_ways),
		cmocka_unit_test(a_broken_status_record_is_corrupt),
		cmocka_unit_test(ids_are_plain_names),
	};

	return cmocka_run_group_tests_name("pod wire", tests, NULL, NULL);
}
