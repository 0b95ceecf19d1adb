/* SPDX-License-Identifier: Apache-2.0 */
/* CLONE_VM costs no copy of page tables and brings results back for free; CLONE_VFORK lets us sleep until
 * the child is gone. Without CLONE_FS the child may enter user and mount namespaces (setns(2) refuses a
 * process that shares its fs attributes). No exit signal: a caller that watches SIGCHLD sees nothing of it.
 *
 * The child may be inside a container's user namespace while it shares our memory, so it must not be
 * traceable from there: PR_SET_DUMPABLE 0 makes that a question of capabilities in *our* user namespace
 * (ptrace(2), "Ptrace access mode checking"). The flag belongs to the memory, hence to us as well, and is
 * put back at the end. */
#include "sys/vchild.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct vchild {
	int (*fn)(void *arg, struct error *e);
	void *arg;
	struct error *e;
	int r;
	bool is_done;
};

/* The address sanitizer takes the stack for the thread's own when a function that does not return is called. */
__attribute__((no_sanitize_address)) static int vchild_main(void *p)
{
	struct vchild *c = p;

	c->r = c->fn(c->arg, c->e);
	c->is_done = true;
	_exit(0);
}

static int run(struct vchild *c, int flags, struct error *e)
{
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), saved_errno;
	sigset_t all, old;
	char *stack;
	pid_t pid;

	stack = mmap(NULL, VCHILD_STACK_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (stack == MAP_FAILED)
		return err_sys(e, "map a stack");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = clone(vchild_main, stack + VCHILD_STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_FILES | flags, c);
	saved_errno = errno;
	while (pid > 0 && !(flags & CLONE_PARENT) && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	munmap(stack, VCHILD_STACK_BYTES);
	errno = saved_errno;
	if (pid < 0)
		return err_sys(e, "clone a child that shares our memory");
	if (!c->is_done)
		return err_new(e, ERR_INTERNAL, "a child that shares our memory was killed");
	return c->r;
}

int vchild_run(int (*fn)(void *arg, struct error *e), void *arg, struct error *e)
{
	struct vchild c = { .fn = fn, .arg = arg, .e = e };

	return run(&c, 0, e);
}

int vchild_run_as_sibling(int (*fn)(void *arg, struct error *e), void *arg, struct error *e)
{
	struct vchild c = { .fn = fn, .arg = arg, .e = e };

	return run(&c, CLONE_PARENT, e);
}
