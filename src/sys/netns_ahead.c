/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/netns_ahead.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "sys/netlink.h"

#define STACK_BYTES (64 * 1024)

enum { WAITING, BEGUN, CALLED_OFF };

/* Nothing is allocated here: the caller clones meanwhile. */
static void *make(void *arg)
{
	struct netns_ahead *a = arg;
	int expected = WAITING;

	if (!atomic_compare_exchange_strong(&a->state, &expected, BEGUN) || unshare(CLONE_NEWNET) < 0)
		return NULL;
	a->fd = openat(a->proc_dfd, "thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	a->is_lo_up = netlink_link_up("lo", NULL) >= 0;
	return NULL;
}

static bool has_second_processor(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

void netns_ahead_begin(struct netns_ahead *a, int proc_dfd)
{
	pthread_attr_t attr;

	if (!has_second_processor() || pthread_attr_init(&attr) != 0)
		return;
	a->proc_dfd = proc_dfd;
	atomic_store(&a->state, WAITING);
	pthread_attr_setstacksize(&attr, STACK_BYTES > PTHREAD_STACK_MIN ? STACK_BYTES : PTHREAD_STACK_MIN);
	a->has_thread = pthread_create(&a->thread, &attr, make, a) == 0;
	pthread_attr_destroy(&attr);
}

static void join(struct netns_ahead *a)
{
	if (a->has_thread)
		pthread_join(a->thread, NULL);
	a->has_thread = false;
}

int netns_ahead_take(struct netns_ahead *a, bool *ret_lo_up)
{
	int expected = WAITING;

	/* Where all processors are busy, one's own is the quicker one. */
	if (!a->has_thread || atomic_compare_exchange_strong(&a->state, &expected, CALLED_OFF))
		return -1;
	join(a);
	*ret_lo_up = a->is_lo_up;
	return take_fd(a->fd);
}

void netns_ahead_done(struct netns_ahead *a)
{
	join(a);
	if (a->fd >= 0)
		close(take_fd(a->fd));
}
