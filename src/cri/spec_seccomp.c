/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp from the request's SecurityProfile. Localhost profiles are files in the form that
 * engines share (github.com/containers/common, docker): as the OCI spec's, and beside it archMap, single
 * "name"s, and rows that hold only with or without certain capabilities or architectures. */
#include "cri/container.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "oci/defaults.h"
#include "sys/caps.h"

#define PROFILE_BYTES_MAX (4u << 20)

/* Does a list of names hold for us? caps: all must be in the set; arches: one must be ours. */
static int filter_holds(struct json_object *filter, uint64_t caps, bool include, bool *ret, struct error *e)
{
	cleanup_strv struct strv names = STRV_INIT, arches = STRV_INIT;
	bool has_caps = true, any_cap = false, arch = false;
	int r;

	if ((r = json_get_strv(filter, "caps", 64, &names, e)) < 0 ||
	    (r = json_get_strv(filter, "arches", 64, &arches, e)) < 0)
		return r;
	for (size_t i = 0; i < names.n; i++) {
		int cap = caps_from_name(names.v[i]);
		bool have = cap >= 0 && (caps & CAP_BIT(cap));

		has_caps &= have;
		any_cap |= have;
	}
	for (size_t i = 0; i < arches.n; i++)
		arch |= str_eq(arches.v[i], "amd64") || str_eq(arches.v[i], "x86") ||
			str_eq(arches.v[i], "x32");
	if (include)
		*ret = has_caps && (arches.n == 0 || arch);
	else
		*ret = any_cap || (arches.n > 0 && arch);
	return 0;
}

static int row_holds(struct json_object *row, uint64_t caps, bool *ret, struct error *e)
{
	struct json_object *filter;
	bool holds = true;
	int r;

	if ((r = json_get_object(row, "includes", &filter, e)) < 0)
		return r;
	if (r > 0 && (r = filter_holds(filter, caps, true, &holds, e)) < 0)
		return r;
	*ret = holds;
	if (!holds || (r = json_get_object(row, "excludes", &filter, e)) <= 0)
		return r;
	if ((r = filter_holds(filter, caps, false, &holds, e)) < 0)
		return r;
	*ret = !holds;
	return 0;
}

static void copy_member(struct json_object *from, const char *key, struct json_object *to)
{
	struct json_object *v;

	if (json_object_object_get_ex(from, key, &v) && v)
		json_put(to, key, json_object_get(v));
}

static int add_rows(struct json_object *profile, uint64_t caps, struct json_object *out, struct error *e)
{
	static const char *const members[] = { "names", "action", "errnoRet", "args" };
	struct json_object *rows, *to = json_put_array(out, "syscalls");
	int r = json_get_array(profile, "syscalls", &rows, e);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i), *copy;
		const char *name;
		bool holds;

		if (!json_object_is_type(row, json_type_object))
			return err_new(e, ERR_INVALID, "syscalls[%zu] is no object", i);
		if ((r = row_holds(row, caps, &holds, e)) < 0)
			return err_ctx(e, "syscalls[%zu]", i);
		if (!holds)
			continue;
		copy = json_push_object(to);
		for (size_t k = 0; k < ARRAY_LEN(members); k++)
			copy_member(row, members[k], copy);
		if ((r = json_get_str(row, "name", &name, e)) < 0)
			return err_ctx(e, "syscalls[%zu]", i);
		if (r > 0)
			json_put_strs(copy, "names", &name, 1);
	}
	return 0;
}

static int add_architectures(struct json_object *profile, struct json_object *out, struct error *e)
{
	struct json_object *map;
	int r = json_get_array(profile, "archMap", &map, e);

	if (r < 0)
		return r;
	if (r == 0) {
		copy_member(profile, "architectures", out);
		return 0;
	}
	for (size_t i = 0; i < json_object_array_length(map); i++) {
		struct json_object *row = json_object_array_get_idx(map, i), *list;
		cleanup_strv struct strv sub = STRV_INIT;
		const char *arch;

		if (!json_object_is_type(row, json_type_object) ||
		    json_get_str(row, "architecture", &arch, e) <= 0 || !str_eq(arch, "SCMP_ARCH_X86_64"))
			continue;
		list = json_put_array(out, "architectures");
		json_push_str(list, arch);
		if ((r = json_get_strv(row, "subArchitectures", 16, &sub, e)) < 0)
			return r;
		for (size_t k = 0; k < sub.n; k++)
			json_push_str(list, sub.v[k]);
	}
	return 0;
}

static int convert_profile(const char *text, size_t len, uint64_t caps, struct json_object **ret,
			   struct error *e)
{
	static const char *const members[] = { "defaultAction", "defaultErrnoRet", "flags", "listenerPath",
					       "listenerMetadata" };
	cleanup_json struct json_object *profile = NULL, *out = NULL;
	int r = json_parse_object(text, len, PROFILE_BYTES_MAX, &profile, e);

	if (r < 0)
		return r;
	out = json_new();
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		copy_member(profile, members[i], out);
	if ((r = add_architectures(profile, out, e)) < 0 || (r = add_rows(profile, caps, out, e)) < 0)
		return r;
	*ret = take_ptr(out);
	return 0;
}

static int localhost_profile(const char *path, uint64_t caps, struct json_object **ret, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r;

	if (path[0] != '/')
		return err_new(e, ERR_INVALID,
			       "linux.security_context.seccomp.localhost_ref \"%.200s\" is not absolute",
			       path);
	if ((r = file_read(AT_FDCWD, path, PROFILE_BYTES_MAX, &b, e)) < 0)
		return err_ctx(e, "linux.security_context.seccomp.localhost_ref");
	if ((r = convert_profile(buf_str(&b), b.len, caps, ret, e)) < 0)
		return err_ctx(e, "seccomp profile \"%s\"", path);
	return 0;
}

/* The older field: "", "unconfined", "runtime/default", "docker/default", "localhost/<path>". */
static int old_field(const char *path, uint64_t caps, struct json_object **ret, struct error *e)
{
	if (str_is_empty(path) || str_eq(path, "unconfined"))
		return 0;
	if (str_eq(path, "runtime/default") || str_eq(path, "docker/default")) {
		*ret = oci_default_seccomp(caps);
		return 0;
	}
	if (str_starts(path, "localhost/"))
		return localhost_profile(path + strlen("localhost/"), caps, ret, e);
	return err_new(e, ERR_INVALID, "linux.security_context.seccomp_profile_path \"%.200s\" is unknown",
		       path);
}

int spec_add_seccomp(const struct container_plan *p, struct json_object *linux_, struct error *e)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(p->config);
	struct json_object *profile = NULL;
	uint64_t caps, ambient;
	int r;

	if (!s || s->privileged)
		return 0;
	if ((r = container_capabilities(p->config, &caps, &ambient, e)) < 0)
		return r;
	if (!s->seccomp) {
		r = old_field(s->seccomp_profile_path, caps, &profile, e);
	} else if (s->seccomp->profile_type == RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault) {
		profile = oci_default_seccomp(caps);
	} else if (s->seccomp->profile_type == RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost) {
		r = localhost_profile(s->seccomp->localhost_ref, caps, &profile, e);
	}
	if (r < 0)
		return r;
	if (profile)
		json_put(linux_, "seccomp", profile);
	return 0;
}
