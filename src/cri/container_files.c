/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a container: its log below the pod's log directory, its writable layer, its bundle. */
#include "cri/container.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"

/* --- the log -------------------------------------------------------------------------------------- */

/* The pod's log directory. Its parents are the node's own and may be links; it itself may not be one: a pod
 * that has a volume of the node's logs could put it there, and choose where root makes files. */
static int open_log_dir(const char *path, int *ret_fd, struct error *e)
{
	cleanup_free char *clean = path_clean(path);
	cleanup_close int parent = -1;
	char *slash = strrchr(clean, '/');
	int r, fd;

	if (!slash || !slash[1])
		return path_mkdir_all(clean, 0755, ret_fd, e);
	*slash = '\0';
	r = path_mkdir_all(*clean ? clean : "/", 0755, &parent, e);
	if (r < 0)
		return r;
	if (mkdirat(parent, slash + 1, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "make \"%s\"", path);
	fd = openat(parent, slash + 1, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return err_new(e, ERR_INVALID,
			       "\"%s\" is there and is not a directory (links are not followed)", path);
	if (fd < 0)
		return err_sys(e, "open \"%s\"", path);
	*ret_fd = fd;
	return 0;
}

/* A new file, or a regular one that is there: it is looked at before it is opened. A container that can
 * write to the directory may have made a device there, which its own device rules keep it from opening but
 * not us. */
static int open_log_file(int dir, const char *path, int *ret_fd, struct error *e)
{
	const int flags = O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
	cleanup_close int found = -1;
	char name[PATH_FD_SIZE];
	struct stat st;
	int r = path_open_beneath(dir, path, flags | O_CREAT | O_EXCL, 0640, true, ret_fd, e);

	if (r == 0 || e->sys != EEXIST)
		return r;
	err_clear(e);
	r = path_open_beneath(dir, path, O_PATH | O_NOFOLLOW, 0, true, &found, e);
	if (r < 0)
		return r;
	if (fstat(found, &st) < 0)
		return err_sys(e, "stat \"%s\"", path);
	if (!S_ISREG(st.st_mode))
		return err_new(e, ERR_INVALID, "\"%s\" is there and is not a regular file", path);
	*ret_fd = open(path_of_fd(found, name), flags);
	return *ret_fd < 0 ? err_sys(e, "open \"%s\"", path) : 0;
}

int container_open_log(const struct sandbox *s, const char *log_path, int *ret_fd, struct error *e)
{
	cleanup_close int dir = -1;
	cleanup_free char *parent = str_dup(log_path);
	char *slash = strrchr(parent, '/');
	int r = open_log_dir(s->rec->config->log_directory, &dir, e);

	if (r < 0)
		return err_ctx(e, "log directory");
	/* Parts below the pod's directory are walked without symlinks: a container that can write there must
	 * not choose where root appends (CVE-2026-53489 is that class). */
	if (slash) {
		cleanup_close int made = -1;

		*slash = '\0';
		r = path_mkdir_in_root(dir, parent, 0755, (uid_t)-1, (gid_t)-1, &made, e);
		if (r < 0)
			return err_ctx(e, "log directory");
	}
	r = open_log_file(dir, log_path, ret_fd, e);
	return r < 0 ? err_ctx(e, "log file") : 0;
}

void container_set_log_path(struct container *c)
{
	const char *dir = c->sandbox->rec->config->log_directory;
	cleanup_free char *joined = NULL, *clean = NULL;

	if (str_is_empty(dir) || str_is_empty(c->rec->config->log_path))
		return;
	joined = str_fmt("%s/%s", dir, c->rec->config->log_path);
	clean = path_clean(joined);
	rec_set(&c->rec->log_path, clean);
}

/* --- layer and bundle ----------------------------------------------------------------------------- */

int container_make_layer(struct node *n, const struct container *c, const struct container_plan *p,
			 struct error *e)
{
	static const char *const parts[] = { "", "/upper", "/work" };
	uint32_t uid = 0, gid = 0;

	if (p->uids && (idmap_to_host(p->uids, 0, &uid, e) < 0 || idmap_to_host(p->gids, 0, &gid, e) < 0))
		return err_ctx(e, "the container's root");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		cleanup_free char *path = str_fmt("%s%s", c->rec->id, parts[i]);

		if (mkdirat(n->containers_dfd, path, i ? 0755 : 0700) < 0)
			return err_sys(e, "make \"%s/containers/%s\"", node_config(n)->root_dir, path);
		/* Whatever our umask: this is what "/" looks like inside. */
		if (i && fchmodat(n->containers_dfd, path, 0755, 0) < 0)
			return err_sys(e, "set the mode of \"%s/containers/%s\"", node_config(n)->root_dir,
				       path);
		if (i && fchownat(n->containers_dfd, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, "give \"%s/containers/%s\" to %u:%u", node_config(n)->root_dir,
				       path, uid, gid);
	}
	return 0;
}

int container_write_bundle(const struct container *c, struct json_object *spec, int *ret_dfd, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_close int dfd = -1;
	int r;

	if (mkdirat(c->sandbox->pod_dfd, c->rec->id, 0700) < 0)
		return err_sys(e, "make the bundle of container \"%s\"", c->rec->id);
	dfd = openat(c->sandbox->pod_dfd, c->rec->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dfd < 0)
		return err_sys(e, "open the bundle of container \"%s\"", c->rec->id);
	json_text(spec, false, &text);
	r = file_write_atomic(dfd, "config.json", text.data, text.len, 0600, false, e);
	if (r == 0)
		*ret_dfd = take_fd(dfd);
	return r;
}
