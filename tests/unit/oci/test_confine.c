/* SPDX-License-Identifier: Apache-2.0 */
/* Each test that confines does so in a child, which tells what became of it through an error in shared memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "codec/json.h"
#include "oci/confine.h"
#include "oci/defaults.h"
#include "sys/caps.h"
#include "sys/lsm.h"

#define CAPS(set) "\"" set "\":[\"CAP_CHOWN\",\"CAP_KILL\"]"
#define TWO_CAPS "\"capabilities\":{" CAPS("bounding") "," CAPS("effective") "," CAPS("permitted") "}"

static struct oci_process *process_of(const char *members)
{
	cleanup_free char *json =
		str_fmt("{\"cwd\":\"/\",\"args\":[\"x\"]%s%s}", *members ? "," : "", members);
	struct oci_process *p = NULL;
	struct error e = ERROR_INIT;

	if (oci_process_parse(json, strlen(json), &p, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return p;
}

static bool setgroups_denied(void)
{
	cleanup_buf struct buf b = BUF_INIT;

	return file_read(AT_FDCWD, "/proc/self/setgroups", 64, &b, NULL) == 0 &&
	       str_starts(buf_str(&b), "deny");
}

static struct confine_opts opts_of(const struct oci_process *p)
{
	return (struct confine_opts){ .process = p,
				      .seccomp_cache_dfd = -1,
				      .setgroups_denied = setgroups_denied() };
}

/* Skips where a uid change cannot work: without root, or in a user namespace that maps no other id. */
static void need_ids(void)
{
	if (geteuid() != 0 || setgroups_denied()) {
		print_message("needs root and setgroups(2)\n");
		skip();
	}
}

static void prepared(const struct confine_opts *o, struct confine **ret)
{
	struct error e = ERROR_INIT;

	if (confine_prepare(o, ret, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

static struct error *shared; /* what the child has to say; kind ERR_NONE: all is well */

static int in_child(void (*run)(struct confine *c), struct confine *c)
{
	int status;
	pid_t pid;

	if (!shared)
		shared = mmap(NULL, 2 * sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			      -1, 0);
	err_clear(shared);
	pid = fork();
	if (pid == 0) {
		run(c);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (shared->kind)
		return -shared->kind;
	assert_int_equal(status, 0);
	return 0;
}

#define expect(condition)                                                                   \
	do {                                                                                \
		if (!(condition)) {                                                         \
			err_new(shared, ERR_INTERNAL, "line %d: %s", __LINE__, #condition); \
			_exit(1);                                                           \
		}                                                                           \
	} while (0)

/* A line of /proc/self/status without its name. */
static const char *status_line(const char *name)
{
	static char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	size_t n = strlen(name);

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, n) == 0 && line[n] == ':') {
			line[strcspn(line, "\n")] = 0;
			fclose(f);
			return line + n + 2;
		}
	}
	return "";
}

static uint64_t status_mask(const char *name)
{
	return strtoull(status_line(name), NULL, 16);
}

/* mount(2) is not in the default profile: EPERM even for a path that is not there. */
static bool mount_is_refused(void)
{
	return syscall(SYS_mount, "x", "/nonexistent", "x", 0, NULL) < 0 && errno == EPERM;
}

static struct oci_spec *default_seccomp_spec(void)
{
	cleanup_json struct json_object *o = json_new();
	cleanup_buf struct buf b = BUF_INIT;
	struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	json_put_str(o, "ociVersion", "1.0.0");
	json_put(json_put_object(o, "linux"), "seccomp", oci_default_seccomp(oci_default_capability_mask()));
	json_text(o, false, &b);
	if (oci_spec_parse(b.data, b.len, &spec, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return spec;
}

/* ---- all at once -------------------------------------------------------------------------------- */

static void apply_all(struct confine *c)
{
	struct confine_child child = CONFINE_CHILD_INIT;

	expect(confine_outside(c, 0, -1, shared) == 0);
	expect(confine_open_child(c, -1, &child, shared) == 0);
	expect(confine_inside(c, &child, shared) == 0);
	expect(getuid() == 1000 && geteuid() == 1000 && getgid() == 1001 && getegid() == 1001);
	expect(str_starts(status_line("Groups"), "5 1001"));
	expect(status_mask("CapBnd") == (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_KILL)));
	expect(status_mask("CapEff") == CAP_BIT(CAP_KILL));
	expect(status_mask("CapPrm") == (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_KILL)));
	expect(status_mask("CapInh") == CAP_BIT(CAP_KILL) && status_mask("CapAmb") == CAP_BIT(CAP_KILL));
	expect(str_eq(status_line("NoNewPrivs"), "1") && str_eq(status_line("Seccomp"), "2"));
	expect(umask(0) == 077);
	expect(personality(0xffffffff) == PER_LINUX32);
	expect(getpriority(PRIO_PROCESS, 0) == 7 && sched_getscheduler(0) == SCHED_BATCH);
	expect(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 5));
	expect(mount_is_refused());
}

static void what_was_asked_for_is_what_the_process_has(void **state)
{
	CLEANUP(oci_process_free)
	struct oci_process *p = process_of(
		"\"user\":{\"uid\":1000,\"gid\":1001,\"additionalGids\":[5,1001],\"umask\":63},"
		"\"noNewPrivileges\":true,"
		"\"capabilities\":{" CAPS("bounding") "," CAPS(
			"permitted") ",\"effective\":[\"CAP_KILL\"],"
				     "\"inheritable\":[\"CAP_KILL\"],\"ambient\":[\"CAP_KILL\"]},"
				     "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":7},"
				     "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":5}");
	CLEANUP(oci_spec_free) struct oci_spec *spec = default_seccomp_spec();
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(p);

	(void)state;
	need_ids();
	o.seccomp = spec->linux.seccomp;
	o.personality_is_set = true;
	o.personality = PER_LINUX32;
	prepared(&o, &c);
	if (in_child(apply_all, c) < 0)
		fail_msg("%s", err_msg(shared));
	assert_null(confine_warning(c, 0));
}

static void apply_privileged(struct confine *c)
{
	struct confine_child child = CONFINE_CHILD_INIT;

	expect(confine_inside(c, &child, shared) == 0);
	expect(str_eq(status_line("NoNewPrivs"), "0") && str_eq(status_line("Seccomp"), "2"));
	expect(status_mask("CapEff") == (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_KILL)));
	expect(umask(0) == 022);
	expect(mount_is_refused());
}

static void seccomp_without_no_new_privs_is_loaded_while_it_can_be(void **state)
{
	CLEANUP(oci_process_free) struct oci_process *p = process_of(TWO_CAPS);
	CLEANUP(oci_spec_free) struct oci_spec *spec = default_seccomp_spec();
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(p);

	(void)state;
	if (!caps_have(CAP_SYS_ADMIN)) {
		print_message("needs CAP_SYS_ADMIN\n");
		skip();
	}
	o.seccomp = spec->linux.seccomp;
	prepared(&o, &c);
	if (in_child(apply_privileged, c) < 0)
		fail_msg("%s", err_msg(shared));
}

static void apply_nothing(struct confine *c)
{
	struct confine_child child = CONFINE_CHILD_INIT;

	expect(confine_inside(c, &child, shared) == 0);
	expect(status_mask("CapEff") == 0 && status_mask("CapPrm") == 0 && status_mask("CapBnd") == 0);
}

static void no_capabilities_key_means_none(void **state)
{
	CLEANUP(oci_process_free) struct oci_process *p = process_of("");
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(p);

	(void)state;
	if (!caps_have(CAP_SETPCAP)) {
		print_message("needs CAP_SETPCAP\n");
		skip();
	}
	prepared(&o, &c);
	if (in_child(apply_nothing, c) < 0)
		fail_msg("%s", err_msg(shared));
}

/* ---- capabilities ------------------------------------------------------------------------------- */

/* The first capability that the kernel has and we have not. */
static const char *missing_capability(void)
{
	uint64_t lacking = caps_kernel_mask() & ~caps_bounding();

	for (unsigned int n = 0; n < 64; n++) {
		if (lacking & CAP_BIT(n))
			return caps_name(n);
	}
	return NULL;
}

static struct oci_process *asking_for(const char *cap)
{
	cleanup_free char *members =
		str_fmt("\"capabilities\":{\"bounding\":[\"%s\"],\"permitted\":[\"%s\"]}", cap, cap);

	return process_of(members);
}

static void a_capability_that_we_lack_is_an_error_unless_lenient(void **state)
{
	CLEANUP(confine_free) struct confine *c = NULL, *lenient = NULL, *inside = NULL;
	CLEANUP(oci_process_free) struct oci_process *p = NULL;
	const char *cap = missing_capability();
	struct error e = ERROR_INIT;
	struct confine_opts o;

	(void)state;
	if (!cap) {
		print_message("no capability is missing here\n");
		skip();
	}
	p = asking_for(cap);
	o = opts_of(p);
	assert_int_equal(confine_prepare(&o, &c, &e), -ERR_DENIED);
	assert_non_null(strstr(err_msg(&e), cap));
	/* In a user namespace of its own it would have it. */
	o.in_user_ns = true;
	prepared(&o, &inside);
	assert_null(confine_warning(inside, 0));
	o.in_user_ns = false;
	o.caps_lenient = true;
	prepared(&o, &lenient);
	assert_non_null(strstr(confine_warning(lenient, 0), cap));
}

static void all_capabilities_are_all_that_there_are(void **state)
{
	CLEANUP(oci_process_free) struct oci_process *p = process_of("");
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(p);

	(void)state;
	p->capabilities.set[OCI_CAP_BOUNDING] = p->capabilities.set[OCI_CAP_PERMITTED] = caps_kernel_mask();
	prepared(&o, &c);
	if (missing_capability())
		assert_non_null(strstr(confine_warning(c, 0), missing_capability()));
	else
		assert_null(confine_warning(c, 0));
}

static void contradictory_sets_are_told(void **state)
{
	CLEANUP(oci_process_free)
	struct oci_process *wrong = process_of("\"capabilities\":{\"effective\":[\"CAP_KILL\"]}");
	CLEANUP(oci_process_free)
	struct oci_process *ambient = process_of("\"capabilities\":{" CAPS(
		"permitted") ",\"ambient\":[\"CAP_KILL\"],\"bounding\":[\"CAP_FLY\"]}");
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(wrong);
	struct error e = ERROR_INIT;

	(void)state;
	o.in_user_ns = true;
	assert_int_equal(confine_prepare(&o, &c, &e), -ERR_INVALID);
	assert_string_equal(err_msg(&e), "process.capabilities.effective: CAP_KILL is not in permitted");
	o.process = ambient;
	prepared(&o, &c);
	assert_string_equal(confine_warning(c, 0),
			    "capabilities: left out \"CAP_FLY\": there is none of this name");
	assert_non_null(strstr(confine_warning(c, 1), "CAP_KILL out of ambient"));
	assert_null(confine_warning(c, 2));
}

/* ---- rlimits and the OOM score ------------------------------------------------------------------ */

static void drop_resource(void)
{
	uint64_t effective = 0, permitted = 0, inheritable = 0;

	expect(caps_get(&effective, &permitted, &inheritable, shared) == 0);
	expect(caps_set(effective & ~CAP_BIT(CAP_SYS_RESOURCE), permitted & ~CAP_BIT(CAP_SYS_RESOURCE),
			inheritable, shared) == 0);
}

static void apply_rlimits(struct confine *c)
{
	struct rlimit l = { 50, 100 };

	drop_resource();
	expect(setrlimit(RLIMIT_NOFILE, &l) == 0);
	expect(confine_outside(c, 0, -1, shared) == 0);
	expect(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == 100 && l.rlim_max == 100);
	expect(getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_cur == 0 && l.rlim_max == 0);
	expect(str_eq(confine_warning(c, 0),
		      "RLIMIT_NOFILE: hard limit 300 clamped to 100: raising it needs CAP_SYS_RESOURCE"));
	expect(!confine_warning(c, 1));
}

static void a_hard_limit_that_cannot_rise_is_clamped_with_a_warning(void **state)
{
	CLEANUP(oci_process_free)
	struct oci_process *p =
		process_of("\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":200,\"hard\":300},"
			   "{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":0}]");
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(p);

	(void)state;
	prepared(&o, &c);
	if (in_child(apply_rlimits, c) < 0)
		fail_msg("%s", err_msg(shared));
}

static void apply_low_score(struct confine *c)
{
	drop_resource();
	if (confine_outside(c, 0, -1, shared) < 0)
		_exit(0);
	expect(strstr(confine_warning(c, 0), "oom_score_adj: left at"));
}

static void a_lower_oom_score_is_an_error_or_left_as_it_is(void **state)
{
	CLEANUP(oci_process_free) struct oci_process *p = process_of("\"oomScoreAdj\":-1000");
	CLEANUP(confine_free) struct confine *strict = NULL, *restricted = NULL;
	struct confine_opts o = opts_of(p);

	(void)state;
	prepared(&o, &strict);
	o.restrict_oom_score = true;
	prepared(&o, &restricted);
	assert_int_equal(in_child(apply_low_score, strict), -ERR_DENIED);
	assert_non_null(strstr(err_msg(shared), "oom_score_adj to -1000"));
	if (in_child(apply_low_score, restricted) < 0)
		fail_msg("%s", err_msg(shared));
}

static void another_process_is_confined_from_outside(void **state)
{
	CLEANUP(oci_process_free)
	struct oci_process *p = process_of(
		"\"oomScoreAdj\":777,\"rlimits\":[{\"type\":\"RLIMIT_FSIZE\",\"soft\":4096,\"hard\":8192}]");
	CLEANUP(confine_free) struct confine *c = NULL;
	cleanup_buf struct buf score = BUF_INIT;
	struct confine_opts o = opts_of(p);
	struct error e = ERROR_INIT;
	struct rlimit l;
	char path[64];
	int status;
	pid_t pid;

	(void)state;
	prepared(&o, &c);
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(confine_outside(c, pid, -1, &e), 0);
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	assert_int_equal(file_read(AT_FDCWD, path, 64, &score, &e), 0);
	assert_int_equal(prlimit(pid, RLIMIT_FSIZE, NULL, &l), 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_string_equal(buf_str(&score), "777\n");
	assert_true(l.rlim_cur == 4096 && l.rlim_max == 8192);
}

/* ---- what this host cannot do ------------------------------------------------------------------- */

static void a_label_without_its_module_is_an_error(void **state)
{
	CLEANUP(oci_process_free)
	struct oci_process *apparmor = process_of("\"apparmorProfile\":\"hull-default\"");
	CLEANUP(oci_process_free)
	struct oci_process *selinux = process_of("\"selinuxLabel\":\"system_u:system_r:container_t:s0\"");
	CLEANUP(oci_process_free)
	struct oci_process *unconfined = process_of("\"apparmorProfile\":\"unconfined\"");
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(apparmor);
	struct error e = ERROR_INIT;

	(void)state;
	if (lsm_has_apparmor() || lsm_has_selinux()) {
		print_message("a label module is active here\n");
		skip();
	}
	assert_int_equal(confine_prepare(&o, &c, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "AppArmor is not enabled"));
	o.process = selinux;
	assert_int_equal(confine_prepare(&o, &c, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "SELinux is not enabled"));
	o.process = unconfined;
	prepared(&o, &c);
}

static void groups_are_an_error_where_setgroups_is_denied(void **state)
{
	CLEANUP(oci_process_free)
	struct oci_process *p = process_of("\"user\":{\"uid\":0,\"gid\":0,\"additionalGids\":[5]}");
	CLEANUP(confine_free) struct confine *c = NULL;
	struct confine_opts o = opts_of(p);
	struct error e = ERROR_INIT;

	(void)state;
	o.setgroups_denied = true;
	assert_int_equal(confine_prepare(&o, &c, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "process.user.additionalGids"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_asked_for_is_what_the_process_has),
		cmocka_unit_test(seccomp_without_no_new_privs_is_loaded_while_it_can_be),
		cmocka_unit_test(no_capabilities_key_means_none),
		cmocka_unit_test(a_capability_that_we_lack_is_an_error_unless_lenient),
		cmocka_unit_test(all_capabilities_are_all_that_there_are),
		cmocka_unit_test(contradictory_sets_are_told),
		cmocka_unit_test(a_hard_limit_that_cannot_rise_is_clamped_with_a_warning),
		cmocka_unit_test(a_lower_oom_score_is_an_error_or_left_as_it_is),
		cmocka_unit_test(another_process_is_confined_from_outside),
		cmocka_unit_test(a_label_without_its_module_is_an_error),
		cmocka_unit_test(groups_are_an_error_where_setgroups_is_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
