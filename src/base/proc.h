/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes, held by pidfd (pidfd_open(2)). The one function through which a threaded process
 * makes a child: clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD) and exec, so no page table is copied and
 * no lock of another thread is inherited in a broken state. */
#ifndef HULL_BASE_PROC_H
#define HULL_BASE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct proc {
	pid_t pid;
	int pid_fd; /* owned; -1 when there is none */
};
#define PROC_INIT ((struct proc){ .pid = 0, .pid_fd = -1 })

#define PROC_FDS_MAX 8
struct proc_opts {
	const char *path; /* absolute path of the program */
	int exe_fd;	  /* when > 0: the program itself (O_PATH is enough), and path is only its name */
	const char *const *argv; /* NULL-terminated, argv[0] included */
	const char *const *env;	 /* NULL-terminated; NULL gives an empty environment */
	int fds[PROC_FDS_MAX];	 /* fds[i] becomes fd i of the child; -1 is /dev/null (i < 3) or closed */
	int fd_count;		 /* at least 3 */
	bool new_session;	 /* setsid(2): signals of our terminal do not reach it */
	bool own_mounts; /* a mount namespace of its own: what it mounts goes with it, and the host's mounts
				  * still reach it */
	int cwd_dfd;	 /* fchdir first when > 0 */
	int pdeathsig;	 /* prctl PR_SET_PDEATHSIG, or 0 */
};

/* Start a program. Every fd but those given is closed in it; signal mask empty, dispositions default.
 * Fails: NOT_FOUND (no such program), SYS. */
int proc_spawn(const struct proc_opts *o, struct proc *ret_proc, struct error *e) MUST_USE;

/* Wait for the end, until deadline_ns (0: for ever). ret_status is as waitpid(2) gives it.
 * Fails: TIMEOUT (the process still runs), SYS. */
int proc_wait(struct proc *p, int64_t deadline_ns, int *ret_status, struct error *e) MUST_USE;

/* SIGKILL and reap. Accepts an ended one. */
void proc_kill(struct proc *p);
/* Close the pidfd; the process goes on. */
void proc_done(struct proc *p);

/* "exit status 3" or "signal 9 (Killed)"; the buffer is the caller's. */
const char *proc_status_text(int status, char *out, size_t size);

int pidfd_open_(pid_t pid, int *ret_fd, struct error *e) MUST_USE;
int pidfd_send(int pid_fd, int sig); /* -1 with errno */

#endif
