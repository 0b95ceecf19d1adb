/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/sandbox.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void sandbox_plan_done(struct sandbox_plan *p)
{
	free(p->sysctls);
	p->sysctls = NULL;
}

static int find_handler(struct node *n, const char *name, const struct handler_config **ret, struct error *e)
{
	for (size_t i = 0; i < node_config(n)->handler_count; i++)
		if (str_eq(node_config(n)->handlers[i].name, name)) {
			*ret = &node_config(n)->handlers[i];
			return 0;
		}
	return err_new(e, ERR_INVALID,
		       "runtime_handler \"%.64s\" is not configured on this node (runtimes in the "
		       "configuration)",
		       name);
}

static const PB(NamespaceOption) *options_of(const PB(PodSandboxConfig) *c)
{
	return c->linux && c->linux->security_context ? c->linux->security_context->namespace_options : NULL;
}

static bool is_privileged(const PB(PodSandboxConfig) *c)
{
	return c->linux && c->linux->security_context && c->linux->security_context->privileged;
}

/* Why a pod cannot have the node's or a private mapping that its request does not ask for; NULL: it can. */
static const char *why_no_userns(const struct sandbox_plan *p, bool privileged)
{
	if (!p->new_net)
		return "the pod asks for the host's network";
	if (p->host_pid)
		return "the pod asks for the host's pid namespace";
	if (!p->new_ipc)
		return "the pod asks for the host's ipc namespace";
	if (privileged)
		return "the pod is privileged";
	return NULL;
}

/* The policy of a node: a mapping for pods whose request has none. */
static int plan_policy(struct node *n, const PB(PodSandboxConfig) *config, struct sandbox_plan *p,
		       struct error *e)
{
	const char *why = why_no_userns(p, is_privileged(config));

	if (p->handler->userns == USERNS_KUBELET) {
		snprintf(p->note, sizeof(p->note), "the request asks for none (userns: kubelet)");
		return 0;
	}
	if (why) {
		snprintf(p->note, sizeof(p->note), "none in spite of the node's policy: %.200s", why);
		return 0;
	}
	if (!n->features.user_namespaces) {
		snprintf(p->note, sizeof(p->note), "none in spite of the node's policy: %.200s",
			 n->features.missing);
		return 0;
	}
	if (p->handler->userns == USERNS_NODE) {
		if (node_config(n)->node_uids.n == 0 || node_config(n)->node_gids.n == 0)
			return err_new(e, ERR_INVALID,
				       "userns is \"node\", but userns.node_mapping is not configured");
		p->uids = node_config(n)->node_uids;
		p->gids = node_config(n)->node_gids;
		snprintf(p->note, sizeof(p->note), "the node's mapping (userns: node)");
	} else if (!n->has_pool) {
		snprintf(p->note, sizeof(p->note), "none in spite of the node's policy: %.200s",
			 n->pool_note);
		return 0;
	} else {
		p->alloc_range = true;
		snprintf(p->note, sizeof(p->note), "a private range of the node's blocks (userns: always)");
	}
	p->new_user = true;
	p->idmap_all = true;
	return 0;
}

static int plan_userns(struct node *n, const PB(PodSandboxConfig) *config, struct sandbox_plan *p,
		       struct error *e)
{
	const PB(NamespaceOption) *o = options_of(config);
	const PB(UserNamespace) *u = o ? o->userns_options : NULL;
	int r;

	/* The proto's words make an absent userns_options mean POD, but POD needs mappings that are then
	 * not there; kubelets before 1.25 send none and mean the node's (as containerd and CRI-O read it). */
	if (!u || u->mode == RUNTIME__V1__NAMESPACE_MODE__NODE)
		return plan_policy(n, config, p, e);
	if (!n->features.user_namespaces)
		return err_new(e, ERR_UNSUPPORTED,
			       "userns_options: this node cannot give a user namespace: %s",
			       n->features.missing);
	if ((r = rec_get_map(u->uids, u->n_uids, &p->uids, e)) < 0)
		return err_ctx(e, "userns_options.uids");
	if ((r = rec_get_map(u->gids, u->n_gids, &p->gids, e)) < 0)
		return err_ctx(e, "userns_options.gids");
	p->new_user = true;
	snprintf(p->note, sizeof(p->note), "as the request asks");
	return 0;
}

int sandbox_plan(struct node *n, const PB(PodSandboxConfig) *config, const char *runtime_handler,
		 struct sandbox_plan *ret, struct error *e)
{
	const PB(NamespaceOption) *o = options_of(config);
	struct sandbox_plan p = { 0 };
	int r = find_handler(n, runtime_handler, &p.handler, e);

	if (r < 0)
		return r;
	p.new_net = !o || o->network != RUNTIME__V1__NAMESPACE_MODE__NODE;
	p.new_ipc = !o || o->ipc != RUNTIME__V1__NAMESPACE_MODE__NODE;
	p.new_uts = p.new_net; /* a pod on the host's network has the host's name too */
	p.host_pid = o && o->pid == RUNTIME__V1__NAMESPACE_MODE__NODE;
	/* POD is 0, so an absent NamespaceOption means it too; a kubelet says CONTAINER. */
	p.shared_pid = !o || o->pid == RUNTIME__V1__NAMESPACE_MODE__POD;
	if ((r = plan_userns(n, config, &p, e)) < 0)
		return r;
	*ret = p;
	return 0;
}

static bool sets_sysctl(const PB(PodSandboxConfig) *c, const char *name)
{
	for (size_t i = 0; c->linux && i < c->linux->n_sysctls; i++)
		if (str_eq(c->linux->sysctls[i]->key, name))
			return true;
	return false;
}

/* sysctl(8) and Kubernetes take '/' as the separator too: when the first one is, '/' and '.' change places
 * ("net/ipv4/conf/eth0.5/forwarding"). In place: records and answers then have one spelling. */
static void unify_name(char *name)
{
	if (name[strcspn(name, "./")] != '/')
		return;
	for (; *name; name++)
		*name = *name == '/' ? '.' : *name == '.' ? '/' : *name;
}

int sandbox_plan_sysctls(struct node *n, const PB(PodSandboxConfig) *config, struct sandbox_plan *p,
			 struct error *e)
{
	const struct sysctl_scope own = {
		.user = p->new_user, .net = p->new_net, .ipc = p->new_ipc, .uts = p->new_uts
	};
	size_t asked = config->linux ? config->linux->n_sysctls : 0;
	int r;

	p->sysctls = mem_array(asked + 2, sizeof(*p->sysctls));
	for (size_t i = 0; i < asked; i++) {
		struct sysctl_item item = { config->linux->sysctls[i]->key,
					    config->linux->sysctls[i]->value };

		unify_name(config->linux->sysctls[i]->key);
		for (size_t k = 0; k < i; k++)
			if (str_eq(p->sysctls[k].name, item.name))
				return err_new(e, ERR_INVALID, "config.linux.sysctls has \"%s\" twice",
					       item.name);
		if ((r = sysctl_check(item.name, item.value, &own, e)) < 0)
			return err_ctx(e, "config.linux.sysctls");
		p->sysctls[p->sysctl_count++] = item;
	}
	/* Nothing is set on the host's network, nor over what the pod itself asks for. */
	if (!p->new_net)
		return 0;
	if (node_config(n)->enable_unprivileged_ports && !sets_sysctl(config, SYSCTL_UNPRIVILEGED_PORT_START))
		p->sysctls[p->sysctl_count++] = (struct sysctl_item){ SYSCTL_UNPRIVILEGED_PORT_START, "0" };
	if (node_config(n)->enable_unprivileged_icmp && !sets_sysctl(config, SYSCTL_PING_GROUP_RANGE)) {
		struct error why = ERROR_INIT;

		/* A map that lies past what the kernel takes for this sysctl only costs unprivileged ping. */
		if (sysctl_ping_group_range(p->new_user ? &p->gids : NULL, p->ping_range, &why) == 0)
			p->sysctls[p->sysctl_count++] =
				(struct sysctl_item){ SYSCTL_PING_GROUP_RANGE, p->ping_range };
	}
	return 0;
}
