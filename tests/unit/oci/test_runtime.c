/* SPDX-License-Identifier: Apache-2.0 */
/* Containers made by the library, looked at from inside. */
#include "box.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "sys/mountapi.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "userns/userns.h"

#define HOST_ID 700000
#define USER_NS ",{\"type\":\"user\"}"
#define ALL_NS                                                                                        \
	"[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":" \
	"\"mount\"}"
#define MAPPINGS                                                                   \
	",\"uidMappings\":[{\"containerID\":0,\"hostID\":700000,\"size\":65536}]," \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":700000,\"size\":65536}]"

static struct box box;

static int set_up(void **state)
{
	(void)state;
	if (box_is_possible())
		box_make(&box);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (box_is_possible())
		box_remove(&box);
	return 0;
}

static void run(const struct box_spec *s, const struct oci_create *o, struct box_run *r)
{
	box_spec(&box, s);
	box_run(&box, o, r);
}

/* ---- without a user namespace --------------------------------------------------------------------------- */

static void test_output_and_exit_status_come_back(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(&(struct box_spec){ .script = "echo out; echo err >&2; exit 42" }, NULL, &r);
	assert_int_equal(r.status, 42);
	assert_has(r, "out\n");
	assert_has(r, "err\n");
	run(&(struct box_spec){ .script = "kill -9 $$", .namespaces = "[{\"type\":\"mount\"}]" }, NULL, &r);
	assert_int_equal(r.status, 137);
	box_run_done(&r);
}

static void test_the_process_sees_only_its_own_world(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(
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
	run(&(struct box_spec){ .script = "for i in null zero full random urandom tty; do stat -c '%n %F "
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
	run(&(struct box_spec){ .script = "stat -c '%t:%T %u:%g %a' /dev/net/tun /dev/null2 /srv/z",
				.linux_extra =
					",\"devices\":[{\"path\":\"/dev/net/"
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
	run(&(struct box_spec){ .args = "[\"ls\",\"/proc/self/fd\"]" }, NULL, &r);
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

	box.dfd = fcntl(box.dfd, F_DUPFD_CLOEXEC, 50);
	if (box.dfd < 0 || pipe2(p, O_CLOEXEC) < 0 || write(p[1], "hello\n", 6) != 6)
		return 1;
	close(p[1]);
	if (p[0] != 3 && dup2(p[0], 3) < 0)
		return 2;
	o.preserve_fds = 1;
	run(&(struct box_spec){ .script = "cat <&3" }, &o, &r);
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
	box_sh("mkdir -p %s/vol/sub && echo content > %s/vol/file", box.dir, box.dir);
	mounts = str_fmt(",{\"destination\":\"/vol\",\"source\":\"%s/"
			 "vol\",\"options\":[\"rbind\",\"ro\",\"nosuid\",\"noexec\"]}"
			 ",{\"destination\":\"/new/dir/file\",\"type\":\"bind\",\"source\":\"vol/"
			 "file\",\"options\":[\"bind\",\"nodev\"]}",
			 box.dir);
	run(&(struct box_spec){ .script = "grep -E ' /vol | /new' /proc/self/mountinfo; cat /new/dir/file; "
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
	run(&(struct box_spec){ .extra_mounts = ",{\"destination\":\"/vol\",\"type\":\"bind\",\"source\":\"/"
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
	       box.dir, box.dir, box.dir);
	run(&(struct box_spec){ .script = "ls /secrets | wc -l; cat /etc/secret /proc/timer_list | wc -c; "
					  "echo 1 > /proc/sys/kernel/shmmni; "
					  "touch /secrets/x; touch /tmp/ok && echo ok",
				.linux_extra = ",\"maskedPaths\":[\"/secrets\",\"/etc/secret\",\"/proc/"
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
	run(&(struct box_spec){ .script = "touch /x; touch /scratch/y && echo made",
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
	       box.dir);
	run(
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
	box_sh("test ! -e %s/rootfs/srv/sub/new && rm -rf %s/rootfs/srv", box.dir, box.dir);
	box_run_done(&r);
}

static void test_a_missing_cwd_is_made_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(&(struct box_spec){ .script = "pwd", .cwd = "/made/for/me" }, NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "/made/for/me\n");
	box_run_done(&r);
}

static void test_a_missing_program_is_not_found(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(&(struct box_spec){ .args = "[\"no-such-program\"]" }, NULL, &r);
	assert_int_equal(r.status, -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&r.e), "executable file not found in $PATH"));
	run(&(struct box_spec){ .args = "[\"/etc\"]" }, NULL, &r);
	assert_int_equal(r.status, -ERR_DENIED);
	box_run_done(&r);
}

static void test_sysctls_are_written_inside(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(
		&(struct box_spec){
			.script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni",
			.linux_extra = ",\"sysctl\":{\"net.ipv4.ip_unprivileged_port_start\":\"77\",\"kernel."
				       "shmmni\":\"99\"}" },
		NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "77\n99\n");
	run(&(struct box_spec){ .linux_extra = ",\"sysctl\":{\"net.ipv4.no_such_thing\":\"1\"}" }, NULL, &r);
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
	if (!box.cgroups)
		skip();
	o.cgroups = box.cgroups;
	o.cgroup_path = "/hull-test-ocirun/box";
	run(&(struct box_spec){ .script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids/pids.max "
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
	box_spec(&box, &(struct box_spec){ .script = "true" });
	o.id = "box";
	o.spec = box.spec;
	o.bundle_dfd = box.dfd;
	assert_int_equal(oci_create(&o, &init, &e), 0);
	close(init.start_fd);
	init.start_fd = -1;
	assert_int_equal(box_wait(init.pid_fd), 127);
	oci_init_done(&init);
}

/* ---- user namespaces ------------------------------------------------------------------------------------- */

static void test_a_new_user_namespace_is_mapped(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(&(struct box_spec){ .script = "id -u; cat /proc/self/uid_map; stat -c '%u %a' /dev /dev/null "
					  "/dev/shm /dev/mqueue /dev/pts /sys /proc/1; "
					  "echo x > /dev/null && echo y > /dev/shm/f && stat -c %u "
					  "/dev/shm/f; mknod /dev/shm/d c 1 5",
				.namespaces = ALL_NS USER_NS "]",
				.linux_extra = MAPPINGS,
				.process_extra =
					",\"capabilities\":{\"bounding\":[\"CAP_MKNOD\"],\"effective\":["
					"\"CAP_MKNOD\"],\"permitted\":[\"CAP_MKNOD\"]}" },
	    NULL, &r);
	assert_has(r, "0\n         0     700000      65536\n");
	assert_has(r, "0 755\n0 666\n0 1777\n0 1777\n0 755\n");
	assert_has(r, "0\nmknod: /dev/shm/d: Operation not permitted\n");
	box_run_done(&r);
}

static int make_pod(struct podns *pod, bool user)
{
	struct idmap map = IDMAP_INIT;
	struct error e = ERROR_INIT;
	struct podns_opts opts = { .user = user,
				   .net = true,
				   .ipc = true,
				   .uts = true,
				   .uids = &map,
				   .gids = &map,
				   .hostname = "the-pod" };
	int r;

	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 0, HOST_ID, 65536 }, &e), 0);
	r = podns_create(&opts, pod, &e);
	if (r < 0)
		fail_msg("%s", err_msg(&e));
	return r;
}

static void give_pod(struct oci_create *o, const struct podns *pod)
{
	o->ns_fd[OCI_NS_USER] = pod->user_fd;
	o->ns_fd[OCI_NS_NETWORK] = pod->net_fd;
	o->ns_fd[OCI_NS_IPC] = pod->ipc_fd;
	o->ns_fd[OCI_NS_UTS] = pod->uts_fd;
}

static void test_a_pods_namespaces_are_joined_by_fd(void **state)
{
	cleanup_podns struct podns pod = PODNS_INIT;
	struct box_run r = BOX_RUN_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	struct ns_id net;
	struct error e = ERROR_INIT;
	cleanup_free char *want = NULL;

	(void)state;
	NEED_BOX();
	make_pod(&pod, true);
	assert_int_equal(ns_identify(pod.net_fd, &net, &e), 0);
	want = str_fmt("net:[%llu]", (unsigned long long)net.ino);
	give_pod(&o, &pod);
	run(&(struct box_spec){ .script = "hostname; readlink /proc/self/ns/net; cat /proc/self/uid_map; "
					  "grep ' /sys ' /proc/self/mountinfo; "
					  "ls /sys/class/net; ls -d /proc/[0-9]*; stat -c %u /dev/null",
				.namespaces = ALL_NS USER_NS "]",
				.linux_extra = MAPPINGS },
	    &o, &r);
	assert_ran(r);
	assert_has(r, "the-pod\n");
	assert_has(r, want);
	assert_has(r, "700000");
	assert_has(r, "- sysfs");
	assert_has(r, "/proc/1\n0\n");
	/* The maps need not stand in the spec. */
	run(&(struct box_spec){ .script = "stat -c %u /dev/null",
				.namespaces = ALL_NS ",{\"type\":\"user\",\"path\":\"/given/by/fd\"}]" },
	    &o, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "0\n");
	box_run_done(&r);
}

static void test_sysfs_of_the_hosts_network_is_a_readonly_copy(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run(&(struct box_spec){ .script = "grep ' /sys ' /proc/self/mountinfo; ls /sys/class/net | wc -l; "
					  "echo 1 > /sys/kernel/mm/ksm/run",
				.namespaces = "[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{"
					      "\"type\":\"mount\"}" USER_NS "]",
				.linux_extra = MAPPINGS },
	    NULL, &r);
	assert_has(r, "/sys ro,nosuid,nodev,noexec");
	assert_has(r, "sysfs");
	assert_has_not(r, "Permission denied\n0");
	box_run_done(&r);
}

static void test_a_volume_below_a_closed_directory_works(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	cleanup_free char *mounts = NULL;

	(void)state;
	NEED_BOX();
	box_sh("mkdir -p %s/closed/vol && chmod 0750 %s/closed && chown %d:%d %s/closed/vol", box.dir,
	       box.dir, HOST_ID, HOST_ID, box.dir);
	mounts = str_fmt(",{\"destination\":\"/vol\",\"type\":\"bind\",\"source\":\"%s/closed/"
			 "vol\",\"options\":[\"rbind\",\"rw\"]}",
			 box.dir);
	run(&(struct box_spec){ .script = "touch /vol/x && stat -c %u /vol/x",
				.extra_mounts = mounts,
				.namespaces = ALL_NS USER_NS "]",
				.linux_extra = MAPPINGS },
	    NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "0\n");
	box_run_done(&r);
}

static void test_an_idmapped_volume_keeps_the_hosts_ids(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	cleanup_free char *mounts = NULL, *file = NULL;
	struct stat sb;

	(void)state;
	NEED_BOX();
	NEED(box_can_idmap(&box), "a file system with id-mapped mounts");
	box_sh("mkdir -p %s/mapped && chown 5:6 %s/mapped && chmod 0777 %s/mapped", box.dir, box.dir,
	       box.dir);
	mounts = str_fmt(",{\"destination\":\"/vol\",\"type\":\"bind\",\"source\":\"%s/"
			 "mapped\",\"options\":[\"rbind\",\"rw\"]" MAPPINGS "}",
			 box.dir);
	run(&(struct box_spec){ .script = "stat -c %u:%g /vol; touch /vol/x && stat -c %u /vol/x",
				.extra_mounts = mounts,
				.namespaces = ALL_NS USER_NS "]",
				.linux_extra = MAPPINGS },
	    NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "5:6\n0\n");
	file = str_fmt("%s/mapped/x", box.dir);
	assert_int_equal(stat(file, &sb), 0);
	assert_int_equal(sb.st_uid, 0);
	box_run_done(&r);
}

static void test_flags_of_the_host_stay_in_a_user_namespace(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	const struct mount_param size = MOUNT_PARAM("size", "64k");
	struct error e = ERROR_INIT;
	cleanup_close int tree = -1;

	(void)state;
	NEED_BOX();
	NEED(box_can_clone_detached(), "Linux 6.15 to clone a detached mount");
	assert_int_equal(mount_new("tmpfs", &size, 1,
				   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &tree, &e),
			 0);
	o.mount_fds[0] = (struct oci_mount_fd){ "/vol", tree };
	o.mount_fd_count = 1;
	run(&(struct box_spec){ .script = "grep ' /vol ' /proc/self/mountinfo",
				.extra_mounts = ",{\"destination\":\"/"
						"vol\",\"type\":\"bind\",\"source\":\"x\",\"options\":["
						"\"bind\",\"dev\",\"exec\",\"suid\"]}",
				.namespaces = ALL_NS USER_NS "]",
				.linux_extra = MAPPINGS },
	    &o, &r);
	assert_ran(r);
	assert_has(r, "rw,nosuid,nodev,noexec");
	run(&(struct box_spec){ .script = "grep ' /vol ' /proc/self/mountinfo",
				.extra_mounts = ",{\"destination\":\"/"
						"vol\",\"type\":\"bind\",\"source\":\"x\",\"options\":["
						"\"bind\",\"dev\",\"exec\",\"suid\"]}" },
	    &o, &r);
	assert_ran(r);
	assert_has_not(r, "nodev");
	box_run_done(&r);
}

static void test_a_given_tree_serves_many_containers(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	const struct mount_param params[] = { MOUNT_PARAM("mode", "1777") };
	struct error e = ERROR_INIT;
	cleanup_close int tree = -1;

	(void)state;
	NEED_BOX();
	NEED(box_can_clone_detached(), "Linux 6.15 to clone a detached mount");
	assert_int_equal(mount_new("tmpfs", params, 1, 0, &tree, &e), 0);
	o.mount_fds[0] = (struct oci_mount_fd){ "/dev/shm/", tree };
	o.mount_fd_count = 1;
	run(&(struct box_spec){ .script = "echo shared > /dev/shm/f" }, &o, &r);
	assert_ran(r);
	run(&(struct box_spec){ .script = "cat /dev/shm/f" }, &o, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "shared\n");
	box_run_done(&r);
}

/* ---- overlay ------------------------------------------------------------------------------------------------ */

static int mapping(void)
{
	struct idmap map = IDMAP_INIT;
	struct error e = ERROR_INIT;
	int fd = -1;

	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 0, HOST_ID, 65536 }, &e), 0);
	if (userns_mapping_fd(&map, &map, &fd, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return fd;
}

static void test_an_overlay_of_idmapped_layers(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	struct oci_rootfs root = OCI_ROOTFS_INIT;
	cleanup_close int map_fd = -1;
	cleanup_free char *top = NULL, *base = NULL, *upper = NULL, *work = NULL;
	const char *lowers[2];

	(void)state;
	NEED_BOX();
	NEED(box_can_idmap(&box), "a file system with id-mapped mounts");
	box_sh("cd %s && rm -rf layers ov && mkdir -p layers/aa/etc layers/bb ov/upper ov/work && cp -a "
	       "rootfs/. layers/bb/ && "
	       "echo top > layers/aa/etc/which && echo base > layers/bb/etc/which && echo base > "
	       "layers/bb/etc/only && "
	       "chown 7:7 layers/bb/etc/only && chown %d:%d ov/upper ov/work",
	       box.dir, HOST_ID, HOST_ID);
	top = str_fmt("%s/layers/aa", box.dir);
	base = str_fmt("%s/layers/bb", box.dir);
	upper = str_fmt("%s/ov/upper", box.dir);
	work = str_fmt("%s/ov/work", box.dir);
	map_fd = mapping();
	lowers[0] = top;
	lowers[1] = base;
	root = (struct oci_rootfs){ .kind = ROOTFS_OVERLAY, .lowers = lowers, .lower_count = 2, .dfd = -1 };
	root.upper = upper;
	root.work = work;
	root.mapping_fd = map_fd;
	o.rootfs = &root;
	run(
		&(struct box_spec){
			.script = "cat /etc/which; stat -c %u /etc/only /bin; echo new > /etc/new; echo x >> "
				  "/etc/only; stat -c %u /etc/new /etc/only",
			.namespaces = ALL_NS USER_NS "]",
			.linux_extra = MAPPINGS,
			.process_extra =
				",\"capabilities\":{\"bounding\":[\"CAP_DAC_OVERRIDE\"],\"effective\":[\"CAP_"
				"DAC_OVERRIDE\"],\"permitted\":[\"CAP_DAC_OVERRIDE\"]}" },
		&o, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "top\n7\n0\n0\n7\n");
	box_sh("! grep -q %s /proc/self/mountinfo", box.dir);
	box_sh("test \"$(stat -c %%u %s/ov/upper/etc/new)\" = %d", box.dir, HOST_ID);
	box_sh("test \"$(cat %s/layers/bb/etc/only)\" = base", box.dir);
	box_run_done(&r);
}

static void test_a_readonly_overlay_of_one_layer(void **state)
{
	struct box_run r = BOX_RUN_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	struct oci_rootfs root = OCI_ROOTFS_INIT;
	cleanup_free char *base = NULL;
	const char *lowers[1];

	(void)state;
	NEED_BOX();
	base = str_fmt("%s/rootfs", box.dir);
	lowers[0] = base;
	root.kind = ROOTFS_OVERLAY;
	root.lowers = lowers;
	root.lower_count = 1;
	o.rootfs = &root;
	run(&(struct box_spec){ .script = "touch /x" }, &o, &r);
	assert_int_equal(r.status, 1);
	assert_has(r, "Read-only file system");
	box_run_done(&r);
}

static void test_rootfs_errors_name_what_is_missing(void **state)
{
	const char *lowers[] = { "/nonexistent-layer" };
	struct oci_rootfs root = { .kind = ROOTFS_OVERLAY,
				   .lowers = lowers,
				   .lower_count = 1,
				   .dfd = -1,
				   .mapping_fd = -1,
				   .upper = "/u" };
	struct error e = ERROR_INIT;
	int fd;

	(void)state;
	assert_int_equal(rootfs_open(&root, &fd, &e), -ERR_INVALID);
	root.work = "/w";
	assert_int_equal(rootfs_open(&root, &fd, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), "/nonexistent-layer"));
	root.lower_count = 0;
	assert_int_equal(rootfs_open(&root, &fd, &e), -ERR_INVALID);
}

/* ---- exec ---------------------------------------------------------------------------------------------------- */

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
	x.spec = box.spec;
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

	box_spec(&box, s);
	o->id = "box";
	o->spec = box.spec;
	o->bundle_dfd = box.dfd;
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
	x.spec = box.spec;
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
	box_spec(&box, &(struct box_spec){ .script = "exit 21",
					   .namespaces = ALL_NS USER_NS "]",
					   .linux_extra = MAPPINGS });
	builder = fork();
	if (builder == 0) {
		struct oci_create o = OCI_CREATE_INIT;
		struct oci_init init = OCI_INIT_INIT;

		give_pod(&o, &pod);
		o.id = "box";
		o.spec = box.spec;
		o.bundle_dfd = box.dfd;
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
		cmocka_unit_test(test_a_new_user_namespace_is_mapped),
		cmocka_unit_test(test_a_pods_namespaces_are_joined_by_fd),
		cmocka_unit_test(test_sysfs_of_the_hosts_network_is_a_readonly_copy),
		cmocka_unit_test(test_a_volume_below_a_closed_directory_works),
		cmocka_unit_test(test_an_idmapped_volume_keeps_the_hosts_ids),
		cmocka_unit_test(test_flags_of_the_host_stay_in_a_user_namespace),
		cmocka_unit_test(test_a_given_tree_serves_many_containers),
		cmocka_unit_test(test_an_overlay_of_idmapped_layers),
		cmocka_unit_test(test_a_readonly_overlay_of_one_layer),
		cmocka_unit_test(test_rootfs_errors_name_what_is_missing),
		cmocka_unit_test(test_exec_joins_a_pods_container),
		cmocka_unit_test(test_exec_in_a_dead_container_is_a_state_error),
		cmocka_unit_test(test_a_terminal_is_the_containers_own),
		cmocka_unit_test(test_clone_parent_makes_a_sibling),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
