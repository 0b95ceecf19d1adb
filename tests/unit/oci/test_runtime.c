/* SPDX-License-Identifier: Apache-2.0 */
/* Containers without a user namespace: create, start, what is inside. */
#include "runtime_kit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_output_and_exit_status_come_back(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(&(struct box_spec){ .script = "echo out; echo err >&2; exit 42" }, NULL, &r);
	assert_int_equal(r.status, 42);
	assert_has(r, "out\n");
	assert_has(r, "err\n");
	run_box(&(struct box_spec){ .script = "kill -9 $$", .namespaces = "[{\"type\":\"mount\"}]" }, NULL,
		&r);
	assert_int_equal(r.status, 137);
	box_run_done(&r);
}

static void test_the_process_sees_only_its_own_world(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(
		&(struct box_spec){
			.script = "echo pid $$; hostname; ls -d /proc/[0-9]*; ls /sys/class/net; pwd; id",
			.top_extra = ",\"hostname\":\"inside\"",
			.cwd = "/tmp" },
		NULL, &r);
	assert_ran(r);
	assert_has(r, "pid 1\ninside\n");
	assert_has(r, "/proc/1\n");
	assert_has(r, "lo\n/tmp\n");
	box_run_done(&r);
}

static void test_default_devices_are_there_and_work(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(&(struct box_spec){ .script = "for i in null zero full random urandom tty; do stat -c '%n %F "
					      "%t:%T %a' /dev/$i; done;"
					      "head -c4 /dev/zero | wc -c; echo x > /dev/null && readlink "
					      "/dev/ptmx; readlink /dev/stdin;"
					      "head -c8 /dev/urandom | wc -c" },
		NULL, &r);
	assert_ran(r);
	assert_has(r, "/dev/null character special file 1:3 666");
	assert_has(r, "/dev/full character special file 1:7 666");
	assert_has(r, "/dev/tty character special file 5:0 666");
	assert_has(r, "4\npts/ptmx\n/proc/self/fd/0\n8\n");
	box_run_done(&r);
}

static void test_own_devices_have_owner_and_mode(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(
		&(struct box_spec){
			.script = "stat -c '%t:%T %u:%g %a' /dev/net/tun /dev/null2 /srv/z",
			.linux_extra = ",\"devices\":[{\"path\":\"/dev/net/"
				       "tun\",\"type\":\"c\",\"major\":10,\"minor\":200,"
				       "\"fileMode\":432,\"uid\":5,\"gid\":6},"
				       "{\"path\":\"/dev/null2\",\"type\":\"c\",\"major\":1,\"minor\":3},"
				       "{\"path\":\"/srv/z\",\"type\":\"c\",\"major\":1,\"minor\":5}]" },
		NULL, &r);
	assert_ran(r);
	assert_has(r, "a:c8 5:6 660\n1:3 0:0 666\n1:5 0:0 666\n");
	box_run_done(&r);
}

static void test_no_fd_but_stdio_gets_in(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	int stray = open("/", O_RDONLY | O_DIRECTORY); /* not close-on-exec: CVE-2024-21626 */

	(void)state;
	NEED_BOX();
	/* fd 3 is of ls itself. */
	run_box(&(struct box_spec){ .args = "[\"ls\",\"/proc/self/fd\"]" }, NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "0\n1\n2\n3\n");
	box_run_done(&r);
	close(stray);
}

/* In a child of the test: fd 3 is somebody else's here. */
static int run_with_fd_3(void)
{
	struct box_run r = BOX_RUN_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	int p[2];

	the_box.dfd = fcntl(the_box.dfd, F_DUPFD_CLOEXEC, 50);
	if (the_box.dfd < 0 || pipe2(p, O_CLOEXEC) < 0 || write(p[1], "hello\n", 6) != 6)
		return 1;
	close(p[1]);
	if (p[0] != 3 && dup2(p[0], 3) < 0)
		return 2;
	o.preserve_fds = 1;
	run_box(&(struct box_spec){ .script = "cat <&3" }, &o, &r);
	return r.status == 0 && str_eq(buf_str(&r.out), "hello\n") ? 0 : 3;
}

static void test_preserved_fds_get_in(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	NEED_BOX();
	pid = fork();
	if (pid == 0)
		_exit(run_with_fd_3());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_binds_have_their_flags(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	cleanup_free char *mounts = NULL;

	(void)state;
	NEED_BOX();
	box_sh("mkdir -p %s/vol/sub && echo content > %s/vol/file", the_box.dir, the_box.dir);
	mounts = str_fmt(",{\"destination\":\"/vol\",\"source\":\"%s/"
			 "vol\",\"options\":[\"rbind\",\"ro\",\"nosuid\",\"noexec\"]}"
			 ",{\"destination\":\"/new/dir/file\",\"type\":\"bind\",\"source\":\"vol/"
			 "file\",\"options\":[\"bind\",\"nodev\"]}",
			 the_box.dir);
	run_box(&(struct box_spec){ .script =
					    "grep -E ' /vol | /new' /proc/self/mountinfo; cat /new/dir/file; "
					    "echo x > /vol/y; "
					    "echo more >> /new/dir/file; cat /vol/file",
				    .extra_mounts = mounts },
		NULL, &r);
	assert_ran(r);
	assert_has(r, "/vol ro,nosuid,noexec");
	assert_has(r, "/new/dir/file rw,nodev");
	assert_has(r, "Read-only file system");
	assert_has(r, "content\nmore\n");
	box_run_done(&r);
}

static void test_a_missing_bind_source_is_named_and_not_made(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(&(struct box_spec){ .extra_mounts =
					    ",{\"destination\":\"/vol\",\"type\":\"bind\",\"source\":\"/"
					    "nonexistent/x\",\"options\":[\"bind\"]}" },
		NULL, &r);
	assert_int_equal(r.status, -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&r.e), "mount on \"/vol\""));
	assert_non_null(strstr(err_msg(&r.e), "/nonexistent/x"));
	assert_int_equal(access("/nonexistent", F_OK), -1);
	box_run_done(&r);
}

static void test_masked_and_readonly_paths(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("mkdir -p %s/rootfs/secrets && echo s > %s/rootfs/secrets/a && echo s > %s/rootfs/etc/secret",
	       the_box.dir, the_box.dir, the_box.dir);
	run_box(&(struct box_spec){ .script =
					    "ls /secrets | wc -l; cat /etc/secret /proc/timer_list | wc -c; "
					    "echo 1 > /proc/sys/kernel/shmmni; "
					    "touch /secrets/x; touch /tmp/ok && echo ok",
				    .linux_extra =
					    ",\"maskedPaths\":[\"/secrets\",\"/etc/secret\",\"/proc/"
					    "timer_list\",\"/no/such/path\","
					    "\"/proc/acpi\",\"/etc/secret/below\"],\"readonlyPaths\":[\"/"
					    "proc/sys\",\"/no/such\"]" },
		NULL, &r);
	assert_ran(r);
	assert_has(r, "0\n0\n");
	assert_has(r, "can't create /proc/sys/kernel/shmmni: Read-only file system");
	assert_has(r, "/secrets/x: Read-only file system");
	assert_has(r, "ok\n");
	box_run_done(&r);
}

static void test_a_readonly_root_still_gets_its_mount_points(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(&(struct box_spec){ .script = "touch /x; touch /scratch/y && echo made",
				    .extra_mounts = ",{\"destination\":\"/"
						    "scratch\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
						    "\"options\":[\"size=1m\"]}",
				    .readonly = true },
		NULL, &r);
	assert_ran(r);
	assert_has(r, "/x: Read-only file system");
	assert_has(r, "made\n");
	box_run_done(&r);
}

static void test_tmpcopyup_begins_with_what_the_image_has(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("cd %s/rootfs && mkdir -p srv/sub && echo deep > srv/sub/file && chmod 4750 srv/sub/file && "
	       "chown 3:4 srv/sub && "
	       "ln -s sub/file srv/link && mkfifo srv/fifo",
	       the_box.dir);
	run_box(
		&(struct box_spec){
			.script = "cat /srv/link; stat -c '%a %u:%g' /srv/sub /srv/sub/file; ls /srv; echo x "
				  "> /srv/sub/new",
			.extra_mounts = ",{\"destination\":\"/"
					"srv\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":["
					"\"tmpcopyup\",\"size=1m\"]}",
			.process_extra =
				",\"capabilities\":{\"bounding\":[\"CAP_DAC_OVERRIDE\"],\"effective\":[\"CAP_"
				"DAC_OVERRIDE\"],\"permitted\":[\"CAP_DAC_OVERRIDE\"]}" },
		NULL, &r);
	assert_ran(r);
	assert_has(r, "deep\n755 3:4\n4750 0:0\nlink\nsub\n");
	box_sh("test ! -e %s/rootfs/srv/sub/new && rm -rf %s/rootfs/srv", the_box.dir, the_box.dir);
	box_run_done(&r);
}

static void test_a_missing_cwd_is_made_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(&(struct box_spec){ .script = "pwd", .cwd = "/made/for/me" }, NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "/made/for/me\n");
	box_run_done(&r);
}

static void test_a_missing_program_is_not_found(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(&(struct box_spec){ .args = "[\"no-such-program\"]" }, NULL, &r);
	assert_int_equal(r.status, -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&r.e), "executable file not found in $PATH"));
	run_box(&(struct box_spec){ .args = "[\"/etc\"]" }, NULL, &r);
	assert_int_equal(r.status, -ERR_DENIED);
	box_run_done(&r);
}

static void test_sysctls_are_written_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(
		&(struct box_spec){
			.script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni",
			.linux_extra = ",\"sysctl\":{\"net.ipv4.ip_unprivileged_port_start\":\"77\",\"kernel."
				       "shmmni\":\"99\"}" },
		NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "77\n99\n");
	run_box(&(struct box_spec){ .linux_extra = ",\"sysctl\":{\"net.ipv4.no_such_thing\":\"1\"}" }, NULL,
		&r);
	assert_true(r.status < 0);
	assert_non_null(strstr(err_msg(&r.e), "sysctl \"net.ipv4.no_such_thing\""));
	box_run_done(&r);
}

static void test_cgroups_show_the_container_as_their_root(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	struct oci_create o = OCI_CREATE_INIT;

	(void)state;
	NEED_BOX();
	if (!the_box.cgroups)
		skip();
	o.cgroups = the_box.cgroups;
	o.cgroup_path = "/hull-test-ocirun/box";
	run_box(&(struct box_spec){ .script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids/pids.max "
					      "/sys/fs/cgroup/pids.max 2>/dev/null; "
					      "ls -d /sys/fs/cgroup/*; touch /sys/fs/cgroup/x",
				    .linux_extra = ",\"resources\":{\"pids\":{\"limit\":77}}",
				    .extra_mounts = ",{\"destination\":\"/sys/fs/"
						    "cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\","
						    "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}" },
		&o, &r);
	assert_has_not(r, "hull-test-ocirun");
	assert_has(r, "77\n");
	assert_has(r, "Read-only file system");
	assert_int_equal(access("/sys/fs/cgroup/pids/hull-test-ocirun", F_OK), -1);
	box_run_done(&r);
}

static void test_a_closed_gate_ends_the_init(void **state)
{
	struct oci_create o = OCI_CREATE_INIT;
	struct oci_init init = OCI_INIT_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	NEED_BOX();
	box_spec(&the_box, &(struct box_spec){ .script = "true" });
	o.id = "box";
	o.spec = the_box.spec;
	o.bundle_dfd = the_box.dfd;
	assert_int_equal(oci_create(&o, &init, &e), 0);
	close(init.start_fd);
	init.start_fd = -1;
	assert_int_equal(box_wait(init.pid_fd), 127);
	oci_init_done(&init);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_exit_status_come_back),
		cmocka_unit_test(test_the_process_sees_only_its_own_world),
		cmocka_unit_test(test_default_devices_are_there_and_work),
		cmocka_unit_test(test_own_devices_have_owner_and_mode),
		cmocka_unit_test(test_no_fd_but_stdio_gets_in),
		cmocka_unit_test(test_preserved_fds_get_in),
		cmocka_unit_test(test_binds_have_their_flags),
		cmocka_unit_test(test_a_missing_bind_source_is_named_and_not_made),
		cmocka_unit_test(test_masked_and_readonly_paths),
		cmocka_unit_test(test_a_readonly_root_still_gets_its_mount_points),
		cmocka_unit_test(test_tmpcopyup_begins_with_what_the_image_has),
		cmocka_unit_test(test_a_missing_cwd_is_made_inside),
		cmocka_unit_test(test_a_missing_program_is_not_found),
		cmocka_unit_test(test_sysctls_are_written_inside),
		cmocka_unit_test(test_cgroups_show_the_container_as_their_root),
		cmocka_unit_test(test_a_closed_gate_ends_the_init),
	};

	return cmocka_run_group_tests(tests, runtime_set_up, runtime_tear_down);
}
