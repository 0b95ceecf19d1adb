/* SPDX-License-Identifier: Apache-2.0 */
/* hull events: statistics of a container at an interval, and its OOM kills as they happen, one JSON object a line, until
 * the container ends. */
#include "hull/events.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hull/hull.h"
#include "hull/stats.h"

#define DEFAULT_INTERVAL "5s"

struct events_opts {
	const char *interval;
	bool stats;
};

static const struct option_word events_options[] = {
	{ "interval", 0, OPTION(struct events_opts, interval), "DURATION",
	  "between statistics: 300ms, 5s, 1m30s (" DEFAULT_INTERVAL ")" },
	{ "stats", 0, OPTION(struct events_opts, stats), NULL, "show the statistics once, and nothing else" },
	OPTIONS_END,
};

/* A reader of a pipe is to see it now. data may be NULL; it is taken. */
static int print_event(const char *type, const char *id, struct json_object *data, struct error *e)
{
	cleanup_json struct json_object *o = json_new();
	cleanup_buf struct buf text = BUF_INIT;

	json_put_str(o, "type", type);
	json_put_str(o, "id", id);
	if (data)
		json_put(o, "data", data);
	json_text(o, false, &text);
	if (printf("%s\n", buf_str(&text)) < 0 || fflush(stdout) != 0)
		return err_sys(e, "write to stdout");
	return 0;
}

struct watch {
	const struct container *c;
	struct stats_source stats;
	struct cgroup_oom_watch oom;
	int64_t interval_ns;
};

static int print_oom(struct watch *w, struct error *e)
{
	if (w->oom.fd < 0 || !cgroup_oom_watch_take(&w->oom))
		return 0;
	return print_event("oom", w->c->state.id, NULL, e);
}

/* Returns 0 to go on, 1 at the end of the container. */
static int wait_round(struct watch *w, int64_t *next_ns, struct error *e)
{
	struct pollfd p[] = { { .fd = w->c->pid_fd, .events = POLLIN },
			      { .fd = w->oom.fd, .events = w->oom.events } };
	int64_t left = *next_ns - clock_mono_ns();
	struct timespec timeout = { 0 };
	int n, r;

	if (left > 0)
		timeout = (struct timespec){ left / NS_PER_S, left % NS_PER_S };
	n = ppoll(p, ARRAY_LEN(p), &timeout, NULL);
	if (n < 0 && errno != EINTR)
		return err_sys(e, "wait for events");
	/* Before the end is told: what killed it comes first. */
	r = print_oom(w, e);
	if (r < 0 || n < 0)
		return r;
	if (p[0].revents)
		return 1;
	if (clock_mono_ns() < *next_ns)
		return 0;
	/* Of periods that were missed (stopped, or asleep) none is made up for. */
	*next_ns = clock_mono_ns() + w->interval_ns;
	return print_event("stats", w->c->state.id, stats_json(&w->stats), e);
}

static int follow(struct watch *w, struct error *e)
{
	int64_t next_ns = clock_mono_ns() + w->interval_ns;
	int r;

	do
		r = wait_round(w, &next_ns, e);
	while (r == 0);
	return r < 0 ? r : 0;
}

/* The groups of resctrl in which the container was put. */
static int find_rdt(struct watch *w, struct error *e)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	int r = container_spec(w->c, &spec, e);

	if (r < 0 || !spec->linux.intel_rdt)
		return r;
	r = intel_rdt_plan(spec->linux.intel_rdt, w->c->state.id, &w->stats.rdt, e);
	return r < 0 ? r : intel_rdt_open(&w->stats.rdt_dfd, e);
}

static void watch_done(struct watch *w)
{
	cgroup_oom_watch_done(&w->oom);
	intel_rdt_done(&w->stats.rdt);
	if (w->stats.rdt_dfd >= 0)
		close(w->stats.rdt_dfd);
}
DEFINE_CLEANUP_VALUE(struct watch, watch_done)

static int events_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct events_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	CLEANUP(watch_done)
	struct watch w = { .c = &c,
			   .stats = { .rdt_dfd = -1, .rdt = INTEL_RDT_INIT },
			   .oom = CGROUP_OOM_WATCH_INIT };
	struct error why = ERROR_INIT;
	int r = duration_parse(o->interval ? o->interval : DEFAULT_INTERVAL, &w.interval_ns, e);

	if (r < 0)
		return err_ctx(e, "--interval");
	if (w.interval_ns <= 0)
		return err_new(e, ERR_INVALID, "duration interval must be greater than 0");
	r = container_load(h, args[0], &c, e);
	if (r < 0)
		return r;
	if (c.status == OCI_STOPPED)
		return err_new(e, ERR_STATE, "container with id %s is not running", c.state.id);
	r = container_cgroup(h, &c, &host, &cgroup, e);
	if (r >= 0)
		r = find_rdt(&w, e);
	if (r < 0)
		return r;
	w.stats.cg = cgroup;
	if (o->stats)
		return print_event("stats", c.state.id, stats_json(&w.stats), e);
	if (cgroup_oom_watch_open(cgroup, &w.oom, &why) < 0)
		log_warn("container \"%s\": no OOM events: %s", c.state.id, err_msg(&why));
	return follow(&w, e);
}

const struct command command_events = {
	.name = "events",
	.arguments = "CONTAINER",
	.summary = "show statistics and OOM kills of a container as they come",
	.details = "One JSON object a line, until the container ends.\n",
	.options = events_options,
	.options_size = sizeof(struct events_opts),
	.least = 1,
	.most = 1,
	.run = events_run,
};
