/* SPDX-License-Identifier: Apache-2.0 */
/* killat N FILE COMMAND [ARGUMENT...]: run a command, and kill it by SIGKILL when it is about to make its N-th system
 * call, counted from the first exec on through all that follow; N of 0 only counts. How many there were goes into FILE.
 * Its children are let alone.
 *
 * Returns the command's exit status, 128 + n for signal n. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void be_traced(char **argv)
{
	raise(SIGSTOP);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(126);
}

int main(int argc, char **argv)
{
	unsigned long at = argc > 3 ? strtoul(argv[1], NULL, 10) : 0, count = 0;
	bool is_entry = true, has_execed = false;
	int status, deliver = 0;
	FILE *file;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: killat N FILE COMMAND [ARGUMENT...]\n");
		return 2;
	}
	pid = fork();
	if (pid == 0)
		be_traced(argv + 3);
	if (pid < 0 || waitpid(pid, &status, WUNTRACED) < 0 ||
	    ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) <
		    0) {
		perror("killat");
		return 2;
	}
	kill(pid, SIGCONT);
	for (;;) {
		if (waitpid(pid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (WIFEXITED(status) || WIFSIGNALED(status))
			break;
		deliver = 0;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			if (is_entry && has_execed && ++count == at)
				kill(pid, SIGKILL);
			is_entry = !is_entry;
		} else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
			has_execed = true;
		} else if (status >> 16 == PTRACE_EVENT_STOP) {
			/* The stop that it began with, and its end. */
		} else {
			deliver = WSTOPSIG(status);
		}
		ptrace(PTRACE_SYSCALL, pid, NULL, deliver);
	}
	file = fopen(argv[2], "we");
	if (!file || fprintf(file, "%lu\n", count) < 0 || fclose(file) != 0) {
		perror(argv[2]);
		return 2;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
