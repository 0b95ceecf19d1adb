/* SPDX-License-Identifier: Apache-2.0 */
/* The device filter of v2: a program that the kernel runs at each open and mknod of a device node
 * (Documentation/bpf/prog_cgroup_device, struct bpf_cgroup_dev_ctx); 0 denies.
 *
 * The OCI rules are a history: a later one changes what earlier ones said, for the accesses that it names. Read
 * backwards, the first rule that matches an access decides it. So the program goes from the last rule to the
 * first and carries the set of accesses that are asked for and not decided yet: a denying rule that has one of
 * them denies the whole, an allowing rule takes its own out, and when none is left the answer is yes. A rule of
 * type 'a' matches everything, so nothing before it matters. What no rule decides is denied.
 *
 *   r2 type  r3 accesses left  r4 major  r5 minor */
#include "cgroup/devices.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cgroup/handle.h"
#include "sys/bpf.h"

#define PROG_NAME "hull_devices"

void cgroup_bpf_done(struct cgroup_bpf *p)
{
	free(p->insns);
	*p = (struct cgroup_bpf){ 0 };
}

static size_t emit(struct cgroup_bpf *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	struct bpf_insn *insn;

	p->insns = mem_regrow(p->insns, p->n + 1, sizeof(*p->insns));
	insn = &p->insns[p->n];
	*insn = (struct bpf_insn){ .code = code, .off = off, .imm = imm };
	/* Four-bit fields: gcc warns whatever is assigned to them. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
	insn->dst_reg = dst;
	insn->src_reg = src;
#pragma GCC diagnostic pop
	return p->n++;
}

static void emit_return(struct cgroup_bpf *p, int value)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_load(struct cgroup_bpf *p, uint8_t dst, size_t field)
{
	emit(p, BPF_LDX | BPF_W | BPF_MEM, dst, BPF_REG_1, (int16_t)field, 0);
}

static void emit_prologue(struct cgroup_bpf *p)
{
	/* access_type: the type in the low half, the accesses in the high one. */
	emit_load(p, BPF_REG_2, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	emit(p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	emit_load(p, BPF_REG_4, offsetof(struct bpf_cgroup_dev_ctx, major));
	emit_load(p, BPF_REG_5, offsetof(struct bpf_cgroup_dev_ctx, minor));
}

#define ACCESS_ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)

static int access_bits(const struct cgroup_device *d)
{
	int bits = 0;

	if (strchr(d->access, 'r'))
		bits |= BPF_DEVCG_ACC_READ;
	if (strchr(d->access, 'w'))
		bits |= BPF_DEVCG_ACC_WRITE;
	if (strchr(d->access, 'm'))
		bits |= BPF_DEVCG_ACC_MKNOD;
	return bits ? bits : ACCESS_ALL;
}

/* Jumps over the rest of a rule, whose end is not known yet. */
struct skips {
	size_t at[4];
	size_t n;
};

static void skip_unless(struct cgroup_bpf *p, struct skips *s, uint8_t reg, uint32_t value)
{
	/* 32 bits wide: numbers past 2^31 would be sign-extended. */
	s->at[s->n++] = emit(p, BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, (int32_t)value);
}

static void emit_rule(struct cgroup_bpf *p, const struct cgroup_device *d)
{
	int bits = access_bits(d);
	struct skips s = { .n = 0 };

	if (d->type == 'a') {
		emit_return(p, d->allow);
		return;
	}
	skip_unless(p, &s, BPF_REG_2, d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (d->major >= 0)
		skip_unless(p, &s, BPF_REG_4, (uint32_t)d->major);
	if (d->minor >= 0)
		skip_unless(p, &s, BPF_REG_5, (uint32_t)d->minor);
	if (d->allow) {
		emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_3, 0, 0, ACCESS_ALL & ~bits);
		s.at[s.n++] = emit(p, BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_3, 0, 0, 0);
		emit_return(p, 1);
	} else {
		emit(p, BPF_JMP32 | BPF_JSET | BPF_K, BPF_REG_3, 0, 1, bits);
		s.at[s.n++] = emit(p, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		emit_return(p, 0);
	}
	for (size_t i = 0; i < s.n; i++)
		p->insns[s.at[i]].off = (int16_t)(p->n - s.at[i] - 1);
}

void cgroup_bpf_generate(const struct cgroup_device *rules, size_t count, struct cgroup_bpf *ret)
{
	struct cgroup_bpf p = { 0 };

	emit_prologue(&p);
	for (size_t i = count; i > 0; i--) {
		emit_rule(&p, &rules[i - 1]);
		if (rules[i - 1].type == 'a') {
			*ret = p;
			return;
		}
	}
	emit_return(&p, 0);
	*ret = p;
}

int cgroup_devices_attach(int dfd, const struct cgroup_device *rules, size_t count, struct error *e)
{
	CLEANUP(cgroup_bpf_done) struct cgroup_bpf prog = { 0 };
	cleanup_close int prog_fd = -1, old_fd = -1;

	cgroup_bpf_generate(rules, count, &prog);
	prog_fd = bpf_load_device(prog.insns, prog.n, PROG_NAME);
	if (prog_fd < 0)
		return cgroup_fail(e, errno, "load the device filter of %zu rules (bpf)", count);
	old_fd = bpf_find_device(dfd, PROG_NAME);
	if (bpf_attach_device(dfd, prog_fd, old_fd) == 0)
		return 0;
	/* Before Linux 5.6 there is no replacing: attach, then detach the old one. Both hold meanwhile. */
	if (errno != EINVAL || old_fd < 0 || bpf_attach_device(dfd, prog_fd, -1) < 0)
		return cgroup_fail(e, errno, "attach the device filter (bpf)");
	if (bpf_detach_device(dfd, old_fd) < 0)
		return cgroup_fail(e, errno, "detach the previous device filter (bpf)");
	return 0;
}
