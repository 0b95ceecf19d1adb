/* SPDX-License-Identifier: Apache-2.0 */
/* The sealing of exeseal.h as the first instructions of the program, in front of the C library's own start.
 *
 * A sealed program is executed twice, and what the C library does before main() would be paid for twice. On x86-64 that
 * is most of the time of a small program in a virtual machine, unless glibc_start.c spares it: glibc asks for the sizes of
 * caches by some seventy cpuid instructions, of which each is an exit to the hypervisor. So this is the ELF entry point
 * (`-e`): it does the same as exe_seal(), and goes on to _start.
 *
 * Nothing is relocated yet and there is no thread pointer: no C library, no pointers in tables, no stack protector
 * (meson.build compiles this file so). It never fails: where it could not do its work, or it was not asked to by one of
 * the words below, exe_seal() in main() does it, or says what is wrong. */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/vfs.h>

#define READ_ONLY 1 /* ST_RDONLY of struct statfs's f_flags */

/* Commands that enter containers. A container of such a name costs one needless exec, a command that is missing here
 * one start of the C library. */
static const char words[] = "create\0run\0exec\0restore\0";

static long call5(long number, long a, long b, long c, long d, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static bool is_word(const char *arg)
{
	for (const char *w = words; *w; w++) {
		const char *a = arg;

		while (*w && *w == *a) {
			w++;
			a++;
		}
		if (!*w && !*a)
			return true;
		while (*w)
			w++;
	}
	return false;
}

/* stack is as the kernel made it: argc, argv, NULL, envp, NULL. */
__attribute__((used)) static void seal_first(long *stack)
{
	const struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;
	struct statfs fs;
	bool is_asked = false;
	long self, tree;

	for (long i = 1; i < stack[0] && !is_asked; i++)
		is_asked = is_word(argv[i]);
	if (!is_asked)
		return;
	self = call5(__NR_openat, AT_FDCWD, (long)"/proc/self/exe", O_PATH | O_CLOEXEC, 0, 0);
	if (self < 0)
		return;
	fs.f_flags = 0;
	if (call5(__NR_fstatfs, self, (long)&fs, 0, 0, 0) == 0 && !(fs.f_flags & READ_ONLY)) {
		tree = call5(__NR_open_tree, self, (long)"",
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH, 0, 0);
		if (tree >= 0 && call5(__NR_mount_setattr, tree, (long)"", AT_EMPTY_PATH, (long)&readonly,
				       sizeof(readonly)) == 0)
			call5(__NR_execveat, tree, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH);
		if (tree >= 0)
			call5(__NR_close, tree, 0, 0, 0, 0);
	}
	call5(__NR_close, self, 0, 0, 0, 0);
}

/* rsp is aligned to 16 here, and rdx is for _start. */
__asm__(".text\n"
	".globl exe_seal_start\n"
	".hidden exe_seal_start\n"
	".type exe_seal_start, @function\n"
	"exe_seal_start:\n"
	"	endbr64\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	push %rdx\n"
	"	push %rdx\n"
	"	call seal_first\n"
	"	pop %rdx\n"
	"	pop %rdx\n"
	"	jmp _start\n"
	".size exe_seal_start, . - exe_seal_start\n");
