/* SPDX-License-Identifier: Apache-2.0 */
/* Further processes in a container, terminals, and whose children all of them are. */
#include "runtime_kit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "sys/pidfd.h"

static void exec_in(const struct oci_init *init, const char *json, int want_status, struct buf *out)
{
	CLEANUP(oci_process_free) struct oci_process *p = NULL;
	CLEANUP(oci_init_done) struct oci_init made = OCI_INIT_INIT;
	struct oci_exec x = OCI_EXEC_INIT;
	struct error e = ERROR_INIT;
	int fds[2];

	if (oci_process_parse(json, strlen(json), &p, &e) < 0)
		fail_msg("%s", err_msg(&e));
	assert_int_equal(fd_pipe(fds, &e), 0);
	x.id = "box";
	x.pid = init->pid;
	x.pid_fd = init->pid_fd;
	x.spec = the_box.spec;
	x.process = p;
	x.stdio[1] = x.stdio[2] = fds[1];
	x.cgroup = init->cgroup;
	if (oci_exec(&x, &made, &e) < 0)
		fail_msg("%s", err_msg(&e));
	close(fds[1]);
	assert_int_equal(fd_read_all(fds[0], 65536, out, &e), 0);
	close(fds[0]);
	assert_int_equal(box_wait(made.pid_fd), want_status);
}

static void start_sleeper(const struct box_spec *s, struct oci_create *o, struct oci_init *init)
{
	struct error e = ERROR_INIT;

	box_spec(&the_box, s);
	o->id = "box";
	o->spec = the_box.spec;
	o->bundle_dfd = the_box.dfd;
	if (oci_create(o, init, &e) < 0 || oci_start(init->start_fd, NULL, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

static void test_exec_joins_a_pods_container(void **state)
{
	cleanup_podns struct podns pod = PODNS_INIT;
	CLEANUP(oci_init_done) struct oci_init init = OCI_INIT_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	cleanup_buf struct buf out = BUF_INIT;

	(void)state;
	NEED_BOX();
	make_pod(&pod, true);
	give_pod(&o, &pod);
	start_sleeper(&(struct box_spec){ .script = "touch /dev/shm/here; sleep 100",
					  .namespaces = ALL_NS USER_NS "]",
					  .linux_extra = MAPPINGS },
		      &o, &init);
	exec_in(&init,
		"{\"args\":[\"sh\",\"-c\",\"hostname; id -u; cat /proc/self/uid_map; readlink /proc/1/exe; "
		"pwd; "
		"ls /proc/self/fd | wc -l; exit "
		"9\"],\"cwd\":\"/tmp\",\"env\":[\"PATH=/bin\"],\"user\":{\"uid\":0,\"gid\":0}}",
		9, &out);
	assert_non_null(strstr(buf_str(&out), "the-pod\n0\n         0     700000      65536\n"));
	assert_non_null(strstr(buf_str(&out), "/tmp\n4\n"));
	pidfd_send(init.pid_fd, SIGKILL);
	assert_int_equal(box_wait(init.pid_fd), 137);
}

static void test_exec_in_a_dead_container_is_a_state_error(void **state)
{
	CLEANUP(oci_init_done) struct oci_init init = OCI_INIT_INIT, made = OCI_INIT_INIT;
	CLEANUP(oci_process_free) struct oci_process *p = NULL;
	struct oci_create o = OCI_CREATE_INIT;
	struct oci_exec x = OCI_EXEC_INIT;
	struct error e = ERROR_INIT;
	static const char json[] = "{\"args\":[\"true\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}}";

	(void)state;
	NEED_BOX();
	start_sleeper(&(struct box_spec){ .script = "true" }, &o, &init);
	box_wait(init.pid_fd);
	assert_int_equal(oci_process_parse(json, sizeof(json) - 1, &p, &e), 0);
	x.id = "box";
	x.pid_fd = init.pid_fd;
	x.spec = the_box.spec;
	x.process = p;
	assert_int_equal(oci_exec(&x, &made, &e), -ERR_STATE);
}

static void test_a_terminal_is_the_containers_own(void **state)
{
	CLEANUP(oci_init_done) struct oci_init init = OCI_INIT_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	cleanup_buf struct buf out = BUF_INIT;
	char data[512];
	ssize_t n;

	(void)state;
	NEED_BOX();
	start_sleeper(
		&(struct box_spec){
			.script = "tty; stty size; test -c /dev/console && echo console; stat -c %u $(tty)",
			.process_extra = ",\"terminal\":true,\"consoleSize\":{\"height\":33,\"width\":77}" },
		&o, &init);
	assert_true(init.console_fd >= 0);
	while ((n = read(init.console_fd, data, sizeof(data))) > 0)
		buf_add(&out, data, (size_t)n);
	assert_string_equal(buf_str(&out), "/dev/pts/0\r\n33 77\r\nconsole\r\n0\r\n");
	assert_int_equal(box_wait(init.pid_fd), 0);
}

/* The init of a caller with clone_parent is its parent's child, as is the helper that joined. */
static void test_clone_parent_makes_a_sibling(void **state)
{
	cleanup_podns struct podns pod = PODNS_INIT;
	struct error e = ERROR_INIT;
	int p[2], status, ended = 0;
	pid_t builder;

	(void)state;
	NEED_BOX();
	make_pod(&pod, true);
	assert_int_equal(fd_pipe(p, &e), 0);
	box_spec(&the_box, &(struct box_spec){ .script = "exit 21",
					       .namespaces = ALL_NS USER_NS "]",
					       .linux_extra = MAPPINGS });
	builder = fork();
	if (builder == 0) {
		struct oci_create o = OCI_CREATE_INIT;
		struct oci_init init = OCI_INIT_INIT;

		give_pod(&o, &pod);
		o.id = "box";
		o.spec = the_box.spec;
		o.bundle_dfd = the_box.dfd;
		o.clone_parent = true;
		if (oci_create(&o, &init, &e) < 0 || oci_start(init.start_fd, NULL, &e) < 0)
			_exit(1);
		(void)!write(p[1], &init.pid, sizeof(init.pid));
		_exit(0);
	}
	pid_t init_pid = 0, pid;

	close(p[1]);
	assert_int_equal(read(p[0], &init_pid, sizeof(init_pid)), sizeof(init_pid));
	close(p[0]);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), pid == init_pid ? 21 : 0);
		ended += pid == init_pid || pid == builder;
	}
	assert_int_equal(ended, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec_joins_a_pods_container),
		cmocka_unit_test(test_exec_in_a_dead_container_is_a_state_error),
		cmocka_unit_test(test_a_terminal_is_the_containers_own),
		cmocka_unit_test(test_clone_parent_makes_a_sibling),
	};

	return cmocka_run_group_tests(tests, runtime_set_up, runtime_tear_down);
}
