/* SPDX-License-Identifier: Apache-2.0 */
/* The unpacker: forked before the fetcher has read its request, so neither it nor its children ever had
 * credentials in memory. It serves jobs, a process each, rooted in the directory of its layer. In a pid
 * namespace of its own it is process 1: when it ends, for whatever reason, the kernel ends all jobs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "image/confine.h"
#include "image/jobs.h"

static int layer_dir(const struct job *job, int *ret_fd, struct error *e)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", job->number);
	if (mkdir(name, 0755) < 0)
		return err_sys(e, "make directory \"%s\" for the layer", name);
	*ret_fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_sys(e, "open directory \"%s\" of the layer", name);
	return 0;
}

static void keep_only(int a, int b)
{
	int keep[2] = { a < b ? a : b, a < b ? b : a };

	fd_close_from(JOB_FD_FIRST_OTHER, keep, 2);
}

/* The process of one job. */
static void serve(const struct job *job, int in_fd, int out_fd, bool has_devices)
{
	struct job_result result = { .error = ERROR_INIT };
	int dfd = -1, r;

	keep_only(in_fd, out_fd);
	r = layer_dir(job, &dfd, &result.error);
	if (r == 0)
		r = confine_layer(dfd, &result.error);
	if (r == 0) {
		close(dfd);
		job_run(job, in_fd, has_devices, &result);
	}
	if (result.dropped_xattrs || result.skipped_devices)
		log_debug("layer %s: %llu attributes left out (overlay's own, or not possible here), %llu "
			  "devices left out",
			  job->digest, (unsigned long long)result.dropped_xattrs,
			  (unsigned long long)result.skipped_devices);
	_exit(fd_write_full(out_fd, &result, sizeof(result)) < 0 ? 1 : 0);
}

/* In a user namespace mknod(2) of a device is EPERM whatever the capabilities say. */
static bool probe_devices(void)
{
	bool ok = mknod("probe", S_IFCHR | 0600, makedev(1, 3)) == 0;

	unlink("probe");
	return ok;
}

void unpacker_main(int sock, int layers_dfd)
{
	bool has_devices;

	signal(SIGCHLD, SIG_IGN);
	close(layers_dfd);
	has_devices = probe_devices();
	for (;;) {
		int fds[2] = { -1, -1 };
		size_t count = 2;
		struct job job;
		ssize_t n = fd_recv(sock, &job, sizeof(job), fds, &count);
		pid_t pid;

		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(job) || count != 2)
			_exit(n == 0 ? 0 : 1);
		job.digest[JOB_DIGEST_SIZE - 1] = job.diff_id[JOB_DIGEST_SIZE - 1] = '\0';
		pid = fork();
		if (pid == 0)
			serve(&job, fds[0], fds[1], has_devices);
		/* When fork failed the result pipe closes without a result, and that is what is reported. */
		if (pid < 0)
			log_error("start the process of a layer: %s", strerror(errno));
		close(fds[0]);
		close(fds[1]);
	}
}
