/* SPDX-License-Identifier: Apache-2.0 */
/* Programs are judged by what they answer to calls. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/str.h"
#include "codec/json.h"
#include "oci/defaults.h"
#include "oci/seccomp_agent.h"
#include "oci/seccomp_bpf.h"
#include "seccomp_kit.h"
#include "sys/caps.h"
#include "sys/seccomp.h"

#define EPERM_ANSWER SCMP_ACT_ERRNO(EPERM)
#define ENOSYS_ANSWER SCMP_ACT_ERRNO(ENOSYS)

/* ---- the default profile ------------------------------------------------------------------------ */

static void the_default_allows_what_images_need(void **state)
{
	static const char *const names[] = {
		"read",
		"write",
		"openat",
		"openat2",
		"execve",
		"execveat",
		"fork",
		"vfork",
		"mmap",
		"mprotect",
		"brk",
		"futex",
		"rt_sigaction",
		"clock_gettime",
		"getrandom",
		"connect",
		"accept4",
		"epoll_wait",
		"epoll_pwait2",
		"statx",
		"faccessat2",
		"rseq",
		"set_robust_list",
		"prlimit64",
		"arch_prctl",
		"memfd_create",
		"copy_file_range",
		"setuid",
		"setgroups",
		"chown",
		"mknod",
		"chroot",
		"capset",
		"prctl",
		"seccomp",
		"landlock_create_ruleset",
		"close_range",
		"pidfd_open",
		"inotify_init1",
		"timerfd_create",
		"eventfd2",
		"io_setup",
		"shmget",
		"semget",
		"mq_open",
		"setxattr",
		"ptrace",
		"sched_setaffinity",
		"ioprio_set",
		"getcpu",
		"futex_waitv",
		"clone",
	};
	cleanup_buf struct buf code = seccomp_compiled_default(oci_default_capability_mask());

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (bpf_answer(&code, names[i], 0) != SCMP_ACT_ALLOW)
			fail_msg("%s: %#x", names[i], bpf_answer(&code, names[i], 0));
	}
}

static void the_default_blocks_what_reaches_the_host(void **state)
{
	static const char *const names[] = {
		"mount",
		"umount2",
		"unshare",
		"setns",
		"pivot_root",
		"move_mount",
		"fsopen",
		"open_tree",
		"mount_setattr",
		"bpf",
		"perf_event_open",
		"keyctl",
		"add_key",
		"request_key",
		"userfaultfd",
		"kexec_load",
		"init_module",
		"finit_module",
		"delete_module",
		"reboot",
		"swapon",
		"acct",
		"settimeofday",
		"clock_settime",
		"iopl",
		"ioperm",
		"open_by_handle_at",
		"quotactl",
		"syslog",
		"io_uring_setup",
		"io_uring_enter",
		"kcmp",
		"pidfd_getfd",
		"vhangup",
		"sethostname",
		"mbind",
		"set_mempolicy",
		"lookup_dcookie",
		"nfsservctl",
		"uselib",
		"ustat",
		"fanotify_init",
	};
	cleanup_buf struct buf code = seccomp_compiled_default(oci_default_capability_mask());

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (bpf_answer(&code, names[i], 0) != EPERM_ANSWER)
			fail_msg("%s: %#x", names[i], bpf_answer(&code, names[i], 0));
	}
}

static void the_default_looks_at_arguments(void **state)
{
	cleanup_buf struct buf code = seccomp_compiled_default(0),
			       admin = seccomp_compiled_default(CAP_BIT(CAP_SYS_ADMIN));

	(void)state;
	assert_int_equal(bpf_answer(&code, "clone", CLONE_VM | CLONE_FS | CLONE_THREAD), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "clone", CLONE_NEWUSER), EPERM_ANSWER);
	assert_int_equal(bpf_answer(&code, "clone", CLONE_VM | CLONE_NEWNET), EPERM_ANSWER);
	assert_int_equal(bpf_answer(&code, "clone3", 0), ENOSYS_ANSWER);
	assert_int_equal(bpf_answer(&admin, "clone", CLONE_NEWUSER), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&admin, "clone3", 0), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "socket", AF_INET), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "socket", AF_VSOCK), EPERM_ANSWER);
	assert_int_equal(bpf_answer(&code, "personality", 0xffffffff), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "personality", 0x0040000 /* ADDR_NO_RANDOMIZE */), EPERM_ANSWER);
}

static void capabilities_open_more_of_the_default(void **state)
{
	static const struct {
		int cap;
		const char *name;
	} rows[] = {
		{ CAP_SYS_ADMIN, "mount" },
		{ CAP_SYS_ADMIN, "unshare" },
		{ CAP_SYS_ADMIN, "setns" },
		{ CAP_SYS_ADMIN, "bpf" },
		{ CAP_BPF, "bpf" },
		{ CAP_PERFMON, "perf_event_open" },
		{ CAP_SYS_CHROOT, "chroot" },
		{ CAP_SYS_MODULE, "init_module" },
		{ CAP_SYS_PTRACE, "pidfd_getfd" },
		{ CAP_SYS_TIME, "settimeofday" },
		{ CAP_SYS_BOOT, "reboot" },
		{ CAP_SYSLOG, "syslog" },
		{ CAP_SYS_NICE, "mbind" },
		{ CAP_DAC_READ_SEARCH, "open_by_handle_at" },
	};
	cleanup_buf struct buf none = seccomp_compiled_default(0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf code = seccomp_compiled_default(CAP_BIT((unsigned int)rows[i].cap));

		if (bpf_answer(&none, rows[i].name, 0) != EPERM_ANSWER ||
		    bpf_answer(&code, rows[i].name, 0) != SCMP_ACT_ALLOW)
			fail_msg("%s", rows[i].name);
	}
}

/* What the profile says of a call on an architecture without looking at arguments: 1 allowed, 0 not, -1 it depends
 * on arguments, or is more than an allowance. */
static int profile_says(const struct oci_seccomp *p, uint32_t arch, int number)
{
	cleanup_free char *name = seccomp_syscall_resolve_num_arch(arch, number);
	int says = 0;

	for (size_t i = 0; i < p->syscalls.n; i++) {
		const struct oci_seccomp_rule *rule = &p->syscalls.v[i];

		for (size_t j = 0; j < rule->names.n; j++) {
			if (!str_eq(name, rule->names.v[j]))
				continue;
			if (rule->args.n || rule->action != SCMP_ACT_ALLOW)
				return -1;
			says = 1;
		}
	}
	return says;
}

static void every_call_of_the_default_is_allowed_and_no_other(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = seccomp_default_spec(oci_default_capability_mask());
	cleanup_buf struct buf code = seccomp_compiled_default(oci_default_capability_mask());
	size_t allowed = 0;

	(void)state;
	for (size_t a = 0; a < 2 && a < spec->linux.seccomp->architecture_count; a++) {
		struct seccomp_data data = { .arch = spec->linux.seccomp->architectures[a] };

		for (data.nr = 0; data.nr < 448; data.nr++) {
			int says = profile_says(spec->linux.seccomp, data.arch, data.nr);
			uint32_t does = bpf_run(&code, &data);

			if (says >= 0 && does != (says ? SCMP_ACT_ALLOW : EPERM_ANSWER))
				fail_msg("arch %#x call %d: %#x", data.arch, data.nr, does);
			allowed += says == 1;
		}
	}
	assert_true(allowed > 300);
}

static void calls_newer_than_libseccomp_are_decided_too(void **state)
{
	cleanup_buf struct buf code = seccomp_compiled_default(0);

	(void)state;
	assert_int_equal(bpf_answer_number(&code, 452 /* fchmodat2 */), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer_number(&code, 462 /* mseal */), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer_number(&code, 467 /* open_tree_attr */), EPERM_ANSWER);
	assert_int_equal(bpf_answer_number(&code, 600), ENOSYS_ANSWER);
}

static void the_default_covers_the_32_bit_machine(void **state)
{
#if defined(__x86_64__)
	cleanup_buf struct buf code = seccomp_compiled_default(0);
	struct seccomp_data data = { .arch = AUDIT_ARCH_I386, .nr = 3 /* read */ };

	(void)state;
	assert_int_equal(bpf_run(&code, &data), SCMP_ACT_ALLOW);
	data.nr = 21; /* mount */
	assert_int_equal(bpf_run(&code, &data), EPERM_ANSWER);
	data.nr = 452;
	assert_int_equal(bpf_run(&code, &data), SCMP_ACT_ALLOW);
	data.arch = AUDIT_ARCH_AARCH64;
	assert_int_equal(bpf_run(&code, &data), SCMP_ACT_KILL_THREAD);
#else
	(void)state;
	print_message("only on x86_64\n");
	skip();
#endif
}

/* ---- profiles of others ------------------------------------------------------------------------- */

static void conditions_on_one_argument_are_alternatives(void **state)
{
	cleanup_buf struct buf code =
		seccomp_compiled("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{"
				 "\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\","
				 "\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{"
				 "\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}");

	(void)state;
	assert_int_equal(bpf_answer(&code, "personality", 1), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "personality", 2), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "personality", 3), EPERM_ANSWER);
}

static void an_allowing_default_has_no_enosys(void **state)
{
	cleanup_buf struct buf code =
		seccomp_compiled("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
				 "\"names\":[\"mount\",\"no_such_call\",\"fchmodat2\"],"
				 "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":5},{\"names\":["
				 "\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");

	(void)state;
	assert_int_equal(bpf_answer(&code, "mount", 0), SCMP_ACT_ERRNO(5));
	assert_int_equal(bpf_answer_number(&code, 452), SCMP_ACT_ERRNO(5));
	assert_int_equal(bpf_answer_number(&code, 600), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "read", 0), SCMP_ACT_ALLOW);
}

static void an_old_profile_answers_enosys_for_new_calls(void **state)
{
	cleanup_buf struct buf code =
		seccomp_compiled("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\","
				 "\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");

	(void)state;
	assert_int_equal(bpf_answer(&code, "openat2", 0), SCMP_ACT_ALLOW);
	assert_int_equal(bpf_answer(&code, "write", 0), EPERM_ANSWER);
	assert_int_equal(bpf_answer(&code, "faccessat2", 0), ENOSYS_ANSWER);
	assert_int_equal(bpf_answer_number(&code, 452), ENOSYS_ANSWER);
}

/* The filter asks for a listener, and what goes badly with one is left out (seccomp(2)). */
static void notify_asks_for_a_listener(void **state)
{
	CLEANUP(oci_spec_free)
	struct oci_spec *spec =
		seccomp_spec("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_TSYNC\","
			     "\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\",\"SECCOMP_FILTER_FLAG_LOG\"],"
			     "\"syscalls\":[{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}");
	struct oci_seccomp *p = spec->linux.seccomp;
	cleanup_buf struct buf code = BUF_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(oci_seccomp_compile(p, &code, &e), 0);
	assert_int_equal(bpf_answer(&code, "mount", 0), SCMP_ACT_NOTIFY);
	assert_int_equal(bpf_answer(&code, "umount2", 0), SCMP_ACT_ALLOW);
	assert_true(seccomp_notifies(p));
	assert_int_equal(seccomp_filter_flags(p),
			 SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_LOG | 1u << 5);
	p->syscalls.n = 0;
	assert_false(seccomp_notifies(p));
	assert_int_equal(seccomp_filter_flags(p), SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG);
}

static void unknown_flags_are_named(void **state)
{
	CLEANUP(oci_spec_free)
	struct oci_spec *spec = seccomp_spec("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
	cleanup_buf struct buf code = BUF_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	spec->linux.seccomp->flags = 1u << 20;
	assert_int_equal(oci_seccomp_compile(spec->linux.seccomp, &code, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "0x100000"));
	assert_int_equal(code.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_allows_what_images_need),
		cmocka_unit_test(the_default_blocks_what_reaches_the_host),
		cmocka_unit_test(the_default_looks_at_arguments),
		cmocka_unit_test(capabilities_open_more_of_the_default),
		cmocka_unit_test(every_call_of_the_default_is_allowed_and_no_other),
		cmocka_unit_test(calls_newer_than_libseccomp_are_decided_too),
		cmocka_unit_test(the_default_covers_the_32_bit_machine),
		cmocka_unit_test(conditions_on_one_argument_are_alternatives),
		cmocka_unit_test(an_allowing_default_has_no_enosys),
		cmocka_unit_test(an_old_profile_answers_enosys_for_new_calls),
		cmocka_unit_test(notify_asks_for_a_listener),
		cmocka_unit_test(unknown_flags_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
