// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "oci/spec_internal.h"

/* user first: what comes after it is then made inside of it and owned by it (user_namespaces(7)). */
const struct oci_ns_info oci_ns_info[OCI_NS_COUNT] = {
	[OCI_NS_USER] = { "user", "user", CLONE_NEWUSER },
	[OCI_NS_MOUNT] = { "mount", "mnt", CLONE_NEWNS },
	[OCI_NS_PID] = { "pid", "pid", CLONE_NEWPID },
	[OCI_NS_NETWORK] = { "network", "net", CLONE_NEWNET },
	[OCI_NS_IPC] = { "ipc", "ipc", CLONE_NEWIPC },
	[OCI_NS_UTS] = { "uts", "uts", CLONE_NEWUTS },
	[OCI_NS_CGROUP] = { "cgroup", "cgroup", CLONE_NEWCGROUP },
	[OCI_NS_TIME] = { "time", "time", 0x80 /* CLONE_NEWTIME, which clone(2) does not take */ },
};

static const char *const hook_names[OCI_HOOK_KIND_COUNT] = {
	"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
};

const char *oci_hook_name(enum oci_hook_kind kind)
{
	return hook_names[kind];
}

const char *oci_kvs_get(const struct oci_kvs *kvs, const char *key)
{
	for (size_t i = 0; i < kvs->n; i++) {
		if (strcmp(kvs->v[i].key, key) == 0)
			return kvs->v[i].value;
	}
	return NULL;
}

/* SemVer 2.0.0 of which we read major version 1: minor versions only add ("Specification version"). */
static int read_version(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	int k = read_name(r, v, dst, arg);
	const char *s = *(const char **)dst;
	size_t major, minor, patch;

	if (k < 0)
		return k;
	major = strspn(s, "0123456789");
	minor = s[major] == '.' ? strspn(s + major + 1, "0123456789") : 0;
	patch = minor && s[major + 1 + minor] == '.' ? strspn(s + major + minor + 2, "0123456789") : 0;
	if (!major || !minor || !patch || !memchr("-+", s[major + minor + patch + 2], 3))
		return reader_fail(r, ERR_INVALID, "\"%s\" is not a version like \"%s\"", s,
				   OCI_SPEC_VERSION);
	if (major != 1 || *s != '1')
		return reader_fail(r, ERR_UNSUPPORTED,
				   "\"%s\": hull reads versions 1.x of the runtime specification", s);
	return 0;
}

/* ---- mounts ------------------------------------------------------------------------------------- */

static int check_mount(struct reader *r, void *item)
{
	struct oci_mount *m = item;
	int k;

	/* "Runtimes MUST support absolute destinations; relative ones are interpreted from /" (since 1.1
	 * deprecated). */
	if (m->destination[0] != '/')
		m->destination = arena_fmt(r->arena, "/%s", m->destination);
	if (strlen(m->destination) >= PATH_MAX)
		return reader_fail_at(r, "destination", ERR_LIMIT, "longer than a path can be");
	k = oci_mount_options_parse(m->option_words.v, m->option_words.n, r->arena, &m->options, r->e);
	if (k < 0) {
		err_ctx(r->e, "options");
		return reader_ctx(r);
	}
	/* The type of a bind mount is ignored, as the specification says; "bind" as a type is what many write. */
	if (m->type && strcmp(m->type, "bind") == 0 && !m->options.is_bind)
		m->options.is_bind = true;
	if (m->options.is_bind && !m->source)
		return reader_fail_at(r, "source", ERR_INVALID, "is missing: \"%s\" is a bind mount",
				      m->destination);
	if (!m->uid_mappings.n != !m->gid_mappings.n)
		return reader_fail_at(r, m->uid_mappings.n ? "gidMappings" : "uidMappings", ERR_INVALID,
				      "is missing: the mount has the other one");
	return 0;
}

static const struct field mount_fields[] = {
	NEEDED(struct oci_mount, destination, "destination", read_name, NULL),
	FIELD(struct oci_mount, type, "type", read_str, NULL),
	FIELD(struct oci_mount, source, "source", read_str, NULL),
	FIELD(struct oci_mount, option_words, "options", read_strs, NULL),
	FIELD(struct oci_mount, uid_mappings, "uidMappings", read_list, &oci_id_mapping_list),
	FIELD(struct oci_mount, gid_mappings, "gidMappings", read_list, &oci_id_mapping_list),
	FIELDS_END,
};
static const char *const no_strs[] = { NULL };
static const struct oci_mount mount_defaults = { .option_words.v = no_strs };
const struct list_of oci_mount_list = {
	.size = sizeof(struct oci_mount),
	.fields = mount_fields,
	.check = check_mount,
	.defaults = &mount_defaults,
};

/* ---- hooks -------------------------------------------------------------------------------------- */

static const struct range timeout_range = { 1, INT32_MAX };
static const struct field hook_fields[] = {
	NEEDED(struct oci_hook, path, "path", read_abs_path, NULL),
	FIELD(struct oci_hook, args, "args", read_strs, NULL),
	FIELD(struct oci_hook, env, "env", read_strs, NULL),
	FIELD(struct oci_hook, timeout_s, "timeout", read_opt_i32, &timeout_range),
	FIELDS_END,
};
static const struct oci_hook hook_defaults = { .args.v = no_strs, .env.v = no_strs };
static const struct list_of hook_list = {
	.size = sizeof(struct oci_hook),
	.fields = hook_fields,
	.defaults = &hook_defaults,
};

/* The base is the array of lists in struct oci_spec. */
static int read_hooks(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	struct field fields[OCI_HOOK_KIND_COUNT + 1] = { 0 };

	(void)arg;
	for (int i = 0; i < OCI_HOOK_KIND_COUNT; i++)
		fields[i] = (struct field){ hook_names[i], read_list, (size_t)i * sizeof(struct any_list),
					    &hook_list, false };
	return reader_fields(r, v, fields, dst);
}

/* ---- the whole ---------------------------------------------------------------------------------- */

#define ROOT_OFFSET offsetof(struct oci_spec, root)
static const struct field root_fields[] = {
	NEEDED(struct oci_spec, root.path, "path", read_name, NULL),
	FIELD(struct oci_spec, root.readonly, "readonly", read_bool, NULL),
	FIELDS_END,
};

/* The root is an anonymous part of struct oci_spec: its rows count from the spec itself. */
static int read_root(struct reader *r, struct json_object *v, void *dst, const void *arg)
{
	(void)arg;
	return reader_fields(r, v, root_fields, (char *)dst - ROOT_OFFSET);
}

static const struct field spec_fields[] = {
	NEEDED(struct oci_spec, oci_version, "ociVersion", read_version, NULL),
	FIELD(struct oci_spec, has_process, "process", read_present, NULL),
	FIELD(struct oci_spec, process, "process", read_object, &oci_process_object),
	FIELD(struct oci_spec, has_root, "root", read_present, NULL),
	FIELD(struct oci_spec, root, "root", read_root, NULL),
	FIELD(struct oci_spec, hostname, "hostname", read_str, NULL),
	FIELD(struct oci_spec, domainname, "domainname", read_str, NULL),
	FIELD(struct oci_spec, mounts, "mounts", read_list, &oci_mount_list),
	FIELD(struct oci_spec, hooks, "hooks", read_hooks, NULL),
	FIELD(struct oci_spec, annotations, "annotations", read_kvs, NULL),
	FIELD(struct oci_spec, has_linux, "linux", read_present, NULL),
	FIELD(struct oci_spec, linux, "linux", read_object, &oci_linux_object),
	FIELDS_END,
};

static const struct oci_strs no_words = { .v = no_strs };

static void process_defaults(struct oci_process *p)
{
	p->env = p->args = p->capabilities.unknown = no_words;
}

static struct arena *arena_new(void)
{
	return NEW(struct arena);
}

static void arena_free(struct arena *arena)
{
	arena_done(arena);
	free(arena);
}
DEFINE_CLEANUP(struct arena, arena_free)

int oci_spec_parse(const char *json, size_t len, struct oci_spec **ret_spec, struct error *e)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	cleanup_json struct json_object *doc = NULL;
	struct reader r = { .arena = arena, .e = e };
	struct oci_spec *spec = arena_alloc(arena, sizeof(*spec));
	int k;

	k = json_parse_object(json, len, OCI_SPEC_MAX_BYTES, &doc, e);
	if (k < 0)
		return k;
	process_defaults(&spec->process);
	spec->linux.masked_paths = spec->linux.readonly_paths = no_words;
	k = reader_fields(&r, doc, spec_fields, spec);
	if (k < 0)
		return k;
	k = oci_spec_check(&r, spec);
	if (k < 0)
		return k;
	spec->arena = take_ptr(arena);
	*ret_spec = spec;
	return 0;
}

void oci_spec_free(struct oci_spec *spec)
{
	if (spec)
		arena_free(spec->arena); /* the spec is in it */
}

int oci_process_parse(const char *json, size_t len, struct oci_process **ret_process, struct error *e)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	cleanup_json struct json_object *doc = NULL;
	struct reader r = { .arena = arena, .e = e };
	struct oci_process *process = arena_alloc(arena, sizeof(*process));
	int k;

	k = json_parse_object(json, len, OCI_SPEC_MAX_BYTES, &doc, e);
	if (k < 0)
		return k;
	process_defaults(process);
	k = read_object(&r, doc, process, &oci_process_object);
	if (k < 0)
		return k;
	process->arena = take_ptr(arena);
	*ret_process = process;
	return 0;
}

void oci_process_free(struct oci_process *process)
{
	if (process)
		arena_free(process->arena);
}

int oci_resources_parse(const char *json, size_t len, struct arena *arena,
			struct oci_resources *ret_resources, struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	struct reader r = { .arena = arena, .e = e };
	struct oci_resources resources = { 0 };
	int k;

	k = json_parse_object(json, len, OCI_SPEC_MAX_BYTES, &doc, e);
	if (k < 0)
		return k;
	k = read_object(&r, doc, &resources, &oci_resources_object);
	if (k == 0)
		*ret_resources = resources;
	return k;
}
