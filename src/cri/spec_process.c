/* SPDX-License-Identifier: Apache-2.0 */
/* The process of a container: what runs, as whom, with which environment and rights. */
#include "cri/container.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/file.h"
#include "cri/validate_fields.h"
#include "oci/defaults.h"
#include "sys/caps.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ARG_STRLEN_MAX ((size_t)128 * 1024) /* MAX_ARG_STRLEN of execve(2) with pages of 4 KiB */
#define NOFILE_SOFT 1024		    /* select(2) breaks above; programs raise it themselves */
#define NOFILE_HARD 1048576

/* A command replaces the image's entrypoint and its arguments; args replace the arguments alone
 * (Kubernetes: "Define a Command and Arguments for a Container"). */
static int add_args(const struct container_plan *p, struct json_object *process, struct error *e)
{
	const PB(ContainerConfig) *c = p->config;
	const struct image_config *i = &p->image->config;
	struct json_object *list = json_put_array(process, "args");
	size_t n = 0;

	for (size_t k = 0; k < c->n_command; k++, n++)
		json_push_str(list, c->command[k]);
	if (c->n_command == 0)
		for (size_t k = 0; k < i->entrypoint.n; k++, n++)
			json_push_str(list, i->entrypoint.v[k]);
	for (size_t k = 0; k < c->n_args; k++, n++)
		json_push_str(list, c->args[k]);
	if (c->n_command == 0 && c->n_args == 0)
		for (size_t k = 0; k < i->cmd.n; k++, n++)
			json_push_str(list, i->cmd.v[k]);
	if (n == 0)
		return err_new(
			e, ERR_INVALID,
			"no command: config.command and config.args are empty, and image \"%s\" has neither "
			"entrypoint nor cmd",
			c->image->image);
	return 0;
}

/* Set NAME=value in place of an earlier NAME. */
static void env_set(struct strv *env, const char *item)
{
	size_t name = strcspn(item, "=") + 1;

	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], item, name) == 0) {
			str_set(&env->v[i], item);
			return;
		}
	strv_add(env, item);
}

/* execve(2) would refuse it much later, and would not say which. The value may be a secret. */
static int check_env(const struct strv *env, struct error *e)
{
	size_t total = 0;

	for (size_t i = 0; i < env->n; i++) {
		size_t len = strlen(env->v[i]) + 1;

		total += len + sizeof(char *);
		if (len > ARG_STRLEN_MAX)
			return err_new(e, ERR_INVALID,
				       "the variable \"%.*s\" of the environment (of image and request) has "
				       "%zu bytes; "
				       "execve(2) takes at most %zu",
				       strcspn(env->v[i], "=") < 64 ? (int)strcspn(env->v[i], "=") : 64,
				       env->v[i], len, ARG_STRLEN_MAX);
	}
	if (total > VALIDATE_ARG_MAX)
		return err_new(e, ERR_INVALID,
			       "the environment (of image and request) has %zu bytes; at most %d are allowed",
			       total, VALIDATE_ARG_MAX);
	return 0;
}

static int add_env(const struct container_plan *p, struct json_object *process, struct error *e)
{
	cleanup_strv struct strv env = STRV_INIT;
	const PB(ContainerConfig) *c = p->config;

	strv_add(&env, DEFAULT_PATH);
	if (*p->sandbox->rec->config->hostname)
		strv_addf(&env, "HOSTNAME=%s", p->sandbox->rec->config->hostname);
	if (c->tty)
		strv_add(&env, "TERM=xterm");
	for (size_t i = 0; i < p->image->config.env.n; i++)
		env_set(&env, p->image->config.env.v[i]);
	for (size_t i = 0; i < c->n_envs; i++) {
		const PB(KeyValue) *kv = c->envs[i];
		cleanup_free char *item = str_fmt("%s=%.*s", kv->key, (int)kv->value.len,
						  kv->value.len ? (const char *)kv->value.data : "");

		if (!str_is_utf8(item, strlen(item)))
			return err_new(e, ERR_UNSUPPORTED,
				       "config.envs[%zu] (\"%s\"): the value is not UTF-8, and config.json "
				       "of the OCI "
				       "runtime spec cannot carry it",
				       i, kv->key);
		env_set(&env, item);
	}
	json_put_strv(process, "env", &env);
	return check_env(&env, e);
}

static void add_user(const struct container_plan *p, struct json_object *process)
{
	struct json_object *user = json_put_object(process, "user");

	json_put_u64(user, "uid", p->identity->uid);
	json_put_u64(user, "gid", p->identity->gid);
	if (p->identity->group_count) {
		struct json_object *groups = json_put_array(user, "additionalGids");

		for (size_t i = 0; i < p->identity->group_count; i++)
			json_push(groups, json_object_new_uint64(p->identity->groups[i]));
	}
}

/* --- capabilities --------------------------------------------------------------------------------- */

/* "All" is what we can give: a nested hulld has less than the kernel has. What is asked for by name and
 * cannot be given is an error of its own, later. */
static uint64_t all_caps(void)
{
	return caps_kernel_mask() & caps_bounding();
}

/* Apply one list of names. */
static int change(const char *field, char *const *names, size_t n, bool add, uint64_t *mask, struct error *e)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t bits;
		int cap;

		if (strcasecmp(names[i], "ALL") == 0) {
			bits = all_caps();
		} else {
			cap = caps_from_name(names[i]);
			if (cap < 0)
				return err_new(
					e, ERR_INVALID,
					"linux.security_context.capabilities.%s[%zu] \"%.64s\" is unknown",
					field, i, names[i]);
			bits = CAP_BIT(cap);
		}
		*mask = add ? *mask | bits : *mask & ~bits;
	}
	return 0;
}

static bool has_all(char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(names[i], "ALL") == 0)
			return true;
	return false;
}

/* Order of the engines: "ALL" of either list first, then single additions, then single drops; so
 * drop ALL with add NET_ADMIN leaves one, and add ALL with drop SYS_ADMIN all but one. */
int container_capabilities(const PB(ContainerConfig) *config, uint64_t *ret_caps, uint64_t *ret_ambient,
			   struct error *e)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(config);
	const PB(Capability) *c = s ? s->capabilities : NULL;
	uint64_t mask = oci_default_capability_mask(), drop = 0, ambient = 0;
	int r;

	if (container_is_privileged(config))
		mask = all_caps();
	if (c) {
		if (has_all(c->add_capabilities, c->n_add_capabilities))
			mask = all_caps();
		if (has_all(c->drop_capabilities, c->n_drop_capabilities))
			mask = 0;
		if ((r = change("add_capabilities", c->add_capabilities, c->n_add_capabilities, true, &mask,
				e)) < 0 ||
		    (r = change("drop_capabilities", c->drop_capabilities, c->n_drop_capabilities, true,
				&drop, e)) < 0 ||
		    (r = change("add_ambient_capabilities", c->add_ambient_capabilities,
				c->n_add_ambient_capabilities, true, &ambient, e)) < 0)
			return r;
		if (!has_all(c->drop_capabilities, c->n_drop_capabilities))
			mask &= ~drop;
		mask |= ambient;
	}
	*ret_caps = mask;
	*ret_ambient = ambient;
	return 0;
}

static void put_caps(struct json_object *o, const char *set, uint64_t mask)
{
	struct json_object *list = json_put_array(o, set);

	for (unsigned i = 0; i < 64; i++)
		if (mask & CAP_BIT(i) && caps_name(i))
			json_push_str(list, caps_name(i));
}

/* The inheritable set stays empty but for ambient ones, which need it (CVE-2022-24769). */
static int add_capabilities(const struct container_plan *p, struct json_object *process, struct error *e)
{
	struct json_object *o = json_put_object(process, "capabilities");
	uint64_t caps, ambient;
	int r = container_capabilities(p->config, &caps, &ambient, e);

	if (r < 0)
		return r;
	put_caps(o, "bounding", caps);
	put_caps(o, "effective", caps);
	put_caps(o, "permitted", caps);
	if (ambient) {
		put_caps(o, "inheritable", ambient);
		put_caps(o, "ambient", ambient);
	}
	return 0;
}

/* --- labels, limits ------------------------------------------------------------------------------- */

static bool lsm_is_on(const char *path, char yes)
{
	cleanup_buf struct buf b = BUF_INIT;

	return file_read(AT_FDCWD, path, 64, &b, NULL) == 0 && (yes == 0 || (b.len && b.data[0] == yes));
}

static int add_apparmor(const struct container_plan *p, struct json_object *process, struct error *e)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(p->config);
	const PB(SecurityProfile) *profile = s ? s->apparmor : NULL;
	const char *name = profile ? profile->localhost_ref : s ? s->apparmor_profile : "";

	if (str_starts(name, "localhost/"))
		name += strlen("localhost/");
	if (str_is_empty(name) || str_eq(name, "unconfined") || str_eq(name, "runtime/default"))
		return 0;
	if (!lsm_is_on("/sys/module/apparmor/parameters/enabled", 'Y'))
		return err_new(
			e, ERR_INVALID,
			"linux.security_context.apparmor names the profile \"%.128s\", but AppArmor is "
			"not enabled on this node",
			name);
	json_put_str(process, "apparmorProfile", name);
	return 0;
}

/* Passed through where SELinux is on; elsewhere a label means nothing, and kubelets send them anyway. */
static void add_selinux(const struct container_plan *p, struct json_object *process)
{
	const PB(LinuxContainerSecurityContext) *s = container_security(p->config);
	const PB(SELinuxOption) *o = s ? s->selinux_options : NULL;
	cleanup_free char *label = NULL;

	if (!o || str_is_empty(o->type) || container_is_privileged(p->config) ||
	    !lsm_is_on("/sys/fs/selinux/enforce", 0))
		return;
	label = str_fmt("%s:%s:%s:%s", *o->user ? o->user : "system_u", *o->role ? o->role : "system_r",
			o->type, *o->level ? o->level : "s0");
	json_put_str(process, "selinuxLabel", label);
}

/* proc(5): a score below one's own needs CAP_SYS_RESOURCE in the initial user namespace. */
static void add_oom_score(const struct container_plan *p, struct json_object *process)
{
	const PB(LinuxContainerResources) *res = p->config->linux ? p->config->linux->resources : NULL;
	int64_t score = res ? res->oom_score_adj : 0;
	cleanup_buf struct buf b = BUF_INIT;

	if (!res)
		return;
	if (node_config(p->node)->restrict_oom_score_adj &&
	    file_read(AT_FDCWD, "/proc/self/oom_score_adj", 32, &b, NULL) == 0) {
		long own = strtol(buf_str(&b), NULL, 10);

		if (score < own)
			score = own;
	}
	json_put_i64(process, "oomScoreAdj", score);
}

static void add_rlimits(struct json_object *process)
{
	struct json_object *list = json_put_array(process, "rlimits"), *nofile = json_push_object(list);
	struct rlimit own;
	uint64_t hard = NOFILE_HARD;

	if (getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max < hard)
		hard = own.rlim_max;
	json_put_str(nofile, "type", "RLIMIT_NOFILE");
	json_put_u64(nofile, "hard", hard);
	json_put_u64(nofile, "soft", hard < NOFILE_SOFT ? hard : NOFILE_SOFT);
}

int spec_add_process(const struct container_plan *p, struct json_object *spec, struct error *e)
{
	struct json_object *process = json_put_object(spec, "process");
	const PB(LinuxContainerSecurityContext) *s = container_security(p->config);
	const char *cwd = p->config->working_dir;
	int r;

	if (str_is_empty(cwd))
		cwd = str_is_empty(p->image->config.working_dir) ? "/" : p->image->config.working_dir;
	if (strlen(cwd) >= PATH_MAX)
		return err_new(
			e, ERR_INVALID,
			"the working directory (of request or image) has %zu bytes; a path has less than %d",
			strlen(cwd), PATH_MAX);
	json_put_bool(process, "terminal", p->config->tty);
	json_put_str(process, "cwd", cwd);
	json_put_bool(process, "noNewPrivileges", s && s->no_new_privs);
	add_user(p, process);
	add_selinux(p, process);
	add_oom_score(p, process);
	add_rlimits(process);
	if ((r = add_args(p, process, e)) < 0 || (r = add_env(p, process, e)) < 0 ||
	    (r = add_capabilities(p, process, e)) < 0)
		return r;
	return add_apparmor(p, process, e);
}
