// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "ctl/host_path.h"

static const struct {
	const char *type;
	mode_t format;
	bool is_made;
} types[] = {
	{ "Directory", S_IFDIR, false },   { "DirectoryOrCreate", S_IFDIR, true },
	{ "File", S_IFREG, false },	   { "FileOrCreate", S_IFREG, true },
	{ "Socket", S_IFSOCK, false },	   { "CharDevice", S_IFCHR, false },
	{ "BlockDevice", S_IFBLK, false },
};

static int make(const char *path, mode_t format, struct error *e)
{
	int fd;

	if (format == S_IFDIR)
		return path_mkdir_all(path, 0755, NULL, e);
	/* O_EXCL: somebody else's file is not touched, a dangling link not followed. */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno == EEXIST ? 0 : err_sys(e, "make \"%s\"", path);
	close(fd);
	return 0;
}

int host_path_prepare(const char *path, const char *type, struct error *e)
{
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (!str_eq(type, types[i].type))
			continue;
		if (stat(path, &st) < 0) {
			if (errno != ENOENT)
				return err_sys(e, "look at hostPath \"%s\"", path);
			if (!types[i].is_made)
				return err_sysk(e, ERR_NOT_FOUND, ENOENT, "hostPath \"%s\" of type %s", path,
						type);
			return make(path, types[i].format, e);
		}
		if ((st.st_mode & S_IFMT) != types[i].format)
			return err_new(e, ERR_INVALID, "hostPath \"%s\" is not of type %s", path, type);
		return 0;
	}
	return 0;
}
