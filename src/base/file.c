/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

int file_read(int dfd, const char *path, size_t max_bytes, struct buf *b, struct error *e)
{
	cleanup_close int fd = openat(dfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno, "open \"%s\"", path);
	if (fd_read_all(fd, max_bytes, b, e) < 0)
		return err_ctx(e, "read \"%s\"", path);
	return 0;
}

static int write_temp(int dfd, const char *temp, const void *data, size_t n, mode_t mode, bool durable,
		      struct error *e)
{
	cleanup_close int fd = openat(dfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return err_sys(e, "create \"%s\"", temp);
	if (fchmod(fd, mode) < 0)
		return err_sys(e, "set mode %o of \"%s\"", mode, temp);
	if (fd_write_full(fd, data, n) < 0)
		return err_sys(e, "write %zu bytes to \"%s\"", n, temp);
	if (durable && fsync(fd) < 0)
		return err_sys(e, "sync \"%s\"", temp);
	return 0;
}

/* fsync the directory that holds name, so that the rename itself is durable. */
static int sync_parent(int dfd, const char *name, struct error *e)
{
	const char *slash = strrchr(name, '/');
	cleanup_free char *parent = slash ? str_ndup(name, (size_t)(slash - name) + 1) : str_dup(".");
	cleanup_close int fd = openat(dfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_sys(e, "sync directory \"%s\"", parent);
	return 0;
}

int file_write_atomic(int dfd, const char *name, const void *data, size_t n, mode_t mode, bool durable,
		      struct error *e)
{
	cleanup_free char *temp = NULL;
	char random[17];
	int r;

	str_random_hex(random, 8);
	temp = str_fmt("%s.%s~", name, random);
	r = write_temp(dfd, temp, data, n, mode, durable, e);
	if (r == 0 && renameat(dfd, temp, dfd, name) < 0)
		r = err_sys(e, "rename \"%s\" to \"%s\"", temp, name);
	if (r < 0) {
		unlinkat(dfd, temp, 0);
		return r;
	}
	return durable ? sync_parent(dfd, name, e) : 0;
}

int file_poke(int dfd, const char *path, const void *data, size_t n, struct error *e)
{
	cleanup_close int fd = openat(dfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t r;

	if (fd < 0)
		return err_sys(e, "open \"%s\"", path);
	do
		r = write(fd, data, n);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_sys(e, "write \"%.*s\" to \"%s\"", (int)(n > 200 ? 200 : n), (const char *)data,
			       path);
	if ((size_t)r != n)
		return err_new(e, ERR_SYS, "wrote only %zd of %zu bytes to \"%s\"", r, n, path);
	return 0;
}
