/* SPDX-License-Identifier: Apache-2.0 */
/* Where criu finds at restore what comes from outside: a mount namespace of its own, whose /tmp is a tmpfs with
 *
 *	root		the root file system, a private mount
 *	m0, m1, ...	bind mounts and given trees, one a mount of the plan
 *	c0, c1, ...	the container's cgroup in each hierarchy
 *	d0, d1, ...	device nodes to be bound
 *	null		the null device
 *	work		criu's work directory, where it mounts the cgroup hierarchies for a moment
 *	images		for a user namespace: the images, each bound by itself
 *
 * No path of the host's is mounted on, criu's own temporary directories lie there too, and all of it goes with the
 * last process in that namespace, whatever that dies of. */
#ifndef HULL_OCI_CRIU_STAGE_H
#define HULL_OCI_CRIU_STAGE_H

#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/criu_plan.h"
#include "oci/criu_rpc.h"
#include "oci/mounts.h"

#define CRIU_STAGE_ROOT "/tmp/root"
#define CRIU_STAGE_FDS 4 /* the first fd behind the worker's own: 0 to 2 and CRIU_SOCK_FD */
#define CRIU_STAGE_FDS_MAX 16

struct criu_stage {
	const char *program;
	const struct oci_create *create;
	const struct oci_plan *plan;
	struct mount_set *mounts;    /* opened, nothing of it attached */
	int root_tree;		     /* detached */
	int work_tree;		     /* criu's work directory; detached */
	int images_tree;	     /* detached; -1: criu reads them where they are */
	int parent_tree;	     /* the "parent" in there; -1 */
	struct cgroup *cgroup;	     /* entered by criu; NULL */
	int enter_fd[OCI_NS_COUNT];  /* namespaces that criu itself is in; borrowed; -1 */
	bool makes_cgroup_ns;	     /* and a new cgroup namespace, once it is in its cgroup */
	bool keeps_session;	     /* criu stays in ours, with our stdio: for shell jobs */
	int fds[CRIU_STAGE_FDS_MAX]; /* passed to criu as CRIU_STAGE_FDS and on; borrowed */
	size_t fd_count;
};

/* Start a worker on that stage; when this returns 0 it waits for its request. ret_dfds are its work directory and its
 * images (-1 without images_tree) as it sees them. */
int criu_stage_start(const struct criu_stage *s, struct criu_worker *ret, int ret_dfds[2],
		     struct error *e) MUST_USE;

/* By which names criu is to find what lies there. m are the worker's mounts. */
void criu_stage_names(const struct criu_stage *s, const struct mountinfo *m, struct criu_pairs *ret);

#endif
