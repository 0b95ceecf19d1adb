/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"

#define START_POD(...)               \
	struct pod *p = *state;      \
	struct error e = ERROR_INIT; \
	if (!pod_can_run())          \
		skip();              \
	pod_sandbox(p, __VA_ARGS__, NULL)

static void output_and_exit_code_are_kept(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	cleanup_close int log = pod_log(p, "log");
	pod_run(p, &(struct pod_run){ .id = "c",
				      .script = "echo one; echo two >&2; printf end; exit 7",
				      .log_fd = log });
	pod_wait_exited(p, "c", &s);
	assert_int_equal(s.state, MONITOR_EXITED);
	assert_int_equal(s.exit_code, 7);
	assert_int_equal(s.signal, 0);
	assert_int_equal(s.pid, 0);
	assert_true(s.created_at > 0 && s.started_at >= s.created_at && s.finished_at >= s.started_at);
	assert_non_null(strstr(pod_read(p, "log"), "Z stdout F one\n"));
	assert_non_null(strstr(pod_read(p, "log"), "Z stderr F two\n"));
	assert_non_null(strstr(pod_read(p, "log"), "Z stdout P end\n"));
	assert_non_null(strstr(s.tail, "end"));
	assert_int_equal(monitor_delete(&p->call, "c", &e), 0);
}

static void a_container_is_in_the_pods_namespaces(void **state)
{
	char out[4096];
	int code;

	START_POD(NULL);
	pod_run(p, &(struct pod_run){ .id = "a", .script = "echo x > /dev/shm/file; exec sleep 1000" });
	pod_run(p, &(struct pod_run){
			   .id = "b", .script = "exec sleep 1000", .pid_mode = MONITOR_PID_CONTAINER });
	POD_WAIT_UNTIL(pod_exec(p, "b", "cat /dev/shm/file", 0, out, &code, &e) == 0 && code == 0);
	assert_string_equal(out, "x\n");
	assert_int_equal(pod_exec(p, "a", "hostname; id -u; cat /proc/1/comm; cat /proc/self/uid_map", 0, out,
				  &code, &e),
			 0);
	assert_true(str_starts(out, "host-of-pod\n0\nhull-init\n"));
	assert_non_null(strstr(out, "3000000"));
	assert_int_equal(pod_exec(p, "b", "cat /proc/1/comm", 0, out, &code, &e), 0);
	assert_string_equal(out, "sleep\n");
}

static void nothing_of_the_host_is_seen_through_the_pods_init(void **state)
{
	char out[4096];
	int code;

	START_POD(NULL);
	pod_run(p, &(struct pod_run){ .id = "a", .script = "exec sleep 1000" });
	assert_int_equal(pod_exec(p, "a",
				  "ls /proc/1/root/ || echo root; cat /proc/1/exe > /dev/null || echo exe; "
				  "ls /proc/1/fd/ || echo fd; cat /proc/1/mem || echo mem",
				  0, out, &code, &e),
			 0);
	for (size_t i = 0; i < 4; i++)
		assert_non_null(strstr(out, ((const char *[]){ "root\n", "exe\n", "fd\n", "mem\n" })[i]));
}

static void a_stop_lets_it_end_by_itself(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	cleanup_close int log = pod_log(p, "log");
	pod_run(p, &(struct pod_run){
			   .id = "c",
			   .script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done",
			   .log_fd = log });
	POD_WAIT_UNTIL(strstr(pod_read(p, "log"), "up"));
	assert_int_equal(monitor_stop(&p->call, "c", SIGTERM, 10000, &s, &e), 0);
	assert_int_equal(s.exit_code, 3);
	assert_non_null(strstr(pod_read(p, "log"), "bye"));
	assert_int_equal(monitor_stop(&p->call, "c", SIGTERM, 10000, &s, &e), 0); /* again: the same answer */
	assert_int_equal(s.exit_code, 3);
}

static void one_that_does_not_listen_is_killed_in_time(void **state)
{
	struct monitor_container_status s;
	int64_t begin;

	START_POD(NULL);
	cleanup_close int log = pod_log(p, "log");
	pod_run(p, &(struct pod_run){ .id = "c",
				      .script = "trap '' TERM; echo up; while :; do sleep 1; done",
				      .log_fd = log });
	POD_WAIT_UNTIL(strstr(pod_read(p, "log"), "up"));
	begin = clock_mono_ns();
	assert_int_equal(monitor_stop(&p->call, "c", SIGTERM, 200, &s, &e), 0);
	assert_true(clock_mono_ns() - begin >= 190 * NS_PER_MS);
	assert_int_equal(s.exit_code, 128 + SIGKILL);
	assert_int_equal(s.signal, SIGKILL);
	assert_false(s.oom_killed);
}

struct stopper {
	struct pod *p;
	char id[16];
	int result, exit_code;
};

static void *stop_one(void *arg)
{
	struct stopper *s = arg;
	struct monitor_container_status st = { 0 };

	s->result = monitor_stop(&s->p->call, s->id, SIGTERM, 1000, &st, NULL);
	s->exit_code = st.exit_code;
	return NULL;
}

static void many_are_stopped_at_the_same_time(void **state)
{
	struct stopper s[24];
	pthread_t threads[24];
	int64_t begin;

	START_POD(NULL);
	for (int i = 0; i < 12; i++) {
		snprintf(s[i].id, sizeof(s[i].id), "c%d", i);
		/* PID 1 of its own namespace, without a handler: only SIGKILL ends it. */
		pod_run(p, &(struct pod_run){ .id = s[i].id,
					      .script = "exec sleep 1000",
					      .pid_mode = MONITOR_PID_CONTAINER });
	}
	begin = clock_mono_ns();
	for (int i = 0; i < 24; i++) { /* each twice */
		s[i].p = p;
		snprintf(s[i].id, sizeof(s[i].id), "c%d", i % 12);
		assert_int_equal(pthread_create(&threads[i], NULL, stop_one, &s[i]), 0);
	}
	for (int i = 0; i < 24; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(s[i].result, 0);
		assert_int_equal(s[i].exit_code, 137);
	}
	assert_true(clock_mono_ns() - begin < 8 * NS_PER_S); /* not one after the other: 12 s */
	assert_int_equal(monitor_delete(&p->call, "c0", &e), 0);
}

static void a_delete_leaves_no_cgroup_and_no_process(void **state)
{
	START_POD(NULL);
	pod_run(p, &(struct pod_run){ .id = "c", .script = "sleep 7654321 & setsid sleep 7654321 & wait" });
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654321 ") == 3); /* and the shell */
	assert_true(pod_has_cgroup(p, "c"));
	assert_int_equal(monitor_delete(&p->call, "c", &e), 0);
	assert_false(pod_has_cgroup(p, "c"));
	assert_int_equal(pod_count_processes("sleep 7654321 "), 0);
	assert_int_equal(monitor_delete(&p->call, "c", &e), -ERR_NOT_FOUND);
	pod_run(p, &(struct pod_run){ .id = "c", .script = "exit 0" }); /* the id is free again */
}

static void in_a_shared_pid_namespace_all_of_it_ends_with_its_first_process(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	pod_run(p, &(struct pod_run){ .id = "other", .script = "exec sleep 7654399" });
	pod_run(p, &(struct pod_run){ .id = "c", .script = "setsid sleep 7654322 & sleep 0.1; exit 4" });
	pod_wait_exited(p, "c", &s);
	assert_int_equal(s.exit_code, 4);
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654322 ") == 0);
	assert_int_equal(pod_count_processes("sleep 7654399 "), 1);
	(void)e;
}

static void a_program_that_is_not_there_is_named(void **state)
{
	struct monitor_container_status s;
	int r;

	START_POD(NULL);
	r = pod_try_create(p, &(struct pod_run){ .id = "c", .program = "no-such-program" }, &e);
	if (r == 0)
		r = monitor_start(&p->call, "c", &e);
	assert_int_equal(r, -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), "no-such-program"));
	(void)s;
}

static void a_broken_spec_leaves_nothing(void **state)
{
	cleanup_monitor_status struct monitor_status s = { 0 };

	START_POD(NULL);
	assert_int_equal(
		pod_try_create(p, &(struct pod_run){ .id = "c", .script = "\\\"", .resources = "7" }, &e),
		-ERR_INVALID);
	assert_int_equal(monitor_status(&p->call, &s, &e), 0);
	assert_int_equal(s.count, 0);
	assert_false(pod_has_cgroup(p, "c"));
	pod_run(p, &(struct pod_run){ .id = "c", .script = "exit 0" });
}

static void requests_in_the_wrong_state_are_refused(void **state)
{
	START_POD(&(struct pod_flavour){ .no_shared_pid = true });
	assert_int_equal(monitor_start(&p->call, "none", &e), -ERR_NOT_FOUND);
	assert_int_equal(monitor_kill(&p->call, "none", SIGTERM, &e), -ERR_NOT_FOUND);
	assert_int_equal(
		pod_try_create(
			p, &(struct pod_run){ .id = "c", .script = "true", .pid_mode = MONITOR_PID_POD }, &e),
		-ERR_STATE);
	assert_int_equal(pod_try_create(p, &(struct pod_run){ .id = "../c", .script = "true" }, &e),
			 -ERR_INVALID);
	pod_run(p, &(struct pod_run){ .id = "c", .script = "exit 0", .pid_mode = MONITOR_PID_CONTAINER });
	assert_int_equal(
		pod_try_create(
			p,
			&(struct pod_run){ .id = "c", .script = "true", .pid_mode = MONITOR_PID_CONTAINER },
			&e),
		-ERR_EXISTS);
	pod_wait_exited(p, "c", NULL);
	assert_int_equal(monitor_start(&p->call, "c", &e), -ERR_STATE);
	assert_int_equal(monitor_kill(&p->call, "c", SIGTERM, &e), -ERR_STATE);
	assert_int_equal(monitor_kill(&p->call, "c", 4711, &e), -ERR_INVALID);
}

static void the_pid_namespace_of_another_container_can_be_joined(void **state)
{
	const struct pod_run debug = { .id = "debug",
				       .script = "exec sleep 1000",
				       .pid_mode = MONITOR_PID_TARGET,
				       .pid_target = "main" };
	char out[4096];
	int code;

	START_POD(&(struct pod_flavour){ .no_shared_pid = true });
	assert_int_equal(pod_try_create(p, &debug, &e), -ERR_NOT_FOUND);
	pod_run(p, &(struct pod_run){
			   .id = "main", .script = "exec sleep 1001", .pid_mode = MONITOR_PID_CONTAINER });
	pod_run(p, &debug);
	assert_int_equal(pod_exec(p, "debug", "tr '\\\\0' ' ' < /proc/1/cmdline", 0, out, &code, &e), 0);
	assert_string_equal(out, "sleep 1001 ");
	/* Its namespace dies with main, and debug with it. */
	assert_int_equal(monitor_stop(&p->call, "main", SIGKILL, 0, NULL, &e), 0);
	pod_wait_exited(p, "debug", NULL);
}

static void in_the_nodes_pid_namespace_orphans_are_reaped(void **state)
{
	struct monitor_container_status s;
	char text[64];

	START_POD(&(struct pod_flavour){ .node_user = true, .no_shared_pid = true });
	pod_run(p, &(struct pod_run){ .id = "c",
				      .node_user = true,
				      .pid_mode = MONITOR_PID_NODE,
				      .script = "(sleep 0.05 &) ; sleep 0.3; exit 5" });
	pod_wait_exited(p, "c", &s);
	assert_int_equal(s.exit_code, 5);
	snprintf(text, sizeof(text), "/proc/%d/task/%d/children", p->proc.pid, p->proc.pid);
	POD_WAIT_UNTIL(pod_read(p, text)[0] == '\0'); /* no zombie is left */
	(void)e;
}

static void a_log_is_reopened_without_loss(void **state)
{
	char *line;
	int next = 1;

	START_POD(NULL);
	cleanup_close int a = pod_log(p, "log"), b = pod_log(p, "log2");
	pod_run(p, &(struct pod_run){ .id = "c",
				      .script = "i=1; while [ $i -le 3000 ]; do echo $i; i=$((i+1)); done",
				      .log_fd = a });
	usleep(3000);
	assert_int_equal(monitor_reopen_log(&p->call, "c", b, &e), 0);
	pod_wait_exited(p, "c", NULL);
	for (int i = 0; i < 2; i++) {
		static char both[2][65536 * 4];
		cleanup_close int fd = openat(p->dfd, i ? "log2" : "log", O_RDONLY | O_CLOEXEC);
		ssize_t n = fd_read_full(fd, both[i], sizeof(both[i]) - 1);

		assert_true(n >= 0);
		for (line = strtok(both[i], "\n"); line; line = strtok(NULL, "\n"), next++)
			assert_int_equal(atoi(line + 40), next);
	}
	assert_int_equal(next, 3001);
	assert_int_equal(monitor_reopen_log(&p->call, "c", b, &e), 0); /* of an ended one: fine */
}

static void a_log_that_could_block_is_refused(void **state)
{
	int pipe_fd[2];

	START_POD(NULL);
	assert_int_equal(pipe(pipe_fd), 0);
	assert_int_equal(
		pod_try_create(p, &(struct pod_run){ .id = "c", .script = "true", .log_fd = pipe_fd[1] }, &e),
		-ERR_INVALID);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

static void a_full_disk_does_not_stop_the_container(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	cleanup_close int full = open("/dev/full", O_WRONLY | O_CLOEXEC), log = pod_log(p, "log");
	pod_run(p,
		&(struct pod_run){ .id = "c",
				   .log_fd = full,
				   .script = "i=0; while [ $i -lt 2000 ]; do echo line; i=$((i+1)); done; "
					     "while ! [ -e /go ]; do sleep 0.01; done; echo last; exit 6" });
	POD_WAIT_UNTIL(pod_status_of(p, "c").log_lost == 2000);
	assert_int_equal(monitor_reopen_log(&p->call, "c", log, &e), 0);
	assert_int_equal(pod_exec(p, "c", "touch /go", 0, NULL, &(int){ 0 }, &e), 0);
	pod_wait_exited(p, "c", &s);
	assert_int_equal(s.exit_code, 6);
	assert_int_equal(s.log_lost, 2000);
	assert_non_null(strstr(pod_read(p, "log"), "stdout F last\n"));
}

static void a_terminal_is_one_stream(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	cleanup_close int log = pod_log(p, "log");
	pod_run(p, &(struct pod_run){ .id = "c",
				      .script = "test -t 0 && test -t 2 && echo tty >&2; exit 0",
				      .tty = true,
				      .log_fd = log });
	pod_wait_exited(p, "c", &s);
	assert_int_equal(s.exit_code, 0);
	assert_non_null(strstr(pod_read(p, "log"), "Z stdout F tty\r\n"));
	(void)e;
}

static void an_oom_kill_is_told_with_its_limit(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	pod_run(p, &(struct pod_run){ .id = "c",
				      .pid_mode = MONITOR_PID_CONTAINER,
				      .resources = "{\"memory\":{\"limit\":16777216,\"swap\":16777216}}",
				      .script = "x=$(head -c 100000000 /dev/zero | tr '\\\\0' x); echo no" });
	pod_wait_exited(p, "c", &s);
	if (s.exit_code == 0)
		skip();
	assert_int_equal(s.exit_code, 137);
	assert_true(s.oom_killed);
	assert_true(s.oom_kills >= 1);
	if (!strstr(s.message, "16777216"))
		fail_msg("%s", s.message);
	(void)e;
}

static void a_sigkill_from_outside_is_no_oom_kill(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	pod_run(p, &(struct pod_run){ .id = "c", .script = "exec sleep 1000" });
	assert_int_equal(monitor_kill(&p->call, "c", SIGKILL, &e), 0);
	pod_wait_exited(p, "c", &s);
	assert_int_equal(s.signal, SIGKILL);
	assert_false(s.oom_killed);
	assert_string_equal(s.message, "");
}

static void a_client_that_goes_away_takes_its_container_along(void **state)
{
	cleanup_monitor_status struct monitor_status s = { 0 };
	struct monitor_call canceled;
	int pipe_fd[2];

	START_POD(NULL);
	assert_int_equal(pipe(pipe_fd), 0);
	close(pipe_fd[1]); /* readable at once: given up right after it was sent */
	canceled = p->call;
	p->call.cancel_fd = pipe_fd[0];
	assert_int_equal(
		pod_try_create(p, &(struct pod_run){ .id = "c", .script = "exec sleep 7654323" }, &e),
		-ERR_CANCELED);
	p->call = canceled;
	POD_WAIT_UNTIL(pod_try_create(p, &(struct pod_run){ .id = "c", .script = "exit 0" }, &e) == 0);
	assert_int_equal(monitor_status(&p->call, &s, &e), 0);
	assert_int_equal(s.count, 1);
	assert_int_equal(pod_count_processes("sleep 7654323 "), 0);
	close(pipe_fd[0]);
}

static void one_that_was_never_started_can_be_stopped(void **state)
{
	struct monitor_container_status s;

	START_POD(NULL);
	pod_create(p, &(struct pod_run){ .id = "c", .script = "echo never" });
	assert_int_equal(pod_status_of(p, "c").state, MONITOR_CREATED);
	assert_int_equal(monitor_stop(&p->call, "c", SIGTERM, 5000, &s, &e), 0);
	assert_int_equal(s.state, MONITOR_EXITED);
	assert_int_equal(s.exit_code, 137);
	assert_int_equal(s.started_at, 0);
}

static void a_stop_of_the_sandbox_takes_all_containers(void **state)
{
	cleanup_monitor_status struct monitor_status s = { 0 };
	int status;

	START_POD(NULL);
	for (int i = 0; i < 5; i++) {
		char id[8];

		snprintf(id, sizeof(id), "c%d", i);
		pod_create(p,
			   &(struct pod_run){ .id = id,
					      .script = "exec sleep 7654324",
					      .pid_mode = i % 2 ? MONITOR_PID_POD : MONITOR_PID_CONTAINER });
		if (i != 4)
			pod_start(p, id);
	}
	assert_int_equal(monitor_stop_sandbox(&p->call, &e), 0);
	assert_int_equal(proc_wait(&p->proc, deadline_in_ms(2000), &status, &e), 0);
	assert_int_equal(pod_count_processes("sleep 7654324 "), 0);
	assert_false(pod_has_cgroup(p, "c0"));
	assert_false(pod_has_cgroup(p, "c4"));
	assert_int_equal(monitor_read_status_file(p->dfd, &s, &e), 0);
	assert_int_equal(s.state, MONITOR_POD_STOPPED);
	assert_int_equal(s.count, 0);
}

static void the_record_survives_a_kill_of_the_monitor(void **state)
{
	cleanup_monitor_status struct monitor_status s = { 0 };
	const struct monitor_container_status *c;

	START_POD(NULL);
	pod_run(p, &(struct pod_run){ .id = "ended", .script = "exit 9" });
	pod_run(p, &(struct pod_run){ .id = "runs", .script = "exec sleep 7654325" });
	pod_run(p, &(struct pod_run){ .id = "alone",
				      .script = "exec sleep 7654326",
				      .pid_mode = MONITOR_PID_CONTAINER });
	pod_wait_exited(p, "ended", NULL);
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654326 ") == 1);
	proc_kill(&p->proc);
	assert_int_equal(monitor_read_status_file(p->dfd, &s, &e), 0);
	assert_int_equal(s.state, MONITOR_POD_READY);
	c = monitor_status_find(&s, "ended");
	assert_non_null(c);
	assert_int_equal(c->exit_code, 9);
	c = monitor_status_find(&s, "runs");
	assert_non_null(c);
	assert_int_equal(c->state, MONITOR_RUNNING);
	/* In the shared pid namespace it dies with the init, which dies with the monitor; as does one alone.
	 */
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654325 ") == 0);
	POD_WAIT_UNTIL(pod_count_processes("sleep 7654326 ") == 0);
}

static void events_come_in_order(void **state)
{
	static const enum monitor_event_type expected[] = { MONITOR_EVENT_CREATED, MONITOR_EVENT_STARTED,
							    MONITOR_EVENT_EXITED, MONITOR_EVENT_DELETED };
	struct monitor_event ev = { 0 };
	cleanup_close int fd = -1;

	START_POD(NULL);
	assert_int_equal(monitor_subscribe(&p->call, &fd, &e), 0);
	pod_run(p, &(struct pod_run){ .id = "c", .script = "exit 2" });
	pod_wait_exited(p, "c", NULL);
	assert_int_equal(monitor_delete(&p->call, "c", &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_int_equal(monitor_read_event(fd, &ev, &e), 1);
		assert_int_equal(ev.type, expected[i]);
		assert_string_equal(ev.container.id, "c");
		assert_true(ev.time_ns > 0);
	}
	assert_int_equal(ev.container.exit_code, 2);
	assert_int_equal(monitor_read_event(fd, &ev, &e), 0);
	assert_int_equal(monitor_stop_sandbox(&p->call, &e), 0);
	assert_int_equal(monitor_read_event(fd, &ev, &e), 1);
	assert_int_equal(ev.pod_state, MONITOR_POD_STOPPED);
	POD_WAIT_UNTIL(monitor_read_event(fd, &ev, &e) == -ERR_UNAVAILABLE);
}

static void one_who_does_not_read_is_told_that_events_are_lost(void **state)
{
	cleanup_close int slow = -1;
	struct monitor_event ev = { 0 };
	unsigned count = 0;
	bool has_lost = false;
	int r;

	START_POD(NULL);
	assert_int_equal(monitor_subscribe(&p->call, &slow, &e), 0);
	for (int i = 0; i < 120; i++) {
		pod_create(p, &(struct pod_run){ .id = "c", .script = "true" });
		assert_int_equal(monitor_delete(&p->call, "c", &e), 0);
	}
	while ((r = monitor_read_event(slow, &ev, &e)) == 1) {
		has_lost = has_lost || ev.type == MONITOR_EVENT_LOST;
		count++;
	}
	if (!has_lost) { /* it comes when there is room again */
		POD_WAIT_UNTIL(monitor_read_event(slow, &ev, &e) == 1);
		has_lost = ev.type == MONITOR_EVENT_LOST;
	}
	assert_true(has_lost);
	assert_true(count < 360);
	/* And then events come again. */
	pod_create(p, &(struct pod_run){ .id = "d", .script = "true" });
	POD_WAIT_UNTIL(monitor_read_event(slow, &ev, &e) == 1);
	assert_string_equal(ev.container.id, "d");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pod_setup, pod_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(output_and_exit_code_are_kept),
		TEST(a_container_is_in_the_pods_namespaces),
		TEST(nothing_of_the_host_is_seen_through_the_pods_init),
		TEST(a_stop_lets_it_end_by_itself),
		TEST(one_that_does_not_listen_is_killed_in_time),
		TEST(many_are_stopped_at_the_same_time),
		TEST(a_delete_leaves_no_cgroup_and_no_process),
		TEST(in_a_shared_pid_namespace_all_of_it_ends_with_its_first_process),
		TEST(a_program_that_is_not_there_is_named),
		TEST(a_broken_spec_leaves_nothing),
		TEST(requests_in_the_wrong_state_are_refused),
		TEST(the_pid_namespace_of_another_container_can_be_joined),
		TEST(in_the_nodes_pid_namespace_orphans_are_reaped),
		TEST(a_log_is_reopened_without_loss),
		TEST(a_log_that_could_block_is_refused),
		TEST(a_full_disk_does_not_stop_the_container),
		TEST(a_terminal_is_one_stream),
		TEST(an_oom_kill_is_told_with_its_limit),
		TEST(a_sigkill_from_outside_is_no_oom_kill),
		TEST(a_client_that_goes_away_takes_its_container_along),
		TEST(one_that_was_never_started_can_be_stopped),
		TEST(a_stop_of_the_sandbox_takes_all_containers),
		TEST(the_record_survives_a_kill_of_the_monitor),
		TEST(events_come_in_order),
		TEST(one_who_does_not_read_is_told_that_events_are_lost),
	};

	return cmocka_run_group_tests_name("pod container", tests, pod_group_setup, NULL);
}
