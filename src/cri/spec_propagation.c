/* SPDX-License-Identifier: Apache-2.0 */
/* Propagation needs a source that takes part in it (mount_namespaces(7)): without this check a volume that is
 * to see the host's later mounts would start, and silently not see them. */
#include "cri/container.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"

#define MOUNTINFO_MAX ((size_t)64 << 20)

/* The optional fields of one mount, between the sixth field and "-" (proc_pid_mountinfo(5)). */
struct sharing {
	bool shared, slave;
};

static bool read_line(const char *line, uint64_t mount_id, struct sharing *ret)
{
	cleanup_strv struct strv words = STRV_INIT;
	uint64_t id;

	strv_split(&words, line, " ");
	if (words.n < 7 || str_to_u64(words.v[0], &id, NULL) < 0 || id != mount_id)
		return false;
	*ret = (struct sharing){ 0 };
	for (size_t i = 6; i < words.n && !str_eq(words.v[i], "-"); i++) {
		ret->shared |= str_starts(words.v[i], "shared:");
		ret->slave |= str_starts(words.v[i], "master:");
	}
	return true;
}

static int find(const char *path, struct sharing *ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_strv struct strv lines = STRV_INIT;
	struct statx st;
	int r;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) < 0)
		return err_sysk(e, errno == ENOENT ? ERR_INVALID : ERR_SYS, errno, "\"%s\"", path);
	if ((r = file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, e)) < 0)
		return r;
	strv_split(&lines, buf_str(&text), "\n");
	for (size_t i = 0; i < lines.n; i++)
		if (read_line(lines.v[i], st.stx_mnt_id, ret))
			return 0;
	return err_new(e, ERR_STATE, "the mount that \"%s\" is on (%llu) is not in our mount namespace", path,
		       (unsigned long long)st.stx_mnt_id);
}

int spec_check_propagation(size_t i, const PB(Mount) *m, struct error *e)
{
	struct sharing s;
	int r;

	if (m->propagation == RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return 0;
	if ((r = find(m->host_path, &s, e)) < 0)
		return err_ctx(e, "config.mounts[%zu].host_path", i);
	if (m->propagation == RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL && !s.shared)
		return err_new(e, ERR_INVALID,
			       "config.mounts[%zu].propagation is BIDIRECTIONAL, but \"%s\" is not on a "
			       "shared mount "
			       "(mount --make-shared)",
			       i, m->host_path);
	if (!s.shared && !s.slave)
		return err_new(e, ERR_INVALID,
			       "config.mounts[%zu].propagation is HOST_TO_CONTAINER, but \"%s\" is on "
			       "neither a shared nor "
			       "a slave mount (mount --make-shared)",
			       i, m->host_path);
	return 0;
}
