/* SPDX-License-Identifier: Apache-2.0 */
/* glibc 2.36's __libc_start_main for a static-pie x86-64 program, without the questions to the processor.
 *
 * Before main() glibc asks for the processor's features and for the sizes of its caches by some seventy cpuid
 * instructions, to choose among its variants of memcpy() and the like. On a virtual machine each is an exit to the
 * hypervisor of 1 to 8 us, together more than everything else that a command such as `hull state` does. This function
 * takes the place of glibc's (the linker has it before it looks into libc.a), does the other steps in the same order,
 * and asks nothing: the ifunc resolvers find no feature, and so choose the variants for every x86-64.
 *
 * The steps are those of csu/libc-start.c; what they call is internal to glibc, and could be different in each of its
 * versions. So the file is part of a program only where meson.build has seen that version, and the probe of
 * glibc_start_probe.h passed (option glibc_start); everywhere else glibc's own start is used, and only time is lost.
 * See docs/decisions/startup.md.
 *
 * Until _dl_relocate_static_pie() no pointer in a table is right, and until the canary is set there is no stack
 * protector: meson.build compiles this file without it. What differs from glibc's start, beside the features: the
 * tunables glibc.cpu.* are without effect, and main() must not be left by pthread_exit(). */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Hidden: reached without the global offset table, which is not relocated yet. */
#pragma GCC visibility push(hidden)

extern char **__environ;
extern void *__libc_stack_end, *_dl_random;
extern int __libc_enable_secure;

void _dl_aux_init(Elf64_auxv_t *auxv);
void __tunables_init(char **envp);
void _dl_relocate_static_pie(void);
void __libc_setup_tls(void);
void __libc_early_init(_Bool is_initial);
void __libc_init_first(int argc, char **argv, char **envp);
void __libc_check_standard_fds(void);
int __cxa_atexit(void (*function)(void *), void *arg, void *object);
void *_dl_debug_initialize(Elf64_Addr base, long list);

/* The linker's, and crti.o's. */
typedef void init_function(int argc, char **argv, char **envp);
extern init_function *__preinit_array_start[], *__preinit_array_end[], *__init_array_start[],
	*__init_array_end[];
extern void (*__fini_array_start[])(void), (*__fini_array_end[])(void);
void _init(void);
void _fini(void);

int __libc_start_main(int (*run)(int, char **, char **), int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*loader_fini)(void), void *stack_end);

/* What libc-start.o of libc.a defines beside the function: above how many bytes memcpy() and memset() go another way.
 * These are its values for a processor that tells nothing. */
long int __x86_data_cache_size = 32 * 1024L;
long int __x86_data_cache_size_half = 16 * 1024L;
long int __x86_shared_cache_size = 1024 * 1024L;
long int __x86_shared_cache_size_half = 512 * 1024L;
long int __x86_shared_non_temporal_threshold = 768 * 1024L;
long int __x86_rep_movsb_threshold = 2048;
long int __x86_rep_movsb_stop_threshold = 768 * 1024L;
long int __x86_rep_stosb_threshold = 2048;
int __x86_string_control = 0;

#pragma GCC visibility pop

static void call_fini(void *unused)
{
	(void)unused;
	for (size_t n = __fini_array_end - __fini_array_start; n > 0; n--)
		__fini_array_start[n - 1]();
	_fini();
}

static void call_init(int argc, char **argv, char **envp)
{
	const size_t before = __preinit_array_end - __preinit_array_start;
	const size_t count = __init_array_end - __init_array_start;

	for (size_t i = 0; i < before; i++)
		__preinit_array_start[i](argc, argv, envp);
	_init();
	for (size_t i = 0; i < count; i++)
		__init_array_start[i](argc, argv, envp);
}

/* The canary of the stack protector and the key that mangles saved pointers, from the 16 random bytes of AT_RANDOM, at
 * their places in the thread's control block (the x86-64 psABI; glibc's tcbhead_t). A canary's first byte in memory is
 * 0: no string that is too long can write it. */
static void set_guards(void)
{
	const uintptr_t *random = _dl_random;

	__asm__ volatile("mov %0, %%fs:0x28" : : "r"(random[0] & ~(uintptr_t)0xff));
	__asm__ volatile("mov %0, %%fs:0x30" : : "r"(random[1]));
}

__attribute__((noreturn)) int __libc_start_main(int (*run)(int, char **, char **), int argc, char **argv,
						void (*init)(void), void (*fini)(void),
						void (*loader_fini)(void), void *stack_end)
{
	char **envp = argv + argc + 1, **end = envp;

	(void)init; /* of programs linked before glibc 2.34 */
	(void)fini;
	__environ = envp;
	__libc_stack_end = stack_end;
	while (*end)
		end++;
	_dl_aux_init((Elf64_auxv_t *)(end + 1));
	__tunables_init(envp);
	_dl_relocate_static_pie();
	__libc_setup_tls();
	set_guards();
	if (loader_fini)
		__cxa_atexit((void (*)(void *))loader_fini, NULL, NULL);
	__libc_early_init(1);
	__libc_init_first(argc, argv, envp);
	__cxa_atexit(call_fini, NULL, NULL);
	if (__libc_enable_secure)
		__libc_check_standard_fds();
	call_init(argc, argv, envp);
	_dl_debug_initialize(0, 0);
	exit(run(argc, argv, __environ));
}
