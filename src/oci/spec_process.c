// SPDX-License-Identifier: Apache-2.0
#include <linux/ioprio.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "oci/spec_internal.h"
#include "sys/caps.h"
#include "sys/numlist.h"

/* ---- capabilities ------------------------------------------------------------------------------- */

static const char *const cap_sets[OCI_CAP_SET_COUNT] = {
	"bounding", "effective", "inheritable", "permitted", "ambient",
};

static int read_cap_set(struct reader *r, struct json_object *v, struct oci_capabilities *caps, int set,
			const char ***unknown)
{
	struct oci_strs names = { 0 };
	int k = read_strs(r, v, &names, NULL);

	if (k < 0)
		return k;
	for (size_t i = 0; i < names.n; i++) {
		int n = caps_from_name(names.v[i]);

		if (n >= 0)
			caps->set[set] |= CAP_BIT((unsigned int)n);
		else
			*(*unknown)++ = names.v[i];
	}
	return 0;
}

/* "Any value which cannot be mapped to a relevant kernel interface MUST be logged as a warning": so an unknown
 * name is kept, and is no error. */
static int read_capabilities(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct oci_capabilities *caps = dst;
	const char **first, **next;
	size_t room = 1;

	(void)arg;
	if (!json_object_is_type(v, json_type_object))
		return reader_fail(r, ERR_INVALID, "wanted an object, found %s", json_kind_text(v));
	json_object_object_foreach(v, key, value) {
		(void)key;
		if (json_object_is_type(value, json_type_array))
			room += json_object_array_length(value);
	}
	first = next = arena_array(r->arena, room, sizeof(*first));
	for (int set = 0; set < OCI_CAP_SET_COUNT; set++) {
		struct json_object *names = NULL;
		int k;

		if (!json_object_object_get_ex(v, cap_sets[set], &names) || !names)
			continue;
		r->path[r->depth++].key = cap_sets[set];
		k = read_cap_set(r, names, caps, set, &next);
		r->depth--;
		if (k < 0)
			return k;
	}
	caps->unknown.v = first;
	caps->unknown.n = (size_t)(next - first);
	return 0;
}

/* ---- user --------------------------------------------------------------------------------------- */

static const struct range umask_range = { 0, 0777 };
/* The specification has uid and gid as REQUIRED. Who leaves out zeroes when writing means 0, and runc reads it so. */
static const struct field user_fields[] = {
	FIELD(struct oci_user, uid, "uid", read_id, NULL),
	FIELD(struct oci_user, gid, "gid", read_id, NULL),
	FIELD(struct oci_user, umask, "umask", read_opt_u32, &umask_range),
	FIELD(struct oci_user, additional_gids, "additionalGids", read_ids, NULL),
	FIELD(struct oci_user, username, "username", read_str, NULL),
	FIELDS_END,
};
_Static_assert(offsetof(struct oci_user, additional_gid_count) ==
		       offsetof(struct oci_user, additional_gids) + offsetof(struct any_list, n),
	       "additional gids are read as a list");
static const struct object_of user_object = { .fields = user_fields };

/* ---- limits ------------------------------------------------------------------------------------- */

/* clang-format off */
#define RLIMIT_WORD(name) { #name, name }
static const struct word rlimit_words[] = {
	RLIMIT_WORD(RLIMIT_AS), RLIMIT_WORD(RLIMIT_CORE), RLIMIT_WORD(RLIMIT_CPU), RLIMIT_WORD(RLIMIT_DATA),
	RLIMIT_WORD(RLIMIT_FSIZE), RLIMIT_WORD(RLIMIT_LOCKS), RLIMIT_WORD(RLIMIT_MEMLOCK),
	RLIMIT_WORD(RLIMIT_MSGQUEUE), RLIMIT_WORD(RLIMIT_NICE), RLIMIT_WORD(RLIMIT_NOFILE),
	RLIMIT_WORD(RLIMIT_NPROC), RLIMIT_WORD(RLIMIT_RSS), RLIMIT_WORD(RLIMIT_RTPRIO),
	RLIMIT_WORD(RLIMIT_RTTIME), RLIMIT_WORD(RLIMIT_SIGPENDING), RLIMIT_WORD(RLIMIT_STACK),
	{ NULL, 0 },
};
static const struct words rlimit_type = { rlimit_words, sizeof(int) };
/* clang-format on */

static int check_rlimit(struct reader *r, void *item)
{
	const struct oci_rlimit *l = item;

	if (l->soft > l->hard)
		return reader_fail_at(r, "soft", ERR_INVALID, "%llu is above the hard limit, %llu",
				      (unsigned long long)l->soft, (unsigned long long)l->hard);
	return 0;
}

static const struct field rlimit_fields[] = {
	NEEDED(struct oci_rlimit, type, "type", read_str, NULL),
	NEEDED(struct oci_rlimit, resource, "type", read_word, &rlimit_type),
	NEEDED(struct oci_rlimit, soft, "soft", read_u64, NULL),
	NEEDED(struct oci_rlimit, hard, "hard", read_u64, NULL),
	FIELDS_END,
};
static const struct list_of rlimit_list = { .size = sizeof(struct oci_rlimit),
					    .fields = rlimit_fields,
					    .check = check_rlimit };

/* ---- scheduling --------------------------------------------------------------------------------- */

/* clang-format off */
static const struct word sched_policies[] = {
	{ "SCHED_OTHER", SCHED_OTHER }, { "SCHED_FIFO", SCHED_FIFO }, { "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH }, { "SCHED_ISO", SCHED_ISO },   { "SCHED_IDLE", SCHED_IDLE },
	{ "SCHED_DEADLINE", SCHED_DEADLINE },
	{ NULL, 0 },
};
/* linux/sched.h, which cannot be included beside sched.h. */
static const struct word sched_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", 0x01 },  { "SCHED_FLAG_RECLAIM", 0x02 },
	{ "SCHED_FLAG_DL_OVERRUN", 0x04 },     { "SCHED_FLAG_KEEP_POLICY", 0x08 },
	{ "SCHED_FLAG_KEEP_PARAMS", 0x10 },    { "SCHED_FLAG_UTIL_CLAMP_MIN", 0x20 },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", 0x40 },
	{ NULL, 0 },
};
static const struct words sched_policy = { sched_policies, sizeof(uint32_t) };
static const struct words sched_flag = { sched_flags, sizeof(uint64_t) };
static const struct range nice_range = { -20, 19 };
/* clang-format on */

static int check_scheduler(struct reader *r, void *base)
{
	const struct oci_scheduler *s = base;
	bool is_realtime = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

	if (s->policy == SCHED_ISO)
		return reader_fail_at(r, "policy", ERR_UNSUPPORTED, "Linux has no SCHED_ISO");
	if (is_realtime && (s->priority < 1 || s->priority > 99))
		return reader_fail_at(r, "priority", ERR_INVALID,
				      "%d is not in the range 1 to 99 of SCHED_FIFO and "
				      "SCHED_RR",
				      s->priority);
	if (!is_realtime && s->priority)
		return reader_fail_at(r, "priority", ERR_INVALID, "only SCHED_FIFO and SCHED_RR have one");
	if (s->policy != SCHED_DEADLINE && (s->runtime || s->deadline || s->period))
		return reader_fail_at(r, "runtime", ERR_INVALID,
				      "runtime, deadline and period: only SCHED_DEADLINE has them");
	return 0;
}

static const struct field scheduler_fields[] = {
	NEEDED(struct oci_scheduler, policy, "policy", read_word, &sched_policy),
	FIELD(struct oci_scheduler, nice, "nice", read_i32, &nice_range),
	FIELD(struct oci_scheduler, priority, "priority", read_i32, NULL),
	FIELD(struct oci_scheduler, flags, "flags", read_word_flags, &sched_flag),
	FIELD(struct oci_scheduler, runtime, "runtime", read_u64, NULL),
	FIELD(struct oci_scheduler, deadline, "deadline", read_u64, NULL),
	FIELD(struct oci_scheduler, period, "period", read_u64, NULL),
	FIELDS_END,
};
static const struct object_of scheduler_object = { .size = sizeof(struct oci_scheduler),
						   .fields = scheduler_fields,
						   .check = check_scheduler,
						   .is_pointer = true };

static const struct word ioprio_classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
	{ "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
	{ NULL, 0 },
};
static const struct words ioprio_class = { ioprio_classes, sizeof(int) };
static const struct range ioprio_range = { 0, 7 };
static const struct field ioprio_fields[] = {
	NEEDED(struct oci_io_priority, class, "class", read_word, &ioprio_class),
	FIELD(struct oci_io_priority, priority, "priority", read_i32, &ioprio_range),
	FIELDS_END,
};
static const struct object_of ioprio_object = { .size = sizeof(struct oci_io_priority),
						.fields = ioprio_fields,
						.is_pointer = true };

/* ---- the process -------------------------------------------------------------------------------- */

#define CONSOLE_OFFSET offsetof(struct oci_process, console_size)
static const struct field console_fields[] = {
	NEEDED(struct oci_process, console_size.height, "height", read_u16, NULL),
	NEEDED(struct oci_process, console_size.width, "width", read_u16, NULL),
	FIELD(struct oci_process, console_size.is_set, "width", read_present, NULL),
	FIELDS_END,
};

static int read_console(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)arg;
	return reader_fields(r, v, console_fields, (char *)dst - CONSOLE_OFFSET);
}

static int read_numlist(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct numlist ignored;
	int k = read_str(r, v, dst, arg);

	if (k == 0 && numlist_parse(*(const char **)dst, &ignored, r->e) < 0)
		return reader_ctx(r);
	return k;
}

static const struct field affinity_fields[] = {
	FIELD(struct oci_process, exec_cpu_affinity_initial, "initial", read_numlist, NULL),
	FIELD(struct oci_process, exec_cpu_affinity_final, "final", read_numlist, NULL),
	FIELDS_END,
};

static int read_affinity(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)arg;
	return reader_fields(r, v, affinity_fields,
			     (char *)dst - offsetof(struct oci_process, exec_cpu_affinity_initial));
}

static int check_env(struct reader *r, const struct oci_process *p)
{
	for (size_t i = 0; i < p->env.n; i++) {
		const char *equals = strchr(p->env.v[i], '=');

		/* The value may be a secret: it is not shown. */
		if (!equals || equals == p->env.v[i])
			return reader_fail_at(r, "env", ERR_INVALID, "item %zu is not of the form NAME=VALUE",
					      i);
	}
	return 0;
}

static int check_process(struct reader *r, void *base)
{
	const struct oci_process *p = base;

	if (p->args.n == 0)
		return reader_fail_at(r, "args", ERR_INVALID, "is missing or empty: there is nothing to run");
	if (!*p->args.v[0])
		return reader_fail_at(r, "args", ERR_INVALID, "the first item, the program, is empty");
	for (size_t i = 0; i < p->rlimits.n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (p->rlimits.v[i].resource == p->rlimits.v[j].resource)
				return reader_fail_at(r, "rlimits", ERR_INVALID, "%s is there twice",
						      p->rlimits.v[i].type);
		}
	}
	return check_env(r, p);
}

static const struct range oom_range = { -1000, 1000 };
static const struct field process_fields[] = {
	FIELD(struct oci_process, terminal, "terminal", read_bool, NULL),
	FIELD(struct oci_process, console_size, "consoleSize", read_console, NULL),
	NEEDED(struct oci_process, cwd, "cwd", read_abs_path, NULL),
	FIELD(struct oci_process, env, "env", read_strs, NULL),
	FIELD(struct oci_process, args, "args", read_strs, NULL),
	FIELD(struct oci_process, command_line, "commandLine", read_str, NULL),
	FIELD(struct oci_process, user, "user", read_object, &user_object),
	FIELD(struct oci_process, has_capabilities, "capabilities", read_present, NULL),
	FIELD(struct oci_process, capabilities, "capabilities", read_capabilities, NULL),
	FIELD(struct oci_process, rlimits, "rlimits", read_list, &rlimit_list),
	FIELD(struct oci_process, no_new_privileges, "noNewPrivileges", read_bool, NULL),
	FIELD(struct oci_process, apparmor_profile, "apparmorProfile", read_str, NULL),
	FIELD(struct oci_process, selinux_label, "selinuxLabel", read_str, NULL),
	FIELD(struct oci_process, oom_score_adj, "oomScoreAdj", read_opt_i32, &oom_range),
	FIELD(struct oci_process, io_priority, "ioPriority", read_object, &ioprio_object),
	FIELD(struct oci_process, scheduler, "scheduler", read_object, &scheduler_object),
	FIELD(struct oci_process, exec_cpu_affinity_initial, "execCPUAffinity", read_affinity, NULL),
	FIELDS_END,
};
const struct object_of oci_process_object = { .fields = process_fields, .check = check_process };
