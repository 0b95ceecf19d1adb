/* SPDX-License-Identifier: Apache-2.0 */
/* The stage is set by the new process itself, before it becomes criu. Detached trees come from its parent, opened
 * with the host's privileges and attributes and all as for a create.
 *
 * criu mounts on what is there, so the mount points of a root file system that never ran a container are made first:
 * the mounts of the plan are attached one after the other to a second copy of the root, as a create does it, which is
 * then let go. What lies below a file system of the container's own is in the images and not made. */
#include "oci/criu_stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/criu_job.h"
#include "oci/spawn.h"
#include "oci/sync.h"
#include "sys/mountapi.h"

#define STAGE "/tmp"
#define PREPARED "prepared"

struct staging {
	const struct criu_stage *s;
	struct criu_worker worker;
	int peer, sync[2];
	int cgroup_fds[CGROUP_HIER_MAX];
	size_t cgroup_fd_count;
	int dfd;     /* of the tmpfs */
	int dfds[2]; /* as criu has them: work, images */
};

/* ---- in the new process ------------------------------------------------------------------------------- */

static int make_stage(struct staging *t, struct error *e)
{
	const struct mount_param params[] = { MOUNT_PARAM("mode", "0755") };
	cleanup_close int tmp = -1;
	int r;

	/* The host's unmounts still reach us, ours do not reach the host. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, "keep our mounts from the host");
	tmp = open(STAGE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tmp < 0)
		return err_sys(e, "open " STAGE);
	r = mount_new("tmpfs", params, ARRAY_LEN(params), MOUNT_ATTR_NOSUID, &t->dfd, e);
	return r < 0 ? r : mount_attach(t->dfd, tmp, e);
}

/* Attach a tree, or with is_copy a copy of it, at a new name. */
static int put(const struct staging *t, const char *name, int tree, bool is_copy, struct error *e)
{
	cleanup_close int copy = -1, place = -1;
	struct stat sb;
	int r = 0;

	if (is_copy)
		r = mount_clone(tree, "", true, true, &copy, e);
	if (r < 0)
		return r;
	if (fstat(tree, &sb) < 0)
		return err_sys(e, "look at \"%s\"", name);
	if (S_ISDIR(sb.st_mode))
		r = mkdirat(t->dfd, name, 0700);
	else
		r = mknodat(t->dfd, name, S_IFREG | 0600, 0);
	if (r >= 0)
		place = openat(t->dfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (place < 0)
		return err_sys(e, "make " STAGE "/%s", name);
	return mount_attach(is_copy ? copy : tree, place, e);
}

static int put_numbered(const struct staging *t, char letter, size_t i, int tree, struct error *e)
{
	char name[24];
	int r;

	if (tree < 0)
		return 0;
	snprintf(name, sizeof(name), "%c%zu", letter, i);
	r = put(t, name, tree, false, e);
	return r < 0 ? err_ctx(e, "place what is mounted in the container") : 0;
}

static int put_mounts(const struct staging *t, struct error *e)
{
	const struct mount_set *m = t->s->mounts;
	int r = 0;

	for (size_t i = 0; i < t->s->plan->mount_count && r >= 0; i++) {
		const struct mount_state *st = &m->state[i];

		r = put_numbered(t, 'm', i,
				 criu_origin_of(t->s->plan, &t->s->plan->mounts[i]) != CRIU_INSIDE
					 ? st->tree_fd
					 : st->fallback_fd,
				 e);
	}
	for (size_t i = 0; i < m->cgroup_count && r >= 0; i++)
		r = put_numbered(t, 'c', i, m->cgroups[i].tree_fd, e);
	for (size_t i = 0; i < m->node_count && r >= 0; i++)
		r = put_numbered(t, 'd', i, m->node_fds[i], e);
	if (r >= 0 && m->null_tree >= 0)
		r = put(t, "null", m->null_tree, false, e);
	return r;
}

/* Where criu works it mounts, so the directory has to lie in its own mount namespace: it is told by our caller, by an
 * fd that we open. */
static int give_dir(struct staging *t, const char *name, struct error *e)
{
	cleanup_close int dfd = openat(t->dfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dfd < 0)
		return err_sys(e, "open " STAGE "/%s", name);
	sync_report(t->sync[1], REPORT_READY, dfd);
	return 0;
}

static int put_image(struct staging *t, int source, const char *name, struct error *e)
{
	cleanup_free char *place = str_fmt("images/%s", name);
	cleanup_close int tree = -1;
	struct stat sb;
	int r;

	if (fstatat(source, name, &sb, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(sb.st_mode))
		return 0;
	r = mount_clone(source, name, false, true, &tree, e);
	return r < 0 ? r : put(t, place, tree, false, e);
}

/* criu opens some images as itself and others as the root of the container's user namespace, who can read the files but
 * may not enter their directory. So each is bound into a directory that all may enter and nobody else sees. */
static int put_images(struct staging *t, struct error *e)
{
	cleanup_close int source = -1;
	struct dirent *d;
	DIR *dir;
	int r = put(t, "source", t->s->images_tree, false, e);

	if (r < 0)
		return r;
	source = openat(t->dfd, "source", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = source < 0 || mkdirat(t->dfd, "images", 0755) < 0 ? NULL : fdopendir(dup(source));
	if (!dir)
		return err_sys(e, "read the images");
	while (r >= 0 && (d = readdir(dir)))
		r = put_image(t, source, d->d_name, e);
	closedir(dir);
	if (r >= 0 && t->s->parent_tree >= 0)
		r = put(t, "images/parent", t->s->parent_tree, false, e);
	return r < 0 ? r : give_dir(t, "images", e);
}

static int put_dirs(struct staging *t, struct error *e)
{
	int r = put(t, "work", t->s->work_tree, false, e);

	if (r >= 0)
		r = give_dir(t, "work", e);
	if (r >= 0 && t->s->images_tree >= 0)
		r = put_images(t, e);
	return r < 0 ? err_ctx(e, "place criu's directories") : 0;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

static bool is_in_images(const struct oci_plan *plan, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (criu_origin_of(plan, &plan->mounts[j]) == CRIU_INSIDE &&
		    plan->mounts[j].kind != PLAN_REMOUNT &&
		    is_below(plan->mounts[i].destination, plan->mounts[j].destination))
			return true;
	return false;
}

static int prepare_one(const struct staging *t, size_t i, int root, struct error *e)
{
	const struct plan_mount *pm = &t->s->plan->mounts[i];
	const struct mount_state *st = &t->s->mounts->state[i];
	cleanup_close int target = -1, copy = -1;
	int r;

	if (pm->kind == PLAN_REMOUNT || is_in_images(t->s->plan, i))
		return 0;
	r = mount_target(root, pm->destination, st->is_dir, &target, e);
	if (r >= 0 && criu_origin_of(t->s->plan, pm) != CRIU_INSIDE) {
		r = mount_clone(st->tree_fd, "", true, true, &copy, e);
		if (r >= 0)
			r = mount_attach(copy, target, e);
	}
	return r < 0 ? err_ctx(e, "mount point \"%s\"", pm->destination) : 0;
}

/* A terminal lies on /dev/console, also in a /dev that is made anew. */
static int prepare_console(const struct staging *t, int root, struct error *e)
{
	cleanup_close int target = -1;

	if (!t->s->create->spec->process.terminal || !t->s->plan->makes_dev || !t->s->plan->in_user_ns)
		return 0;
	return mount_target(root, "/dev/console", false, &target, e);
}

static int prepare_mount_points(const struct staging *t, struct error *e)
{
	cleanup_close int root = -1;
	int r = put(t, PREPARED, t->s->root_tree, true, e);

	if (r < 0)
		return r;
	root = openat(t->dfd, PREPARED, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, "open " STAGE "/" PREPARED);
	for (size_t i = 0; i < t->s->plan->mount_count && r >= 0; i++)
		r = prepare_one(t, i, root, e);
	if (r >= 0)
		r = prepare_console(t, root, e);
	if (umount2(STAGE "/" PREPARED, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && r >= 0)
		return err_sys(e, "unmount " STAGE "/" PREPARED);
	return r;
}

static int set_stage(struct staging *t, struct error *e)
{
	int r = make_stage(t, e);

	if (r >= 0)
		r = put(t, "root", t->s->root_tree, false, e);
	if (r >= 0)
		r = put_mounts(t, e);
	if (r >= 0)
		r = put_dirs(t, e);
	return r < 0 ? r : prepare_mount_points(t, e);
}

/* The fds of criu, from the bottom up; all else goes with the exec. The sources are moved out of the way first. */
static int set_fds(struct staging *t, int *program_fd, struct error *e)
{
	const struct criu_stage *s = t->s;
	int from[CRIU_STAGE_FDS + CRIU_STAGE_FDS_MAX], count = CRIU_STAGE_FDS + (int)s->fd_count;
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return err_sys(e, "open /dev/null");
	for (int fd = 0; fd < 3; fd++)
		from[fd] = s->keeps_session ? fd : fd == 0 ? null : t->worker.output_fd;
	from[CRIU_SOCK_FD] = t->peer;
	for (size_t i = 0; i < s->fd_count; i++)
		from[CRIU_STAGE_FDS + i] = s->fds[i];
	for (int i = 0; i < count; i++) {
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, count);
		if (from[i] < 0)
			return err_sys(e, "keep a file for criu");
	}
	t->sync[1] = fcntl(t->sync[1], F_DUPFD_CLOEXEC, count);
	*program_fd = fcntl(*program_fd, F_DUPFD_CLOEXEC, count);
	for (int i = 0; i < count; i++)
		if (dup2(from[i], i) < 0)
			return err_sys(e, "place a file for criu");
	return 0;
}

static int enter_namespaces(const struct criu_stage *s, struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
		if (s->enter_fd[ns] >= 0 && setns(s->enter_fd[ns], (int)oci_ns_info[ns].clone_flag) < 0)
			return err_sys(e, "join the %s namespace", oci_ns_info[ns].name);
	if (s->makes_cgroup_ns && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, "make a cgroup namespace");
	return 0;
}

static int become_criu(struct staging *t, struct error *e)
{
	static const char *const argv[] = { "criu", "swrk", "3", NULL };
	/* Opened before /tmp is covered. */
	int program = open(t->s->program, O_PATH | O_CLOEXEC), r;

	if (program < 0)
		return err_sys(e, "open \"%s\"", t->s->program);
	if (cgroup_enter(t->cgroup_fds, t->cgroup_fd_count) < 0)
		return err_sys(e, "enter the container's cgroup");
	r = enter_namespaces(t->s, e);
	if (r >= 0)
		r = set_stage(t, e);
	if (r >= 0)
		r = set_fds(t, &program, e);
	if (r < 0)
		return r;
	if (!t->s->keeps_session)
		setsid();
	sync_report(t->sync[1], REPORT_EXEC, -1);
	execveat(program, "", (char **)(uintptr_t)argv, (char **)(uintptr_t)criu_environment(),
		 AT_EMPTY_PATH);
	return err_sys(e, "run \"%s\"", t->s->program);
}

static int stage_main(void *arg)
{
	struct staging *t = arg;
	struct error e = ERROR_INIT;
	sigset_t none;

	umask(022);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	become_criu(t, &e);
	sync_report_error(t->sync[1], &e);
	return 127;
}

/* ---- in the caller ------------------------------------------------------------------------------------ */

/* The end of the connection behind REPORT_EXEC is the close-on-exec. */
static int wait_for_exec(int sock, int dfds[2], struct error *e)
{
	bool is_executing = false;

	for (;;) {
		enum report_kind kind;
		cleanup_close int fd = -1;
		int r = sync_receive(sock, &kind, &fd, e);

		if (r < 0)
			return r;
		if (kind == REPORT_READY && dfds[1] < 0)
			dfds[dfds[0] >= 0] = take_fd(fd);
		if (kind == REPORT_EXEC)
			is_executing = true;
		else if (kind == REPORT_END)
			return is_executing
				       ? 0
				       : err_new(e, ERR_STATE, "the process that was to become criu died");
	}
}

static void staging_done(struct staging *t)
{
	for (size_t i = 0; i < t->cgroup_fd_count; i++)
		close(t->cgroup_fds[i]);
	for (size_t i = 0; i < 2; i++)
		if (t->sync[i] >= 0)
			close(t->sync[i]);
	if (t->peer >= 0)
		close(t->peer);
	for (size_t i = 0; i < 2; i++)
		if (t->dfds[i] >= 0)
			close(t->dfds[i]);
	criu_worker_done(&t->worker);
}
DEFINE_CLEANUP_VALUE(struct staging, staging_done)

static int make_channels(struct staging *t, struct error *e)
{
	int pair[2], r = criu_output(&t->worker, e);

	if (r >= 0)
		r = sync_pair(t->sync, e);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "make a socket for criu");
	t->worker.sock = pair[0];
	t->peer = pair[1];
	return 0;
}

int criu_stage_start(const struct criu_stage *s, struct criu_worker *ret, int ret_dfds[2], struct error *e)
{
	CLEANUP(staging_done)
	struct staging t = { .s = s,
			     .worker = CRIU_WORKER_INIT,
			     .peer = -1,
			     .sync = { -1, -1 },
			     .dfd = -1,
			     .dfds = { -1, -1 } };
	struct spawn spawn = SPAWN_INIT;
	int r = make_channels(&t, e);

	if (r >= 0 && s->cgroup) {
		r = cgroup_enter_fds(s->cgroup, t.cgroup_fds, &t.cgroup_fd_count, e);
		spawn.cgroup_fd = cgroup_clone_fd(s->cgroup);
	}
	if (r < 0)
		return r;
	spawn.clone_flags = CLONE_NEWNS;
	spawn.clone_parent = s->create->clone_parent;
	spawn.main = stage_main;
	spawn.arg = &t;
	r = spawn_run(&spawn, e);
	if (r < 0)
		return r;
	t.worker.pid = spawn.pid;
	t.worker.pid_fd = spawn.pid_fd;
	t.worker.is_child = !s->create->clone_parent;
	close(take_fd(t.sync[1]));
	close(take_fd(t.peer));
	r = wait_for_exec(t.sync[0], t.dfds, e);
	if (r < 0)
		return err_ctx(e, "prepare the restore");
	*ret = t.worker;
	for (size_t i = 0; i < 2; i++)
		ret_dfds[i] = take_fd(t.dfds[i]);
	t.worker = CRIU_WORKER_INIT;
	return 0;
}

/* ---- names -------------------------------------------------------------------------------------------- */

static void name_nodes(const struct criu_stage *s, struct criu_pairs *ret)
{
	cleanup_free struct device_node *nodes = NULL;
	size_t n = devices_list(s->create->spec, &nodes);

	for (size_t i = 0; i < n && i < s->mounts->node_count; i++) {
		cleanup_free char *staged = str_fmt(STAGE "/d%zu", i);

		if (s->mounts->node_fds[i] >= 0 && !criu_pairs_get(ret, nodes[i].path))
			criu_pairs_add(ret, nodes[i].path, staged);
	}
}

/* Of v1; v2 is one mount, like any other. */
static void name_cgroups(const struct criu_stage *s, const struct plan_mount *pm, struct criu_pairs *ret)
{
	for (size_t i = 0; i < s->mounts->cgroup_count; i++) {
		cleanup_free char *staged = str_fmt(STAGE "/c%zu", i);
		cleanup_free char *name = str_fmt("%s/%s", pm->destination, s->mounts->cgroups[i].name);

		if (!criu_pairs_get(ret, name))
			criu_pairs_add(ret, name, staged);
	}
}

static bool is_staged(const struct criu_stage *s, size_t i)
{
	return criu_origin_of(s->plan, &s->plan->mounts[i]) != CRIU_INSIDE ||
	       s->mounts->state[i].fallback_fd >= 0;
}

void criu_stage_names(const struct criu_stage *s, const struct mountinfo *m, struct criu_pairs *ret)
{
	/* What the spec names comes before what merely lies below something; of two at one place, the upper one. */
	for (size_t i = s->plan->mount_count; i-- > 0;) {
		const struct plan_mount *pm = &s->plan->mounts[i];

		if (pm->kind == PLAN_CGROUP)
			name_cgroups(s, pm, ret);
		if (is_staged(s, i) && !criu_pairs_get(ret, pm->destination)) {
			cleanup_free char *staged = str_fmt(STAGE "/m%zu", i);

			criu_pairs_add(ret, pm->destination, staged);
		}
	}
	for (size_t i = 0; i < s->plan->mount_count; i++) {
		cleanup_free char *staged = str_fmt(STAGE "/m%zu", i);

		if (is_staged(s, i))
			criu_plan_below(m, staged, s->plan->mounts[i].destination, ret);
	}
	if (s->mounts->null_tree >= 0)
		criu_pairs_add(ret, CRIU_NULL_NAME, STAGE "/null");
	name_nodes(s, ret);
}
