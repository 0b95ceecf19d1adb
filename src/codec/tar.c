/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive reads, with only its tar reader switched on.
 *
 * Names must stay bytes. libarchive takes pax names as UTF-8, and in a UTF-8 locale it brings them into
 * Unicode's composed form: two names of an image that differ only in that would become one. In the locale
 * "C" it cannot convert, says so with a warning, and hands the bytes over unchanged. So this code must run
 * in the "C" locale (nobody here calls setlocale(3)), and that warning is the one that is accepted; any
 * other means that a part of the archive was ignored, and is refused. */
#include "codec/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"

struct tar {
	struct archive *archive;
	struct archive_entry *entry;
	tar_read_fn read;
	void *arg;
	struct error read_error; /* kind is 0 while read did not fail */
	char *last_path;	 /* for messages */
};

static la_ssize_t feed(struct archive *a, void *arg, const void **data)
{
	struct tar *t = arg;
	ssize_t n = t->read(t->arg, data, &t->read_error);

	if (n < 0) {
		archive_set_error(a, EIO, "input failed");
		return ARCHIVE_FATAL;
	}
	return n;
}

struct tar *tar_new(tar_read_fn read, void *arg)
{
	struct tar *t = NEW(struct tar);

	t->read = read;
	t->arg = arg;
	t->read_error = ERROR_INIT;
	return t;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	if (t->archive)
		archive_read_free(t->archive);
	free(t->last_path);
	free(t);
}

static int failed(struct tar *t, const char *what, struct error *e)
{
	const char *why = archive_error_string(t->archive);

	if (t->read_error.kind) {
		if (e)
			*e = t->read_error;
		return -t->read_error.kind;
	}
	if (t->last_path)
		return err_new(e, ERR_CORRUPT, "the archive is damaged at %s \"%.256s\": %s", what,
			       t->last_path, why ? why : "not readable");
	return err_new(e, ERR_CORRUPT, "this is not a tar archive: %s", why ? why : "not readable");
}

static int open_archive(struct tar *t, struct error *e)
{
	t->archive = archive_read_new();
	if (!t->archive)
		return err_new(e, ERR_INTERNAL, "libarchive: out of memory");
	/* "empty" takes a stream of no bytes at all, as an empty layer may be. */
	if (archive_read_support_format_tar(t->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(t->archive) != ARCHIVE_OK)
		return err_new(e, ERR_INTERNAL, "libarchive: no tar reader");
	if (archive_read_open(t->archive, t, NULL, feed, NULL) != ARCHIVE_OK)
		return failed(t, "the begin", e);
	return 0;
}

static bool is_charset_warning(struct tar *t)
{
	const char *why = archive_error_string(t->archive);

	return why && strstr(why, "can't be converted from UTF-8 to current locale");
}

static int entry_type(struct archive_entry *entry)
{
	if (archive_entry_hardlink(entry))
		return TAR_HARDLINK;
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return TAR_FILE;
	case AE_IFDIR:
		return TAR_DIR;
	case AE_IFLNK:
		return TAR_SYMLINK;
	case AE_IFCHR:
		return TAR_CHAR;
	case AE_IFBLK:
		return TAR_BLOCK;
	case AE_IFIFO:
		return TAR_FIFO;
	default:
		return TAR_OTHER;
	}
}

/* uid and gid: 2^32 - 1 means "leave it" to chown(2), so nobody can be given to it. */
static int check_ids(const char *path, int64_t uid, int64_t gid, struct error *e)
{
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return err_new(e, ERR_CORRUPT, "entry \"%.256s\" is owned by %lld:%lld, out of range", path,
			       (long long)uid, (long long)gid);
	return 0;
}

int tar_next(struct tar *t, struct tar_entry *ret, struct error *e)
{
	struct tar_entry x = { 0 };
	int64_t size;
	int r;

	if (!t->archive) {
		r = open_archive(t, e);
		if (r < 0)
			return r;
	}
	r = archive_read_next_header(t->archive, &t->entry);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK && !(r == ARCHIVE_WARN && is_charset_warning(t)))
		return failed(t, "the entry behind", e);
	x.path = archive_entry_pathname(t->entry);
	if (!x.path)
		return failed(t, "the entry behind", e);
	str_set(&t->last_path, x.path);
	x.type = entry_type(t->entry);
	if (x.type == TAR_HARDLINK)
		x.link = archive_entry_hardlink(t->entry);
	else if (x.type == TAR_SYMLINK)
		x.link = archive_entry_symlink(t->entry);
	if (x.type == TAR_SYMLINK && !x.link)
		return err_new(e, ERR_CORRUPT, "symlink \"%.256s\" has no target", x.path);
	r = check_ids(x.path, archive_entry_uid(t->entry), archive_entry_gid(t->entry), e);
	if (r < 0)
		return r;
	size = archive_entry_size(t->entry);
	if (size < 0)
		return err_new(e, ERR_CORRUPT, "entry \"%.256s\" has a negative size", x.path);
	x.uid = (uint32_t)archive_entry_uid(t->entry);
	x.gid = (uint32_t)archive_entry_gid(t->entry);
	x.mode = archive_entry_perm(t->entry);
	x.mtime_s = archive_entry_mtime(t->entry);
	x.mtime_ns = (uint32_t)archive_entry_mtime_nsec(t->entry);
	x.size_bytes = (uint64_t)size;
	x.dev_major = (uint32_t)archive_entry_rdevmajor(t->entry);
	x.dev_minor = (uint32_t)archive_entry_rdevminor(t->entry);
	archive_entry_xattr_reset(t->entry);
	*ret = x;
	return 1;
}

int tar_data(struct tar *t, const void **ret_data, size_t *ret_len, uint64_t *ret_offset, struct error *e)
{
	int64_t offset;
	int r;

	do {
		r = archive_read_data_block(t->archive, ret_data, ret_len, &offset);
		if (r == ARCHIVE_EOF)
			return 0;
		if (r != ARCHIVE_OK)
			return failed(t, "the content of", e);
	} while (*ret_len == 0);
	if (offset < 0)
		return failed(t, "the content of", e);
	*ret_offset = (uint64_t)offset;
	return 1;
}

int tar_xattr(struct tar *t, const char **ret_name, const void **ret_value, size_t *ret_len)
{
	return archive_entry_xattr_next(t->entry, ret_name, ret_value, ret_len) == ARCHIVE_OK;
}
