/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace that another processor makes while we do other things: it takes the kernel half a millisecond
 * to a millisecond, most of what a container's namespaces take together. */
#ifndef HULL_SYS_NETNS_AHEAD_H
#define HULL_SYS_NETNS_AHEAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/cleanup.h"

/* Must stay where it is between begin and done. */
struct netns_ahead {
	pthread_t thread;
	bool has_thread;
	atomic_int state;
	int proc_dfd, fd;
	bool is_lo_up;
};
#define NETNS_AHEAD_INIT ((struct netns_ahead){ .proc_dfd = -1, .fd = -1 })

/* Begin, where there is a second processor for it. The namespace will belong to our user namespace. proc_dfd is
 * borrowed. The caller is single-threaded, and is so again after netns_ahead_done(). */
void netns_ahead_begin(struct netns_ahead *a, int proc_dfd);
/* The namespace's fd, or -1: it was not begun, the other processor had no time yet to begin with it, or it failed. The
 * caller then makes the namespace himself, and hears from the kernel what is wrong. With an fd, ret_lo_up is whether its
 * loopback interface was brought up too. */
int netns_ahead_take(struct netns_ahead *a, bool *ret_lo_up);
/* What was not taken goes. Nothing where nothing was begun. */
void netns_ahead_done(struct netns_ahead *a);

#endif
