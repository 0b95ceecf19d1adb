// SPDX-License-Identifier: Apache-2.0
/* Programs with fewer instructions and the same answers, on random ones of libseccomp's and on the default profile. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "oci/defaults.h"
#include "oci/seccomp_bpf.h"
#include "seccomp_kit.h"
#include "sys/seccomp.h"

static uint32_t random_below(uint64_t *seed, uint32_t n)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(*seed >> 33) % n;
}

static void add_random_rule(scmp_filter_ctx ctx, uint64_t *seed)
{
	static const uint32_t actions[] = { SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(1), SCMP_ACT_ERRNO(38),
					    SCMP_ACT_KILL };
	static const enum scmp_compare ops[] = { SCMP_CMP_EQ, SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_GE,
						 SCMP_CMP_GT };
	struct scmp_arg_cmp args[2];
	unsigned int n = random_below(seed, 4) ? 0 : 1 + random_below(seed, 2);
	uint32_t action;
	int first;

	for (unsigned int i = 0; i < n; i++) {
		args[i] = (struct scmp_arg_cmp){
			i + random_below(seed, 3) * 2, ops[random_below(seed, ARRAY_LEN(ops))],
			(uint64_t)random_below(seed, 4) << (random_below(seed, 2) * 32), 0
		};
		if (random_below(seed, 3) == 0) {
			args[i].op = SCMP_CMP_MASKED_EQ;
			args[i].datum_b = args[i].datum_a;
		}
	}
	/* Neighbours often have one answer. Some are refused, as equal to the default or in conflict with another;
	 * that is as good. */
	first = (int)random_below(seed, 400);
	action = actions[random_below(seed, ARRAY_LEN(actions))];
	for (int i = 0; i < (n ? 1 : 8); i++)
		seccomp_rule_add_array(ctx, action, first + i, n, args);
}

static struct buf random_program(uint64_t *seed)
{
	scmp_filter_ctx ctx = seccomp_init(random_below(seed, 2) ? SCMP_ACT_ERRNO(1) : SCMP_ACT_ALLOW);
	struct buf code = BUF_INIT;
	struct error e = ERROR_INIT;

	assert_non_null(ctx);
	if (random_below(seed, 2))
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (random_below(seed, 2) && seccomp_arch_native() == SCMP_ARCH_X86_64) {
		seccomp_arch_add(ctx, SCMP_ARCH_X86);
		seccomp_arch_add(ctx, SCMP_ARCH_X32);
	}
	for (uint32_t n = random_below(seed, 80); n > 0; n--)
		add_random_rule(ctx, seed);
	if (seccomp_export(ctx, &code, &e) < 0)
		fail_msg("%s", err_msg(&e));
	seccomp_release(ctx);
	return code;
}

/* Every number of a call, and arguments around the ones of the rules. */
static void assert_same_answers(const struct buf *a, const struct buf *b, uint64_t *seed)
{
	const uint32_t arches[] = { seccomp_arch_native(), AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, 0,
				    0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(arches); i++)
		for (uint32_t n = 0; n < 1200; n++) {
			static const uint32_t bases[] = { 0, 0x40000000, 0xfffffe00 };
			struct seccomp_data d = { .arch = arches[i] };

			d.nr = (int)(bases[n / 400] + n % 400 + random_below(seed, 150));
			for (size_t k = 0; k < ARRAY_LEN(d.args); k++)
				d.args[k] = (uint64_t)random_below(seed, 5) << (random_below(seed, 2) * 32);
			if (bpf_run(a, &d) != bpf_run(b, &d))
				fail_msg("arch %#x call %#x: %#x and %#x", d.arch, d.nr, bpf_run(a, &d),
					 bpf_run(b, &d));
		}
}

static size_t instructions(const struct buf *code)
{
	return code->len / sizeof(struct sock_filter);
}

static bool shrunk(const struct buf *code, struct buf *ret)
{
	return oci_seccomp_shrink((const void *)code->data, instructions(code), ret);
}

static void a_shorter_program_answers_the_same(void **state)
{
	uint64_t seed = 1;
	unsigned int shorter = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		cleanup_buf struct buf code = random_program(&seed), small = BUF_INIT;

		if (!shrunk(&code, &small)) {
			assert_int_equal(small.len, 0);
			continue;
		}
		shorter++;
		assert_true(small.len <= code.len);
		assert_same_answers(&code, &small, &seed);
	}
	if (shorter < 100)
		fail_msg("only %u", shorter);
}

static void the_default_is_short(void **state)
{
	cleanup_buf struct buf code = seccomp_compiled_default(oci_default_capability_mask());

	(void)state;
	if (instructions(&code) > 500)
		fail_msg("%zu instructions", instructions(&code));
}

static void a_program_that_is_not_understood_is_left(void **state)
{
	const struct sock_filter masks_number[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
	};
	const struct sock_filter falls_off[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 200),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_filter adds[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	cleanup_buf struct buf small = BUF_INIT;

	(void)state;
	assert_false(oci_seccomp_shrink(masks_number, ARRAY_LEN(masks_number), &small));
	assert_false(oci_seccomp_shrink(falls_off, ARRAY_LEN(falls_off), &small));
	assert_false(oci_seccomp_shrink(adds, ARRAY_LEN(adds), &small));
	assert_false(oci_seccomp_shrink(adds, 0, &small));
	assert_int_equal(small.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shorter_program_answers_the_same),
		cmocka_unit_test(the_default_is_short),
		cmocka_unit_test(a_program_that_is_not_understood_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
