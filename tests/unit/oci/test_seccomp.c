/* SPDX-License-Identifier: Apache-2.0 */
/* Programs are judged by what they answer: a small interpreter of classic BPF (the instructions that libseccomp and
 * our prologue use) runs them on a struct seccomp_data, without installing anything. */
#include <errno.h>
#include <fcntl.h>
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/json.h"
#include "oci/defaults.h"
#include "oci/seccomp_agent.h"
#include "oci/seccomp_bpf.h"
#include "sys/caps.h"
#include "sys/seccomp.h"

static bool jumps(const struct sock_filter *f, uint32_t a)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return a == f->k;
	case BPF_JGT:
		return a > f->k;
	case BPF_JGE:
		return a >= f->k;
	case BPF_JSET:
		return a & f->k;
	}
	fail_msg("jump %#x", f->code);
	return false;
}

static uint32_t run(const struct buf *code, const struct seccomp_data *data)
{
	const struct sock_filter *f = (const void *)code->data, *end = f + code->len / sizeof(*f);
	uint32_t a = 0, mem[BPF_MEMWORDS] = { 0 };

	while (f < end) {
		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			if (BPF_MODE(f->code) == BPF_ABS)
				memcpy(&a, (const char *)data + f->k, sizeof(a));
			else if (BPF_MODE(f->code) == BPF_MEM)
				a = mem[f->k];
			else
				a = f->k;
			break;
		case BPF_ST:
			mem[f->k] = a;
			break;
		case BPF_ALU:
			assert_int_equal(BPF_OP(f->code), BPF_AND);
			a &= f->k;
			break;
		case BPF_JMP:
			f += BPF_OP(f->code) == BPF_JA ? f->k : jumps(f, a) ? f->jt : f->jf;
			break;
		case BPF_RET:
			return f->k;
		default:
			fail_msg("instruction %#x", f->code);
		}
		f++;
	}
	fail_msg("the program has no end");
	return 0;
}

static uint32_t answer(const struct buf *code, const char *name, uint64_t arg0)
{
	struct seccomp_data data = { .arch = seccomp_arch_native(), .args = { arg0 } };

	data.nr = seccomp_syscall_resolve_name(name);
	assert_int_not_equal(data.nr, __NR_SCMP_ERROR);
	return run(code, &data);
}

static uint32_t answer_number(const struct buf *code, int number)
{
	struct seccomp_data data = { .arch = seccomp_arch_native(), .nr = number };

	return run(code, &data);
}

/* The profile inside of a config.json, parsed and compiled. */
static struct oci_spec *spec_of(const char *seccomp)
{
	cleanup_free char *json = str_fmt("{\"ociVersion\":\"1.0.0\",\"linux\":{\"seccomp\":%s}}", seccomp);
	struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	if (oci_spec_parse(json, strlen(json), &spec, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return spec;
}

static struct oci_spec *default_spec(uint64_t caps)
{
	cleanup_json struct json_object *o = oci_default_seccomp(caps);
	cleanup_buf struct buf b = BUF_INIT;

	json_text(o, false, &b);
	return spec_of(buf_str(&b));
}

static struct buf compiled(const char *seccomp)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = spec_of(seccomp);
	struct error e = ERROR_INIT;
	struct buf code = BUF_INIT;

	if (oci_seccomp_compile(spec->linux.seccomp, &code, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return code;
}

static struct buf compiled_default(uint64_t caps)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = default_spec(caps);
	struct error e = ERROR_INIT;
	struct buf code = BUF_INIT;

	if (oci_seccomp_compile(spec->linux.seccomp, &code, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return code;
}

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
	cleanup_buf struct buf code = compiled_default(oci_default_capability_mask());

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (answer(&code, names[i], 0) != SCMP_ACT_ALLOW)
			fail_msg("%s: %#x", names[i], answer(&code, names[i], 0));
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
	cleanup_buf struct buf code = compiled_default(oci_default_capability_mask());

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (answer(&code, names[i], 0) != EPERM_ANSWER)
			fail_msg("%s: %#x", names[i], answer(&code, names[i], 0));
	}
}

static void the_default_looks_at_arguments(void **state)
{
	cleanup_buf struct buf code = compiled_default(0), admin = compiled_default(CAP_BIT(CAP_SYS_ADMIN));

	(void)state;
	assert_int_equal(answer(&code, "clone", CLONE_VM | CLONE_FS | CLONE_THREAD), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "clone", CLONE_NEWUSER), EPERM_ANSWER);
	assert_int_equal(answer(&code, "clone", CLONE_VM | CLONE_NEWNET), EPERM_ANSWER);
	assert_int_equal(answer(&code, "clone3", 0), ENOSYS_ANSWER);
	assert_int_equal(answer(&admin, "clone", CLONE_NEWUSER), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&admin, "clone3", 0), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "socket", AF_INET), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "socket", AF_VSOCK), EPERM_ANSWER);
	assert_int_equal(answer(&code, "personality", 0xffffffff), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "personality", 0x0040000 /* ADDR_NO_RANDOMIZE */), EPERM_ANSWER);
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
	cleanup_buf struct buf none = compiled_default(0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf code = compiled_default(CAP_BIT((unsigned int)rows[i].cap));

		if (answer(&none, rows[i].name, 0) != EPERM_ANSWER ||
		    answer(&code, rows[i].name, 0) != SCMP_ACT_ALLOW)
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
	CLEANUP(oci_spec_free) struct oci_spec *spec = default_spec(oci_default_capability_mask());
	cleanup_buf struct buf code = compiled_default(oci_default_capability_mask());
	size_t allowed = 0;

	(void)state;
	for (size_t a = 0; a < 2 && a < spec->linux.seccomp->architecture_count; a++) {
		struct seccomp_data data = { .arch = spec->linux.seccomp->architectures[a] };

		for (data.nr = 0; data.nr < 448; data.nr++) {
			int says = profile_says(spec->linux.seccomp, data.arch, data.nr);
			uint32_t does = run(&code, &data);

			if (says >= 0 && does != (says ? SCMP_ACT_ALLOW : EPERM_ANSWER))
				fail_msg("arch %#x call %d: %#x", data.arch, data.nr, does);
			allowed += says == 1;
		}
	}
	assert_true(allowed > 300);
}

static void calls_newer_than_libseccomp_are_decided_too(void **state)
{
	cleanup_buf struct buf code = compiled_default(0);

	(void)state;
	assert_int_equal(answer_number(&code, 452 /* fchmodat2 */), SCMP_ACT_ALLOW);
	assert_int_equal(answer_number(&code, 462 /* mseal */), SCMP_ACT_ALLOW);
	assert_int_equal(answer_number(&code, 467 /* open_tree_attr */), EPERM_ANSWER);
	assert_int_equal(answer_number(&code, 600), ENOSYS_ANSWER);
}

static void the_default_covers_the_32_bit_machine(void **state)
{
#if defined(__x86_64__)
	cleanup_buf struct buf code = compiled_default(0);
	struct seccomp_data data = { .arch = AUDIT_ARCH_I386, .nr = 3 /* read */ };

	(void)state;
	assert_int_equal(run(&code, &data), SCMP_ACT_ALLOW);
	data.nr = 21; /* mount */
	assert_int_equal(run(&code, &data), EPERM_ANSWER);
	data.nr = 452;
	assert_int_equal(run(&code, &data), SCMP_ACT_ALLOW);
	data.arch = AUDIT_ARCH_AARCH64;
	assert_int_equal(run(&code, &data), SCMP_ACT_KILL_THREAD);
#else
	(void)state;
	print_message("only on x86_64\n");
	skip();
#endif
}

/* ---- profiles of others ------------------------------------------------------------------------- */

static void conditions_on_one_argument_are_alternatives(void **state)
{
	cleanup_buf struct buf code = compiled("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{"
					       "\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\","
					       "\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{"
					       "\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}");

	(void)state;
	assert_int_equal(answer(&code, "personality", 1), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "personality", 2), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "personality", 3), EPERM_ANSWER);
}

static void an_allowing_default_has_no_enosys(void **state)
{
	cleanup_buf struct buf code = compiled("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
					       "\"names\":[\"mount\",\"no_such_call\",\"fchmodat2\"],"
					       "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":5},{\"names\":["
					       "\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");

	(void)state;
	assert_int_equal(answer(&code, "mount", 0), SCMP_ACT_ERRNO(5));
	assert_int_equal(answer_number(&code, 452), SCMP_ACT_ERRNO(5));
	assert_int_equal(answer_number(&code, 600), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "read", 0), SCMP_ACT_ALLOW);
}

static void an_old_profile_answers_enosys_for_new_calls(void **state)
{
	cleanup_buf struct buf code =
		compiled("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\","
			 "\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");

	(void)state;
	assert_int_equal(answer(&code, "openat2", 0), SCMP_ACT_ALLOW);
	assert_int_equal(answer(&code, "write", 0), EPERM_ANSWER);
	assert_int_equal(answer(&code, "faccessat2", 0), ENOSYS_ANSWER);
	assert_int_equal(answer_number(&code, 452), ENOSYS_ANSWER);
}

/* The filter asks for a listener, and what goes badly with one is left out (seccomp(2)). */
static void notify_asks_for_a_listener(void **state)
{
	CLEANUP(oci_spec_free)
	struct oci_spec *spec =
		spec_of("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_TSYNC\","
			"\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\",\"SECCOMP_FILTER_FLAG_LOG\"],"
			"\"syscalls\":[{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}");
	struct oci_seccomp *p = spec->linux.seccomp;
	cleanup_buf struct buf code = BUF_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(oci_seccomp_compile(p, &code, &e), 0);
	assert_int_equal(answer(&code, "mount", 0), SCMP_ACT_NOTIFY);
	assert_int_equal(answer(&code, "umount2", 0), SCMP_ACT_ALLOW);
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
	struct oci_spec *spec = spec_of("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
	cleanup_buf struct buf code = BUF_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	spec->linux.seccomp->flags = 1u << 20;
	assert_int_equal(oci_seccomp_compile(spec->linux.seccomp, &code, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "0x100000"));
	assert_int_equal(code.len, 0);
}

/* ---- the cache ---------------------------------------------------------------------------------- */

static char dir[64];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/hull-test-seccomp-XXXXXX");
	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	return path_remove_tree(AT_FDCWD, *state, NULL);
}

/* The one file in the cache. */
static void only_file(char out[300])
{
	cleanup_free char *pattern = str_fmt("ls %s", dir);
	FILE *f = popen(pattern, "r");
	char name[256] = "", more[256];

	assert_true(fgets(name, sizeof(name), f));
	assert_null(fgets(more, sizeof(more), f));
	pclose(f);
	name[strcspn(name, "\n")] = 0;
	snprintf(out, 300, "%s/%s", dir, name);
}

static void get(const struct oci_seccomp *profile, int dfd, struct buf *code)
{
	struct error e = ERROR_INIT;

	buf_clear(code);
	if (oci_seccomp_get(profile, dfd, code, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

static void a_cached_program_is_the_compiled_one(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = default_spec(0);
	cleanup_buf struct buf direct = BUF_INIT, first = BUF_INIT, second = BUF_INIT;
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t t0, t1, t2;
	char path[300];
	struct stat st;

	(void)state;
	get(spec->linux.seccomp, -1, &direct);
	t0 = clock_mono_ns();
	get(spec->linux.seccomp, dfd, &first);
	t1 = clock_mono_ns();
	get(spec->linux.seccomp, dfd, &second);
	t2 = clock_mono_ns();
	assert_int_equal(direct.len, first.len);
	assert_memory_equal(direct.data, first.data, first.len);
	assert_int_equal(second.len, first.len);
	assert_memory_equal(second.data, first.data, first.len);
	only_file(path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	print_message("compiled in %lld us, cached in %lld us, %zu instructions\n",
		      (long long)(t1 - t0) / 1000, (long long)(t2 - t1) / 1000,
		      first.len / sizeof(struct sock_filter));
	assert_true(t2 - t1 < t1 - t0);
}

/* A cached file with another program in it, right in all but `what`. */
static void a_wrong_cache_file_is_replaced(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = default_spec(0);
	cleanup_buf struct buf good = BUF_INIT, again = BUF_INIT, content = BUF_INIT;
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error e = ERROR_INIT;
	char path[300];

	(void)state;
	get(spec->linux.seccomp, dfd, &good);
	only_file(path);
	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &content, &e), 0);
	/* A flipped bit in the program, in the profile, in the head; a cut file; an empty one. */
	for (int i = 0; i < 5; i++) {
		static const int cut[] = { 0, 0, 0, 9, -1 };
		size_t at = i == 0 ? content.len - 4 : i == 1 ? 40 : 4;
		size_t len = cut[i] < 0 ? 0 : content.len - (size_t)cut[i];
		int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		content.data[at] ^= 1;
		assert_int_equal(write(fd, content.data, len), len);
		close(fd);
		content.data[at] ^= 1;
		get(spec->linux.seccomp, dfd, &again);
		assert_int_equal(again.len, good.len);
		assert_memory_equal(again.data, good.data, good.len);
	}
}

static void a_cache_file_that_others_could_write_is_not_used(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = default_spec(0);
	cleanup_buf struct buf good = BUF_INIT, again = BUF_INIT;
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	char path[300];

	(void)state;
	get(spec->linux.seccomp, dfd, &good);
	only_file(path);
	assert_int_equal(chmod(path, 0622), 0);
	get(spec->linux.seccomp, dfd, &again);
	assert_memory_equal(again.data, good.data, good.len);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600); /* replaced, not trusted */
}

static void different_profiles_serialize_differently(void **state)
{
	static const char *const texts[] = {
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\"}",
		"{\"defaultAction\":\"SCMP_ACT_LOG\"}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\",\"b\"],\"action\":"
		"\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_"
		"ACT_ERRNO\"},"
		"{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\"],\"action\":\"SCMP_"
		"ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\"],\"action\":\"SCMP_"
		"ACT_ERRNO\","
		"\"args\":[{\"index\":1,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\"],\"action\":\"SCMP_"
		"ACT_ERRNO\","
		"\"args\":[{\"index\":1,\"value\":1,\"valueTwo\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
	};
	struct buf all[ARRAY_LEN(texts)] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP(oci_spec_free) struct oci_spec *spec = spec_of(texts[i]);

		oci_seccomp_serialize(spec->linux.seccomp, &all[i]);
		for (size_t j = 0; j < i; j++)
			assert_false(all[i].len == all[j].len &&
				     memcmp(all[i].data, all[j].data, all[i].len) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		buf_done(&all[i]);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

/* ---- fewer instructions ------------------------------------------------------------------------- */

static uint32_t random_below(uint64_t *seed, uint32_t n)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(*seed >> 33) % n;
}

static void add_random_rule(scmp_filter_ctx ctx, uint64_t *seed)
{
	static const uint32_t actions[] = { SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(1), SCMP_ACT_ERRNO(38),
					    SCMP_ACT_KILL };
	static const enum scmp_compare ops[] = { SCMP_CMP_EQ, SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_GE,
						 SCMP_CMP_GT };
	struct scmp_arg_cmp args[2];
	unsigned int n = random_below(seed, 4) ? 0 : 1 + random_below(seed, 2);
	uint32_t action;
	int first;

	for (unsigned int i = 0; i < n; i++) {
		args[i] = (struct scmp_arg_cmp){
			i + random_below(seed, 3) * 2, ops[random_below(seed, ARRAY_LEN(ops))],
			(uint64_t)random_below(seed, 4) << (random_below(seed, 2) * 32), 0
		};
		if (random_below(seed, 3) == 0) {
			args[i].op = SCMP_CMP_MASKED_EQ;
			args[i].datum_b = args[i].datum_a;
		}
	}
	/* Neighbours often have one answer. Some are refused, as equal to the default or in conflict with another;
	 * that is as good. */
	first = (int)random_below(seed, 400);
	action = actions[random_below(seed, ARRAY_LEN(actions))];
	for (int i = 0; i < (n ? 1 : 8); i++)
		seccomp_rule_add_array(ctx, action, first + i, n, args);
}

static struct buf random_program(uint64_t *seed)
{
	scmp_filter_ctx ctx = seccomp_init(random_below(seed, 2) ? SCMP_ACT_ERRNO(1) : SCMP_ACT_ALLOW);
	struct buf code = BUF_INIT;
	struct error e = ERROR_INIT;

	assert_non_null(ctx);
	if (random_below(seed, 2))
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (random_below(seed, 2) && seccomp_arch_native() == SCMP_ARCH_X86_64) {
		seccomp_arch_add(ctx, SCMP_ARCH_X86);
		seccomp_arch_add(ctx, SCMP_ARCH_X32);
	}
	for (uint32_t n = random_below(seed, 80); n > 0; n--)
		add_random_rule(ctx, seed);
	if (seccomp_export(ctx, &code, &e) < 0)
		fail_msg("%s", err_msg(&e));
	seccomp_release(ctx);
	return code;
}

/* Every number of a call, and arguments around the ones of the rules. */
static void assert_same_answers(const struct buf *a, const struct buf *b, uint64_t *seed)
{
	const uint32_t arches[] = { seccomp_arch_native(), AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, 0,
				    0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(arches); i++)
		for (uint32_t n = 0; n < 1200; n++) {
			static const uint32_t bases[] = { 0, 0x40000000, 0xfffffe00 };
			struct seccomp_data d = { .arch = arches[i] };

			d.nr = (int)(bases[n / 400] + n % 400 + random_below(seed, 150));
			for (size_t k = 0; k < ARRAY_LEN(d.args); k++)
				d.args[k] = (uint64_t)random_below(seed, 5) << (random_below(seed, 2) * 32);
			if (run(a, &d) != run(b, &d))
				fail_msg("arch %#x call %#x: %#x and %#x", d.arch, d.nr, run(a, &d),
					 run(b, &d));
		}
}

static size_t instructions(const struct buf *code)
{
	return code->len / sizeof(struct sock_filter);
}

static bool shrunk(const struct buf *code, struct buf *ret)
{
	return oci_seccomp_shrink((const void *)code->data, instructions(code), ret);
}

static void a_shorter_program_answers_the_same(void **state)
{
	uint64_t seed = 1;
	unsigned int shorter = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		cleanup_buf struct buf code = random_program(&seed), small = BUF_INIT;

		if (!shrunk(&code, &small)) {
			assert_int_equal(small.len, 0);
			continue;
		}
		shorter++;
		assert_true(small.len <= code.len);
		assert_same_answers(&code, &small, &seed);
	}
	if (shorter < 100)
		fail_msg("only %u", shorter);
}

static void the_default_is_short(void **state)
{
	cleanup_buf struct buf code = compiled_default(oci_default_capability_mask());

	(void)state;
	if (instructions(&code) > 500)
		fail_msg("%zu instructions", instructions(&code));
}

static void a_program_that_is_not_understood_is_left(void **state)
{
	const struct sock_filter masks_number[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
	};
	const struct sock_filter falls_off[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 200),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_filter adds[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	cleanup_buf struct buf small = BUF_INIT;

	(void)state;
	assert_false(oci_seccomp_shrink(masks_number, ARRAY_LEN(masks_number), &small));
	assert_false(oci_seccomp_shrink(falls_off, ARRAY_LEN(falls_off), &small));
	assert_false(oci_seccomp_shrink(adds, ARRAY_LEN(adds), &small));
	assert_false(oci_seccomp_shrink(adds, 0, &small));
	assert_int_equal(small.len, 0);
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
		cmocka_unit_test(a_shorter_program_answers_the_same),
		cmocka_unit_test(the_default_is_short),
		cmocka_unit_test(a_program_that_is_not_understood_is_left),
		with_dir(a_cached_program_is_the_compiled_one),
		with_dir(a_wrong_cache_file_is_replaced),
		with_dir(a_cache_file_that_others_could_write_is_not_used),
		cmocka_unit_test(different_profiles_serialize_differently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
