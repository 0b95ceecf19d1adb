// SPDX-License-Identifier: Apache-2.0
/* libseccomp does the work. Before its program stands a short one of ours, a prologue, because of calls that
 * libseccomp or the profile is too old to know:
 *
 *  - A name that this libseccomp does not have but our small table does (calls since Linux 5.17, whose numbers
 *    are the same on all machines but MIPS) is decided in the prologue, when its rule has no arguments.
 *  - In a profile whose default is an errno, a call that is newer than all those in the profile answers ENOSYS
 *    and not the default's EPERM: libraries try the new call first, and fall back only on ENOSYS (glibc with
 *    clone3, musl with fchmodat2). runc does the same. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "oci/seccomp_bpf.h"
#include "oci/spec_internal.h"
#include "sys/seccomp.h"

#define X32_BIT 0x40000000u

/* clang-format off */
static const struct { const char *name; uint32_t number; } newer_calls[] = {
	{ "process_mrelease", 448 },  { "futex_waitv", 449 },	    { "set_mempolicy_home_node", 450 },
	{ "cachestat", 451 },	      { "fchmodat2", 452 },	    { "map_shadow_stack", 453 },
	{ "futex_wake", 454 },	      { "futex_wait", 455 },	    { "futex_requeue", 456 },
	{ "statmount", 457 },	      { "listmount", 458 },	    { "lsm_get_self_attr", 459 },
	{ "lsm_set_self_attr", 460 }, { "lsm_list_modules", 461 },  { "mseal", 462 },
	{ "setxattrat", 463 },	      { "getxattrat", 464 },	    { "listxattrat", 465 },
	{ "removexattrat", 466 },     { "open_tree_attr", 467 },    { "file_getattr", 468 },
	{ "file_setattr", 469 },
};
/* clang-format on */

/* Architectures of which the prologue knows the AUDIT_ARCH_ value that struct seccomp_data has. SCMP_ARCH_ is
 * that value for all but x32. */
static bool has_common_numbers(uint32_t arch)
{
	return arch == SCMP_ARCH_X86_64 || arch == SCMP_ARCH_X86 || arch == SCMP_ARCH_AARCH64 ||
	       arch == SCMP_ARCH_ARM || arch == SCMP_ARCH_PPC64LE || arch == SCMP_ARCH_S390X ||
	       arch == SCMP_ARCH_RISCV64;
}

struct compile {
	const struct oci_seccomp *profile;
	scmp_filter_ctx ctx;
	struct {
		uint32_t number, action;
	} extra[ARRAY_LEN(newer_calls)];
	size_t extra_count;
	uint32_t newest; /* the highest number of a call in the profile, the table's included */
	struct error *e;
};

static void ctx_release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

/* ---- rules -------------------------------------------------------------------------------------- */

static int refused(struct compile *c, const char *name, int r)
{
	return err_sysk(c->e, ERR_INVALID, -r, "seccomp: the rule for \"%s\"", name);
}

static int add_rule(struct compile *c, const char *name, int number, const struct oci_seccomp_rule *rule,
		    const struct scmp_arg_cmp *args, unsigned int count)
{
	int r = seccomp_rule_add_array(c->ctx, rule->action, number, count, args);

	/* EEXIST: an equal rule is there. EDOM: not on this architecture. */
	return r < 0 && r != -EEXIST && r != -EDOM ? refused(c, name, r) : 0;
}

/* Conditions on different arguments must all hold. libseccomp takes but one an argument; several on the same
 * one become a rule each, so that any may hold, as runc reads such profiles. */
static int add_name(struct compile *c, const char *name, int number, const struct oci_seccomp_rule *rule)
{
	struct scmp_arg_cmp args[6];
	bool is_used[6] = { false }, is_repeated = false;
	int r = 0;

	for (size_t i = 0; i < rule->args.n; i++) {
		is_repeated |= is_used[rule->args.v[i].index];
		is_used[rule->args.v[i].index] = true;
	}
	for (size_t i = 0; i < rule->args.n && r >= 0; i++) {
		const struct oci_seccomp_arg *a = &rule->args.v[i];
		struct scmp_arg_cmp cmp = { a->index, (enum scmp_compare)a->op, a->value, a->value_two };

		if (is_repeated)
			r = add_rule(c, name, number, rule, &cmp, 1);
		else
			args[i] = cmp;
	}
	return is_repeated ? r : add_rule(c, name, number, rule, args, (unsigned int)rule->args.n);
}

static void add_newer(struct compile *c, const char *name, const struct oci_seccomp_rule *rule)
{
	for (size_t i = 0; i < ARRAY_LEN(newer_calls); i++) {
		if (strcmp(newer_calls[i].name, name) != 0)
			continue;
		if (newer_calls[i].number > c->newest)
			c->newest = newer_calls[i].number;
		if (rule->args.n || c->extra_count == ARRAY_LEN(c->extra))
			return;
		c->extra[c->extra_count].number = newer_calls[i].number;
		c->extra[c->extra_count++].action = rule->action;
		return;
	}
}

static int add_rules(struct compile *c)
{
	for (size_t i = 0; i < c->profile->syscalls.n; i++) {
		const struct oci_seccomp_rule *rule = &c->profile->syscalls.v[i];

		for (size_t j = 0; j < rule->names.n; j++) {
			const char *name = rule->names.v[j];
			int number = seccomp_syscall_resolve_name(name), r;

			if (number > (int)c->newest)
				c->newest = (uint32_t)number;
			if (number == __NR_SCMP_ERROR)
				add_newer(c, name, rule);
			/* libseccomp refuses a rule that says what happens anyhow. */
			if (number == __NR_SCMP_ERROR || rule->action == c->profile->default_action)
				continue;
			r = add_name(c, name, number, rule);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- prologue ----------------------------------------------------------------------------------- */

static void emit(struct buf *b, struct sock_filter f)
{
	buf_add(b, &f, sizeof(f));
}

#define LOAD(member) \
	((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member)))
#define RETURN(value) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value))

/* For one architecture: if (arch != ours) skip all; load the number; each newer call of the profile; anything
 * above the newest. The jumps over it fit in 8 bits: the table has fewer than 100 names. */
static void emit_prologue(const struct compile *c, uint32_t arch, bool is_enosys, struct buf *b)
{
	cleanup_buf struct buf body = BUF_INIT;

	emit(&body, LOAD(nr));
	for (size_t i = 0; i < c->extra_count; i++) {
		emit(&body,
		     (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->extra[i].number, 0, 1));
		emit(&body, RETURN(c->extra[i].action));
	}
	if (is_enosys) {
		/* x32 calls have their bit set and are the other program's business. */
		emit(&body, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0));
		emit(&body, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, c->newest, 0, 1));
		emit(&body, RETURN(SCMP_ACT_ERRNO(ENOSYS)));
	}
	emit(b, LOAD(arch));
	emit(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0,
					     (uint8_t)(body.len / sizeof(struct sock_filter))));
	buf_add(b, body.data, body.len);
}

/* The rule for unknown calls is only there when all that is not named fails with an errno; and only from where the
 * numbers are common, so that "newest" (a number of the native architecture) means the same on the others. */
static void prologue(const struct compile *c, struct buf *b)
{
	bool is_enosys = (c->profile->default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
			 c->newest >= 424;
	uint32_t native = seccomp_arch_native();

	if (!is_enosys && !c->extra_count)
		return;
	if (has_common_numbers(native))
		emit_prologue(c, native, is_enosys, b);
	for (size_t i = 0; i < c->profile->architecture_count; i++) {
		uint32_t arch = c->profile->architectures[i];

		if (arch != native && has_common_numbers(arch))
			emit_prologue(c, arch, is_enosys, b);
	}
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static int check_action(uint32_t action, struct error *e)
{
	if (!seccomp_has_action(action & SECCOMP_RET_ACTION_FULL))
		return err_new(e, ERR_UNSUPPORTED, "seccomp: this kernel does not have action %s",
			       words_text(oci_seccomp_actions, action & ~SECCOMP_RET_DATA));
	return 0;
}

static int check_profile(const struct oci_seccomp *p, struct error *e)
{
	unsigned int unknown = seccomp_unknown_flags(p->flags);
	int r = check_action(p->default_action, e);

	for (size_t i = 0; i < p->syscalls.n && r == 0; i++)
		r = check_action(p->syscalls.v[i].action, e);
	if (r < 0)
		return r;
	if (unknown)
		return err_new(e, ERR_UNSUPPORTED, "seccomp: this kernel does not know filter flags %#x",
			       unknown);
	return 0;
}

static int add_architectures(struct compile *c)
{
	for (size_t i = 0; i < c->profile->architecture_count; i++) {
		int r = seccomp_arch_add(c->ctx, c->profile->architectures[i]);

		if (r < 0 && r != -EEXIST)
			return err_sysk(c->e, ERR_UNSUPPORTED, -r,
					"seccomp: architecture %s beside the native one",
					words_text(oci_seccomp_archs, c->profile->architectures[i]));
	}
	return 0;
}

int oci_seccomp_compile(const struct oci_seccomp *profile, struct buf *ret_code, struct error *e)
{
	__attribute__((cleanup(ctx_release))) scmp_filter_ctx ctx = NULL;
	struct compile c = { .profile = profile, .e = e };
	cleanup_buf struct buf code = BUF_INIT, small = BUF_INIT;
	const struct buf *take = &code;
	int r = check_profile(profile, e);

	if (r < 0)
		return r;
	ctx = c.ctx = seccomp_init(profile->default_action);
	if (!ctx)
		return err_new(e, ERR_INVALID, "seccomp: default action %#x", profile->default_action);
	/* A binary tree. The kernel runs a new program once for every call of every architecture, to find those that
	 * are always allowed: for a list of 400 names in a row that takes 0.8 ms of each container's start. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r < 0)
		return err_sysk(e, ERR_SYS, -r, "seccomp: ask for a binary tree");
	r = add_architectures(&c);
	if (r == 0)
		r = add_rules(&c);
	if (r < 0)
		return r;
	prologue(&c, &code);
	r = seccomp_export(ctx, &code, e);
	if (r < 0)
		return r;
	if (oci_seccomp_shrink((const struct sock_filter *)(const void *)code.data,
			       code.len / sizeof(struct sock_filter), &small))
		take = &small;
	if (take->len / sizeof(struct sock_filter) > SECCOMP_CODE_MAX)
		return err_new(e, ERR_LIMIT,
			       "seccomp: %zu instructions, more than the %d that the kernel takes",
			       take->len / sizeof(struct sock_filter), SECCOMP_CODE_MAX);
	buf_add(ret_code, take->data, take->len);
	return 0;
}
