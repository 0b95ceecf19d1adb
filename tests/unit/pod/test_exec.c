/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/ioctl.h>

#include "base/fd.h"

/* Long for a slow, emulated machine and nothing beside what is waited for if it goes wrong. */
#define AT_ONCE_NS (20 * NS_PER_S)

#define START_POD()                                                                                      \
	struct pod *p = *state;                                                                          \
	struct error e = ERROR_INIT;                                                                     \
	char out[4096];                                                                                  \
	int code = -1;                                                                                   \
	if (!pod_can_run())                                                                              \
		skip();                                                                                  \
	pod_sandbox(p, NULL, NULL);                                                                      \
	pod_run(p, &(struct pod_run){                                                                    \
			   .id = "c", .script = "exec sleep 1000", .pid_mode = MONITOR_PID_CONTAINER }); \
	(void)e;                                                                                         \
	(void)out;                                                                                       \
	(void)code

static void its_output_and_exit_code_come_back(void **state)
{
	START_POD();
	assert_int_equal(pod_exec(p, "c", "echo out; echo err >&2; exit 9", 0, out, &code, &e), 0);
	assert_int_equal(code, 9);
	assert_string_equal(out, "out\nerr\n");
	assert_int_equal(pod_exec(p, "c", "kill -KILL $$", 0, out, &code, &e), 0);
	assert_int_equal(code, 137);
}

static void it_runs_in_the_containers_namespaces(void **state)
{
	START_POD();
	assert_int_equal(pod_exec(p, "c",
				  "hostname; id -u; while [ $(cat /proc/1/comm) = sh ]; do sleep 0.02; done; "
				  "cat /proc/1/comm",
				  0, out, &code, &e),
			 0);
	assert_string_equal(out, "host-of-pod\n0\nsleep\n");
}

static void a_program_that_is_not_there_is_an_error(void **state)
{
	START_POD();
	cleanup_close int process = memfd_create("process", 0);
	dprintf(process, "{\"args\":[\"no-such-program\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}}");
	const struct monitor_exec x = { .id = "c", .process_fd = process, .stdio = { -1, -1, -1 } };
	assert_int_equal(monitor_exec(&p->call, &x, &code, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), "no-such-program"));
}

static void nonsense_is_an_error(void **state)
{
	START_POD();
	cleanup_close int process = memfd_create("process", 0);
	dprintf(process, "{\"args\":");
	struct monitor_exec x = { .id = "c", .process_fd = process, .stdio = { -1, -1, -1 } };
	assert_int_equal(monitor_exec(&p->call, &x, &code, &e), -ERR_INVALID);
	x.process_fd = -1;
	assert_int_equal(monitor_exec(&p->call, &x, &code, &e), -ERR_INVALID);
	assert_int_equal(pod_exec(p, "none", "true", 0, NULL, &code, &e), -ERR_NOT_FOUND);
}

static void a_timeout_kills_all_of_it(void **state)
{
	int64_t begin;

	START_POD();
	begin = clock_mono_ns();
	assert_int_equal(pod_exec(p, "c", "setsid sleep 7654331 & (sleep 7654331 &); sleep 7654331", 200,
				  NULL, &code, &e),
			 -ERR_TIMEOUT);
	assert_true(clock_mono_ns() - begin < AT_ONCE_NS);
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654331 ") == 0);
	assert_int_equal(pod_exec(p, "c", "true", 20000, NULL, &code, &e), 0); /* the container goes on */
	assert_int_equal(code, 0);
}

static void a_client_that_goes_away_kills_it(void **state)
{
	int pipe_fd[2];

	START_POD();
	assert_int_equal(pipe(pipe_fd), 0);
	close(pipe_fd[1]);
	p->call.cancel_fd = pipe_fd[0];
	assert_int_equal(pod_exec(p, "c", "sleep 7654332 & sleep 7654332", 0, NULL, &code, &e),
			 -ERR_CANCELED);
	p->call.cancel_fd = -1;
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654332 ") == 0);
	close(pipe_fd[0]);
}

static void what_it_leaves_behind_does_not_hold_the_answer(void **state)
{
	int64_t begin;

	START_POD();
	begin = clock_mono_ns();
	assert_int_equal(pod_exec(p, "c", "sleep 7654333 & exit 5", 0, out, &code, &e), 0);
	assert_int_equal(code, 5);
	assert_true(clock_mono_ns() - begin < AT_ONCE_NS);
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654333 ") == 1); /* it may be in its execve */
	assert_int_equal(monitor_delete(&p->call, "c", &e), 0);
	assert_int_equal(pod_count_processes("sleep 7654333 "), 0);
}

static void a_container_that_ends_ends_its_execs(void **state)
{
	START_POD();
	cleanup_close int process = pod_process("touch /up; sleep 1000", false);
	const struct monitor_exec x = { .id = "c", .process_fd = process, .stdio = { -1, -1, -1 } };
	pid_t child = fork();

	if (child == 0) {
		while (pod_exec(p, "c", "test -e /up", 0, NULL, &code, NULL) == 0 && code != 0)
			usleep(2000);
		_exit(monitor_kill(&p->call, "c", SIGKILL, NULL) < 0);
	}
	assert_int_equal(monitor_exec(&p->call, &x, &code, &e), 0);
	assert_int_equal(code, 137);
	pod_wait_exited(p, "c", NULL);
	assert_int_equal(pod_exec(p, "c", "true", 0, NULL, &code, &e), -ERR_STATE);
}

struct terminal {
	int fd;
	pid_t pid;
};

static void take_console(void *arg, pid_t pid, int console_fd)
{
	struct terminal *t = arg;
	const struct winsize size = { .ws_row = 33, .ws_col = 44 };

	t->fd = console_fd;
	t->pid = pid;
	assert_int_equal(ioctl(console_fd, TIOCSWINSZ, &size), 0);
	assert_int_equal(write(console_fd, "go\n", 3), 3);
}

static void a_terminal_comes_to_the_client(void **state)
{
	struct terminal t = { .fd = -1 };
	ssize_t n;

	START_POD();
	cleanup_close int process = pod_process("read word; stty size; echo got $word; exit 3", true);
	const struct monitor_exec x = { .id = "c",
					.process_fd = process,
					.stdio = { -1, -1, -1 },
					.tty = true,
					.started = take_console,
					.arg = &t };
	assert_int_equal(monitor_exec(&p->call, &x, &code, &e), 0);
	assert_int_equal(code, 3);
	assert_true(t.pid > 0 && t.fd >= 0);
	n = fd_read_full(t.fd, out, sizeof(out) - 1);
	if (n < 0) /* EIO at the end; what came before stands in out */
		n = (ssize_t)strnlen(out, sizeof(out) - 1);
	out[n] = '\0';
	assert_non_null(strstr(out, "33 44"));
	assert_non_null(strstr(out, "got go"));
	close(t.fd);
}

struct runner {
	struct pod *p;
	int number, failures;
};

static void *run_many(void *arg)
{
	struct runner *r = arg;

	for (int i = 0; i < 20; i++) {
		char script[64], out[4096], expected[32];
		int code = -1, want = (r->number * 20 + i) % 100;

		snprintf(script, sizeof(script), "echo %d; exit %d", i, want);
		snprintf(expected, sizeof(expected), "%d\n", i);
		if (pod_exec(r->p, "c", script, 5000, out, &code, NULL) < 0 || code != want ||
		    !str_eq(out, expected))
			r->failures++;
	}
	return NULL;
}

static void many_at_once_do_not_mix(void **state)
{
	struct runner r[8];
	pthread_t threads[8];

	START_POD();
	for (int i = 0; i < 8; i++) {
		r[i] = (struct runner){ .p = p, .number = i };
		assert_int_equal(pthread_create(&threads[i], NULL, run_many, &r[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(r[i].failures, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pod_setup, pod_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_output_and_exit_code_come_back),
		TEST(it_runs_in_the_containers_namespaces),
		TEST(a_program_that_is_not_there_is_an_error),
		TEST(nonsense_is_an_error),
		TEST(a_timeout_kills_all_of_it),
		TEST(a_client_that_goes_away_kills_it),
		TEST(what_it_leaves_behind_does_not_hold_the_answer),
		TEST(a_container_that_ends_ends_its_execs),
		TEST(a_terminal_comes_to_the_client),
		TEST(many_at_once_do_not_mix),
	};

	return cmocka_run_group_tests_name("pod exec", tests, pod_group_setup, NULL);
}
