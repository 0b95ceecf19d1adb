/* SPDX-License-Identifier: Apache-2.0 */
/* A container in the making: what create, run and restore do alike. */
#ifndef HULL_HULL_CREATION_H
#define HULL_HULL_CREATION_H

#include "base/buf.h"
#include "hull/hull.h"

struct create_opts;

struct creation {
	struct hull *h;
	const struct create_opts *opts; /* of create and run */
	const char *id;
	char *bundle; /* absolute */
	int bundle_dfd;
	struct buf config;
	struct oci_spec *spec;
	int dfd; /* of the state directory; -1 before it is made */
	int listen_fd, console_sock, pidfd_sock;
	int passed_fds; /* from fd 3 on, to the container */
	struct cgroup_host *cgroups;
	struct oci_init init;
	struct oci_state record; /* as it was saved */
};
#define CREATION_INIT(h_, o_, id_)              \
	((struct creation){ .h = (h_),          \
			    .opts = (o_),       \
			    .id = (id_),        \
			    .bundle_dfd = -1,   \
			    .dfd = -1,          \
			    .listen_fd = -1,    \
			    .console_sock = -1, \
			    .pidfd_sock = -1,   \
			    .init = OCI_INIT_INIT })
void creation_done(struct creation *c);
DEFINE_CLEANUP_VALUE(struct creation, creation_done)

/* bundle, bundle_dfd, config and spec. given: NULL is ".". Fails: NOT_FOUND, SYS, as oci_spec_parse(). */
int creation_load_bundle(struct creation *c, const char *given, struct error *e) MUST_USE;
/* Set a variable of the container's environment, whatever the spec says of it. */
void creation_set_env(struct creation *c, const char *name, const char *value);
/* Connect to the console socket: a container that detaches needs one when it has a terminal, and no other may have one.
 * Fails: INVALID, SYS. */
int creation_prepare_terminal(struct creation *c, bool detached, const char *console_socket,
			      struct error *e) MUST_USE;
/* Should we be killed at any moment from now on, "delete" finds what to remove. The init of a create dies with us until
 * oci_keep(), that of a restore with its criu. */
int creation_save_intent(struct creation *c, struct error *e) MUST_USE;
/* The record of the container. init is what c->init is, or will be. */
int creation_save(struct creation *c, const struct oci_init *init, struct error *e) MUST_USE;
/* What container_load() would find after the save, without looking: it takes dfd and the record, and borrows the cgroup.
 * Fails: SYS. */
int creation_made(struct creation *c, struct container *ret, struct error *e) MUST_USE;
/* Give away what was asked for: the pidfd, the terminal, the pid. */
int creation_hand_over(struct creation *c, const struct oci_init *init, const char *pid_file,
		       struct error *e) MUST_USE;
/* Take all of it back, with the state directory. The error that it is for gets a hint when somebody deleted it. */
void creation_undo(struct creation *c, struct error *cause);

#endif
