/* SPDX-License-Identifier: Apache-2.0 */
/* Binds of what the container itself has: a source inside the root file system's directory, at, below or (with "rbind")
 * above the place of an earlier mount of the list, means what that mount has put there (so runc has it, which resolves
 * sources as it goes). No path of the host shows that: the mounts are attached by the init alone, inside the root. So
 * the init opens such a source when its turn comes, as it opens a destination: inside the root, whatever the image has
 * there. It can reach nothing but what the container is going to have anyway.
 *
 * Which sources these are is decided by their text, as it is about what the config.json says of itself. A source that
 * comes there through a symlink is the host's, as any other. */
#include "oci/mount_late.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "sys/mountapi.h"

/* dir_fd's path joined with path, cleaned; NULL when there is none. */
static char *absolute(int dir_fd, const char *path)
{
	char link[PATH_FD_SIZE], dir[PATH_MAX];
	cleanup_free char *joined = NULL;
	ssize_t n;

	if (path[0] == '/')
		return path_clean(path);
	if (dir_fd < 0)
		return NULL;
	n = readlink(path_of_fd(dir_fd, link), dir, sizeof(dir) - 1);
	if (n < 0)
		return NULL;
	dir[n] = '\0';
	joined = str_fmt("%s/%s", dir, path);
	return path_clean(joined);
}

/* What is behind dir in path, "/" for dir itself; NULL when it is not below. */
static const char *below(const char *path, const char *dir)
{
	size_t n = str_eq(dir, "/") ? 0 : strlen(dir);

	if (strncmp(path, dir, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path[n] ? path + n : "/";
}

char *mount_late_source(const struct mounts_env *env, size_t i)
{
	const struct plan_mount *pm = &env->plan->mounts[i];
	const struct oci_spec *spec = env->create->spec;
	cleanup_free char *source = NULL, *root = NULL;
	const char *inside;

	if (i == 0 || env->create->rootfs || !spec->has_root)
		return NULL;
	source = absolute(env->bundle_dfd, pm->m->source);
	root = absolute(env->bundle_dfd, spec->root.path);
	inside = source && root && !str_eq(root, "/") ? below(source, root) : NULL;
	for (size_t k = 0; inside && k < i; k++) {
		const char *place = env->plan->mounts[k].destination;

		if (below(inside, place) || (pm->m->options.is_rbind && below(place, inside)))
			return str_dup(inside);
	}
	return NULL;
}

int mount_late_refuse(const struct mounts_env *env, struct error *e)
{
	for (size_t i = 0; i < env->plan->mount_count; i++) {
		const struct plan_mount *pm = &env->plan->mounts[i];
		cleanup_free char *inside = pm->kind == PLAN_BIND ? mount_late_source(env, i) : NULL;

		if (inside)
			return err_new(
				e, ERR_UNSUPPORTED,
				"mount on \"%s\": its source, \"%s\", is what another mount of the container "
				"shows, and of such a bind a checkpoint has nothing that could be restored",
				pm->m->destination, pm->m->source);
	}
	return 0;
}

int mount_late_open(const struct oci_create *o, const struct oci_plan *plan, size_t i, int root_fd,
		    struct mount_state *st, struct error *e)
{
	const struct mounts_env env = { .create = o, .bundle_dfd = -1, .plan = plan, .user_fd = -1 };
	const struct plan_mount *pm = &plan->mounts[i];
	cleanup_close int fd = -1, tree = -1;
	int r;

	if (pm->m->options.idmap || pm->m->uid_mappings.n || pm->m->gid_mappings.n)
		return err_new(e, ERR_UNSUPPORTED,
			       "its source \"%s\" is a mount of the container itself, whose ids cannot be "
			       "mapped again",
			       pm->m->source);
	r = path_open_in_root(root_fd, st->late_source, O_PATH, 0, &fd, e);
	if (r >= 0)
		r = mount_clone(fd, "", pm->m->options.is_rbind, true, &tree, e);
	if (r < 0)
		return err_ctx(e, "bind \"%s\" of the container", st->late_source);
	return mount_bind_finish(&env, pm, tree, st, e);
}
