/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between a container's pty and our stdin and stdout, step by step: the loop of foreground.c is made here by
 * pump(), which never waits, so that a step which would block hangs the test (alarm(2)) and one that does nothing when
 * something is ready ends it. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "hull/relay.h"

#define LIMIT_S 60
#define MANY 100000 /* more than all that lies between holds */

static int kept[2] = { -1, -1 };
static struct relay relay;
static int slave = -1, input = -1,
	   output = -1; /* the container's side, and the other ends of our stdin and stdout */
static char pattern[MANY], got[MANY + 1];

static void put(int from, int at)
{
	assert_return_code(dup2(from, at), errno);
	close(from);
}

static int close_all(void **state)
{
	int *const fds[] = { &relay.master, &slave, &input, &output };

	(void)state;
	relay_end(&relay);
	for (int i = 0; i < 2; i++) {
		dup2(kept[i], i);
		close(take_fd(kept[i]));
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (*fds[i] >= 0)
			close(take_fd(*fds[i]));
	return alarm(0) == 0;
}

static int begin(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	alarm(LIMIT_S);
	relay = (struct relay){ .master = -1, .peer_fd = -1, .out_fd = -1 };
	for (int i = 0; i < 2; i++)
		kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
	for (size_t i = 0; i < MANY; i++)
		pattern[i] = (char)('a' + i % 23);
	return kept[0] < 0 || kept[1] < 0;
}

static void set_nonblocking(int fd)
{
	assert_return_code(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), errno);
}

/* Returns its owner's side. */
static int own_terminal(int at)
{
	struct winsize size = { .ws_row = 33, .ws_col = 101 };
	int owner, own;

	assert_return_code(openpty(&owner, &own, NULL, NULL, &size), errno);
	put(own, at);
	return owner;
}

static void own_pipes(void)
{
	int in[2], out[2];

	assert_return_code(pipe2(in, O_CLOEXEC), errno);
	assert_return_code(pipe2(out, O_CLOEXEC), errno);
	put(in[0], STDIN_FILENO);
	put(out[1], STDOUT_FILENO);
	input = in[1];
	output = out[0];
	set_nonblocking(input);
	set_nonblocking(output);
}

/* The container's terminal is raw, as the runtime's job is not the line discipline's. */
static void container_terminal(void)
{
	struct termios mode;
	int master;

	assert_return_code(openpty(&master, &slave, NULL, NULL, NULL), errno);
	assert_return_code(tcgetattr(slave, &mode), errno);
	cfmakeraw(&mode);
	assert_return_code(tcsetattr(slave, TCSANOW, &mode), errno);
	set_nonblocking(slave);
	relay_begin(&relay, master);
}

/* Whatever can be done now. Returns false when there was nothing. */
static bool pump(void)
{
	struct pollfd p[RELAY_POLLS];

	relay_wants(&relay, p);
	if (poll(p, RELAY_POLLS, 0) <= 0)
		return false;
	relay_move(&relay, p);
	return true;
}

/* What is read in the end is waited for, as a pty's bytes go through a queue of the kernel. */
static void pump_until(int fd, size_t bytes)
{
	size_t have = 0;

	while (have < bytes) {
		ssize_t n = read(fd, got + have, bytes - have);

		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		have += n > 0 ? (size_t)n : 0;
		if (!pump() && n < 0)
			usleep(1000);
	}
	got[have] = '\0';
}

/* All that goes into fd while the relay works. Returns how much that was. */
static size_t stuff(int fd)
{
	size_t sent = 0;
	int idle = 0;

	while (sent < MANY && idle < 50) {
		ssize_t n = write(fd, pattern + sent, MANY - sent);

		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		idle = pump() || n > 0 ? 0 : idle + 1;
		if (idle > 0)
			usleep(1000);
	}
	return sent;
}

static void assert_sent(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* ---- both directions ------------------------------------------------------------------------------------------- */

static void test_bytes_go_both_ways(void **state)
{
	(void)state;
	own_pipes();
	container_terminal();
	assert_sent(input, "to the container");
	pump_until(slave, 16);
	assert_string_equal(got, "to the container");
	assert_sent(slave, "from it\r\n");
	pump_until(output, 9);
	assert_string_equal(got, "from it\r\n");
	assert_false(pump());
}

static void test_without_a_terminal_there_is_nothing_to_do(void **state)
{
	struct pollfd p[RELAY_POLLS];

	(void)state;
	own_pipes();
	relay_begin(&relay, -1);
	assert_sent(input, "the container reads this itself");
	assert_int_equal(relay_wants(&relay, p), -1);
	for (int i = 0; i < RELAY_POLLS; i++)
		assert_int_equal(p[i].fd, -1);
	relay_move(&relay, p);
	relay_resize(&relay);
	assert_false(relay_has_rest(&relay));
	assert_int_equal(read(STDIN_FILENO, got, 11), 11);
}

/* ---- who does not read ----------------------------------------------------------------------------------------- */

static void test_output_that_nobody_takes_holds_up_nothing_else(void **state)
{
	struct pollfd p[RELAY_POLLS];
	size_t sent;

	(void)state;
	own_pipes();
	assert_return_code(fcntl(output, F_SETPIPE_SZ, 4096), errno);
	container_terminal();
	sent = stuff(slave);
	/* The pipe and the relay's buffer are full: the container waits, and there is nothing to poll for but room. */
	assert_true(sent > 4096 && sent < MANY);
	relay_wants(&relay, p);
	assert_int_equal(p[0].fd, -1);
	assert_int_equal(p[2].events, POLLOUT);
	/* Meanwhile what is typed arrives. */
	assert_sent(input, "typed");
	pump_until(slave, 5);
	assert_string_equal(got, "typed");
	/* A page at a time, in order, and none is lost. */
	pump_until(output, sent);
	assert_memory_equal(got, pattern, sent);
	assert_false(pump());
}

static void test_a_container_that_does_not_read_holds_up_nothing_else(void **state)
{
	struct pollfd p[RELAY_POLLS];
	size_t sent;

	(void)state;
	own_pipes();
	assert_return_code(fcntl(input, F_SETPIPE_SZ, 4096), errno);
	container_terminal();
	sent = stuff(input);
	assert_true(sent > 4096 && sent < MANY);
	relay_wants(&relay, p);
	assert_int_equal(p[1].fd, -1);
	assert_int_equal(p[0].events, POLLIN | POLLOUT);
	assert_sent(slave, "said");
	pump_until(output, 4);
	assert_string_equal(got, "said");
	pump_until(slave, sent);
	assert_memory_equal(got, pattern, sent);
}

/* Its file description is shared, cannot be had anew and stays blocking: no more at a time than there is room for. */
static void test_a_socket_is_written_to_in_pieces(void **state)
{
	int pair[2];

	(void)state;
	own_pipes();
	close(output);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), errno);
	put(pair[1], STDOUT_FILENO);
	output = pair[0];
	set_nonblocking(output);
	container_terminal();
	assert_false(relay.is_out_own);
	assert_false(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK);
	memcpy(relay.out.data, pattern, sizeof(relay.out.data));
	relay.out.end = sizeof(relay.out.data);
	assert_true(pump());
	assert_int_equal(relay.out.start, 4096);
	pump_until(output, sizeof(relay.out.data));
	assert_memory_equal(got, pattern, sizeof(relay.out.data));
	assert_int_equal(stuff(slave) < MANY, 1); /* until it is full, and without waiting then */
}

/* A pipe is opened again, so that only our own use of it does not wait. */
static void test_a_pipe_of_others_stays_blocking(void **state)
{
	(void)state;
	own_pipes();
	container_terminal();
	assert_true(relay.is_out_own && relay.out_fd != STDOUT_FILENO);
	assert_true(fcntl(relay.out_fd, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK);
}

/* ---- ends ------------------------------------------------------------------------------------------------------ */

static void test_the_end_of_our_input_is_none_of_the_containers(void **state)
{
	struct pollfd p = { .events = POLLIN };

	(void)state;
	own_pipes();
	container_terminal();
	assert_sent(input, "last");
	close(take_fd(input));
	pump_until(slave, 4);
	while (pump())
		;
	assert_false(relay.input_open);
	p.fd = slave;
	assert_int_equal(poll(&p, 1, 50), 0); /* neither an end of file nor a hangup */
	assert_sent(slave, "goes on");
	pump_until(output, 7);
	assert_string_equal(got, "goes on");
}

static void test_when_nobody_reads_our_output_any_more_it_is_thrown_away(void **state)
{
	(void)state;
	own_pipes();
	container_terminal();
	close(take_fd(output));
	assert_int_equal(stuff(slave), MANY);
	assert_int_equal(relay.out_fd, -1);
	assert_sent(input, "still typed");
	pump_until(slave, 11);
	assert_string_equal(got, "still typed");
	relay_last(&relay);
	assert_false(relay_has_rest(&relay));
}

static void test_a_process_may_close_its_terminal_and_open_it_again(void **state)
{
	char name[64];

	(void)state;
	own_pipes();
	container_terminal();
	assert_int_equal(ttyname_r(slave, name, sizeof(name)), 0);
	close(take_fd(slave));
	assert_false(pump());
	assert_true(relay.output_open);
	slave = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_return_code(slave, errno);
	assert_sent(slave, "here again");
	pump_until(output, 10);
	assert_string_equal(got, "here again");
}

static void test_a_hangup_is_reported_once(void **state)
{
	(void)state;
	own_pipes();
	container_terminal();
	close(take_fd(slave));
	close(take_fd(relay.peer_fd));
	assert_true(pump());
	assert_false(relay.output_open);
	assert_false(pump()); /* or the loop would not rest */
}

/* Returns how many bytes were delivered after the end; `noise` is written to the container's terminal all the time. */
static size_t rest_of_it(size_t noise)
{
	size_t have = 0;
	ssize_t n;

	relay_last(&relay);
	while (relay_has_rest(&relay) && have < 10 * MANY) {
		if (noise > 0)
			assert_true(write(slave, pattern, noise) > 0 || errno == EAGAIN);
		pump();
		while ((n = read(output, got + have % MANY, MANY - have % MANY)) > 0)
			have += (size_t)n;
	}
	while ((n = read(output, got + have % MANY, MANY - have % MANY)) > 0)
		have += (size_t)n;
	return have;
}

static void test_what_was_written_before_the_end_is_delivered(void **state)
{
	(void)state;
	own_pipes();
	container_terminal();
	assert_int_equal(write(slave, pattern, 3000), 3000);
	close(take_fd(slave));
	assert_sent(input, "nobody reads this");
	assert_int_equal(rest_of_it(0), 3000);
	assert_memory_equal(got, pattern, 3000);
	assert_int_equal(read(STDIN_FILENO, got, 6), 6); /* it was left for whoever comes after us */
}

static void test_others_that_write_for_ever_do_not_hold_up_the_end(void **state)
{
	size_t delivered;

	(void)state;
	own_pipes();
	container_terminal();
	assert_int_equal(write(slave, pattern, 3000), 3000);
	delivered = rest_of_it(4096);
	assert_in_range(delivered, 3000, 4 * MANY);
}

/* ---- our own terminal ------------------------------------------------------------------------------------------ */

static void assert_size(int fd, unsigned rows, unsigned columns)
{
	struct winsize size = { 0 };

	assert_return_code(ioctl(fd, TIOCGWINSZ, &size), errno);
	assert_int_equal(size.ws_row, rows);
	assert_int_equal(size.ws_col, columns);
}

static bool is_raw(int fd)
{
	struct termios mode;

	assert_return_code(tcgetattr(fd, &mode), errno);
	return !(mode.c_lflag & (ICANON | ECHO | ISIG));
}

static void test_the_size_is_that_of_our_terminal(void **state)
{
	struct winsize size = { .ws_row = 7, .ws_col = 8 };

	(void)state;
	input = own_terminal(STDIN_FILENO);
	container_terminal();
	assert_size(slave, 33, 101);
	assert_return_code(ioctl(input, TIOCSWINSZ, &size), errno);
	assert_size(slave, 33, 101);
	relay_resize(&relay);
	assert_size(slave, 7, 8);
}

static void test_our_terminal_is_raw_and_given_back(void **state)
{
	struct termios before, now;

	(void)state;
	input = own_terminal(STDIN_FILENO);
	assert_return_code(tcgetattr(STDIN_FILENO, &before), errno);
	container_terminal();
	assert_true(is_raw(STDIN_FILENO) && relay.is_raw);
	assert_return_code(tcgetattr(STDIN_FILENO, &now), errno);
	assert_true(now.c_oflag & OPOST); /* carriage returns are its own to add */
	relay_suspend(&relay);
	assert_return_code(tcgetattr(STDIN_FILENO, &now), errno);
	assert_int_equal(now.c_lflag, before.c_lflag);
	relay_resume(&relay);
	assert_true(is_raw(STDIN_FILENO));
	relay_end(&relay);
	assert_return_code(tcgetattr(STDIN_FILENO, &now), errno);
	assert_int_equal(now.c_lflag, before.c_lflag);
	assert_int_equal(now.c_iflag, before.c_iflag);
	assert_int_equal(now.c_oflag, before.c_oflag);
	assert_int_equal(relay.peer_fd, -1);
}

static void test_keys_are_the_containers(void **state)
{
	(void)state;
	input = own_terminal(STDIN_FILENO);
	container_terminal();
	assert_sent(input, "\x03\x04\x1a");
	pump_until(slave, 3);
	assert_string_equal(got, "\x03\x04\x1a");
}

/* In a session of its own, with the job in its background at first. Returns by exit status what was wrong. */
static int in_the_background(void)
{
	struct pollfd p[RELAY_POLLS];
	int go[2], status, wanted = 0;
	pid_t job;

	if (setsid() < 0 || ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0 || pipe(go) < 0)
		return 10;
	signal(SIGTTOU, SIG_IGN);
	job = fork();
	if (job == 0) {
		setpgid(0, 0);
		container_terminal();
		if (relay.is_front || relay.is_raw || is_raw(STDIN_FILENO))
			_exit(1);
		if (relay_wants(&relay, p) < 0 || p[1].fd >= 0)
			_exit(2); /* it has to look from time to time, and not read what is typed for others */
		relay_move(&relay, p);
		if (relay.is_raw || write(go[1], "", 1) != 1)
			_exit(3);
		while (!relay.is_front) {
			wanted = relay_wants(&relay, p);
			poll(p, RELAY_POLLS, wanted < 0 || wanted > 10 ? 10 : wanted);
			relay_move(&relay, p);
		}
		relay_wants(&relay, p);
		_exit(is_raw(STDIN_FILENO) && p[1].fd == STDIN_FILENO ? 0 : 4);
	}
	if (read(go[0], &(char){ 0 }, 1) != 1 || tcsetpgrp(STDIN_FILENO, job) < 0)
		kill(job, SIGKILL);
	return waitpid(job, &status, 0) == job && WIFEXITED(status) ? WEXITSTATUS(status) : 11;
}

static void test_a_job_in_the_background_leaves_the_terminal_alone(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	input = own_terminal(STDIN_FILENO);
	pid = fork();
	if (pid == 0) {
		alarm(LIMIT_S);
		_exit(in_the_background());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define RELAY_TEST(name) cmocka_unit_test_setup_teardown(name, begin, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RELAY_TEST(test_bytes_go_both_ways),
		RELAY_TEST(test_without_a_terminal_there_is_nothing_to_do),
		RELAY_TEST(test_output_that_nobody_takes_holds_up_nothing_else),
		RELAY_TEST(test_a_container_that_does_not_read_holds_up_nothing_else),
		RELAY_TEST(test_a_socket_is_written_to_in_pieces),
		RELAY_TEST(test_a_pipe_of_others_stays_blocking),
		RELAY_TEST(test_the_end_of_our_input_is_none_of_the_containers),
		RELAY_TEST(test_when_nobody_reads_our_output_any_more_it_is_thrown_away),
		RELAY_TEST(test_a_process_may_close_its_terminal_and_open_it_again),
		RELAY_TEST(test_a_hangup_is_reported_once),
		RELAY_TEST(test_what_was_written_before_the_end_is_delivered),
		RELAY_TEST(test_others_that_write_for_ever_do_not_hold_up_the_end),
		RELAY_TEST(test_the_size_is_that_of_our_terminal),
		RELAY_TEST(test_our_terminal_is_raw_and_given_back),
		RELAY_TEST(test_keys_are_the_containers),
		RELAY_TEST(test_a_job_in_the_background_leaves_the_terminal_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
