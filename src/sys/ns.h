/* SPDX-License-Identifier: Apache-2.0 */
/* Namespace file descriptors: what a namespace fd is, who owns it, which are the same. */
#ifndef HULL_SYS_NS_H
#define HULL_SYS_NS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What tells two namespaces apart while both exist (ioctl_ns(2): compare device and inode). The number
 * of one that is gone may be given to a new one, so an identity means something only while the
 * namespace is held, by an fd or a pin. */
struct ns_id {
	uint64_t dev, ino;
};

/* "net" for CLONE_NEWNET and so on, as in /proc/PID/ns; "unknown" for none. */
const char *ns_name(int type);

/* The CLONE_NEW* value of the namespace that fd refers to. fd may be anything; one opened with O_PATH
 * is not a namespace. Fails: STATE (not a namespace), SYS. */
int ns_type(int fd, int *ret_type, struct error *e) MUST_USE;

/* Check that fd is a namespace of this type. Fails: STATE, naming both types. */
int ns_check_type(int fd, int type, struct error *e) MUST_USE;

/* Fails: STATE (not a namespace), SYS. */
int ns_identify(int fd, struct ns_id *ret_id, struct error *e) MUST_USE;
static inline bool ns_id_equal(struct ns_id a, struct ns_id b)
{
	return a.dev == b.dev && a.ino == b.ino;
}
/* Whether both fds are the same namespace. Fails: as ns_identify(). */
int ns_is_same(int a_fd, int b_fd, bool *ret_same, struct error *e) MUST_USE;

/* A new fd of the user namespace that owns the namespace of fd: NS_GET_USERNS of ioctl_ns(2).
 * Fails: DENIED  the owner is not our user namespace or below it
 *        STATE   fd is not a namespace
 *        SYS */
int ns_owner(int fd, int *ret_user_fd, struct error *e) MUST_USE;

/* A new fd of our own namespace (of this thread: /proc/thread-self/ns). Fails: SYS. */
int ns_open_own(int type, int *ret_fd, struct error *e) MUST_USE;

#endif
