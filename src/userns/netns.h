/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces that outlive processes: pinned by a bind mount in a directory (/run/netns), as
 * ip-netns(8) does and CNI plugins expect. The user namespace that owns one is found again through it
 * (netns_owner()), so the path of the network namespace is enough to join both. */
#ifndef HULL_USERNS_NETNS_H
#define HULL_USERNS_NETNS_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"
#include "sys/ns.h"
#include "userns/userns.h"

/* Make dir (and its parents) and make it a mount point with shared propagation: bound onto itself when it
 * is none, so that pins made later reach mount namespaces that were copied before. Idempotent, and safe
 * against another process doing the same (flock(2) on the directory): never mounted twice.
 * Fails: INVALID (not a clean absolute path), DENIED (no CAP_SYS_ADMIN over our mount namespace), SYS. */
int netns_dir_prepare(const char *dir, struct error *e) MUST_USE;

/* "cni-" and 16 random bytes as cni-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx. */
#define NETNS_NAME_SIZE 41
void netns_random_name(char out[NETNS_NAME_SIZE]);

/* Pin the network namespace net_fd as dir/name: the file is created exclusively, the namespace bound
 * over it. Nothing is left when it fails.
 * Fails: INVALID (the name), STATE (not a network namespace), EXISTS (the name is taken), DENIED,
 *        NOT_FOUND (no such directory), SYS. */
int netns_pin(const char *dir, const char *name, int net_fd, struct error *e) MUST_USE;

/* As netns_pin() for the network namespace of a process held by its pidfd. Fails also: NOT_FOUND (the
 * process is gone). */
int netns_pin_from_pidfd(const char *dir, const char *name, int pid_fd, struct error *e) MUST_USE;

/* A new network namespace with lo up, pinned under a random name: in the user namespace that we are
 * in (user_fd -1, uids NULL), in the given one (user_fd), or in a new one with these maps.
 * Fails: as podns_create() and netns_pin(). */
struct netns_opts {
	int user_fd;
	const struct idmap *uids, *gids;
};
struct netns {
	char path[PATH_MAX];
	int net_fd;  /* owned */
	int user_fd; /* owned; of the new user namespace, or -1 */
};
#define NETNS_INIT ((struct netns){ .net_fd = -1, .user_fd = -1 })
int netns_new(const char *dir, const struct netns_opts *opts, struct netns *ret, struct error *e) MUST_USE;
void netns_done(struct netns *ns); /* closes the fds; the pin stays */
DEFINE_CLEANUP_VALUE(struct netns, netns_done)
#define cleanup_netns CLEANUP(netns_done)

/* Open a pinned network namespace. Never blocks on what else may lie there.
 * Fails: NOT_FOUND (no such file), STATE (something else than a network namespace is there), SYS. */
int netns_open(const char *path, int *ret_fd, struct error *e) MUST_USE;

/* Remove a pin: unmount (lazily: a busy namespace goes when its last user does), then the file.
 * Idempotent: fine are a file that is gone, one that is not mounted, one unmounted lazily before, one
 * mounted over twice. Only a namespace is unmounted and only a regular file removed.
 * Fails: STATE (a directory, a link, another mount), DENIED, SYS. */
int netns_remove(const char *path, struct error *e) MUST_USE;

/* Whether the pin is gone: the file is missing, or is there but no namespace, and then that stale file
 * is removed. Fails: STATE (neither a namespace nor a regular file), SYS. */
int netns_is_closed(const char *path, bool *ret_closed, struct error *e) MUST_USE;

/* Run fn inside the network namespace. The calling thread keeps its own: fn runs on a thread made for
 * this, which enters with setns(2), has all signals blocked, and ends. fn may use the heap, but nothing
 * thread-local of the caller. Returns what fn returns, with its error; this function itself
 * Fails: STATE (not a network namespace), DENIED, SYS. */
typedef int (*netns_fn)(void *arg, struct error *e);
int netns_run(int net_fd, netns_fn fn, void *arg, struct error *e) MUST_USE;
/* The same by path. Fails also as netns_open(). */
int netns_run_path(const char *path, netns_fn fn, void *arg, struct error *e) MUST_USE;

/* The user namespace that owns a network namespace (NS_GET_USERNS). Fails: as ns_owner(), and STATE when
 * net_fd is not a network namespace. */
int netns_owner(int net_fd, int *ret_user_fd, struct error *e) MUST_USE;
/* By path, both fds at once, so that both are of one and the same pin. With expect not NULL the owner has
 * to be that one. Fails: as netns_open() and netns_owner(); STATE when the owner is another one. */
int netns_open_with_owner(const char *path, const struct ns_id *expect, int *ret_net_fd, int *ret_user_fd,
			  struct error *e) MUST_USE;
/* Whether user_fd is the owner. Fails: as netns_owner(). */
int netns_is_owned_by(int net_fd, int user_fd, bool *ret_owned, struct error *e) MUST_USE;

#endif
