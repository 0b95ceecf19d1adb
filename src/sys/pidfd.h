/* SPDX-License-Identifier: Apache-2.0 */
/* Children and their namespaces, held by pidfd. Nothing here looks a process up by a pid that may have
 * been given to another one. See base/proc.h for starting programs. */
#ifndef HULL_SYS_PIDFD_H
#define HULL_SYS_PIDFD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/proc.h"

/* clone3(2) that returns twice, as fork(2), with the namespaces of flags (CLONE_NEW*) made at once and
 * a pidfd. SIGCHLD is sent at its end; ret_child is set in the parent only.
 *
 * Returns 1 in the parent and 0 in the child. In a threaded process another thread may have held any
 * lock at that moment, so the child may do only what is async-signal-safe: no malloc, no stdio, no
 * log; struct error, file_poke() and the functions of src/sys are fine. It ends with _exit(2).
 * Fails: UNSUPPORTED  the kernel has no such namespace, or user namespaces are disabled
 *        LIMIT        ENOSPC: user.max_*_namespaces reached, or nested more than 32 deep
 *        SYS */
int pidfd_clone(uint64_t flags, struct proc *ret_child, struct error *e) MUST_USE;
/* The error of a clone(2), clone3(2) or unshare(2) with CLONE_NEW* flags that failed with errno sys.
 * Returns -UNSUPPORTED, -LIMIT, -DENIED or -SYS. */
int pidfd_clone_failed(int sys, struct error *e);

/* Whether the process has not been reaped yet: its pid is then still its own, also as a zombie. */
bool pidfd_is_held(int pid_fd);

/* A copy of a file descriptor of that process (pidfd_getfd(2), Linux 5.6). Needs the rights of ptrace(2)
 * PTRACE_MODE_ATTACH_REALCREDS. Fails: NOT_FOUND (the process is gone, or has no such fd), DENIED, SYS. */
int pidfd_get_fd(int pid_fd, int fd, int *ret_fd, struct error *e) MUST_USE;

/* The pid, from /proc/self/fdinfo. Fails: NOT_FOUND (reaped, or not in our pid namespace), SYS. */
int pidfd_pid(int pid_fd, pid_t *ret_pid, struct error *e) MUST_USE;

/* /proc/PID as a directory fd that belongs to this process for ever: once it is gone, opening inside
 * fails with ESRCH, also when the pid has been reused. Checked against the pidfd after opening.
 * Fails: NOT_FOUND (the process is gone), SYS. */
int pidfd_proc_dir(int pid_fd, int *ret_dfd, struct error *e) MUST_USE;

/* An fd of a namespace of that process; type is one CLONE_NEW* value. By the PIDFD_GET_*_NAMESPACE
 * ioctl (Linux 6.11) or, on an older kernel, by pidfd_ns_by_proc(). Needs the rights of
 * ptrace(2) PTRACE_MODE_READ_FSCREDS.
 * Fails: NOT_FOUND (the process is gone), DENIED, UNSUPPORTED (no such namespace), SYS. */
int pidfd_ns(int pid_fd, int type, int *ret_fd, struct error *e) MUST_USE;
/* The fallback: /proc/PID/ns/NAME through pidfd_proc_dir(). Fails alike. */
int pidfd_ns_by_proc(int pid_fd, int type, int *ret_fd, struct error *e) MUST_USE;

#endif
