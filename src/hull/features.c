/* SPDX-License-Identifier: Apache-2.0 */
/* hull features: the features structure of the OCI runtime specification (features.md, features-linux.md).
 *
 * What config.json may contain comes from the tables that read it. The specification wants the structure to speak of
 * the runtime and not of the host; what this host has of it is probed, and stands in annotations of our own. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup/cgroup.h"
#include "codec/json.h"
#include "hull/hull.h"
#include "oci/intel_rdt.h"
#include "oci/known.h"
#include "sys/caps.h"
#include "sys/lsm.h"
#include "sys/seccomp.h"

#define OCI_VERSION_MIN "1.0.0"
#define OWN "run.oci.hull." /* prefix of annotations */

/* Annotations of a config.json that change what hull does, for callers that take configurations from strangers. A
 * name that ends with "." is a prefix. */
static const char *const unsafe_annotations[] = { CGROUP_UNIT_ANNOTATION, HULL_GROUPS_ANNOTATION };

static void put_names(struct json_object *o, const char *key, enum oci_known which)
{
	cleanup_strv struct strv names = STRV_INIT;

	oci_known_names(which, &names);
	json_put_strv(o, key, &names);
}

static void put_all(struct json_object *o, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_put_bool(o, keys[i], true);
}

static void put_enabled(struct json_object *o, const char *key)
{
	json_put_bool(json_put_object(o, key), "enabled", true);
}

static void put_seccomp(struct json_object *l)
{
	struct json_object *o = json_put_object(l, "seccomp");

	json_put_bool(o, "enabled", true);
	put_names(o, "actions", OCI_KNOWN_SECCOMP_ACTIONS);
	put_names(o, "operators", OCI_KNOWN_SECCOMP_OPERATORS);
	put_names(o, "archs", OCI_KNOWN_SECCOMP_ARCHS);
	put_names(o, "knownFlags", OCI_KNOWN_SECCOMP_FLAGS);
	put_names(o, "supportedFlags", OCI_SUPPORTED_SECCOMP_FLAGS);
}

static void put_linux(struct json_object *doc)
{
	static const char *const cgroup[] = { "v1", "v2", "systemd", "systemdUser", "rdma" };
	static const char *const rdt[] = { "enabled", "schemata", "monitoring" };
	struct json_object *l = json_put_object(doc, "linux"), *o;

	put_names(l, "namespaces", OCI_KNOWN_NAMESPACES);
	put_names(l, "capabilities", OCI_KNOWN_CAPABILITIES);
	put_all(json_put_object(l, "cgroup"), cgroup, ARRAY_LEN(cgroup));
	put_seccomp(l);
	put_enabled(l, "apparmor");
	put_enabled(l, "selinux");
	put_all(json_put_object(l, "intelRdt"), rdt, ARRAY_LEN(rdt));
	o = json_put_object(l, "memoryPolicy");
	put_names(o, "modes", OCI_KNOWN_MEMPOLICY_MODES);
	put_names(o, "flags", OCI_KNOWN_MEMPOLICY_FLAGS);
	put_enabled(json_put_object(l, "mountExtensions"), "idmap");
	put_enabled(l, "netDevices");
}

/* ---- this host -------------------------------------------------------------------------------------------------- */

static const char *true_or_false(bool yes)
{
	return yes ? "true" : "false";
}

static bool has_call(long number)
{
	return syscall(number, -1L, -1L, -1L, -1L, -1L, -1L) == 0 || errno != ENOSYS;
}

static void put_host(struct json_object *a)
{
	cleanup_buf struct buf caps = BUF_INIT, namespaces = BUF_INIT;

	json_put_str(a, OWN "host.apparmor", true_or_false(lsm_has_apparmor()));
	json_put_str(a, OWN "host.selinux", true_or_false(lsm_has_selinux()));
	json_put_str(a, OWN "host.resctrl", true_or_false(intel_rdt_is_there()));
	json_put_str(a, OWN "host.memoryPolicy", true_or_false(has_call(SYS_set_mempolicy)));
	json_put_str(a, OWN "host.idmappedMounts", true_or_false(has_call(SYS_mount_setattr)));
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		cleanup_free char *path = str_fmt("/proc/self/ns/%s", oci_ns_info[ns].proc_name);

		if (access(path, F_OK) == 0)
			buf_addf(&namespaces, "%s%s", namespaces.len ? " " : "", oci_ns_info[ns].name);
	}
	for (unsigned int n = 0; caps_name(n); n++)
		if (caps_bounding() & CAP_BIT(n))
			buf_addf(&caps, "%s%s", caps.len ? " " : "", caps_name(n));
	json_put_str(a, OWN "host.namespaces", buf_str(&namespaces));
	json_put_str(a, OWN "host.boundingCapabilities", buf_str(&caps));
}

static void put_annotations(struct json_object *doc)
{
	struct json_object *a = json_put_object(doc, "annotations");
	const struct scmp_version *v = seccomp_version();
	cleanup_free char *libseccomp = str_fmt("%u.%u.%u", v->major, v->minor, v->micro);

	json_put_str(a, "io.github.seccomp.libseccomp.version", libseccomp);
	json_put_str(a, OWN "version", HULL_VERSION);
	json_put_str(a, OWN "checkpoint.enabled", true_or_false(command_find("checkpoint")));
	put_host(a);
}

static int features_run(struct hull *h, void *options, char **args, struct error *e)
{
	cleanup_json struct json_object *doc = json_new();
	cleanup_buf struct buf text = BUF_INIT;

	(void)h, (void)options, (void)args, (void)e;
	json_put_str(doc, "ociVersionMin", OCI_VERSION_MIN);
	json_put_str(doc, "ociVersionMax", OCI_SPEC_VERSION);
	put_names(doc, "hooks", OCI_KNOWN_HOOKS);
	put_names(doc, "mountOptions", OCI_KNOWN_MOUNT_OPTIONS);
	put_linux(doc);
	put_annotations(doc);
	json_put_strs(doc, "potentiallyUnsafeConfigAnnotations", unsafe_annotations,
		      ARRAY_LEN(unsafe_annotations));
	json_text(doc, true, &text);
	puts(buf_str(&text));
	return 0;
}

const struct command command_features = {
	.name = "features",
	.summary = "show what this build can do, as JSON",
	.details =
		"The features structure of the OCI runtime specification (features.md); annotations below\n"
		"\"" OWN "host.\" tell what of it this host has.\n",
	.run = features_run,
};
