/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "codec/pb.h"
#include "ctl/pod_plan.h"
#include "ctl/resolve.h"

/* Read a manifest whose spec is given, indented by two. */
static int read_spec(struct arena *a, const char *spec, struct manifest *m, struct error *e)
{
	const char *text = arena_fmt(
		a, "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: x}}\nspec:\n%s", spec);
	struct yaml_node *doc = NULL;
	int r = yaml_parse("pod.yaml", text, strlen(text), a, &doc, e);

	return r < 0 ? r : manifest_read(doc, a, m, e);
}

static void read_ok(struct arena *a, const char *spec, struct manifest *m)
{
	struct error e = ERROR_INIT;

	if (read_spec(a, spec, m, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

#define ONE "  containers:\n  - name: c\n    image: i\n"

static void fields_that_have_no_effect_are_named_with_their_lines(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct manifest m;

	(void)state;
	read_ok(&a,
		"  restartPolicy: Always\n"
		"  nodeSelector: {a: b}\n" ONE "    livenessProbe: {exec: {command: [x]}}\n"
		"    env:\n    - name: A\n      valueFrom:\n        secretKeyRef: {name: s, key: k}\n"
		"    resources: {limits: {ephemeral-storage: 1Gi}}\n"
		"  volumes:\n  - name: v\n    configMap: {name: x}\n",
		&m);
	assert_int_equal(m.warnings.n, 6);
	assert_string_equal(m.warnings.v[0], "pod.yaml:6: spec.nodeSelector: not supported, has no effect");
	assert_string_equal(m.warnings.v[1],
			    "pod.yaml:10: spec.containers[0].livenessProbe: not supported, has no effect");
	assert_string_equal(m.warnings.v[2], "pod.yaml:14: spec.containers[0].env[0].valueFrom.secretKeyRef: "
					     "not supported, has no effect");
	assert_string_equal(m.warnings.v[3],
			    "pod.yaml:15: spec.containers[0].resources.limits.ephemeral-storage: not "
			    "supported, has no effect");
	assert_string_equal(m.warnings.v[4],
			    "pod.yaml:18: spec.volumes[0].configMap: not supported, has no effect");
	assert_non_null(strstr(m.warnings.v[5], "spec.restartPolicy Always"));
	assert_int_equal(MANIFEST_AT(m.volumes, struct manifest_volume, 0)->kind, VOLUME_UNSUPPORTED);
	manifest_done(&m);
}

static void what_is_wrong_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *spec, *want;
	} cases[] = {
		{ "  containers: []\n", "spec.containers is missing or empty" },
		{ "  containers: {}\n", "pod.yaml:5: spec.containers: want a list" },
		{ "  containers:\n  - image: i\n", "a container of the pod has no name" },
		{ "  containers:\n  - name: c\n", "pod.yaml:6: name: container \"c\" has no image" },
		{ "  containers:\n  - name: ../x\n    image: i\n", "is not the name of a container" },
		{ ONE "  - name: c\n    image: i\n", "two containers \"c\"" },
		{ ONE "  initContainers:\n  - name: c\n    image: i\n", "two containers \"c\"" },
		{ ONE "    args: x\n", "pod.yaml:8: spec.containers[0].args: want a list" },
		{ ONE "    ports: [{containerPort: 65536}]\n", "want a whole number from 1 to 65535" },
		{ ONE "    ports: [{protocol: TCP}]\n", "ports[0] has no containerPort" },
		{ ONE "    ports: [{containerPort: 1, protocol: tcp}]\n", "want one of TCP, UDP, SCTP" },
		{ ONE "    resources: {limits: {memory: 1GB}}\n", "\"1GB\" is not a quantity" },
		{ ONE "    volumeMounts: [{name: v, mountPath: /x}]\n", "no volume \"v\" in spec.volumes" },
		{ ONE "    volumeMounts: [{name: v, mountPath: /x, subPath: a}]\n  volumes: [{name: v, "
		      "emptyDir: {}}]\n",
		  "subPath: not supported" },
		{ ONE "    securityContext: {runAsUser: 4294967295}\n", "securityContext.runAsUser" },
		{ ONE "    securityContext: {privileged: \"yes\"}\n", "want true or false" },
		{ ONE "  volumes: [{name: a/b, emptyDir: {}}]\n", "is not the name of a volume" },
		{ ONE "  volumes: [{name: v, hostPath: {path: /a/../b}}]\n", "without \"..\"" },
		{ ONE "  volumes: [{name: v, hostPath: {}}]\n", "want an absolute path" },
		{ ONE "  dnsConfig: {options: [{value: x}]}\n", "has no name" },
		{ ONE "  hostUsers: 0\n", "hostUsers: want true or false" },
		{ ONE "  terminationGracePeriodSeconds: -1\n", "want a whole number" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_arena struct arena a = ARENA_INIT;
		struct error e = ERROR_INIT;
		struct manifest m;

		if (read_spec(&a, cases[i].spec, &m, &e) != -ERR_INVALID)
			fail_msg("taken: %s", cases[i].spec);
		if (!strstr(err_msg(&e), cases[i].want))
			fail_msg("%s\nbut wanted: %s", err_msg(&e), cases[i].want);
	}
}

static void only_pods_are_taken(void **state)
{
	static const char text[] = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n";
	cleanup_arena struct arena a = ARENA_INIT;
	struct error e = ERROR_INIT;
	struct yaml_node *doc = NULL;
	struct manifest m;

	(void)state;
	assert_int_equal(yaml_parse("f", text, strlen(text), &a, &doc, &e), 0);
	assert_int_equal(manifest_read(doc, &a, &m, &e), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "want a Pod"));
}

static void variables_are_expanded_as_kubernetes_does_it(void **state)
{
	static const struct manifest_pair env[] = { { "A", "1" }, { "B", "2" }, { "A", "3" } };
	cleanup_arena struct arena a = ARENA_INIT;

	(void)state;
	assert_string_equal(manifest_expand(&a, "$(A)-$(B)$(B)", env, 3), "3-22");
	assert_string_equal(manifest_expand(&a, "$(C) $A $$(A) $", env, 3), "$(C) $A $(A) $");
	assert_string_equal(manifest_expand(&a, "$(", env, 3), "$(");
	assert_string_equal(manifest_expand(&a, "$$$(A)", env, 3), "$3");
}

/* A plan of the manifest, with fixed ids. */
static void plan_of(struct arena *a, const struct manifest *m, struct pod_plan *p)
{
	static const char *const volumes[] = { "/volumes/v", NULL, NULL };

	*p = (struct pod_plan){
		.arena = a,
		.manifest = m,
		.uid = "u",
		.log_directory = "/logs/default_web_u",
		.node_name = "node",
		.volume_paths = volumes,
		.memory_bytes = 1 << 30,
		.userns_start = 200000,
		.userns_length = m->host_users == TRI_FALSE ? 65536 : 0,
	};
}

static PB(ContainerConfig) *container_of(struct arena *a, const struct pod_plan *p)
{
	(void)a;
	return pod_plan_container(p, &(struct pod_plan_container){ manifest_container(p->manifest, 0),
								   "sha256:1", "10.0.0.9" });
}

static void a_pod_with_host_users_false_asks_for_its_ids_everywhere(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct manifest m;
	struct pod_plan p;
	PB(PodSandboxConfig) *s;
	PB(ContainerConfig) *c;
	const PB(UserNamespace) *u;

	(void)state;
	read_ok(&a,
		"  hostUsers: false\n  volumes: [{name: v, emptyDir: {}}]\n" ONE
		"    volumeMounts: [{name: v, mountPath: /v, readOnly: true}]\n",
		&m);
	plan_of(&a, &m, &p);
	s = pod_plan_sandbox(&p);
	c = container_of(&a, &p);
	u = s->linux->security_context->namespace_options->userns_options;
	assert_int_equal(u->mode, RUNTIME__V1__NAMESPACE_MODE__POD);
	assert_int_equal(u->n_uids, 1);
	assert_int_equal(u->uids[0]->host_id, 200000);
	assert_int_equal(u->gids[0]->length, 65536);
	assert_int_equal(c->mounts[0]->n_uidmappings, 1);
	assert_int_equal(c->mounts[0]->uidmappings[0]->host_id, 200000);
	assert_true(c->mounts[0]->readonly);
	assert_string_equal(c->mounts[0]->host_path, "/volumes/v");
	assert_string_equal(s->log_directory, "/logs/default_web_u");
	assert_string_equal(c->log_path, "c/0.log");
	assert_int_equal(c->linux->security_context->namespace_options->pid,
			 RUNTIME__V1__NAMESPACE_MODE__CONTAINER);
	manifest_done(&m);
}

static void host_namespaces_are_the_nodes(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct manifest m;
	struct pod_plan p;
	PB(PodSandboxConfig) *s;
	const PB(NamespaceOption) *o;

	(void)state;
	read_ok(&a,
		"  hostNetwork: true\n  hostPID: true\n  hostIPC: true\n  hostUsers: true\n" ONE
		"    ports: [{containerPort: 80, hostPort: 80}]\n",
		&m);
	plan_of(&a, &m, &p);
	s = pod_plan_sandbox(&p);
	o = s->linux->security_context->namespace_options;
	assert_int_equal(o->network, RUNTIME__V1__NAMESPACE_MODE__NODE);
	assert_int_equal(o->pid, RUNTIME__V1__NAMESPACE_MODE__NODE);
	assert_int_equal(o->ipc, RUNTIME__V1__NAMESPACE_MODE__NODE);
	assert_int_equal(o->userns_options->mode, RUNTIME__V1__NAMESPACE_MODE__NODE);
	assert_string_equal(s->hostname, "");
	assert_int_equal(s->n_port_mappings, 0);
	manifest_done(&m);
}

static void resources_become_what_a_kubelet_makes_of_them(void **state)
{
	static const struct {
		const char *resources;
		int64_t shares, quota, memory, oom;
	} cases[] = {
		{ "{}", 2, 0, 0, 1000 },
		{ "{limits: {cpu: 500m, memory: 512Mi}}", 512, 50000, 536870912, -997 },
		{ "{requests: {cpu: 250m, memory: 256Mi}, limits: {cpu: '1'}}", 256, 100000, 0, 750 },
		{ "{requests: {cpu: 1m}}", 2, 0, 0, 999 },
		{ "{limits: {cpu: 1m}}", 2, 1000, 0, 999 },
		{ "{requests: {memory: 1Gi}}", 2, 0, 0, 3 },
		{ "{requests: {cpu: '1000000'}}", 262144, 0, 0, 999 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_arena struct arena a = ARENA_INIT;
		struct manifest m;
		struct pod_plan p;
		PB(LinuxContainerResources) *r;

		read_ok(&a, arena_fmt(&a, ONE "    resources: %s\n", cases[i].resources), &m);
		plan_of(&a, &m, &p);
		r = container_of(&a, &p)->linux->resources;
		if (r->cpu_shares != cases[i].shares || r->cpu_quota != cases[i].quota ||
		    r->memory_limit_in_bytes != cases[i].memory || r->oom_score_adj != cases[i].oom)
			fail_msg("%s: shares %lld quota %lld memory %lld oom %lld", cases[i].resources,
				 (long long)r->cpu_shares, (long long)r->cpu_quota,
				 (long long)r->memory_limit_in_bytes, (long long)r->oom_score_adj);
		manifest_done(&m);
	}
}

static void the_environment_knows_the_pod(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct manifest m;
	struct pod_plan p;
	PB(ContainerConfig) *c;

	(void)state;
	read_ok(&a,
		ONE "    env:\n"
		    "    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n"
		    "    - {name: APP, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}\n"
		    "    - {name: BOTH, value: \"$(IP) $(APP) $(LATER)\"}\n"
		    "    - {name: LATER, value: z}\n"
		    "    - {name: SECRET, valueFrom: {secretKeyRef: {name: a, key: b}}}\n"
		    "    args: [\"$(BOTH)\", \"$(SECRET)\"]\n",
		&m);
	plan_of(&a, &m, &p);
	c = container_of(&a, &p);
	assert_int_equal(c->n_envs, 4);
	assert_string_equal((const char *)c->envs[2]->value.data, "10.0.0.9 x $(LATER)");
	assert_string_equal(c->args[0], "10.0.0.9 x $(LATER)");
	assert_string_equal(c->args[1], "$(SECRET)");
	manifest_done(&m);
}

static void security_of_a_container_wins_over_the_pods(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct manifest m;
	struct pod_plan p;
	PB(LinuxContainerSecurityContext) *s;

	(void)state;
	read_ok(&a,
		"  securityContext: {runAsUser: 1, runAsGroup: 2, fsGroup: 3, supplementalGroups: [4],\n"
		"    seccompProfile: {type: RuntimeDefault}}\n" ONE
		"    securityContext: {runAsUser: 0, allowPrivilegeEscalation: false, "
		"readOnlyRootFilesystem: true,\n"
		"      capabilities: {add: [NET_ADMIN], drop: [ALL]}}\n",
		&m);
	plan_of(&a, &m, &p);
	s = container_of(&a, &p)->linux->security_context;
	assert_int_equal(s->run_as_user->value, 0);
	assert_int_equal(s->run_as_group->value, 2);
	assert_int_equal(s->n_supplemental_groups, 2);
	assert_int_equal(s->supplemental_groups[1], 3);
	assert_true(s->no_new_privs && s->readonly_rootfs && !s->privileged);
	assert_int_equal(s->seccomp->profile_type,
			 RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault);
	assert_string_equal(s->capabilities->add_capabilities[0], "NET_ADMIN");
	assert_true(s->n_masked_paths > 5 && s->n_readonly_paths > 3);
	manifest_done(&m);
}

static void a_privileged_container_has_nothing_masked(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct manifest m;
	struct pod_plan p;
	PB(LinuxContainerSecurityContext) *s;

	(void)state;
	read_ok(&a, ONE "    securityContext: {privileged: true, seccompProfile: {type: RuntimeDefault}}\n",
		&m);
	plan_of(&a, &m, &p);
	s = container_of(&a, &p)->linux->security_context;
	assert_true(s->privileged && pod_plan_sandbox(&p)->linux->security_context->privileged);
	assert_int_equal(s->n_masked_paths + s->n_readonly_paths, 0);
	assert_int_equal(s->seccomp->profile_type, RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined);
	manifest_done(&m);
}

static void run_as_non_root_looks_at_manifest_and_image(void **state)
{
	static const struct {
		const char *security;
		int64_t image_uid;
		const char *image_user;
		int want;
	} cases[] = {
		{ "{}", 0, "", 0 },
		{ "{runAsNonRoot: true}", 0, "", -ERR_DENIED },
		{ "{runAsNonRoot: true}", 1000, "", 0 },
		{ "{runAsNonRoot: true}", -1, "nginx", -ERR_DENIED },
		{ "{runAsNonRoot: true}", -1, "", -ERR_DENIED },
		{ "{runAsNonRoot: true, runAsUser: 5}", 0, "", 0 },
		{ "{runAsNonRoot: true, runAsUser: 0}", 1000, "", -ERR_DENIED },
		{ "{runAsNonRoot: false}", 0, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_arena struct arena a = ARENA_INIT;
		struct error e = ERROR_INIT;
		struct manifest m;

		read_ok(&a, arena_fmt(&a, ONE "    securityContext: %s\n", cases[i].security), &m);
		assert_int_equal(pod_plan_check_user(&m, manifest_container(&m, 0), cases[i].image_uid,
						     cases[i].image_user, &e),
				 cases[i].want);
		manifest_done(&m);
	}
}

static void dns_config_adds_to_the_nodes_resolver_or_replaces_it(void **state)
{
	static const char *const servers[] = { "192.0.2.1" };
	static const char *const policies[] = { "Default", "None" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		cleanup_arena struct arena a = ARENA_INIT;
		struct manifest m;
		struct pod_plan p;
		PB(DNSConfig) *d;

		read_ok(&a,
			arena_fmt(&a,
				  "  dnsPolicy: %s\n  dnsConfig: {nameservers: [192.0.2.9], options: [{name: "
				  "ndots, "
				  "value: '3'}, {name: edns0}]}\n" ONE,
				  policies[i]),
			&m);
		plan_of(&a, &m, &p);
		p.host_servers = servers;
		p.host_server_count = 1;
		d = pod_plan_sandbox(&p)->dns_config;
		assert_int_equal(d->n_servers, 2 - i);
		assert_string_equal(d->servers[d->n_servers - 1], "192.0.2.9");
		assert_string_equal(d->options[0], "ndots:3");
		assert_string_equal(d->options[1], "edns0");
		manifest_done(&m);
	}
}

static void names_are_resolved_as_people_mean_them(void **state)
{
	static const struct resolve_candidate list[] = {
		{ "aaaa1111", "server", "web", "default", true, 5 },
		{ "aaaa2222", "server", "db", "default", true, 6 },
		{ "bbbb3333", "old", "web", "default", false, 1 },
		{ "bbbb4444", "old", "web", "default", false, 2 },
		{ "cccc5555", "aaaa1", "web", "prod", true, 9 },
	};
	static const struct {
		const char *text;
		int want; /* index or -kind */
	} cases[] = {
		{ "aaaa1111", 0 },
		{ "aaaa2", 1 },
		{ "web/server", 0 },
		{ "default/db/server", 1 },
		{ "server", -ERR_INVALID },
		{ "old", 3 },
		{ "aaaa1", 4 },
		{ "aaaa", -ERR_INVALID },
		{ "zzz", -ERR_NOT_FOUND },
		{ "", -ERR_NOT_FOUND },
		{ "prod/web/server", -ERR_NOT_FOUND },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error e = ERROR_INIT;
		size_t index = 99;
		int r = resolve_choose(list, ARRAY_LEN(list), false, cases[i].text, &index, &e);

		if ((r < 0 ? r : (int)index) != cases[i].want)
			fail_msg("%s: %d %zu %s", cases[i].text, r, index, err_msg(&e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_that_have_no_effect_are_named_with_their_lines),
		cmocka_unit_test(what_is_wrong_is_refused_with_its_line),
		cmocka_unit_test(only_pods_are_taken),
		cmocka_unit_test(variables_are_expanded_as_kubernetes_does_it),
		cmocka_unit_test(a_pod_with_host_users_false_asks_for_its_ids_everywhere),
		cmocka_unit_test(host_namespaces_are_the_nodes),
		cmocka_unit_test(resources_become_what_a_kubelet_makes_of_them),
		cmocka_unit_test(the_environment_knows_the_pod),
		cmocka_unit_test(security_of_a_container_wins_over_the_pods),
		cmocka_unit_test(a_privileged_container_has_nothing_masked),
		cmocka_unit_test(run_as_non_root_looks_at_manifest_and_image),
		cmocka_unit_test(dns_config_adds_to_the_nodes_resolver_or_replaces_it),
		cmocka_unit_test(names_are_resolved_as_people_mean_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
