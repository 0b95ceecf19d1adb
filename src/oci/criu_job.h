/* SPDX-License-Identifier: Apache-2.0 */
/* What a dump and a restore do alike: their directories, and the common part of what criu is asked. */
#ifndef HULL_OCI_CRIU_JOB_H
#define HULL_OCI_CRIU_JOB_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "codec/arena.h"
#include "criu.pb-c.h"
#include "oci/criu.h"
#include "oci/criu_plan.h"
#include "oci/criu_rpc.h"
#include "oci/plan.h"
#include "oci/spec.h"

struct criu_job {
	int images_dfd, work_dfd; /* work_dfd is images_dfd without a directory of its own */
	const char *log_name;
	char *log_path; /* for people */
};
#define CRIU_JOB_INIT ((struct criu_job){ .images_dfd = -1, .work_dfd = -1 })
void criu_job_done(struct criu_job *j);
DEFINE_CLEANUP_VALUE(struct criu_job, criu_job_done)

/* Open both directories; the images' one is made only for a dump (0700). log_name is a literal.
 * Fails: NOT_FOUND, INVALID (no directory), DENIED (others can write in a directory that criu writes in), SYS. */
int criu_job_open(const struct criu_common *c, const char *log_name, bool makes_images, struct criu_job *ret,
		  struct error *e) MUST_USE;

/* criu's options of both. Everything lives in the arena. */
Hull__Criu__Options *criu_job_options(const struct criu_common *c, const struct criu_job *j, struct arena *a);
void criu_job_mounts(Hull__Criu__Options *o, const struct criu_pairs *pairs, struct arena *a);

/* Whether criu is given this mount at restore, instead of making it. With CRIU_OUTSIDE all that lies below it comes with
 * it. In a user namespace /dev does, alone: nobody can make device nodes there, so it is made anew by the caller. */
enum criu_origin { CRIU_INSIDE, CRIU_OUTSIDE, CRIU_OUTSIDE_ALONE };
enum criu_origin criu_origin_of(const struct oci_plan *plan, const struct plan_mount *pm);

/* The key of a joined namespace that criu takes from outside (net, pid), in runc's words; NULL for another. */
const char *criu_ns_key(enum oci_ns ns);

/* Whether criu runs inside of such a namespace when the container has joined one (ipc, uts, time): namespaces that are
 * criu's own are in no image, and what is restored is born there. Those that are neither this nor have a key (user,
 * cgroup) cannot be restored into: criu_ns_refuse(). */
bool criu_ns_is_entered(enum oci_ns ns);
/* Fails: UNSUPPORTED  the container has joined a namespace that criu cannot restore into */
int criu_ns_refuse(const struct oci_spec *spec, struct error *e) MUST_USE;

/* A worker inside of the namespaces that the container of that process has joined and criu_ns_is_entered() is true of. Only
 * for single-threaded processes. Fails: as criu_worker_start(), pidfd_ns(); SYS. */
int criu_start_inside(const char *program, const struct oci_spec *spec, int pid_fd, struct criu_worker *ret,
		      struct error *e) MUST_USE;

/* The mounts of a process. is_null and is_device are not set. Fails: LIMIT, SYS. */
int criu_mounts_of(int proc_dfd, struct mountinfo *ret, struct error *e) MUST_USE;

#endif
