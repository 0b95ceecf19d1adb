/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller of a create and of an exec sets up alike. */
#ifndef HULL_OCI_SETUP_H
#define HULL_OCI_SETUP_H

#include "base/error.h"
#include "oci/runtime.h"
#include "oci/spec.h"
#include "userns/idmap.h"

/* The host's /proc, and really a procfs. */
int setup_open_proc(int *ret_dfd, struct error *e) MUST_USE;
/* given, with /dev/null (opened once as *null_fd) in place of -1. Pipes and sockets are given to the process's user;
 * uids is NULL without a user namespace. */
int setup_stdio(const int given[3], const struct oci_process *p, const struct idmap *uids, int *null_fd,
		int ret_stdio[3], struct error *e) MUST_USE;

/* A seccomp listener has come: to whom the caller said. Fails: UNSUPPORTED (nobody), and as listener->give. */
int setup_give_listener(const struct oci_listener *listener, pid_t pid, int fd, struct error *e) MUST_USE;

#endif
