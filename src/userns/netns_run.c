/* SPDX-License-Identifier: Apache-2.0 */
/* A thread for each call: setns(2) changes only the calling thread's network namespace, and a thread
 * that could not come back must never serve anything else, so it always ends. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "base/cleanup.h"
#include "userns/netns.h"

#define STACK_BYTES (256 * 1024)

struct run {
	int net_fd, r;
	netns_fn fn;
	void *arg;
	struct error *e;
};

static void *run_main(void *p)
{
	struct run *run = p;

	if (setns(run->net_fd, CLONE_NEWNET) < 0)
		run->r = err_sysk(run->e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
				  "enter the network namespace");
	else
		run->r = run->fn(run->arg, run->e);
	return NULL;
}

/* Threads inherit the signal mask: all are blocked in it, so no handler runs inside the namespace. */
static int start_thread(pthread_t *ret, struct run *run)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int sys = pthread_attr_init(&attr);

	if (sys)
		return sys;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	sys = pthread_create(ret, &attr, run_main, run);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return sys;
}

int netns_run(int net_fd, netns_fn fn, void *arg, struct error *e)
{
	struct run run = { .net_fd = net_fd, .fn = fn, .arg = arg, .e = e };
	pthread_t thread;
	int sys, r = ns_check_type(net_fd, CLONE_NEWNET, e);

	if (r < 0)
		return r;
	sys = start_thread(&thread, &run);
	if (sys)
		return err_sysk(e, ERR_SYS, sys, "start a thread for a network namespace");
	pthread_join(thread, NULL);
	return run.r;
}

int netns_run_path(const char *path, netns_fn fn, void *arg, struct error *e)
{
	cleanup_close int fd = -1;
	int r = netns_open(path, &fd, e);

	return r < 0 ? r : netns_run(fd, fn, arg, e);
}
