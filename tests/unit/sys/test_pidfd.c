/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "sys/netlink.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

/* A user namespace too, so that no privilege is needed. */
#define FLAGS (CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static bool start(struct proc *child)
{
	struct error e = ERROR_INIT;
	int r = pidfd_clone(FLAGS, child, &e);

	if (r == 0)
		for (;;)
			pause();
	if (r == -ERR_DENIED || r == -ERR_UNSUPPORTED) {
		print_message("skipped: %s\n", err_msg(&e));
		return false;
	}
	assert_int_equal(r, 1);
	return true;
}

static void the_ioctl_and_the_fallback_open_the_same(void **state)
{
	static const int types[] = { CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC,	  CLONE_NEWUTS,
				     CLONE_NEWNS,   CLONE_NEWPID, CLONE_NEWCGROUP };
	struct proc child = PROC_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	if (!start(&child))
		skip();
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		cleanup_close int a = -1, b = -1, own = -1;
		bool same = false;

		assert_int_equal(pidfd_ns(child.pid_fd, types[i], &a, &e), 0);
		assert_int_equal(pidfd_ns_by_proc(child.pid_fd, types[i], &b, &e), 0);
		assert_int_equal(ns_is_same(a, b, &same, &e), 0);
		assert_true(same);
		assert_int_equal(ns_check_type(a, types[i], &e), 0);
		assert_int_equal(fcntl(a, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(fcntl(b, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(ns_open_own(types[i], &own, &e), 0);
		assert_int_equal(ns_is_same(a, own, &same, &e), 0);
		assert_int_equal(same, !(FLAGS & types[i]));
	}
	proc_kill(&child);
}

/* A kernel before 6.11, as far as pidfds go: their ioctls answer ENOTTY. */
static int forget_the_ioctls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xff00, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_LEN(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void an_old_kernel_gets_the_fallback(void **state)
{
	struct proc child = PROC_INIT;
	int status;
	pid_t pid;

	(void)state;
	if (!start(&child))
		skip();
	pid = fork();
	if (pid == 0) {
		struct error e = ERROR_INIT;
		bool same = false;
		int a = -1, b = -1;

		if (pidfd_ns(child.pid_fd, CLONE_NEWNET, &a, &e) < 0 || forget_the_ioctls() < 0)
			_exit(1);
		if (ioctl(child.pid_fd, 0xff04, 0) >= 0 || errno != ENOTTY)
			_exit(2);
		if (pidfd_ns(child.pid_fd, CLONE_NEWNET, &b, &e) < 0)
			_exit(3);
		_exit(ns_is_same(a, b, &same, &e) == 0 && same ? 0 : 4);
	}
	waitpid(pid, &status, 0);
	proc_kill(&child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void an_fd_of_another_process_is_copied(void **state)
{
	struct proc child = PROC_INIT;
	struct error e = ERROR_INIT;
	cleanup_close int copy = -1;
	int pipe_fds[2], none = -1;
	char c = 0;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	if (!start(&child))
		skip();
	assert_int_equal(pidfd_get_fd(child.pid_fd, pipe_fds[1], &copy, &e), 0);
	assert_true(fcntl(copy, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pidfd_get_fd(child.pid_fd, 1000, &none, &e), -ERR_NOT_FOUND);
	proc_kill(&child);
	assert_int_equal(none, -1);
	close(pipe_fds[1]);
	assert_int_equal(write(copy, "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	close(pipe_fds[0]);
}

static void a_process_that_is_gone_is_not_found(void **state)
{
	struct proc child = PROC_INIT;
	struct error e = ERROR_INIT;
	cleanup_close int pid_fd = -1, dfd = -1;
	int fd = -1;
	pid_t pid;

	(void)state;
	if (!start(&child))
		skip();
	pid_fd = dup(child.pid_fd);
	assert_int_equal(pidfd_pid(pid_fd, &pid, &e), 0);
	assert_int_equal(pid, child.pid);
	assert_int_equal(pidfd_proc_dir(pid_fd, &dfd, &e), 0);
	assert_true(pidfd_is_held(pid_fd));

	/* A zombie keeps its pid, and has no namespaces. */
	assert_int_equal(pidfd_send(pid_fd, SIGKILL), 0);
	assert_int_equal(waitid(P_PIDFD, (id_t)pid_fd, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	assert_true(pidfd_is_held(pid_fd));
	assert_int_equal(pidfd_ns(pid_fd, CLONE_NEWNET, &fd, &e), -ERR_NOT_FOUND);
	assert_int_equal(pidfd_ns_by_proc(pid_fd, CLONE_NEWNET, &fd, &e), -ERR_NOT_FOUND);

	proc_kill(&child);
	assert_false(pidfd_is_held(pid_fd));
	assert_int_equal(pidfd_pid(pid_fd, &pid, &e), -ERR_NOT_FOUND);
	assert_int_equal(pidfd_ns(pid_fd, CLONE_NEWNET, &fd, &e), -ERR_NOT_FOUND);
	assert_int_equal(pidfd_ns_by_proc(pid_fd, CLONE_NEWNET, &fd, &e), -ERR_NOT_FOUND);
	assert_int_equal(pidfd_proc_dir(pid_fd, &fd, &e), -ERR_NOT_FOUND);
	assert_int_equal(openat(dfd, "ns/net", O_RDONLY), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(fd, -1);
}

static void the_owner_of_a_namespace_is_told(void **state)
{
	struct proc child = PROC_INIT;
	struct error e = ERROR_INIT;
	cleanup_close int user = -1, net = -1, mnt = -1, owner = -1, own_owner = -1, own_user = -1;
	bool same = false;

	(void)state;
	if (!start(&child))
		skip();
	assert_int_equal(pidfd_ns(child.pid_fd, CLONE_NEWUSER, &user, &e), 0);
	assert_int_equal(pidfd_ns(child.pid_fd, CLONE_NEWNET, &net, &e), 0);
	assert_int_equal(ns_owner(net, &owner, &e), 0);
	assert_int_equal(ns_is_same(owner, user, &same, &e), 0);
	assert_true(same);
	assert_int_equal(fcntl(owner, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

	/* That of the child's mount namespace, which is ours: our user namespace, or one above it. */
	assert_int_equal(pidfd_ns(child.pid_fd, CLONE_NEWNS, &mnt, &e), 0);
	assert_int_equal(ns_open_own(CLONE_NEWUSER, &own_user, &e), 0);
	if (ns_owner(mnt, &own_owner, &e) == 0) {
		assert_int_equal(ns_is_same(own_owner, own_user, &same, &e), 0);
		assert_true(same);
	} else {
		assert_int_equal(e.kind, ERR_DENIED);
	}
	proc_kill(&child);
}

static void what_is_no_namespace_is_refused(void **state)
{
	cleanup_close int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC), own = -1;
	struct error e = ERROR_INIT;
	int type, fd = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(ns_type(file, &type, &e), -ERR_STATE);
	assert_int_equal(ns_owner(file, &fd, &e), -ERR_STATE);
	assert_int_equal(ns_identify(file, &(struct ns_id){ 0 }, &e), -ERR_STATE);
	assert_int_equal(ns_open_own(CLONE_NEWNET, &own, &e), 0);
	assert_int_equal(ns_check_type(own, CLONE_NEWUSER, &e), -ERR_STATE);
	assert_non_null(strstr(err_msg(&e), "of type net, not user"));
	assert_int_equal(pidfd_pid(file, &pid, &e), -ERR_INVALID);
	assert_int_equal(ns_type(-1, &type, &e), -ERR_SYS);
}

static void a_link_comes_up(void **state)
{
	struct error e = ERROR_INIT;
	bool up = true;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(netlink_link_is_up("no-such-link", &up, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), "\"no-such-link\""));
	assert_int_equal(netlink_link_up("", &e), -ERR_INVALID);
	assert_int_equal(netlink_link_up("sixteen-bytes-xx", &e), -ERR_INVALID);
	assert_int_equal(netlink_link_is_up("lo", &up, &e), 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			_exit(77);
		_exit(netlink_link_is_up("lo", &up, &e) == 0 && !up && netlink_link_up("lo", &e) == 0 &&
				      netlink_link_up("lo", &e) == 0 &&
				      netlink_link_is_up("lo", &up, &e) == 0 && up
			      ? 0
			      : 1);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: no user namespaces here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ioctl_and_the_fallback_open_the_same),
		cmocka_unit_test(an_old_kernel_gets_the_fallback),
		cmocka_unit_test(an_fd_of_another_process_is_copied),
		cmocka_unit_test(a_process_that_is_gone_is_not_found),
		cmocka_unit_test(the_owner_of_a_namespace_is_told),
		cmocka_unit_test(what_is_no_namespace_is_refused),
		cmocka_unit_test(a_link_comes_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
