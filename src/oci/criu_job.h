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
 * Fails: NOT_FOUND, INVALID (no directory), SYS. */
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

/* The mounts of a process. is_null and is_device are not set. Fails: LIMIT, SYS. */
int criu_mounts_of(int proc_dfd, struct criu_mounts *ret, struct error *e) MUST_USE;

#endif
