/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: resources as properties of a systemd unit (org.freedesktop.systemd1(5), systemd.resource-control(5)),
 * so that what systemd shows, and writes again when it reloads, is what we wrote. Pure. */
#ifndef HULL_CGROUP_SYSTEMD_PROPS_H
#define HULL_CGROUP_SYSTEMD_PROPS_H

#include "base/buf.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "cgroup/systemd_value.h"

enum systemd_prop_kind {
	PROP_U64,   /* t */
	PROP_BOOL,  /* b */
	PROP_TEXT,  /* s */
	PROP_BYTES, /* ay: bits of cpus or memory nodes */
	PROP_PAIRS, /* a(ss): words are first, second, first, ... */
	PROP_RATES, /* a(st): words are path, decimal number, ... */
	PROP_PIDS,  /* au with the one number */
	PROP_VALUE, /* as value says */
};

struct systemd_prop {
	const char *name; /* the caller's, or static; or own_name */
	char *own_name;
	enum systemd_prop_kind kind;
	uint64_t number;
	struct buf bytes; /* of text and bytes */
	struct strv words;
	struct systemd_value value;
};
struct systemd_props {
	struct systemd_prop *v;
	size_t n;
};
#define SYSTEMD_PROPS_INIT ((struct systemd_props){ 0 })
void systemd_props_done(struct systemd_props *p);
DEFINE_CLEANUP_VALUE(struct systemd_props, systemd_props_done)

void systemd_prop_u64(struct systemd_props *p, const char *name, uint64_t number);
void systemd_prop_bool(struct systemd_props *p, const char *name, bool value);
void systemd_prop_text(struct systemd_props *p, const char *name, const char *text);
void systemd_prop_pid(struct systemd_props *p, pid_t pid);
/* As "a(sv)" at the end of b. */
void systemd_props_put(const struct systemd_props *p, struct buf *b);

/* The resources, which a plan has checked. Of device rules what systemd can say; where it cannot, it is told to allow
 * all and our own filter holds. version is systemd's, 0 for one that is not known.
 * Fails: INVALID (a value in unified that systemd has a property for and cannot be read) */
int systemd_props_of(const struct cgroup_resources *r, bool is_v2, unsigned int version,
		     struct systemd_props *p, struct error *e) MUST_USE;
/* What only a unit that is being started takes. */
void systemd_props_of_start(const struct cgroup_resources *r, unsigned int version, struct systemd_props *p);
/* What annotations ask for. Fails: INVALID (names the annotation) */
int systemd_props_of_annotations(const struct cgroup_resources *r, struct systemd_props *p,
				 struct error *e) MUST_USE;
/* systemd keeps a quota in percent: round it up to what it will make of it. */
void systemd_round_quota(struct cgroup_resources *r);
/* Whether a property depends on systemd's version. */
bool systemd_wants_version(const struct cgroup_resources *r);

#endif
