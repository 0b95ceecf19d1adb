// SPDX-License-Identifier: Apache-2.0
/* The sandbox: names, logs, DNS, ports, namespaces, security. What a container gets is in pod_plan_container.c. */
#include "ctl/plan_internal.h"

static void add_labels(const struct pod_plan *p, PB(PodSandboxConfig) *c)
{
	const struct manifest *m = p->manifest;
	const struct manifest_pair own[] = {
		{ "io.kubernetes.pod.name", m->name },
		{ "io.kubernetes.pod.namespace", m->ns },
		{ "io.kubernetes.pod.uid", p->uid },
	};
	size_t n = m->labels.n + ARRAY_LEN(own);

	c->labels = arena_array(p->arena, n, sizeof(*c->labels));
	for (size_t i = 0; i < n; i++) {
		const struct manifest_pair *from = i < m->labels.n
							   ? MANIFEST_AT(m->labels, struct manifest_pair, i)
							   : &own[i - m->labels.n];

		c->labels[i] = PLAN_NEW(p, PodSandboxConfig__LabelsEntry, pod_sandbox_config__labels_entry);
		c->labels[i]->key = (char *)from->key;
		c->labels[i]->value = (char *)from->value;
	}
	c->n_labels = n;
	c->annotations = arena_array(p->arena, m->annotations.n, sizeof(*c->annotations));
	for (size_t i = 0; i < m->annotations.n; i++) {
		const struct manifest_pair *from = MANIFEST_AT(m->annotations, struct manifest_pair, i);

		c->annotations[i] = PLAN_NEW(p, PodSandboxConfig__AnnotationsEntry,
					     pod_sandbox_config__annotations_entry);
		c->annotations[i]->key = (char *)from->key;
		c->annotations[i]->value = (char *)from->value;
	}
	c->n_annotations = m->annotations.n;
}

static void add_texts(const struct pod_plan *p, char ***to, size_t *n, const char *const *host,
		      size_t host_count, const struct manifest_list *own)
{
	*to = arena_array(p->arena, host_count + own->n, sizeof(char *));
	*n = 0;
	for (size_t i = 0; i < host_count; i++)
		(*to)[(*n)++] = (char *)host[i];
	for (size_t i = 0; i < own->n; i++)
		(*to)[(*n)++] = *(char **)MANIFEST_AT(*own, const char *, i);
}

/* dnsPolicy: with None what dnsConfig says; otherwise the node's own (there is no cluster), with dnsConfig's behind it.
 * No DNSConfig at all lets hulld copy the node's resolv.conf. */
static void add_dns(const struct pod_plan *p, PB(PodSandboxConfig) *c)
{
	const struct manifest *m = p->manifest;
	bool is_own = str_eq(m->dns_policy, "None");
	PB(DNSConfig) *d;

	if (!is_own && !m->dns_servers.n && !m->dns_searches.n && !m->dns_options.n)
		return;
	d = c->dns_config = PLAN_NEW(p, DNSConfig, dnsconfig);
	add_texts(p, &d->servers, &d->n_servers, p->host_servers, is_own ? 0 : p->host_server_count,
		  &m->dns_servers);
	add_texts(p, &d->searches, &d->n_searches, p->host_searches, is_own ? 0 : p->host_search_count,
		  &m->dns_searches);
	d->options = arena_array(p->arena, m->dns_options.n, sizeof(char *));
	for (size_t i = 0; i < m->dns_options.n; i++) {
		const struct manifest_pair *o = MANIFEST_AT(m->dns_options, struct manifest_pair, i);

		d->options[d->n_options++] = str_is_empty(o->value)
						     ? (char *)o->key
						     : arena_fmt(p->arena, "%s:%s", o->key, o->value);
	}
}

static void add_ports(const struct pod_plan *p, PB(PodSandboxConfig) *c)
{
	const struct manifest *m = p->manifest;
	size_t n = 0;

	for (size_t i = 0; i < m->containers.n; i++)
		n += MANIFEST_AT(m->containers, struct manifest_container, i)->ports.n;
	c->port_mappings = arena_array(p->arena, n, sizeof(*c->port_mappings));
	for (size_t i = 0; i < m->containers.n; i++) {
		const struct manifest_list *ports =
			&MANIFEST_AT(m->containers, struct manifest_container, i)->ports;

		for (size_t k = 0; k < ports->n; k++) {
			const struct manifest_port *from = MANIFEST_AT(*ports, struct manifest_port, k);
			PB(PortMapping) *to = PLAN_NEW(p, PortMapping, port_mapping);

			to->protocol = str_eq(from->protocol, "UDP")	? RUNTIME__V1__PROTOCOL__UDP
				       : str_eq(from->protocol, "SCTP") ? RUNTIME__V1__PROTOCOL__SCTP
									: RUNTIME__V1__PROTOCOL__TCP;
			to->container_port = (int32_t)from->container_port;
			to->host_port = (int32_t)from->host_port;
			to->host_ip = (char *)from->host_ip;
			c->port_mappings[c->n_port_mappings++] = to;
		}
	}
}

PB(IDMapping) **plan_mapping(const struct pod_plan *p, size_t *ret_n)
{
	PB(IDMapping) **v = arena_array(p->arena, 1, sizeof(*v));

	v[0] = PLAN_NEW(p, IDMapping, idmapping);
	v[0]->host_id = p->userns_start;
	v[0]->container_id = 0;
	v[0]->length = p->userns_length;
	*ret_n = 1;
	return v;
}

PB(NamespaceOption) *plan_namespaces(const struct pod_plan *p)
{
	const struct manifest *m = p->manifest;
	PB(NamespaceOption) *o = PLAN_NEW(p, NamespaceOption, namespace_option);

	o->network = m->host_network ? RUNTIME__V1__NAMESPACE_MODE__NODE : RUNTIME__V1__NAMESPACE_MODE__POD;
	o->ipc = m->host_ipc ? RUNTIME__V1__NAMESPACE_MODE__NODE : RUNTIME__V1__NAMESPACE_MODE__POD;
	o->pid = m->host_pid	? RUNTIME__V1__NAMESPACE_MODE__NODE
		 : m->share_pid ? RUNTIME__V1__NAMESPACE_MODE__POD
				: RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	if (m->host_users == TRI_UNSET)
		return o;
	o->userns_options = PLAN_NEW(p, UserNamespace, user_namespace);
	o->userns_options->mode = m->host_users == TRI_TRUE ? RUNTIME__V1__NAMESPACE_MODE__NODE
							    : RUNTIME__V1__NAMESPACE_MODE__POD;
	if (m->host_users == TRI_FALSE) {
		o->userns_options->uids = plan_mapping(p, &o->userns_options->n_uids);
		o->userns_options->gids = plan_mapping(p, &o->userns_options->n_gids);
	}
	return o;
}

PB(Int64Value) *plan_int(const struct pod_plan *p, int64_t value)
{
	PB(Int64Value) *v;

	if (value < 0)
		return NULL;
	v = PLAN_NEW(p, Int64Value, int64_value);
	v->value = value;
	return v;
}

PB(SecurityProfile) *plan_profile(const struct pod_plan *p, const char *type, const char *ref)
{
	PB(SecurityProfile) *s;

	if (!type)
		return NULL;
	s = PLAN_NEW(p, SecurityProfile, security_profile);
	s->profile_type =
		str_eq(type, "RuntimeDefault") ? RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault
		: str_eq(type, "Localhost")    ? RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost
					       : RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	s->localhost_ref = (char *)(ref ? ref : "");
	return s;
}

PB(SELinuxOption) *plan_selinux(const struct pod_plan *p, const struct manifest_security *s)
{
	PB(SELinuxOption) *o;

	if (!s->se_user && !s->se_role && !s->se_type && !s->se_level)
		return NULL;
	o = PLAN_NEW(p, SELinuxOption, selinux_option);
	o->user = arena_str(p->arena, s->se_user);
	o->role = arena_str(p->arena, s->se_role);
	o->type = arena_str(p->arena, s->se_type);
	o->level = arena_str(p->arena, s->se_level);
	return o;
}

/* fsGroup is one more supplementary group of all containers. */
int64_t *plan_groups(const struct pod_plan *p, size_t *ret_n)
{
	const struct manifest_security *s = &p->manifest->security;
	int64_t *v = arena_array(p->arena, s->groups.n + 1, sizeof(*v));

	*ret_n = 0;
	for (size_t i = 0; i < s->groups.n; i++)
		v[(*ret_n)++] = *MANIFEST_AT(s->groups, int64_t, i);
	if (s->fs_group >= 0)
		v[(*ret_n)++] = s->fs_group;
	return v;
}

static bool has_privileged(const struct manifest *m)
{
	for (size_t i = 0; i < m->init.n + m->containers.n; i++)
		if (manifest_container(m, i)->security.privileged == TRI_TRUE)
			return true;
	return false;
}

static PB(LinuxSandboxSecurityContext) *sandbox_security(const struct pod_plan *p)
{
	const struct manifest_security *s = &p->manifest->security;
	PB(LinuxSandboxSecurityContext) *c =
		PLAN_NEW(p, LinuxSandboxSecurityContext, linux_sandbox_security_context);

	c->namespace_options = plan_namespaces(p);
	c->selinux_options = plan_selinux(p, s);
	c->run_as_user = plan_int(p, s->run_as_user);
	c->run_as_group = plan_int(p, s->run_as_group);
	c->supplemental_groups = plan_groups(p, &c->n_supplemental_groups);
	if (str_eq(s->groups_policy, "Strict"))
		c->supplemental_groups_policy = RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict;
	c->privileged = has_privileged(p->manifest);
	c->seccomp = plan_profile(p, "RuntimeDefault",
				  NULL); /* as a kubelet: of the sandbox's own process, if any */
	return c;
}

PB(PodSandboxConfig) *pod_plan_sandbox(const struct pod_plan *p)
{
	const struct manifest *m = p->manifest;
	PB(PodSandboxConfig) *c = PLAN_NEW(p, PodSandboxConfig, pod_sandbox_config);
	const struct manifest_list *sysctls = &m->security.sysctls;

	c->metadata = PLAN_NEW(p, PodSandboxMetadata, pod_sandbox_metadata);
	c->metadata->name = (char *)m->name;
	c->metadata->namespace_ = (char *)m->ns;
	c->metadata->uid = (char *)p->uid;
	if (!m->host_network)
		c->hostname = arena_strn(p->arena, m->hostname ? m->hostname : m->name,
					 strnlen(m->hostname ? m->hostname : m->name, 63));
	c->log_directory = (char *)p->log_directory;
	add_labels(p, c);
	add_dns(p, c);
	if (!m->host_network)
		add_ports(p, c);
	c->linux = PLAN_NEW(p, LinuxPodSandboxConfig, linux_pod_sandbox_config);
	c->linux->security_context = sandbox_security(p);
	c->linux->sysctls = arena_array(p->arena, sysctls->n, sizeof(*c->linux->sysctls));
	for (size_t i = 0; i < sysctls->n; i++) {
		PB(LinuxPodSandboxConfig__SysctlsEntry) *s = PLAN_NEW(
			p, LinuxPodSandboxConfig__SysctlsEntry, linux_pod_sandbox_config__sysctls_entry);

		s->key = arena_str(p->arena, MANIFEST_AT(*sysctls, struct manifest_pair, i)->key);
		s->value = arena_str(p->arena, MANIFEST_AT(*sysctls, struct manifest_pair, i)->value);
		c->linux->sysctls[c->linux->n_sysctls++] = s;
	}
	return c;
}
