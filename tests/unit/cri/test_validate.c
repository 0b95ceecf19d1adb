/* SPDX-License-Identifier: Apache-2.0 */
/* Requests are written here as protobuf text would be: one good one, and each case breaks one field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "codec/arena.h"
#include "cri/validate.h"

#define NEWMSG(type, name) PB_NEW(&arena, PB(type), runtime__v1__##name)

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena = ARENA_INIT;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

static char *text(const char *s)
{
	return arena_str(&arena, s);
}

static PB(PodSandboxConfig) *pod(void)
{
	PB(PodSandboxConfig) *c = NEWMSG(PodSandboxConfig, pod_sandbox_config);

	c->metadata = NEWMSG(PodSandboxMetadata, pod_sandbox_metadata);
	c->metadata->name = text("web");
	c->metadata->namespace_ = text("default");
	c->metadata->uid = text("1-2-3");
	c->hostname = text("web");
	c->log_directory = text("/var/log/pods/web");
	c->linux = NEWMSG(LinuxPodSandboxConfig, linux_pod_sandbox_config);
	c->linux->security_context = NEWMSG(LinuxSandboxSecurityContext, linux_sandbox_security_context);
	c->linux->security_context->namespace_options = NEWMSG(NamespaceOption, namespace_option);
	return c;
}

static PB(UserNamespace) *userns(PB(PodSandboxConfig) *c, unsigned mode, size_t ranges, uint32_t container_id,
				 uint32_t host_id, uint32_t length)
{
	PB(UserNamespace) *u = NEWMSG(UserNamespace, user_namespace);

	u->mode = mode;
	u->uids = arena_array(&arena, ranges, sizeof(*u->uids));
	for (size_t i = 0; i < ranges; i++) {
		u->uids[i] = NEWMSG(IDMapping, idmapping);
		u->uids[i]->container_id = container_id;
		u->uids[i]->host_id = host_id;
		u->uids[i]->length = length;
	}
	u->gids = u->uids;
	u->n_uids = u->n_gids = ranges;
	c->linux->security_context->namespace_options->userns_options = u;
	return u;
}

static void refused(const PB(PodSandboxConfig) *c, const char *words)
{
	struct error e = ERROR_INIT;

	assert_true(validate_sandbox_config(c, &e) < 0);
	if (!strstr(err_msg(&e), words))
		fail_msg("\"%s\" does not say \"%s\"", err_msg(&e), words);
}

static void a_good_pod_passes(void **state)
{
	struct error e = ERROR_INIT;
	PB(PodSandboxConfig) *c = pod();

	(void)state;
	if (validate_sandbox_config(c, &e) < 0)
		fail_msg("%s", err_msg(&e));
	userns(c, RUNTIME__V1__NAMESPACE_MODE__POD, 1, 0, 4170514432u, 65536);
	assert_int_equal(validate_sandbox_config(c, &e), 0);
	userns(c, RUNTIME__V1__NAMESPACE_MODE__NODE, 0, 0, 0, 0);
	assert_int_equal(validate_sandbox_config(c, &e), 0);
}

static void user_namespaces_are_exactly_one_range_with_root(void **state)
{
	PB(PodSandboxConfig) *c = pod();

	(void)state;
	userns(c, RUNTIME__V1__NAMESPACE_MODE__POD, 2, 0, 100000, 65536);
	refused(c, "2 ranges");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__POD, 0, 0, 0, 0);
	refused(c, "0 ranges");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__POD, 1, 1, 100000, 65536);
	refused(c, "container id 0 must be mapped");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__POD, 1, 0, 4294967000u, 65536);
	refused(c, "past 4294967294");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__POD, 1, 0, 100000, 0);
	refused(c, "length is 0");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__CONTAINER, 1, 0, 100000, 65536);
	refused(c, "CONTAINER is not possible");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__TARGET, 1, 0, 100000, 65536);
	refused(c, "TARGET is not possible");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__NODE, 1, 0, 100000, 65536);
	refused(c, "takes no mappings");
	userns(c, RUNTIME__V1__NAMESPACE_MODE__POD, 1, 0, 100000, 65536);
	c->linux->security_context->namespace_options->pid = RUNTIME__V1__NAMESPACE_MODE__NODE;
	refused(c, "not possible in a pod with a user namespace");
}

static void names_are_bounded_and_plain(void **state)
{
	static char large[600];
	PB(PodSandboxConfig) *c = pod();

	(void)state;
	c->metadata->name = text("");
	refused(c, "metadata.name is empty");
	c->metadata->name = text("a;K=v");
	refused(c, "contains ';'");
	memset(large, 'a', sizeof(large) - 1);
	c->metadata->name = large;
	refused(c, "599 bytes");
	c->metadata->name = text("ok");
	c->hostname = text("a b");
	refused(c, "config.hostname");
	c->hostname = text("");
	c->log_directory = text("/var/log/../../etc");
	refused(c, "log_directory");
	c->log_directory = text("relative");
	refused(c, "log_directory");
	c->log_directory = text("");
	c->linux->cgroup_parent = text("/a/../b");
	refused(c, "cgroup_parent");
	c->linux->cgroup_parent = text("kubepods-pod1.slice");
	assert_int_equal(validate_sandbox_config(c, NULL), 0);
	c->metadata = NULL;
	refused(c, "metadata is missing");
}

static void a_group_needs_a_user(void **state)
{
	PB(PodSandboxConfig) *c = pod();
	PB(Int64Value) *v = NEWMSG(Int64Value, int64_value);

	(void)state;
	v->value = 1000;
	c->linux->security_context->run_as_group = v;
	refused(c, "without run_as_user");
	c->linux->security_context->run_as_user = v;
	assert_int_equal(validate_sandbox_config(c, NULL), 0);
	v->value = INT64_C(4294967295); /* (uid_t)-1 */
	refused(c, "not in the range");
	v->value = -1;
	refused(c, "not in the range");
}

static void log_paths_stay_below_their_directory(void **state)
{
	static const char *const good[] = { "", "web/0.log", "0.log", "a/b/c..log" };
	static const char *const bad[] = { "/etc/passwd", "../x", "a/../../x", "a/./x", ".." };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(validate_log_path(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(validate_log_path(bad[i], NULL), -ERR_INVALID);
}

static void mounts_are_checked(void **state)
{
	PB(ContainerConfig) *c = NEWMSG(ContainerConfig, container_config);
	PB(Mount) *m = NEWMSG(Mount, mount);
	struct error e = ERROR_INIT;

	(void)state;
	c->metadata = NEWMSG(ContainerMetadata, container_metadata);
	c->metadata->name = text("c");
	c->image = NEWMSG(ImageSpec, image_spec);
	c->image->image = text("busybox");
	c->mounts = &m;
	c->n_mounts = 1;
	m->container_path = text("/data");
	m->host_path = text("/srv");
	assert_int_equal(validate_container_config(c, &e), 0);
	m->recursive_read_only = true;
	assert_int_equal(validate_container_config(c, &e), -ERR_INVALID);
	m->readonly = true;
	assert_int_equal(validate_container_config(c, &e), 0);
	m->propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	assert_int_equal(validate_container_config(c, &e), -ERR_INVALID);
	m->propagation = 0;
	m->host_path = text("srv");
	assert_int_equal(validate_container_config(c, &e), -ERR_INVALID);
	m->host_path = text("/srv");
	m->container_path = text("");
	assert_int_equal(validate_container_config(c, &e), -ERR_INVALID);
	m->container_path = text("/data");
	c->image->image = text("");
	assert_int_equal(validate_container_config(c, &e), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_good_pod_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(user_namespaces_are_exactly_one_range_with_root, setup,
						teardown),
		cmocka_unit_test_setup_teardown(names_are_bounded_and_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(a_group_needs_a_user, setup, teardown),
		cmocka_unit_test(log_paths_stay_below_their_directory),
		cmocka_unit_test_setup_teardown(mounts_are_checked, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
