/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of keys, and the setters of what is more than one value. A setter of a list builds the whole
 * list first and then takes the place of the old one. */
#include "daemon/config_schema.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/config.h"

#define AT(type, member) offsetof(struct type, member)
#define NODE(member) offsetof(struct daemon_config, node.member)
#define END                 \
	{                   \
		.key = NULL \
	}

#define RUNTIMES_MAX 64
#define REGISTRIES_MAX 256
#define MIRRORS_MAX 16

static const char *const cgroup_drivers[] = { "cgroupfs", "systemd", "auto", NULL };
static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };
static const char *const log_formats[] = { "text", "json", NULL };

/* --- registries --- */

static const struct yaml_field mirror_fields[] = {
	{ .key = "url", .set = yaml_set_str, .offset = AT(registry_endpoint, url) },
	{ .key = "ca", .set = yaml_set_str, .offset = AT(registry_endpoint, ca) },
	{ .key = "insecure", .set = yaml_set_bool, .offset = AT(registry_endpoint, insecure) },
	END,
};

static int set_mirrors(const struct yaml_node *node, const struct yaml_field *f, void *member,
		       struct error *e)
{
	struct registry_config *c = (struct registry_config *)((char *)member - f->offset);
	int r = yaml_want(node, YAML_SEQUENCE, e);

	if (r == 0 && node->count > MIRRORS_MAX)
		r = yaml_error(node, e, "more than %d mirrors", MIRRORS_MAX);
	if (r < 0)
		return r;
	c->mirrors = mem_array(node->count + 1, sizeof(*c->mirrors));
	for (const struct yaml_node *n = node->first; n; n = n->next) {
		struct registry_endpoint *m = &c->mirrors[c->mirror_count++];

		m->is_mirror = true;
		r = yaml_fill(n, mirror_fields, m, e);
		if (r == 0 && str_is_empty(m->url))
			r = yaml_error(n, e, "a mirror without url");
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct yaml_field registry_fields[] = {
	{ .key = "prefix", .set = yaml_set_str, .offset = AT(registry_config, prefix) },
	{ .key = "mirrors", .set = set_mirrors, .offset = AT(registry_config, mirrors) },
	{ .key = "insecure", .set = yaml_set_bool, .offset = AT(registry_config, insecure) },
	{ .key = "ca", .set = yaml_set_str, .offset = AT(registry_config, ca) },
	END,
};

/* Take over the one registry in `one`: in the place of an earlier one of the same prefix, which is then in
 * `one`, or behind the others. */
static void put_registry(struct registries *all, struct registries *one)
{
	for (size_t i = 0; i < all->n; i++) {
		struct registry_config old = all->v[i];

		if (!str_eq(old.prefix, one->v->prefix))
			continue;
		all->v[i] = *one->v;
		*one->v = old;
		return;
	}
	all->v = mem_regrow(all->v, all->n + 1, sizeof(*all->v));
	all->v[all->n++] = *one->v;
	one->n = 0;
}

static int set_registries(const struct yaml_node *node, const struct yaml_field *f, void *member,
			  struct error *e)
{
	struct registries *all = member;
	int r = yaml_want(node, YAML_SEQUENCE, e);

	(void)f;
	for (const struct yaml_node *n = node->first; r == 0 && n; n = n->next) {
		struct registries one = { .v = mem_array(1, sizeof(*one.v)), .n = 1 };

		r = yaml_fill(n, registry_fields, one.v, e);
		if (r == 0 && str_is_empty(one.v->prefix))
			r = yaml_error(n, e, "a registry without prefix (\"*\" stands for every other one)");
		if (r == 0 && registries_check(&one, e) < 0)
			r = err_ctx(e, "%s:%u", n->file, n->line);
		if (r == 0 && all->n >= REGISTRIES_MAX)
			r = yaml_error(node, e, "more than %d registries", REGISTRIES_MAX);
		if (r == 0)
			put_registry(all, &one);
		registries_done(&one);
	}
	return r;
}

/* --- runtimes --- */

static int set_policy(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	static const char *const names[] = {
		[USERNS_KUBELET] = "kubelet",
		[USERNS_ALWAYS] = "always",
		[USERNS_NODE] = "node",
	};
	const char *text = NULL;
	int r = yaml_str(node, &text, e);

	(void)f;
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], text)) {
			*(enum userns_policy *)member = (enum userns_policy)i;
			return 0;
		}
	return yaml_error(node, e, "\"%.64s\" is none of kubelet, always, node", text);
}

static const struct yaml_field runtime_fields[] = {
	{ .key = "userns", .set = set_policy, .offset = AT(handler_config, userns) },
	{ .key = "userns_size",
	  .set = yaml_set_u32,
	  .offset = AT(handler_config, userns_size),
	  .min = 1,
	  .max = UINT32_MAX - 1 },
	END,
};

/* Handler names are names of RuntimeClass handlers: DNS labels (Kubernetes, RuntimeClass.handler). */
static bool is_handler_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 63 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && s[0] != '-' &&
	       s[n - 1] != '-';
}

static struct handler_config *find_runtime(struct node_config *c, const char *name)
{
	for (size_t i = 0; i < c->handler_count; i++)
		if (str_eq(c->handlers[i].name, name))
			return &c->handlers[i];
	c->handlers = mem_regrow(c->handlers, c->handler_count + 1, sizeof(*c->handlers));
	c->handlers[c->handler_count] =
		(struct handler_config){ .name = str_dup(name), .userns_size = 65536 };
	return &c->handlers[c->handler_count++];
}

static int set_runtimes(const struct yaml_node *node, const struct yaml_field *f, void *member,
			struct error *e)
{
	struct daemon_config *c = (struct daemon_config *)((char *)member - f->offset);
	int r = yaml_want(node, YAML_MAPPING, e);

	for (const struct yaml_node *n = node->first; r == 0 && n; n = n->next) {
		const char *name = str_eq(n->key, "default") ? "" : n->key;

		if (*name && !is_handler_name(name))
			return yaml_error(n, e,
					  "the name of a runtime handler is a DNS label, or \"default\"");
		if (c->node.handler_count >= RUNTIMES_MAX)
			return yaml_error(n, e, "more than %d runtime handlers", RUNTIMES_MAX);
		r = yaml_fill(n, runtime_fields, find_runtime(&c->node, name), e);
	}
	return r;
}

/* --- user namespaces --- */

static const struct yaml_field block_fields[] = {
	{ .key = "start", .set = yaml_set_u32, .offset = AT(idrange_block, first) },
	{ .key = "length", .set = yaml_set_u32, .offset = AT(idrange_block, length), .min = 1 },
	END,
};

static int set_blocks(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	struct idrange_pool **pool = member;
	int r = yaml_want(node, YAML_SEQUENCE, e);

	(void)f;
	if (r < 0)
		return r;
	free(*pool);
	*pool = NEW(struct idrange_pool);
	for (const struct yaml_node *n = node->first; r >= 0 && n; n = n->next) {
		struct idrange_block block = { 0 };

		r = yaml_fill(n, block_fields, &block, e);
		if (r < 0)
			return r;
		r = idrange_pool_add(*pool, block, e);
		if (r < 0)
			r = err_ctx(e, "%s:%u", n->file, n->line);
	}
	return r;
}

static const struct yaml_field extent_fields[] = {
	{ .key = "container_id", .set = yaml_set_u32, .offset = AT(idmap_extent, container_id) },
	{ .key = "host_id", .set = yaml_set_u32, .offset = AT(idmap_extent, host_id) },
	{ .key = "length", .set = yaml_set_u32, .offset = AT(idmap_extent, length), .min = 1 },
	END,
};

static int set_idmap(const struct yaml_node *node, const struct yaml_field *f, void *member, struct error *e)
{
	struct idmap *map = member;
	int r = yaml_want(node, YAML_SEQUENCE, e);

	(void)f;
	map->n = 0;
	for (const struct yaml_node *n = node->first; r >= 0 && n; n = n->next) {
		struct idmap_extent x = { 0 };

		r = yaml_fill(n, extent_fields, &x, e);
		if (r < 0)
			return r;
		r = idmap_add(map, x, e);
		if (r < 0)
			r = err_ctx(e, "%s:%u", n->file, n->line);
	}
	return r;
}

static const struct yaml_field node_mapping_fields[] = {
	{ .key = "uids", .set = set_idmap, .offset = NODE(node_uids) },
	{ .key = "gids", .set = set_idmap, .offset = NODE(node_gids) },
	END,
};

static const struct yaml_field userns_fields[] = {
	{ .key = "user", .set = yaml_set_str, .offset = NODE(userns_user) },
	{ .key = "blocks", .set = set_blocks, .offset = NODE(userns_blocks) },
	{ .key = "node_mapping", .set = yaml_set_fields, .fields = node_mapping_fields },
	END,
};

/* --- the rest --- */

static const struct yaml_field cni_fields[] = {
	{ .key = "conf_dir", .set = yaml_set_str, .offset = NODE(cni_conf_dir) },
	{ .key = "bin_dirs", .set = yaml_set_strv, .offset = NODE(cni_bin_dirs) },
	{ .key = "default_bridge", .set = yaml_set_str, .offset = NODE(cni_default_bridge) },
	{ .key = "default_subnet", .set = yaml_set_str, .offset = NODE(cni_default_subnet) },
	{ .key = "default_data_dir", .set = yaml_set_str, .offset = NODE(cni_default_data_dir) },
	{ .key = "timeout_s", .set = yaml_set_u32, .offset = NODE(cni_timeout_s), .min = 1, .max = 3600 },
	END,
};

static const struct yaml_field limit_fields[] = {
	{ .key = "max_connections",
	  .set = yaml_set_u32,
	  .offset = AT(daemon_config, limits.max_connections),
	  .min = 1,
	  .max = 4096 },
	{ .key = "max_calls",
	  .set = yaml_set_u32,
	  .offset = AT(daemon_config, limits.max_calls),
	  .min = 1,
	  .max = 1024 },
	{ .key = "max_long_calls",
	  .set = yaml_set_u32,
	  .offset = AT(daemon_config, limits.max_long_calls),
	  .min = 1,
	  .max = 4096 },
	{ .key = "max_streams",
	  .set = yaml_set_u32,
	  .offset = AT(daemon_config, limits.max_streams),
	  .min = 1,
	  .max = 1024 },
	{ .key = "drain_s", .set = yaml_set_u32, .offset = AT(daemon_config, limits.drain_s), .max = 600 },
	END,
};

const struct yaml_field config_schema[] = {
	{ .key = "listen", .set = yaml_set_str, .offset = NODE(listen) },
	{ .key = "root", .set = yaml_set_str, .offset = NODE(root_dir) },
	{ .key = "state", .set = yaml_set_str, .offset = NODE(state_dir) },
	{ .key = "netns_dir", .set = yaml_set_str, .offset = NODE(netns_dir) },
	{ .key = "helper_dir", .set = yaml_set_str, .offset = NODE(helper_dir) },
	{ .key = "cgroup_driver",
	  .set = yaml_set_word,
	  .offset = NODE(cgroup_driver),
	  .words = cgroup_drivers },
	{ .key = "log_level", .set = yaml_set_word, .offset = NODE(log_level), .words = log_levels },
	{ .key = "log_format", .set = yaml_set_word, .offset = NODE(log_format), .words = log_formats },
	{ .key = "cni", .set = yaml_set_fields, .fields = cni_fields },
	{ .key = "sandbox_image", .set = yaml_set_str, .offset = NODE(sandbox_image) },
	{ .key = "enable_unprivileged_ports",
	  .set = yaml_set_bool,
	  .offset = NODE(enable_unprivileged_ports) },
	{ .key = "enable_unprivileged_icmp", .set = yaml_set_bool, .offset = NODE(enable_unprivileged_icmp) },
	{ .key = "restrict_oom_score_adj", .set = yaml_set_bool, .offset = NODE(restrict_oom_score_adj) },
	{ .key = "pod_annotations", .set = yaml_set_strv, .offset = NODE(pod_annotations) },
	{ .key = "container_annotations", .set = yaml_set_strv, .offset = NODE(container_annotations) },
	{ .key = "registries", .set = set_registries, .offset = NODE(registries) },
	{ .key = "runtimes", .set = set_runtimes, .offset = AT(daemon_config, node.handlers) },
	{ .key = "userns", .set = yaml_set_fields, .fields = userns_fields },
	{ .key = "limits", .set = yaml_set_fields, .fields = limit_fields },
	END,
};
