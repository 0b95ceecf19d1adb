/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/validate.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "cri/validate_fields.h"

/* Names go into CNI_ARGS ("K=V;K=V") and log lines. */
int validate_name(const char *field, const char *name, bool required, struct error *e)
{
	size_t len = name ? strlen(name) : 0;

	if (len == 0)
		return required ? err_new(e, ERR_INVALID, "%s is empty", field) : 0;
	if (len > VALIDATE_NAME_MAX)
		return err_new(e, ERR_LIMIT, "%s has %zu bytes; at most %d are allowed", field, len,
			       VALIDATE_NAME_MAX);
	for (const char *p = name; *p; p++)
		if (iscntrl((unsigned char)*p) || strchr("/;=\\", *p))
			return err_new(e, ERR_INVALID, "%s \"%s\" contains '%c' (0x%02x)", field, name,
				       isprint((unsigned char)*p) ? *p : '?', (unsigned char)*p);
	return 0;
}

int validate_strings(const char *field, char *const *v, size_t n, size_t bytes_max, struct error *e)
{
	size_t bytes = 0;

	if (n > VALIDATE_LIST_MAX)
		return err_new(e, ERR_LIMIT, "%s has %zu items; at most %d are allowed", field, n,
			       VALIDATE_LIST_MAX);
	for (size_t i = 0; i < n; i++) {
		bytes += strlen(v[i]) + 1;
		if (bytes > bytes_max)
			return err_new(e, ERR_LIMIT, "%s has more than %zu bytes", field, bytes_max);
	}
	return 0;
}

static int check_metadata(const PB(PodSandboxMetadata) *m, struct error *e)
{
	int r;

	if (!m)
		return err_new(e, ERR_INVALID, "config.metadata is missing");
	if ((r = validate_name("config.metadata.name", m->name, true, e)) < 0 ||
	    (r = validate_name("config.metadata.namespace", m->namespace_, true, e)) < 0)
		return r;
	return validate_name("config.metadata.uid", m->uid, true, e);
}

/* sethostname(2): at most 64 bytes; what a DNS label list may hold (RFC 1123). */
static int check_hostname(const char *name, struct error *e)
{
	size_t len = strlen(name);

	if (len > 64)
		return err_new(e, ERR_INVALID, "config.hostname \"%s\" has %zu bytes; the kernel allows 64",
			       name, len);
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return err_new(
				e, ERR_INVALID,
				"config.hostname \"%s\" may hold letters, digits, '-', '_' and '.' only",
				name);
	return 0;
}

static int check_dns(const PB(DNSConfig) *dns, struct error *e)
{
	const struct {
		const char *field;
		char **v;
		size_t n;
	} lists[] = {
		{ "config.dns_config.servers", dns->servers, dns->n_servers },
		{ "config.dns_config.searches", dns->searches, dns->n_searches },
		{ "config.dns_config.options", dns->options, dns->n_options },
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		int r = validate_strings(lists[i].field, lists[i].v, lists[i].n, 65536, e);

		if (r < 0)
			return r;
		for (size_t k = 0; k < lists[i].n; k++)
			for (const char *p = lists[i].v[k]; *p; p++)
				if (iscntrl((unsigned char)*p) || *p == ' ')
					return err_new(e, ERR_INVALID,
						       "%s[%zu] \"%s\" contains a space or control character",
						       lists[i].field, k, lists[i].v[k]);
	}
	return 0;
}

static int check_ports(PB(PortMapping) *const *ports, size_t n, struct error *e)
{
	if (n > VALIDATE_LIST_MAX)
		return err_new(e, ERR_LIMIT, "config.port_mappings has %zu items; at most %d are allowed", n,
			       VALIDATE_LIST_MAX);
	for (size_t i = 0; i < n; i++) {
		const PB(PortMapping) *p = ports[i];

		if (p->container_port < 1 || p->container_port > 65535)
			return err_new(e, ERR_INVALID,
				       "config.port_mappings[%zu].container_port is %d, not 1 to 65535", i,
				       p->container_port);
		if (p->host_port < 0 || p->host_port > 65535)
			return err_new(e, ERR_INVALID,
				       "config.port_mappings[%zu].host_port is %d, not 0 to 65535", i,
				       p->host_port);
		if (p->protocol > RUNTIME__V1__PROTOCOL__SCTP)
			return err_new(e, ERR_INVALID, "config.port_mappings[%zu].protocol %d is unknown", i,
				       (int)p->protocol);
		if (p->host_ip && strpbrk(p->host_ip, " \t\r\n;="))
			return err_new(e, ERR_INVALID,
				       "config.port_mappings[%zu].host_ip \"%s\" is no address", i,
				       p->host_ip);
	}
	return 0;
}

int validate_id_value(const char *field, const PB(Int64Value) *v, struct error *e)
{
	/* 2^32 - 1 is (uid_t)-1, "no change" in the system calls (CVE-2024-40635 is what comes of more). */
	if (v && (v->value < 0 || v->value >= UINT32_MAX))
		return err_new(e, ERR_INVALID, "%s %lld is not in the range 0 to 4294967294", field,
			       (long long)v->value);
	return 0;
}

int validate_groups(const char *field, const int64_t *groups, size_t n, struct error *e)
{
	if (n > VALIDATE_GROUPS_MAX)
		return err_new(e, ERR_LIMIT, "%s has %zu items; the kernel allows %d", field, n,
			       VALIDATE_GROUPS_MAX);
	for (size_t i = 0; i < n; i++)
		if (groups[i] < 0 || groups[i] >= UINT32_MAX)
			return err_new(e, ERR_INVALID, "%s[%zu] %lld is not in the range 0 to 4294967294",
				       field, i, (long long)groups[i]);
	return 0;
}

int validate_profile(const char *field, const PB(SecurityProfile) *p, struct error *e)
{
	if (!p)
		return 0;
	if (p->profile_type > RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost)
		return err_new(e, ERR_INVALID, "%s.profile_type %d is unknown", field, (int)p->profile_type);
	if (p->profile_type == RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost) {
		if (str_is_empty(p->localhost_ref))
			return err_new(e, ERR_INVALID, "%s.localhost_ref is empty with the type Localhost",
				       field);
	} else if (!str_is_empty(p->localhost_ref)) {
		return err_new(e, ERR_INVALID,
			       "%s.localhost_ref \"%s\" is set, but the type is not Localhost", field,
			       p->localhost_ref);
	}
	if (p->localhost_ref && strlen(p->localhost_ref) >= PATH_MAX)
		return err_new(e, ERR_LIMIT, "%s.localhost_ref is longer than a path may be", field);
	return 0;
}

static int check_range(const char *field, PB(IDMapping) *const *maps, size_t n, struct error *e)
{
	if (n != 1)
		return err_new(e, ERR_INVALID, "%s has %zu ranges; exactly one is needed", field, n);
	if (maps[0]->length == 0)
		return err_new(e, ERR_INVALID, "%s[0].length is 0", field);
	if (maps[0]->container_id != 0)
		return err_new(e, ERR_INVALID, "%s[0].container_id is %u; container id 0 must be mapped",
			       field, maps[0]->container_id);
	if ((uint64_t)maps[0]->host_id + maps[0]->length > UINT32_MAX)
		return err_new(e, ERR_INVALID, "%s[0] ends at host id %llu, past 4294967294", field,
			       (unsigned long long)maps[0]->host_id + maps[0]->length - 1);
	return 0;
}

static int check_userns(const PB(UserNamespace) *u, struct error *e)
{
	static const char *const field = "namespace_options.userns_options";
	int r;

	if (!u)
		return 0;
	switch (u->mode) {
	case RUNTIME__V1__NAMESPACE_MODE__POD:
		if ((r = check_range("namespace_options.userns_options.uids", u->uids, u->n_uids, e)) < 0)
			return r;
		return check_range("namespace_options.userns_options.gids", u->gids, u->n_gids, e);
	case RUNTIME__V1__NAMESPACE_MODE__NODE:
		if (u->n_uids || u->n_gids)
			return err_new(e, ERR_INVALID, "%s: the mode NODE takes no mappings", field);
		return 0;
	case RUNTIME__V1__NAMESPACE_MODE__CONTAINER:
		return err_new(e, ERR_INVALID, "%s: the mode CONTAINER is not possible; POD and NODE are",
			       field);
	case RUNTIME__V1__NAMESPACE_MODE__TARGET:
		return err_new(e, ERR_INVALID, "%s: the mode TARGET is not possible; POD and NODE are",
			       field);
	default:
		return err_new(e, ERR_INVALID, "%s: the mode %d is unknown", field, (int)u->mode);
	}
}

int validate_namespaces(const PB(NamespaceOption) *o, bool of_sandbox, struct error *e)
{
	const struct {
		const char *field;
		unsigned mode;
		bool target;
	} modes[] = {
		{ "namespace_options.network", o->network, false },
		{ "namespace_options.pid", o->pid, true },
		{ "namespace_options.ipc", o->ipc, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (modes[i].mode > RUNTIME__V1__NAMESPACE_MODE__TARGET)
			return err_new(e, ERR_INVALID, "%s: the mode %u is unknown", modes[i].field,
				       modes[i].mode);
		if (modes[i].mode == RUNTIME__V1__NAMESPACE_MODE__TARGET && !modes[i].target)
			return err_new(e, ERR_INVALID, "%s: the mode TARGET is for the pid namespace only",
				       modes[i].field);
		if (modes[i].mode == RUNTIME__V1__NAMESPACE_MODE__TARGET && of_sandbox)
			return err_new(e, ERR_INVALID,
				       "%s: the mode TARGET is for containers, not for a sandbox",
				       modes[i].field);
		if (modes[i].mode == RUNTIME__V1__NAMESPACE_MODE__CONTAINER && !modes[i].target)
			return err_new(e, ERR_INVALID, "%s: the mode CONTAINER is for the pid namespace only",
				       modes[i].field);
	}
	if (o->pid == RUNTIME__V1__NAMESPACE_MODE__TARGET && !of_sandbox && str_is_empty(o->target_id))
		return err_new(e, ERR_INVALID,
			       "namespace_options.target_id is empty with the pid mode TARGET");
	return check_userns(o->userns_options, e);
}

/* user_namespaces(7): a user namespace that owns neither the pid nor the ipc namespace of its
 * processes could not mount procfs or mqueue; Kubernetes forbids the combination (KEP-127). */
static int check_userns_with_host(const PB(NamespaceOption) *o, struct error *e)
{
	if (!o->userns_options || o->userns_options->mode != RUNTIME__V1__NAMESPACE_MODE__POD)
		return 0;
	if (o->pid == RUNTIME__V1__NAMESPACE_MODE__NODE)
		return err_new(e, ERR_INVALID,
			       "namespace_options.pid is NODE: not possible in a pod with a user namespace");
	if (o->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE)
		return err_new(e, ERR_INVALID,
			       "namespace_options.ipc is NODE: not possible in a pod with a user namespace");
	return 0;
}

static int check_sandbox_security(const PB(LinuxSandboxSecurityContext) *s, struct error *e)
{
	int r;

	if ((r = validate_id_value("linux.security_context.run_as_user", s->run_as_user, e)) < 0 ||
	    (r = validate_id_value("linux.security_context.run_as_group", s->run_as_group, e)) < 0 ||
	    (r = validate_groups("linux.security_context.supplemental_groups", s->supplemental_groups,
				 s->n_supplemental_groups, e)) < 0 ||
	    (r = validate_profile("linux.security_context.seccomp", s->seccomp, e)) < 0 ||
	    (r = validate_profile("linux.security_context.apparmor", s->apparmor, e)) < 0)
		return r;
	if (s->run_as_group && !s->run_as_user)
		return err_new(e, ERR_INVALID,
			       "linux.security_context.run_as_group is set without run_as_user");
	if (s->supplemental_groups_policy > RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict)
		return err_new(e, ERR_INVALID,
			       "linux.security_context.supplemental_groups_policy %d is unknown",
			       (int)s->supplemental_groups_policy);
	if (!s->namespace_options)
		return 0;
	if ((r = validate_namespaces(s->namespace_options, true, e)) < 0)
		return r;
	return check_userns_with_host(s->namespace_options, e);
}

int validate_resources(const char *field, const PB(LinuxContainerResources) *res, struct error *e)
{
	if (!res)
		return 0;
	if (res->cpu_period < 0 || (res->cpu_period && (res->cpu_period < 1000 || res->cpu_period > 1000000)))
		return err_new(e, ERR_INVALID, "%s.cpu_period %lld us is not in the range 1000 to 1000000",
			       field, (long long)res->cpu_period);
	if (res->cpu_quota > 0 && res->cpu_quota < 1000)
		return err_new(e, ERR_INVALID, "%s.cpu_quota %lld us is less than 1000", field,
			       (long long)res->cpu_quota);
	if (res->cpu_shares < 0)
		return err_new(e, ERR_INVALID, "%s.cpu_shares %lld is negative", field,
			       (long long)res->cpu_shares);
	if (res->memory_limit_in_bytes < -1)
		return err_new(e, ERR_INVALID, "%s.memory_limit_in_bytes %lld is negative", field,
			       (long long)res->memory_limit_in_bytes);
	if (res->oom_score_adj < -1000 || res->oom_score_adj > 1000)
		return err_new(e, ERR_INVALID, "%s.oom_score_adj %lld is not in the range -1000 to 1000",
			       field, (long long)res->oom_score_adj);
	if (res->n_hugepage_limits > 64 || res->n_unified > 256)
		return err_new(e, ERR_LIMIT, "%s has too many hugepage_limits or unified entries", field);
	for (size_t i = 0; i < res->n_unified; i++)
		if (!path_is_name(res->unified[i]->key))
			return err_new(e, ERR_INVALID, "%s.unified[\"%s\"] is not the name of a cgroup file",
				       field, res->unified[i]->key);
	return 0;
}

static int check_sandbox_linux(const PB(LinuxPodSandboxConfig) *l, struct error *e)
{
	int r;

	if (!str_is_empty(l->cgroup_parent) && !path_is_clean_abs(l->cgroup_parent) &&
	    (strchr(l->cgroup_parent, '/') || !str_ends(l->cgroup_parent, ".slice")))
		return err_new(e, ERR_INVALID,
			       "config.linux.cgroup_parent \"%.200s\" is neither an absolute path without "
			       "\"..\" nor a "
			       "slice name",
			       l->cgroup_parent);
	if (l->n_sysctls > VALIDATE_LIST_MAX)
		return err_new(e, ERR_LIMIT, "config.linux.sysctls has %zu entries; at most %d are allowed",
			       l->n_sysctls, VALIDATE_LIST_MAX);
	if ((r = validate_resources("config.linux.overhead", l->overhead, e)) < 0 ||
	    (r = validate_resources("config.linux.resources", l->resources, e)) < 0)
		return r;
	return l->security_context ? check_sandbox_security(l->security_context, e) : 0;
}

int validate_sandbox_config(const PB(PodSandboxConfig) *config, struct error *e)
{
	int r;

	if (!config)
		return err_new(e, ERR_INVALID, "config is missing");
	if ((r = check_metadata(config->metadata, e)) < 0 || (r = check_hostname(config->hostname, e)) < 0 ||
	    (r = VALIDATE_MAP("config.labels", config->labels, config->n_labels)) < 0 ||
	    (r = VALIDATE_MAP("config.annotations", config->annotations, config->n_annotations)) < 0 ||
	    (r = check_ports(config->port_mappings, config->n_port_mappings, e)) < 0)
		return r;
	if (!str_is_empty(config->log_directory) && !path_is_clean_abs(config->log_directory)) {
		cleanup_free char *clean = path_clean(config->log_directory);

		/* A trailing slash is common and harmless; ".." is not. */
		if (config->log_directory[0] != '/' || strstr(config->log_directory, ".."))
			return err_new(
				e, ERR_INVALID,
				"config.log_directory \"%.200s\" is not an absolute path without \"..\"",
				config->log_directory);
		if (strlen(clean) >= PATH_MAX)
			return err_new(e, ERR_LIMIT, "config.log_directory is longer than a path may be");
	}
	if (config->dns_config && (r = check_dns(config->dns_config, e)) < 0)
		return r;
	if (config->windows)
		return err_new(e, ERR_INVALID, "config.windows is set: this is a Linux node");
	return config->linux ? check_sandbox_linux(config->linux, e) : 0;
}

int validate_id(const char *field, const char *id, struct error *e)
{
	if (str_is_empty(id))
		return err_new(e, ERR_INVALID, "%s is empty", field);
	if (strlen(id) > 256)
		return err_new(e, ERR_INVALID, "%s has %zu bytes: that is no id", field, strlen(id));
	return 0;
}
