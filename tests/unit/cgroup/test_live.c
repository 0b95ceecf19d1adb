/* SPDX-License-Identifier: Apache-2.0 */
/* On the kernel that runs it: limits hold, processes enter, freeze and die, nothing is left. The group runs for
 * the host as it is (v2 in the guest of tests/vm) and, on a hybrid host, once more as if v2 were not mounted. */
#include <assert.h>
#include "live.h"

struct cgroup_host *host;
char base[64];
struct error err;
const char *denied;

void skip_if_denied(void)
{
	if (denied) {
		print_message("skipped: %s\n", denied);
		skip();
	}
}

void need(enum cgroup_controller c)
{
	skip_if_denied();
	if (!cgroup_host_has(host, c)) {
		print_message("skipped: no %s controller\n", cgroup_controller_name(c));
		skip();
	}
}

const char *below(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

struct cgroup *make(const char *name, const struct cgroup_resources *res)
{
	struct cgroup *cg = NULL;

	ok(cgroup_create(host, below(name), res, &cg, &err));
	return cg;
}

void unmake(struct cgroup *cg)
{
	ok(cgroup_kill(cg, 5000, &err));
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	ok(cgroup_remove(host, cgroup_path(cg), 1, &err));
	cgroup_free(cg);
}

/* In how many hierarchies is there a directory of this path? */
int count_dirs(const char *path)
{
	int n = 0;

	for (size_t i = 0; i < host->hier_count; i++)
		if (faccessat(host->hier[i].root_dfd, path + 1, F_OK, 0) == 0)
			n++;
	return n;
}

/* A child in cg that runs fn, the way that the runtime starts one; it has entered when this returns. */
pid_t start(struct cgroup *cg, void (*fn)(void *), void *arg)
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

int wait_for(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void sleep_long(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

void text_of(struct cgroup *cg, enum cgroup_controller c, const char *file, char *out, size_t size)
{
	assert_true(cgroup_dfd(cg, c) >= 0);
	if (cgroupfs_read(cgroup_dfd(cg, c), file, out, size) < 0)
		fail_msg("read %s: %s", file, strerror(errno));
}

void assert_file(struct cgroup *cg, enum cgroup_controller c, const char *v1_file, const char *v1_text,
		 const char *v2_file, const char *v2_text)
{
	bool v2 = cgroup_host_is_v2(host, c);
	char text[4096];

	text_of(cg, c, v2 ? v2_file : v1_file, text, sizeof(text));
	assert_string_equal(text, v2 ? v2_text : v1_text);
}

void eat_memory(void *arg)
{
	size_t n = *(size_t *)arg;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; p != MAP_FAILED && i < n; i += 4096)
		p[i] = 1;
}

void burn(void *arg)
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

/* ---- the run ---- */

void fork_many(void *arg)
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

int sweep(void **state)
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

static struct CMUnitTest tests[64];

int main(void)
{
	static const struct live_tests *const groups[] = { &live_life, &live_limits, &live_enter, &live_procs,
							   &live_watch };
	size_t n = 0;
	int failed;

	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		assert(n + groups[i]->n <= ARRAY_LEN(tests));
		memcpy(tests + n, groups[i]->v, groups[i]->n * sizeof(*tests));
		n += groups[i]->n;
	}

	if (cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &host, &err) < 0) {
		printf("skipped: %s\n", err_msg(&err));
		return err.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	printf("host: %s\n", cgroup_mode_name(cgroup_host_mode(host)));
	failed = _cmocka_run_group_tests("host", tests, n, probe, nothing_is_left);
	if (cgroup_host_mode(host) == CGROUP_HYBRID) {
		cgroup_host_free(host);
		host = open_v1_only();
		if (!host)
			return 1;
		failed += _cmocka_run_group_tests("v1 only", tests, n, probe, nothing_is_left);
	}
	cgroup_host_free(host);
	return failed;
}
