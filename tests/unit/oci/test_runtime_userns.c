/* SPDX-License-Identifier: Apache-2.0 */
/* Containers in user namespaces and in those of a pod; volumes and overlays with mapped ids. */
#include "runtime_kit.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/mountapi.h"
#include "sys/ns.h"

static void test_a_new_user_namespace_is_mapped(void **state)
{
	struct box_run r = BOX_RUN_INIT;

	(void)state;
	NEED_BOX();
	run_box(&(struct box_spec){ .script = "id -u; cat /proc/self/uid_map; stat -c '%u %a' /dev /dev/null "
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
	run_box(&(struct box_spec){ .script = "hostname; readlink /proc/self/ns/net; cat /proc/self/uid_map; "
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
	run_box(&(struct box_spec){ .script = "stat -c %u /dev/null",
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
	run_box(&(struct box_spec){ .script =
					    "grep ' /sys ' /proc/self/mountinfo; ls /sys/class/net | wc -l; "
					    "echo 1 > /sys/kernel/mm/ksm/run",
				    .namespaces =
					    "[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{"
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
	box_sh("mkdir -p %s/closed/vol && chmod 0750 %s/closed && chown %d:%d %s/closed/vol", the_box.dir,
	       the_box.dir, HOST_ID, HOST_ID, the_box.dir);
	mounts = str_fmt(",{\"destination\":\"/vol\",\"type\":\"bind\",\"source\":\"%s/closed/"
			 "vol\",\"options\":[\"rbind\",\"rw\"]}",
			 the_box.dir);
	run_box(&(struct box_spec){ .script = "touch /vol/x && stat -c %u /vol/x",
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
	NEED(box_can_idmap(&the_box), "a file system with id-mapped mounts");
	box_sh("mkdir -p %s/mapped && chown 5:6 %s/mapped && chmod 0777 %s/mapped", the_box.dir, the_box.dir,
	       the_box.dir);
	mounts = str_fmt(",{\"destination\":\"/vol\",\"type\":\"bind\",\"source\":\"%s/"
			 "mapped\",\"options\":[\"rbind\",\"rw\"]" MAPPINGS "}",
			 the_box.dir);
	run_box(&(struct box_spec){ .script = "stat -c %u:%g /vol; touch /vol/x && stat -c %u /vol/x",
				    .extra_mounts = mounts,
				    .namespaces = ALL_NS USER_NS "]",
				    .linux_extra = MAPPINGS },
		NULL, &r);
	assert_ran(r);
	assert_string_equal(buf_str(&r.out), "5:6\n0\n");
	file = str_fmt("%s/mapped/x", the_box.dir);
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
	run_box(&(struct box_spec){ .script = "grep ' /vol ' /proc/self/mountinfo",
				    .extra_mounts = ",{\"destination\":\"/"
						    "vol\",\"type\":\"bind\",\"source\":\"x\",\"options\":["
						    "\"bind\",\"dev\",\"exec\",\"suid\"]}",
				    .namespaces = ALL_NS USER_NS "]",
				    .linux_extra = MAPPINGS },
		&o, &r);
	assert_ran(r);
	assert_has(r, "rw,nosuid,nodev,noexec");
	run_box(&(struct box_spec){ .script = "grep ' /vol ' /proc/self/mountinfo",
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
	run_box(&(struct box_spec){ .script = "echo shared > /dev/shm/f" }, &o, &r);
	assert_ran(r);
	run_box(&(struct box_spec){ .script = "cat /dev/shm/f" }, &o, &r);
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
	NEED(box_can_idmap(&the_box), "a file system with id-mapped mounts");
	box_sh("cd %s && rm -rf layers ov && mkdir -p layers/aa/etc layers/bb ov/upper ov/work && cp -a "
	       "rootfs/. layers/bb/ && "
	       "echo top > layers/aa/etc/which && echo base > layers/bb/etc/which && echo base > "
	       "layers/bb/etc/only && "
	       "chown 7:7 layers/bb/etc/only && chown %d:%d ov/upper ov/work",
	       the_box.dir, HOST_ID, HOST_ID);
	top = str_fmt("%s/layers/aa", the_box.dir);
	base = str_fmt("%s/layers/bb", the_box.dir);
	upper = str_fmt("%s/ov/upper", the_box.dir);
	work = str_fmt("%s/ov/work", the_box.dir);
	map_fd = mapping();
	lowers[0] = top;
	lowers[1] = base;
	root = (struct oci_rootfs){ .kind = ROOTFS_OVERLAY, .lowers = lowers, .lower_count = 2, .dfd = -1 };
	root.upper = upper;
	root.work = work;
	root.mapping_fd = map_fd;
	o.rootfs = &root;
	run_box(
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
	box_sh("! grep -q %s /proc/self/mountinfo", the_box.dir);
	box_sh("test \"$(stat -c %%u %s/ov/upper/etc/new)\" = %d", the_box.dir, HOST_ID);
	box_sh("test \"$(cat %s/layers/bb/etc/only)\" = base", the_box.dir);
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
	base = str_fmt("%s/rootfs", the_box.dir);
	lowers[0] = base;
	root.kind = ROOTFS_OVERLAY;
	root.lowers = lowers;
	root.lower_count = 1;
	o.rootfs = &root;
	run_box(&(struct box_spec){ .script = "touch /x" }, &o, &r);
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

/* Root of a user namespace may make no mount point in the host root's root file system. */
static int set_up(void **state)
{
	int r = runtime_set_up(state);

	return box_is_possible() && mkdirat(the_box.root_dfd, "vol", 0755) < 0 ? -1 : r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, set_up, runtime_tear_down);
}
