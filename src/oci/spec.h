/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of the OCI runtime specification 1.3, as typed structures: what Linux can do, all of it.
 *
 * Reading is table-driven (spec.c, spec_process.c, spec_linux.c, ...): key, type, offset, mandatory. Names
 * follow the specification's keys. An error names the JSON path and why: "process.rlimits[2].hard: ...".
 * Unknown keys are ignored, as the specification asks ("Extensibility"); known ones that this version
 * cannot do are UNSUPPORTED, never ignored.
 *
 * All memory belongs to the spec and goes with it; every string is valid UTF-8 without NUL. Optional values
 * are struct oci_opt_*, or pointers that are NULL when the key was absent. */
#ifndef HULL_OCI_SPEC_H
#define HULL_OCI_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"

/* clang-format off */
#define OCI_SPEC_VERSION "1.3.0"	/* what `hull spec` writes, and the newest that we read in full */
#define OCI_SPEC_MAX_BYTES (16u << 20)
#define OCI_LIST_MAX 65536		/* items of any array */

struct arena;

struct oci_opt_u64 { bool is_set; uint64_t v; };
struct oci_opt_i64 { bool is_set; int64_t v; };
struct oci_opt_u32 { bool is_set; uint32_t v; };
struct oci_opt_i32 { bool is_set; int32_t v; };
struct oci_opt_bool { bool is_set; bool v; };

/* n items at v. For strings v is never NULL and v[n] is, so that it can be an argv. */
struct oci_strs { const char *const *v; size_t n; };
#define OCI_LIST(type) struct { type *v; size_t n; }

struct oci_kv { const char *key, *value; };
struct oci_kvs { struct oci_kv *v; size_t n; };
const char *oci_kvs_get(const struct oci_kvs *kvs, const char *key); /* NULL when absent */

struct oci_id_mapping { uint32_t container_id, host_id, size; };
struct oci_id_mappings { struct oci_id_mapping *v; size_t n; };

/* ---- process ------------------------------------------------------------------------------------ */

enum oci_cap_set {
	OCI_CAP_BOUNDING,
	OCI_CAP_EFFECTIVE,
	OCI_CAP_INHERITABLE,
	OCI_CAP_PERMITTED,
	OCI_CAP_AMBIENT,
	OCI_CAP_SET_COUNT
};
struct oci_capabilities {
	uint64_t set[OCI_CAP_SET_COUNT];	/* bit n is capability n of capabilities(7) */
	struct oci_strs unknown;		/* names that no capability has: worth a warning, no error */
};

struct oci_user {
	uint32_t uid, gid;		/* in the container's user namespace */
	struct oci_opt_u32 umask;
	uint32_t *additional_gids;
	size_t additional_gid_count;
	const char *username;		/* Windows only; kept for `state` */
};

struct oci_rlimit {
	int resource;			/* RLIMIT_* */
	const char *type;		/* "RLIMIT_NOFILE" */
	uint64_t soft, hard;		/* UINT64_MAX: RLIM_INFINITY */
};

struct oci_scheduler {			/* sched_setattr(2) */
	uint32_t policy;		/* SCHED_* */
	int32_t nice;
	int32_t priority;
	uint64_t flags;			/* SCHED_FLAG_* */
	uint64_t runtime, deadline, period;
};

struct oci_io_priority { int class; int priority; };	/* ioprio_set(2): IOPRIO_CLASS_*, 0 to 7 */

struct oci_process {
	bool terminal;
	struct { bool is_set; uint16_t height, width; } console_size;
	const char *cwd;		/* absolute */
	struct oci_strs env, args;	/* args.n is 0 only in a spec without process */
	const char *command_line;	/* Windows; never set */
	struct oci_user user;
	bool has_capabilities;		/* false: the key was absent, and all sets are empty */
	struct oci_capabilities capabilities;
	OCI_LIST(struct oci_rlimit) rlimits;
	bool no_new_privileges;
	const char *apparmor_profile, *selinux_label;
	struct oci_opt_i32 oom_score_adj;	/* -1000 to 1000 */
	struct oci_io_priority *io_priority;
	struct oci_scheduler *scheduler;
	const char *exec_cpu_affinity_initial, *exec_cpu_affinity_final; /* cpu lists, "0-3,7" */
	struct arena *arena;		/* set when it came from oci_process_parse() */
};

/* ---- mounts ------------------------------------------------------------------------------------- */

#define OCI_MOUNT_PROPAGATIONS_MAX 4
/* The option words of one mount, taken apart (mount_options.c has the table). */
struct oci_mount_options {
	uint64_t attr_set, attr_clr;	/* MOUNT_ATTR_* of this mount, as mount_setattr(2) takes them */
	uint64_t rec_attr_set, rec_attr_clr; /* the same with AT_RECURSIVE: rro, rnosuid, ... */
	unsigned long sb_set, sb_clr;	/* MS_* of the file system: sync, dirsync, mand, lazytime, silent, iversion */
	unsigned long flags;		/* MS_* for mount(2): attr_set and sb_set as one, without MS_BIND */
	bool is_bind, is_rbind;		/* "bind", "rbind" (then both are set) */
	bool is_remount;
	unsigned long propagation[OCI_MOUNT_PROPAGATIONS_MAX]; /* MS_SLAVE | MS_REC, ..., in their order */
	size_t propagation_count;
	bool tmpcopyup;
	bool idmap, ridmap;		/* ridmap sets both */
	const char *data;		/* the rest, joined by commas; "" when none */
	struct oci_strs data_words;	/* the same, one by one */
};

struct oci_mount {
	const char *destination;	/* absolute (a relative one is taken from "/", as the spec's 1.x allows) */
	const char *type;		/* NULL when absent */
	const char *source;		/* NULL when absent */
	struct oci_strs option_words;
	struct oci_mount_options options;
	struct oci_id_mappings uid_mappings, gid_mappings;
};

/* ---- hooks -------------------------------------------------------------------------------------- */

enum oci_hook_kind {
	OCI_HOOK_PRESTART,		/* deprecated by the specification, still called first */
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_KIND_COUNT
};
const char *oci_hook_name(enum oci_hook_kind kind); /* the JSON key: "createRuntime" */

struct oci_hook {
	const char *path;		/* absolute */
	struct oci_strs args, env;	/* args.n 0: path is argv[0] */
	struct oci_opt_i32 timeout_s;	/* > 0 */
};

/* ---- linux -------------------------------------------------------------------------------------- */

enum oci_ns {				/* the order in which they are made and joined: user first */
	OCI_NS_USER,
	OCI_NS_MOUNT,
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
	OCI_NS_COUNT
};
struct oci_ns_info {
	const char *name;		/* in config.json: "network" */
	const char *proc_name;		/* under /proc/PID/ns: "net" */
	int clone_flag;			/* CLONE_NEWNET */
};
extern const struct oci_ns_info oci_ns_info[OCI_NS_COUNT];

struct oci_namespace {
	bool is_set;			/* the container does not share our own */
	const char *path;		/* join this one; NULL: make a new one */
};

struct oci_device {
	const char *path;
	char type;			/* 'c', 'b', 'p'; 'u' of the spec becomes 'c' */
	int64_t major, minor;		/* 0 for 'p' */
	struct oci_opt_u32 file_mode, uid, gid;
};

struct oci_time_offset { const char *clock; int64_t secs; uint32_t nanosecs; }; /* "monotonic", "boottime" */

struct oci_device_rule {
	bool allow;
	char type;			/* 'a', 'c', 'b' */
	int64_t major, minor;		/* -1: any */
	bool read, write, mknod;
};
struct oci_block_weight { int64_t major, minor; struct oci_opt_u32 weight, leaf_weight; };
struct oci_block_rate { int64_t major, minor; uint64_t rate; };
struct oci_hugepage_limit { const char *page_size; uint64_t limit; };	/* "2MB" */
struct oci_net_priority { const char *name; uint32_t priority; };
struct oci_rdma_limit { const char *name; struct oci_opt_u32 handles, objects; };

struct oci_resources {
	OCI_LIST(struct oci_device_rule) devices;
	struct {
		struct oci_opt_i64 limit, reservation, swap, kernel, kernel_tcp;
		struct oci_opt_u64 swappiness;
		struct oci_opt_bool disable_oom_killer, use_hierarchy, check_before_update;
	} memory;
	struct {
		struct oci_opt_u64 shares, period, realtime_period, burst;
		struct oci_opt_i64 quota, realtime_runtime, idle;
		const char *cpus, *mems;	/* checked cpu lists */
	} cpu;
	struct oci_opt_i64 pids_limit;
	struct {
		struct oci_opt_u32 weight, leaf_weight;
		OCI_LIST(struct oci_block_weight) weight_device;
		OCI_LIST(struct oci_block_rate) read_bps, write_bps, read_iops, write_iops;
	} block_io;
	OCI_LIST(struct oci_hugepage_limit) hugepage_limits;
	struct oci_opt_u32 net_class_id;
	OCI_LIST(struct oci_net_priority) net_priorities;
	OCI_LIST(struct oci_rdma_limit) rdma;
	struct oci_kvs unified;		/* keys are names of cgroup v2 files, without '/' */
};

/* seccomp: actions, operators and architectures are those of libseccomp (seccomp.h). */
struct oci_seccomp_arg { uint32_t index; uint64_t value, value_two; int op; /* enum scmp_compare */ };
struct oci_seccomp_rule {
	struct oci_strs names;
	uint32_t action;		/* SCMP_ACT_*, errno already in it */
	OCI_LIST(struct oci_seccomp_arg) args;
};
struct oci_seccomp {
	uint32_t default_action;
	uint32_t *architectures;	/* SCMP_ARCH_* */
	size_t architecture_count;
	unsigned int flags;		/* SECCOMP_FILTER_FLAG_* of seccomp(2) */
	const char *listener_path, *listener_metadata;
	OCI_LIST(struct oci_seccomp_rule) syscalls;
};

struct oci_memory_policy { int mode; int flags; const char *nodes; }; /* MPOL_*, MPOL_F_*, "0-3,7" or NULL */
struct oci_intel_rdt {
	const char *clos_id, *l3_cache_schema, *mem_bw_schema;
	struct oci_strs schemata;
	bool enable_monitoring;
};
struct oci_net_device { const char *host_name; const char *name; /* in the container */ };

struct oci_linux {
	struct oci_namespace namespaces[OCI_NS_COUNT];
	struct oci_id_mappings uid_mappings, gid_mappings;
	OCI_LIST(struct oci_time_offset) time_offsets;
	OCI_LIST(struct oci_device) devices;
	OCI_LIST(struct oci_net_device) net_devices;
	const char *cgroups_path;	/* NULL when absent */
	struct oci_resources resources;	/* all unset when absent */
	bool has_resources;
	struct oci_kvs sysctl;
	struct oci_seccomp *seccomp;
	unsigned long rootfs_propagation; /* MS_SLAVE | MS_REC, ...; 0 when absent */
	struct oci_strs masked_paths, readonly_paths;
	const char *mount_label;
	struct { bool is_set; unsigned long domain; } personality; /* PER_LINUX, PER_LINUX32 */
	struct oci_intel_rdt *intel_rdt;
	struct oci_memory_policy *memory_policy;
};

struct oci_spec {
	const char *oci_version;
	bool has_process;
	struct oci_process process;
	bool has_root;
	struct { const char *path; bool readonly; } root;
	const char *hostname, *domainname;
	OCI_LIST(struct oci_mount) mounts;
	OCI_LIST(struct oci_hook) hooks[OCI_HOOK_KIND_COUNT];
	struct oci_kvs annotations;
	bool has_linux;
	struct oci_linux linux;
	struct arena *arena;
};

/* Read and check a config.json. The caller frees *ret_spec.
 * Fails: LIMIT        larger than OCI_SPEC_MAX_BYTES, an array longer than OCI_LIST_MAX
 *        INVALID      not JSON, a wrong type or value, something mandatory is missing
 *        UNSUPPORTED  a valid wish that neither Linux nor this version can fulfil */
int oci_spec_parse(const char *json, size_t len, struct oci_spec **ret_spec, struct error *e) MUST_USE;
void oci_spec_free(struct oci_spec *spec);
DEFINE_CLEANUP(struct oci_spec, oci_spec_free)

/* The same for the "process" object alone (`hull exec --process`, exec requests). */
int oci_process_parse(const char *json, size_t len, struct oci_process **ret_process, struct error *e) MUST_USE;
void oci_process_free(struct oci_process *process);
DEFINE_CLEANUP(struct oci_process, oci_process_free)

/* Read resources alone (`hull update`); the arena is the caller's. */
int oci_resources_parse(const char *json, size_t len, struct arena *arena, struct oci_resources *ret_resources,
			struct error *e) MUST_USE;

/* Take option words apart; memory comes from arena. Fails: INVALID (more propagation words than
 * OCI_MOUNT_PROPAGATIONS_MAX), LIMIT (data longer than a page). Any word that the table does not know is data. */
int oci_mount_options_parse(const char *const *words, size_t count, struct arena *arena,
			    struct oci_mount_options *ret_options, struct error *e) MUST_USE;
/* The words of the table, one after the other; NULL at its end. */
const char *oci_mount_option_word(size_t i);
/* clang-format on */

#endif
