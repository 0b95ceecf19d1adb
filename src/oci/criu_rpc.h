/* SPDX-License-Identifier: Apache-2.0 */
/* criu as a worker of ours: `criu swrk 3`, told what to do by messages of proto/criu.proto over a SOCK_SEQPACKET
 * pair. One worker does one thing. */
#ifndef HULL_OCI_CRIU_RPC_H
#define HULL_OCI_CRIU_RPC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "codec/arena.h"
#include "criu.pb-c.h"

struct criu_worker {
	pid_t pid;
	int pid_fd;
	int sock;	  /* our end */
	int output_fd;	  /* what it says before it has a log */
	bool is_child;	  /* ours to reap */
	bool leads_group; /* its helpers are in its process group, and nothing else is */
};
#define CRIU_WORKER_INIT ((struct criu_worker){ .pid_fd = -1, .sock = -1, .output_fd = -1 })
/* Close the socket, which ends a worker in whatever it does, and wait until it has put things in order. */
void criu_worker_done(struct criu_worker *w);
DEFINE_CLEANUP_VALUE(struct criu_worker, criu_worker_done)

#define CRIU_SOCK_FD 3 /* in the worker */

/* The absolute path of the program that `name` means: itself when it has a slash, else looked for in $PATH.
 * Fails: NOT_FOUND, DENIED (others could have written it). */
int criu_find(const char *name, char **ret_path, struct error *e) MUST_USE;

/* Make its output_fd. */
int criu_output(struct criu_worker *w, struct error *e) MUST_USE;
/* Fails: SYS, NOT_FOUND. */
int criu_worker_start(const char *path, struct criu_worker *ret, struct error *e) MUST_USE;
/* The environment of a criu: it runs tar, ip, iptables. Static. */
const char *const *criu_environment(void);

/* Asked back by criu at the points that it names; fd is -1 or one that came along (the callee closes it). pid is 0 or a
 * process. What is returned negative makes criu give up. */
typedef int (*criu_notify)(void *arg, const char *script, pid_t pid, int fd, struct error *e);

/* Ask, answer what is asked back (notify may be NULL: yes to all), and return the answer, which lives in the arena.
 * 0: criu has succeeded; 1: it has not; *ret says more. Fails: as notify; UNAVAILABLE (criu has died), SYS, CORRUPT. */
int criu_worker_call(struct criu_worker *w, const Hull__Criu__Request *q, criu_notify notify, void *arg,
		     struct arena *a, Hull__Criu__Response **ret, struct error *e) MUST_USE;

/* The error of a criu that has failed: STATE, with the last errors of its log, and where all of it is. log_path is
 * below dfd (or absolute) and told to people as `shown`; without one, its output is quoted. */
int criu_failed(const struct criu_worker *w, int dfd, const char *log_path, const char *shown,
		struct error *e);

#endif
