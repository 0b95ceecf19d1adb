/* SPDX-License-Identifier: Apache-2.0 */
/* Start, stop and remove. hull-pod is the judge of what state a container is in; the record follows. */
#include "cri/container.h"

#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "cri/handlers.h"
#include "cri/sandbox.h"
#include "cri/watch.h"
#include "store/journal.h"

#define KILL_TIMEOUT_MS 30000

static unsigned state_of(struct node *n, const struct container *c)
{
	unsigned state;

	pthread_mutex_lock(&n->lock);
	state = c->rec->state;
	pthread_mutex_unlock(&n->lock);
	return state;
}

static const char *state_name(unsigned state)
{
	static const char *const names[] = { "created", "running", "exited", "unknown" };

	return state < ARRAY_LEN(names) ? names[state] : "unknown";
}

/* --- start ---------------------------------------------------------------------------------------- */

/* The program could not be executed: the container is EXITED with 128 and says why, as others report it. */
static void note_failed_start(struct node *n, struct container *c, const struct error *why)
{
	struct error e = ERROR_INIT;

	pthread_mutex_lock(&n->lock);
	c->rec->state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
	if (!c->rec->started_at)
		c->rec->started_at = clock_wall_ns();
	if (!c->rec->finished_at)
		c->rec->finished_at = clock_wall_ns();
	if (!c->rec->exit_code)
		c->rec->exit_code = 128;
	c->rec->pid = 0;
	rec_set(&c->rec->reason, "StartError");
	rec_set(&c->rec->message, err_msg(why));
	pthread_mutex_unlock(&n->lock);
	if (container_save(n, c, &e) < 0)
		log_error("%s", err_msg(&e));
}

int container_start(struct node *n, struct container *c, const struct call *call, struct error *e)
{
	struct monitor_container_status st = { .state = MONITOR_RUNNING };
	struct monitor_call m = sandbox_call(c->sandbox, call);
	unsigned state;
	int r;

	/* A start that was begun is not taken back when the client goes away: there is no undoing an exec. */
	m.cancel_fd = -1;
	pthread_mutex_lock(&c->op);
	state = state_of(n, c);
	if (state != RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED) {
		r = err_new(e, ERR_STATE, "container \"%s\" is %s; only a created one can be started",
			    c->rec->id, state_name(state));
	} else {
		r = monitor_start(&m, c->rec->id, e);
		if (r == 0) {
			st.started_at = clock_wall_ns();
			container_apply_status(n, c, &st);
		} else if (r != -ERR_TIMEOUT && r != -ERR_UNAVAILABLE) {
			note_failed_start(n, c, e);
		}
	}
	pthread_mutex_unlock(&c->op);
	return r;
}

int cri_start_container(struct node *n, struct call *call, const void *request, void *response,
			struct error *e)
{
	const PB(StartContainerRequest) *req = request;
	struct container *c;
	int r = container_find(n, req->container_id, &c, e);

	(void)response;
	if (r < 0)
		return r;
	r = container_start(n, c, call, e);
	if (r < 0)
		err_ctx(e, "start container \"%s\"", c->rec->config->metadata->name);
	container_unref(n, c);
	return r;
}

/* --- stop ----------------------------------------------------------------------------------------- */

int container_stop(struct node *n, struct container *c, int64_t timeout_s, const struct call *call,
		   struct error *e)
{
	struct monitor_container_status st;
	struct monitor_call m = sandbox_call(c->sandbox, call);
	int r;

	if (state_of(n, c) == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED)
		return 0;
	if (timeout_s < 0)
		timeout_s = 0;
	if (timeout_s > INT32_MAX)
		timeout_s = INT32_MAX;
	r = monitor_stop(&m, c->rec->id, timeout_s == 0 ? SIGKILL : c->rec->stop_signal, timeout_s * 1000,
			 &st, e);
	if (r == 0)
		container_apply_status(n, c, &st);
	if (r == -ERR_NOT_FOUND || r == -ERR_UNAVAILABLE) {
		/* No monitor knows it any more: it does not run. */
		err_clear(e);
		return 0;
	}
	return r;
}

int cri_stop_container(struct node *n, struct call *call, const void *request, void *response,
		       struct error *e)
{
	const PB(StopContainerRequest) *req = request;
	struct container *c;
	int r = container_find(n, req->container_id, &c, e);

	(void)response;
	if (r == -ERR_NOT_FOUND)
		return 0; /* idempotent (CRI: StopContainer) */
	if (r < 0)
		return r;
	r = container_stop(n, c, req->timeout, call, e);
	if (r < 0)
		err_ctx(e, "stop container \"%s\"", c->rec->config->metadata->name);
	container_unref(n, c);
	return r;
}

int container_kill_all(struct node *n, struct sandbox *s, struct error *e)
{
	struct monitor_call m = sandbox_call_ms(s, KILL_TIMEOUT_MS);
	size_t count;
	struct container **v = sandbox_containers(n, s, &count);
	int r = 0;

	/* All are told first, then each is waited for. */
	for (size_t i = 0; i < count && s->pod_dfd >= 0; i++)
		if (state_of(n, v[i]) == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING &&
		    monitor_kill(&m, v[i]->rec->id, SIGKILL, e) < 0)
			err_clear(e); /* it may have ended meanwhile; the wait below says so */
	for (size_t i = 0; i < count; i++) {
		struct monitor_container_status st;

		if (s->pod_dfd >= 0 && state_of(n, v[i]) == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING) {
			int one = monitor_stop(&m, v[i]->rec->id, SIGKILL, 0, &st, e);

			if (one == 0)
				container_apply_status(n, v[i], &st);
			else if (one != -ERR_NOT_FOUND && one != -ERR_UNAVAILABLE)
				r = err_ctx(e, "kill container \"%s\"", v[i]->rec->id);
		}
		container_unref(n, v[i]);
	}
	free(v);
	return r;
}

/* --- remove --------------------------------------------------------------------------------------- */

/* Its cgroup, when hull-pod could not or is gone. */
static int undo_cgroup(struct node *n, struct container *c, struct error *e)
{
	CLEANUP(journal_close) struct journal j = JOURNAL_INIT;
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	int r;

	if (str_is_empty(c->rec->cgroup_path))
		return 0;
	r = cgroup_open(n->cgroups, c->rec->cgroup_path, &cg, e);
	if (r == 0) {
		if ((r = cgroup_kill(cg, KILL_TIMEOUT_MS, e)) < 0 ||
		    (r = cgroup_remove(n->cgroups, c->rec->cgroup_path, 0, e)) < 0)
			return err_ctx(e, "cgroup \"%s\"", c->rec->cgroup_path);
	} else if (r != -ERR_NOT_FOUND) {
		return r;
	}
	if (c->sandbox->pod_dfd < 0)
		return 0;
	if ((r = journal_open(c->sandbox->pod_dfd, &j, e)) < 0)
		return r;
	return journal_done(&j, JOURNAL_CGROUP, c->rec->cgroup_path, e);
}

static int undo_monitor(struct container *c, struct error *e)
{
	struct monitor_call m = sandbox_call_ms(c->sandbox, KILL_TIMEOUT_MS);
	int r;

	if (c->sandbox->pod_dfd < 0)
		return 0;
	r = monitor_delete(&m, c->rec->id, e);
	return r == -ERR_NOT_FOUND || r == -ERR_UNAVAILABLE ? 0 : r;
}

static void unlist(struct node *n, struct container *c)
{
	cleanup_free char *key = container_key(c->rec->sandbox_id, c->rec->config->metadata);
	struct container *a, *b = NULL, *in_list = NULL;

	pthread_mutex_lock(&n->lock);
	c->is_removed = true;
	a = map_remove(&n->containers, c->rec->id);
	if (map_get(&n->container_names, key) == c)
		b = map_remove(&n->container_names, key);
	for (struct container **p = &c->sandbox->containers; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			in_list = c;
			break;
		}
	pthread_mutex_unlock(&n->lock);
	container_unref(n, a);
	container_unref(n, b);
	container_unref(n, in_list);
}

static int remove_all(struct node *n, struct container *c, struct error *e)
{
	int r;

	if ((r = undo_monitor(c, e)) < 0 || (r = undo_cgroup(n, c, e)) < 0 ||
	    (r = path_remove_tree(n->containers_dfd, c->rec->id, e)) < 0)
		return r;
	if (c->sandbox->pod_dfd >= 0 && (r = path_remove_tree(c->sandbox->pod_dfd, c->rec->id, e)) < 0)
		return r;
	if ((r = store_remove(n->store, STORE_CONTAINER, c->rec->id, STORE_SAFE, e)) < 0)
		return r;
	unlist(n, c);
	return 0;
}

int container_remove(struct node *n, struct container *c, struct error *e)
{
	int r = 0;

	pthread_mutex_lock(&c->op);
	if (!c->is_removed)
		r = remove_all(n, c, e);
	pthread_mutex_unlock(&c->op);
	return r < 0 ? err_ctx(e, "remove container \"%s\"", c->rec->id) : 0;
}

int cri_remove_container(struct node *n, struct call *call, const void *request, void *response,
			 struct error *e)
{
	const PB(RemoveContainerRequest) *req = request;
	struct container *c;
	int r = container_find(n, req->container_id, &c, e);

	(void)call;
	(void)response;
	if (r == -ERR_NOT_FOUND)
		return 0; /* idempotent (CRI: RemoveContainer) */
	if (r < 0)
		return r;
	r = container_remove(n, c, e);
	container_unref(n, c);
	if (r == 0)
		images_gc(n->images);
	return r;
}

/* --- log ------------------------------------------------------------------------------------------ */

int cri_reopen_container_log(struct node *n, struct call *call, const void *request, void *response,
			     struct error *e)
{
	const PB(ReopenContainerLogRequest) *req = request;
	cleanup_close int fd = -1;
	struct monitor_call m;
	struct container *c;
	int r = container_find(n, req->container_id, &c, e);

	(void)response;
	if (r < 0)
		return r;
	m = sandbox_call(c->sandbox, call);
	/* Asked for a container that does not run, no new file may appear (CRI: ReopenContainerLog). */
	if (state_of(n, c) != RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING)
		r = err_new(e, ERR_STATE, "container \"%s\" is not running", c->rec->id);
	else if (str_is_empty(c->rec->log_path))
		r = err_new(e, ERR_STATE, "container \"%s\" has no log file", c->rec->id);
	else if ((r = container_open_log(c->sandbox, c->rec->config->log_path, &fd, e)) == 0)
		r = monitor_reopen_log(&m, c->rec->id, fd, e);
	if (r < 0)
		err_ctx(e, "reopen the log of container \"%s\"", c->rec->config->metadata->name);
	container_unref(n, c);
	return r;
}
