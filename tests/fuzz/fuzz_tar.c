/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the archive says: entries are read to their ends, and written as a layer below a directory of
 * our own in /tmp, beside which a canary must stay as it is. Without root the entries are only read. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "codec/tar.h"
#include "image/untar.h"

struct input {
	const uint8_t *data;
	size_t left, piece;
};

static ssize_t give(void *arg, const void **ret, struct error *e)
{
	struct input *in = arg;
	size_t n = in->left < in->piece ? in->left : in->piece;

	(void)e;
	*ret = in->data;
	in->data += n;
	in->left -= n;
	return (ssize_t)n;
}

static void read_all(const uint8_t *data, size_t size)
{
	struct input in = { data, size, 700 };
	CLEANUP(tar_free) struct tar *t = tar_new(give, &in);
	struct error e = ERROR_INIT;
	struct tar_entry x;

	while (tar_next(t, &x, &e) > 0) {
		const void *piece;
		const char *name;
		uint64_t offset;
		size_t len;

		while (tar_xattr(t, &name, &piece, &len))
			;
		for (int i = 0; i < 1000 && tar_data(t, &piece, &len, &offset, &e) > 0; i++)
			;
	}
}

static char base[] = "/tmp/hull-fuzz-tar-XXXXXX";

static void clean(void)
{
	if (path_remove_tree(AT_FDCWD, base, NULL) < 0)
		fprintf(stderr, "%s stays\n", base);
}

/* The directory that holds "layer" and "canary"; made once. */
static int base_dfd(void)
{
	static int dfd = -1;

	if (dfd < 0) {
		if (!mkdtemp(base))
			abort();
		atexit(clean);
		dfd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(openat(dfd, "canary", O_CREAT | O_WRONLY | O_CLOEXEC, 0400));
	}
	return dfd;
}

static void check_outside(int dfd)
{
	struct stat st;

	if (fstatat(dfd, "canary", &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size != 0 || st.st_nlink != 1 ||
	    (st.st_mode & 07777) != 0400 || fstat(dfd, &st) < 0 || st.st_nlink != 3)
		abort();
}

static void write_all(const uint8_t *data, size_t size)
{
	struct input in = { data, size, 700 };
	CLEANUP(tar_free) struct tar *t = tar_new(give, &in);
	struct untar_opts o = { .is_layer = true };
	struct untar_result result;
	struct error e = ERROR_INIT;
	int dfd = base_dfd();

	if (mkdirat(dfd, "layer", 0700) < 0)
		abort();
	o.root_dfd = openat(dfd, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (untar(t, &o, &result, &e) < 0 && err_msg(&e)[0] == '\0')
		abort();
	close(o.root_dfd);
	check_outside(dfd);
	if (fchdir(dfd) < 0 || path_remove_tree(dfd, "layer", NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_all(data, size);
	if (geteuid() == 0)
		write_all(data, size);
	return 0;
}
