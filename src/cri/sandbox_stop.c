/* SPDX-License-Identifier: Apache-2.0 */
/* StopPodSandbox and RemovePodSandbox, and the undoing of creations: one way down for all of them, and
 * every step of it accepts that its work is done already. */
#include "cri/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "cri/container.h"
#include "cri/handlers.h"
#include "cri/watch.h"
#include "store/journal.h"
#include "userns/netns.h"

#define STOP_TIMEOUT_MS 60000
#define KILL_TIMEOUT_MS 10000

/* A pod's own cgroup is below /hull, which goes with the last pod. */
static unsigned own_parents(const char *path)
{
	const char *last = strrchr(path, '/');

	return str_starts(path, OWN_CGROUPS "/") && last == path + strlen(OWN_CGROUPS) ? 1 : 0;
}

static int undo_cgroup(struct node *n, const char *path, struct error *e)
{
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	int r;

	if (sandbox_scope_is(n, path))
		return sandbox_scope_remove(n, path, e);
	r = cgroup_open(n->cgroups, path, &cg, e);
	/* Gone already, its parent may still be there. */
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	if (cg && (r = cgroup_kill(cg, KILL_TIMEOUT_MS, e)) < 0)
		return r;
	return cgroup_remove(n->cgroups, path, own_parents(path), e);
}

struct undo {
	struct node *n;
	struct sandbox *s;
	struct journal j;
};

/* One open entry. A kind that we do not know was written by a newer hulld: it stays, and is named. */
static int undo_entry(void *arg, const char *kind, const char *what, struct error *e)
{
	struct undo *u = arg;
	int r;

	if (str_eq(kind, JOURNAL_CGROUP))
		r = undo_cgroup(u->n, what, e);
	else if (str_eq(kind, JOURNAL_NETNS))
		r = netns_remove(what, e);
	else if (str_eq(kind, JOURNAL_CNI))
		return sandbox_net_down(u->n, u->s, e);
	else
		r = err_new(e, ERR_UNSUPPORTED,
			    "the pod's journal has an entry of the unknown kind \"%s\" (%s)", kind, what);
	if (r < 0)
		return r;
	return journal_done(&u->j, kind, what, e);
}

int sandbox_undo_journal(struct node *n, struct sandbox *s, struct error *e)
{
	struct undo u = { .n = n, .s = s, .j = JOURNAL_INIT };
	int r;

	if (s->pod_dfd < 0)
		return 0;
	if ((r = journal_open(s->pod_dfd, &u.j, e)) < 0)
		return r;
	r = journal_replay(s->pod_dfd, undo_entry, &u, e);
	journal_close(&u.j);
	return r < 0 ? r : 0;
}

/* The processes, by the monitor's hand; a monitor that has ended left its last record. */
static int stop_monitor(struct node *n, struct sandbox *s, struct error *e)
{
	struct monitor_call call = sandbox_call_ms(s, STOP_TIMEOUT_MS);
	cleanup_monitor_status struct monitor_status st = { 0 };
	struct error why = ERROR_INIT;
	int r, status;

	if (s->pod_dfd < 0) { /* after a boot: nothing lives, and nothing is known of how it ended */
		sandbox_apply_status(n, s, NULL, true);
		return 0;
	}
	r = monitor_stop_sandbox(&call, e);
	if (r < 0 && r != -ERR_UNAVAILABLE)
		return err_ctx(e, "stop the pod's processes");
	watch_remove(n, s);
	if (s->monitor.pid_fd >= 0) {
		/* It has said goodbye, or is gone; one that hangs now is killed, its cgroups are next. */
		if (proc_wait(&s->monitor, deadline_in_ms(KILL_TIMEOUT_MS), &status, &why) < 0)
			proc_kill(&s->monitor);
	}
	if (monitor_read_status_file(s->pod_dfd, &st, &why) == 0)
		sandbox_apply_status(n, s, &st, true);
	else
		sandbox_apply_status(n, s, NULL, true);
	return 0;
}

int sandbox_down(struct node *n, struct sandbox *s, struct error *e)
{
	int r;

	pthread_mutex_lock(&n->lock);
	s->is_stopping = true;
	pthread_mutex_unlock(&n->lock);
	/* DEL while the namespace is still there, but when nothing runs in it any more. */
	if ((r = container_kill_all(n, s, e)) < 0)
		log_warn("pod sandbox \"%s\": %s", s->rec->id, err_msg(e));
	if ((r = sandbox_net_down(n, s, e)) < 0 || (r = stop_monitor(n, s, e)) < 0 ||
	    (r = sandbox_undo_journal(n, s, e)) < 0)
		return r;
	pthread_mutex_lock(&n->lock);
	idrange_release(n->ranges, s->rec->id);
	s->rec->state = HULL__RECORD__SANDBOX_STATE__SANDBOX_STOPPED;
	pthread_mutex_unlock(&n->lock);
	return s->is_creating ? 0 : sandbox_save(n, s, e);
}

int sandbox_forget(struct node *n, struct sandbox *s, struct error *e)
{
	size_t count;
	struct container **v = sandbox_containers(n, s, &count);
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = container_remove(n, v[i], e);
		container_unref(n, v[i]);
	}
	free(v);
	if (r < 0)
		return r;
	if ((r = path_remove_tree(n->pods_dfd, s->rec->id, e)) < 0)
		return err_ctx(e, "remove the pod's directory");
	return store_remove(n->store, STORE_SANDBOX, s->rec->id, STORE_SAFE, e);
}

int cri_stop_pod_sandbox(struct node *n, struct call *call, const void *request, void *response,
			 struct error *e)
{
	const PB(StopPodSandboxRequest) *req = request;
	struct sandbox *s;
	int r = sandbox_find(n, req->pod_sandbox_id, &s, e);

	(void)call;
	(void)response;
	if (r == -ERR_NOT_FOUND)
		return 0; /* idempotent (CRI: StopPodSandbox) */
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->op);
	if (s->rec->state != HULL__RECORD__SANDBOX_STATE__SANDBOX_STOPPED || s->rec->has_cni)
		r = sandbox_down(n, s, e);
	pthread_mutex_unlock(&s->op);
	if (r < 0)
		err_ctx(e, "stop pod sandbox \"%s\"", s->rec->id);
	sandbox_unref(n, s);
	return r;
}

/* Take it out of the maps, so that its name and id are free. */
static void unlist(struct node *n, struct sandbox *s)
{
	cleanup_free char *key = sandbox_key(s->rec->config->metadata);
	struct sandbox *a, *b = NULL;

	pthread_mutex_lock(&n->lock);
	s->is_removed = true;
	a = map_remove(&n->sandboxes, s->rec->id);
	if (map_get(&n->sandbox_names, key) == s)
		b = map_remove(&n->sandbox_names, key);
	pthread_mutex_unlock(&n->lock);
	sandbox_unref(n, a);
	sandbox_unref(n, b);
}

int cri_remove_pod_sandbox(struct node *n, struct call *call, const void *request, void *response,
			   struct error *e)
{
	const PB(RemovePodSandboxRequest) *req = request;
	struct sandbox *s;
	int r = sandbox_find(n, req->pod_sandbox_id, &s, e);

	(void)call;
	(void)response;
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->op);
	if (!s->is_removed) {
		if (s->rec->state != HULL__RECORD__SANDBOX_STATE__SANDBOX_STOPPED || s->rec->has_cni)
			r = sandbox_down(n, s, e);
		if (r == 0)
			r = sandbox_forget(n, s, e);
		if (r == 0)
			unlist(n, s);
	}
	pthread_mutex_unlock(&s->op);
	if (r < 0)
		err_ctx(e, "remove pod sandbox \"%s\"", s->rec->id);
	sandbox_unref(n, s);
	return r;
}
