/* SPDX-License-Identifier: Apache-2.0 */
/* Every thread takes jobs of every class; a class is skipped while as many of its jobs run as it may
 * have. So there are at most as many threads as all bounds together, and a class always finds its own.
 *
 * Each thread owns one eventfd, which is the cancel fd of the job that it runs: a call costs no system
 * call for being cancelable. It is written to only under the lock and only while the job is this
 * thread's; the thread drains it under the same lock when the job is done. */
#include "daemon/workers.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"

struct queue {
	struct job *first, **end;
	unsigned waiting, running;
};

struct workers {
	struct workers_opts opts;
	pthread_attr_t attr;
	pthread_mutex_t lock;
	pthread_cond_t work;  /* there is a job, or no more will come */
	pthread_cond_t ended; /* a thread ended */
	struct queue queues[JOB_CLASS_COUNT];
	unsigned threads, idle;
	bool is_stopping;
};

struct worker {
	struct workers *workers;
	int cancel_fd;
};

/* Under the lock: the next job that may run now. */
static struct job *take_job(struct workers *w)
{
	for (int c = 0; c < JOB_CLASS_COUNT; c++) {
		struct queue *q = &w->queues[c];
		struct job *job = q->first;

		if (!job || q->running >= w->opts.max[c])
			continue;
		q->first = job->next;
		if (!q->first)
			q->end = &q->first;
		q->waiting--;
		q->running++;
		return job;
	}
	return NULL;
}

static void set_cancel_fd(struct worker *me)
{
	uint64_t one = 1;
	ssize_t n = write(me->cancel_fd, &one, sizeof(one));

	(void)n; /* only a full counter fails, and that is readable too */
}

/* Under the lock, which is given up meanwhile. */
static void run_job(struct workers *w, struct worker *me, struct job *job)
{
	enum job_class class = job->class;
	uint64_t count;
	ssize_t n;

	job->worker = me;
	if (job->is_canceled)
		set_cancel_fd(me);
	pthread_mutex_unlock(&w->lock);
	job->run(job, me->cancel_fd);
	pthread_mutex_lock(&w->lock);
	job->worker = NULL;
	w->queues[class].running--;
	n = read(me->cancel_fd, &count, sizeof(count));
	(void)n; /* EAGAIN: it was not canceled */
	pthread_mutex_unlock(&w->lock);
	job->done(job);
	pthread_mutex_lock(&w->lock);
}

/* Under the lock. False: this thread has been idle for long enough, or the end has come. */
static bool wait_for_work(struct workers *w)
{
	int64_t until = clock_mono_ns() + w->opts.idle_ns;
	struct timespec ts = { .tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S };
	int r = 0;

	if (w->is_stopping)
		return false;
	w->idle++;
	if (w->threads > w->opts.keep)
		r = pthread_cond_timedwait(&w->work, &w->lock, &ts);
	else
		pthread_cond_wait(&w->work, &w->lock);
	w->idle--;
	return r == 0 || w->threads <= w->opts.keep;
}

static void *worker_main(void *arg)
{
	struct worker *me = arg;
	struct workers *w = me->workers;
	bool is_ending = false;
	struct job *job;

	pthread_mutex_lock(&w->lock);
	while ((job = take_job(w)) || !is_ending) {
		if (job)
			run_job(w, me, job);
		is_ending = !job && !wait_for_work(w);
	}
	close(me->cancel_fd);
	free(me);
	w->threads--;
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int start_thread(struct workers *w, struct error *e)
{
	struct worker *me = NEW(struct worker);
	pthread_t thread;
	int r;

	me->workers = w;
	me->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (me->cancel_fd < 0) {
		free(me);
		return err_sys(e, "make an eventfd for a worker thread");
	}
	r = pthread_create(&thread, &w->attr, worker_main, me);
	if (r != 0) {
		close(me->cancel_fd);
		free(me);
		return err_sysk(e, ERR_SYS, r, "make a worker thread");
	}
	w->threads++;
	return 0;
}

int workers_new(const struct workers_opts *opts, struct workers **ret, struct error *e)
{
	struct workers *w = NEW(struct workers);
	pthread_condattr_t monotonic;
	int r;

	w->opts = *opts;
	for (int c = 0; c < JOB_CLASS_COUNT; c++)
		w->queues[c].end = &w->queues[c].first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&w->ended, NULL);
	pthread_attr_init(&w->attr);
	pthread_attr_setdetachstate(&w->attr, PTHREAD_CREATE_DETACHED);
	r = pthread_attr_setstacksize(&w->attr, opts->stack_bytes);
	if (r != 0) {
		workers_free(w);
		return err_sysk(e, ERR_INTERNAL, r, "set the stack size of worker threads");
	}
	*ret = w;
	return 0;
}

int workers_submit(struct workers *w, struct job *job, struct error *e)
{
	struct queue *q = &w->queues[job->class];
	unsigned ready = 0;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (q->waiting >= w->opts.max_queued) {
		pthread_mutex_unlock(&w->lock);
		return err_new(e, ERR_LIMIT, "%u calls wait already", w->opts.max_queued);
	}
	for (int c = 0; c < JOB_CLASS_COUNT; c++)
		ready += w->queues[c].waiting;
	/* A new thread when this job could run, and the idle ones have work already. */
	if (w->idle <= ready && q->running + q->waiting < w->opts.max[job->class])
		r = start_thread(w, e);
	if (r < 0 && w->threads > 0)
		r = 0; /* it will be late, but it will be run */
	if (r == 0) {
		job->next = NULL;
		*q->end = job;
		q->end = &job->next;
		q->waiting++;
		pthread_cond_signal(&w->work);
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

void workers_cancel(struct workers *w, struct job *job)
{
	pthread_mutex_lock(&w->lock);
	job->is_canceled = true;
	if (job->worker)
		set_cancel_fd(job->worker);
	pthread_mutex_unlock(&w->lock);
}

void workers_free(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->is_stopping = true;
	pthread_cond_broadcast(&w->work);
	while (w->threads > 0)
		pthread_cond_wait(&w->ended, &w->lock);
	pthread_mutex_unlock(&w->lock);
	pthread_attr_destroy(&w->attr);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

unsigned workers_thread_count(struct workers *w)
{
	unsigned n;

	pthread_mutex_lock(&w->lock);
	n = w->threads;
	pthread_mutex_unlock(&w->lock);
	return n;
}

unsigned workers_running_count(struct workers *w)
{
	unsigned n = 0;

	pthread_mutex_lock(&w->lock);
	for (int c = 0; c < JOB_CLASS_COUNT; c++)
		n += w->queues[c].running + w->queues[c].waiting;
	pthread_mutex_unlock(&w->lock);
	return n;
}
