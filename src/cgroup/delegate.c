/* SPDX-License-Identifier: Apache-2.0 */
/* Giving a cgroup away (cgroups(7), "Cgroups delegation"; OCI config-linux.md, "Cgroup ownership"): the directory, so that
 * children can be made in it, and the files that the kernel names for it. All others stay, the limits among them. v1 has
 * no safe way. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "cgroup/handle.h"

#define LIST "/sys/kernel/cgroup/delegate"
#define LIST_BYTES_MAX 4096

int cgroup_give_to(const struct cgroup *cg, uid_t uid, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_strv struct strv files = STRV_INIT;
	int dfd = cgroup_dfd_v2(cg);

	if (dfd < 0)
		return err_new(e, ERR_UNSUPPORTED, "cgroup \"%s\" is in no v2 hierarchy", cg->path);
	/* A kernel before Linux 4.15 has no list; these are its. */
	if (file_read(AT_FDCWD, LIST, LIST_BYTES_MAX, &text, NULL) < 0)
		buf_adds(&text, "cgroup.procs cgroup.subtree_control cgroup.threads");
	strv_split(&files, buf_str(&text), " \n");
	if (fchown(dfd, uid, (gid_t)-1) < 0)
		return cgroup_fail(e, errno, "give cgroup \"%s\" to user %u", cg->path, uid);
	for (size_t i = 0; i < files.n; i++)
		if (fchownat(dfd, files.v[i], uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
			return cgroup_fail(e, errno, "give %s of cgroup \"%s\" to user %u", files.v[i],
					   cg->path, uid);
	return 0;
}
