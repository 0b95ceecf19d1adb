/* SPDX-License-Identifier: Apache-2.0 */
/* RunPodSandbox. The steps, in order, each undone in reverse when a later one fails:
 *	reserve the name	a retry of the same pod and attempt waits for the running creation and gets
 *				its result; so a kubelet whose deadline was too short loses nothing
 *	claim the id range	no two pods ever share host ids
 *	record			in the database, as CREATING: what hulld finds so at its start it undoes
 *	directory, journal, files
 *	hull-pod		makes the namespaces and pins the network namespace at a path that is
 *				journaled before
 *	network			journaled, then CNI ADD
 *	READY
 * A client that goes away in the middle does not stop the creation: the retry will ask for it. */
#include "cri/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "cri/handlers.h"
#include "cri/validate.h"
#include "cri/watch.h"
#include "store/journal.h"
#include "userns/netns.h"

#define SHM_BYTES (UINT64_C(64) << 20)
#define MONITOR_TIMEOUT_MS 60000

struct monitor_call sandbox_call(const struct sandbox *s, const struct call *call)
{
	return (struct monitor_call){ .pod_dfd = s->pod_dfd,
				      .deadline_ns = call->deadline_ns,
				      .cancel_fd = call->cancel_fd };
}

struct monitor_call sandbox_call_ms(const struct sandbox *s, int64_t timeout_ms)
{
	return (struct monitor_call){ .pod_dfd = s->pod_dfd,
				      .deadline_ns = deadline_in_ms(timeout_ms),
				      .cancel_fd = -1 };
}

static REC(Sandbox) *new_record(const PB(RunPodSandboxRequest) *req, const struct sandbox_plan *p)
{
	REC(Sandbox) *rec = NEW(REC(Sandbox));
	char id[ID_LEN + 1];

	pb_init(&hull__record__sandbox__descriptor, rec);
	str_random_hex(id, 32);
	rec_set(&rec->id, id);
	rec->config = rec_copy_sandbox_config(req->config);
	rec_set(&rec->runtime_handler, req->runtime_handler);
	rec->created_at = clock_wall_ns();
	rec->state = HULL__RECORD__SANDBOX_STATE__SANDBOX_CREATING;
	rec->shared_pid = p->shared_pid;
	rec->idmap_all = p->idmap_all;
	rec->no_new_ipc = !p->new_ipc;
	rec_set(&rec->userns_note, p->note);
	return rec;
}

/* Wait until the creation that already runs has ended. A creation that fails leaves the maps, so its
 * error is read from the object. */
static int join_creation(struct node *n, struct sandbox *s, const struct call *call, char **ret_id,
			 struct error *e)
{
	int r = 0;

	while (s->is_creating && r == 0) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++; /* the client may go away meanwhile: look once a second */
		pthread_cond_timedwait(&n->changed, &n->lock, &until);
		r = call_check(call, e);
	}
	if (r < 0)
		return err_ctx(e, "wait for the creation of the pod sandbox that is under way");
	if (s->create_error.kind) {
		*e = s->create_error;
		return -(int)e->kind;
	}
	*ret_id = str_dup(s->rec->id);
	return 0;
}

/* Put the new sandbox under its name, or find the one that has it. Returns 1 when ret_id was set to
 * that of another creation, 0 when s is now the holder of the name. */
static int reserve(struct node *n, struct sandbox *s, const char *key, const struct call *call, char **ret_id,
		   struct error *e)
{
	struct sandbox *other;
	int r = 0;

	pthread_mutex_lock(&n->lock);
	other = map_get(&n->sandbox_names, key);
	if (!other) {
		s->is_creating = true;
		map_put(&n->sandbox_names, key, sandbox_hold(s));
		map_put(&n->sandboxes, s->rec->id, sandbox_hold(s));
	} else if (other->is_creating) {
		sandbox_hold(other);
		r = join_creation(n, other, call, ret_id, e);
		r = r < 0 ? r : 1;
		sandbox_unref(n, other);
	} else if (other->is_unclaimed &&
		   other->rec->state == HULL__RECORD__SANDBOX_STATE__SANDBOX_IS_READY) {
		other->is_unclaimed = false;
		*ret_id = str_dup(other->rec->id);
		r = 1;
	} else {
		r = err_new(e, ERR_EXISTS,
			    "pod sandbox \"%s\" exists already as \"%s\": remove it, or use another attempt",
			    key, other->rec->id);
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}

static int claim_ids(struct node *n, struct sandbox *s, struct sandbox_plan *p, struct error *e)
{
	const PB(PodSandboxMetadata) *m = s->rec->config->metadata;
	cleanup_free char *pod = str_fmt("%s/%s/%s", m->namespace_, m->name, m->uid);
	int r = 0;

	if (!p->new_user)
		return 0;
	pthread_mutex_lock(&n->lock);
	if (p->alloc_range) {
		struct idmap_extent x = { .container_id = 0, .length = p->handler->userns_size };

		r = idrange_alloc(n->ranges, s->rec->id, pod, x.length, &n->pool, &x.host_id, e);
		if (r == 0 && (r = idmap_add(&p->uids, x, e)) == 0)
			r = idmap_add(&p->gids, x, e);
	} else if (p->handler->userns != USERNS_NODE ||
		   !p->idmap_all) { /* the node's mapping is shared by intent */
		r = idrange_claim(n->ranges, s->rec->id, pod, &p->uids, e);
		if (r == 0)
			r = idrange_claim(n->ranges, s->rec->id, pod, &p->gids, e);
	}
	if (r == 0) {
		rec_set_map(&s->rec->uids, &s->rec->n_uids, &p->uids);
		rec_set_map(&s->rec->gids, &s->rec->n_gids, &p->gids);
	}
	pthread_mutex_unlock(&n->lock);
	return r < 0 ? err_ctx(e, "claim the pod's id range") : 0;
}

/* The kubelet's, or one of the pod's own. */
static void choose_cgroup(struct node *n, struct sandbox *s)
{
	const PB(LinuxPodSandboxConfig) *l = s->rec->config->linux;
	cleanup_free char *own = NULL;

	if (l && !str_is_empty(l->cgroup_parent)) {
		rec_set(&s->rec->cgroup_parent, l->cgroup_parent);
		return;
	}
	if (cgroup_host_driver(n->cgroups) == CGROUP_DRIVER_SYSTEMD)
		own = str_dup(OWN_SLICE);
	else
		own = str_fmt(OWN_CGROUPS "/%s", s->rec->id);
	rec_set(&s->rec->cgroup_parent, own);
	s->rec->owns_cgroup = true;
}

static int make_directory(struct node *n, struct sandbox *s, struct error *e)
{
	if (mkdirat(n->pods_dfd, s->rec->id, 0700) < 0)
		return err_sys(e, "make the pod's directory \"%s/pods/%s\"", node_config(n)->state_dir,
			       s->rec->id);
	s->pod_dfd = openat(n->pods_dfd, s->rec->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->pod_dfd < 0)
		return err_sys(e, "open the pod's directory \"%s/pods/%s\"", node_config(n)->state_dir,
			       s->rec->id);
	return 0;
}

static int start_monitor(struct node *n, struct sandbox *s, const struct sandbox_plan *p, struct error *e)
{
	const struct monitor_spawn_opts spawn = { .helper = n->helper_pod,
						  .pod_dfd = s->pod_dfd,
						  .id = s->rec->id,
						  .log_level = node_config(n)->log_level,
						  .log_fd = -1,
						  .log_json = str_eq(node_config(n)->log_format, "json") };
	const struct monitor_sandbox box = { .id = s->rec->id,
					     .new_user = p->new_user,
					     .new_net = p->new_net,
					     .new_ipc = p->new_ipc,
					     .new_uts = p->new_uts,
					     .shared_pid = p->shared_pid && !node_config(n)->sandbox_image,
					     .uids = &p->uids,
					     .gids = &p->gids,
					     .hostname = s->rec->config->hostname,
					     .sysctls = p->sysctls,
					     .sysctl_count = p->sysctl_count,
					     .netns_pin_path = p->new_net ? s->rec->netns_path : NULL,
					     .shm_bytes = p->new_ipc ? SHM_BYTES : 0,
					     .oom_score_adj = -998,
					     .cgroup_parent = s->rec->cgroup_parent,
					     .systemd_cgroup = cgroup_host_driver(n->cgroups) ==
							       CGROUP_DRIVER_SYSTEMD,
					     .seccomp_cache_dir = n->seccomp_dir };
	struct monitor_call call = sandbox_call_ms(s, MONITOR_TIMEOUT_MS);
	int r = monitor_spawn(&spawn, &s->monitor, e);

	if (r < 0)
		return err_ctx(e, "start the pod's monitor");
	r = sandbox_scope_start(n, s, e);
	if (r < 0)
		return r;
	r = monitor_create_sandbox(&call, &box, NULL, e);
	if (r < 0)
		return err_ctx(e, "make the pod's namespaces");
	return watch_add(n, s, e);
}

/* State before effect: the pin's path stands in the journal and the record before the pin is made. */
static int plan_pin(struct node *n, struct sandbox *s, struct error *e)
{
	CLEANUP(journal_close) struct journal j = JOURNAL_INIT;
	cleanup_free char *path = NULL;
	char name[NETNS_NAME_SIZE];
	int r;

	netns_random_name(name);
	path = str_fmt("%s/%s", node_config(n)->netns_dir, name);
	rec_set(&s->rec->netns_path, path);
	if ((r = journal_open(s->pod_dfd, &j, e)) < 0)
		return r;
	return journal_add(&j, JOURNAL_NETNS, path, e);
}

static int note_own_cgroup(struct sandbox *s, struct error *e)
{
	CLEANUP(journal_close) struct journal j = JOURNAL_INIT;
	int r;

	if (!s->rec->owns_cgroup)
		return 0;
	if ((r = journal_open(s->pod_dfd, &j, e)) < 0)
		return r;
	return journal_add(&j, JOURNAL_CGROUP, s->rec->cgroup_parent, e);
}

static int create(struct node *n, struct sandbox *s, struct sandbox_plan *p, struct call *call,
		  struct error *e)
{
	int r;

	if ((r = claim_ids(n, s, p, e)) < 0 || (r = sandbox_plan_sysctls(n, s->rec->config, p, e)) < 0 ||
	    (r = sandbox_save(n, s, e)) < 0 || (r = make_directory(n, s, e)) < 0 ||
	    (p->new_net && (r = plan_pin(n, s, e)) < 0) || (r = note_own_cgroup(s, e)) < 0 ||
	    (r = sandbox_files_write(s, e)) < 0 || (r = start_monitor(n, s, p, e)) < 0 ||
	    (p->new_net && (r = sandbox_net_up(n, s, e)) < 0) ||
	    (node_config(n)->sandbox_image && (r = pause_create(n, s, call, e)) < 0))
		return r;
	pthread_mutex_lock(&n->lock);
	s->rec->state = HULL__RECORD__SANDBOX_STATE__SANDBOX_IS_READY;
	pthread_mutex_unlock(&n->lock);
	return sandbox_save(n, s, e);
}

/* Undo a failed creation. What resists stays in the journal and the record, and the sandbox is shown as
 * NOTREADY: whoever stops or removes it tries again, and so does the next start of hulld. */
static bool roll_back(struct node *n, struct sandbox *s)
{
	struct error e = ERROR_INIT;

	if (sandbox_down(n, s, &e) == 0 && sandbox_forget(n, s, &e) == 0)
		return true;
	log_error("undo the failed creation of pod sandbox \"%s\": %s; stop or remove it to try again",
		  s->rec->id, err_msg(&e));
	return false;
}

/* The end of a creation, good or bad: those who joined wake up; a failed one leaves the maps, if nothing
 * of it is left. */
static void finish(struct node *n, struct sandbox *s, const char *key, const struct call *call, int r,
		   bool undone, const struct error *e)
{
	struct sandbox *a = NULL, *b = NULL;

	pthread_mutex_lock(&n->lock);
	s->is_creating = false;
	if (r < 0)
		s->create_error = *e;
	if (r < 0 && undone) {
		s->is_removed = true;
		a = map_remove(&n->sandbox_names, key);
		b = map_remove(&n->sandboxes, s->rec->id);
		idrange_release(n->ranges, s->rec->id);
	}
	if (r == 0)
		s->is_unclaimed = call_is_missed(call);
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(&n->lock);
	sandbox_unref(n, a);
	sandbox_unref(n, b);
}

int cri_run_pod_sandbox(struct node *n, struct call *call, const void *request, void *response,
			struct error *e)
{
	const PB(RunPodSandboxRequest) *req = request;
	PB(RunPodSandboxResponse) *resp = response;
	CLEANUP(sandbox_plan_done) struct sandbox_plan p = { 0 };
	cleanup_free char *key = NULL, *id = NULL;
	struct sandbox *s;
	bool undone = false;
	int r;

	if ((r = validate_sandbox_config(req->config, e)) < 0)
		return r;
	if ((r = sandbox_plan(n, req->config, req->runtime_handler, &p, e)) < 0)
		return r;
	s = sandbox_new(new_record(req, &p));
	choose_cgroup(n, s);
	if ((r = sandbox_scope_name(n, s, e)) < 0) {
		sandbox_unref(n, s);
		return r;
	}
	key = sandbox_key(req->config->metadata);
	r = reserve(n, s, key, call, &id, e);
	if (r != 0) {
		sandbox_unref(n, s);
		if (r > 0)
			resp->pod_sandbox_id = arena_str(call->arena, id);
		return r < 0 ? r : 0;
	}
	pthread_mutex_lock(&s->op);
	r = create(n, s, &p, call, e);
	if (r < 0)
		undone = roll_back(n, s);
	finish(n, s, key, call, r, undone, e);
	pthread_mutex_unlock(&s->op);
	if (r == 0)
		resp->pod_sandbox_id = arena_str(call->arena, s->rec->id);
	else
		err_ctx(e, "run pod sandbox %s/%s", req->config->metadata->namespace_,
			req->config->metadata->name);
	sandbox_unref(n, s);
	return r;
}
