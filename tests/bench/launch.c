/* SPDX-License-Identifier: Apache-2.0 */
/* Run a program and say what it took, on fd 3:
 *
 *   NANOSECONDS USER_US SYSTEM_US PEAK_RSS_KIB STATUS
 *
 * A small static program does this, because the peak RSS of a process starts with that of the one which it was
 * forked from, and because what measures shall not take part: the clock runs from before posix_spawn(3) to the end of
 * wait4(2), and user and system time are those of the program and of all children that it waited for. */
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long us(struct timeval t)
{
	return t.tv_sec * 1000000LL + t.tv_usec;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	struct rusage u;
	long long start;
	int status;
	pid_t pid;

	if (argc < 2)
		return 2;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, 3);
	start = now_ns();
	if (posix_spawn(&pid, argv[1], &actions, NULL, argv + 1, environ) != 0)
		return 1;
	if (wait4(pid, &status, 0, &u) < 0)
		return 1;
	dprintf(3, "%lld %lld %lld %ld %d\n", now_ns() - start, us(u.ru_utime), us(u.ru_stime), u.ru_maxrss,
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}
