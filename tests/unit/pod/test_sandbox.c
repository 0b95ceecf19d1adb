/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "pod/monitor.h"
#include "pod/root.h"
#include "sys/ns.h"
#include "userns/netns.h"
#include "userns/userns.h"

#define SKIP_UNLESS_ROOT()          \
	do {                        \
		if (!pod_can_run()) \
			skip();     \
	} while (0)

static struct monitor_status status_of(struct pod *p)
{
	struct monitor_status s = { 0 };
	struct error e = ERROR_INIT;

	if (monitor_status(&p->call, &s, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return s;
}

static void a_pod_owns_its_namespaces(void **state)
{
	struct pod *p = *state;
	cleanup_close int net_fd = -1, user_fd = -1;
	struct idmap uids = IDMAP_INIT, gids = IDMAP_INIT;
	struct error e = ERROR_INIT;
	uint32_t host = 0;
	pid_t init = 0;

	SKIP_UNLESS_ROOT();
	pod_sandbox(p, NULL, &init);
	assert_true(init > 0);
	assert_int_equal(netns_open_with_owner(p->pin, NULL, &net_fd, &user_fd, &e), 0);
	assert_int_equal(userns_read_maps(user_fd, &uids, &gids, &e), 0);
	assert_int_equal(idmap_to_host(&uids, 0, &host, &e), 0);
	assert_int_equal(host, POD_HOST_ID);
}

/* CVE-2019-5736: see sys/exeseal.h. */
static void the_monitor_runs_from_a_readonly_mount(void **state)
{
	struct pod *p = *state;
	struct statvfs vfs;
	char path[64];
	pid_t init;

	SKIP_UNLESS_ROOT();
	pod_sandbox(p, NULL, &init); /* it has answered, so it runs what it is going to run */
	snprintf(path, sizeof(path), "/proc/%d/exe", p->proc.pid);
	assert_int_equal(statvfs(path, &vfs), 0);
	assert_true(vfs.f_flag & ST_RDONLY);
}

static void the_status_tells_what_was_made(void **state)
{
	struct pod *p = *state;
	cleanup_monitor_status struct monitor_status s = { 0 };
	cleanup_monitor_status struct monitor_status record = { 0 };
	struct error e = ERROR_INIT;
	pid_t init = 0;

	SKIP_UNLESS_ROOT();
	s = status_of(p);
	assert_int_equal(s.state, MONITOR_POD_EMPTY);
	pod_sandbox(p, NULL, &init);
	s = status_of(p);
	assert_int_equal(s.state, MONITOR_POD_READY);
	assert_string_equal(s.id, POD_ID);
	assert_string_equal(s.netns_path, p->pin);
	assert_int_equal(s.init_pid, init);
	assert_int_equal(s.monitor_pid, p->proc.pid);
	assert_true(s.has_user && s.has_net && s.has_ipc && s.has_uts && s.has_shm);
	assert_int_equal(monitor_read_status_file(p->dfd, &record, &e), 0);
	assert_int_equal(record.state, MONITOR_POD_READY);
	assert_int_equal(record.created_at, s.created_at);
}

static void a_failed_step_is_named_and_leaves_nothing(void **state)
{
	struct pod *p = *state;
	struct pod_flavour f = { 0 };
	struct error e = ERROR_INIT;
	char good[sizeof(p->pin)];
	bool closed = false;

	SKIP_UNLESS_ROOT();
	strcpy(good, p->pin);
	assert_int_equal(close(open(p->pin, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(pod_try_sandbox(p, &f, NULL, &e), -ERR_EXISTS);
	assert_non_null(strstr(err_msg(&e), "pin the pod's network namespace"));
	assert_int_equal(access(p->pin, F_OK), 0); /* not ours to remove */
	assert_int_equal(unlink(p->pin), 0);
	snprintf(p->pin, sizeof(p->pin), "%s/none/x", p->netns_dir);
	err_clear(&e);
	assert_int_equal(pod_try_sandbox(p, &f, NULL, &e), -ERR_NOT_FOUND);
	strcpy(p->pin, good);
	pod_sandbox(p, NULL, NULL);
	assert_int_equal(netns_is_closed(p->pin, &closed, &e), 0);
	assert_false(closed);
}

static void a_second_sandbox_or_another_pods_is_refused(void **state)
{
	struct pod *p = *state;
	const struct monitor_sandbox other = { .id = "other" };
	struct pod_flavour f = { 0 };
	struct error e = ERROR_INIT;

	SKIP_UNLESS_ROOT();
	assert_int_equal(monitor_create_sandbox(&p->call, &other, NULL, &e), -ERR_INVALID);
	pod_sandbox(p, NULL, NULL);
	assert_int_equal(pod_try_sandbox(p, &f, NULL, &e), -ERR_EXISTS);
}

static void a_sysctl_outside_of_the_pod_is_refused(void **state)
{
	struct pod *p = *state;
	const struct sysctl_item bad = { "net.ipv4.ip_forward", "1" };
	const struct monitor_sandbox s = { .id = POD_ID, .sysctls = &bad, .sysctl_count = 1 };
	struct error e = ERROR_INIT;

	SKIP_UNLESS_ROOT();
	assert_int_equal(monitor_create_sandbox(&p->call, &s, NULL, &e), -ERR_DENIED);
	assert_non_null(strstr(err_msg(&e), "net.ipv4.ip_forward"));
}

static void a_stop_undoes_all_and_ends_the_monitor(void **state)
{
	struct pod *p = *state;
	cleanup_monitor_status struct monitor_status s = { 0 };
	struct error e = ERROR_INIT;
	int status = -1;
	pid_t init;

	SKIP_UNLESS_ROOT();
	pod_sandbox(p, NULL, &init);
	assert_int_equal(monitor_stop_sandbox(&p->call, &e), 0);
	assert_int_equal(proc_wait(&p->proc, deadline_in_ms(2000), &status, &e), 0);
	assert_int_equal(status, 0);
	assert_int_equal(access(p->pin, F_OK), -1);
	assert_int_equal(kill(init, 0), -1);
	assert_int_equal(monitor_read_status_file(p->dfd, &s, &e), 0);
	assert_int_equal(s.state, MONITOR_POD_STOPPED);
	assert_true(s.finished_at >= s.created_at);
	assert_false(monitor_is_alive(p->dfd));
	assert_int_equal(monitor_stop_sandbox(&p->call, &e), -ERR_UNAVAILABLE);
}

static void a_pod_without_namespaces_is_made_too(void **state)
{
	struct pod *p = *state;
	const struct monitor_sandbox s = { .id = POD_ID };
	struct error e = ERROR_INIT;
	pid_t init = 77;

	SKIP_UNLESS_ROOT();
	assert_int_equal(monitor_create_sandbox(&p->call, &s, &init, &e), 0);
	assert_int_equal(init, 0);
}

static void when_the_init_dies_the_pod_is_not_ready(void **state)
{
	struct pod *p = *state;
	cleanup_monitor_status struct monitor_status s = { 0 };
	struct monitor_event ev = { 0 };
	struct error e = ERROR_INIT;
	cleanup_close int events = -1;
	pid_t init;

	SKIP_UNLESS_ROOT();
	pod_sandbox(p, NULL, &init);
	assert_int_equal(monitor_subscribe(&p->call, &events, &e), 0);
	assert_int_equal(kill(init, SIGTERM), 0);
	POD_WAIT_UNTIL(monitor_read_event(events, &ev, &e) == 1);
	assert_int_equal(ev.type, MONITOR_EVENT_POD);
	assert_int_equal(ev.pod_state, MONITOR_POD_NOTREADY);
	s = status_of(p);
	assert_int_equal(s.init_pid, 0);
}

static void sigterm_is_an_orderly_end(void **state)
{
	struct pod *p = *state;
	cleanup_monitor_status struct monitor_status s = { 0 };
	struct error e = ERROR_INIT;
	int status = -1;

	SKIP_UNLESS_ROOT();
	pod_sandbox(p, NULL, NULL);
	assert_int_equal(pidfd_send(p->proc.pid_fd, SIGHUP), 0); /* ignored */
	assert_int_equal(pidfd_send(p->proc.pid_fd, SIGTERM), 0);
	assert_int_equal(proc_wait(&p->proc, deadline_in_ms(5000), &status, &e), 0);
	assert_int_equal(status, 0);
	assert_int_equal(access(p->pin, F_OK), -1);
	assert_int_equal(monitor_read_status_file(p->dfd, &s, &e), 0);
	assert_int_equal(s.state, MONITOR_POD_STOPPED);
}

static void when_the_monitor_is_killed_the_init_dies(void **state)
{
	struct pod *p = *state;
	struct error e = ERROR_INIT;
	cleanup_close int pid_fd = -1;
	pid_t init;

	SKIP_UNLESS_ROOT();
	pod_sandbox(p, NULL, &init);
	assert_int_equal(monitor_pidfd(p->dfd, &pid_fd, &e), 0);
	assert_int_equal(pidfd_send(pid_fd, SIGKILL), 0);
	proc_kill(&p->proc);
	POD_WAIT_UNTIL(kill(init, 0) < 0 || access("/proc/1", F_OK) < 0);
	assert_int_equal(netns_remove(p->pin, &e), 0);
}

/* Send raw bytes to the monitor; it closes, or answers. */
static void poke(struct pod *p, const void *data, size_t n)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/monitor.sock", p->dfd);
	assert_int_equal(connect(sock, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(send(sock, data, n, MSG_NOSIGNAL) == (ssize_t)n);
}

static void nonsense_does_not_stop_it(void **state)
{
	struct pod *p = *state;
	struct wire_header h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .op = 999 };
	cleanup_monitor_status struct monitor_status s = { 0 };
	char noise[20000];

	SKIP_UNLESS_ROOT();
	memset(noise, 0xa5, sizeof(noise));
	for (size_t n = 1; n < sizeof(noise); n *= 3)
		poke(p, noise, n);
	poke(p, &h, sizeof(h));
	for (h.op = 1; h.op < OP_COUNT; h.op++)
		if (h.op != OP_STOP_SANDBOX && h.op != OP_CREATE_SANDBOX)
			poke(p, &h, sizeof(h));
	s = status_of(p);
	assert_int_equal(s.state, MONITOR_POD_EMPTY);
}

static void other_users_are_refused(void **state)
{
	struct pod *p = *state;
	pid_t child;
	int status = 0;

	SKIP_UNLESS_ROOT();
	assert_int_equal(fchmodat(p->dfd, "monitor.sock", 0777, 0), 0);
	child = fork();
	if (child == 0) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };
		int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		char byte;

		snprintf(address.sun_path, sizeof(address.sun_path), "%s/monitor.sock", p->dir);
		if (setresuid(65534, 65534, 65534) < 0 ||
		    connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(1);
		_exit(recv(sock, &byte, 1, 0) <= 0 ? 0 : 2); /* closed without a word */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void shm_of_older_kernels_is_one_file_system_for_all(void **state)
{
	static const char *const options[] = { "mode", "1777", "size", "65536", NULL };
	struct sandbox s = SANDBOX_INIT;
	struct error e = ERROR_INIT;
	int tree = -1, a = -1, b = -1;
	cleanup_close int file = -1;

	(void)state;
	SKIP_UNLESS_ROOT();
	assert_int_equal(root_tmpfs(options, 0, &tree, &e), 0);
	assert_int_equal(shm_hold(tree, &s.shm_mnt_fd, &e), 0);
	close(tree);
	assert_int_equal(shm_open_tree(&s, &a, &e), 0);
	assert_int_equal(shm_open_tree(&s, &b, &e), 0);
	file = openat(a, "shared", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	assert_int_equal(faccessat(b, "shared", F_OK, 0), 0);
	assert_int_equal(access("/shared", F_OK), -1); /* and we are where we were */
	close(a);
	close(b);
	close(s.shm_mnt_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pod_owns_its_namespaces, pod_setup, pod_teardown),
		cmocka_unit_test_setup_teardown(the_monitor_runs_from_a_readonly_mount, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(the_status_tells_what_was_made, pod_setup, pod_teardown),
		cmocka_unit_test_setup_teardown(a_failed_step_is_named_and_leaves_nothing, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(a_second_sandbox_or_another_pods_is_refused, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(a_sysctl_outside_of_the_pod_is_refused, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(a_stop_undoes_all_and_ends_the_monitor, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(a_pod_without_namespaces_is_made_too, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(when_the_init_dies_the_pod_is_not_ready, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(sigterm_is_an_orderly_end, pod_setup, pod_teardown),
		cmocka_unit_test_setup_teardown(when_the_monitor_is_killed_the_init_dies, pod_setup,
						pod_teardown),
		cmocka_unit_test_setup_teardown(nonsense_does_not_stop_it, pod_setup, pod_teardown),
		cmocka_unit_test_setup_teardown(other_users_are_refused, pod_setup, pod_teardown),
		cmocka_unit_test_setup_teardown(shm_of_older_kernels_is_one_file_system_for_all, pod_setup,
						pod_teardown),
	};

	return cmocka_run_group_tests_name("pod sandbox", tests, pod_group_setup, NULL);
}
