/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "sys/ns.h"

/* linux/pidfd.h of 6.11 and later; the headers of the distribution may be older than its kernel. */
#define PIDFD_IOC_MAGIC 0xFF
static const struct {
	int type;
	unsigned long request;
} get_namespace[] = {
	{ CLONE_NEWCGROUP, _IO(PIDFD_IOC_MAGIC, 1) }, { CLONE_NEWIPC, _IO(PIDFD_IOC_MAGIC, 2) },
	{ CLONE_NEWNS, _IO(PIDFD_IOC_MAGIC, 3) },     { CLONE_NEWNET, _IO(PIDFD_IOC_MAGIC, 4) },
	{ CLONE_NEWPID, _IO(PIDFD_IOC_MAGIC, 5) },    { CLONE_NEWTIME, _IO(PIDFD_IOC_MAGIC, 7) },
	{ CLONE_NEWUSER, _IO(PIDFD_IOC_MAGIC, 9) },   { CLONE_NEWUTS, _IO(PIDFD_IOC_MAGIC, 10) },
};

int pidfd_clone_failed(int sys, struct error *e)
{
	switch (sys) {
	case EINVAL: /* a namespace that was not configured into the kernel */
		return err_sysk(e, ERR_UNSUPPORTED, sys, "make a process in new namespaces");
	case ENOSPC: /* user_namespaces(7), namespaces(7): /proc/sys/user */
		err_sysk(e, ERR_LIMIT, sys, "make a process in new namespaces");
		return err_hint(e, "raise the user.max_*_namespaces sysctls, or nest less deep");
	case EUSERS:
		return err_sysk(e, ERR_LIMIT, sys, "make a process in new namespaces: nested too deep");
	case EPERM:
		err_sysk(e, ERR_DENIED, sys, "make a process in new namespaces");
		return err_hint(
			e,
			"needs CAP_SYS_ADMIN or, for a user namespace, both own ids mapped, no chroot, and "
			"no policy against it");
	default:
		return err_sysk(e, ERR_SYS, sys, "make a process in new namespaces");
	}
}

int pidfd_clone(uint64_t flags, struct proc *ret_child, struct error *e)
{
	int pid_fd = -1;
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pid_fd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		return pidfd_clone_failed(errno, e);
	if (pid == 0)
		return 0;
	*ret_child = (struct proc){ .pid = (pid_t)pid, .pid_fd = pid_fd };
	return 1;
}

bool pidfd_is_held(int pid_fd)
{
	return pidfd_send(pid_fd, 0) == 0 || errno == EPERM;
}

int pidfd_get_fd(int pid_fd, int fd, int *ret_fd, struct error *e)
{
	int copy = (int)syscall(SYS_pidfd_getfd, pid_fd, fd, 0); /* close-on-exec as it is */

	if (copy < 0)
		return err_sysk(e,
				errno == ESRCH || errno == EBADF ? ERR_NOT_FOUND
				: errno == EPERM		 ? ERR_DENIED
								 : ERR_SYS,
				errno, "copy fd %d of a process", fd);
	*ret_fd = copy;
	return 0;
}

int pidfd_pid(int pid_fd, pid_t *ret_pid, struct error *e)
{
	char path[64], text[1024];
	cleanup_close int fd = -1;
	const char *line;
	ssize_t n;
	long pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pid_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open \"%s\"", path);
	n = fd_read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return err_sys(e, "read \"%s\"", path);
	text[n] = '\0';
	line = strstr(text, "\nPid:");
	if (!line)
		return err_new(e, ERR_INVALID, "fd %d is not a pidfd", pid_fd);
	pid = strtol(line + strlen("\nPid:"), NULL, 10);
	if (pid <= 0 || pid > INT_MAX) /* -1: reaped; 0: of a pid namespace that is not below ours */
		return err_new(e, ERR_NOT_FOUND, "the process of pidfd %d is gone", pid_fd);
	*ret_pid = (pid_t)pid;
	return 0;
}

int pidfd_proc_dir(int pid_fd, int *ret_dfd, struct error *e)
{
	cleanup_close int dfd = -1;
	char path[32];
	pid_t pid;
	int r = pidfd_pid(pid_fd, &pid, e);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	dfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Whatever was opened is our process if that was not reaped until now: a pid is not given away
	 * before. */
	if (!pidfd_is_held(pid_fd))
		return err_new(e, ERR_NOT_FOUND, "process %d is gone", pid);
	if (dfd < 0)
		return err_sys(e, "open \"%s\"", path);
	*ret_dfd = take_fd(dfd);
	return 0;
}

static int ns_failed(int sys, int type, struct error *e)
{
	static const char fmt[] = "open the %s namespace of a process";

	switch (sys) {
	case ESRCH:
		return err_sysk(e, ERR_NOT_FOUND, sys, fmt, ns_name(type));
	case EPERM:
	case EACCES:
		return err_sysk(e, ERR_DENIED, sys, fmt, ns_name(type));
	case EOPNOTSUPP:
		return err_sysk(e, ERR_UNSUPPORTED, sys, fmt, ns_name(type));
	default:
		return err_sysk(e, ERR_SYS, sys, fmt, ns_name(type));
	}
}

int pidfd_ns_by_proc(int pid_fd, int type, int *ret_fd, struct error *e)
{
	cleanup_close int dfd = -1;
	char name[32];
	int fd, r = pidfd_proc_dir(pid_fd, &dfd, e);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "ns/%s", ns_name(type));
	fd = openat(dfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) /* ENOENT: a kernel without it, or a process that ended and is not reaped */
		return ns_failed(errno == ENOENT ? ESRCH : errno, type, e);
	*ret_fd = fd;
	return 0;
}

int pidfd_ns(int pid_fd, int type, int *ret_fd, struct error *e)
{
	for (size_t i = 0; i < ARRAY_LEN(get_namespace); i++) {
		int fd;

		if (get_namespace[i].type != type)
			continue;
		fd = ioctl(pid_fd, get_namespace[i].request, 0);
		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
		/* ENOTTY before 6.11; EINVAL from one that has some of these requests but not this. */
		if (errno == ENOTTY || errno == EINVAL)
			return pidfd_ns_by_proc(pid_fd, type, ret_fd, e);
		return ns_failed(errno, type, e);
	}
	return err_new(e, ERR_INVALID, "%d is no type of namespace", type);
}
