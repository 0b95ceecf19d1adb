/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/criu_images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "oci/criu_pagemap.h"

#define PARENTS_MAX 64
#define PARENT "parent" /* criu's link to the images of the pre-dump before */

static int check_owner(const struct stat *sb, const char *name, struct error *e)
{
	if (sb->st_uid != 0 && sb->st_uid != geteuid())
		return err_new(
			e, ERR_DENIED,
			"\"%s\" of the checkpoint belongs to user %u, who could change what will run here",
			name, sb->st_uid);
	if (sb->st_mode & (S_IWGRP | S_IWOTH))
		return err_new(
			e, ERR_DENIED,
			"\"%s\" of the checkpoint can be written by others (mode %03o), who could change "
			"what will run here",
			name, sb->st_mode & 0777u);
	return 0;
}

static int check_entry(int dfd, const char *name, struct error *e)
{
	struct stat sb;

	if (fstatat(dfd, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "look at \"%s\" of the checkpoint", name);
	if (S_ISLNK(sb.st_mode) && str_eq(name, PARENT))
		return 0;
	/* criu's own sockets, for lazy pages. */
	if (S_ISSOCK(sb.st_mode))
		return 0;
	if (!S_ISREG(sb.st_mode) && !S_ISDIR(sb.st_mode))
		return err_new(e, ERR_DENIED, "\"%s\" of the checkpoint is neither a file nor a directory",
			       name);
	return check_owner(&sb, name, e);
}

static int check_dir(int dfd, struct error *e)
{
	cleanup_close int again = openat(dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *d;
	struct stat sb;
	int r = 0;

	if (!dir || fstat(dfd, &sb) < 0) {
		r = err_sys(e, "read the directory of the checkpoint");
		if (dir)
			closedir(dir);
		return r;
	}
	again = -1;
	r = check_owner(&sb, ".", e);
	while (r >= 0 && (d = readdir(dir)))
		if (!str_eq(d->d_name, ".") && !str_eq(d->d_name, ".."))
			r = check_entry(dfd, d->d_name, e);
	closedir(dir);
	return r;
}

static int check_pages(int dfd, const char *name, struct error *e)
{
	cleanup_close int fd = openat(dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_buf struct buf text = BUF_INIT;
	struct criu_pagemap map;
	struct stat sb;
	char pages[32];
	int r = fd < 0 ? err_sys(e, "open") : fd_read_all(fd, CRIU_PAGEMAP_MAX_BYTES, &text, e);

	if (r >= 0)
		r = criu_pagemap_read(buf_str(&text), text.len, &map, e);
	if (r < 0) {
		err_ctx(e, "image \"%s\"", name);
		return err_kind(e, ERR_CORRUPT);
	}
	snprintf(pages, sizeof(pages), "pages-%u.img", map.pages_id);
	if (!map.pages)
		return 0;
	if (fstatat(dfd, pages, &sb, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sysk(e, ERR_CORRUPT, errno, "image \"%s\" (memory that \"%s\" names)", pages,
				name);
	if ((uint64_t)sb.st_size / (uint64_t)sysconf(_SC_PAGESIZE) < map.pages)
		return err_new(
			e, ERR_CORRUPT,
			"image \"%s\" is cut short: it has %lld bytes, and \"%s\" names %llu pages in it",
			pages, (long long)sb.st_size, name, (unsigned long long)map.pages);
	return 0;
}

static int check_memory(int dfd, struct error *e)
{
	cleanup_close int again = openat(dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *d;
	int r = 0;

	if (!dir)
		return err_sys(e, "read the directory of the checkpoint");
	again = -1;
	while (r >= 0 && (d = readdir(dir)))
		if (str_starts(d->d_name, "pagemap-"))
			r = check_pages(dfd, d->d_name, e);
	closedir(dir);
	return r;
}

int criu_images_check(int images_dfd, bool has_memory, struct error *e)
{
	cleanup_close int dfd = -1;
	int r = fd_dup(images_dfd, &dfd, e);

	if (r < 0)
		return r;
	if (faccessat(dfd, "inventory.img", F_OK, 0) < 0)
		return err_new(e, ERR_NOT_FOUND, "there is no checkpoint (no file inventory.img)");
	if (faccessat(dfd, "pstree.img", F_OK, 0) < 0)
		return err_new(e, ERR_NOT_FOUND,
			       "there is only memory, of a pre-dump: the checkpoint was to follow in another "
			       "directory (no file pstree.img)");
	for (int i = 0; i < PARENTS_MAX; i++) {
		int next;

		r = check_dir(dfd, e);
		if (r >= 0 && has_memory)
			r = check_memory(dfd, e);
		if (r < 0)
			return r;
		next = openat(dfd, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return errno == ENOENT ? 0 : err_sys(e, "open the \"" PARENT "\" of the checkpoint");
		close(dfd);
		dfd = next;
	}
	return err_new(e, ERR_LIMIT, "the checkpoint has more than %d parents", PARENTS_MAX);
}

int criu_images_descriptors(int images_dfd, struct criu_descriptors *ret, struct error *e)
{
	cleanup_close int fd =
		openat(images_dfd, CRIU_DESCRIPTORS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_buf struct buf text = BUF_INIT;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open \"" CRIU_DESCRIPTORS "\" of the checkpoint");
	r = fd_read_all(fd, CRIU_DESCRIPTORS_MAX_BYTES, &text, e);
	if (r >= 0)
		r = criu_descriptors_read(buf_str(&text), text.len, ret, e);
	if (r >= 0)
		return 0;
	err_ctx(e, CRIU_DESCRIPTORS);
	return err_kind(e, ERR_CORRUPT);
}
