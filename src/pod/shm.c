/* SPDX-License-Identifier: Apache-2.0 */
/* The pod's /dev/shm: a tmpfs that is mounted nowhere, held by an fd, and cloned into each container.
 *
 * A detached tree can be cloned since Linux 6.15. On older kernels the tmpfs becomes the root of a mount
 * namespace that has nothing else in it and that nobody is in; an fd of that namespace holds it, and a
 * builder enters it for a moment to take a clone from there. Which of both is tried out at creation. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/proc.h"
#include "pod/monitor.h"
#include "pod/root.h"
#include "sys/ns.h"
#include "sys/pidfd.h"

static bool can_clone_detached(int tree_fd)
{
	cleanup_close int fd = open_tree(tree_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return fd >= 0;
}

int shm_hold(int tree_fd, int *ret_mnt_fd, struct error *e)
{
	struct proc child = PROC_INIT;
	struct error answer = ERROR_INIT;
	int pipe_fd[2], r;

	r = fd_pipe(pipe_fd, e);
	if (r < 0)
		return r;
	r = pidfd_clone(CLONE_NEWNS, &child, e);
	if (r == 0) {
		(void)!root_enter(tree_fd, &answer);
		(void)!fd_write_full(pipe_fd[1], &answer, sizeof(answer));
		pause();
		_exit(0);
	}
	close(pipe_fd[1]);
	if (r > 0 && fd_read_full(pipe_fd[0], &answer, sizeof(answer)) != sizeof(answer))
		r = err_new(e, ERR_INTERNAL, "the process that holds /dev/shm died");
	else if (r > 0 && answer.kind) {
		*e = answer;
		r = -answer.kind;
	} else if (r > 0)
		r = pidfd_ns(child.pid_fd, CLONE_NEWNS, ret_mnt_fd, e);
	close(pipe_fd[0]);
	proc_kill(&child);
	return r < 0 ? r : 0;
}

int shm_create(uint64_t size_bytes, unsigned uid, unsigned gid, int *ret_tree_fd, int *ret_mnt_fd,
	       struct error *e)
{
	char size[24], uid_text[16], gid_text[16];
	const char *options[] = { "mode", "1777", "size", size, "uid", uid_text, "gid", gid_text, NULL };
	cleanup_close int tree = -1;
	int r;

	snprintf(size, sizeof(size), "%llu", (unsigned long long)size_bytes);
	snprintf(uid_text, sizeof(uid_text), "%u", uid);
	snprintf(gid_text, sizeof(gid_text), "%u", gid);
	r = root_tmpfs(options, 0, &tree, e);
	if (r < 0)
		return r;
	if (!can_clone_detached(tree))
		return shm_hold(tree, ret_mnt_fd, e);
	*ret_tree_fd = take_fd(tree);
	return 0;
}

int shm_open_tree(const struct sandbox *s, int *ret_tree_fd, struct error *e)
{
	cleanup_close int own = -1;
	int tree, r;

	if (s->shm_mnt_fd < 0) { /* whoever attaches it clones it */
		*ret_tree_fd = s->shm_fd;
		return 0;
	}
	r = ns_open_own(CLONE_NEWNS, &own, e);
	if (r < 0)
		return r;
	if (setns(s->shm_mnt_fd, CLONE_NEWNS) < 0)
		return err_sys(e, "enter the mount namespace that holds /dev/shm");
	tree = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	r = tree < 0 ? err_sys(e, "clone /dev/shm") : 0;
	if (setns(own, CLONE_NEWNS) < 0) {
		if (tree >= 0)
			close(tree);
		return err_sys(e, "return to the own mount namespace");
	}
	if (r == 0)
		*ret_tree_fd = tree;
	return r;
}
