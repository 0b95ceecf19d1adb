/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "api.pb-c.h"
#include "codec/pb.h"

#define CONFIG (&runtime__v1__pod_sandbox_config__descriptor)

static int check(const ProtobufCMessageDescriptor *type, const char *bytes, size_t len, struct error *e)
{
	/* A copy of the exact size, so that the sanitizer sees a read past its end. */
	char *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, bytes, len);
	r = pb_check(type, copy, len, e);
	free(copy);
	return r;
}

static void a_message_survives_packing(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	cleanup_buf struct buf b = BUF_INIT;
	Runtime__V1__PodSandboxConfig *c =
		PB_NEW(&a, Runtime__V1__PodSandboxConfig, runtime__v1__pod_sandbox_config);
	Runtime__V1__PodSandboxConfig *got;
	Runtime__V1__PodSandboxConfig__LabelsEntry *label;
	struct error e = ERROR_INIT;
	void *out;

	(void)state;
	c->metadata = PB_NEW(&a, Runtime__V1__PodSandboxMetadata, runtime__v1__pod_sandbox_metadata);
	c->metadata->name = arena_str(&a, "näme");
	c->metadata->attempt = 4000000000u;
	c->n_labels = 1;
	c->labels = arena_array(&a, 1, sizeof(*c->labels));
	label = c->labels[0] = PB_NEW(&a, Runtime__V1__PodSandboxConfig__LabelsEntry,
				      runtime__v1__pod_sandbox_config__labels_entry);
	label->key = arena_str(&a, "k");
	assert_int_equal(pb_pack(c, 1000, &b, &e), 0);
	assert_int_equal(pb_unpack(CONFIG, b.data, b.len, &a, &out, &e), 0);
	got = out;
	assert_string_equal(got->metadata->name, "näme");
	assert_true(got->metadata->attempt == 4000000000u);
	assert_string_equal(got->metadata->namespace_, "");
	assert_string_equal(got->labels[0]->key, "k");
	assert_string_equal(got->labels[0]->value, "");
	assert_null(got->linux);
}

static void no_bytes_are_the_empty_message(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct error e = ERROR_INIT;
	Runtime__V1__VersionRequest *got;
	void *out;

	(void)state;
	assert_int_equal(pb_unpack(&runtime__v1__version_request__descriptor, NULL, 0, &a, &out, &e), 0);
	got = out;
	assert_string_equal(got->version, "");
}

static void errors_name_the_path_of_the_field(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *want;
	} cases[] = {
		/* metadata { name: "\xff" } */
		{ "\x0a\x03\x0a\x01\xff", 5, "field metadata.name: is not valid UTF-8" },
		/* the second label's value holds a NUL */
		{ "\x32\x03\x0a\x01k\x32\x04\x12\x02v\0", 11, "field labels[1].value: contains a NUL byte" },
		/* dns_config { servers: "a", servers: "b", servers: cut off } */
		{ "\x22\x08\x0a\x01"
		  "a\x0a\x01"
		  "b\x0a\x05",
		  10, "field dns_config.servers[2]: its length goes past" },
		{ "\x0a\x7f", 2, "field metadata: its length goes past" },
		{ "\x08\x01", 2, "field metadata: has wire type 0 where its type asks for 2" },
		{ "\x80", 1, "a field's tag is malformed" },
		{ "\x07", 1, "a field's tag is malformed" },
		{ "\xfa\x07\x05", 3, "unknown field 127 is malformed" },
		{ "\xfb\x07", 2, "unknown field 127 is malformed" },
	};
	struct error e = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(check(CONFIG, cases[i].bytes, cases[i].len, &e), -ERR_INVALID);
		if (!strstr(err_msg(&e), cases[i].want))
			fail_msg("case %zu: \"%s\" lacks \"%s\"", i, err_msg(&e), cases[i].want);
	}
}

static void unknown_fields_and_packed_numbers_are_fine(void **state)
{
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(check(CONFIG, "\xf8\x07\x01", 3, &e), 0);
	/* LinuxSandboxSecurityContext.supplemental_groups, packed and not */
	assert_int_equal(check(&runtime__v1__linux_sandbox_security_context__descriptor,
			       "\x2a\x03\x01\x80\x01", 5, &e),
			 0);
	assert_int_equal(
		check(&runtime__v1__linux_sandbox_security_context__descriptor, "\x28\x01\x28\x02", 4, &e),
		0);
	assert_int_equal(
		check(&runtime__v1__linux_sandbox_security_context__descriptor, "\x2a\x02\x01\x80", 4, &e),
		-ERR_INVALID);
}

static void environment_values_are_bytes(void **state)
{
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(check(&runtime__v1__key_value__descriptor, "\x12\x02\xff\x00", 4, &e), 0);
	assert_int_equal(check(&runtime__v1__key_value__descriptor, "\x0a\x02\xff\x00", 4, &e), -ERR_INVALID);
}

static void what_grows_beyond_the_budget_is_refused(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct error e = ERROR_INIT;
	size_t len = 4 * 1024 * 1024;
	char *raw = malloc(len);
	void *out;

	(void)state;
	/* empty Mounts */
	for (size_t i = 0; i < len; i += 2) {
		raw[i] = 0x3a;
		raw[i + 1] = 0;
	}
	assert_int_equal(pb_unpack(&runtime__v1__container_config__descriptor, raw, len, &a, &out, &e),
			 -ERR_LIMIT);
	assert_true(a.total < PB_UNPACK_BUDGET + 1024 * 1024);
	free(raw);
}

static void answers_are_checked_too(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	cleanup_buf struct buf b = BUF_INIT;
	Runtime__V1__VersionResponse *v =
		PB_NEW(&a, Runtime__V1__VersionResponse, runtime__v1__version_response);
	struct error e = ERROR_INIT;

	(void)state;
	v->runtime_name = arena_str(&a, "bad \xc3");
	assert_int_equal(pb_pack(v, 100, &b, &e), -ERR_INTERNAL);
	assert_non_null(strstr(err_msg(&e), "runtime_name"));
	v->runtime_name = NULL;
	assert_int_equal(pb_pack(v, 100, &b, &e), 0);
	assert_int_equal(b.len, 0);
	v->runtime_name = arena_str(&a, "0123456789");
	assert_int_equal(pb_pack(v, 11, &b, &e), -ERR_LIMIT);
}

static void an_arena_gives_aligned_zeroed_memory(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	char *big;

	(void)state;
	for (size_t n = 0; n < 3000; n++) {
		char *p = arena_alloc(&a, n);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xaa, n);
	}
	big = arena_raw(&a, 10 * 1024 * 1024);
	memset(big, 1, 10 * 1024 * 1024);
	assert_string_equal(arena_fmt(&a, "%s-%d", "x", 7), "x-7");
	assert_int_equal(strlen(arena_fmt(&a, "%1000d", 7)), 1000);
	assert_string_equal(arena_str(&a, NULL), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_survives_packing),
		cmocka_unit_test(no_bytes_are_the_empty_message),
		cmocka_unit_test(errors_name_the_path_of_the_field),
		cmocka_unit_test(unknown_fields_and_packed_numbers_are_fine),
		cmocka_unit_test(environment_values_are_bytes),
		cmocka_unit_test(what_grows_beyond_the_budget_is_refused),
		cmocka_unit_test(answers_are_checked_too),
		cmocka_unit_test(an_arena_gives_aligned_zeroed_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
