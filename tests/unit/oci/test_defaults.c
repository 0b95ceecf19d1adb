/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "oci/defaults.h"
#include "oci/spec.h"
#include "sys/caps.h"

static struct oci_spec *default_spec(bool rootless)
{
	cleanup_json struct json_object *o = oci_default_spec(rootless, true, 1000, 1001);
	cleanup_buf struct buf b = BUF_INIT;
	struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	json_text(o, true, &b);
	if (oci_spec_parse(b.data, b.len, &spec, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return spec;
}

static void the_default_spec_is_a_spec(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *s = default_spec(false);

	(void)state;
	assert_string_equal(s->root.path, "rootfs");
	assert_string_equal(s->process.args.v[0], "sh");
	assert_true(s->process.terminal && s->process.no_new_privileges && s->root.readonly);
	assert_true(s->process.capabilities.set[OCI_CAP_AMBIENT] == 0);
	assert_int_equal(s->mounts.n, 7);
	assert_false(s->linux.namespaces[OCI_NS_USER].is_set);
	assert_true(s->linux.namespaces[OCI_NS_NETWORK].is_set && s->linux.namespaces[OCI_NS_CGROUP].is_set);
	assert_true(s->linux.masked_paths.n > 8 && s->linux.readonly_paths.n == 5);
	assert_false(s->linux.resources.devices.v[0].allow);
}

static void the_rootless_default_maps_the_caller(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *s = default_spec(true);

	(void)state;
	assert_true(s->linux.namespaces[OCI_NS_USER].is_set && !s->linux.namespaces[OCI_NS_NETWORK].is_set);
	assert_true(s->linux.uid_mappings.v[0].host_id == 1000 && s->linux.gid_mappings.v[0].host_id == 1001);
	for (size_t i = 0; i < s->mounts.n; i++) {
		assert_null(strstr(s->mounts.v[i].options.data, "gid="));
		if (strcmp(s->mounts.v[i].destination, "/sys") == 0)
			assert_true(s->mounts.v[i].options.is_rbind);
	}
}

static void the_default_capabilities_are_the_usual_fourteen(void **state)
{
	(void)state;
	assert_int_equal(__builtin_popcountll(oci_default_capability_mask()), 14);
	assert_false(oci_default_capability_mask() & CAP_BIT((unsigned int)caps_from_name("CAP_SYS_ADMIN")));
}

static void the_default_device_rules_deny_first(void **state)
{
	cleanup_json struct json_object *rules = oci_default_device_rules();
	struct json_object *first = json_object_array_get_idx(rules, 0);
	struct error e = ERROR_INIT;
	const char *access = NULL;
	bool allow = true;

	(void)state;
	assert_int_equal(json_get_bool(first, "allow", &allow, &e), 1);
	assert_int_equal(json_get_str(first, "access", &access, &e), 1);
	assert_false(allow);
	assert_string_equal(access, "rwm");
	for (size_t i = 1; i < json_object_array_length(rules); i++) {
		assert_int_equal(json_get_bool(json_object_array_get_idx(rules, i), "allow", &allow, &e), 1);
		assert_true(allow);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_spec_is_a_spec),
		cmocka_unit_test(the_rootless_default_maps_the_caller),
		cmocka_unit_test(the_default_capabilities_are_the_usual_fourteen),
		cmocka_unit_test(the_default_device_rules_deny_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
