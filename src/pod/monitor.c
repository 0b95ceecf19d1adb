/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the process: becoming a monitor, the event loop, giving memory back. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pod/monitor.h"

/* Quiet for so long: give back what the last requests took. */
#define TRIM_AFTER_MS 200

/* ---- name in ps(1) ------------------------------------------------------------------------------- */

static struct {
	char *at;
	size_t size;
} title;

void title_keep(int argc, char **argv)
{
	title.at = argv[0];
	title.size = (size_t)(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]) + 1;
}

void title_set(const char *name, const char *id)
{
	if (!title.at)
		return;
	memset(title.at, 0, title.size);
	snprintf(title.at, title.size, "%s %.13s", name, id);
}

/* ---- start --------------------------------------------------------------------------------------- */

#define OOM_SCORE "/proc/self/oom_score_adj"
/* A container takes up to nine fds here. */
#define FILES_WANTED 16384

/* As hard to kill by the OOM killer as we may be: without CAP_SYS_RESOURCE a score cannot go below the one
 * that was there (proc(5)), and then hulld's own has to do. */
static void lower_oom_score(struct monitor *m)
{
	cleanup_buf struct buf before = BUF_INIT;

	if (file_read(AT_FDCWD, OOM_SCORE, sizeof(m->oom_score_before) - 1, &before, NULL) < 0)
		return;
	memcpy(m->oom_score_before, buf_str(&before), before.len);
	if (file_poke(AT_FDCWD, OOM_SCORE, "-999", 4, NULL) < 0)
		log_debug("the OOM score stays as it is: %s", strerror(errno));
}

static void raise_files(struct monitor *m)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &m->files_before) < 0)
		return;
	limit = m->files_before;
	if (limit.rlim_cur < FILES_WANTED)
		limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void monitor_restore(const struct monitor *m)
{
	if (m->files_before.rlim_max > 0)
		setrlimit(RLIMIT_NOFILE, &m->files_before);
	if (m->oom_score_before[0])
		(void)!file_poke(AT_FDCWD, OOM_SCORE, m->oom_score_before, strlen(m->oom_score_before), NULL);
}

static void on_signal(struct source *s, uint32_t events)
{
	struct monitor *m = container_of(s, struct monitor, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM && !m->is_stopping) {
		/* Not from hulld. An orderly end keeps the record true. */
		log_info("SIGTERM from process %u: stopping the pod", info.ssi_pid);
		m->is_stopping = true;
		sandbox_stop_step(m);
	}
	reap(m);
}

static int open_signals(struct monitor *m, struct error *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_sys(e, "make a signalfd");
	return source_add(m, &m->signals, fd, EPOLLIN, on_signal, e);
}

static int monitor_open(struct monitor *m, int listen_fd, int pod_dfd, const char *id, struct error *e)
{
	int r;

	strncpy(m->id, id, sizeof(m->id) - 1);
	m->pod_dfd = pod_dfd;
	m->sandbox = SANDBOX_INIT;
	m->listen = m->signals = SOURCE_OFF;
	m->stop_error = ERROR_INIT;
	/* Orphans of containers without a pid namespace of their own come to us, not to the node's init. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_sys(e, "become a subreaper");
	m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (m->epoll_fd < 0)
		return err_sys(e, "make an epoll set");
	r = open_signals(m, e);
	return r < 0 ? r : source_add(m, &m->listen, listen_fd, EPOLLIN, conn_accept, e);
}

/* The first whole page of the heap; the page before has thread-local storage too, in a static program. */
static void *heap_start;

static void *first_heap_page(void)
{
	void *early = mem_alloc(1);
	uintptr_t page = ((uintptr_t)early + 4095) & ~(uintptr_t)4095;

	free(early);
	return page < (uintptr_t)sbrk(0) ? (void *)page
					 : NULL; /* not where malloc maps: under the sanitizers */
}

/* ---- memory -------------------------------------------------------------------------------------- */

/* Pages of the stack below us that earlier calls used, and free heap, go back to the kernel: what a monitor
 * keeps is multiplied by the pods of a node. */
void memory_trim(bool all)
{
	const uintptr_t page = 4096, span = 128 * 1024;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(page - 1);

	if (all && heap_start)
		madvise(heap_start, (size_t)((char *)sbrk(0) - (char *)heap_start), MADV_DONTNEED);
	else
		malloc_trim(0);
	/* This frame and what it calls are in the two pages above. */
	madvise((void *)(here - span - page), span, MADV_DONTNEED);
}

static void on_trim_time(struct timer *t)
{
	(void)t;
	memory_trim(false);
}

/* ---- the loop ------------------------------------------------------------------------------------ */

static void run_timers(struct monitor *m)
{
	int64_t now = clock_mono_ns();

	while (m->timers && m->timers->at <= now) {
		struct timer *t = m->timers;

		timer_off(m, t);
		t->fn(t);
	}
}

static void loop(struct monitor *m)
{
	while (!m->is_done) {
		/* One at a time: what it frees is then in no list of ours, and a busy fd goes to the end of
		 * the kernel's. */
		struct epoll_event ev;
		int n = epoll_wait(m->epoll_fd, &ev, 1, deadline_left_ms(m->timers ? m->timers->at : 0));

		if (n == 1) {
			struct source *s = ev.data.ptr;

			s->fn(s, ev.events);
			timer_set(m, &m->trim_timer, deadline_in_ms(TRIM_AFTER_MS), on_trim_time);
		} else if (n < 0 && errno != EINTR) {
			log_error("wait for events: %s", strerror(errno));
			return;
		}
		run_timers(m);
	}
}

int monitor_run(int listen_fd, int pod_dfd, const char *id)
{
	static struct monitor m;
	struct error err = ERROR_INIT;

	heap_start = first_heap_page();
	lower_oom_score(&m);
	raise_files(&m);
	if (monitor_open(&m, listen_fd, pod_dfd, id, &err) < 0) {
		log_error("start the monitor: %s", err_msg(&err));
		return 1;
	}
	loop(&m);
	return m.is_done ? 0 : 1;
}
