/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <cmocka.h>
#include <seccomp.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/arena.h"
#include "oci/spec.h"
#include "sys/caps.h"

#define PROCESS "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"],\"user\":{\"uid\":0,\"gid\":0}}"
#define HEAD "\"ociVersion\":\"1.3.0\"," PROCESS

static struct oci_spec *parsed(const char *json)
{
	struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	if (oci_spec_parse(json, strlen(json), &spec, &e) < 0)
		fail_msg("%s\nin %s", err_msg(&e), json);
	return spec;
}

static void everything_that_linux_has_is_read(void **state)
{
	CLEANUP(oci_spec_free)
	struct oci_spec *s = parsed(
		"{\"ociVersion\":\"1.2.1-dev\",\"x-unknown\":{\"a\":1},\"hostname\":\"h\",\"domainname\":"
		"\"d\","
		"\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
		"\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":25,\"width\":80},\"cwd\":\"/w\","
		"\"env\":[\"A=b\",\"E=\"],\"args\":[\"sh\",\"-c\",\"x\"],"
		"\"user\":{\"uid\":1,\"gid\":2,\"umask\":18,\"additionalGids\":[3,4294967294]},"
		"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_NEW\"],\"ambient\":[\"CAP_KILL\"]},"
		"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":18446744073709551615}],"
		"\"noNewPrivileges\":true,\"apparmorProfile\":\"p\",\"selinuxLabel\":\"a:b:c:s0\","
		"\"oomScoreAdj\":-5,"
		"\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4},"
		"\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":-3,\"flags\":[\"SCHED_FLAG_RESET_ON_"
		"FORK\"]},"
		"\"execCPUAffinity\":{\"initial\":\"0-1\",\"final\":\"1\"}},"
		"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"data\",\"source\":\"/d\",\"options\":[\"rbind\",\"ro\",\"rslave\"],"
		"\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}],"
		"\"gidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}]}],"
		"\"hooks\":{\"poststop\":[{\"path\":\"/h\",\"args\":[\"h\",\"1\"],\"timeout\":3}]},"
		"\"annotations\":{\"k\":\"v\"},"
		"\"linux\":{\"namespaces\":[{\"type\":\"user\"},{\"type\":\"network\",\"path\":\"/run/netns/"
		"x\"},"
		"{\"type\":\"uts\",\"path\":\"\"}],"
		"\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"
		"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"
		"\"devices\":[{\"type\":\"c\",\"path\":\"/dev/"
		"x\",\"major\":1,\"minor\":3,\"fileMode\":438,\"uid\":0}],"
		"\"cgroupsPath\":\"/a/"
		"b\",\"sysctl\":{\"net.core.somaxconn\":\"5\"},\"rootfsPropagation\":\"rslave\","
		"\"resources\":{\"memory\":{\"limit\":-1,\"swap\":9223372036854775807},"
		"\"cpu\":{\"shares\":1024,\"quota\":-1,\"cpus\":\"0-3,7\"},\"pids\":{\"limit\":0},"
		"\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4096}],\"unified\":{\"memory.high\":"
		"\"max\"},"
		"\"devices\":[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,\"type\":\"c\",\"major\":"
		"1,"
		"\"access\":\"r\"}],"
		"\"blockIO\":{\"weight\":10,\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":600}"
		"]}},"
		"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
		"\"architectures\":[\"SCMP_ARCH_X86_64\"],\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
		"\"syscalls\":[{\"names\":[\"read\",\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{"
		"\"index\":0,"
		"\"value\":18446744073709551615,\"valueTwo\":1,\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
		"{\"names\":[\"write\"],\"action\":\"SCMP_ACT_ERRNO\"}]},"
		"\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[\"/proc/sys\"],\"mountLabel\":\"l\","
		"\"personality\":{\"domain\":\"LINUX32\"}}}");
	const struct oci_process *p = &s->process;
	const struct oci_linux *l = &s->linux;

	(void)state;
	assert_string_equal(s->root.path, "rootfs");
	assert_true(s->root.readonly && s->has_process && p->terminal && p->no_new_privileges);
	assert_true(p->console_size.is_set && p->console_size.height == 25 && p->console_size.width == 80);
	assert_int_equal(p->args.n, 3);
	assert_null(p->args.v[3]);
	assert_true(p->user.uid == 1 && p->user.gid == 2 && p->user.umask.v == 022);
	assert_int_equal(p->user.additional_gid_count, 2);
	assert_true(p->user.additional_gids[1] == 4294967294u);
	assert_true(p->capabilities.set[OCI_CAP_BOUNDING] == CAP_BIT(0));
	assert_true(p->capabilities.set[OCI_CAP_AMBIENT] == CAP_BIT(5));
	assert_int_equal(p->capabilities.unknown.n, 1);
	assert_string_equal(p->capabilities.unknown.v[0], "CAP_NEW");
	assert_true(p->rlimits.v[0].resource == RLIMIT_NOFILE && p->rlimits.v[0].hard == UINT64_MAX);
	assert_true(p->oom_score_adj.is_set && p->oom_score_adj.v == -5);
	assert_true(p->io_priority->priority == 4 && p->scheduler->nice == -3 && p->scheduler->flags == 1);
	assert_string_equal(p->exec_cpu_affinity_final, "1");
	assert_int_equal(s->mounts.n, 2);
	assert_string_equal(s->mounts.v[1].destination, "/data");
	assert_true(s->mounts.v[1].options.is_rbind && s->mounts.v[1].options.attr_set == MOUNT_ATTR_RDONLY);
	assert_true(s->mounts.v[1].options.propagation[0] == (MS_SLAVE | MS_REC));
	assert_int_equal(s->mounts.v[1].uid_mappings.v[0].size, 2);
	assert_string_equal(s->mounts.v[0].options.data, "");
	assert_int_equal(s->hooks[OCI_HOOK_POSTSTOP].n, 1);
	assert_int_equal(s->hooks[OCI_HOOK_POSTSTOP].v[0].timeout_s.v, 3);
	assert_string_equal(oci_kvs_get(&s->annotations, "k"), "v");
	assert_true(l->namespaces[OCI_NS_USER].is_set && !l->namespaces[OCI_NS_PID].is_set);
	assert_string_equal(l->namespaces[OCI_NS_NETWORK].path, "/run/netns/x");
	assert_null(l->namespaces[OCI_NS_UTS].path);
	assert_true(l->uid_mappings.v[0].host_id == 100000);
	assert_true(l->devices.v[0].file_mode.v == 0666 && l->devices.v[0].uid.is_set &&
		    !l->devices.v[0].gid.is_set);
	assert_true(l->resources.memory.limit.v == -1 && l->resources.memory.swap.v == INT64_MAX);
	assert_true(l->resources.cpu.shares.v == 1024 && !l->resources.cpu.period.is_set);
	assert_true(l->resources.pids_limit.is_set && l->resources.pids_limit.v == 0);
	assert_true(l->resources.devices.v[0].type == 'a' && l->resources.devices.v[0].major == -1);
	assert_true(l->resources.devices.v[1].minor == -1 && l->resources.devices.v[1].read &&
		    !l->resources.devices.v[1].write);
	assert_true(l->resources.block_io.read_bps.v[0].rate == 600);
	assert_string_equal(l->resources.unified.v[0].key, "memory.high");
	assert_true(l->seccomp->default_action == SCMP_ACT_ERRNO(38) &&
		    l->seccomp->architectures[0] == SCMP_ARCH_X86_64);
	assert_true(l->seccomp->syscalls.v[0].args.v[0].value == UINT64_MAX);
	assert_true(l->seccomp->syscalls.v[1].action == SCMP_ACT_ERRNO(EPERM));
	assert_true(l->rootfs_propagation == (MS_SLAVE | MS_REC));
	assert_string_equal(l->masked_paths.v[0], "/proc/kcore");
	assert_true(l->personality.is_set && l->personality.domain == 8);
}

static void what_is_absent_is_empty_and_not_null(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *s = parsed("{" HEAD ",\"linux\":{}}");

	(void)state;
	assert_null(s->process.env.v[0]);
	assert_null(s->linux.masked_paths.v[0]);
	assert_null(s->linux.seccomp);
	assert_false(s->has_root);
	assert_false(s->linux.has_resources);
	assert_null(s->linux.cgroups_path);
}

struct bad {
	const char *json;
	int kind;
	const char *message;
};

#define LINUX(x) "{" HEAD ",\"linux\":{" x "}}"
#define PROC(x) "{\"ociVersion\":\"1.0.0\",\"linux\":{},\"process\":{\"cwd\":\"/\",\"args\":[\"x\"]," x "}}"
static const struct bad bad[] = {
	{ "{}", ERR_INVALID, "ociVersion: is missing" },
	{ "[]", ERR_INVALID, "JSON: wanted an object, found an array" },
	{ "{\"ociVersion\":\"2.0.0\"}", ERR_UNSUPPORTED,
	  "ociVersion: \"2.0.0\": hull reads versions 1.x of the runtime specification" },
	{ "{\"ociVersion\":\"1.0\"}", ERR_INVALID, "ociVersion: \"1.0\" is not a version like \"1.3.0\"" },
	{ "{\"ociVersion\":\"1.0.0x\"}", ERR_INVALID,
	  "ociVersion: \"1.0.0x\" is not a version like \"1.3.0\"" },
	{ "{" HEAD "}", ERR_INVALID, "linux: is missing: hull runs Linux containers" },
	{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"args\":[\"x\"]}}", ERR_INVALID,
	  "process.cwd: is missing" },
	{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"args\":[\"x\"],\"cwd\":\"w\"}}", ERR_INVALID,
	  "process.cwd: \"w\" is not an absolute path" },
	{ "{\"ociVersion\":\"1.0.0\",\"process\":{\"args\":[],\"cwd\":\"/\"}}", ERR_INVALID,
	  "process.args: is missing or empty: there is nothing to run" },
	{ PROC("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":2},{\"type\":\"RLIMIT_AS\","
	       "\"soft\":1,\"hard\":2},"
	       "{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":-1}]"),
	  ERR_INVALID, "process.rlimits[2].hard: -1 is not in the range 0 to 18446744073709551615" },
	{ PROC("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":3,\"hard\":2}]"), ERR_INVALID,
	  "process.rlimits[0].soft: 3 is above the hard limit, 2" },
	{ PROC("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":2},{\"type\":\"RLIMIT_CPU\","
	       "\"soft\":1,\"hard\":2}]"),
	  ERR_INVALID, "process.rlimits: RLIMIT_CPU is there twice" },
	{ PROC("\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":2}]"), ERR_INVALID,
	  "process.rlimits[0].type: \"RLIMIT_X\" is not one of the known words" },
	/* CVE-2024-40635: an id past 32 bits must not become 0. */
	{ PROC("\"user\":{\"uid\":4294967296,\"gid\":0}"), ERR_INVALID,
	  "process.user.uid: 4294967296 is not in the range 0 to 4294967294" },
	{ PROC("\"user\":{\"uid\":4294967295,\"gid\":0}"), ERR_INVALID,
	  "process.user.uid: 4294967295 is not in the range 0 to 4294967294" },
	{ PROC("\"user\":{\"uid\":0,\"gid\":-1}"), ERR_INVALID,
	  "process.user.gid: -1 is not in the range 0 to 4294967294" },
	{ PROC("\"user\":{\"uid\":0,\"gid\":1,\"additionalGids\":[1,\"2\"]}"), ERR_INVALID,
	  "process.user.additionalGids[1]: wanted a whole number, found a string" },
	{ PROC("\"env\":[\"A=b\",\"C\"]"), ERR_INVALID, "process.env: item 1 is not of the form NAME=VALUE" },
	{ PROC("\"oomScoreAdj\":-1001"), ERR_INVALID, "process.oomScoreAdj: -1001 is out of range" },
	{ PROC("\"scheduler\":{\"policy\":\"SCHED_ISO\"}"), ERR_UNSUPPORTED,
	  "process.scheduler.policy: Linux has no SCHED_ISO" },
	{ PROC("\"capabilities\":{\"bounding\":[1]}"), ERR_INVALID,
	  "process.capabilities.bounding[0]: wanted a string, found a number" },
	{ LINUX("\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]"), ERR_INVALID,
	  "linux.namespaces: \"pid\" is there twice" },
	{ LINUX("\"namespaces\":[{\"type\":\"net\"}]"), ERR_INVALID,
	  "linux.namespaces[0].type: \"net\" is not one of the known words" },
	{ LINUX("\"namespaces\":[{\"type\":\"pid\",\"path\":\"proc\"}]"), ERR_INVALID,
	  "linux.namespaces: the path of \"pid\", \"proc\", is not absolute" },
	{ LINUX("\"namespaces\":[{\"type\":\"user\"}]"), ERR_INVALID,
	  "linux: a new user namespace needs uidMappings and gidMappings" },
	{ LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]"), ERR_INVALID,
	  "linux: uidMappings and gidMappings without a user namespace in namespaces" },
	{ LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":4294967290,\"size\":6}]"), ERR_INVALID,
	  "linux.uidMappings[0]: 6 ids from 0 (on the host from 4294967290) pass 4294967294" },
	{ LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}"), ERR_INVALID,
	  "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY as the default would stop the container's own "
	  "start" },
	{ LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"x\"],"
		"\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]}]"
		"}"),
	  ERR_INVALID, "linux.seccomp.syscalls[0].args[0].index: 6 is not in the range 0 to 5" },
	{ LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}"), ERR_INVALID,
	  "linux.seccomp.defaultErrnoRet: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have one" },
	{ LINUX("\"resources\":{\"unified\":{\"../x.y\":\"1\"}}"), ERR_INVALID,
	  "linux.resources.unified.../x.y: is not the name of a cgroup v2 file" },
	{ LINUX("\"resources\":{\"hugepageLimits\":[{\"pageSize\":\"2MB/..\",\"limit\":1}]}"), ERR_INVALID,
	  "linux.resources.hugepageLimits[0].pageSize: \"2MB/..\" is not a size like \"2MB\"" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\"}"), ERR_INVALID,
	  "linux.memoryPolicy.nodes: the mode needs at least one node" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_LOCAL\",\"nodes\":\"0\"}"), ERR_INVALID,
	  "linux.memoryPolicy.nodes: the mode takes no nodes" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"1-0\"}"), ERR_INVALID,
	  "linux.memoryPolicy: nodes: \"1-0\" has a range without an end behind its start" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_X\"}"), ERR_INVALID,
	  "linux.memoryPolicy.mode: \"MPOL_X\" is not one of the known words" },
	{ PROC("\"execCPUAffinity\":{\"final\":\"0-\"}"), ERR_INVALID,
	  "process.execCPUAffinity.final: \"0-\" has a range without an end behind its start" },
	{ PROC("\"scheduler\":{\"policy\":\"SCHED_FIFO\"}"), ERR_INVALID,
	  "process.scheduler.priority: 0 is not in the range 1 to 99 of SCHED_FIFO and SCHED_RR" },
	{ PROC("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}"), ERR_INVALID,
	  "process.scheduler.priority: only SCHED_FIFO and SCHED_RR have one" },
	{ PROC("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"period\":1}"), ERR_INVALID,
	  "process.scheduler.runtime: runtime, deadline and period: only SCHED_DEADLINE has them" },
	{ PROC("\"ioPriority\":{\"priority\":4}"), ERR_INVALID, "process.ioPriority.class: is missing" },
	{ LINUX("\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"a\"}]}"), ERR_INVALID,
	  "linux.resources.devices[0].access: \"a\" has none of the letters r, w and m" },
	{ LINUX("\"maskedPaths\":[\"proc\"]"), ERR_INVALID,
	  "linux.maskedPaths[0]: \"proc\" is not an absolute path" },
	{ LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/dev/x\",\"major\":1}]"), ERR_INVALID,
	  "linux.devices[0].minor: is missing: \"/dev/x\" is a device" },
	{ "{" HEAD ",\"hostname\":\"h\",\"linux\":{}}", ERR_INVALID,
	  "hostname: is set, but the container has no uts namespace of its own" },
	{ "{" HEAD ",\"linux\":{},\"mounts\":[{\"destination\":\"/a\",\"options\":[\"bind\"]}]}", ERR_INVALID,
	  "mounts[0].source: is missing: \"/a\" is a bind mount" },
	{ "{" HEAD ",\"linux\":{},\"mounts\":{}}", ERR_INVALID, "mounts: wanted an array, found an object" },
	{ "{" HEAD ",\"linux\":{},\"annotations\":{\"\":\"x\"}}", ERR_INVALID, "annotations.: an empty key" },
	{ "{" HEAD ",\"linux\":{},\"hooks\":{\"prestart\":[{\"path\":\"x\"}]}}", ERR_INVALID,
	  "hooks.prestart[0].path: \"x\" is not an absolute path" },
};

static void wrong_input_is_named_by_its_path(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct oci_spec *spec = NULL;
		struct error e = ERROR_INIT;
		int r = oci_spec_parse(bad[i].json, strlen(bad[i].json), &spec, &e);

		if (r == 0 || strcmp(err_msg(&e), bad[i].message) != 0 || r != -bad[i].kind)
			fail_msg("%s\n gave %d %s\n not %s", bad[i].json, r, r ? err_msg(&e) : "success",
				 bad[i].message);
	}
}

static void overlapping_id_maps_are_refused(void **state)
{
	struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;
	const char *json = LINUX("\"namespaces\":[{\"type\":\"user\"}],"
				 "\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10},"
				 "{\"containerID\":10,\"hostID\":1009,\"size\":1}],"
				 "\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}]");

	(void)state;
	assert_int_equal(oci_spec_parse(json, strlen(json), &spec, &e), -ERR_EXISTS);
	assert_non_null(strstr(err_msg(&e), "linux.uidMappings[1]"));
}

static void lists_are_bounded(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	(void)state;
	buf_adds(&b, "{\"ociVersion\":\"1.0.0\",\"linux\":{\"maskedPaths\":[\"/\"");
	for (int i = 0; i < OCI_LIST_MAX; i++)
		buf_adds(&b, ",\"/\"");
	buf_adds(&b, "]}}");
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &e), -ERR_LIMIT);
	assert_string_equal(err_msg(&e), "linux.maskedPaths: 65537 items, more than the 65536 allowed");
}

static void a_process_alone_is_read(void **state)
{
	static const char json[] = "{\"cwd\":\"/\",\"args\":[\"id\"],\"user\":{\"uid\":5,\"gid\":6}}";
	/* What is 0 may be missing. */
	static const char without[] = "{\"cwd\":\"/\",\"args\":[\"id\"],\"user\":{},"
				      "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\"}}";
	CLEANUP(oci_process_free) struct oci_process *p = NULL;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(oci_process_parse(json, sizeof(json) - 1, &p, &e), 0);
	assert_int_equal(p->user.gid, 6);
	assert_false(p->has_capabilities);
	oci_process_free(p);
	p = NULL;
	assert_int_equal(oci_process_parse(without, sizeof(without) - 1, &p, &e), 0);
	assert_true(p->user.uid == 0 && p->user.gid == 0 && p->io_priority->priority == 0);
	assert_int_equal(oci_process_parse("{\"cwd\":\"/\"}", 11, &p, &e), -ERR_INVALID);
	assert_string_equal(err_msg(&e), "args: is missing or empty: there is nothing to run");
}

/* ---- mount options ------------------------------------------------------------------------------ */

static void option_words_mean_what_the_specification_says(void **state)
{
	static const char *const words[] = { "nosuid",	  "ro",		 "noexec", "exec",     "rw",
					     "noatime",	  "strictatime", "rro",	   "rnodev",   "rdev",
					     "sync",	  "async",	 "shared", "rslave",   "size=1m",
					     "tmpcopyup", "mode=755",	 "ridmap", "defaults", "" };
	cleanup_arena struct arena arena = ARENA_INIT;
	struct oci_mount_options m;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(oci_mount_options_parse(words, ARRAY_LEN(words), &arena, &m, &e), 0);
	assert_true(m.attr_set == (MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME));
	assert_true(m.attr_clr == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR__ATIME));
	assert_true(m.flags == (MS_NOSUID | MS_STRICTATIME));
	assert_true(m.rec_attr_set == MOUNT_ATTR_RDONLY && m.rec_attr_clr == MOUNT_ATTR_NODEV);
	assert_true(m.sb_set == 0 && m.sb_clr == MS_SYNCHRONOUS);
	assert_int_equal(m.propagation_count, 2);
	assert_true(m.propagation[0] == MS_SHARED && m.propagation[1] == (MS_SLAVE | MS_REC));
	assert_true(m.tmpcopyup && m.idmap && m.ridmap && !m.is_bind);
	assert_string_equal(m.data, "size=1m,mode=755");
	assert_int_equal(m.data_words.n, 2);
}

static void too_many_options_are_refused(void **state)
{
	static const char *const words[] = { "shared", "slave", "private", "rprivate", "rshared" };
	cleanup_arena struct arena arena = ARENA_INIT;
	char word[4096];
	const char *const one[] = { word };
	struct oci_mount_options m;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(oci_mount_options_parse(words, 5, &arena, &m, &e), -ERR_INVALID);
	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = 0;
	assert_int_equal(oci_mount_options_parse(one, 1, &arena, &m, &e), -ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_that_linux_has_is_read),
		cmocka_unit_test(what_is_absent_is_empty_and_not_null),
		cmocka_unit_test(wrong_input_is_named_by_its_path),
		cmocka_unit_test(overlapping_id_maps_are_refused),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(a_process_alone_is_read),
		cmocka_unit_test(option_words_mean_what_the_specification_says),
		cmocka_unit_test(too_many_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
