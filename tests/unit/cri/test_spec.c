/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI spec that a container comes to, looked at as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "codec/arena.h"
#include "cri/container.h"
#include "oci/identity.h"

#define NEWMSG(type, name) PB_NEW(&arena, PB(type), runtime__v1__##name)

static struct arena arena;
static struct node_config config;
static struct node node;
static struct sandbox box;
static struct image image;
static REC(Container) *rec;
static PB(ContainerConfig) *c;
static struct oci_identity identity;
static struct json_object *spec;

static char *text(const char *s)
{
	return arena_str(&arena, s);
}

static int setup(void **state)
{
	struct error e = ERROR_INIT;

	(void)state;
	arena = ARENA_INIT;
	config = (struct node_config){ .state_dir = (char *)"/run/hull" };
	node = (struct node){ .config = &config };
	if (cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &node.cgroups, &e) < 0)
		return -1;
	box = (struct sandbox){ .rec = pb_new(&arena, &hull__record__sandbox__descriptor) };
	box.rec->id = text("pod");
	box.rec->netns_path = text("/run/netns/cni-1");
	box.rec->config = NEWMSG(PodSandboxConfig, pod_sandbox_config);
	box.rec->config->metadata = NEWMSG(PodSandboxMetadata, pod_sandbox_metadata);
	box.rec->config->hostname = text("web");
	rec = pb_new(&arena, &hull__record__container__descriptor);
	rec->cgroup_path = text("/hull/pod/hull-c");
	c = NEWMSG(ContainerConfig, container_config);
	c->metadata = NEWMSG(ContainerMetadata, container_metadata);
	c->image = NEWMSG(ImageSpec, image_spec);
	c->linux = NEWMSG(LinuxContainerConfig, linux_container_config);
	c->linux->security_context = NEWMSG(LinuxContainerSecurityContext, linux_container_security_context);
	rec->config = c;
	image = (struct image){
		.config = { .working_dir = (char *)"/srv", .user = (char *)"", .stop_signal = (char *)"" }
	};
	strv_add(&image.config.entrypoint, "/entry");
	strv_add(&image.config.cmd, "arg");
	strv_add(&image.config.env, "PATH=/bin");
	strv_add(&image.config.env, "A=image");
	identity = OCI_IDENTITY_INIT;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	json_free(spec);
	spec = NULL;
	strv_done(&image.config.entrypoint);
	strv_done(&image.config.cmd);
	strv_done(&image.config.env);
	cgroup_host_free(node.cgroups);
	arena_done(&arena);
	return 0;
}

static int make(const struct idmap *map, struct error *e)
{
	struct container_plan p = { .node = &node,
				    .sandbox = &box,
				    .rec = rec,
				    .config = c,
				    .image = &image,
				    .identity = &identity,
				    .uids = map,
				    .gids = map };

	json_free(spec);
	spec = NULL;
	return container_spec(&p, &spec, e);
}

static void make_good(const struct idmap *map)
{
	struct error e = ERROR_INIT;

	if (make(map, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

/* The value at a path of member names and array indices, as text; "" when there is none. */
static const char *at(const char *path)
{
	static char out[4096];
	struct json_object *o = NULL;

	out[0] = '\0';
	if (json_pointer_get(spec, path, &o) == 0 && o)
		snprintf(out, sizeof(out), "%s", json_object_get_string(o));
	return out;
}

static const char *mount_at(const char *destination, const char *member)
{
	for (int i = 0; i < 64; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/mounts/%d/destination", i);
		if (strcmp(at(path), destination) != 0)
			continue;
		snprintf(path, sizeof(path), "/mounts/%d/%s", i, member);
		return at(path);
	}
	return "";
}

static void commands_and_arguments_replace_the_images(void **state)
{
	char *command[] = { (char *)"/cmd" }, *args[] = { (char *)"x" };
	struct error e = ERROR_INIT;

	(void)state;
	make_good(NULL);
	assert_string_equal(at("/process/args"), "[ \"\\/entry\", \"arg\" ]");
	c->args = args;
	c->n_args = 1;
	make_good(NULL);
	assert_string_equal(at("/process/args"), "[ \"\\/entry\", \"x\" ]");
	c->command = command;
	c->n_command = 1;
	make_good(NULL);
	assert_string_equal(at("/process/args"), "[ \"\\/cmd\", \"x\" ]");
	c->n_args = 0;
	make_good(NULL);
	assert_string_equal(at("/process/args"), "[ \"\\/cmd\" ]");
	c->n_command = 0;
	strv_done(&image.config.entrypoint);
	strv_done(&image.config.cmd);
	assert_int_equal(make(NULL, &e), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "no command"));
}

static void the_requests_environment_wins(void **state)
{
	PB(KeyValue) *kv = NEWMSG(KeyValue, key_value);

	(void)state;
	kv->key = text("A");
	kv->value.data = (uint8_t *)text("request");
	kv->value.len = strlen("request");
	c->envs = &kv;
	c->n_envs = 1;
	make_good(NULL);
	assert_string_equal(at("/process/env"), "[ \"PATH=\\/bin\", \"HOSTNAME=web\", \"A=request\" ]");
}

static void capabilities_are_added_dropped_and_never_inherited(void **state)
{
	PB(Capability) *cap = NEWMSG(Capability, capability);
	char *add[] = { (char *)"NET_ADMIN" }, *drop[] = { (char *)"ALL" }, *bad[] = { (char *)"NOPE" };
	struct error e = ERROR_INIT;

	(void)state;
	c->linux->security_context->capabilities = cap;
	cap->add_capabilities = add;
	cap->n_add_capabilities = 1;
	cap->drop_capabilities = drop;
	cap->n_drop_capabilities = 1;
	make_good(NULL);
	assert_string_equal(at("/process/capabilities/bounding"), "[ \"CAP_NET_ADMIN\" ]");
	assert_string_equal(at("/process/capabilities/inheritable"), "");
	assert_string_equal(at("/process/capabilities/ambient"), "");
	cap->add_ambient_capabilities = add;
	cap->n_add_ambient_capabilities = 1;
	make_good(NULL);
	assert_string_equal(at("/process/capabilities/ambient"), "[ \"CAP_NET_ADMIN\" ]");
	cap->drop_capabilities = bad;
	assert_int_equal(make(NULL, &e), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "NOPE"));
}

static void mounts_come_parents_first_and_ours_yield(void **state)
{
	PB(Mount) *deep = NEWMSG(Mount, mount), *hosts = NEWMSG(Mount, mount), *proc = NEWMSG(Mount, mount);
	PB(Mount) *mounts[] = { deep, hosts, proc };
	struct error e = ERROR_INIT;

	(void)state;
	deep->container_path = text("/a/b/c");
	deep->host_path = text("/srv");
	deep->readonly = deep->recursive_read_only = true;
	hosts->container_path = text("/etc/hosts");
	hosts->host_path = text("/my/hosts");
	c->mounts = mounts;
	c->n_mounts = 2;
	make_good(NULL);
	assert_string_equal(mount_at("/etc/hosts", "source"), "/my/hosts");
	assert_string_equal(mount_at("/a/b/c", "options"), "[ \"rbind\", \"rprivate\", \"rro\" ]");
	assert_string_equal(mount_at("/etc/hostname", "source"), "/run/hull/pods/pod/hostname");
	proc->container_path = text("/proc/../proc/sys");
	proc->host_path = text("/srv");
	c->n_mounts = 3;
	assert_int_equal(make(NULL, &e), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&e), "/proc"));
}

/* KEP-5607: who does not own the network namespace cannot mount sysfs. */
static void a_user_namespace_on_the_hosts_network_gets_the_hosts_sysfs(void **state)
{
	struct idmap map = IDMAP_INIT;

	(void)state;
	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 0, 100000, 65536 }, NULL), 0);
	make_good(&map);
	assert_string_equal(mount_at("/sys", "type"), "sysfs");
	assert_string_equal(at("/linux/uidMappings/0/hostID"), "100000");
	box.rec->netns_path = text("");
	make_good(&map);
	assert_string_equal(mount_at("/sys", "type"), "bind");
	assert_non_null(strstr(mount_at("/sys", "options"), "rro"));
	assert_string_equal(at("/hostname"), "");
}

static void mappings_of_mounts_need_a_user_namespace(void **state)
{
	PB(Mount) *m = NEWMSG(Mount, mount);
	PB(IDMapping) *x = NEWMSG(IDMapping, idmapping);
	struct idmap map = IDMAP_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	x->host_id = 100000;
	x->length = 65536;
	m->container_path = text("/data");
	m->host_path = text("/srv");
	m->uidmappings = m->gidmappings = &x;
	m->n_uidmappings = m->n_gidmappings = 1;
	c->mounts = &m;
	c->n_mounts = 1;
	assert_int_equal(make(NULL, &e), -ERR_INVALID);
	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 0, 100000, 65536 }, NULL), 0);
	make_good(&map);
	assert_non_null(strstr(mount_at("/data", "uidMappings"), "100000"));
}

/* CVE-2026-53488, CVE-2024-3154: only what the configuration lets through reaches a runtime. */
static void annotations_are_data(void **state)
{
	PB(ContainerConfig__AnnotationsEntry)
	evil = { .key = (char *)"org.systemd.property.ExecStart", .value = (char *)"/x" };
	PB(ContainerConfig__AnnotationsEntry) *list = &evil;

	(void)state;
	c->annotations = &list;
	c->n_annotations = 1;
	make_good(NULL);
	assert_string_equal(at("/annotations/org.systemd.property.ExecStart"), "");
	strv_add(&config.container_annotations, "org.systemd.*");
	make_good(NULL);
	assert_string_equal(at("/annotations/org.systemd.property.ExecStart"), "/x");
	strv_done(&config.container_annotations);
}

static void privileged_is_what_it_says(void **state)
{
	(void)state;
	c->linux->security_context->privileged = true;
	make_good(NULL);
	assert_string_equal(at("/linux/maskedPaths"), "");
	assert_string_equal(at("/linux/seccomp"), "");
	assert_non_null(strstr(at("/process/capabilities/bounding"), "CAP_SYS_ADMIN"));
	assert_non_null(strstr(mount_at("/sys", "options"), "\"rw\""));
	assert_string_equal(at("/linux/resources/devices/0/type"), "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commands_and_arguments_replace_the_images, setup, teardown),
		cmocka_unit_test_setup_teardown(the_requests_environment_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(capabilities_are_added_dropped_and_never_inherited, setup,
						teardown),
		cmocka_unit_test_setup_teardown(mounts_come_parents_first_and_ours_yield, setup, teardown),
		cmocka_unit_test_setup_teardown(a_user_namespace_on_the_hosts_network_gets_the_hosts_sysfs,
						setup, teardown),
		cmocka_unit_test_setup_teardown(mappings_of_mounts_need_a_user_namespace, setup, teardown),
		cmocka_unit_test_setup_teardown(annotations_are_data, setup, teardown),
		cmocka_unit_test_setup_teardown(privileged_is_what_it_says, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
