/* SPDX-License-Identifier: Apache-2.0 */
/* Values in GVariant's text, and the annotations that carry them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "cgroup/dbus.h"
#include "cgroup/systemd_props.h"

static struct error err;

/* The variant as it goes over the wire. */
#define is_on_the_wire(text, bytes) check_wire(text, bytes, sizeof(bytes) - 1)
static void check_wire(const char *text, const char *bytes, size_t n)
{
	CLEANUP(systemd_value_done) struct systemd_value v = SYSTEMD_VALUE_INIT;
	cleanup_buf struct buf b = BUF_INIT;

	if (systemd_value_parse(text, &v, &err) < 0)
		fail_msg("%s: %s", text, err_msg(&err));
	systemd_value_put(&v, &b);
	if (b.len != n || memcmp(b.data, bytes, n) != 0)
		fail_msg("%s: %zu bytes, signature %s", text, b.len, v.signature);
}

static void numbers_have_their_types(void **state)
{
	(void)state;
	is_on_the_wire("uint64 30000000", "\x01t\0\0\0\0\0\0\x80\xc3\xc9\x01\0\0\0\0");
	is_on_the_wire(" uint32\t7 ", "\x01u\0\0\x07\0\0\0");
	is_on_the_wire("-2", "\x01i\0\0\xfe\xff\xff\xff");
	is_on_the_wire("0x10", "\x01i\0\0\x10\0\0\0");
	is_on_the_wire("int64 -1", "\x01x\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
	is_on_the_wire("int64 -9223372036854775808", "\x01x\0\0\0\0\0\0\0\0\0\0\0\0\0\x80");
	is_on_the_wire("uint64 18446744073709551615", "\x01t\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
	is_on_the_wire("int16 -3", "\x01n\0\0\xfd\xff");
	is_on_the_wire("@q 3", "\x01q\0\0\x03\0");
	is_on_the_wire("byte 255", "\x01y\0\xff");
	is_on_the_wire("0.5", "\x01"
			      "d\0\0\0\0\0\0\0\0\0\0\0\0\xe0\x3f");
	is_on_the_wire("double 2", "\x01"
				   "d\0\0\0\0\0\0\0\0\0\0\0\0\0\x40");
	is_on_the_wire("true", "\x01"
			       "b\0\0\x01\0\0\0");
	is_on_the_wire("boolean false", "\x01"
					"b\0\0\0\0\0\0");
}

static void strings_and_arrays(void **state)
{
	(void)state;
	is_on_the_wire("'inactive-or-failed'", "\x01s\0\0\x12\0\0\0inactive-or-failed\0");
	is_on_the_wire("\"a'b\"", "\x01s\0\0\x03\0\0\0a'b\0");
	is_on_the_wire("'\\'\\\\\\n'", "\x01s\0\0\x03\0\0\0'\\\n\0");
	is_on_the_wire("string ''", "\x01s\0\0\0\0\0\0\0");
	is_on_the_wire("['crio.service']", "\x02"
					   "as\0\x11\0\0\0\x0c\0\0\0crio.service\0");
	is_on_the_wire("['a', \"b\"]", "\x02"
				       "as\0\x0e\0\0\0\x01\0\0\0a\0\0\0\x01\0\0\0b\0");
	is_on_the_wire("@as []", "\x02"
				 "as\0\0\0\0\0");
	is_on_the_wire("[ uint64 1 ,2]", "\x02"
					 "at\0\x10\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
	is_on_the_wire("@ay[1,2]", "\x02"
				   "ay\0\x02\0\0\0\x01\x02");
}

static void what_is_no_value(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"word",
		"crio.service",
		"'",
		"'a",
		"'a\\",
		"'a\\q'",
		"'a'b",
		"uint64",
		"uint64 ",
		"uint64 -1",
		"uint64 'a'",
		"uint64 true",
		"uint64 uint32 1",
		"uint32 4294967296",
		"2147483648",
		"-2147483649",
		"int64 9223372036854775808",
		"int64 -9223372036854775809",
		"uint64 18446744073709551616",
		"byte 256",
		"--1",
		"+-1",
		"- 1",
		"0x",
		"1x",
		"1 2",
		"0.5.5",
		"inf",
		"double nan",
		"1e999",
		"string 5",
		"boolean 1",
		"[]",
		"[1",
		"[1,",
		"[1,]",
		"[1 2]",
		"[1, 'a']",
		"['a', 1]",
		"[true, 1]",
		"[[1]]",
		"@a",
		"@a s",
		"@as",
		"@as 'a'",
		"@aas []",
		"@z 1",
		"<1>",
		"(1, 2)",
		"{'a': 1}",
		"objectpath '/a'",
		"b'abc'",
		"'\xff'",
	};
	struct systemd_value v = SYSTEMD_VALUE_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (systemd_value_parse(bad[i], &v, &err) != -ERR_INVALID)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(systemd_value_parse("crio.service", &v, &err), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "strings need quotes"));
}

static void an_array_has_an_end(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct systemd_value v = SYSTEMD_VALUE_INIT;

	(void)state;
	buf_adds(&text, "[1");
	for (unsigned int i = 1; i < SYSTEMD_VALUE_MAX; i++)
		buf_adds(&text, ",1");
	assert_true(systemd_value_parse(buf_str(&text), &v, &err) < 0);
	buf_adds(&text, "]");
	assert_int_equal(systemd_value_parse(buf_str(&text), &v, &err), 0);
	assert_int_equal(v.numbers.len, SYSTEMD_VALUE_MAX * sizeof(uint64_t));
	systemd_value_done(&v);
	text.data[text.len - 1] = ',';
	buf_adds(&text, "1]");
	assert_int_equal(systemd_value_parse(buf_str(&text), &v, &err), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "too many"));
}

/* The properties of one annotation, as a(sv). */
static int props(const char *name, const char *value, struct buf *b)
{
	CLEANUP(systemd_props_done) struct systemd_props p = SYSTEMD_PROPS_INIT;
	cleanup_free char *key = str_fmt("%s%s", CGROUP_UNIT_ANNOTATION, name);
	const struct cgroup_unit_property one = { key, value };
	const struct cgroup_resources r = { .unit_properties = &one, .unit_property_count = 1 };
	int k = systemd_props_of_annotations(&r, &p, &err);

	buf_clear(b);
	if (k >= 0)
		systemd_props_put(&p, b);
	return k;
}

/* What b holds is the property, a uint64. */
static void is_u64(const struct buf *b, const char *name, uint64_t n)
{
	CLEANUP(systemd_props_done) struct systemd_props p = SYSTEMD_PROPS_INIT;
	cleanup_buf struct buf expected = BUF_INIT;

	systemd_prop_u64(&p, name, n);
	systemd_props_put(&p, &expected);
	assert_int_equal(b->len, expected.len);
	assert_memory_equal(b->data, expected.data, b->len);
}

static void seconds_become_microseconds(void **state)
{
	static const char *const bad[] = {
		"'5'", "true", "[5]", "-1", "-0.5", "uint64 18446744073710", "1e20"
	};
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(props("TimeoutStopSec", "uint64 5", &b), 0);
	is_u64(&b, "TimeoutStopUSec", 5000000);
	assert_int_equal(props("TimeoutStopSec", "0.25", &b), 0);
	is_u64(&b, "TimeoutStopUSec", 250000);
	assert_int_equal(props("TimeoutStopSec", "7", &b), 0);
	is_u64(&b, "TimeoutStopUSec", 7000000);
	assert_int_equal(props("TimeoutStopUSec", "uint64 7", &b), 0);
	is_u64(&b, "TimeoutStopUSec", 7);
	assert_int_equal(props("RuntimeMaxSec", "uint64 18446744073709", &b), 0);
	is_u64(&b, "RuntimeMaxUSec", 18446744073709000000u);
	/* No unit of time. */
	assert_int_equal(props("CPUQuotaPerSECSec", "uint64 1", &b), 0);
	is_u64(&b, "CPUQuotaPerSECSec", 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (props("TimeoutStopSec", bad[i], &b) != -ERR_INVALID)
			fail_msg("\"%s\" seconds were taken", bad[i]);
	assert_non_null(strstr(err_msg(&err), "org.systemd.property.TimeoutStopSec"));
}

static void names_are_letters(void **state)
{
	static const char *const bad[] = { "", "Ab", "After1", "Af ter", "After.", "Aft\xc3\xa9r" };
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (props(bad[i], "true", &b) != -ERR_INVALID)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(props("Abc", "true", &b), 0);
	assert_int_equal(props("Sec", "true", &b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_their_types),
		cmocka_unit_test(strings_and_arrays),
		cmocka_unit_test(what_is_no_value),
		cmocka_unit_test(an_array_has_an_end),
		cmocka_unit_test(seconds_become_microseconds),
		cmocka_unit_test(names_are_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
