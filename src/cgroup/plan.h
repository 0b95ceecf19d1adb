/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: from resources to the list of file writes. The planning is pure; applying is short. */
#ifndef HULL_CGROUP_PLAN_H
#define HULL_CGROUP_PLAN_H

#include "base/mem.h"
#include "cgroup/cgroup.h"

enum cgroup_write_flags {
	/* The file need not exist: without it the wish holds anyway, or cannot matter. */
	CGROUP_WRITE_IF_EXISTS = 1,
	/* The next write says the same in another file (of another kernel or I/O scheduler): it is tried
	 * only when this file is missing. */
	CGROUP_WRITE_ELSE_NEXT = 2,
	/* EINVAL may mean "not before the next ones" (quota, period and burst bound each other): tried
	 * again after the others. */
	CGROUP_WRITE_RETRY_LAST = 4,
};

/* In place of a controller: the v2 hierarchy, for a file of the core or of a controller without a name here. */
#define CGROUP_V2_CORE CGROUP_CONTROLLER_COUNT

struct cgroup_write {
	enum cgroup_controller controller; /* whose hierarchy the file is in */
	uint32_t flags;
	char file[64];
	char *value; /* owned */
};

struct cgroup_plan {
	struct cgroup_write *w;
	size_t n;
	uint32_t needs;	    /* bits: controllers without which it cannot be carried out */
	bool device_filter; /* the rules go into a BPF program, there is no file (v2) */
};
#define CGROUP_PLAN_INIT ((struct cgroup_plan){ 0 })
void cgroup_plan_done(struct cgroup_plan *p);
DEFINE_CLEANUP_VALUE(struct cgroup_plan, cgroup_plan_done)

/* What is in force; decides the order of writes, and fills in what the caller left out. */
struct cgroup_now {
	uint64_t memory_limit, memsw_limit; /* CGROUP_NO_LIMIT: none. memsw: memory and swap together (v1) */
	int64_t cpu_quota;		    /* us, -1: none */
};
#define CGROUP_NOW_NEW ((struct cgroup_now){ CGROUP_NO_LIMIT, CGROUP_NO_LIMIT, -1 })

/* What the host has. */
struct cgroup_caps {
	uint32_t have, v2;    /* bits of its controllers; of those that have v2's files */
	const char *v2_words; /* cgroup.controllers of the v2 hierarchy; NULL: there is none */
};

/* Fails: INVALID (a value), UNSUPPORTED (a controller that is missing, a wish that v2 has no file for). */
int cgroup_plan_resources(const struct cgroup_resources *res, const struct cgroup_now *now,
			  const struct cgroup_caps *caps, struct cgroup_plan *ret_plan,
			  struct error *e) MUST_USE;

/* Device rules as a default and exceptions from it, as cgroup v1 and systemd have them. */
struct cgroup_device_list {
	bool allows;		 /* the default */
	struct cgroup_device *v; /* the exceptions: all the other way */
	size_t n;
};
void cgroup_device_list_done(struct cgroup_device_list *l);
DEFINE_CLEANUP_VALUE(struct cgroup_device_list, cgroup_device_list_done)
/* Of rules that were checked. Fails: UNSUPPORTED (a rule that cuts a hole into a wider exception). Pure. */
int cgroup_device_list_make(const struct cgroup_resources *r, struct cgroup_device_list *ret,
			    struct error *e) MUST_USE;

/* What takes a write back, from the text that the file had before; the caller frees it. NULL: nothing does. Pure. */
char *cgroup_undo_value(const struct cgroup_write *w, const char *old) MUST_USE;

/* 2..262144 to 1..10000; 1024 is 100. */
uint64_t cgroup_weight_of_shares(uint64_t shares);

#endif
