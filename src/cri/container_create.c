/* SPDX-License-Identifier: Apache-2.0 */
/* CreateContainer: reserve the name, find image and user, write the bundle, record, and let hull-pod
 * build it up to the gate before its exec. Each step is undone when a later one fails. */
#include "cri/container.h"

#include <signal.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cri/handlers.h"
#include "cri/sandbox.h"
#include "cri/validate.h"
#include "cri/watch.h"
#include "oci/rootfs.h"
#include "store/journal.h"

#define CREATE_TIMEOUT_MS 120000

/* --- name and record ------------------------------------------------------------------------------ */

static REC(Container) *new_record(const struct sandbox *s, const PB(ContainerConfig) *config, bool is_pause)
{
	REC(Container) *rec = NEW(REC(Container));
	char id[ID_LEN + 1];

	pb_init(&hull__record__container__descriptor, rec);
	str_random_hex(id, 32);
	rec_set(&rec->id, id);
	rec_set(&rec->sandbox_id, s->rec->id);
	rec->config = rec_copy_container_config(config);
	if (config->linux && config->linux->resources)
		rec->resources = rec_copy_resources(config->linux->resources);
	rec->created_at = clock_wall_ns();
	rec->state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED;
	rec->is_pause = is_pause;
	return rec;
}

static int join_creation(struct node *n, struct container *c, const struct call *call, struct error *e)
{
	int r = 0;

	while (c->is_creating && r == 0) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&n->changed, &n->lock, &until);
		r = call_check(call, e);
	}
	if (r < 0)
		return err_ctx(e, "wait for the creation of the container that is under way");
	if (c->create_error.kind) {
		*e = c->create_error;
		return -(int)e->kind;
	}
	return 0;
}

static int check_sandbox(const struct sandbox *s, bool is_pause, struct error *e)
{
	if (s->is_removed || s->is_stopping ||
	    (!is_pause && s->rec->state != HULL__RECORD__SANDBOX_STATE__SANDBOX_IS_READY))
		return err_new(e, ERR_STATE, "pod sandbox \"%s\" is not ready", s->rec->id);
	return 0;
}

/* Returns 1 with *ret_other when another call makes or made the same container, 0 when c has the name. */
static int reserve(struct node *n, struct container *c, const struct call *call, struct container **ret_other,
		   struct error *e)
{
	cleanup_free char *key = container_key(c->rec->sandbox_id, c->rec->config->metadata);
	struct container *other;
	int r;

	pthread_mutex_lock(&n->lock);
	other = map_get(&n->container_names, key);
	if (!other) {
		r = check_sandbox(c->sandbox, c->rec->is_pause, e);
		if (r >= 0) {
			c->is_creating = true;
			map_put(&n->container_names, key, container_hold(c));
			map_put(&n->containers, c->rec->id, container_hold(c));
			c->next = c->sandbox->containers;
			c->sandbox->containers = container_hold(c);
		}
	} else if (other->is_creating) {
		container_hold(other);
		r = join_creation(n, other, call, e);
		if (r >= 0) {
			*ret_other = other;
			r = 1;
		} else {
			container_unref(n, other);
		}
	} else if (other->is_unclaimed) {
		other->is_unclaimed = false;
		*ret_other = container_hold(other);
		r = 1;
	} else {
		r = err_new(
			e, ERR_EXISTS, "container \"%s\" (attempt %u) exists already in this pod as \"%s\"",
			c->rec->config->metadata->name, c->rec->config->metadata->attempt, other->rec->id);
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}

/* --- image and user ------------------------------------------------------------------------------- */

static int find_image(struct node *n, struct container *c, struct image **ret, struct error *e)
{
	const PB(ImageSpec) *spec = c->rec->config->image;
	int r = images_find(n->images, spec->image, ret, e);

	if (r < 0)
		return err_hint(e, "pull it first");
	pthread_mutex_lock(&n->lock);
	rec_set(&c->rec->image_id, (*ret)->id);
	rec_set(&c->rec->image_ref, (*ret)->digests.n ? (*ret)->digests.v[0] : (*ret)->id);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(fds);
}

/* /etc/passwd and /etc/group as the container will see them: through the layers, topmost first. */
static int read_identity_files(const struct image *image, struct identity_files *ret, struct error *e)
{
	size_t n = image->layers.n;
	int *fds = mem_array(n, sizeof(int));
	int r = 0;

	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
	for (size_t i = 0; i < n && r == 0; i++) {
		fds[i] = open(image->layers.v[n - 1 - i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[i] < 0)
			r = err_sys(e, "open layer \"%s\" of image \"%s\"", image->layers.v[n - 1 - i],
				    image->id);
	}
	if (r == 0)
		r = identity_files_read_layers(fds, n, ret, e);
	close_all(fds, n);
	return r;
}

static int resolve_identity(struct container *c, const struct image *image, struct oci_identity *ret,
			    struct error *e)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(c->rec->config);
	CLEANUP(identity_files_done) struct identity_files files = { 0 };
	struct identity_request req = { .user = image->config.user };
	int r;

	if (s) {
		req.username = *s->run_as_username ? s->run_as_username : NULL;
		req.has_uid = s->run_as_user;
		req.uid = s->run_as_user ? s->run_as_user->value : 0;
		req.has_gid = s->run_as_group;
		req.gid = s->run_as_group ? s->run_as_group->value : 0;
		req.groups = s->supplemental_groups;
		req.group_count = s->n_supplemental_groups;
		req.policy = s->supplemental_groups_policy == RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict
				     ? IDENTITY_STRICT
				     : IDENTITY_MERGE;
	}
	if ((r = read_identity_files(image, &files, e)) < 0 ||
	    (r = identity_resolve(&files, &req, ret, e)) < 0)
		return err_ctx(e, "the user of the container");
	return 0;
}

/* An id that the pod does not map would fail at the very end, and say little. */
static int check_id(const struct idmap *map, const char *what, uint32_t id, struct error *e)
{
	uint32_t host;

	if (idmap_to_host(map, id, &host, e) == 0)
		return 0;
	err_ctx(e, "%s %u in the pod's user namespace", what, id);
	return err_kind(e, ERR_INVALID);
}

static int check_mapped(const struct container_plan *p, struct error *e)
{
	int r = 0;

	if (!p->uids)
		return 0;
	if ((r = check_id(p->uids, "user id", p->identity->uid, e)) < 0 ||
	    (r = check_id(p->gids, "group id", p->identity->gid, e)) < 0)
		return r;
	for (size_t i = 0; i < p->identity->group_count && r == 0; i++)
		r = check_id(p->gids, "supplementary group id", p->identity->groups[i], e);
	return r;
}

/* --- the monitor ---------------------------------------------------------------------------------- */

static int journal_cgroup(const struct container *c, bool add, struct error *e)
{
	CLEANUP(journal_close) struct journal j = JOURNAL_INIT;
	int r = journal_open(c->sandbox->pod_dfd, &j, e);

	if (r < 0)
		return r;
	return add ? journal_add(&j, JOURNAL_CGROUP, c->rec->cgroup_path, e)
		   : journal_done(&j, JOURNAL_CGROUP, c->rec->cgroup_path, e);
}

static enum monitor_pid_mode pid_mode(const struct container *c, const char **ret_target)
{
	unsigned mode = container_pid_mode(c->rec->config);

	*ret_target = NULL;
	switch (mode) {
	case RUNTIME__V1__NAMESPACE_MODE__NODE:
		return MONITOR_PID_NODE;
	case RUNTIME__V1__NAMESPACE_MODE__CONTAINER:
		return MONITOR_PID_CONTAINER;
	case RUNTIME__V1__NAMESPACE_MODE__TARGET:
		*ret_target = container_security(c->rec->config)->namespace_options->target_id;
		return MONITOR_PID_TARGET;
	default:
		break;
	}
	/* The pod's pid namespace is that of its pause container where there is one. */
	if (c->rec->is_pause || !c->sandbox->rec->shared_pid)
		return MONITOR_PID_CONTAINER;
	if (*c->sandbox->rec->pause_id) {
		*ret_target = c->sandbox->rec->pause_id;
		return MONITOR_PID_TARGET;
	}
	return MONITOR_PID_POD;
}

static int build(struct node *n, struct container *c, const struct image *image, int bundle_dfd, int log_fd,
		 struct error *e)
{
	cleanup_free const char **lowers = mem_array(image->layers.n + 1, sizeof(char *));
	cleanup_free char *upper = str_fmt("%s/containers/%s/upper", node_config(n)->root_dir, c->rec->id);
	cleanup_free char *work = str_fmt("%s/containers/%s/work", node_config(n)->root_dir, c->rec->id);
	struct oci_rootfs rootfs = OCI_ROOTFS_INIT;
	struct monitor_container m = { .id = c->rec->id,
				       .bundle_dfd = bundle_dfd,
				       .rootfs = &rootfs,
				       .log_fd = log_fd,
				       .tty = c->rec->config->tty,
				       .has_stdin = c->rec->config->stdin,
				       .stdin_once = c->rec->config->stdin_once,
				       .cgroup_path = c->rec->cgroup_path,
				       .node_shm = c->sandbox->rec->no_new_ipc };
	struct monitor_call call = sandbox_call_ms(c->sandbox, CREATE_TIMEOUT_MS);
	pid_t pid = 0;
	int r;

	for (size_t i = 0; i < image->layers.n; i++)
		lowers[i] = image->layers.v[image->layers.n - 1 - i];
	rootfs.kind = ROOTFS_OVERLAY;
	rootfs.lowers = lowers;
	rootfs.lower_count = image->layers.n;
	if (rootfs.lower_count < ROOTFS_LOWERS_MAX)
		lowers[rootfs.lower_count++] = n->mount_points;
	rootfs.upper = upper;
	rootfs.work = work;
	m.pid_mode = pid_mode(c, &m.pid_target);
	r = monitor_create_container(&call, &m, &pid, e);
	if (r == 0)
		c->rec->pid = pid;
	return r;
}

/* --- all of it ------------------------------------------------------------------------------------ */

static int plan_and_build(struct node *n, struct container *c, struct image *image, struct error *e)
{
	CLEANUP(oci_identity_done) struct oci_identity identity = OCI_IDENTITY_INIT;
	cleanup_free struct idmap *uids = NULL, *gids = NULL;
	struct container_plan p = { .node = n,
				    .sandbox = c->sandbox,
				    .rec = c->rec,
				    .config = c->rec->config,
				    .image = image,
				    .identity = &identity };
	cleanup_json struct json_object *spec = NULL;
	cleanup_close int bundle_dfd = -1, log_fd = -1;
	const REC(Sandbox) *box = c->sandbox->rec;
	int r;

	if (SANDBOX_HAS_USERNS(box)) {
		uids = mem_alloc(sizeof(*uids));
		gids = mem_alloc(sizeof(*gids));
		if ((r = rec_get_map(box->uids, box->n_uids, uids, e)) < 0 ||
		    (r = rec_get_map(box->gids, box->n_gids, gids, e)) < 0)
			return r;
		p.uids = uids;
		p.gids = gids;
	}
	if ((r = resolve_identity(c, image, &identity, e)) < 0 || (r = check_mapped(&p, e)) < 0)
		return r;
	c->rec->uid = identity.uid;
	c->rec->gid = identity.gid;
	c->rec->groups = mem_dup(identity.groups, identity.group_count * sizeof(uint32_t));
	c->rec->n_groups = identity.group_count;
	if ((r = container_spec(&p, &spec, e)) < 0 || (r = container_save(n, c, e)) < 0 ||
	    (r = container_make_layer(n, c, &p, e)) < 0 ||
	    (r = container_write_bundle(c, spec, &bundle_dfd, e)) < 0)
		return r;
	if (*c->rec->log_path &&
	    (r = container_open_log(c->sandbox, c->rec->config->log_path, &log_fd, e)) < 0)
		return r;
	if ((r = journal_cgroup(c, true, e)) < 0)
		return r;
	return build(n, c, image, bundle_dfd, log_fd, e);
}

static int stop_signal(struct container *c, const struct image *image, struct error *e)
{
	int sig = signal_from_cri(c->rec->config->stop_signal);

	if (!sig && !str_is_empty(image->config.stop_signal) &&
	    signal_parse(image->config.stop_signal, &sig, e) < 0)
		return err_ctx(e, "stop signal of image \"%s\"", image->id);
	c->rec->stop_signal = sig ? sig : SIGTERM;
	return 0;
}

static int create(struct node *n, struct container *c, struct error *e)
{
	cleanup_image struct image *image = NULL;
	char path[CGROUP_PATH_MAX];
	int r;

	if ((r = find_image(n, c, &image, e)) < 0 || (r = stop_signal(c, image, e)) < 0)
		return r;
	if ((r = cgroup_path_below(n->cgroups, c->sandbox->rec->cgroup_parent, "hull", c->rec->id, path, e)) <
	    0)
		return r;
	rec_set(&c->rec->cgroup_path, path);
	container_set_log_path(c);
	/* What is not found now is named in the request (a program, a user, a host path, a profile): to a kubelet
	 * NOT_FOUND would say that the pod or the image is gone. */
	if ((r = plan_and_build(n, c, image, e)) < 0)
		return r == -ERR_NOT_FOUND ? err_kind(e, ERR_INVALID) : r;
	c->rec->is_whole = true;
	return container_save(n, c, e);
}

int container_create(struct node *n, struct sandbox *s, const PB(ContainerConfig) *config, bool is_pause,
		     struct call *call, struct container **ret, struct error *e)
{
	struct container *c = container_new(new_record(s, config, is_pause), s), *other = NULL;
	int r;

	/* Locked before anybody can find it: a removal of the pod waits for the creation to end. */
	pthread_mutex_lock(&c->op);
	r = reserve(n, c, call, &other, e);
	if (r != 0) {
		pthread_mutex_unlock(&c->op);
		container_unref(n, c);
		if (r > 0)
			*ret = other;
		return r < 0 ? r : 0;
	}
	r = create(n, c, e);
	pthread_mutex_unlock(&c->op);
	if (r < 0) {
		struct error undo = ERROR_INIT;

		c->create_error = *e;
		if (container_remove(n, c, &undo) < 0)
			log_error("undo the failed creation of container \"%s\": %s", c->rec->id,
				  err_msg(&undo));
	}
	pthread_mutex_lock(&n->lock);
	c->is_creating = false;
	c->is_unclaimed = r == 0 && call_is_missed(call);
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(&n->lock);
	if (r < 0) {
		container_unref(n, c);
		return r;
	}
	*ret = c;
	return 0;
}

int cri_create_container(struct node *n, struct call *call, const void *request, void *response,
			 struct error *e)
{
	const PB(CreateContainerRequest) *req = request;
	PB(CreateContainerResponse) *resp = response;
	struct sandbox *s = NULL;
	struct container *c;
	int r;

	if ((r = validate_container_config(req->config, e)) < 0 ||
	    (r = sandbox_find(n, req->pod_sandbox_id, &s, e)) < 0)
		return r;
	r = container_create(n, s, req->config, false, call, &c, e);
	if (r == 0) {
		resp->container_id = arena_str(call->arena, c->rec->id);
		container_unref(n, c);
	} else {
		err_ctx(e, "create container \"%s\"", req->config->metadata->name);
	}
	sandbox_unref(n, s);
	return r;
}
