/* SPDX-License-Identifier: Apache-2.0 */
/* On the kernel that runs it: limits hold, processes enter, freeze and die, nothing is left. The group runs for
 * the host as it is (v2 in the guest of tests/vm) and, on a hybrid host, once more as if v2 were not mounted. */
#include <errno.h>
#include <fcntl.h>
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <linux/sched.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "sys/bpf.h"
#include "sys/cgroupfs.h"

#define MIB (1024 * 1024)

static struct cgroup_host *host;
static char base[64]; /* "/hull-test-cgroup-PID" */
static struct error err;
static const char *denied; /* why nothing can be tested here */

#define ok(call)                                                  \
	do {                                                      \
		if ((call) < 0)                                   \
			fail_msg("%s: %s", #call, err_msg(&err)); \
	} while (0)

static void skip_if_denied(void)
{
	if (denied) {
		print_message("skipped: %s\n", denied);
		skip();
	}
}

static void need(enum cgroup_controller c)
{
	skip_if_denied();
	if (!cgroup_host_has(host, c)) {
		print_message("skipped: no %s controller\n", cgroup_controller_name(c));
		skip();
	}
}

static const char *below(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static struct cgroup *make(const char *name, const struct cgroup_resources *res)
{
	struct cgroup *cg = NULL;

	ok(cgroup_create(host, below(name), res, &cg, &err));
	return cg;
}

static void unmake(struct cgroup *cg)
{
	ok(cgroup_kill(cg, 5000, &err));
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	ok(cgroup_remove(host, cgroup_path(cg), 1, &err));
	cgroup_free(cg);
}

/* In how many hierarchies is there a directory of this path? */
static int count_dirs(const char *path)
{
	int n = 0;

	for (size_t i = 0; i < host->hier_count; i++)
		if (faccessat(host->hier[i].root_dfd, path + 1, F_OK, 0) == 0)
			n++;
	return n;
}

/* A child in cg that runs fn, the way that the runtime starts one; it has entered when this returns. */
static pid_t start(struct cgroup *cg, void (*fn)(void *), void *arg)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	int fds[CGROUP_HIER_MAX];
	size_t count = 0;
	int entered[2];
	char c;
	pid_t pid;

	ok(cgroup_enter_fds(cg, fds, &count, &err));
	assert_int_equal(pipe2(entered, O_CLOEXEC), 0);
	if (cgroup_clone_fd(cg) >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_clone_fd(cg);
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		if (cgroup_enter(fds, count) < 0 || write(entered[1], "x", 1) != 1)
			_exit(100);
		fn(arg);
		_exit(0);
	}
	assert_true(pid > 0);
	close(entered[1]);
	assert_int_equal(read(entered[0], &c, 1), 1);
	close(entered[0]);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void sleep_long(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void text_of(struct cgroup *cg, enum cgroup_controller c, const char *file, char *out, size_t size)
{
	assert_true(cgroup_dfd(cg, c) >= 0);
	if (cgroupfs_read(cgroup_dfd(cg, c), file, out, size) < 0)
		fail_msg("read %s: %s", file, strerror(errno));
}

static void assert_file(struct cgroup *cg, enum cgroup_controller c, const char *v1_file, const char *v1_text,
			const char *v2_file, const char *v2_text)
{
	bool v2 = cgroup_host_is_v2(host, c);
	char text[4096];

	text_of(cg, c, v2 ? v2_file : v1_file, text, sizeof(text));
	assert_string_equal(text, v2 ? v2_text : v1_text);
}

/* ---- making and removing ---- */

static void a_cgroup_is_made_in_every_hierarchy_and_removed_with_its_parents(void **state)
{
	struct cgroup *cg;

	(void)state;
	skip_if_denied();
	cg = make("a/b", NULL);
	assert_int_equal(cgroup_made_parents(cg), 2);
	assert_int_equal(count_dirs(cgroup_path(cg)), (int)host->hier_count);
	ok(cgroup_remove(host, cgroup_path(cg), cgroup_made_parents(cg), &err));
	assert_int_equal(count_dirs(base), 0);
	/* Once more: gone already. */
	ok(cgroup_remove(host, cgroup_path(cg), 2, &err));
	cgroup_free(cg);
}

static void opening_what_is_not_there_is_not_found(void **state)
{
	struct cgroup *cg = NULL;

	(void)state;
	assert_int_equal(cgroup_open(host, below("none"), &cg, &err), -ERR_NOT_FOUND);
	assert_null(cg);
}

static void a_failed_creation_leaves_nothing(void **state)
{
	struct cgroup_resources res = { .cpuset_cpus = "4000" };
	struct cgroup *cg = NULL;

	(void)state;
	need(CGROUP_CPUSET);
	assert_int_equal(cgroup_create(host, below("x/y"), &res, &cg, &err), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "cpuset.cpus"));
	assert_null(cg);
	assert_int_equal(count_dirs(base), 0);
}

static void a_rollback_keeps_parents_that_others_use(void **state)
{
	struct cgroup_resources res = { .cpuset_cpus = "4000" };
	struct cgroup *sibling, *cg = NULL;

	(void)state;
	need(CGROUP_CPUSET);
	sibling = make("sibling", NULL);
	assert_int_equal(cgroup_create(host, below("x/y"), &res, &cg, &err), -ERR_INVALID);
	assert_int_equal(count_dirs(below("x")), 0);
	assert_int_equal(count_dirs(cgroup_path(sibling)), (int)host->hier_count);
	unmake(sibling);
}

static void children_are_removed_deepest_first(void **state)
{
	struct cgroup *cg, *deep = NULL;
	char path[1024];

	(void)state;
	skip_if_denied();
	cg = make("top", NULL);
	snprintf(path, sizeof(path), "%s/1/2/3/4/5/6/7/8/9/10", cgroup_path(cg));
	ok(cgroup_create(host, path, NULL, &deep, &err));
	snprintf(path, sizeof(path), "%s/1/2/other", cgroup_path(cg));
	cgroup_free(deep);
	ok(cgroup_create(host, path, NULL, &deep, &err));
	cgroup_free(deep);
	unmake(cg);
	assert_int_equal(count_dirs(base), 0);
}

static void a_cgroup_in_use_is_neither_taken_over_nor_removed(void **state)
{
	struct cgroup *cg, *second = NULL;
	char number[16];
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("used", NULL);
	pid = start(cg, sleep_long, NULL);
	assert_int_equal(cgroup_create(host, cgroup_path(cg), NULL, &second, &err), -ERR_EXISTS);
	assert_null(second);
	ok(cgroup_ensure(host, cgroup_path(cg), NULL, &second, &err));
	assert_int_equal(cgroup_remove(host, cgroup_path(cg), 0, &err), -ERR_STATE);
	snprintf(number, sizeof(number), "pid %d", pid);
	assert_non_null(strstr(err_msg(&err), number));
	cgroup_free(second);
	unmake(cg);
	assert_int_equal(count_dirs(base), 0);
}

static void an_empty_leftover_is_taken_over(void **state)
{
	struct cgroup *cg, *second;

	(void)state;
	skip_if_denied();
	cg = make("left", NULL);
	ok(cgroup_freeze(cg, 1000, &err));
	second = make("left", NULL);
	assert_false(cgroup_is_frozen(second));
	cgroup_free(cg);
	unmake(second);
}

/* ---- limits ---- */

static void limits_are_what_the_files_say(void **state)
{
	struct cgroup_resources res = {
		.has_memory_limit = true,
		.memory_limit = 64 * MIB,
		.has_memory_swap = true,
		.memory_swap = 64 * MIB,
		.has_cpu_shares = true,
		.cpu_shares = 512,
		.has_cpu_quota = true,
		.cpu_quota = 50000,
		.has_cpu_period = true,
		.cpu_period = 100000,
		.has_pids_limit = true,
		.pids_limit = 33,
		.cpuset_cpus = "0",
		.cpuset_mems = "0",
	};
	struct cgroup *cg;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("limits", &res);
	assert_file(cg, CGROUP_MEMORY, "memory.limit_in_bytes", "67108864", "memory.max", "67108864");
	assert_file(cg, CGROUP_CPU, "cpu.shares", "512", "cpu.weight", "59");
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000");
	assert_file(cg, CGROUP_PIDS, "pids.max", "33", "pids.max", "33");
	assert_file(cg, CGROUP_CPUSET, "cpuset.cpus", "0", "cpuset.cpus", "0");
	unmake(cg);
}

static void limits_move_up_and_down_while_it_lives(void **state)
{
	struct cgroup_resources res = {
		.has_memory_limit = true,
		.memory_limit = 32 * MIB,
		.has_memory_swap = true,
		.memory_swap = 32 * MIB,
		.has_cpu_quota = true,
		.cpu_quota = 10000,
		.has_cpu_period = true,
		.cpu_period = 100000,
		.has_cpu_burst = true,
		.cpu_burst = 10000,
	};
	struct cgroup *cg;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("resize", &res);
	res.memory_limit = res.memory_swap = 128 * MIB;
	res.cpu_quota = 400000;
	res.cpu_period = 200000;
	res.cpu_burst = 300000;
	ok(cgroup_update(cg, &res, &err));
	assert_file(cg, CGROUP_MEMORY, "memory.limit_in_bytes", "134217728", "memory.max", "134217728");
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "400000", "cpu.max", "400000 200000");
	res.memory_limit = res.memory_swap = 16 * MIB;
	res.cpu_quota = 5000;
	res.cpu_period = 50000;
	res.cpu_burst = 0;
	ok(cgroup_update(cg, &res, &err));
	assert_file(cg, CGROUP_MEMORY, "memory.limit_in_bytes", "16777216", "memory.max", "16777216");
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "5000", "cpu.max", "5000 50000");
	res = (struct cgroup_resources){
		.has_memory_limit = true, .memory_limit = -1, .has_cpu_quota = true, .cpu_quota = -1
	};
	ok(cgroup_update(cg, &res, &err));
	assert_file(cg, CGROUP_CPU, "cpu.cfs_quota_us", "-1", "cpu.max", "max 50000");
	unmake(cg);
}

static void eat_memory(void *arg)
{
	size_t n = *(size_t *)arg;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; p != MAP_FAILED && i < n; i += 4096)
		p[i] = 1;
}

static void burn(void *arg)
{
	size_t n = 8 * MIB;

	eat_memory(&n);
	/* Of its own time, however busy the machine is. */
	while (clock() < CLOCKS_PER_SEC / 20)
		;
	if (write(*(int *)arg, "x", 1) != 1)
		_exit(1);
	sleep_long(NULL);
}

static void an_oom_kill_is_counted_where_it_happened(void **state)
{
	struct cgroup_resources res = { .has_memory_limit = true,
					.memory_limit = 16 * MIB,
					.has_memory_swap = true,
					.memory_swap = 16 * MIB };
	size_t much = 64 * MIB, little = MIB;
	struct cgroup_oom oom;
	struct cgroup *cg;
	uint64_t kills = 99;
	int status;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("oom", &res);
	assert_int_equal(wait_for(start(cg, eat_memory, &little)), 0);
	ok(cgroup_oom_kills(cgroup_oom_fd(cg), &kills, &err));
	assert_int_equal(kills, 0);
	status = wait_for(start(cg, eat_memory, &much));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* After the reap, before the removal. */
	ok(cgroup_oom(cg, &oom, &err));
	assert_int_equal(oom.kills, 1);
	assert_int_equal(oom.kills_local, 1);
	assert_true(oom.limit_hits > 0);
	ok(cgroup_remove(host, cgroup_path(cg), 1, &err));
	assert_int_equal(cgroup_oom_kills(cgroup_oom_fd(cg), &kills, &err), -ERR_NOT_FOUND);
	cgroup_free(cg);
}

static void a_kill_by_the_parents_limit_is_told_apart(void **state)
{
	struct cgroup_resources res = { .has_memory_limit = true,
					.memory_limit = 16 * MIB,
					.has_memory_swap = true,
					.memory_swap = 16 * MIB };
	struct cgroup *pod = NULL, *cg;
	size_t much = 64 * MIB;
	struct cgroup_oom oom;

	(void)state;
	need(CGROUP_MEMORY);
	if (!cgroup_host_is_v2(host, CGROUP_MEMORY)) {
		print_message("skipped: v1 counts allocation failures of the limit that is nearest only\n");
		skip();
	}
	ok(cgroup_ensure(host, below("pod"), &res, &pod, &err));
	cg = make("pod/container", NULL);
	assert_true(WIFSIGNALED(wait_for(start(cg, eat_memory, &much))));
	ok(cgroup_oom(cg, &oom, &err));
	assert_int_equal(oom.kills, 1);
	assert_int_equal(oom.limit_hits, 0);
	ok(cgroup_oom(pod, &oom, &err));
	assert_int_equal(oom.kills, 1);
	assert_int_equal(oom.kills_local, 0);
	assert_true(oom.limit_hits > 0);
	unmake(cg);
	unmake(pod);
}

static void fork_many(void *arg)
{
	int n = 0;

	(void)arg;
	for (; n < 10; n++) {
		pid_t pid = fork();

		if (pid == 0)
			sleep_long(NULL);
		if (pid < 0)
			break;
	}
	_exit(errno == EAGAIN ? n : 99);
}

static void the_pids_limit_holds(void **state)
{
	struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 4 };
	struct cgroup *cg;
	int status;

	(void)state;
	need(CGROUP_PIDS);
	cg = make("pids", &res);
	status = wait_for(start(cg, fork_many, NULL));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	unmake(cg);
}

static void huge_pages_are_limited(void **state)
{
	struct cgroup_hugepage huge = { "2MB", 4 * MIB };
	struct cgroup_resources res = { .hugepages = &huge, .hugepage_count = 1 };
	struct cgroup *cg;

	(void)state;
	need(CGROUP_HUGETLB);
	if (access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) < 0) {
		print_message("skipped: no huge pages of 2 MB\n");
		skip();
	}
	cg = make("huge", &res);
	assert_file(cg, CGROUP_HUGETLB, "hugetlb.2MB.limit_in_bytes", "4194304", "hugetlb.2MB.max",
		    "4194304");
	huge.page_size = "3MB";
	assert_int_equal(cgroup_update(cg, &res, &err), -ERR_UNSUPPORTED);
	unmake(cg);
}

static void unified_writes_files_of_v2_only(void **state)
{
	struct cgroup_unified u = { "memory.high", "33554432" };
	struct cgroup_resources res = { .unified = &u, .unified_count = 1 };
	struct cgroup *cg = NULL;
	int r;

	(void)state;
	need(CGROUP_MEMORY);
	r = cgroup_create(host, below("unified"), &res, &cg, &err);
	if (cgroup_host_is_v2(host, CGROUP_MEMORY)) {
		ok(r);
		assert_file(cg, CGROUP_MEMORY, "", "", "memory.high", "33554432");
		unmake(cg);
	} else {
		assert_int_equal(r, -ERR_UNSUPPORTED);
		assert_int_equal(count_dirs(base), 0);
	}
}

static void a_limit_below_the_use_is_refused_when_asked(void **state)
{
	struct cgroup_resources res = { .has_memory_limit = true,
					.memory_limit = 4096,
					.memory_check_before_update = true };
	struct cgroup *cg;
	int fds[2];
	char c;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("check", NULL);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	start(cg, burn, &fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	assert_int_equal(cgroup_update(cg, &res, &err), -ERR_LIMIT);
	close(fds[0]);
	close(fds[1]);
	unmake(cg);
}

static void controllers_are_refused_below_a_parent_with_processes(void **state)
{
	struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 4 };
	struct cgroup *parent = NULL, *cg = NULL;

	(void)state;
	need(CGROUP_PIDS);
	if (!cgroup_host_is_v2(host, CGROUP_PIDS)) {
		print_message("skipped: pids is a v1 controller here\n");
		skip();
	}
	parent = make("busy", NULL);
	start(parent, sleep_long, NULL);
	assert_int_equal(cgroup_create(host, below("busy/child"), &res, &cg, &err), -ERR_STATE);
	assert_non_null(strstr(err_msg(&err), "busy\": it holds processes"));
	assert_int_equal(count_dirs(below("busy/child")), 0);
	/* Without a limit it needs no controller. */
	ok(cgroup_create(host, below("busy/child"), NULL, &cg, &err));
	unmake(cg);
	unmake(parent);
}

/* ---- entering ---- */

static void in_every_hierarchy(struct cgroup *cg, pid_t pid)
{
	for (size_t i = 0; i < host->hier_count; i++) {
		char text[4096], word[16];

		assert_true(cgroupfs_read(cg->dfd[i], "cgroup.procs", text, sizeof(text)) >= 0);
		snprintf(word, sizeof(word), "%d", pid);
		if (!cgroupfs_has_word(text, word))
			fail_msg("pid %d is not in %s", pid, host->hier[i].mount_point);
	}
}

static void a_child_enters_every_hierarchy_itself(void **state)
{
	struct cgroup *cg;

	(void)state;
	skip_if_denied();
	cg = make("enter", NULL);
	in_every_hierarchy(cg, start(cg, sleep_long, NULL));
	unmake(cg);
}

static void another_process_is_moved_whole(void **state)
{
	struct cgroup *cg;
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("attach", NULL);
	pid = fork();
	if (pid == 0)
		sleep_long(NULL);
	ok(cgroup_attach(cg, pid, &err));
	in_every_hierarchy(cg, pid);
	unmake(cg);
	assert_int_equal(cgroup_remove(host, below("attach"), 0, &err), 0);
}

/* The fds were opened by the parent with its rights; writing needs none. */
static void a_child_may_enter_after_it_gave_up_everything(void **state)
{
	int fds[CGROUP_HIER_MAX];
	size_t count = 0;
	struct cgroup *cg;
	int status;
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("userns", NULL);
	ok(cgroup_enter_fds(cg, fds, &count, &err));
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER) < 0)
			_exit(101);
		if (cgroup_enter(fds, count) < 0)
			_exit(errno);
		_exit(0);
	}
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	status = wait_for(pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 101)
		print_message("no user namespaces here\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	unmake(cg);
}

/* ---- delegation ---- */

#define NOBODY 65534

/* As an unprivileged user in a cgroup that was given to it (cgroups(7), "Delegation"): what systemd does for a user's
 * session. */
static void work_in_a_delegated_cgroup(void *arg)
{
	struct cgroup_resources res = {
		.has_memory_limit = true, .memory_limit = 16 * MIB, .has_pids_limit = true, .pids_limit = 5
	};
	const char *given = arg;
	struct cgroup *cg = NULL;
	char path[128];

	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
	snprintf(path, sizeof(path), "%s/pod/container", given);
	if (cgroup_create(host, path, &res, &cg, &err) < 0) {
		fprintf(stderr, "%s\n", err_msg(&err));
		_exit(2);
	}
	/* Entering from within the delegated part needs no more. */
	if (wait_for(start(cg, fork_many, NULL)) != 4 << 8)
		_exit(3);
	if (cgroup_kill(cg, 5000, &err) < 0 || cgroup_remove(host, path, 1, &err) < 0)
		_exit(4);
	cgroup_free(cg);
	/* Outside of it the answer has a name. */
	snprintf(path, sizeof(path), "%s-other", given);
	_exit(cgroup_create(host, path, NULL, &cg, &err) == -ERR_DENIED ? 0 : 5);
}

static void a_delegated_cgroup_is_enough(void **state)
{
	struct cgroup_resources all = {
		.has_memory_limit = true, .memory_limit = 256 * MIB, .has_pids_limit = true, .pids_limit = 100
	};
	static const char *const files[] = { ".", "cgroup.procs", "cgroup.subtree_control",
					     "cgroup.threads" };
	struct cgroup *given, *own;

	(void)state;
	need(CGROUP_MEMORY);
	if (host->mode != CGROUP_V2) {
		print_message("skipped: v1 cannot be delegated\n");
		skip();
	}
	given = make("given", &all);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_int_equal(fchownat(cgroup_dfd_v2(given), files[i], NOBODY, NOBODY, 0), 0);
	own = make("given/own", &all);
	assert_int_equal(wait_for(start(own, work_in_a_delegated_cgroup, (void *)cgroup_path(given))), 0);
	cgroup_free(own);
	unmake(given);
}

/* ---- freezing and killing ---- */

static void count_up(void *arg)
{
	for (;; usleep(500))
		++*(volatile unsigned *)arg;
}

static bool is_counting(const volatile unsigned *n)
{
	unsigned before = *n;

	for (int i = 0; i < 2000 && *n < before + 3; i++)
		usleep(1000);
	return *n >= before + 3;
}

static void a_frozen_process_stands_still(void **state)
{
	volatile unsigned *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cgroup *cg;
	unsigned before;

	(void)state;
	need(CGROUP_FREEZER);
	assert_true(n != MAP_FAILED);
	cg = make("freeze", NULL);
	start(cg, count_up, (void *)n);
	assert_true(is_counting(n));
	assert_false(cgroup_is_frozen(cg));
	ok(cgroup_freeze(cg, 5000, &err));
	assert_true(cgroup_is_frozen(cg));
	before = *n;
	usleep(20000);
	assert_int_equal(*n, before);
	ok(cgroup_thaw(cg, &err));
	assert_true(is_counting(n));
	ok(cgroup_freeze(cg, 5000, &err));
	unmake(cg); /* frozen */
	munmap((void *)n, 4096);
}

static void fork_deep(void *arg)
{
	signal(SIGTERM, SIG_IGN);
	for (int i = 0; i < 4; i++)
		fork();
	sleep_long(arg);
}

static void a_kill_reaches_every_descendant(void **state)
{
	struct cgroup *cg;
	bool empty = true;

	(void)state;
	skip_if_denied();
	cg = make("kill", NULL);
	start(cg, fork_deep, NULL);
	for (size_t n = 0; n < 16;) {
		cleanup_free pid_t *pids = NULL;

		ok(cgroup_procs(cg, &pids, &n, &err));
		usleep(1000);
	}
	ok(cgroup_is_empty(cg, &empty, &err));
	assert_false(empty);
	ok(cgroup_kill(cg, 5000, &err));
	ok(cgroup_is_empty(cg, &empty, &err));
	assert_true(empty);
	/* An empty one, and a removed one, are killed already. */
	ok(cgroup_kill(cg, 0, &err));
	ok(cgroup_remove(host, cgroup_path(cg), 1, &err));
	ok(cgroup_kill(cg, 100, &err));
	ok(cgroup_is_empty(cg, &empty, &err));
	assert_true(empty);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	cgroup_free(cg);
}

static void fork_for_ever(void *arg)
{
	(void)arg;
	for (;;) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		usleep(100);
	}
}

static void a_kill_outruns_a_process_that_forks_away(void **state)
{
	struct cgroup_resources res = { .has_pids_limit = true, .pids_limit = 64 };
	struct cgroup *cg;

	(void)state;
	need(CGROUP_PIDS);
	cg = make("forker", &res);
	wait_for(start(cg, fork_for_ever, NULL));
	ok(cgroup_kill(cg, 10000, &err));
	unmake(cg);
}

static void a_kill_reaches_cgroups_below(void **state)
{
	struct cgroup *cg, *child;
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("nest", NULL);
	child = make("nest/child", NULL);
	pid = start(child, sleep_long, NULL);
	ok(cgroup_kill(cg, 5000, &err));
	assert_int_equal(WTERMSIG(wait_for(pid)), SIGKILL);
	cgroup_free(child);
	unmake(cg);
}

static void a_signal_reaches_all(void **state)
{
	struct cgroup *cg;
	pid_t a, b;

	(void)state;
	skip_if_denied();
	cg = make("signal", NULL);
	a = start(cg, sleep_long, NULL);
	b = start(cg, sleep_long, NULL);
	ok(cgroup_signal(cg, SIGUSR1, &err));
	assert_int_equal(WTERMSIG(wait_for(a)), SIGUSR1);
	assert_int_equal(WTERMSIG(wait_for(b)), SIGUSR1);
	unmake(cg);
}

/* ---- devices ---- */

static void open_devices(void *arg)
{
	int null = open("/dev/null", O_RDWR), zero;

	(void)arg;
	if (null < 0)
		_exit(1);
	zero = open("/dev/zero", O_RDONLY);
	if (zero >= 0 || errno != EPERM)
		_exit(2);
	/* Reading is allowed and writing is not. */
	if (open("/dev/full", O_RDONLY) < 0)
		_exit(3);
	if (open("/dev/full", O_WRONLY) >= 0 || errno != EPERM)
		_exit(4);
	if (open("/dev/full", O_RDWR) >= 0)
		_exit(5);
	if (mknod("/tmp/hull-test-cgroup-node", S_IFCHR | 0600, makedev(1, 3)) == 0 || errno != EPERM)
		_exit(6);
	_exit(0);
}

static const struct cgroup_device some_devices[] = {
	{ false, 'a', "rwm", -1, -1 },
	{ true, 'c', "rw", 1, 3 },
	{ true, 'c', "rw", 1, 7 },
	{ false, 'c', "w", 1, 7 },
};
static const struct cgroup_device all_devices[] = { { true, 'a', "rwm", -1, -1 } };

static void open_zero(void *arg)
{
	(void)arg;
	_exit(open("/dev/zero", O_RDONLY) < 0);
}

static void device_rules_hold(void **state)
{
	struct cgroup_resources res = { .devices = some_devices, .device_count = ARRAY_LEN(some_devices) };
	struct cgroup *cg = NULL;

	(void)state;
	need(CGROUP_DEVICES);
	if (cgroup_create(host, below("devices"), &res, &cg, &err) == -ERR_DENIED) {
		print_message("skipped: %s\n", err_msg(&err));
		skip();
	}
	assert_non_null(cg);
	assert_int_equal(wait_for(start(cg, open_devices, NULL)), 0);
	assert_int_equal(WEXITSTATUS(wait_for(start(cg, open_zero, NULL))), 1);
	res.devices = all_devices;
	res.device_count = 1;
	ok(cgroup_update(cg, &res, &err));
	assert_int_equal(wait_for(start(cg, open_zero, NULL)), 0);
	unmake(cg);
}

/* The program, on any host that has v2 mounted. */
static void the_device_program_filters(void **state)
{
	struct cgroup *cg;
	int fd;

	(void)state;
	skip_if_denied();
	if (host->v2 < 0) {
		print_message("skipped: no v2 hierarchy\n");
		skip();
	}
	cg = make("bpf", NULL);
	if (cgroup_devices_attach(cgroup_dfd_v2(cg), some_devices, ARRAY_LEN(some_devices), &err) ==
	    -ERR_DENIED) {
		print_message("not permitted here: %s\n", err_msg(&err));
	} else {
		assert_int_equal(wait_for(start(cg, open_devices, NULL)), 0);
		ok(cgroup_devices_attach(cgroup_dfd_v2(cg), all_devices, 1, &err));
		assert_int_equal(wait_for(start(cg, open_zero, NULL)), 0);
		/* Replaced, not added: when it goes there is none. */
		fd = bpf_find_device(cgroup_dfd_v2(cg), "hull_devices");
		assert_true(fd >= 0);
		assert_int_equal(bpf_detach_device(cgroup_dfd_v2(cg), fd), 0);
		close(fd);
		assert_int_equal(bpf_find_device(cgroup_dfd_v2(cg), "hull_devices"), -1);
	}
	unmake(cg);
}

/* ---- statistics ---- */

static void statistics_tell_what_was_used(void **state)
{
	struct cgroup_resources res = {
		.has_memory_limit = true, .memory_limit = 64 * MIB, .has_pids_limit = true, .pids_limit = 9
	};
	struct cgroup_stats s;
	struct cgroup *cg;
	int fds[2];
	char c;

	(void)state;
	need(CGROUP_MEMORY);
	cg = make("stats", &res);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	start(cg, burn, &fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	ok(cgroup_stats(cg, &s, &err));
	assert_true(s.has_cpu && s.cpu_usage_ns > 20 * NS_PER_MS && s.cpu_usage_ns < 60 * NS_PER_S);
	assert_true(s.has_memory && s.memory_usage >= 8 * MIB && s.memory_usage < 64 * MIB);
	assert_true(s.memory_rss >= 8 * MIB && s.memory_working_set <= s.memory_usage);
	assert_true(s.memory_faults > 0);
	assert_int_equal(s.memory_limit, 64 * MIB);
	assert_true(s.has_pids);
	assert_int_equal(s.pids, 1);
	assert_int_equal(s.pids_limit, 9);
	assert_int_equal(s.oom.kills, 0);
	close(fds[0]);
	close(fds[1]);
	ok(cgroup_kill(cg, 5000, &err));
	ok(cgroup_remove(host, cgroup_path(cg), 0, &err));
	assert_int_equal(cgroup_stats(cg, &s, &err), -ERR_NOT_FOUND);
	unmake(cg);
}

/* ---- the run ---- */

static int probe(void **state)
{
	struct cgroup *cg = NULL;
	static char why[1024];

	(void)state;
	snprintf(base, sizeof(base), "/hull-test-cgroup-%d", getpid());
	denied = NULL;
	if (cgroup_create(host, below("probe"), NULL, &cg, &err) < 0) {
		if (err.kind != ERR_DENIED)
			return -1;
		snprintf(why, sizeof(why), "%s", err_msg(&err));
		denied = why;
		return 0;
	}
	cgroup_free(cg);
	return cgroup_remove(host, below("probe"), 1, &err);
}

/* A failed test must not make the others fail. */
static int sweep(void **state)
{
	struct cgroup *cg = NULL;

	(void)state;
	if (denied || cgroup_open(host, base, &cg, NULL) < 0)
		return 0;
	print_message("sweeping up %s\n", base);
	if (cgroup_kill(cg, 5000, &err) < 0 || cgroup_remove(host, base, 0, &err) < 0)
		print_message("%s\n", err_msg(&err));
	cgroup_free(cg);
	return 0;
}

static int nothing_is_left(void **state)
{
	(void)state;
	while (waitpid(-1, NULL, 0) > 0)
		;
	return count_dirs(base) == 0 ? 0 : -1;
}

/* The mountinfo of this host without v2. */
static struct cgroup_host *open_v1_only(void)
{
	cleanup_buf struct buf text = BUF_INIT, v1 = BUF_INIT;
	struct cgroup_host *h = NULL;
	char *save = NULL;

	if (file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, &err) < 0)
		return NULL;
	for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strstr(line, " - cgroup2 "))
			buf_addf(&v1, "%s\n", line);
	if (cgroup_host_open_text(buf_str(&v1), CGROUP_DRIVER_CGROUPFS, &h, &err) < 0)
		return NULL;
	return h;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_cgroup_is_made_in_every_hierarchy_and_removed_with_its_parents,
					  sweep),
		cmocka_unit_test_teardown(opening_what_is_not_there_is_not_found, sweep),
		cmocka_unit_test_teardown(a_failed_creation_leaves_nothing, sweep),
		cmocka_unit_test_teardown(a_rollback_keeps_parents_that_others_use, sweep),
		cmocka_unit_test_teardown(children_are_removed_deepest_first, sweep),
		cmocka_unit_test_teardown(a_cgroup_in_use_is_neither_taken_over_nor_removed, sweep),
		cmocka_unit_test_teardown(an_empty_leftover_is_taken_over, sweep),
		cmocka_unit_test_teardown(limits_are_what_the_files_say, sweep),
		cmocka_unit_test_teardown(limits_move_up_and_down_while_it_lives, sweep),
		cmocka_unit_test_teardown(an_oom_kill_is_counted_where_it_happened, sweep),
		cmocka_unit_test_teardown(a_kill_by_the_parents_limit_is_told_apart, sweep),
		cmocka_unit_test_teardown(the_pids_limit_holds, sweep),
		cmocka_unit_test_teardown(huge_pages_are_limited, sweep),
		cmocka_unit_test_teardown(unified_writes_files_of_v2_only, sweep),
		cmocka_unit_test_teardown(a_limit_below_the_use_is_refused_when_asked, sweep),
		cmocka_unit_test_teardown(controllers_are_refused_below_a_parent_with_processes, sweep),
		cmocka_unit_test_teardown(a_child_enters_every_hierarchy_itself, sweep),
		cmocka_unit_test_teardown(another_process_is_moved_whole, sweep),
		cmocka_unit_test_teardown(a_child_may_enter_after_it_gave_up_everything, sweep),
		cmocka_unit_test_teardown(a_delegated_cgroup_is_enough, sweep),
		cmocka_unit_test_teardown(a_frozen_process_stands_still, sweep),
		cmocka_unit_test_teardown(a_kill_reaches_every_descendant, sweep),
		cmocka_unit_test_teardown(a_kill_outruns_a_process_that_forks_away, sweep),
		cmocka_unit_test_teardown(a_kill_reaches_cgroups_below, sweep),
		cmocka_unit_test_teardown(a_signal_reaches_all, sweep),
		cmocka_unit_test_teardown(device_rules_hold, sweep),
		cmocka_unit_test_teardown(the_device_program_filters, sweep),
		cmocka_unit_test_teardown(statistics_tell_what_was_used, sweep),
	};
	int failed;

	if (cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &host, &err) < 0) {
		printf("skipped: %s\n", err_msg(&err));
		return err.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	printf("host: %s\n", cgroup_mode_name(cgroup_host_mode(host)));
	failed = cmocka_run_group_tests_name("host", tests, probe, nothing_is_left);
	if (cgroup_host_mode(host) == CGROUP_HYBRID) {
		cgroup_host_free(host);
		host = open_v1_only();
		if (!host)
			return 1;
		failed += cmocka_run_group_tests_name("v1 only", tests, probe, nothing_is_left);
	}
	cgroup_host_free(host);
	return failed;
}
