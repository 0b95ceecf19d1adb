/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that run jobs: grown on demand up to a bound for each class of jobs, ended when idle. Long
 * jobs and streams have bounds of their own, so that they never starve short ones. */
#ifndef HULL_DAEMON_WORKERS_H
#define HULL_DAEMON_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum job_class { JOB_SHORT, JOB_LONG, JOB_STREAM, JOB_CLASS_COUNT };

struct worker;
struct job {
	/* Called once, also when the job was canceled before its turn: then cancel_fd is readable from the
	 * start. */
	void (*run)(struct job *job, int cancel_fd);
	/* Called once after run, outside all locks: the job's memory may be given back. */
	void (*done)(struct job *job);
	enum job_class class;

	/* Of workers.c: */
	struct job *next;
	struct worker *worker;
	bool is_canceled;
};

struct workers_opts {
	unsigned max[JOB_CLASS_COUNT]; /* threads that run jobs of this class at once */
	unsigned max_queued;	       /* jobs of a class that wait */
	unsigned keep;		       /* threads that stay although idle */
	int64_t idle_ns;	       /* after which the others end */
	size_t stack_bytes;
};
#define WORKERS_OPTS_DEFAULT                                 \
	((struct workers_opts){                              \
		.max = { 16, 256, 64 },                      \
		.max_queued = 4096,                          \
		.keep = 2,                                   \
		.idle_ns = INT64_C(10) * 1000 * 1000 * 1000, \
		.stack_bytes = 256 * 1024,                   \
	})

struct workers;
int workers_new(const struct workers_opts *opts, struct workers **ret, struct error *e) MUST_USE;

/* Fails: LIMIT  too many jobs of this class wait
 *        SYS    no thread could be made, and there is none */
int workers_submit(struct workers *w, struct job *job, struct error *e) MUST_USE;
/* Make the job's cancel_fd readable; before, while or after it runs, but not after done. */
void workers_cancel(struct workers *w, struct job *job);
/* Wait until every job is done and every thread ended. Nothing may be submitted meanwhile. */
void workers_free(struct workers *w);

/* For tests and the verbose status. */
unsigned workers_thread_count(struct workers *w);
/* Jobs that run or wait. */
unsigned workers_running_count(struct workers *w);

#endif
