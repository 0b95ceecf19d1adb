// SPDX-License-Identifier: Apache-2.0
#include <linux/ioprio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "oci/confine_internal.h"
#include "oci/seccomp_agent.h"
#include "oci/seccomp_bpf.h"
#include "sys/caps.h"
#include "sys/lsm.h"

#define DEFAULT_UMASK 0022

void confine_warn(struct confine *c, const char *fmt, ...)
{
	va_list ap;

	if (c->warning_count == CONFINE_WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(c->warnings[c->warning_count++], CONFINE_WARNING_SIZE, fmt, ap);
	va_end(ap);
}

const char *confine_warning(const struct confine *c, size_t i)
{
	return i < c->warning_count ? c->warnings[i] : NULL;
}

void confine_free(struct confine *c)
{
	if (!c)
		return;
	free(c->groups);
	free(c->lsm_text);
	free(c->memory_policy);
	buf_done(&c->seccomp);
	free(c);
}

/* ---- capabilities ------------------------------------------------------------------------------- */

static const char *const set_names[OCI_CAP_SET_COUNT] = {
	"bounding", "effective", "inheritable", "permitted", "ambient",
};

static void mask_text(uint64_t mask, char *out, size_t size)
{
	size_t len = 0;

	out[0] = 0;
	for (unsigned int n = 0; n < 64 && len < size; n++) {
		if (mask & CAP_BIT(n))
			len += (size_t)snprintf(out + len, size - len, "%s%s", len ? " " : "",
						caps_name(n) ? caps_name(n) : "?");
	}
}

/* A container that asks for every capability wants "all that there are" (a privileged one); one that asks for a
 * certain one cannot do without it. */
static int drop_missing(struct confine *c, const struct confine_opts *o, struct error *e)
{
	uint64_t kernel = caps_kernel_mask(), asked = 0, have, effective = 0, permitted = 0, inheritable = 0;
	char text[160];
	int r;

	r = caps_get(&effective, &permitted, &inheritable, e);
	if (r < 0)
		return r;
	have = o->in_user_ns ? kernel : caps_bounding() & permitted;
	for (int set = 0; set < OCI_CAP_SET_COUNT; set++)
		asked |= c->caps[set];
	if (!(asked & ~have))
		return 0;
	mask_text(asked & ~have, text, sizeof(text));
	if ((asked & kernel & ~have) && !o->caps_lenient && (asked & kernel) != kernel)
		return err_new(e, ERR_DENIED,
			       "capabilities: %s cannot be given: hull does not have it itself", text);
	confine_warn(c, "capabilities: left out %s: %s", text,
		     asked & kernel & ~have ? "hull does not have it itself"
					    : "this kernel does not have it");
	for (int set = 0; set < OCI_CAP_SET_COUNT; set++)
		c->caps[set] &= have;
	return 0;
}

/* What capset(2) and PR_CAP_AMBIENT_RAISE would refuse, said in the words of the spec. */
static int check_sets(struct confine *c, struct error *e)
{
	uint64_t wrong = c->caps[OCI_CAP_EFFECTIVE] & ~c->caps[OCI_CAP_PERMITTED];
	uint64_t possible = c->caps[OCI_CAP_PERMITTED] & c->caps[OCI_CAP_INHERITABLE];
	char text[160];

	if (wrong) {
		mask_text(wrong, text, sizeof(text));
		return err_new(e, ERR_INVALID, "process.capabilities.%s: %s is not in %s",
			       set_names[OCI_CAP_EFFECTIVE], text, set_names[OCI_CAP_PERMITTED]);
	}
	wrong = c->caps[OCI_CAP_AMBIENT] & ~possible;
	if (wrong) {
		mask_text(wrong, text, sizeof(text));
		confine_warn(c,
			     "capabilities: left %s out of ambient: it is not both permitted and inheritable",
			     text);
		c->caps[OCI_CAP_AMBIENT] &= possible;
	}
	return 0;
}

static int prepare_caps(struct confine *c, const struct confine_opts *o, struct error *e)
{
	const struct oci_capabilities *caps = &o->process->capabilities;
	int r;

	for (size_t i = 0; i < caps->unknown.n; i++)
		confine_warn(c, "capabilities: left out \"%.64s\": there is none of this name",
			     caps->unknown.v[i]);
	memcpy(c->caps, caps->set, sizeof(c->caps));
	r = drop_missing(c, o, e);
	return r < 0 ? r : check_sets(c, e);
}

/* ---- the rest ----------------------------------------------------------------------------------- */

static int prepare_ids(struct confine *c, const struct confine_opts *o, struct error *e)
{
	const struct oci_user *u = &o->process->user;
	bool has_none = u->uid == UINT32_MAX || u->gid == UINT32_MAX;

	/* setresuid(2) and setresgid(2) take it for "leave it as it is", which is root. */
	for (size_t i = 0; i < u->additional_gid_count; i++)
		has_none |= u->additional_gids[i] == UINT32_MAX;
	if (has_none)
		return err_new(e, ERR_INVALID, "process.user: 4294967295 is no id");
	if (o->setgroups_denied && u->additional_gid_count && !o->keeps_groups)
		return err_new(e, ERR_UNSUPPORTED,
			       "process.user.additionalGids: the user namespace forbids setgroups(2), as one "
			       "does whose "
			       "gid_map was written without privilege");
	c->uid = u->uid;
	c->gid = u->gid;
	c->umask = u->umask.is_set ? u->umask.v : DEFAULT_UMASK;
	c->skip_setgroups = o->setgroups_denied || o->keeps_groups;
	c->group_count = u->additional_gid_count;
	if (c->group_count)
		c->groups = mem_dup(u->additional_gids, c->group_count * sizeof(*c->groups));
	return 0;
}

static void prepare_scheduling(struct confine *c, const struct oci_process *p)
{
	if (p->scheduler) {
		c->has_scheduler = true;
		c->scheduler = (struct confine_sched){
			/* The specification has flags for the utilization clamp, but no values: they are those of no clamp. */
			.size = p->scheduler->flags & CONFINE_SCHED_UTIL_FLAGS ? sizeof(c->scheduler)
									       : CONFINE_SCHED_SIZE_0,
			.util_max = 1024,
			.policy = p->scheduler->policy,
			.flags = p->scheduler->flags,
			.nice = p->scheduler->nice,
			.priority = (uint32_t)p->scheduler->priority,
			.runtime = p->scheduler->runtime,
			.deadline = p->scheduler->deadline,
			.period = p->scheduler->period,
		};
	}
	if (p->io_priority) {
		c->has_ioprio = true;
		c->ioprio = IOPRIO_PRIO_VALUE(p->io_priority->class, p->io_priority->priority);
	}
}

/* A label that was asked for and not set would be a container without its confinement: an error. "unconfined"
 * is what a process has anyhow where AppArmor is not. */
static int prepare_lsm(struct confine *c, const struct oci_process *p, struct error *e)
{
	bool has_profile = !str_is_empty(p->apparmor_profile);

	if (has_profile && lsm_has_apparmor()) {
		c->lsm = CONFINE_APPARMOR;
		c->lsm_text = str_fmt("exec %s", p->apparmor_profile);
	} else if (has_profile && !str_eq(p->apparmor_profile, "unconfined")) {
		return err_new(e, ERR_UNSUPPORTED,
			       "process.apparmorProfile: \"%s\" was asked for, and AppArmor is not enabled "
			       "on this host",
			       p->apparmor_profile);
	}
	if (str_is_empty(p->selinux_label))
		return 0;
	if (!lsm_has_selinux())
		return err_new(
			e, ERR_UNSUPPORTED,
			"process.selinuxLabel: \"%s\" was asked for, and SELinux is not enabled on this host",
			p->selinux_label);
	if (c->lsm == CONFINE_APPARMOR)
		return err_new(e, ERR_UNSUPPORTED, "process.selinuxLabel: beside process.apparmorProfile");
	c->lsm = CONFINE_SELINUX;
	c->lsm_text = str_dup(p->selinux_label);
	return 0;
}

static int prepare_memory_policy(struct confine *c, const struct oci_memory_policy *p, struct error *e)
{
	int r;

	if (!p)
		return 0;
	c->memory_policy = NEW(struct mempolicy);
	c->memory_policy->mode = p->mode | p->flags;
	r = p->nodes ? numlist_parse(p->nodes, &c->memory_policy->nodes, e) : 0;
	if (r >= 0)
		r = mempolicy_try(c->memory_policy, e);
	return r < 0 ? err_ctx(e, "linux.memoryPolicy") : 0;
}

static int prepare_seccomp(struct confine *c, const struct confine_opts *o, struct error *e)
{
	int r;

	if (!o->seccomp)
		return 0;
	r = seccomp_agent_check(o->seccomp, e);
	if (r < 0)
		return r;
	c->seccomp_flags = seccomp_filter_flags(o->seccomp);
	return oci_seccomp_get(o->seccomp, o->seccomp_cache_dfd, &c->seccomp, e);
}

static int prepare(struct confine *c, const struct confine_opts *o, struct error *e)
{
	const struct oci_process *p = o->process;
	int r;

	/* Types are not repeated (spec_process.c), so they fit. */
	for (size_t i = 0; i < p->rlimits.n && i < RLIM_NLIMITS; i++) {
		c->rlimits[c->rlimit_count] = p->rlimits.v[i];
		c->rlimits[c->rlimit_count++].type = NULL; /* the spec may be gone later */
	}
	c->no_new_privs = p->no_new_privileges;
	c->oom_score_adj = p->oom_score_adj;
	c->restrict_oom_score = o->restrict_oom_score;
	c->die_with_parent = o->die_with_parent;
	c->by_itself = o->by_itself;
	c->personality_is_set = o->personality_is_set;
	c->personality = o->personality;
	prepare_scheduling(c, p);
	r = prepare_ids(c, o, e);
	if (r == 0)
		r = prepare_caps(c, o, e);
	if (r == 0)
		r = prepare_lsm(c, p, e);
	if (r == 0)
		r = prepare_memory_policy(c, o->memory_policy, e);
	return r == 0 ? prepare_seccomp(c, o, e) : r;
}

int confine_prepare(const struct confine_opts *o, struct confine **ret_confine, struct error *e)
{
	CLEANUP(confine_free) struct confine *c = NEW(struct confine);
	int r;

	r = prepare(c, o, e);
	if (r < 0)
		return r;
	*ret_confine = take_ptr(c);
	return 0;
}
