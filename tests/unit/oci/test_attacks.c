/* SPDX-License-Identifier: Apache-2.0 */
/* Each known class of container escape that this code could have, tried. The image is the attacker's: what stands
 * at the places where the runtime works is chosen to lead it astray. DIR/outside is the host's part that must stay
 * as it is. */
#include "box.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct box box;

static int set_up(void **state)
{
	(void)state;
	if (!box_is_possible())
		return 0;
	box_make(&box);
	box_sh("mkdir %s/outside && echo untouched > %s/outside/file", box.dir, box.dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (box_is_possible())
		box_remove(&box);
	return 0;
}

/* What the image is made of is put back, and the host's part is looked at. */
static void check_outside(void)
{
	box_sh("test \"$(find %s/outside | wc -l)\" = 2 && test \"$(cat %s/outside/file)\" = untouched",
	       box.dir, box.dir);
	box_sh("! grep -q %s /proc/self/mountinfo", box.dir);
}

static void restore_image(void)
{
	box_sh("cd %s/rootfs && rm -rf dev proc sys etc tmp vol link srv && mkdir -p dev proc sys etc tmp",
	       box.dir);
}

static void run(const struct box_spec *s, struct box_run *r)
{
	box_spec(&box, s);
	box_run(&box, NULL, r);
}

#define TMPFS_ON(dest) \
	",{\"destination\":\"" dest "\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":[\"size=1m\"]}"

/* ---- links at destinations (CVE-2021-30465, CVE-2019-19921) ------------------------------------------------- */

static void test_links_at_destinations_stay_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("ln -s %s/outside %s/rootfs/link && ln -s ../../../../../../../../../%s/outside %s/rootfs/srv",
	       box.dir, box.dir, box.dir, box.dir);
	run(&(struct box_spec){ .script = "echo in > /link/new/x; echo in > /srv/y; ls /link /srv",
				.extra_mounts = TMPFS_ON("/link/new") TMPFS_ON("/srv") },
	    &r);
	assert_ran(r);
	check_outside();
	/* They were made inside the image, where the links lead there. */
	box_sh("test -d %s/rootfs%s/outside/new", box.dir, box.dir);
	box_sh("rm -rf %s/rootfs/tmp/*", box.dir);
	restore_image();
	box_run_done(&r);
}

static void test_a_dangling_link_is_completed_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("ln -s /../../../../run/resolve/stub.conf %s/rootfs/etc/resolv.conf", box.dir);
	run(&(struct box_spec){ .script = "cat /etc/resolv.conf; ls /run/resolve",
				.extra_mounts = ",{\"destination\":\"/etc/"
						"resolv.conf\",\"type\":\"bind\",\"source\":\"outside/file\","
						"\"options\":[\"bind\",\"ro\"]}" },
	    &r);
	assert_ran(r);
	assert_has(r, "untouched\nstub.conf\n");
	check_outside();
	box_sh("rm -rf %s/rootfs/run", box.dir);
	restore_image();
	box_run_done(&r);
}

static void test_a_loop_of_links_is_an_error(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("ln -s b %s/rootfs/a && ln -s a %s/rootfs/b", box.dir, box.dir);
	run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/a") }, &r);
	assert_true(r.status < 0);
	assert_non_null(strstr(err_msg(&r.e), "mount on \"/a\""));
	box_sh("rm %s/rootfs/a %s/rootfs/b", box.dir, box.dir);
	box_run_done(&r);
}

static void test_dev_as_a_link_stays_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("rmdir %s/rootfs/dev && ln -s ../../../../../%s/outside %s/rootfs/dev", box.dir, box.dir,
	       box.dir);
	run(&(struct box_spec){ .script = "stat -c %t:%T /dev/null; ls /dev/pts",
				.process_extra = ",\"terminal\":false" },
	    &r);
	assert_ran(r);
	assert_has(r, "1:3\n");
	check_outside();
	box_sh("rm -rf %s/rootfs/dev %s/rootfs/tmp/*", box.dir, box.dir);
	restore_image();
	box_run_done(&r);
}

static void test_proc_and_sys_as_links_are_refused(void **state)
{
	static const char *const names[] = { "proc", "sys" };
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		box_sh("rmdir %s/rootfs/%s && ln -s /tmp %s/rootfs/%s", box.dir, names[i], box.dir, names[i]);
		run(&(struct box_spec){ 0 }, &r);
		assert_int_equal(r.status, -ERR_DENIED);
		assert_non_null(strstr(err_msg(&r.e), "ordinary directory"));
		restore_image();
	}
	box_run_done(&r);
}

static void test_fifos_and_files_in_place_of_directories(void **state)
{
	static const char *const names[] = { "proc", "dev", "sys" };
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	alarm(20); /* a FIFO that is opened would wait for ever */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		box_sh("rmdir %s/rootfs/%s && mkfifo %s/rootfs/%s", box.dir, names[i], box.dir, names[i]);
		run(&(struct box_spec){ 0 }, &r);
		assert_true(r.status < 0);
		assert_non_null(strstr(err_msg(&r.e), names[i]));
		restore_image();
	}
	box_sh("mkfifo %s/rootfs/etc/passwd %s/rootfs/etc/group %s/rootfs/etc/hosts", box.dir, box.dir,
	       box.dir);
	run(
		&(struct box_spec){
			.script = "cat /etc/hosts; echo home $HOME",
			.extra_mounts =
				",{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":\"outside/"
				"file\",\"options\":[\"bind\"]}" },
		&r);
	assert_ran(r);
	assert_has(r, "untouched\nhome /\n");
	alarm(0);
	restore_image();
	box_run_done(&r);
}

static void test_a_destination_that_is_the_root_is_refused(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("ln -s / %s/rootfs/vol", box.dir);
	run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/vol") }, &r);
	assert_int_equal(r.status, -ERR_INVALID);
	assert_non_null(strstr(err_msg(&r.e), "the root itself"));
	run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/tmp/..") }, &r);
	assert_int_equal(r.status, -ERR_INVALID);
	restore_image();
	box_run_done(&r);
}

/* ---- /proc (CVE-2019-16884, CVE-2023-27561, CVE-2025-52881) ------------------------------------------------- */

static void test_mounts_inside_of_proc_are_refused(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/proc/self/attr") }, &r);
	assert_int_equal(r.status, -ERR_INVALID);
	run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/tmp/../proc/sys") }, &r);
	assert_int_equal(r.status, -ERR_INVALID);
	run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/proc") }, &r);
	assert_int_equal(r.status, -ERR_INVALID);
	/* By a link of the image. */
	box_sh("ln -s /proc/self %s/rootfs/link", box.dir);
	run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/link/attr") }, &r);
	assert_true(r.status < 0);
	assert_non_null(strstr(err_msg(&r.e), "into /proc"));
	restore_image();
	box_run_done(&r);
}

static void test_a_false_proc_cannot_be_bound(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	static const char mounts[] =
		"[{\"destination\":\"/proc\",\"type\":\"bind\",\"source\":\"%s\",\"options\":[\"rbind\"]}]";
	cleanup_free char *outside =
		str_fmt("[{\"destination\":\"/proc\",\"type\":\"bind\",\"source\":\"%s/outside\","
			"\"options\":[\"rbind\"]}]",
			box.dir);

	(void)state;
	(void)mounts;
	NEED_BOX();
	run(&(struct box_spec){ .mounts = outside }, &r);
	assert_int_equal(r.status, -ERR_INVALID);
	assert_non_null(strstr(err_msg(&r.e), "no proc file system"));
	run(&(struct box_spec){ .script = "ls -d /proc/self",
				.mounts = "[{\"destination\":\"/proc\",\"type\":\"bind\",\"source\":\"/"
					  "proc\",\"options\":[\"rbind\"]}]" },
	    &r);
	assert_ran(r);
	box_sh("rm -rf %s/rootfs/dev/*", box.dir);
	box_run_done(&r);
}

static void test_files_like_lxcfs_may_cover_proc(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(
		&(struct box_spec){
			.script = "cat /proc/uptime",
			.extra_mounts =
				",{\"destination\":\"/proc/uptime\",\"type\":\"bind\",\"source\":\"outside/"
				"file\",\"options\":[\"bind\",\"ro\"]}" },
		&r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "untouched\n");
	box_run_done(&r);
}

static void test_sysctl_names_lead_nowhere_else(void **state)
{
	static const char *const names[] = {
		"net/../../1/oom_score_adj", "net.ipv4.../../../../etc/x", "kernel.core_pattern",
		"kernel/core_pattern",	     "../1/oom_score_adj",	   "vm.overcommit_memory",
		"fs.mqueue/../../x",	     "net.ipv4.ip_forward+x",
	};
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cleanup_free char *linux_extra = str_fmt(",\"sysctl\":{\"%s\":\"1\"}", names[i]);

		run(&(struct box_spec){ .linux_extra = linux_extra }, &r);
		if (r.status >= 0)
			fail_msg("%s was taken", names[i]);
	}
	/* Without a network namespace of its own it would be the host's. */
	run(&(struct box_spec){ .namespaces = "[{\"type\":\"mount\"}]",
				.linux_extra = ",\"sysctl\":{\"net.ipv4.ip_forward\":\"0\"}" },
	    &r);
	assert_int_equal(r.status, -ERR_DENIED);
	box_run_done(&r);
}

/* ---- masks (CVE-2025-31133) ---------------------------------------------------------------------------------- */

static void test_masks_do_not_trust_the_images_null(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	/* No /dev of ours: the image's own, whose null leads to what shall not be shown. */
	box_sh("mkdir -p %s/image-dev && ln -s /proc/sys/kernel/core_pattern %s/image-dev/null", box.dir,
	       box.dir);
	run(
		&(struct box_spec){
			.script = "stat -c %t:%T /etc/secret; cat /etc/secret | wc -c; echo evil > "
				  "/etc/secret; grep -c core_pattern /proc/self/mountinfo",
			.mounts = "[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
				  "{\"destination\":\"/"
				  "dev\",\"type\":\"bind\",\"source\":\"image-dev\",\"options\":[\"bind\"]},"
				  "{\"destination\":\"/etc/secret\",\"type\":\"bind\",\"source\":\"outside/"
				  "file\",\"options\":[\"bind\"]}]",
			.linux_extra = ",\"maskedPaths\":[\"/etc/secret\"]" },
		&r);
	assert_has(r, "1:3\n0\n0\n");
	check_outside();
	restore_image();
	box_run_done(&r);
}

static void test_masks_follow_links_only_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	box_sh("ln -s ../../../../../%s/outside %s/rootfs/link && mkdir -p %s/rootfs/srv && ln -s /srv "
	       "%s/rootfs/vol",
	       box.dir, box.dir, box.dir, box.dir);
	run(
		&(struct box_spec){
			.script = "touch /srv/x; touch /tmp/y && echo ok",
			.linux_extra =
				",\"maskedPaths\":[\"/link/file\",\"/link\"],\"readonlyPaths\":[\"/vol\"]" },
		&r);
	assert_ran(r);
	assert_has(r, "/srv/x: Read-only file system");
	assert_has(r, "ok\n");
	check_outside();
	restore_image();
	box_run_done(&r);
}

/* ---- leaked fds and directories (CVE-2024-21626, CVE-2019-5736) ---------------------------------------------- */

static void test_a_cwd_through_a_leaked_fd_is_refused(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	for (int fd = 3; fd < 40; fd++) {
		cleanup_free char *cwd = str_fmt("/proc/self/fd/%d", fd);

		run(&(struct box_spec){ .script = "pwd; ls", .cwd = cwd }, &r);
		if (r.status >= 0)
			fail_msg("%s was taken: %s", cwd, buf_str(&r.out));
	}
	box_sh("ln -s /proc/self/fd/9 %s/rootfs/link", box.dir);
	run(&(struct box_spec){ .cwd = "/link/.." }, &r);
	assert_true(r.status < 0);
	restore_image();
	box_run_done(&r);
}

static void test_the_waiting_init_cannot_be_looked_into(void **state)
{
	struct oci_create o = OCI_CREATE_INIT;
	struct oci_init init = OCI_INIT_INIT;
	struct error e = ERROR_INIT;
	cleanup_free char *fd_dir = NULL;
	int status;
	pid_t pid;

	(void)state;
	NEED_BOX();
	box_spec(&box, &(struct box_spec){ .script = "true" });
	o.id = "box";
	o.spec = box.spec;
	o.bundle_dfd = box.dfd;
	assert_int_equal(oci_create(&o, &init, &e), 0);
	fd_dir = str_fmt("/proc/%d/fd", init.pid);
	/* The same user, without capabilities: what the root of a user namespace is to a process that is not dumpable. */
	pid = fork();
	if (pid == 0) {
		if (setgid(12345) < 0 || setuid(12345) < 0)
			_exit(2);
		_exit(open(fd_dir, O_RDONLY | O_DIRECTORY) < 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(init.start_fd);
	init.start_fd = -1;
	box_wait(init.pid_fd);
	oci_init_done(&init);
}

/* ---- races (CVE-2021-30465) ------------------------------------------------------------------------------------ */

/* Exchanges a directory and a link to the outside, as fast as it goes. */
static pid_t start_swapper(void)
{
	pid_t pid;

	box_sh("mkdir -p %s/rootfs/vol/sub && ln -s ../../../../../../%s/outside %s/rootfs/vol/link && mkdir "
	       "%s/rootfs/vol/dir",
	       box.dir, box.dir, box.dir, box.dir);
	pid = fork();
	if (pid == 0) {
		int dfd = openat(box.root_dfd, "vol", O_RDONLY | O_DIRECTORY);

		for (;;)
			syscall(SYS_renameat2, dfd, "link", dfd, "dir", RENAME_EXCHANGE);
	}
	return pid;
}

static void test_swapped_destinations_never_reach_outside(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	pid_t swapper;
	int status;

	(void)state;
	NEED_BOX();
	swapper = start_swapper();
	for (int i = 0; i < 60; i++) {
		/* Whether it works or fails is chance; where it works is not. */
		run(&(struct box_spec){ .extra_mounts = TMPFS_ON("/vol/dir/new") TMPFS_ON("/vol/dir")
						TMPFS_ON("/vol/link/a/b"),
					.linux_extra = ",\"maskedPaths\":[\"/vol/dir\",\"/vol/link/"
						       "file\"],\"readonlyPaths\":[\"/vol/link\"]",
					.cwd = "/vol/dir/w" },
		    &r);
	}
	kill(swapper, SIGKILL);
	waitpid(swapper, &status, 0);
	check_outside();
	box_sh("rm -rf %s/rootfs/tmp/*", box.dir);
	restore_image();
	box_run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_links_at_destinations_stay_inside),
		cmocka_unit_test(test_a_dangling_link_is_completed_inside),
		cmocka_unit_test(test_a_loop_of_links_is_an_error),
		cmocka_unit_test(test_dev_as_a_link_stays_inside),
		cmocka_unit_test(test_proc_and_sys_as_links_are_refused),
		cmocka_unit_test(test_fifos_and_files_in_place_of_directories),
		cmocka_unit_test(test_a_destination_that_is_the_root_is_refused),
		cmocka_unit_test(test_mounts_inside_of_proc_are_refused),
		cmocka_unit_test(test_a_false_proc_cannot_be_bound),
		cmocka_unit_test(test_files_like_lxcfs_may_cover_proc),
		cmocka_unit_test(test_sysctl_names_lead_nowhere_else),
		cmocka_unit_test(test_masks_do_not_trust_the_images_null),
		cmocka_unit_test(test_masks_follow_links_only_inside),
		cmocka_unit_test(test_a_cwd_through_a_leaked_fd_is_refused),
		cmocka_unit_test(test_the_waiting_init_cannot_be_looked_into),
		cmocka_unit_test(test_swapped_destinations_never_reach_outside),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
