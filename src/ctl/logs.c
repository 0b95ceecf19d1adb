// SPDX-License-Identifier: Apache-2.0
/* logs: the file that ContainerStatus names is read here, on the node; hulld has no part in it.
 *
 * With --follow the file is looked at again every FOLLOW_MS; a file that was moved away (a kubelet rotates logs, and
 * hulld opens the path anew) is read to its end, then the new one is. It ends when the container has ended and
 * everything was read. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/logline.h"
#include "ctl/resolve.h"

#define FOLLOW_MS 100
#define STATUS_NS NS_PER_S
#define TAIL_MAX 1000000
#define READ_SIZE (64 * 1024)
/* A record is at most 16 KiB of text and its head; what is longer is not a CRI log. */
#define RECORD_MAX (256 * 1024)

struct logs {
	struct ctl *c;
	const char *path, *container;
	int fd;
	struct buf pending; /* the beginning of a record whose newline was not read yet */
	bool times, follow;
	bool is_inside[2]; /* the last record printed on this stream was a part */
};

static int print_record(struct logs *l, const char *data, size_t len, struct error *e)
{
	struct logline line = { 0 };
	struct buf out = BUF_INIT;
	int r = 0;

	if (!logline_parse(data, len, &line))
		line = (struct logline){ .text = data, .len = len };
	if (l->times && !l->is_inside[line.is_stderr] && line.time_len) {
		buf_add(&out, line.time, line.time_len);
		buf_addc(&out, ' ');
	}
	buf_add(&out, line.text, line.len);
	if (!line.is_partial)
		buf_addc(&out, '\n');
	l->is_inside[line.is_stderr] = line.is_partial;
	if (fd_write_full(line.is_stderr ? STDERR_FILENO : STDOUT_FILENO, out.data, out.len) < 0)
		r = err_sys(e, "write the log");
	buf_done(&out);
	return r;
}

/* Print what the file has beyond what was read. Returns how many bytes came. */
static int64_t drain(struct logs *l, struct error *e)
{
	int64_t total = 0;

	for (;;) {
		ssize_t n = read(l->fd, buf_reserve(&l->pending, READ_SIZE), READ_SIZE);
		const char *nl;

		if (n < 0)
			return err_sys(e, "read \"%s\"", l->path);
		if (n == 0)
			return total;
		buf_added(&l->pending, (size_t)n);
		total += n;
		while ((nl = memchr(l->pending.data, '\n', l->pending.len))) {
			size_t len = (size_t)(nl - l->pending.data);
			int r = print_record(l, l->pending.data, len, e);

			if (r < 0)
				return r;
			buf_consume(&l->pending, len + 1);
		}
		if (l->pending.len > RECORD_MAX)
			return err_new(e, ERR_CORRUPT, "\"%s\" is not a log: a line has more than %d bytes",
				       l->path, RECORD_MAX);
	}
}

/* Move to where the last `lines` lines begin. */
static int seek_tail(struct logs *l, size_t lines, struct error *e)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	uint64_t at = 0;
	struct logtail tail;
	struct logline parsed;
	ssize_t n;
	FILE *f = fopen(l->path, "re");

	if (!f)
		return err_sys(e, "open \"%s\"", l->path);
	logtail_init(&tail, lines);
	while ((n = getline(&line, &size, f)) > 0) {
		size_t len = (size_t)n - (line[n - 1] == '\n');

		logtail_record(&tail, at, logline_parse(line, len, &parsed) && parsed.is_partial);
		at += (uint64_t)n;
	}
	fclose(f);
	at = logtail_start(&tail, at);
	logtail_done(&tail);
	return lseek(l->fd, (off_t)at, SEEK_SET) < 0 ? err_sys(e, "seek in \"%s\"", l->path) : 0;
}

static int is_running(struct logs *l, bool *ret, struct error *e)
{
	PB(ContainerStatusRequest) *req = CTL_NEW(l->c, ContainerStatusRequest, container_status_request);
	PB(ContainerStatusResponse) *resp = NULL;
	int r;

	req->container_id = (char *)l->container;
	r = CTL_CALL(l->c, "Runtime", "ContainerStatus", req, container_status_response, &resp, e);
	if (r == -ERR_NOT_FOUND) {
		err_clear(e);
		*ret = false;
		return 0;
	}
	if (r == 0)
		*ret = resp->status && resp->status->state <= RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
	return r;
}

static int open_log(struct logs *l, struct error *e)
{
	l->fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return l->fd < 0 ? err_sys(e, "open the log \"%s\"", l->path) : 0;
}

/* The path has another file by now: read the old one's rest, then go on with the new one. */
static int follow_rotation(struct logs *l, struct error *e)
{
	struct stat here, there;
	int64_t n;

	if (fstat(l->fd, &here) < 0 || stat(l->path, &there) < 0 ||
	    (here.st_ino == there.st_ino && here.st_dev == there.st_dev))
		return 0;
	n = drain(l, e);
	if (n < 0)
		return (int)n;
	close(l->fd);
	buf_clear(&l->pending);
	return open_log(l, e);
}

static int follow(struct logs *l, struct error *e)
{
	const struct timespec pause = { .tv_nsec = FOLLOW_MS * NS_PER_MS };
	int64_t asked = 0;
	bool running = true;

	for (;;) {
		int64_t n = drain(l, e);
		int r;

		if (n < 0)
			return (int)n;
		if (!running && n == 0)
			return 0;
		r = follow_rotation(l, e);
		if (r < 0)
			return r;
		if (running && clock_mono_ns() - asked > STATUS_NS) {
			r = is_running(l, &running, e);
			if (r < 0)
				return r;
			asked = clock_mono_ns();
		}
		if (running)
			nanosleep(&pause, NULL);
	}
}

static int print_logs(struct logs *l, int64_t tail, struct error *e)
{
	int r = open_log(l, e);

	if (r == 0 && tail >= 0)
		r = seek_tail(l, (size_t)tail, e);
	if (r < 0)
		return r;
	if (l->follow)
		return follow(l, e);
	int64_t n = drain(l, e);

	return n < 0 ? (int)n : 0;
}

int ctl_logs(struct ctl *c, int argc, char **argv, struct error *e)
{
	struct logs l = { .c = c, .fd = -1, .pending = BUF_INIT };
	int64_t tail = -1;
	const struct ctl_option options[] = {
		{ 'f', "follow", CTL_FLAG, &l.follow },
		{ 't', "timestamps", CTL_FLAG, &l.times },
		{ 0, "tail", CTL_NUMBER, &tail },
	};
	PB(ContainerStatusRequest) *req = CTL_NEW(c, ContainerStatusRequest, container_status_request);
	PB(ContainerStatusResponse) *resp = NULL;
	PB(Container) *container = NULL;
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), r;

	if (i < 0)
		return CTL_USAGE;
	if (argc - i != 1)
		return ctl_usage(c, "of which container?");
	if (tail < -1 || tail > TAIL_MAX)
		return ctl_usage(c, "--tail: want 0 to %d", TAIL_MAX);
	r = resolve_container(c, argv[i], &container, e);
	if (r < 0)
		return r;
	l.container = req->container_id = container->id;
	r = CTL_CALL(c, "Runtime", "ContainerStatus", req, container_status_response, &resp, e);
	if (r < 0)
		return r;
	if (!resp->status || !*resp->status->log_path)
		return err_new(e, ERR_NOT_FOUND,
			       "container \"%s\" keeps no log: its pod or itself was made without a log path",
			       argv[i]);
	l.path = resp->status->log_path;
	r = print_logs(&l, tail, e);
	if (l.fd >= 0)
		close(l.fd);
	buf_done(&l.pending);
	return r;
}
