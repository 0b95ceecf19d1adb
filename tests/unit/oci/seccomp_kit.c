// SPDX-License-Identifier: Apache-2.0
#include "seccomp_kit.h"

#include <linux/filter.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "codec/json.h"
#include "oci/defaults.h"
#include "oci/seccomp_bpf.h"

static bool jumps(const struct sock_filter *f, uint32_t a)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return a == f->k;
	case BPF_JGT:
		return a > f->k;
	case BPF_JGE:
		return a >= f->k;
	case BPF_JSET:
		return a & f->k;
	}
	fail_msg("jump %#x", f->code);
	return false;
}

uint32_t bpf_run(const struct buf *code, const struct seccomp_data *data)
{
	const struct sock_filter *f = (const void *)code->data, *end = f + code->len / sizeof(*f);
	uint32_t a = 0, mem[BPF_MEMWORDS] = { 0 };

	while (f < end) {
		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			if (BPF_MODE(f->code) == BPF_ABS)
				memcpy(&a, (const char *)data + f->k, sizeof(a));
			else if (BPF_MODE(f->code) == BPF_MEM)
				a = mem[f->k];
			else
				a = f->k;
			break;
		case BPF_ST:
			mem[f->k] = a;
			break;
		case BPF_ALU:
			assert_int_equal(BPF_OP(f->code), BPF_AND);
			a &= f->k;
			break;
		case BPF_JMP:
			f += BPF_OP(f->code) == BPF_JA ? f->k : jumps(f, a) ? f->jt : f->jf;
			break;
		case BPF_RET:
			return f->k;
		default:
			fail_msg("instruction %#x", f->code);
		}
		f++;
	}
	fail_msg("the program has no end");
	return 0;
}

uint32_t bpf_answer(const struct buf *code, const char *name, uint64_t arg0)
{
	struct seccomp_data data = { .arch = seccomp_arch_native(), .args = { arg0 } };

	data.nr = seccomp_syscall_resolve_name(name);
	assert_int_not_equal(data.nr, __NR_SCMP_ERROR);
	return bpf_run(code, &data);
}

uint32_t bpf_answer_number(const struct buf *code, int number)
{
	struct seccomp_data data = { .arch = seccomp_arch_native(), .nr = number };

	return bpf_run(code, &data);
}

/* The profile inside of a config.json, parsed and compiled. */
struct oci_spec *seccomp_spec(const char *seccomp)
{
	cleanup_free char *json = str_fmt("{\"ociVersion\":\"1.0.0\",\"linux\":{\"seccomp\":%s}}", seccomp);
	struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	if (oci_spec_parse(json, strlen(json), &spec, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return spec;
}

struct oci_spec *seccomp_default_spec(uint64_t caps)
{
	cleanup_json struct json_object *o = oci_default_seccomp(caps);
	cleanup_buf struct buf b = BUF_INIT;

	json_text(o, false, &b);
	return seccomp_spec(buf_str(&b));
}

struct buf seccomp_compiled(const char *seccomp)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = seccomp_spec(seccomp);
	struct error e = ERROR_INIT;
	struct buf code = BUF_INIT;

	if (oci_seccomp_compile(spec->linux.seccomp, &code, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return code;
}

struct buf seccomp_compiled_default(uint64_t caps)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = seccomp_default_spec(caps);
	struct error e = ERROR_INIT;
	struct buf code = BUF_INIT;

	if (oci_seccomp_compile(spec->linux.seccomp, &code, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return code;
}
