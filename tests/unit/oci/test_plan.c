/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "oci/cgroup_resources.h"
#include "oci/mount_late.h"
#include "oci/mounts.h"
#include "oci/plan.h"

#define MAPS                                                                       \
	",\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]," \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]"
#define MOUNT_NS "{\"type\":\"mount\"}"

struct planned {
	struct oci_spec *spec;
	struct oci_create o;
	struct oci_plan plan;
	struct error e;
};

static void parse(struct planned *p, const char *namespaces, const char *linux_extra, const char *mounts,
		  const char *extra)
{
	cleanup_free char *json =
		str_fmt("{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"a\"],\"cwd\":\"/"
			"\",\"user\":{\"uid\":0,\"gid\":0}},"
			"\"root\":{\"path\":\"r\"},\"mounts\":[%s],\"linux\":{\"namespaces\":[%s]%s}%s}",
			mounts, namespaces, linux_extra, extra);

	*p = (struct planned){ .o = OCI_CREATE_INIT, .plan = OCI_PLAN_INIT, .e = ERROR_INIT };
	if (oci_spec_parse(json, strlen(json), &p->spec, &p->e) < 0)
		fail_msg("%s", err_msg(&p->e));
	p->o.spec = p->spec;
	p->o.id = "x";
}

static void done(struct planned *p)
{
	oci_plan_done(&p->plan);
	oci_spec_free(p->spec);
}

static int plan(struct planned *p, const char *namespaces, const char *linux_extra, const char *mounts)
{
	parse(p, namespaces, linux_extra, mounts, "");
	return oci_plan_make(&p->o, &p->plan, &p->e);
}

static void test_new_namespaces_come_with_the_clone(void **state)
{
	struct planned p;

	(void)state;
	assert_int_equal(
		plan(&p,
		     MOUNT_NS
		     ",{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}",
		     "", ""),
		0);
	assert_int_equal(p.plan.clone_flags, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC);
	assert_false(p.plan.in_user_ns);
	assert_false(p.plan.late_ipc);
	done(&p);
}

static void test_ipc_waits_for_the_maps_of_a_new_user_namespace(void **state)
{
	struct planned p;

	(void)state;
	assert_int_equal(plan(&p, MOUNT_NS ",{\"type\":\"user\"},{\"type\":\"ipc\"}", MAPS, ""), 0);
	assert_int_equal(p.plan.clone_flags, CLONE_NEWNS | CLONE_NEWUSER);
	assert_true(p.plan.late_ipc && p.plan.in_user_ns);
	done(&p);
}

static void test_a_given_fd_is_joined_whatever_the_spec_says(void **state)
{
	struct planned p;

	(void)state;
	parse(&p, MOUNT_NS ",{\"type\":\"network\"},{\"type\":\"user\"},{\"type\":\"pid\",\"path\":\"/p\"}",
	      MAPS, "", "");
	p.o.ns_fd[OCI_NS_USER] = 100;
	p.o.ns_fd[OCI_NS_NETWORK] = 101;
	p.o.ns_fd[OCI_NS_IPC] = 102;
	assert_int_equal(oci_plan_make(&p.o, &p.plan, &p.e), 0);
	assert_true(p.plan.joins[OCI_NS_USER] && p.plan.joins[OCI_NS_NETWORK] && p.plan.joins[OCI_NS_IPC]);
	assert_true(p.plan.joins[OCI_NS_PID]);
	assert_int_equal(p.plan.clone_flags, CLONE_NEWNS);
	done(&p);
}

static void test_contradictions_are_refused(void **state)
{
	static const struct {
		const char *namespaces, *linux_extra, *mounts, *message;
		int kind;
	} cases[] = {
		{ "", "", "", "mount namespace of its own", ERR_INVALID },
		{ "{\"type\":\"mount\",\"path\":\"/x\"}", "", "", "exists already", ERR_UNSUPPORTED },
		{ MOUNT_NS, "", "{\"destination\":\"/\",\"type\":\"tmpfs\"}", "cover the root", ERR_INVALID },
		{ MOUNT_NS, "", "{\"destination\":\"/a/..\",\"type\":\"tmpfs\"}", "cover the root",
		  ERR_INVALID },
		{ MOUNT_NS, "", "{\"destination\":\"/proc/1\",\"type\":\"tmpfs\"}", "inside of /proc",
		  ERR_INVALID },
		{ MOUNT_NS, "", "{\"destination\":\"/proc\",\"type\":\"tmpfs\"}", "only a proc",
		  ERR_INVALID },
		{ MOUNT_NS, "", "{\"destination\":\"/a\",\"source\":\"/b\"}", "has no type", ERR_INVALID },
		{ MOUNT_NS, "", "{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"ridmap\"]}",
		  "only the ids of bind mounts", ERR_INVALID },
		{ MOUNT_NS, "", "{\"destination\":\"/a\",\"source\":\"/b\",\"options\":[\"bind\",\"idmap\"]}",
		  "without a user namespace", ERR_INVALID },
		{ MOUNT_NS, ",\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}", "", "linux.sysctl", ERR_DENIED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct planned p;

		assert_int_equal(plan(&p, cases[i].namespaces, cases[i].linux_extra, cases[i].mounts),
				 -cases[i].kind);
		if (!strstr(err_msg(&p.e), cases[i].message))
			fail_msg("\"%s\" is not in \"%s\"", cases[i].message, err_msg(&p.e));
		done(&p);
	}
}

static void test_a_joined_namespace_that_is_our_own_is_the_hosts(void **state)
{
	static const char namespaces[] = MOUNT_NS ",{\"type\":\"network\",\"path\":\"/n\"},"
						  "{\"type\":\"uts\",\"path\":\"/u\"}";
	bool is_shared[OCI_NS_COUNT] = { false };
	struct planned p;

	(void)state;
	assert_int_equal(plan(&p, namespaces, ",\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}", ""), 0);
	assert_int_equal(oci_plan_check_shared(&p.plan, p.spec, is_shared, &p.e), 0);
	is_shared[OCI_NS_UTS] = true;
	assert_int_equal(oci_plan_check_shared(&p.plan, p.spec, is_shared, &p.e), 0);
	is_shared[OCI_NS_NETWORK] = true;
	assert_int_equal(oci_plan_check_shared(&p.plan, p.spec, is_shared, &p.e), -ERR_DENIED);
	done(&p);
	parse(&p, namespaces, "", "", ",\"hostname\":\"h\"");
	assert_int_equal(oci_plan_make(&p.o, &p.plan, &p.e), 0);
	assert_int_equal(oci_plan_check_shared(&p.plan, p.spec, is_shared, &p.e), -ERR_INVALID);
	done(&p);
}

static void test_the_last_word_about_read_only_counts(void **state)
{
	struct planned p;

	(void)state;
	assert_int_equal(plan(&p, MOUNT_NS, "",
			      "{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"ro\"]},"
			      "{\"destination\":\"/b\",\"type\":\"tmpfs\",\"options\":[\"ro\"]},"
			      "{\"destination\":\"/a\",\"options\":[\"remount\",\"rw\"]},"
			      "{\"destination\":\"/c\",\"options\":[\"remount\",\"ro\"]}"),
			 0);
	assert_false(p.plan.mounts[0].late_readonly);
	assert_true(p.plan.mounts[1].late_readonly);
	assert_false(p.plan.mounts[2].late_readonly);
	assert_true(p.plan.mounts[3].late_readonly);
	assert_int_equal(p.plan.mounts[3].set, 0);
	done(&p);
}

static void test_each_mount_gets_its_maker(void **state)
{
	static const struct {
		const char *mount;
		enum plan_mount_kind kind;
	} cases[] = {
		{ "{\"destination\":\"/proc\",\"type\":\"proc\"}", PLAN_FRESH },
		{ "{\"destination\":\"/dev\",\"type\":\"tmpfs\"}", PLAN_DEV },
		{ "{\"destination\":\"/run\",\"type\":\"tmpfs\"}", PLAN_FRESH },
		{ "{\"destination\":\"/run\",\"options\":[\"remount\",\"ro\"]}", PLAN_REMOUNT },
		{ "{\"destination\":\"/run\",\"source\":\"x\",\"options\":[\"bind\",\"remount\"]}",
		  PLAN_REMOUNT },
		{ "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/b\"}", PLAN_BIND },
		{ "{\"destination\":\"/a\",\"source\":\"/b\",\"options\":[\"rbind\"]}", PLAN_BIND },
		{ "{\"destination\":\"/a\",\"type\":\"none\",\"source\":\"/b\",\"options\":[\"bind\"]}",
		  PLAN_BIND },
		{ "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\"}", PLAN_CGROUP },
		{ "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup2\"}", PLAN_CGROUP },
		{ "{\"destination\":\"/dev/shm/\",\"type\":\"tmpfs\"}", PLAN_TREE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct planned p;

		parse(&p, MOUNT_NS, "", cases[i].mount, "");
		p.o.mount_fds[0] = (struct oci_mount_fd){ "/dev/shm", 5 };
		p.o.mount_fd_count = 1;
		assert_int_equal(oci_plan_make(&p.o, &p.plan, &p.e), 0);
		assert_int_equal(p.plan.mounts[0].kind, cases[i].kind);
		done(&p);
	}
}

/* Fallbacks are for what another user namespace owns. */
static void test_fallbacks_only_where_the_kernel_may_refuse(void **state)
{
	static const char mounts[] =
		"{\"destination\":\"/proc\",\"type\":\"proc\"},{\"destination\":\"/sys\",\"type\":\"sysfs\"}";
	struct planned p;

	(void)state;
	assert_int_equal(plan(&p, MOUNT_NS, "", mounts), 0);
	assert_null(p.plan.mounts[0].fallback);
	assert_null(p.plan.mounts[1].fallback);
	done(&p);
	assert_int_equal(plan(&p, MOUNT_NS ",{\"type\":\"user\"},{\"type\":\"pid\"}", MAPS, mounts), 0);
	assert_null(p.plan.mounts[0].fallback);
	assert_string_equal(p.plan.mounts[1].fallback, "/sys");
	done(&p);
}

static void test_readonly_waits_until_all_is_mounted(void **state)
{
	struct planned p;

	(void)state;
	assert_int_equal(plan(&p, MOUNT_NS, "",
			      "{\"destination\":\"/run\",\"type\":\"tmpfs\",\"options\":[\"ro\",\"nosuid\"]},"
			      "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/"
			      "b\",\"options\":[\"bind\",\"ro\"]}"),
			 0);
	assert_true(p.plan.mounts[0].late_readonly);
	assert_int_equal(p.plan.mounts[0].set, MOUNT_ATTR_NOSUID);
	assert_false(p.plan.mounts[1].late_readonly);
	assert_int_equal(p.plan.mounts[1].set, MOUNT_ATTR_RDONLY);
	done(&p);
}

static void test_a_user_namespace_keeps_the_hosts_flags(void **state)
{
	static const char mounts[] = "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/"
				     "b\",\"options\":[\"bind\",\"rw\",\"dev\",\"suid\",\"exec\"]}";
	struct planned p;

	(void)state;
	assert_int_equal(plan(&p, MOUNT_NS, "", mounts), 0);
	assert_int_equal(p.plan.mounts[0].clear & MOUNT_ATTR_NODEV, MOUNT_ATTR_NODEV);
	done(&p);
	assert_int_equal(plan(&p, MOUNT_NS ",{\"type\":\"user\"}", MAPS, mounts), 0);
	assert_int_equal(p.plan.mounts[0].clear & (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
						   MOUNT_ATTR_NOEXEC),
			 0);
	done(&p);
}

static void test_sysctl_names_are_dotted(void **state)
{
	struct planned p;

	(void)state;
	assert_int_equal(plan(&p, MOUNT_NS ",{\"type\":\"network\"}",
			      ",\"sysctl\":{\"net/ipv4/conf/eth0.100/rp_filter\":\"0\","
			      "\"net.ipv4.ip_forward\":\"1\"}",
			      ""),
			 0);
	assert_int_equal(p.plan.sysctl_count, 2);
	assert_string_equal(p.plan.sysctls[0].name, "net.ipv4.conf.eth0/100.rp_filter");
	assert_string_equal(p.plan.sysctls[1].name, "net.ipv4.ip_forward");
	done(&p);
}

static void test_the_specs_devices_replace_defaults_of_the_same_path(void **state)
{
	cleanup_free struct device_node *nodes = NULL;
	struct planned p;
	size_t n, nulls = 0;

	(void)state;
	parse(&p, MOUNT_NS,
	      ",\"devices\":[{\"path\":\"/dev/"
	      "null\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":384},"
	      "{\"path\":\"/dev/fuse\",\"type\":\"c\",\"major\":10,\"minor\":229}]",
	      "", "");
	n = devices_list(p.spec, &nodes);
	assert_int_equal(n, 7);
	for (size_t i = 0; i < n; i++)
		if (str_eq(nodes[i].path, "/dev/null")) {
			assert_int_equal(nodes[i].mode & 07777, 0600);
			nulls++;
		}
	assert_int_equal(nulls, 1);
	done(&p);
}

static void test_device_rules_end_with_the_defaults(void **state)
{
	struct cgroup_lists *lists = NULL;
	struct cgroup_resources res;
	struct planned p;

	(void)state;
	parse(&p, MOUNT_NS,
	      ",\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
	      "{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"rwm\"}]}",
	      "", "");
	cgroup_resources_of(&p.spec->linux.resources, NULL, &res, &lists);
	/* The rule for null was there already. */
	assert_int_equal(res.device_count, 2 + 9);
	assert_false(res.devices[0].allow);
	assert_true(res.devices[10].allow && res.devices[10].major == 136);
	free(lists);
	done(&p);
	parse(&p, MOUNT_NS, "", "", "");
	cgroup_resources_of(&p.spec->linux.resources, NULL, &res, &lists);
	/* Whatever the spec says or does not say, nothing else is allowed. */
	assert_int_equal(res.device_count, 10);
	free(lists);
	done(&p);
}

/* The root is "/r": the bundle is "/". */
static void test_sources_that_an_earlier_mount_provides(void **state)
{
#define BIND(source, destination, option) \
	"{\"source\":\"" source "\",\"destination\":\"" destination "\",\"options\":[\"" option "\"]}"
	static const struct {
		const char *mount, *inside;
	} sources[] = {
		{ BIND("/r/mnt", "/x", "bind"), "/mnt" },
		{ BIND("r/mnt/a/../b", "/x", "bind"), "/mnt/b" },
		{ BIND("/r", "/x", "rbind"), "/" },
		{ BIND("/r", "/x", "bind"), NULL }, /* the mount below it does not come along */
		{ BIND("/r/other", "/x", "rbind"), NULL },
		{ BIND("/r/mnt2", "/x", "rbind"), NULL },
		{ BIND("/r2/mnt", "/x", "rbind"), NULL },
		{ BIND("/mnt", "/x", "rbind"), NULL },
	};
	cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		cleanup_free char *mounts = str_fmt(BIND("/r/mnt", "/mnt", "bind") ",%s", sources[i].mount);
		cleanup_free char *first = NULL, *second = NULL;
		struct planned p;
		struct mounts_env env = { .create = &p.o, .plan = &p.plan, .bundle_dfd = root };

		assert_int_equal(plan(&p, MOUNT_NS, "", mounts), 0);
		first = mount_late_source(&env, 0);
		second = mount_late_source(&env, 1);
		assert_null(first); /* of the host: nothing was there before it */
		assert_true(str_eq(second, sources[i].inside));
		assert_int_equal(mount_late_refuse(&env, &p.e), sources[i].inside ? -ERR_UNSUPPORTED : 0);
		done(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_namespaces_come_with_the_clone),
		cmocka_unit_test(test_ipc_waits_for_the_maps_of_a_new_user_namespace),
		cmocka_unit_test(test_a_given_fd_is_joined_whatever_the_spec_says),
		cmocka_unit_test(test_contradictions_are_refused),
		cmocka_unit_test(test_a_joined_namespace_that_is_our_own_is_the_hosts),
		cmocka_unit_test(test_the_last_word_about_read_only_counts),
		cmocka_unit_test(test_each_mount_gets_its_maker),
		cmocka_unit_test(test_fallbacks_only_where_the_kernel_may_refuse),
		cmocka_unit_test(test_readonly_waits_until_all_is_mounted),
		cmocka_unit_test(test_a_user_namespace_keeps_the_hosts_flags),
		cmocka_unit_test(test_sysctl_names_are_dotted),
		cmocka_unit_test(test_the_specs_devices_replace_defaults_of_the_same_path),
		cmocka_unit_test(test_device_rules_end_with_the_defaults),
		cmocka_unit_test(test_sources_that_an_earlier_mount_provides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
