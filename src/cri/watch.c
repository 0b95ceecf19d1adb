/* SPDX-License-Identifier: Apache-2.0 */
/* One epoll set: the subscription of each sandbox and an eventfd that ends the thread. The data of an
 * entry is the sandbox's address, which stays valid: the set holds a reference until the entry is
 * removed. Fds are closed and references dropped by this thread alone, from the list `gone`: a number that
 * is closed elsewhere could be another file by the time we read from it. */
#include "cri/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cri/sandbox.h"

#define EXIT_CODE_UNKNOWN 255

struct watch {
	pthread_t thread;
	int epoll_fd, wake_fd;
	bool stop;
	struct gone {
		struct sandbox *sandbox;
		int fd;
	} * gone; /* guarded by node->lock */
	size_t gone_count;
	unsigned falling; /* threads of bring_down(); guarded by node->lock */
};

/* --- what monitors say ---------------------------------------------------------------------------- */

static const char *reason_of(const struct monitor_container_status *st)
{
	if (st->oom_killed)
		return "OOMKilled";
	return st->exit_code == 0 ? "Completed" : "Error";
}

/* Returns whether the record changed. */
static bool apply(REC(Container) *rec, const struct monitor_container_status *st)
{
	if (rec->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED)
		return false;
	if (st->started_at)
		rec->started_at = st->started_at;
	if (st->state == MONITOR_RUNNING) {
		if (rec->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING)
			return false;
		rec->state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
		return true;
	}
	if (st->state != MONITOR_EXITED)
		return false;
	rec->state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
	rec->finished_at = st->finished_at ? st->finished_at : clock_wall_ns();
	rec->exit_code = st->exit_code;
	rec->signal = st->signal;
	rec->oom_killed = st->oom_killed;
	rec->pid = 0;
	rec_set(&rec->reason, reason_of(st));
	rec_set(&rec->message, st->message);
	return true;
}

void container_apply_status(struct node *n, struct container *c, const struct monitor_container_status *st)
{
	struct error e = ERROR_INIT;
	bool changed;

	pthread_mutex_lock(&n->lock);
	changed = apply(c->rec, st) && !c->is_removed && !c->is_creating;
	pthread_mutex_unlock(&n->lock);
	if (changed && container_save(n, c, &e) < 0)
		log_error("%s", err_msg(&e));
}

static void apply_lost(struct node *n, struct container *c)
{
	struct monitor_container_status st = { .state = MONITOR_EXITED, .exit_code = EXIT_CODE_UNKNOWN };

	snprintf(
		st.message, sizeof(st.message),
		"the pod's monitor ended without a record of this container's end; its exit code is unknown");
	container_apply_status(n, c, &st);
}

void sandbox_apply_status(struct node *n, struct sandbox *s, const struct monitor_status *st, bool lost)
{
	size_t count;
	struct container **v = sandbox_containers(n, s, &count);

	for (size_t i = 0; i < count; i++) {
		const struct monitor_container_status *one = st ? monitor_status_find(st, v[i]->rec->id)
								: NULL;

		if (one)
			container_apply_status(n, v[i], one);
		if (lost && (!one || one->state != MONITOR_EXITED))
			apply_lost(n, v[i]);
		container_unref(n, v[i]);
	}
	free(v);
}

/* --- the thread ----------------------------------------------------------------------------------- */

static struct container *find_of(struct node *n, struct sandbox *s, const char *id)
{
	struct container *found = NULL;

	pthread_mutex_lock(&n->lock);
	for (struct container *c = s->containers; c && !found; c = c->next)
		if (str_eq(c->rec->id, id))
			found = container_hold(c);
	pthread_mutex_unlock(&n->lock);
	return found;
}

/* Bring down what a dead monitor left. On a thread of its own: DEL of a network may take its time, and
 * other pods' exits must not wait for it. node_close() waits for these. */
struct fallen {
	struct node *n;
	struct sandbox *s;
};

static void *bring_down(void *arg)
{
	struct fallen *f = arg;
	struct error e = ERROR_INIT;

	pthread_mutex_lock(&f->s->op);
	if (!f->s->is_removed && sandbox_down(f->n, f->s, &e) < 0)
		log_error("stop pod sandbox \"%s\": %s", f->s->rec->id, err_msg(&e));
	pthread_mutex_unlock(&f->s->op);
	sandbox_unref(f->n, f->s);
	pthread_mutex_lock(&f->n->lock);
	f->n->watch->falling--;
	pthread_cond_broadcast(&f->n->changed);
	pthread_mutex_unlock(&f->n->lock);
	free(f);
	return NULL;
}

static void start_bring_down(struct node *n, struct sandbox *s)
{
	struct fallen *f = NEW(struct fallen);
	pthread_t thread;

	*f = (struct fallen){ n, sandbox_hold(s) };
	pthread_mutex_lock(&n->lock);
	n->watch->falling++;
	pthread_mutex_unlock(&n->lock);
	if (pthread_create(&thread, NULL, bring_down, f) == 0)
		pthread_detach(thread);
	else
		bring_down(f);
}

/* A pod without what holds it is dead: its monitor, its built-in init or its pause process. Nothing to do when
 * that was asked for. */
static void on_dead(struct node *n, struct sandbox *s, const char *what)
{
	bool expected;

	pthread_mutex_lock(&n->lock);
	expected = s->is_stopping || s->is_creating ||
		   s->rec->state != HULL__RECORD__SANDBOX_STATE__SANDBOX_IS_READY;
	if (!expected)
		s->is_stopping = true;
	pthread_mutex_unlock(&n->lock);
	if (expected)
		return;
	log_error("pod sandbox \"%s\": its %s has ended unasked; the pod is stopped", s->rec->id, what);
	start_bring_down(n, s);
}

static void on_lost(struct node *n, struct sandbox *s)
{
	struct monitor_call call = sandbox_call_ms(s, 5000);
	cleanup_monitor_status struct monitor_status st = { 0 };

	if (monitor_status(&call, &st, NULL) < 0)
		return;
	sandbox_apply_status(n, s, &st, false);
	if (st.state == MONITOR_POD_NOTREADY)
		on_dead(n, s, "init");
}

static void on_event(struct node *n, struct sandbox *s, const struct monitor_event *ev)
{
	struct container *c;

	if (ev->type == MONITOR_EVENT_LOST) {
		on_lost(n, s);
		return;
	}
	if (ev->type == MONITOR_EVENT_POD && ev->pod_state == MONITOR_POD_NOTREADY)
		on_dead(n, s, "init");
	if (ev->container.id[0] == '\0')
		return;
	c = find_of(n, s, ev->container.id);
	if (!c)
		return;
	container_apply_status(n, c, &ev->container);
	if (c->rec->is_pause && ev->type == MONITOR_EVENT_EXITED)
		on_dead(n, s, "pause process");
	container_unref(n, c);
}

static void on_readable(struct node *n, struct sandbox *s)
{
	struct monitor_event *ev = NEW(struct monitor_event);
	struct error e = ERROR_INIT;
	int fd, r = 0;

	pthread_mutex_lock(&n->lock);
	fd = s->event_fd;
	pthread_mutex_unlock(&n->lock);
	while (fd >= 0 && (r = monitor_read_event(fd, ev, &e)) > 0)
		on_event(n, s, ev);
	free(ev);
	if (fd >= 0 && r < 0) {
		watch_remove(n, s);
		on_dead(n, s, "monitor");
	}
}

static void drop_gone(struct node *n)
{
	struct gone *gone;
	size_t count;

	pthread_mutex_lock(&n->lock);
	gone = n->watch->gone;
	count = n->watch->gone_count;
	n->watch->gone = NULL;
	n->watch->gone_count = 0;
	pthread_mutex_unlock(&n->lock);
	for (size_t i = 0; i < count; i++) {
		close(gone[i].fd);
		sandbox_unref(n, gone[i].sandbox);
	}
	free(gone);
}

static void *watch_main(void *arg)
{
	struct node *n = arg;
	struct watch *w = n->watch;
	struct epoll_event events[32];

	for (;;) {
		int count = epoll_wait(w->epoll_fd, events, ARRAY_LEN(events), -1);

		if (count < 0 && errno != EINTR)
			break;
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr) {
				on_readable(n, events[i].data.ptr);
			} else {
				eventfd_t ignored;

				eventfd_read(w->wake_fd, &ignored);
			}
		}
		if (__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
			break;
		drop_gone(n); /* after the batch: an event of it may still name one */
	}
	drop_gone(n);
	return NULL;
}

int watch_start(struct node *n, struct error *e)
{
	struct watch *w = NEW(struct watch);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	int r;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->watch = w;
	if (w->epoll_fd < 0 || w->wake_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0)
		return err_sys(e, "set up the listening to monitors");
	r = pthread_create(&w->thread, NULL, watch_main, n);
	if (r != 0) {
		errno = r;
		return err_sys(e, "start the thread that listens to monitors");
	}
	return 0;
}

void watch_stop(struct node *n)
{
	struct watch *w = n->watch;

	if (!w)
		return;
	if (w->thread) {
		__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
		eventfd_write(w->wake_fd, 1);
		pthread_join(w->thread, NULL);
		pthread_mutex_lock(&n->lock);
		while (w->falling > 0)
			pthread_cond_wait(&n->changed, &n->lock);
		pthread_mutex_unlock(&n->lock);
	}
	drop_gone(n);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	free(w);
	n->watch = NULL;
}

int watch_add(struct node *n, struct sandbox *s, struct error *e)
{
	struct monitor_call call = sandbox_call_ms(s, 10000);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = s };
	int fd, r = monitor_subscribe(&call, &fd, e);

	if (r < 0)
		return err_ctx(e, "subscribe to the pod's monitor");
	sandbox_hold(s);
	pthread_mutex_lock(&n->lock);
	s->event_fd = fd;
	pthread_mutex_unlock(&n->lock);
	if (epoll_ctl(n->watch->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		r = err_sys(e, "listen to the pod's monitor");
		pthread_mutex_lock(&n->lock);
		s->event_fd = -1;
		pthread_mutex_unlock(&n->lock);
		close(fd);
		sandbox_unref(n, s);
		return r;
	}
	return 0;
}

void watch_remove(struct node *n, struct sandbox *s)
{
	struct watch *w = n->watch;
	int fd;

	pthread_mutex_lock(&n->lock);
	fd = s->event_fd;
	s->event_fd = -1;
	if (fd >= 0) {
		epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		w->gone = mem_regrow(w->gone, w->gone_count + 1, sizeof(*w->gone));
		w->gone[w->gone_count++] = (struct gone){ s, fd };
	}
	pthread_mutex_unlock(&n->lock);
	if (fd >= 0)
		eventfd_write(w->wake_fd, 1);
}
