/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

int listen_path(const char *listen, const char **ret_path, struct error *e)
{
	const char *path = listen;

	if (str_starts(path, "unix://"))
		path += strlen("unix://");
	else if (str_starts(path, "unix:"))
		path += strlen("unix:");
	if (!path_is_clean_abs(path))
		return err_new(e, ERR_INVALID,
			       "listen address \"%.200s\" is not unix:// and an absolute path", listen);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_new(e, ERR_INVALID, "listen address \"%.200s\": the path is longer than %zu bytes",
			       listen, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	*ret_path = path;
	return 0;
}

/* A hulld that was killed may have left children of its own behind, as the first one of a pod's namespaces: they die with
 * it, but not at the same instant, and what it had open is open in them until then. */
#define TRY_US 10000
#define LOCK_TRIES 300
#define STALE_TRIES 30

/* 1: somebody listens there; 0: nobody does. connect(2) to a socket nobody listens on is refused at once; one whose backlog
 * is full is alive. */
static int is_answered(const struct sockaddr_un *addr, struct error *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, "make a socket");
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		return 1;
	return errno == ECONNREFUSED ? 0 : err_sys(e, "try the socket \"%s\"", addr->sun_path);
}

static int check_is_stale(const struct sockaddr_un *addr, struct error *e)
{
	struct stat st;
	int r;

	if (lstat(addr->sun_path, &st) < 0)
		return err_sys(e, "look at \"%s\"", addr->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_new(e, ERR_EXISTS, "listen on \"%s\": there is something that is not a socket",
			       addr->sun_path);
	r = is_answered(addr, e);
	for (int tries = 0; r == 1 && tries < STALE_TRIES; tries++) {
		usleep(TRY_US);
		r = is_answered(addr, e);
	}
	return r == 1 ? err_new(e, ERR_EXISTS, "listen on \"%s\": another process answers there",
				addr->sun_path)
		      : r;
}

int listen_unix(const char *path, int *ret_fd, struct error *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	cleanup_close int fd = -1;
	int r;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "make a socket");
	/* On a unix socket the mode of the fd becomes that of the file (less the umask): nobody else can
	 * connect between bind and a chmod. */
	if (fchmod(fd, 0660) < 0)
		return err_sys(e, "set the mode of a socket");
	r = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
	if (r < 0 && errno == EADDRINUSE) {
		r = check_is_stale(&addr, e);
		if (r < 0)
			return r;
		if (unlink(path) < 0 && errno != ENOENT)
			return err_sys(e, "remove the stale socket \"%s\"", path);
		r = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
	}
	if (r < 0)
		return err_sys(e, "bind a socket to \"%s\"", path);
	if (chmod(path, 0660) < 0)
		return err_sys(e, "set the mode of \"%s\"", path);
	if (listen(fd, SOMAXCONN) < 0)
		return err_sys(e, "listen on \"%s\"", path);
	*ret_fd = take_fd(fd);
	return 0;
}

/* The pid in a lock file, as text for people. Whoever wrote it is gone when there is no such process. */
static bool is_held_by_the_living(int fd, char pid[32])
{
	ssize_t n = pread(fd, pid, 31, 0);
	uint64_t number;

	pid[n > 0 ? n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	return str_to_u64(pid, &number, NULL) < 0 || !number || number > INT32_MAX ||
	       kill((pid_t)number, 0) == 0 || errno != ESRCH;
}

int listen_lock(const char *dir, const char *name, int *ret_fd, struct error *e)
{
	cleanup_close int dfd = -1, fd = -1;
	char pid[32];

	dfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dfd < 0)
		return err_sys(e, "open \"%s\"", dir);
	fd = openat(dfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "open \"%s/%s\"", dir, name);
	for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "lock \"%s/%s\"", dir, name);
		if (is_held_by_the_living(fd, pid))
			return err_new(e, ERR_STATE, "\"%s\" is in use by another hulld (pid %s)", dir,
				       *pid ? pid : "unknown");
		if (tries == LOCK_TRIES)
			return err_new(e, ERR_STATE,
				       "\"%s/%s\" is still held by a child of a hulld that is gone (pid %s): "
				       "fuser(1) finds it",
				       dir, name, pid);
		usleep(TRY_US);
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
		return err_sys(e, "write \"%s/%s\"", dir, name);
	*ret_fd = take_fd(fd);
	return 0;
}
