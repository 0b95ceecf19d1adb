/* SPDX-License-Identifier: Apache-2.0 */
/* A mount that was made earlier in the list is changed. As mount(8) does it, what the options do not speak of stays as
 * it is: with "bind" only the mount is changed, otherwise its file system too, for all who have it mounted. Read-only
 * comes at the end, when nothing has to be made inside any more. */
#include "oci/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "sys/mountapi.h"

int remount_open(const struct plan_mount *pm, int root_fd, int *ret_fd, struct error *e)
{
	cleanup_close int fd = -1;
	struct statx sx;
	int r = path_open_in_root(root_fd, pm->destination, O_PATH, 0, &fd, e);

	if (r < 0)
		return r;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) < 0)
		return err_sys(e, "look at the destination");
	if (!(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return err_new(e, ERR_INVALID, "remount: nothing is mounted there");
	*ret_fd = take_fd(fd);
	return 0;
}

static int change_file_system(const struct plan_mount *pm, int fd, bool has_readonly, struct error *e)
{
	const struct oci_mount_options *opt = &pm->m->options;
	cleanup_close int context = -1;
	int r;

	if (opt->is_bind)
		return 0;
	r = mount_context_of(fd, &context, e);
	for (size_t i = 0; i < opt->data_words.n && r >= 0 && !has_readonly; i++)
		r = mount_set_word(context, opt->data_words.v[i], e);
	if (r >= 0 && !has_readonly)
		r = mount_set_flags(context, opt->sb_set, opt->sb_clr, e);
	if (r >= 0 && has_readonly)
		r = mount_context_set(context, &MOUNT_PARAM_FLAG("ro"), e);
	else if (r >= 0 && (pm->clear & MOUNT_ATTR_RDONLY))
		r = mount_context_set(context, &MOUNT_PARAM_FLAG("rw"), e);
	if (r >= 0)
		r = mount_context_reconfigure(context, e);
	if (r < 0 && e && e->sys == EPERM)
		err_hint(e, "the file system belongs to another user namespace: \"bind\" changes the mount "
			    "alone");
	return r;
}

int remount(const struct plan_mount *pm, int fd, struct error *e)
{
	const struct mount_change top = { .set = pm->set, .clear = pm->clear };
	const struct mount_change all = { .set = pm->rec_set, .clear = pm->rec_clear };
	const struct oci_mount_options *opt = &pm->m->options;
	bool has_more = opt->data_words.n || opt->sb_set || opt->sb_clr || (pm->clear & MOUNT_ATTR_RDONLY);
	int r = has_more ? change_file_system(pm, fd, false, e) : 0;

	if (r >= 0)
		r = mount_change(fd, true, &all, e);
	return r < 0 ? r : mount_change(fd, false, &top, e);
}

int remount_readonly(const struct plan_mount *pm, int fd, struct error *e)
{
	const struct mount_change readonly = { .set = MOUNT_ATTR_RDONLY };
	int r = change_file_system(pm, fd, true, e);

	return r < 0 ? r : mount_change(fd, false, &readonly, e);
}
