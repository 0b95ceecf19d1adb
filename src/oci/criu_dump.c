/* SPDX-License-Identifier: Apache-2.0 */
/* A dump. criu works on the host's mounts, and reaches the container's by its processes. Before it is asked, the
 * container's mounts are looked at, as they are now, to tell it which of them come from outside. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/major.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "codec/json.h"
#include "oci/criu.h"
#include "oci/criu_job.h"
#include "oci/criu_rpc.h"
#include "oci/mount_late.h"
#include "oci/plan.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

struct dump {
	const struct criu_dump *d;
	struct criu_job job;
	struct arena arena;
	int proc_dfd, root_fd;
	struct mountinfo mounts;
	struct criu_pairs external;
	struct strv objects; /* "file[1c:3ab]", "net[4026531840]:extRootNetNS" */
	struct strv stdio;   /* for descriptors.json */
};

static void dump_done(struct dump *x)
{
	criu_job_done(&x->job);
	arena_done(&x->arena);
	if (x->proc_dfd >= 0)
		close(x->proc_dfd);
	if (x->root_fd >= 0)
		close(x->root_fd);
	mountinfo_done(&x->mounts);
	criu_pairs_done(&x->external);
	strv_done(&x->objects);
	strv_done(&x->stdio);
}
DEFINE_CLEANUP_VALUE(struct dump, dump_done)

/* ---- mounts ------------------------------------------------------------------------------------------- */

/* Which mount an open file lies on; with must_be_root only if it is that mount's root. -1: cannot say. */
static int mount_of(int fd, bool must_be_root)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &sx) < 0 ||
	    !(sx.stx_mask & STATX_MNT_ID))
		return -1;
	if (must_be_root && !(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return -1;
	return (int)sx.stx_mnt_id;
}

static void look_at_devices(struct dump *x)
{
	for (size_t i = 0; i < x->mounts.n; i++) {
		struct mountinfo_entry *m = &x->mounts.v[i];
		struct error ignored = ERROR_INIT;
		cleanup_close int fd = -1;
		struct stat sb;

		if (path_open_in_root(x->root_fd, m->point, O_PATH | O_NOFOLLOW, 0, &fd, &ignored) < 0 ||
		    mount_of(fd, true) != m->id || fstat(fd, &sb) < 0)
			continue;
		m->is_device = S_ISCHR(sb.st_mode) || S_ISBLK(sb.st_mode);
		m->is_null = S_ISCHR(sb.st_mode) && sb.st_rdev == makedev(1, 3);
	}
}

/* Or what stands in for a file system that the kernel would not give out. */
static enum criu_origin origin_of(const struct oci_plan *plan, const struct plan_mount *pm,
				  const struct mountinfo_entry *m)
{
	struct stat sb;

	if (pm->fallback && stat(pm->fallback, &sb) == 0 && sb.st_dev == m->dev)
		return CRIU_OUTSIDE;
	return criu_origin_of(plan, pm);
}

static int plan_mounts(struct dump *x, struct error *e)
{
	CLEANUP(oci_plan_done) struct oci_plan plan = OCI_PLAN_INIT;
	struct oci_create create = OCI_CREATE_INIT;
	const struct mounts_env env = { .create = &create, .plan = &plan, .bundle_dfd = x->d->bundle_dfd };
	cleanup_free struct criu_named *named = NULL;
	size_t count = 0;
	int r;

	create.id = x->d->id;
	create.spec = x->d->spec;
	r = oci_plan_make(&create, &plan, e);
	if (r >= 0)
		r = mount_late_refuse(&env, e);
	if (r >= 0)
		r = criu_mounts_of(x->proc_dfd, &x->mounts, e);
	if (r < 0)
		return r;
	look_at_devices(x);
	named = mem_array(plan.mount_count + 1, sizeof(*named));
	for (size_t i = 0; i < plan.mount_count; i++) {
		const struct plan_mount *pm = &plan.mounts[i];
		struct error ignored = ERROR_INIT;
		const struct mountinfo_entry *m;
		enum criu_origin origin;
		cleanup_close int fd = -1;

		/* What a process in there has unmounted is no more, and that is no error. */
		if (path_open_in_root(x->root_fd, pm->destination, O_PATH, 0, &fd, &ignored) < 0)
			continue;
		m = mountinfo_find(&x->mounts, mount_of(fd, true));
		origin = m ? origin_of(&plan, pm, m) : CRIU_INSIDE;
		if (origin != CRIU_INSIDE)
			named[count++] =
				(struct criu_named){ m->id, pm->destination, origin == CRIU_OUTSIDE_ALONE };
	}
	criu_plan_dump(&x->mounts, named, count, &x->external);
	return 0;
}

/* ---- namespaces and files ----------------------------------------------------------------------------- */

static int plan_namespaces(struct dump *x, struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		const char *key = criu_ns_key(ns), *name = oci_ns_info[ns].proc_name;
		char path[32];
		struct stat sb;

		if (!key || !x->d->spec->linux.namespaces[ns].path)
			continue;
		snprintf(path, sizeof(path), "ns/%s", name);
		if (fstatat(x->proc_dfd, path, &sb, 0) < 0)
			return err_sys(e, "look at the container's %s namespace", oci_ns_info[ns].name);
		strv_addf(&x->objects, "%s[%llu]:%s", name, (unsigned long long)sb.st_ino, key);
	}
	return 0;
}

/* What criu calls a file that it finds on none of the container's mounts, and that must be given back by whoever
 * restores. A terminal of the host's is one only for shell jobs. NULL: none. */
static char *key_of(const struct dump *x, int mount_id, const struct stat *sb)
{
	unsigned int class = S_ISCHR(sb->st_mode) ? major(sb->st_rdev) : 0;

	if (S_ISREG(sb->st_mode) || S_ISFIFO(sb->st_mode) || class == MEM_MAJOR)
		return str_fmt("file[%x:%llx]", (unsigned int)mount_id, (unsigned long long)sb->st_ino);
	if (x->d->common.shell_job &&
	    (class == TTY_MAJOR || (class >= UNIX98_PTY_SLAVE_MAJOR && class < UNIX98_PTY_SLAVE_MAJOR + 8)))
		return str_fmt("tty[%llx:%llx]", (unsigned long long)sb->st_rdev,
			       (unsigned long long)sb->st_dev);
	return NULL;
}

/* criu knows the sockets of the container's network namespace only. With this key it does not look at the other end of a
 * unix socket, which is outside; sockets of other families have none. */
static int plan_socket(struct dump *x, int fd, int theirs, const char *now, struct error *e)
{
	static const char *const names[] = { "input", "output", "error" };
	cleanup_free char *key = str_fmt("unix%s", now + strlen("socket:"));
	cleanup_close int of_socket = -1, of_container = -1;
	bool is_same;
	int r;

	of_socket = ioctl(theirs, SIOCGSKNS);
	if (of_socket < 0)
		return err_sys(e, "find the network namespace of standard %s", names[fd]);
	r = pidfd_ns(x->d->pid_fd, CLONE_NEWNET, &of_container, e);
	if (r >= 0)
		r = ns_is_same(of_socket, of_container, &is_same, e);
	if (r < 0)
		return r;
	if (!is_same)
		return err_new(
			e, ERR_UNSUPPORTED,
			"standard %s of the container is a socket of another network namespace than its "
			"own, and criu can write only sockets of that one",
			names[fd]);
	if (!strv_has(&x->objects, key))
		strv_add(&x->objects, key);
	strv_add(&x->stdio, now);
	return 0;
}

static void plan_file(struct dump *x, int theirs, const char *now)
{
	int mount_id = mount_of(theirs, false);
	cleanup_free char *key = NULL;
	struct stat sb;

	if (mount_id >= 0 && now[0] == '/' && !mountinfo_find(&x->mounts, mount_id) &&
	    fstat(theirs, &sb) == 0)
		key = key_of(x, mount_id, &sb);
	if (!key) {
		strv_add(&x->stdio, now);
		return;
	}
	if (S_ISCHR(sb.st_mode) && sb.st_rdev == makedev(1, 3))
		strv_addf(&x->stdio, "null%s", key + strlen("file"));
	else
		strv_add(&x->stdio, key);
	if (!strv_has(&x->objects, key))
		strv_add(&x->objects, key);
}

#define LOOKS 5

/* What their descriptor is called now, as state_note_stdio() wrote it at the start. */
static const char *name_at(int dfd, const char *path, char name[PATH_MAX])
{
	ssize_t n = readlinkat(dfd, path, name, PATH_MAX - 1);

	name[n > 0 ? n : 0] = '\0';
	return name;
}

/* 1: a copy of their descriptor, which is the `wanted` one (NULL: whatever it is); 0: there is none, or it is another. Only
 * what has the right name is copied, and it is looked at once more, since the process runs on. */
static int copy_fd(const struct dump *x, int fd, const char *wanted, char ret_now[PATH_MAX], int *ret,
		   struct error *e)
{
	struct error why = ERROR_INIT;
	cleanup_close int copy = -1;
	char path[PATH_FD_SIZE];
	int r;

	snprintf(path, sizeof(path), "fd/%d", fd);
	if (wanted && !str_eq(wanted, name_at(x->proc_dfd, path, ret_now)))
		return 0;
	r = pidfd_get_fd(x->d->pid_fd, fd, &copy, &why);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	name_at(AT_FDCWD, path_of_fd(copy, path), ret_now);
	if (wanted && !str_eq(wanted, ret_now))
		return 0;
	*ret = take_fd(copy);
	return 1;
}

static int search_fds(const struct dump *x, const char *wanted, char ret_now[PATH_MAX], int *ret,
		      struct error *e)
{
	int dfd = openat(x->proc_dfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = dfd < 0 ? NULL : fdopendir(dfd);
	const struct dirent *entry;

	if (!dir) {
		err_sys(e, "list the descriptors of the container's process");
		if (dfd >= 0)
			close(dfd);
		return -ERR_SYS;
	}
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = copy_fd(x, atoi(entry->d_name), wanted, ret_now, ret, e);
	closedir(dir);
	return r;
}

/* What was descriptor `fd` at the start: it is so still, or a shell has put it somewhere else for as long as a command is
 * redirected, and puts it back while we look, so look more than once. 1, or 0 when it has been given up. */
static int find_original(const struct dump *x, int fd, const char *at_create, char ret_now[PATH_MAX],
			 int *ret, struct error *e)
{
	int r = copy_fd(x, fd, at_create, ret_now, ret, e);

	for (int look = 0; look < LOOKS && r == 0 && at_create; look++)
		r = search_fds(x, at_create, ret_now, ret, e);
	return r;
}

/* What the container's init was started with counts, not the pipes that it made itself since. */
static int plan_stdio(struct dump *x, struct error *e)
{
	int r = 0;

	for (int fd = 0; fd < 3 && r >= 0; fd++) {
		const char *at_create = x->d->stdio && (size_t)fd < x->d->stdio->n ? x->d->stdio->v[fd]
										   : NULL;
		cleanup_close int theirs = -1;
		char now[PATH_MAX] = "";

		r = find_original(x, fd, at_create, now, &theirs, e);
		if (r == 0)
			strv_add(&x->stdio, at_create ? at_create : "");
		else if (r > 0 && str_starts(now, "socket:["))
			r = plan_socket(x, fd, theirs, now, e);
		else if (r > 0)
			plan_file(x, theirs, now);
	}
	return r < 0 ? err_ctx(e, "look at the container's standard files") : 0;
}

static int save_descriptors(struct dump *x, struct error *e)
{
	cleanup_json struct json_object *list = json_new_array();
	cleanup_buf struct buf text = BUF_INIT;

	for (size_t i = 0; i < x->stdio.n; i++)
		json_push_str(list, x->stdio.v[i]);
	json_text(list, false, &text);
	return file_write_atomic(x->job.images_dfd, CRIU_DESCRIPTORS, text.data, text.len, 0600, false, e);
}

/* ---- asking ------------------------------------------------------------------------------------------- */

/* Relative to the images, as criu takes it; that they are there is checked once their own directory is. */
static int check_parent(const struct criu_dump *d, int images_dfd, struct error *e)
{
	struct stat sb;

	if (!d->parent_path)
		return 0;
	if (d->parent_path[0] == '/')
		return err_new(e, ERR_INVALID, "--parent-path \"%s\" must be relative to the images",
			       d->parent_path);
	if (images_dfd < 0)
		return 0;
	if (fstatat(images_dfd, d->parent_path, &sb, 0) < 0)
		return err_sysk(e, ERR_INVALID, errno, "--parent-path \"%s\"", d->parent_path);
	return S_ISDIR(sb.st_mode)
		       ? 0
		       : err_new(e, ERR_INVALID, "--parent-path \"%s\" is no directory", d->parent_path);
}

static int set_page_server(const struct criu_dump *d, Hull__Criu__Options *o, struct arena *a,
			   struct error *e)
{
	cleanup_free char *address = NULL;
	int port, r;

	if (!d->page_server)
		return 0;
	r = criu_page_server_parse(d->page_server, &address, &port, e);
	if (r < 0)
		return r;
	o->ps = arena_alloc(a, sizeof(*o->ps));
	o->ps->base.descriptor = &hull__criu__page_server__descriptor;
	o->ps->address = arena_str(a, address);
	o->ps->has_port = true;
	o->ps->port = port;
	return 0;
}

static int fill(struct dump *x, Hull__Criu__Options *o, struct error *e)
{
	const struct criu_dump *d = x->d;

	o->has_pid = true;
	o->pid = d->pid;
	o->has_leave_running = true;
	o->leave_running = d->leave_running;
	o->has_tcp_skip_in_flight = true;
	o->tcp_skip_in_flight = d->tcp_skip_in_flight;
	o->has_link_remap = true;
	o->link_remap = d->link_remap;
	if (d->freeze_cgroup)
		o->freeze_cgroup = arena_str(&x->arena, d->freeze_cgroup);
	if (d->parent_path)
		o->parent_img = arena_str(&x->arena, d->parent_path);
	o->has_track_mem = true;
	o->track_mem = d->parent_path || d->pre_dump;
	criu_job_mounts(o, &x->external, &x->arena);
	o->n_external = x->objects.n;
	o->external = x->objects.v;
	return set_page_server(d, o, &x->arena, e);
}

static int on_notify(void *arg, const char *script, pid_t pid, int fd, struct error *e)
{
	const struct dump *x = arg;

	(void)pid;
	if (fd >= 0)
		close(fd);
	if (str_eq(script, "status-ready") && x->d->status_fd >= 0 && write(x->d->status_fd, "", 1) != 1)
		return err_sys(e, "write to --status-fd %d", x->d->status_fd);
	return 0;
}

/* ---- the request -------------------------------------------------------------------------------------- */

/* With this image criu makes a new time namespace at restore in any case, in which the clocks go on from where they
 * were; a joined one has its clocks already. */
static int forget_clocks(const struct dump *x, struct error *e)
{
	static const char name[] = "timens-0.img";

	if (!x->d->spec->linux.namespaces[OCI_NS_TIME].path || unlinkat(x->job.images_dfd, name, 0) == 0 ||
	    errno == ENOENT)
		return 0;
	return err_sys(e, "remove the image \"%s\"", name);
}

static int ask(struct dump *x, const char *program, struct error *e)
{
	CLEANUP(criu_worker_done) struct criu_worker w = CRIU_WORKER_INIT;
	Hull__Criu__Request q = {
		.base.descriptor = &hull__criu__request__descriptor,
		.type = x->d->pre_dump ? HULL__CRIU__TYPE__PRE_DUMP : HULL__CRIU__TYPE__DUMP,
	};
	Hull__Criu__Response *answer = NULL;
	int r;

	q.opts = criu_job_options(&x->d->common, &x->job, &x->arena);
	r = fill(x, q.opts, e);
	if (r >= 0)
		r = criu_start_inside(program, x->d->spec, x->d->pid_fd, &w, e);
	if (r >= 0)
		r = criu_worker_call(&w, &q, on_notify, x, &x->arena, &answer, e);
	if (r == 1 || r == -ERR_UNAVAILABLE)
		return criu_failed(&w, x->job.work_dfd, x->job.log_name, x->job.log_path, e);
	return r < 0 ? r : forget_clocks(x, e);
}

static int check_status_fd(int fd, struct error *e)
{
	int flags = fd < 0 ? O_WRONLY : fcntl(fd, F_GETFL);

	if (flags < 0)
		return err_sysk(e, ERR_INVALID, errno, "--status-fd %d", fd);
	return (flags & O_ACCMODE) == O_RDONLY
		       ? err_new(e, ERR_INVALID, "--status-fd %d cannot be written", fd)
		       : 0;
}

static int open_process(struct dump *x, struct error *e)
{
	int r = pidfd_proc_dir(x->d->pid_fd, &x->proc_dfd, e);

	if (r < 0)
		return r;
	x->root_fd = openat(x->proc_dfd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return x->root_fd < 0 ? err_sys(e, "open the container's root") : 0;
}

int criu_dump(const struct criu_dump *d, struct error *e)
{
	CLEANUP(dump_done) struct dump x = { .d = d, .job = CRIU_JOB_INIT, .proc_dfd = -1, .root_fd = -1 };
	cleanup_free char *program = NULL;
	Hull__Criu__Options checked = { .base.descriptor = &hull__criu__options__descriptor };
	int version, r = check_parent(d, -1, e);

	if (r >= 0)
		r = check_status_fd(d->status_fd, e);
	if (r >= 0)
		r = set_page_server(d, &checked, &x.arena, e);
	if (r >= 0)
		r = criu_ns_refuse(d->spec, e);
	if (r >= 0)
		r = criu_probe(&d->common, d->pre_dump || d->parent_path, &program, &version, e);
	if (r >= 0)
		r = open_process(&x, e);
	if (r >= 0)
		r = plan_mounts(&x, e);
	if (r >= 0)
		r = plan_namespaces(&x, e);
	if (r >= 0)
		r = plan_stdio(&x, e);
	if (r >= 0)
		r = criu_job_open(&d->common, "dump.log", true, &x.job, e);
	if (r >= 0)
		r = check_parent(d, x.job.images_dfd, e);
	if (r >= 0)
		r = save_descriptors(&x, e);
	if (r >= 0)
		r = ask(&x, program, e);
	return r < 0 ? err_ctx(e, "checkpoint container \"%s\"", d->id) : 0;
}
