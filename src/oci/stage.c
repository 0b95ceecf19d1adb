/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "sys/vchild.h"
#include "userns/denied.h"

struct stage {
	int user_fd, bundle_dfd;
	const char *bundle; /* path of bundle_dfd; NULL without one */
	int (*fn)(void *arg, int bundle_dfd, struct error *e);
	void *arg;
};

static int enter(int user_fd, struct error *e)
{
	int r = 0, sys;

	if (user_fd >= 0 && setns(user_fd, CLONE_NEWUSER) < 0)
		return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
				"enter the container's user namespace");
	/* fs.suid_dumpable could have made it 1 with the new credentials. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (unshare(CLONE_NEWNS) < 0) {
		sys = errno;
		r = err_sysk(e, sys == EPERM ? ERR_DENIED : ERR_SYS, sys,
			     "make a mount namespace in the container's user namespace");
		userns_denied_hint(sys, e);
	}
	return r;
}

/* The path may have become another directory meanwhile. */
static int open_again(const struct stage *s, int *ret_fd, struct error *e)
{
	cleanup_close int fd = open(s->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat a, b;

	if (fd < 0 || fstat(fd, &a) < 0 || fstat(s->bundle_dfd, &b) < 0)
		return err_sys(e, "open bundle \"%s\"", s->bundle);
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return err_new(e, ERR_STATE, "bundle \"%s\" was replaced while it was read", s->bundle);
	*ret_fd = take_fd(fd);
	return 0;
}

static int staged(void *arg, struct error *e)
{
	const struct stage *s = arg;
	int bundle = -1;
	int r = enter(s->user_fd, e);

	if (r >= 0 && s->bundle)
		r = open_again(s, &bundle, e);
	if (r >= 0)
		r = s->fn(s->arg, bundle, e);
	/* The table of fds is our caller's, and stays. */
	if (bundle >= 0)
		close(bundle);
	return r;
}

int stage_run(int user_fd, int bundle_dfd, int (*fn)(void *arg, int bundle_dfd, struct error *e), void *arg,
	      struct error *e)
{
	struct stage s = { .user_fd = user_fd, .bundle_dfd = bundle_dfd, .fn = fn, .arg = arg };
	char link[PATH_FD_SIZE], path[PATH_MAX];
	ssize_t n;

	if (bundle_dfd >= 0) {
		n = readlink(path_of_fd(bundle_dfd, link), path, sizeof(path) - 1);
		if (n < 0)
			return err_sys(e, "find the bundle's path");
		path[n] = '\0';
		s.bundle = path;
	}
	return vchild_run(staged, &s, e);
}
