/* SPDX-License-Identifier: Apache-2.0 */
/* What a program may expect of the C library's start, asked of src/sys/glibc_start.c. meson.build runs it before that
 * file is used, and the tests do again. Exit status 0, or a line that says which expectation failed. Linked statically
 * with glibc_start.c. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPECT(condition)                                                      \
	do {                                                                   \
		if (!(condition)) {                                            \
			printf("line %d: not so: %s\n", __LINE__, #condition); \
			exit(1);                                               \
		}                                                              \
	} while (0)

extern char **environ;

static int constructed;
static _Thread_local int own = 42;
static int order[2], ended;

__attribute__((constructor)) static void construct(int argc, char **argv, char **envp)
{
	constructed = argc > 0 && argv[0] && envp == environ;
}

/* Runs last: after what was registered by atexit(). Its word is the exit status of end_of_a_child(). */
__attribute__((destructor)) static void destruct(void)
{
	order[ended++ & 1] = 2;
	if (getenv("GLIBC_START_PROBE_CHILD"))
		_exit(order[0] == 1 && order[1] == 2 ? 0 : 1);
}

static void at_exit(void)
{
	order[ended++ & 1] = 1;
}

static uintptr_t fs_word(size_t offset)
{
	uintptr_t word;

	__asm__("mov %%fs:(%1), %0" : "=r"(word) : "r"(offset));
	return word;
}

static void guards(void)
{
	const uintptr_t *random = (const uintptr_t *)getauxval(AT_RANDOM);

	EXPECT(random);
	EXPECT(fs_word(0x28) == (random[0] & ~(uintptr_t)0xff));
	EXPECT(fs_word(0x30) == random[1] && random[1]);
}

static void surroundings(char **argv)
{
	EXPECT(constructed);
	EXPECT(program_invocation_name == argv[0]);
	EXPECT(environ && getenv("PATH") && !getenv("GLIBC_START_PROBE_NO_SUCH"));
	EXPECT(getauxval(AT_PAGESZ) == (unsigned long)sysconf(_SC_PAGESIZE));
	EXPECT(sysconf(_SC_MINSIGSTKSZ) > 0);
	EXPECT(own == 42);
	errno = 0;
	EXPECT(close(-1) < 0 && errno == EBADF);
}

static void *thread(void *arg)
{
	char text[64];

	EXPECT(own == 42);
	own = 43;
	EXPECT(fs_word(0x28) == *(uintptr_t *)arg);
	snprintf(text, sizeof(text), "%d %s %.1f", own, "x", 1.5);
	return strcmp(text, "43 x 1.5") == 0 ? arg : NULL;
}

static void threads(void)
{
	uintptr_t canary = fs_word(0x28);
	pthread_t id;
	void *result = NULL;

	EXPECT(pthread_create(&id, NULL, thread, &canary) == 0);
	EXPECT(pthread_join(id, &result) == 0 && result == &canary);
	EXPECT(own == 42);
}

/* Sizes around every threshold at which another loop takes over. */
static void copies(void)
{
	static const size_t sizes[] = { 0,	  1,	    15,	       16,	  31,	   32,	   64,
					127,	  255,	    1024,      2047,	  2048,	   2049,   4097,
					16 << 10, 32 << 10, 512 << 10, 768 << 10, 1 << 20, 9 << 20 };
	const size_t most = (9U << 20) + 64;
	unsigned char *from = malloc(most), *to = malloc(most);

	EXPECT(from && to);
	for (size_t i = 0; i < most; i++)
		from[i] = (unsigned char)(i * 131 + (i >> 8));
	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		const size_t n = sizes[k];

		memset(to, 0xa5, most);
		memcpy(to + 3, from + 5, n);
		for (size_t i = 0; i<most; i += n> 65536 && i > 64 && i < n - 64 ? 61 : 1)
			EXPECT(to[i] == (i < 3 || i >= n + 3 ? 0xa5 : from[i + 2]));
		memmove(to + 1, to + 3, n);
		EXPECT(memcmp(to + 1, from + 5, n) == 0);
		memmove(to + 33, to + 1, n > 32 ? n - 32 : 0);
		EXPECT(n <= 32 || memcmp(to + 33, from + 5, n - 32) == 0);
	}
	free(from);
	free(to);
}

static void strings(void)
{
	char text[300];

	memset(text, 'a', sizeof(text));
	text[299] = '\0';
	EXPECT(strlen(text) == 299 && !strchr(text, 'b') && strchrnul(text, 'b') == text + 299);
	text[200] = 'b';
	EXPECT(strchr(text, 'b') == text + 200 && strrchr(text, 'a') == text + 298 &&
	       memchr(text, 'b', 300) == text + 200);
	EXPECT(strstr(text, "aba") == text + 199 && strcmp(text, text + 1) < 0 &&
	       strcasecmp(text + 298, "A") == 0);
	EXPECT(strspn(text, "a") == 200 && strcspn(text, "b") == 200 && strnlen(text, 7) == 7);
}

static void end_of_a_child(void)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0) {
		setenv("GLIBC_START_PROBE_CHILD", "1", 1);
		if (atexit(at_exit) != 0)
			_exit(2);
		exit(3);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
	(void)argc;
	guards();
	surroundings(argv);
	threads();
	copies();
	strings();
	end_of_a_child();
	puts("[  PASSED  ] 6 test(s).");
	return 0;
}
