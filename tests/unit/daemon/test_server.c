/* SPDX-License-Identifier: Apache-2.0 */
/* Our server and our client over a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/listen.h"
#include "daemon/server.h"
#include "proto/grpc_client.h"

#define VERSION "/runtime.v1.RuntimeService/Version"
#define STOP "/runtime.v1.RuntimeService/StopContainer"
#define EVENTS "/runtime.v1.RuntimeService/GetContainerEvents"
#define STATUS "/runtime.v1.RuntimeService/Status"

static char dir[64], path[96];
static int stop_fd = -1;
static pthread_t thread;
static struct server *server;
static unsigned canceled;

static int version(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const Runtime__V1__VersionRequest *req = request;
	Runtime__V1__VersionResponse *resp = response;

	(void)n;
	if (str_eq(req->version, "fail"))
		return err_new(e, ERR_NOT_FOUND, "pod \"%s\": 100%% gone, \xc3\xa9t\xc3\xa9", req->version);
	resp->version = arena_fmt(call->arena, "%s!", req->version);
	return 0;
}

static int stop(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };
	int r;

	(void)n;
	(void)request;
	(void)response;
	poll(&p, 1, 10000);
	r = call_check(call, e);
	if (r == -ERR_CANCELED)
		__atomic_add_fetch(&canceled, 1, __ATOMIC_SEQ_CST);
	return r;
}

static int events(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	Runtime__V1__ContainerEventResponse *event = response;
	int r = 0;

	(void)n;
	(void)request;
	for (int i = 0; i < 100 && r == 0; i++) {
		event->created_at = i;
		r = call_send(call, event, e);
	}
	return r;
}

static const struct cri_method methods[] = {
	{ VERSION, &runtime__v1__version_request__descriptor, &runtime__v1__version_response__descriptor,
	  version, 0, 0 },
	{ STOP, &runtime__v1__stop_container_request__descriptor,
	  &runtime__v1__stop_container_response__descriptor, stop, true, 0 },
	{ EVENTS, &runtime__v1__get_events_request__descriptor,
	  &runtime__v1__container_event_response__descriptor, events, true, true },
	{ STATUS, &runtime__v1__status_request__descriptor, &runtime__v1__status_response__descriptor, NULL,
	  0, 0 },
};

static void on_stop(void *arg, int fd)
{
	uint64_t v;

	if (read(fd, &v, sizeof(v)) > 0)
		server_stop(arg);
}

static void *serve(void *arg)
{
	struct error e = ERROR_INIT;

	(void)arg;
	assert_int_equal(server_run(server, &e), 0);
	return NULL;
}

static int setup(void **state)
{
	struct server_opts opts = { methods, ARRAY_LEN(methods), NULL, server_limits_default };
	struct error e = ERROR_INIT;
	int fd;

	(void)state;
	log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	opts.limits.drain_ns = NS_PER_S / 2;
	opts.limits.workers.max[JOB_LONG] = 2;
	snprintf(dir, sizeof(dir), "/tmp/hull-test-server-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s.sock", dir);
	stop_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(server_new(&opts, &server, &e), 0);
	assert_int_equal(server_watch(server, stop_fd, on_stop, server, &e), 0);
	assert_int_equal(listen_unix(path, &fd, &e), 0);
	assert_int_equal(server_listen(server, fd, &e), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	uint64_t one = 1;

	(void)state;
	assert_int_equal(write(stop_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(thread, NULL);
	server_free(server);
	close(stop_fd);
	unlink(path);
	rmdir(dir);
	return 0;
}

static struct grpc_client *client(void)
{
	struct grpc_client *c;
	struct error e = ERROR_INIT;

	assert_int_equal(grpc_client_connect(path, &c, &e), 0);
	return c;
}

static int ask(struct grpc_client *c, struct arena *a, const char *text, char **ret_text, int *status,
	       struct error *e)
{
	Runtime__V1__VersionRequest *req =
		PB_NEW(a, Runtime__V1__VersionRequest, runtime__v1__version_request);
	void *resp;
	int r;

	req->version = arena_str(a, text);
	r = grpc_client_unary(c, VERSION, req, &runtime__v1__version_response__descriptor,
			      deadline_in_ms(5000), a, &resp, status, e);
	if (r == 0)
		*ret_text = ((Runtime__V1__VersionResponse *)resp)->version;
	return r;
}

static void a_call_is_answered(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct error e = ERROR_INIT;
	char *text = NULL;
	int status;

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(ask(c, &a, "v1", &text, &status, &e), 0);
		assert_string_equal(text, "v1!");
		assert_int_equal(status, GRPC_OK);
	}
}

static void an_error_arrives_word_for_word(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct error e = ERROR_INIT;
	char *text = NULL;
	int status;

	(void)state;
	assert_int_equal(ask(c, &a, "fail", &text, &status, &e), -ERR_NOT_FOUND);
	assert_int_equal(status, GRPC_NOT_FOUND);
	assert_string_equal(err_msg(&e), "pod \"fail\": 100% gone, \xc3\xa9t\xc3\xa9");
}

static void text_that_is_not_utf8_is_refused_by_name(void **state)
{
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct grpc_call call = { .path = VERSION, .request = "\x0a\x02\xc3\x28", .request_len = 4 };
	struct error e = ERROR_INIT;
	int status;

	(void)state;
	assert_int_equal(grpc_client_call(c, &call, &status, &e), -ERR_INVALID);
	assert_string_equal(err_msg(&e), "malformed request: field version: is not valid UTF-8");
}

static void methods_that_do_not_exist_yet_are_unimplemented(void **state)
{
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct grpc_call call = { .path = STATUS };
	struct error e = ERROR_INIT;
	int status;

	(void)state;
	assert_int_equal(grpc_client_call(c, &call, &status, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "Status is not implemented"));
	call.path = "/runtime.v1.RuntimeService/Nonsense";
	assert_int_equal(grpc_client_call(c, &call, &status, &e), -ERR_UNSUPPORTED);
	assert_int_equal(status, GRPC_UNIMPLEMENTED);
}

static void a_deadline_ends_the_call_on_both_sides(void **state)
{
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct grpc_call call = { .path = STOP, .deadline_ns = deadline_in_ms(100) };
	struct error e = ERROR_INIT;
	unsigned before = __atomic_load_n(&canceled, __ATOMIC_SEQ_CST);

	(void)state;
	assert_int_equal(grpc_client_call(c, &call, NULL, &e), -ERR_TIMEOUT);
	for (int i = 0; i < 200 && __atomic_load_n(&canceled, __ATOMIC_SEQ_CST) == before; i++)
		usleep(10000);
	assert_int_equal(__atomic_load_n(&canceled, __ATOMIC_SEQ_CST), before + 1);
}

static void a_call_given_up_is_canceled(void **state)
{
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	const struct itimerspec soon = { .it_value.tv_nsec = 100 * NS_PER_MS };
	struct grpc_call call = { .path = STOP, .cancel_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) };
	struct error e = ERROR_INIT;
	unsigned before = __atomic_load_n(&canceled, __ATOMIC_SEQ_CST);

	(void)state;
	timerfd_settime(call.cancel_fd, 0, &soon, NULL);
	assert_int_equal(grpc_client_call(c, &call, NULL, &e), -ERR_CANCELED);
	close(call.cancel_fd);
	for (int i = 0; i < 200 && __atomic_load_n(&canceled, __ATOMIC_SEQ_CST) == before; i++)
		usleep(10000);
	assert_int_equal(__atomic_load_n(&canceled, __ATOMIC_SEQ_CST), before + 1);
}

struct counted {
	unsigned n;
	unsigned stop_at;
};

static int count_message(void *arg, const void *data, size_t len, struct error *e)
{
	struct counted *c = arg;

	(void)data;
	(void)len;
	if (++c->n == c->stop_at)
		return err_new(e, ERR_STATE, "enough");
	return 0;
}

static void a_stream_arrives_whole(void **state)
{
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct counted counted = { 0 };
	struct grpc_call call = { .path = EVENTS, .on_message = count_message, .arg = &counted };
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(grpc_client_call(c, &call, NULL, &e), 0);
	assert_int_equal(counted.n, 100);
	/* One that the client ends leaves the connection usable. */
	counted = (struct counted){ .stop_at = 3 };
	assert_int_equal(grpc_client_call(c, &call, NULL, &e), -ERR_STATE);
	counted = (struct counted){ 0 };
	assert_int_equal(grpc_client_call(c, &call, NULL, &e), 0);
	assert_int_equal(counted.n, 100);
}

static void *call_stop(void *arg)
{
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct grpc_call call = { .path = STOP, .deadline_ns = deadline_in_ms(1000) };

	(void)arg;
	assert_int_equal(grpc_client_call(c, &call, NULL, NULL), -ERR_TIMEOUT);
	return NULL;
}

static void long_calls_do_not_starve_short_ones(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	CLEANUP(grpc_client_free) struct grpc_client *c = client();
	struct error e = ERROR_INIT;
	pthread_t threads[6];
	int64_t start;
	char *text = NULL;
	int status;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_stop, NULL), 0);
	usleep(200000);
	start = clock_mono_ns();
	assert_int_equal(ask(c, &a, "now", &text, &status, &e), 0);
	assert_true(clock_mono_ns() - start < NS_PER_S / 2);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}

static void a_live_socket_is_not_replaced(void **state)
{
	struct error e = ERROR_INIT;
	int fd;

	(void)state;
	assert_int_equal(listen_unix(path, &fd, &e), -ERR_EXISTS);
	assert_non_null(strstr(err_msg(&e), "another process answers"));
}

static void a_stale_socket_is_replaced_and_a_file_is_not(void **state)
{
	struct error e = ERROR_INIT;
	char other[128];
	int fd;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", dir);
	assert_int_equal(listen_unix(other, &fd, &e), 0);
	close(fd);
	assert_int_equal(listen_unix(other, &fd, &e), 0);
	close(fd);
	unlink(other);
	fclose(fopen(other, "w"));
	assert_int_equal(listen_unix(other, &fd, &e), -ERR_EXISTS);
	unlink(other);
}

static void one_holder_a_lock(void **state)
{
	struct error e = ERROR_INIT;
	char lock[128];
	int a, b;

	(void)state;
	snprintf(lock, sizeof(lock), "%s/lock", dir);
	assert_int_equal(listen_lock(dir, "lock", &a, &e), 0);
	assert_int_equal(listen_lock(dir, "lock", &b, &e), -ERR_STATE);
	assert_non_null(strstr(err_msg(&e), "in use by another hulld"));
	close(a);
	assert_int_equal(listen_lock(dir, "lock", &b, &e), 0);
	close(b);
	unlink(lock);
}

/* A holder that ends at once, and a child of it that has what it had for a moment longer. */
static void a_killed_holders_children_are_waited_for(void **state)
{
	struct error e = ERROR_INIT;
	char lock[128], other[128];
	int status, fd, sock;
	pid_t pid = fork();

	(void)state;
	snprintf(lock, sizeof(lock), "%s/lock", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	if (pid == 0) {
		if (listen_lock(dir, "lock", &fd, &e) < 0 || listen_unix(other, &sock, &e) < 0)
			_exit(1);
		if (fork() == 0) {
			usleep(100000);
			close(fd);
			usleep(100000);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(listen_lock(dir, "lock", &fd, &e), 0);
	assert_int_equal(listen_unix(other, &sock, &e), 0);
	close(sock);
	close(fd);
	unlink(lock);
	unlink(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_answered),
		cmocka_unit_test(an_error_arrives_word_for_word),
		cmocka_unit_test(text_that_is_not_utf8_is_refused_by_name),
		cmocka_unit_test(methods_that_do_not_exist_yet_are_unimplemented),
		cmocka_unit_test(a_deadline_ends_the_call_on_both_sides),
		cmocka_unit_test(a_call_given_up_is_canceled),
		cmocka_unit_test(a_stream_arrives_whole),
		cmocka_unit_test(long_calls_do_not_starve_short_ones),
		cmocka_unit_test(a_live_socket_is_not_replaced),
		cmocka_unit_test(a_stale_socket_is_replaced_and_a_file_is_not),
		cmocka_unit_test(one_holder_a_lock),
		cmocka_unit_test(a_killed_holders_children_are_waited_for),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
