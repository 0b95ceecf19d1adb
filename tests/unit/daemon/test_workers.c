/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/workers.h"

static unsigned started, done, most, now_running, canceled;

static void enter(void)
{
	unsigned n = __atomic_add_fetch(&now_running, 1, __ATOMIC_SEQ_CST),
		 seen = __atomic_load_n(&most, __ATOMIC_SEQ_CST);

	__atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
	while (n > seen &&
	       !__atomic_compare_exchange_n(&most, &seen, n, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static void run_short(struct job *job, int cancel_fd)
{
	struct pollfd p = { .fd = cancel_fd, .events = POLLIN };

	(void)job;
	enter();
	/* What canceled an earlier job must not be seen by this one. */
	if (poll(&p, 1, 0) > 0)
		__atomic_add_fetch(&canceled, 1, __ATOMIC_SEQ_CST);
	usleep(1000);
	__atomic_sub_fetch(&now_running, 1, __ATOMIC_SEQ_CST);
}

static void run_until_canceled(struct job *job, int cancel_fd)
{
	struct pollfd p = { .fd = cancel_fd, .events = POLLIN };

	(void)job;
	enter();
	if (poll(&p, 1, 20000) > 0)
		__atomic_add_fetch(&canceled, 1, __ATOMIC_SEQ_CST);
	__atomic_sub_fetch(&now_running, 1, __ATOMIC_SEQ_CST);
}

static void job_done(struct job *job)
{
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
	free(job);
}

static struct job *job_new(void (*run)(struct job *job, int cancel_fd), enum job_class class)
{
	struct job *job = calloc(1, sizeof(*job));

	*job = (struct job){ .run = run, .done = job_done, .class = class };
	return job;
}

static struct workers *workers_with(unsigned max_short, unsigned max_long, unsigned max_queued)
{
	struct workers_opts o = WORKERS_OPTS_DEFAULT;
	struct error e = ERROR_INIT;
	struct workers *w;

	started = done = most = now_running = canceled = 0;
	o.max[JOB_SHORT] = max_short;
	o.max[JOB_LONG] = max_long;
	o.max_queued = max_queued;
	o.idle_ns = 50 * NS_PER_MS;
	o.keep = 1;
	assert_int_equal(workers_new(&o, &w, &e), 0);
	return w;
}

static void wait_for(const unsigned *value, unsigned want)
{
	for (int i = 0; i < 2000 && __atomic_load_n(value, __ATOMIC_SEQ_CST) != want; i++)
		usleep(5000);
	assert_int_equal(__atomic_load_n(value, __ATOMIC_SEQ_CST), want);
}

static void every_job_runs_once_and_no_more_than_allowed_at_once(void **state)
{
	struct workers *w = workers_with(4, 1, 1000);

	(void)state;
	for (int i = 0; i < 500; i++)
		assert_int_equal(workers_submit(w, job_new(run_short, JOB_SHORT), NULL), 0);
	wait_for(&done, 500);
	assert_int_equal(started, 500);
	assert_in_range(most, 2, 4);
	assert_int_equal(canceled, 0);
	workers_free(w);
}

static void long_jobs_leave_room_for_short_ones(void **state)
{
	struct workers *w = workers_with(1, 2, 100);
	struct job *jobs[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i] = job_new(run_until_canceled, JOB_LONG);
		assert_int_equal(workers_submit(w, jobs[i], NULL), 0);
	}
	wait_for(&started, 2);
	assert_int_equal(workers_submit(w, job_new(run_short, JOB_SHORT), NULL), 0);
	wait_for(&done, 1);
	/* Those that wait are canceled before their turn and still run, to answer. */
	for (size_t i = ARRAY_LEN(jobs); i-- > 0;)
		workers_cancel(w, jobs[i]);
	wait_for(&done, 7);
	assert_int_equal(canceled, 6);
	workers_free(w);
}

static void a_full_queue_refuses(void **state)
{
	struct workers *w = workers_with(1, 1, 2);
	struct job *jobs[3], *extra = job_new(run_short, JOB_LONG);
	struct error e = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		jobs[i] = job_new(run_until_canceled, JOB_LONG);
		assert_int_equal(workers_submit(w, jobs[i], NULL), 0);
		if (i == 0)
			wait_for(&started, 1);
	}
	assert_int_equal(workers_submit(w, extra, &e), -ERR_LIMIT);
	free(extra);
	for (size_t i = 3; i-- > 0;)
		workers_cancel(w, jobs[i]);
	workers_free(w);
	assert_int_equal(done, 3);
}

static void idle_threads_end(void **state)
{
	struct workers *w = workers_with(8, 1, 100);

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(workers_submit(w, job_new(run_short, JOB_SHORT), NULL), 0);
	wait_for(&done, 100);
	for (int i = 0; i < 400 && workers_thread_count(w) > 1; i++)
		usleep(5000);
	assert_int_equal(workers_thread_count(w), 1);
	assert_int_equal(workers_submit(w, job_new(run_short, JOB_SHORT), NULL), 0);
	wait_for(&done, 101);
	workers_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_once_and_no_more_than_allowed_at_once),
		cmocka_unit_test(long_jobs_leave_room_for_short_ones),
		cmocka_unit_test(a_full_queue_refuses),
		cmocka_unit_test(idle_threads_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
