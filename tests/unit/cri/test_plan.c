/* SPDX-License-Identifier: Apache-2.0 */
/* What a request comes to under each policy of the node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "codec/arena.h"
#include "cri/sandbox.h"

#define NEWMSG(type, name) PB_NEW(&arena, PB(type), runtime__v1__##name)

static struct arena arena;
static struct node_config config;
static struct handler_config handlers[2];
static struct node node;

static int setup(void **state)
{
	(void)state;
	arena = ARENA_INIT;
	handlers[0] = (struct handler_config){ .name = (char *)"", .userns = USERNS_KUBELET };
	handlers[1] = (struct handler_config){ .name = (char *)"private",
					       .userns = USERNS_ALWAYS,
					       .userns_size = 65536 };
	config = (struct node_config){ .handlers = handlers, .handler_count = 2 };
	node = (struct node){ .config = &config, .features = { .user_namespaces = true }, .has_pool = true };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

static PB(PodSandboxConfig) *pod(void)
{
	PB(PodSandboxConfig) *c = NEWMSG(PodSandboxConfig, pod_sandbox_config);

	c->linux = NEWMSG(LinuxPodSandboxConfig, linux_pod_sandbox_config);
	c->linux->security_context = NEWMSG(LinuxSandboxSecurityContext, linux_sandbox_security_context);
	c->linux->security_context->namespace_options = NEWMSG(NamespaceOption, namespace_option);
	return c;
}

static PB(NamespaceOption) *options(PB(PodSandboxConfig) *c)
{
	return c->linux->security_context->namespace_options;
}

static void ask_userns(PB(PodSandboxConfig) *c)
{
	PB(UserNamespace) *u = NEWMSG(UserNamespace, user_namespace);

	u->uids = arena_array(&arena, 1, sizeof(*u->uids));
	u->uids[0] = NEWMSG(IDMapping, idmapping);
	u->uids[0]->host_id = 4170514432u;
	u->uids[0]->length = 65536;
	u->gids = u->uids;
	u->n_uids = u->n_gids = 1;
	options(c)->userns_options = u;
}

static void plan(const PB(PodSandboxConfig) *c, const char *handler, struct sandbox_plan *p)
{
	struct error e = ERROR_INIT;

	if (sandbox_plan(&node, c, handler, p, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

static void the_kubelets_policy_is_what_the_request_says(void **state)
{
	PB(PodSandboxConfig) *c = pod();
	struct sandbox_plan p;

	(void)state;
	plan(c, "", &p);
	assert_true(p.new_net && p.new_ipc && p.new_uts && p.shared_pid && !p.new_user && !p.idmap_all);
	ask_userns(c);
	plan(c, "", &p);
	assert_true(p.new_user && !p.alloc_range && !p.idmap_all);
	assert_int_equal(p.uids.x[0].host_id, 4170514432u);
	/* on the host's network too (KEP-5607) */
	options(c)->network = RUNTIME__V1__NAMESPACE_MODE__NODE;
	plan(c, "", &p);
	assert_true(p.new_user && !p.new_net && !p.new_uts);
}

static void always_gives_a_range_to_who_asked_for_no_host_namespace(void **state)
{
	PB(PodSandboxConfig) *c = pod();
	struct sandbox_plan p;

	(void)state;
	plan(c, "private", &p);
	assert_true(p.new_user && p.alloc_range && p.idmap_all);
	options(c)->pid = RUNTIME__V1__NAMESPACE_MODE__NODE;
	plan(c, "private", &p);
	assert_false(p.new_user);
	assert_non_null(strstr(p.note, "host's pid namespace"));
	options(c)->pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	options(c)->ipc = RUNTIME__V1__NAMESPACE_MODE__NODE;
	plan(c, "private", &p);
	assert_non_null(strstr(p.note, "host's ipc namespace"));
	options(c)->ipc = RUNTIME__V1__NAMESPACE_MODE__POD;
	c->linux->security_context->privileged = true;
	plan(c, "private", &p);
	assert_non_null(strstr(p.note, "privileged"));
	c->linux->security_context->privileged = false;
	node.has_pool = false;
	snprintf(node.pool_note, sizeof(node.pool_note), "no blocks");
	plan(c, "private", &p);
	assert_false(p.new_user);
	assert_non_null(strstr(p.note, "no blocks"));
	/* a request's own mapping wins over the policy */
	ask_userns(c);
	plan(c, "private", &p);
	assert_true(p.new_user && !p.alloc_range && !p.idmap_all);
}

static void the_nodes_mapping_is_everybodys(void **state)
{
	struct error e = ERROR_INIT;
	struct sandbox_plan p;

	(void)state;
	handlers[1].userns = USERNS_NODE;
	assert_int_equal(sandbox_plan(&node, pod(), "private", &p, &e), -ERR_INVALID);
	assert_int_equal(idmap_add(&config.node_uids, (struct idmap_extent){ 0, 500000, 100 }, &e), 0);
	assert_int_equal(idmap_add(&config.node_gids, (struct idmap_extent){ 0, 600000, 100 }, &e), 0);
	plan(pod(), "private", &p);
	assert_true(p.new_user && p.idmap_all && !p.alloc_range);
	assert_int_equal(p.gids.x[0].host_id, 600000);
}

static void what_the_node_cannot_is_an_error_or_a_reason(void **state)
{
	PB(PodSandboxConfig) *c = pod();
	struct error e = ERROR_INIT;
	struct sandbox_plan p;

	(void)state;
	node.features.user_namespaces = false;
	snprintf(node.features.missing, sizeof(node.features.missing), "no idmapped mounts");
	plan(c, "private", &p);
	assert_false(p.new_user);
	assert_non_null(strstr(p.note, "no idmapped mounts"));
	ask_userns(c);
	assert_int_equal(sandbox_plan(&node, c, "", &p, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "no idmapped mounts"));
	assert_int_equal(sandbox_plan(&node, c, "kata", &p, &e), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "\"kata\""));
}

static const char *sysctl_of(const struct sandbox_plan *p, const char *name)
{
	for (size_t i = 0; i < p->sysctl_count; i++)
		if (strcmp(p->sysctls[i].name, name) == 0)
			return p->sysctls[i].value;
	return NULL;
}

static void default_sysctls_fit_the_pod_and_yield_to_it(void **state)
{
	PB(LinuxPodSandboxConfig__SysctlsEntry)
	entry = { .key = (char *)SYSCTL_UNPRIVILEGED_PORT_START, .value = (char *)"512" };
	PB(LinuxPodSandboxConfig__SysctlsEntry) *entries = &entry;
	PB(PodSandboxConfig) *c = pod();
	struct error e = ERROR_INIT;
	struct sandbox_plan p;

	(void)state;
	config.enable_unprivileged_ports = config.enable_unprivileged_icmp = true;
	plan(c, "", &p);
	assert_int_equal(sandbox_plan_sysctls(&node, c, &p, &e), 0);
	assert_string_equal(sysctl_of(&p, SYSCTL_UNPRIVILEGED_PORT_START), "0");
	assert_string_equal(sysctl_of(&p, SYSCTL_PING_GROUP_RANGE), "0 2147483647");
	sandbox_plan_done(&p);

	c->linux->sysctls = &entries;
	c->linux->n_sysctls = 1;
	plan(c, "", &p);
	assert_int_equal(sandbox_plan_sysctls(&node, c, &p, &e), 0);
	assert_string_equal(sysctl_of(&p, SYSCTL_UNPRIVILEGED_PORT_START), "512");
	assert_int_equal(p.sysctl_count, 2);
	sandbox_plan_done(&p);

	/* nothing on the host's network, and the pod's own is refused there */
	options(c)->network = RUNTIME__V1__NAMESPACE_MODE__NODE;
	plan(c, "", &p);
	assert_int_equal(sandbox_plan_sysctls(&node, c, &p, &e), -ERR_DENIED);
	sandbox_plan_done(&p);
	c->linux->n_sysctls = 0;
	plan(c, "", &p);
	assert_int_equal(sandbox_plan_sysctls(&node, c, &p, &e), 0);
	assert_int_equal(p.sysctl_count, 0);
	sandbox_plan_done(&p);
}

/* CVE-2022-0811: what was an option of a helper there is refused as a value here. */
static void a_plus_in_a_sysctl_is_refused(void **state)
{
	PB(LinuxPodSandboxConfig__SysctlsEntry)
	entry = { .key = (char *)"kernel.shm_rmid_forced", .value = (char *)"1+kernel.core_pattern=|/x" };
	PB(LinuxPodSandboxConfig__SysctlsEntry) *entries = &entry;
	PB(PodSandboxConfig) *c = pod();
	struct error e = ERROR_INIT;
	struct sandbox_plan p;

	(void)state;
	c->linux->sysctls = &entries;
	c->linux->n_sysctls = 1;
	plan(c, "", &p);
	assert_int_equal(sandbox_plan_sysctls(&node, c, &p, &e), -ERR_INVALID);
	sandbox_plan_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_kubelets_policy_is_what_the_request_says, setup,
						teardown),
		cmocka_unit_test_setup_teardown(always_gives_a_range_to_who_asked_for_no_host_namespace,
						setup, teardown),
		cmocka_unit_test_setup_teardown(the_nodes_mapping_is_everybodys, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_node_cannot_is_an_error_or_a_reason, setup,
						teardown),
		cmocka_unit_test_setup_teardown(default_sysctls_fit_the_pod_and_yield_to_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_plus_in_a_sysctl_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
