/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/proc.h"

static void output_and_status_come_back(void **state)
{
	const char *argv[] = { "sh", "-c", "echo to-$0; ls /proc/self/fd | wc -l; exit 3", "x", NULL };
	const char *env[] = { "PATH=/usr/bin:/bin", NULL };
	cleanup_buf struct buf out = BUF_INIT;
	struct proc p = PROC_INIT;
	struct error e = ERROR_INIT;
	int pipe_fds[2], status;

	(void)state;
	assert_int_equal(fd_pipe(pipe_fds, &e), 0);
	assert_int_equal(proc_spawn(&(struct proc_opts){ .path = "/bin/sh",
							 .argv = argv,
							 .env = env,
							 .fds = { -1, pipe_fds[1], -1 },
							 .fd_count = 3 },
				    &p, &e),
			 0);
	close(pipe_fds[1]);
	assert_int_equal(fd_read_all(pipe_fds[0], 100, &out, &e), 0);
	close(pipe_fds[0]);
	assert_int_equal(proc_wait(&p, 0, &status, &e), 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	assert_string_equal(buf_str(&out), "to-x\n4\n"); /* 0, 1, 2 and that of ls on the directory */
}

static void a_program_can_be_an_fd(void **state)
{
	const char *argv[] = { "sh", "-c", "ls /proc/self/fd | wc -l", NULL };
	const char *env[] = { "PATH=/usr/bin:/bin", NULL };
	int exe = open("/bin/sh", O_PATH | O_CLOEXEC), pipe_fds[2], status;
	cleanup_buf struct buf out = BUF_INIT;
	struct proc p = PROC_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(fd_pipe(pipe_fds, &e), 0);
	assert_int_equal(proc_spawn(&(struct proc_opts){ .path = "/nonexistent/only-a-name",
							 .exe_fd = exe,
							 .argv = argv,
							 .env = env,
							 .fds = { -1, pipe_fds[1], -1 },
							 .fd_count = 3 },
				    &p, &e),
			 0);
	close(exe);
	close(pipe_fds[1]);
	assert_int_equal(fd_read_all(pipe_fds[0], 100, &out, &e), 0);
	close(pipe_fds[0]);
	assert_int_equal(proc_wait(&p, 0, &status, &e), 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_string_equal(buf_str(&out), "4\n"); /* the program's own fd is not among them */
}

static void mounts_of_its_own_go_with_it(void **state)
{
	const char *argv[] = { "sh", "-c", "mount -t tmpfs own /proc && ! test -e /proc/self", NULL };
	const char *env[] = { "PATH=/usr/bin:/bin:/usr/sbin:/sbin", NULL };
	struct proc p = PROC_INIT;
	struct error e = ERROR_INIT;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(proc_spawn(&(struct proc_opts){ .path = "/bin/sh",
							 .argv = argv,
							 .env = env,
							 .fds = { -1, -1, -1 },
							 .fd_count = 3,
							 .own_mounts = true },
				    &p, &e),
			 0);
	assert_int_equal(proc_wait(&p, 0, &status, &e), 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(access("/proc/self", F_OK), 0);
}

static void a_missing_program_is_not_found(void **state)
{
	const char *argv[] = { "x", NULL };
	struct proc p = PROC_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(proc_spawn(&(struct proc_opts){ .path = "/nonexistent/x",
							 .argv = argv,
							 .fds = { -1, -1, -1 },
							 .fd_count = 3 },
				    &p, &e),
			 -ERR_NOT_FOUND);
	assert_int_equal(e.sys, ENOENT);
	assert_int_equal(p.pid_fd, -1);
}

static void a_deadline_ends_the_wait_and_kill_reaps(void **state)
{
	const char *argv[] = { "sleep", "100", NULL };
	struct proc p = PROC_INIT;
	struct error e = ERROR_INIT;
	int status;

	(void)state;
	assert_int_equal(proc_spawn(&(struct proc_opts){ .path = "/bin/sleep",
							 .argv = argv,
							 .fds = { -1, -1, -1 },
							 .fd_count = 3 },
				    &p, &e),
			 0);
	assert_int_equal(proc_wait(&p, deadline_in_ms(20), &status, &e), -ERR_TIMEOUT);
	proc_kill(&p);
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void fds_pass_over_a_socket(void **state)
{
	int pair[2], pipe_fds[2], got[2];
	struct iovec iov = { .iov_base = (char[]){ "hi" }, .iov_len = 2 };
	size_t n = 2;
	char data[8], back[8];
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fd_pipe(pipe_fds, &e), 0);
	assert_int_equal(fd_send(pair[0], &iov, 1, pipe_fds, 2), 0);
	assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, &n), 2);
	assert_int_equal(n, 2);
	assert_int_equal(fd_write_full(got[1], "abc", 3), 0);
	assert_int_equal(fd_read_full(pipe_fds[0], back, 3), 3);
	assert_memory_equal(back, "abc", 3);
	for (int i = 0; i < 2; i++) {
		close(got[i]);
		close(pair[i]);
		close(pipe_fds[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status_come_back),
		cmocka_unit_test(a_program_can_be_an_fd),
		cmocka_unit_test(mounts_of_its_own_go_with_it),
		cmocka_unit_test(a_missing_program_is_not_found),
		cmocka_unit_test(a_deadline_ends_the_wait_and_kill_reaps),
		cmocka_unit_test(fds_pass_over_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
