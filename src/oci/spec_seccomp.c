// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include "oci/spec_internal.h"

const struct word oci_seccomp_actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
	{ NULL, 0 },
};
static const struct words action = { oci_seccomp_actions, sizeof(uint32_t) };

/* clang-format off */
const struct word oci_seccomp_operators[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ }, { "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	{ NULL, 0 },
};
static const struct words operator = { oci_seccomp_operators, sizeof(int) };
/* clang-format on */

const struct word oci_seccomp_flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1 << 5 },
	{ NULL, 0 },
};
static const struct words flag = { oci_seccomp_flags, sizeof(unsigned int) };

/* clang-format off */
#define ARCH(name) { "SCMP_ARCH_" #name, SCMP_ARCH_##name }
const struct word oci_seccomp_archs[] = {
	ARCH(X86), ARCH(X86_64), ARCH(X32), ARCH(ARM), ARCH(AARCH64), ARCH(MIPS), ARCH(MIPS64), ARCH(MIPS64N32),
	ARCH(MIPSEL), ARCH(MIPSEL64), ARCH(MIPSEL64N32), ARCH(PPC), ARCH(PPC64), ARCH(PPC64LE), ARCH(S390),
	ARCH(S390X), ARCH(PARISC), ARCH(PARISC64), ARCH(RISCV64),
	/* Of libseccomp 2.6; an older one refuses these AUDIT_ARCH_ values, which is then said. */
	{ "SCMP_ARCH_LOONGARCH64", AUDIT_ARCH_LOONGARCH64 }, { "SCMP_ARCH_M68K", AUDIT_ARCH_M68K },
	{ "SCMP_ARCH_SH", AUDIT_ARCH_SHEL }, { "SCMP_ARCH_SHEB", AUDIT_ARCH_SH },
	{ NULL, 0 },
};
/* clang-format on */

static int read_architectures(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct oci_seccomp *s = dst;
	struct oci_strs names = { 0 };
	uint64_t value = 0;
	int k = read_strs(r, v, &names, arg);

	if (k < 0)
		return k;
	s->architectures = arena_array(r->arena, names.n + 1, sizeof(uint32_t));
	for (size_t i = 0; i < names.n; i++) {
		if (words_find(oci_seccomp_archs, names.v[i], &value) < 0)
			return reader_fail(r, ERR_INVALID, "\"%s\" is not one of the known words",
					   names.v[i]);
		s->architectures[s->architecture_count++] = (uint32_t)value;
	}
	return 0;
}

static const struct range index_range = { 0, 5 }; /* system calls have six arguments */
static const struct field arg_fields[] = {
	NEEDED(struct oci_seccomp_arg, index, "index", read_u32, &index_range),
	NEEDED(struct oci_seccomp_arg, value, "value", read_u64, NULL),
	FIELD(struct oci_seccomp_arg, value_two, "valueTwo", read_u64, NULL),
	NEEDED(struct oci_seccomp_arg, op, "op", read_word, &operator),
	FIELDS_END,
};
static const struct list_of arg_list = { .size = sizeof(struct oci_seccomp_arg), .fields = arg_fields };

/* clang-format off */
/* As it stands in the document; the errno then goes into the action. */
struct raw_rule { struct oci_seccomp_rule rule; struct oci_opt_u32 errno_ret; };
struct raw_seccomp {
	struct oci_seccomp s;
	struct oci_opt_u32 default_errno;
	OCI_LIST(struct raw_rule) rules;
};
/* clang-format on */

static const struct range errno_range = { 0, 4095 }; /* MAX_ERRNO */
static int add_errno(struct reader *r, const char *key, struct oci_opt_u32 value, uint32_t *ret_action)
{
	bool takes_one = *ret_action == SCMP_ACT_ERRNO(0) || *ret_action == SCMP_ACT_TRACE(0);

	/* "This action MUST be used with an action that supports it": elsewhere it would mean nothing. */
	if (value.is_set && !takes_one)
		return reader_fail_at(r, key, ERR_INVALID, "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have one");
	if (takes_one)
		*ret_action |= value.is_set ? value.v : EPERM;
	return 0;
}

static int check_rule(struct reader *r, void *item)
{
	struct raw_rule *raw = item;

	if (raw->rule.names.n == 0)
		return reader_fail_at(r, "names", ERR_INVALID, "is empty");
	return add_errno(r, "errnoRet", raw->errno_ret, &raw->rule.action);
}

static const struct field rule_fields[] = {
	NEEDED(struct raw_rule, rule.names, "names", read_strs, NULL),
	NEEDED(struct raw_rule, rule.action, "action", read_word, &action),
	FIELD(struct raw_rule, errno_ret, "errnoRet", read_opt_u32, &errno_range),
	FIELD(struct raw_rule, rule.args, "args", read_list, &arg_list),
	FIELDS_END,
};
static const struct list_of rule_list = { .size = sizeof(struct raw_rule),
					  .fields = rule_fields,
					  .check = check_rule };
static const struct field seccomp_fields[] = {
	NEEDED(struct raw_seccomp, s.default_action, "defaultAction", read_word, &action),
	FIELD(struct raw_seccomp, default_errno, "defaultErrnoRet", read_opt_u32, &errno_range),
	FIELD(struct raw_seccomp, s, "architectures", read_architectures, NULL),
	FIELD(struct raw_seccomp, s.flags, "flags", read_word_flags, &flag),
	FIELD(struct raw_seccomp, s.listener_path, "listenerPath", read_str, NULL),
	FIELD(struct raw_seccomp, s.listener_metadata, "listenerMetadata", read_str, NULL),
	FIELD(struct raw_seccomp, rules, "syscalls", read_list, &rule_list),
	FIELDS_END,
};

int read_seccomp(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct raw_seccomp *raw = arena_alloc(r->arena, sizeof(*raw));
	int k = reader_fields(r, v, seccomp_fields, raw);

	(void)arg;
	if (k == 0)
		k = add_errno(r, "defaultErrnoRet", raw->default_errno, &raw->s.default_action);
	if (k < 0)
		return k;
	if (raw->s.default_action == SCMP_ACT_NOTIFY)
		return reader_fail_at(r, "defaultAction", ERR_INVALID,
				      "SCMP_ACT_NOTIFY as the default would stop the container's own start");
	raw->s.syscalls.v = arena_array(r->arena, raw->rules.n + 1, sizeof(*raw->s.syscalls.v));
	raw->s.syscalls.n = raw->rules.n;
	for (size_t i = 0; i < raw->rules.n; i++)
		raw->s.syscalls.v[i] = raw->rules.v[i].rule;
	*(struct oci_seccomp **)dst = &raw->s;
	return 0;
}
