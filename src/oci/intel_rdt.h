/* SPDX-License-Identifier: Apache-2.0 */
/* linux.intelRdt: cache and memory bandwidth by resctrl (Documentation/filesystems/resctrl.rst). A group of it is a
 * directory with "tasks" and "schemata"; below "mon_groups" are groups that only count.
 *
 * First a plan, which is pure; then what it asks for is looked at, made, entered, removed, below the directory of a
 * mounted resctrl. */
#ifndef HULL_OCI_INTEL_RDT_H
#define HULL_OCI_INTEL_RDT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/spec.h"

struct intel_rdt {
	char *group; /* the control group, below the root: closID, or the container's id; "." is the root itself */
	char *monitor;	 /* the container's own monitoring group in it; NULL: none */
	char *schemata;	 /* lines for the group; NULL: it is left as it is */
	bool has_clos;	 /* closID was given: others may use the group, so it is never removed */
	bool must_exist; /* closID alone: somebody has made the group */
	bool is_made, is_monitor_made; /* by intel_rdt_make() */
};
#define INTEL_RDT_INIT ((struct intel_rdt){ 0 })
void intel_rdt_done(struct intel_rdt *p);
DEFINE_CLEANUP_VALUE(struct intel_rdt, intel_rdt_done)

/* Fails: INVALID  closID is no name, a schema with newlines, memBwSchema without "MB:". */
int intel_rdt_plan(const struct oci_intel_rdt *spec, const char *id, struct intel_rdt *ret,
		   struct error *e) MUST_USE;

/* Where resctrl is mounted. Fails: UNSUPPORTED (nowhere), SYS. */
int intel_rdt_open(int *ret_root_dfd, struct error *e) MUST_USE;
bool intel_rdt_is_there(void);

/* Before anything is made. Fails: NOT_FOUND (a group that must exist), INVALID (one that exists has other schemata than
 * those asked for), SYS. */
int intel_rdt_check(int root_dfd, const struct intel_rdt *p, struct error *e) MUST_USE;
/* Make the groups that are not there, and set the schemata of a new one. When it fails, nothing is left of it.
 * Fails: LIMIT (the hardware has no more groups), INVALID (schemata that the kernel refuses), SYS; with the kernel's
 * own reason. */
int intel_rdt_make(int root_dfd, struct intel_rdt *p, struct error *e) MUST_USE;
/* Move a process, as we see it, in. */
int intel_rdt_enter(int root_dfd, const struct intel_rdt *p, pid_t pid, struct error *e) MUST_USE;
/* Write lines to the schemata of a group that is there (`hull update`). Fails: as intel_rdt_make(). */
int intel_rdt_set(int root_dfd, const char *group, const char *schemata, struct error *e) MUST_USE;

/* Before intel_rdt_make(): what is not there yet and will be to be removed with the container. Borrowed; NULL. */
const char *intel_rdt_to_make(int root_dfd, const struct intel_rdt *p);
/* What is to be removed with the container, as a path below the root: NULL when there is nothing. */
const char *intel_rdt_made(const struct intel_rdt *p);
/* One that is gone already is fine. */
int intel_rdt_remove(int root_dfd, const char *made, struct error *e) MUST_USE;

#endif
