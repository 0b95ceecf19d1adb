// SPDX-License-Identifier: Apache-2.0
/* The same decisions in fewer instructions.
 *
 * libseccomp compares with one number at a time: some 1300 instructions for the default profile on three
 * architectures. The kernel checks, converts, compiles and tries each of them whenever a filter is installed: half a
 * millisecond of each start and of each exec. But calls with neighbouring numbers mostly get the same answer.
 *
 *  1. Where does a jump compare the architecture, where the number of the call, where anything else? Jumps only go
 *     forward, so one pass tells (find_compared()).
 *  2. The numbers it compares with cut all numbers into intervals in which the program takes the same way. For each
 *     architecture and interval the program is followed with these two known (follow()). What is left is a
 *     return, or a piece of program that looks at arguments. Pieces are graphs of nodes, equal nodes are one node.
 *  3. Neighbouring intervals that come to the same node are merged; a balanced tree of comparisons finds the interval.
 *  4. The graph is written down from its end, as jumps only go forward; a target beyond the 255 instructions that a
 *     conditional jump reaches gets an unconditional one on the way (place()).
 *
 * A program with an instruction that is not understood is left as it is. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "oci/seccomp_bpf.h"
#include "sys/seccomp.h"

#define NODES_MAX 16384
#define BUCKETS 1024
#define ARCHES_MAX 16
#define REACH 254 /* of a conditional jump, with one more instruction put before it */

#define OP_RET (BPF_RET | BPF_K)
#define OP_LOAD (BPF_LD | BPF_W | BPF_ABS)
#define OP_AND (BPF_ALU | BPF_AND | BPF_K)
#define OP_GOTO (BPF_JMP | BPF_JA)
#define OP_JEQ (BPF_JMP | BPF_JEQ | BPF_K)
#define OP_JGT (BPF_JMP | BPF_JGT | BPF_K)
#define OP_JGE (BPF_JMP | BPF_JGE | BPF_K)
#define OP_JSET (BPF_JMP | BPF_JSET | BPF_K)

/* What the accumulator holds, as bits. */
enum { HAS_NUMBER = 1, HAS_ARCH = 2, HAS_OTHER = 4 };

struct node {
	uint16_t code;
	uint32_t k;
	int yes, no; /* where it goes on; -1: a return has none, a load and a mask have no "no" */
	int place;   /* where it was written, counted from the program's end; -1: not yet */
	int next;    /* of the same bucket; -1 */
};

struct interval {
	uint32_t from; /* to the next one's */
	int node;
};

struct shrink {
	const struct sock_filter *in;
	size_t count;
	unsigned char *holds; /* for each instruction: HAS_ bits */
	uint32_t arches[ARCHES_MAX];
	size_t arch_count;
	uint32_t *cuts; /* sorted, each once; cuts[0] is 0 */
	size_t cut_count;
	uint32_t arch, number; /* of the way that is followed */
	int *memo;	       /* its nodes by instruction, when the accumulator holds something else */
	struct node *nodes;
	int node_count, buckets[BUCKETS];
	struct sock_filter *out; /* from the end */
	size_t out_count;
	bool is_failed;
};

/* ---- what is compared ---------------------------------------------------------------------------- */

static bool is_branch(const struct sock_filter *f)
{
	return f->code == OP_JEQ || f->code == OP_JGT || f->code == OP_JGE || f->code == OP_JSET;
}

/* Hand what the accumulator holds to the instruction `by` further on. */
static bool flow(struct shrink *s, size_t at, size_t by, unsigned char holds)
{
	if (by >= s->count - at)
		return false;
	s->holds[at + by] |= holds;
	return true;
}

static bool flow_from(struct shrink *s, size_t at)
{
	const struct sock_filter *f = &s->in[at];
	unsigned char holds = s->holds[at];

	switch (f->code) {
	case OP_RET:
		return true;
	case OP_GOTO:
		return flow(s, at, (size_t)f->k + 1, holds);
	case OP_AND:
		return holds == HAS_OTHER && flow(s, at, 1, holds);
	case OP_LOAD:
		holds = f->k == offsetof(struct seccomp_data, nr)     ? HAS_NUMBER
			: f->k == offsetof(struct seccomp_data, arch) ? HAS_ARCH
								      : HAS_OTHER;
		return flow(s, at, 1, holds);
	default:
		if (!is_branch(f) || (f->code == OP_JSET && holds != HAS_OTHER) ||
		    (f->code != OP_JEQ && (holds & HAS_ARCH)))
			return false;
		return flow(s, at, (size_t)f->jt + 1, holds) && flow(s, at, (size_t)f->jf + 1, holds);
	}
}

static bool add_arch(struct shrink *s, uint32_t arch)
{
	for (size_t i = 0; i < s->arch_count; i++)
		if (s->arches[i] == arch)
			return true;
	if (s->arch_count == ARCHES_MAX)
		return false;
	s->arches[s->arch_count++] = arch;
	return true;
}

static int compare_cuts(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool find_compared(struct shrink *s)
{
	size_t kept = 1;

	s->holds[0] = HAS_OTHER;
	s->cut_count = 1;
	for (size_t i = 0; i < s->count; i++) {
		const struct sock_filter *f = &s->in[i];

		if (!s->holds[i]) /* never reached */
			continue;
		if (!flow_from(s, i))
			return false;
		if (is_branch(f) && (s->holds[i] & HAS_ARCH) && !add_arch(s, f->k))
			return false;
		if (is_branch(f) && (s->holds[i] & HAS_NUMBER)) {
			s->cuts[s->cut_count++] = f->k;
			s->cuts[s->cut_count++] = f->k + 1; /* 0 after the highest: is there already */
		}
	}
	qsort(s->cuts, s->cut_count, sizeof(*s->cuts), compare_cuts);
	for (size_t i = 1; i < s->cut_count; i++)
		if (s->cuts[i] != s->cuts[kept - 1])
			s->cuts[kept++] = s->cuts[i];
	s->cut_count = kept;
	return true;
}

/* ---- nodes ---------------------------------------------------------------------------------------- */

/* The node of this content, a new one if there is none. */
static int node(struct shrink *s, uint16_t code, uint32_t k, int yes, int no)
{
	size_t bucket = (code * 31u + k * 2654435761u + (uint32_t)yes * 97u + (uint32_t)no * 193u) % BUCKETS;

	if (yes >= 0 && yes == no)
		return yes;
	for (int i = s->buckets[bucket]; i >= 0; i = s->nodes[i].next) {
		const struct node *n = &s->nodes[i];

		if (n->code == code && n->k == k && n->yes == yes && n->no == no)
			return i;
	}
	if (s->node_count == NODES_MAX) {
		s->is_failed = true;
		return 0;
	}
	s->nodes[s->node_count] = (struct node){ code, k, yes, no, -1, s->buckets[bucket] };
	s->buckets[bucket] = s->node_count;
	return s->node_count++;
}

static bool holds_true(const struct sock_filter *f, uint32_t value)
{
	return f->code == OP_JEQ ? value == f->k : f->code == OP_JGT ? value > f->k : value >= f->k;
}

/* From an instruction on, with architecture and number known. Inside the program: find_compared() has seen to it. */
static int follow(struct shrink *s, size_t at, unsigned char holds)
{
	for (;;) {
		const struct sock_filter *f = &s->in[at];
		int yes, no = -1;

		if (f->code == OP_RET)
			return node(s, f->code, f->k, -1, -1);
		if (f->code == OP_GOTO) {
			at += (size_t)f->k + 1;
		} else if (f->code == OP_LOAD && f->k == offsetof(struct seccomp_data, nr)) {
			holds = HAS_NUMBER;
			at++;
		} else if (f->code == OP_LOAD && f->k == offsetof(struct seccomp_data, arch)) {
			holds = HAS_ARCH;
			at++;
		} else if (is_branch(f) && holds != HAS_OTHER) {
			at += 1u + (holds_true(f, holds == HAS_ARCH ? s->arch : s->number) ? f->jt : f->jf);
		} else if (s->memo[at] >= 0) {
			return s->memo[at];
		} else {
			yes = follow(s, at + 1 + (is_branch(f) ? f->jt : 0), HAS_OTHER);
			if (is_branch(f))
				no = follow(s, at + 1 + f->jf, HAS_OTHER);
			return s->memo[at] = node(s, f->code, f->k, yes, no);
		}
	}
}

/* ---- intervals ------------------------------------------------------------------------------------ */

static int tree(struct shrink *s, const struct interval *v, size_t n)
{
	size_t half = n / 2;

	if (n == 1)
		return v[0].node;
	/* One number in the middle of others. */
	if (n == 3 && v[0].node == v[2].node && v[2].from - v[1].from == 1)
		return node(s, OP_JEQ, v[1].from, v[1].node, v[0].node);
	return node(s, OP_JGE, v[half].from, tree(s, v + half, n - half), tree(s, v, half));
}

static int decide_number(struct shrink *s, uint32_t arch, struct interval *v)
{
	size_t n = 0;

	s->arch = arch;
	for (size_t i = 0; i < s->cut_count; i++) {
		int found;

		s->number = s->cuts[i];
		memset(s->memo, 0xff, s->count * sizeof(*s->memo));
		found = follow(s, 0, HAS_OTHER);
		if (n == 0 || v[n - 1].node != found)
			v[n++] = (struct interval){ s->number, found };
	}
	return n == 1 ? v[0].node : node(s, OP_LOAD, offsetof(struct seccomp_data, nr), tree(s, v, n), -1);
}

static int decide(struct shrink *s)
{
	cleanup_free struct interval *v = mem_array(s->cut_count, sizeof(*v));
	uint32_t other = 0;
	int root;

	for (size_t i = 0; i < s->arch_count; i++)
		if (s->arches[i] == other) {
			other++;
			i = (size_t)-1;
		}
	root = decide_number(s, other, v);
	for (size_t i = s->arch_count; i-- > 0;)
		root = node(s, OP_JEQ, s->arches[i], decide_number(s, s->arches[i], v), root);
	return s->arch_count ? node(s, OP_LOAD, offsetof(struct seccomp_data, arch), root, -1) : root;
}

/* ---- writing -------------------------------------------------------------------------------------- */

static int put(struct shrink *s, uint16_t code, uint32_t k, size_t yes, size_t no)
{
	if (s->out_count == s->count) { /* no shorter than it was */
		s->is_failed = true;
		return 0;
	}
	s->out[s->out_count] = (struct sock_filter){ code, (uint8_t)yes, (uint8_t)no, k };
	return (int)s->out_count++;
}

/* How many instructions a jump written now skips to get there. */
static size_t distance(const struct shrink *s, int place)
{
	return s->out_count - 1 - (size_t)place;
}

/* A place that a conditional jump reaches: the node's own, or a stepping stone. */
static int near(struct shrink *s, int id)
{
	struct node *n = &s->nodes[id];

	if (distance(s, n->place) <= REACH)
		return n->place;
	if (n->code == OP_RET) /* as short as the jump to it, and near for others */
		return n->place = put(s, n->code, n->k, 0, 0);
	return put(s, OP_GOTO, (uint32_t)distance(s, n->place), 0, 0);
}

static void place(struct shrink *s, int id)
{
	struct node *n = &s->nodes[id];
	int yes, no;

	if (n->place >= 0 || s->is_failed)
		return;
	if (n->yes >= 0)
		place(s, n->yes);
	if (n->no >= 0)
		place(s, n->no);
	if (s->is_failed)
		return;
	if (n->no >= 0) {
		yes = near(s, n->yes);
		no = near(s, n->no);
		n->place = put(s, n->code, n->k, distance(s, yes), distance(s, no));
		return;
	}
	if (n->yes >= 0 && distance(s, s->nodes[n->yes].place) > 0)
		put(s, OP_GOTO, (uint32_t)distance(s, s->nodes[n->yes].place), 0, 0);
	n->place = put(s, n->code, n->k, 0, 0);
}

static bool shrink(struct shrink *s)
{
	int root;

	if (!find_compared(s))
		return false;
	root = decide(s);
	if (!s->is_failed)
		place(s, root);
	return !s->is_failed;
}

bool oci_seccomp_shrink(const struct sock_filter *code, size_t count, struct buf *ret_code)
{
	struct shrink s = { .in = code, .count = count };
	bool is_shorter = false;

	if (count == 0)
		return false;
	memset(s.buckets, 0xff, sizeof(s.buckets));
	s.holds = mem_array(count, sizeof(*s.holds));
	s.cuts = mem_array(2 * count + 1, sizeof(*s.cuts));
	s.memo = mem_array(count, sizeof(*s.memo));
	s.nodes = mem_array(NODES_MAX, sizeof(*s.nodes));
	s.out = mem_array(count, sizeof(*s.out));
	is_shorter = shrink(&s);
	while (is_shorter && s.out_count > 0)
		buf_add(ret_code, &s.out[--s.out_count], sizeof(*s.out));
	free(s.holds);
	free(s.cuts);
	free(s.memo);
	free(s.nodes);
	free(s.out);
	return is_shorter;
}
