/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the maps of a namespace: the rules of user_namespaces(7), "Defining user and group ID
 * mappings". A file is written by one write(2) of less than a page, once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "userns/idmap.h"

#define TEXT_MAX 4096 /* the smallest page; the kernel refuses a text of a page or more */

/* No buf here: this runs where no allocation may happen. */
static int format_text(const struct idmap *map, char text[TEXT_MAX], size_t *ret_len, struct error *e)
{
	size_t len = 0;

	for (size_t i = 0; i < map->n; i++) {
		const struct idmap_extent *x = &map->x[i];
		int n = snprintf(text + len, TEXT_MAX - len, "%u %u %u\n", x->container_id, x->host_id,
				 x->length);

		if ((size_t)n >= TEXT_MAX - len)
			return err_new(e, ERR_LIMIT,
				       "a map of %zu extents is too long: its text has to be shorter than a "
				       "page, and %zu fit",
				       map->n, i);
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

/* EPERM has two meanings. The one that a second write gives can be told by what the file holds. */
static bool is_written(int proc_dfd, const char *file)
{
	cleanup_close int fd = openat(proc_dfd, file, O_RDONLY | O_CLOEXEC);
	char byte;

	return fd >= 0 && read(fd, &byte, 1) == 1;
}

static int write_failed(int proc_dfd, const char *file, const struct idmap *map, int sys, struct error *e)
{
	enum err_kind kind = sys == EPERM    ? ERR_DENIED
			     : sys == EINVAL ? ERR_INVALID
			     : sys == ESRCH  ? ERR_STATE
					     : ERR_SYS;

	if (sys == EPERM && is_written(proc_dfd, file))
		return err_sysk(e, ERR_STATE, sys, "write \"%s\": it was written before", file);
	err_sysk(e, kind, sys, "write \"%s\": container id %u to host id %u, length %u, of %zu extents", file,
		 map->n ? map->x[0].container_id : 0, map->n ? map->x[0].host_id : 0,
		 map->n ? map->x[0].length : 0, map->n);
	if (sys == EPERM)
		return err_hint(e,
				"needs CAP_SET%s in the parent user namespace (CAP_SETFCAP too for its id "
				"0), and host ids "
				"that are mapped there",
				file[0] == 'u' ? "UID" : "GID");
	return -(int)kind;
}

int idmap_write(int proc_dfd, const char *file, const struct idmap *map, struct error *e)
{
	char text[TEXT_MAX];
	cleanup_close int fd = -1;
	size_t len = 0;
	ssize_t n;
	int r = format_text(map, text, &len, e);

	if (r < 0)
		return err_ctx(e, "write \"%s\"", file);
	fd = openat(proc_dfd, file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sysk(e, errno == ESRCH || errno == ENOENT ? ERR_STATE : ERR_SYS, errno,
				"open \"%s\"", file);
	n = write(fd, text, len);
	if (n < 0)
		return write_failed(proc_dfd, file, map, errno, e);
	if ((size_t)n != len)
		return err_new(e, ERR_SYS, "wrote only %zd of %zu bytes to \"%s\"", n, len, file);
	return 0;
}

int idmap_write_setgroups_deny(int proc_dfd, struct error *e)
{
	return file_poke(proc_dfd, "setgroups", "deny", strlen("deny"), e);
}

int idmap_write_both(int proc_dfd, const struct idmap *uids, const struct idmap *gids, struct error *e)
{
	int r = idmap_write(proc_dfd, "uid_map", uids, e);

	if (r < 0)
		return r;
	r = idmap_write(proc_dfd, "gid_map", gids, e);
	if (r != -ERR_DENIED || gids->n != 1 || gids->x[0].length != 1)
		return r;
	r = idmap_write_setgroups_deny(proc_dfd, e);
	if (r < 0)
		return r;
	return idmap_write(proc_dfd, "gid_map", gids, e);
}
