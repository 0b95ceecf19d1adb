// SPDX-License-Identifier: Apache-2.0
#include <linux/capability.h>

#include "oci/defaults.h"
#include "oci/spec.h"
#include "sys/caps.h"

/* clang-format off */
/* Files of /proc and /sys that tell of the host or reach it, and are not namespaced. */
const char *const oci_default_masked_paths[] = {
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	"/sys/devices/system/cpu/cpu0/thermal_throttle", "/sys/devices/virtual/powercap", "/sys/firmware", NULL,
};
const char *const oci_default_readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};
/* clang-format on */

const char *const oci_default_capabilities[] = {
	"CAP_AUDIT_WRITE", "CAP_CHOWN",	  "CAP_DAC_OVERRIDE",	  "CAP_FOWNER",	    "CAP_FSETID",
	"CAP_KILL",	   "CAP_MKNOD",	  "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",    "CAP_SETFCAP",
	"CAP_SETGID",	   "CAP_SETPCAP", "CAP_SETUID",		  "CAP_SYS_CHROOT", NULL,
};

uint64_t oci_default_capability_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; oci_default_capabilities[i]; i++)
		mask |= CAP_BIT((unsigned int)caps_from_name(oci_default_capabilities[i]));
	return mask;
}

const struct oci_default_mount oci_default_mounts[] = {
	{ "/proc", "proc", "proc", "nosuid,noexec,nodev" },
	{ "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
	{ "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k" },
	{ "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
	{ "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro" },
	{ NULL, NULL, NULL, NULL },
};

/* clang-format off */
const struct oci_default_device oci_default_devices[] = {
	{ "/dev/null", 1, 3, 0666 },	{ "/dev/zero", 1, 5, 0666 },	{ "/dev/full", 1, 7, 0666 },
	{ "/dev/random", 1, 8, 0666 },	{ "/dev/urandom", 1, 9, 0666 }, { "/dev/tty", 5, 0, 0666 },
	{ NULL, 0, 0, 0 },
};
/* clang-format on */

static struct json_object *add_device_rule(struct json_object *rules, bool allow, const char *type,
					   int64_t major, int64_t minor, const char *access)
{
	struct json_object *rule = json_push_object(rules);

	json_put_bool(rule, "allow", allow);
	json_put_str(rule, "type", type);
	if (major >= 0)
		json_put_i64(rule, "major", major);
	if (minor >= 0)
		json_put_i64(rule, "minor", minor);
	json_put_str(rule, "access", access);
	return rule;
}

struct json_object *oci_default_device_rules(void)
{
	struct json_object *rules = json_new_array();

	add_device_rule(rules, false, NULL, -1, -1, "rwm");
	add_device_rule(rules, true, "c", -1, -1, "m");
	add_device_rule(rules, true, "b", -1, -1, "m");
	for (size_t i = 0; oci_default_devices[i].path; i++)
		add_device_rule(rules, true, "c", oci_default_devices[i].major, oci_default_devices[i].minor,
				"rwm");
	add_device_rule(rules, true, "c", 5, 2, "rwm");	   /* /dev/ptmx */
	add_device_rule(rules, true, "c", 136, -1, "rwm"); /* /dev/pts/N */
	return rules;
}

/* ---- `hull spec` -------------------------------------------------------------------------------- */

static void add_process(struct json_object *spec)
{
	/* As runc's: few, so that what a bundle needs is said in it. */
	static const char *const caps[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE" };
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	static const char *const args[] = { "sh" };
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"
	};
	struct json_object *p = json_put_object(spec, "process"), *o;

	json_put_bool(p, "terminal", true);
	o = json_put_object(p, "user");
	json_put_u64(o, "uid", 0);
	json_put_u64(o, "gid", 0);
	json_put_strs(p, "args", args, ARRAY_LEN(args));
	json_put_strs(p, "env", env, ARRAY_LEN(env));
	json_put_str(p, "cwd", "/");
	o = json_put_object(p, "capabilities");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		json_put_strs(o, sets[i], caps, ARRAY_LEN(caps));
	o = json_push_object(json_put_array(p, "rlimits"));
	json_put_str(o, "type", "RLIMIT_NOFILE");
	json_put_u64(o, "hard", 1024);
	json_put_u64(o, "soft", 1024);
	json_put_bool(p, "noNewPrivileges", true);
}

/* In a user namespace without a network namespace of its own sysfs cannot be mounted, and the tty group has no
 * mapping: a bind mount, and no gid. */
static void add_mount(struct json_object *mounts, const struct oci_default_mount *m, bool rootless)
{
	bool is_sys = str_eq(m->destination, "/sys"), is_pts = str_eq(m->destination, "/dev/pts");
	struct json_object *o = json_push_object(mounts);
	cleanup_strv struct strv options = STRV_INIT;

	json_put_str(o, "destination", m->destination);
	json_put_str(o, "type", rootless && is_sys ? "none" : m->type);
	json_put_str(o, "source", rootless && is_sys ? "/sys" : m->source);
	if (rootless && is_sys) {
		strv_add(&options, "rbind");
		strv_add(&options, "rro"); /* "ro" alone would leave what is mounted below writable */
	}
	strv_split(&options,
		   rootless && is_pts ? "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620" : m->options,
		   ",");
	json_put_strv(o, "options", &options);
}

static void add_mapping(struct json_object *o, const char *key, uint32_t host_id)
{
	struct json_object *m = json_push_object(json_put_array(o, key));

	json_put_u64(m, "containerID", 0);
	json_put_u64(m, "hostID", host_id);
	json_put_u64(m, "size", 1);
}

static void add_paths(struct json_object *o, const char *key, const char *const *paths)
{
	size_t n = 0;

	while (paths[n])
		n++;
	json_put_strs(o, key, paths, n);
}

static void add_linux(struct json_object *spec, bool rootless, bool cgroup_v2, uint32_t uid, uint32_t gid)
{
	static const enum oci_ns kinds[] = { OCI_NS_PID, OCI_NS_NETWORK, OCI_NS_IPC,
					     OCI_NS_UTS, OCI_NS_MOUNT,	 OCI_NS_CGROUP };
	struct json_object *o = json_put_object(spec, "linux"), *list;

	if (rootless) {
		add_mapping(o, "uidMappings", uid);
		add_mapping(o, "gidMappings", gid);
	} else {
		add_device_rule(json_put_array(json_put_object(o, "resources"), "devices"), false, NULL, -1,
				-1, "rwm");
	}
	list = json_put_array(o, "namespaces");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if ((!rootless || kinds[i] != OCI_NS_NETWORK) && (cgroup_v2 || kinds[i] != OCI_NS_CGROUP))
			json_put_str(json_push_object(list), "type", oci_ns_info[kinds[i]].name);
	}
	if (rootless)
		json_put_str(json_push_object(list), "type", oci_ns_info[OCI_NS_USER].name);
	add_paths(o, "maskedPaths", oci_default_masked_paths);
	add_paths(o, "readonlyPaths", oci_default_readonly_paths);
}

struct json_object *oci_default_spec(bool rootless, bool cgroup_v2, uint32_t uid, uint32_t gid)
{
	struct json_object *spec = json_new(), *o;

	json_put_str(spec, "ociVersion", OCI_SPEC_VERSION);
	add_process(spec);
	o = json_put_object(spec, "root");
	json_put_str(o, "path", "rootfs");
	json_put_bool(o, "readonly", true);
	json_put_str(spec, "hostname", "hull");
	o = json_put_array(spec, "mounts");
	for (size_t i = 0; oci_default_mounts[i].destination; i++)
		add_mount(o, &oci_default_mounts[i], rootless);
	add_linux(spec, rootless, cgroup_v2, uid, gid);
	return spec;
}
