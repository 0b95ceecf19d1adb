/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "pod/monitor.h"

int source_add(struct monitor *m, struct source *s, int fd, uint32_t events,
	       void (*fn)(struct source *s, uint32_t events), struct error *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_sys(e, "watch fd %d", fd);
	s->fd = fd;
	s->fn = fn;
	return 0;
}

void source_events(struct monitor *m, struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	epoll_ctl(m->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev);
}

void source_forget(struct monitor *m, struct source *s)
{
	if (s->fd >= 0)
		epoll_ctl(m->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->fd = -1;
}

void source_close(struct monitor *m, struct source *s)
{
	int fd = s->fd;

	/* Not by close() alone: a worker may hold the same file open for a while. */
	source_forget(m, s);
	if (fd >= 0)
		close(fd);
}

void timer_off(struct monitor *m, struct timer *t)
{
	if (t->at == 0)
		return;
	for (struct timer **p = &m->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->at = 0;
}

/* The list is in the order of time; there are few. */
void timer_set(struct monitor *m, struct timer *t, int64_t at, void (*fn)(struct timer *t))
{
	struct timer **p = &m->timers;

	timer_off(m, t);
	t->at = at > 0 ? at : 1;
	t->fn = fn;
	while (*p && (*p)->at <= t->at)
		p = &(*p)->next;
	t->next = *p;
	*p = t;
}
