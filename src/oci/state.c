/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "codec/json.h"

#define ID_MAX 1024
#define LOCK_MS 60000
#define STATE_BYTES_MAX (32u << 20) /* the annotations of a config.json of OCI_SPEC_MAX_BYTES, indented */

void oci_state_done(struct oci_state *s)
{
	free(s->id);
	free(s->bundle);
	free(s->rootfs);
	free(s->oci_version);
	free(s->created);
	free(s->cgroup_path);
	free(s->rdt_made);
	strv_done(&s->freezer_files);
	strv_done(&s->annotations);
	strv_done(&s->stdio);
	*s = OCI_STATE_INIT;
}

/* ---- directories ------------------------------------------------------------------------------------ */

int state_check_id(const char *id, struct error *e)
{
	size_t n = 0;

	for (; id[n]; n++)
		if (!isalnum((unsigned char)id[n]) && !strchr("_+-.", id[n]))
			return err_new(e, ERR_INVALID, "invalid container ID format: \"%.100s\"", id);
	if (!n || n > ID_MAX || str_eq(id, ".") || str_eq(id, ".."))
		return err_new(e, ERR_INVALID, "invalid container ID format: \"%.100s\"", id);
	return 0;
}

/* What is in there is believed: whom to kill, which hooks to run. */
static int check_owner(int fd, const char *root, const char *id, struct error *e)
{
	struct stat sb;

	if (fstat(fd, &sb) < 0)
		return err_sys(e, "look at \"%s/%s\"", root, id);
	if ((sb.st_uid == geteuid() || sb.st_uid == 0) && !(sb.st_mode & 022))
		return 0;
	err_new(e, ERR_DENIED, "\"%s/%s\" belongs to uid %u and has mode 0%o", root, id, sb.st_uid,
		sb.st_mode & 07777);
	return err_hint(
		e,
		"others than uid %u could have written the state of the container, which says what to "
		"kill and which hooks to run; run hull as its owner",
		geteuid());
}

int state_make_dir(const char *root, const char *id, mode_t sticky, int *ret_dfd, struct error *e)
{
	cleanup_close int root_dfd = -1;
	int r = state_check_id(id, e), fd;

	if (r >= 0)
		r = path_mkdir_all(root, 0700 | sticky, &root_dfd, e);
	if (r < 0)
		return r;
	if (mkdirat(root_dfd, id, 0700 | sticky) < 0)
		return errno == EEXIST
			       ? err_new(e, ERR_EXISTS, "container with given ID already exists: \"%s\"", id)
			       : err_sys(e, "make \"%s/%s\"", root, id);
	fd = openat(root_dfd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open \"%s/%s\"", root, id);
	/* Whose the root is could have put another one in its place. */
	r = check_owner(fd, root, id, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_dfd = fd;
	return 0;
}

static int open_root(const char *root, int *ret_dfd)
{
	*ret_dfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_dfd < 0 ? -1 : 0;
}

int state_open_dir(const char *root, const char *id, int *ret_dfd, struct error *e)
{
	cleanup_close int root_dfd = -1;
	int r = state_check_id(id, e), fd = -1;

	if (r < 0)
		return r;
	if (open_root(root, &root_dfd) == 0)
		fd = openat(root_dfd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return err_new(e, ERR_NOT_FOUND, "container does not exist: \"%s\"", id);
	if (fd < 0)
		return err_sys(e, "open \"%s/%s\"", root, id);
	r = check_owner(fd, root, id, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_dfd = fd;
	return 0;
}

/* flock(2) of the directory. Not for ever: a hook may wait for somebody who waits for us. */
int state_lock(int dfd, bool *ret_is_gone, struct error *e)
{
	int64_t deadline = deadline_in_ms(LOCK_MS);
	struct stat sb;

	for (unsigned pause_us = 500; flock(dfd, LOCK_EX | LOCK_NB) < 0;) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "lock the container's state");
		if (deadline_left_ms(deadline) == 0)
			return err_new(e, ERR_TIMEOUT,
				       "another hull is changing or removing the container, and has not "
				       "come to an end in %d s",
				       LOCK_MS / 1000);
		usleep(pause_us);
		pause_us = pause_us < 20000 ? pause_us * 2 : pause_us;
	}
	if (fstat(dfd, &sb) < 0)
		return err_sys(e, "look at the container's state");
	*ret_is_gone = sb.st_nlink == 0;
	return 0;
}

void state_unlock(int dfd)
{
	flock(dfd, LOCK_UN);
}

int state_remove_dir(const char *root, const char *id, struct error *e)
{
	cleanup_close int root_dfd = -1;

	if (open_root(root, &root_dfd) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open \"%s\"", root);
	return path_remove_tree(root_dfd, id, e);
}

int state_open_filters(const char *root, mode_t sticky)
{
	cleanup_close int root_dfd = -1, fd = -1;
	struct stat sb;

	if (open_root(root, &root_dfd) < 0)
		return -1;
	fd = openat(root_dfd, STATE_FILTERS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && mkdirat(root_dfd, STATE_FILTERS, 0700 | sticky) == 0)
		fd = openat(root_dfd, STATE_FILTERS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &sb) < 0 || sb.st_uid != geteuid() || sb.st_mode & 022)
		return -1;
	return take_fd(fd);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int state_list(const char *root, struct strv *ret_ids, struct error *e)
{
	DIR *dir = opendir(root);
	struct dirent *d;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, "read \"%s\"", root);
	while ((d = readdir(dir)))
		if (d->d_type == DT_DIR && state_check_id(d->d_name, NULL) == 0)
			strv_add(ret_ids, d->d_name);
	closedir(dir);
	if (ret_ids->n)
		qsort(ret_ids->v, ret_ids->n, sizeof(*ret_ids->v), compare_names);
	return 0;
}

/* ---- the record --------------------------------------------------------------------------------------- */

int state_write(int dfd, const char *name, const struct oci_state *s, mode_t sticky, struct error *e)
{
	cleanup_json struct json_object *o = json_new();
	cleanup_buf struct buf text = BUF_INIT;

	json_put_str(o, "id", s->id);
	json_put_str(o, "ociVersion", s->oci_version);
	json_put_str(o, "bundle", s->bundle);
	json_put_str(o, "rootfs", s->rootfs);
	json_put_str(o, "created", s->created);
	json_put_str(o, "cgroupPath", s->cgroup_path);
	json_put_str(o, "resctrlGroup", s->rdt_made);
	json_put_u64(o, "cgroupParents", s->cgroup_parents);
	json_put_strv(o, "freezerFiles", &s->freezer_files);
	json_put_bool(o, "systemdCgroup", s->has_systemd_cgroup);
	json_put_bool(o, "lateHooks", s->has_late_hooks);
	json_put_bool(o, "sharesPids", s->shares_pids);
	json_put_i64(o, "pid", s->pid);
	json_put_u64(o, "startTime", s->start_time);
	json_put_u64(o, "owner", s->owner);
	json_put_strv(o, "annotations", &s->annotations);
	json_put_strv(o, "stdio", &s->stdio);
	json_text(o, true, &text);
	return file_write_atomic(dfd, name, text.data, text.len, 0600 | sticky, false, e);
}

static int get_text(struct json_object *o, const char *key, char **ret, struct error *e)
{
	const char *s = NULL;
	int r = json_get_str(o, key, &s, e);

	if (r > 0)
		str_set(ret, s);
	return r;
}

static int read_record(struct json_object *o, struct oci_state *s, struct error *e)
{
	const struct {
		const char *key;
		char **field;
	} texts[] = { { "id", &s->id },
		      { "ociVersion", &s->oci_version },
		      { "bundle", &s->bundle },
		      { "rootfs", &s->rootfs },
		      { "created", &s->created },
		      { "cgroupPath", &s->cgroup_path },
		      { "resctrlGroup", &s->rdt_made } };
	int64_t pid = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts) && r >= 0; i++)
		r = get_text(o, texts[i].key, texts[i].field, e);
	if (r >= 0)
		r = json_get_u32(o, "cgroupParents", &s->cgroup_parents, e);
	if (r >= 0)
		r = json_get_strv(o, "freezerFiles", 2, &s->freezer_files, e);
	if (r >= 0)
		r = json_get_bool(o, "systemdCgroup", &s->has_systemd_cgroup, e);
	if (r >= 0)
		r = json_get_bool(o, "lateHooks", &s->has_late_hooks, e);
	if (r >= 0)
		r = json_get_bool(o, "sharesPids", &s->shares_pids, e);
	if (r >= 0)
		r = json_need(json_get_i64(o, "pid", &pid, e), "pid", e);
	if (r >= 0)
		r = json_need(json_get_u64(o, "startTime", &s->start_time, e), "startTime", e);
	if (r >= 0)
		r = json_get_u32(o, "owner", &s->owner, e);
	if (r >= 0)
		r = json_get_strv(o, "annotations", 2 * 65536, &s->annotations, e);
	if (r >= 0)
		r = json_get_strv(o, "stdio", 3, &s->stdio, e);
	s->pid = (pid_t)pid;
	if (r >= 0 && (pid <= 0 || pid > INT32_MAX || !s->id))
		return err_new(e, ERR_INVALID, "pid or id make no sense");
	return r < 0 ? r : 0;
}

int state_read(int dfd, const char *name, struct oci_state *ret, struct error *e)
{
	CLEANUP(oci_state_done) struct oci_state s = OCI_STATE_INIT;
	cleanup_json struct json_object *o = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	int r = file_read(dfd, name, STATE_BYTES_MAX, &text, e);

	if (r < 0)
		return r == -ERR_LIMIT ? err_kind(e, ERR_CORRUPT) : r;
	r = json_parse_object(buf_str(&text), text.len, STATE_BYTES_MAX, &o, e);
	if (r >= 0)
		r = read_record(o, &s, e);
	if (r < 0) {
		err_kind(e, ERR_CORRUPT);
		err_ctx(e, "%s", name);
		return -ERR_CORRUPT;
	}
	*ret = s;
	s = OCI_STATE_INIT;
	return 0;
}

void state_note_stdio(struct oci_state *s)
{
	for (int fd = 0; fd < 3; fd++) {
		char link[PATH_FD_SIZE], target[PATH_MAX];
		ssize_t n = readlink(path_of_fd(fd, link), target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		strv_add(&s->stdio, target);
	}
}

/* ---- status ------------------------------------------------------------------------------------------- */

const char *state_status_name(enum oci_status status)
{
	static const char *const names[] = { "created", "running", "paused", "stopped" };

	return names[status];
}

int state_process_start(pid_t pid, uint64_t *ret_start, bool *ret_is_dead, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	unsigned long long start = 0;
	char path[32], state = 0;
	const char *p;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = file_read(AT_FDCWD, path, 4096, &text, e);
	if (r < 0)
		return e && e->sys == ESRCH ? err_kind(e, ERR_NOT_FOUND) : r;
	/* The name in parentheses may hold anything, parentheses too. */
	p = strrchr(buf_str(&text), ')');
	if (!p ||
	    sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &state, &start) != 2)
		return err_new(e, ERR_CORRUPT, "\"%s\" is not as proc(5) has it", path);
	*ret_start = start;
	*ret_is_dead = state == 'Z' || state == 'X';
	return 0;
}

/* Of a start that was killed between the exec and its note the socket is left, and nobody listens at it. (To an init that
 * still waits we are somebody who looks in and leaves. One that is frozen takes a few of those, and then no more.) */
static bool is_waiting(int dfd, int *ret_gate_fd)
{
	*ret_gate_fd = state_connect_gate(dfd, SOCK_NONBLOCK);
	return *ret_gate_fd >= 0 || (errno != ECONNREFUSED && errno != ENOENT);
}

int state_connect_gate(int dfd, int flags)
{
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[PATH_FD_SIZE];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" STATE_SOCKET, path_of_fd(dfd, dir));
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	return take_fd(sock);
}

int state_status(int dfd, const struct oci_state *s, enum oci_status *ret_status, int *ret_pid_fd,
		 int *ret_gate_fd, struct error *e)
{
	cleanup_close int pid_fd = -1, gate_fd = -1;
	struct error why = ERROR_INIT;
	uint64_t start = 0;
	bool is_dead = true;
	int r = pidfd_open_(s->pid, &pid_fd, &why);

	/* With the pidfd held, the pid cannot go to another process between this look and its use. */
	if (r >= 0)
		r = state_process_start(s->pid, &start, &is_dead, &why);
	if (r < 0 && r != -ERR_NOT_FOUND && why.sys != ESRCH) {
		if (e)
			*e = why;
		return r;
	}
	if (ret_pid_fd)
		*ret_pid_fd = -1;
	if (ret_gate_fd)
		*ret_gate_fd = -1;
	if (r < 0 || is_dead || start != s->start_time) {
		*ret_status = OCI_STOPPED;
		return 0;
	}
	*ret_status = is_waiting(dfd, &gate_fd) ? OCI_CREATED : OCI_RUNNING;
	if (ret_pid_fd)
		*ret_pid_fd = take_fd(pid_fd);
	if (ret_gate_fd)
		*ret_gate_fd = take_fd(gate_fd);
	return 0;
}

void state_json(const struct oci_state *s, enum oci_status status, const char *owner, bool is_pretty,
		struct buf *b)
{
	cleanup_json struct json_object *o = json_new();

	json_put_str(o, "ociVersion", s->oci_version);
	json_put_str(o, "id", s->id);
	json_put_i64(o, "pid", status == OCI_STOPPED ? 0 : s->pid);
	json_put_str(o, "status", state_status_name(status));
	json_put_str(o, "bundle", s->bundle);
	json_put_str(o, "rootfs", s->rootfs);
	json_put_str(o, "created", s->created);
	if (s->annotations.n) {
		struct json_object *a = json_put_object(o, "annotations");

		for (size_t i = 0; i + 1 < s->annotations.n; i += 2)
			json_put_str(a, s->annotations.v[i], s->annotations.v[i + 1]);
	}
	json_put_str(o, "owner", owner);
	json_text(o, is_pretty, b);
}
