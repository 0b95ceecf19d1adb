/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "cgroup/dbus.h"
#include "cgroup/systemd_props.h"

static struct error err;

/* ---- the wire ---- */

static void values_are_aligned(void **state)
{
	static const char expected[] = "\x01\0\0\0"	    /* u 1 */
				       "\x02\0\0\0hi\0"	    /* s "hi" */
				       "\0\0\0\0\0"	    /* padding to 8 */
				       "\x07\0\0\0\0\0\0\0" /* t 7 */
				       "\x02sv\0"	    /* g "sv" */
				       "\x01\0\0\0";	    /* b true */
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	dbus_put_u32(&b, 1);
	dbus_put_str(&b, "hi");
	dbus_put_u64(&b, 7);
	dbus_put_sig(&b, "sv");
	dbus_put_bool(&b, true);
	assert_int_equal(b.len, sizeof(expected) - 1);
	assert_memory_equal(b.data, expected, b.len);
}

static void the_padding_before_the_first_item_does_not_count(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct dbus_array a;
	uint32_t len;

	(void)state;
	a = dbus_array_begin(&b, 8);
	dbus_put_u64(&b, 1);
	dbus_put_u64(&b, 2);
	dbus_array_end(&b, a);
	assert_int_equal(b.len, 8 + 16);
	memcpy(&len, b.data, sizeof(len));
	assert_int_equal(len, 16);
}

static void a_call_is_read_back(void **state)
{
	cleanup_buf struct buf body = BUF_INIT, out = BUF_INIT;
	const struct dbus_call call = { .destination = "org.example",
					.path = "/a/b",
					.interface = "org.example.I",
					.member = "Do",
					.signature = "su",
					.body = &body };
	struct dbus_message m;
	struct dbus_cursor c;
	const char *text;
	uint32_t n = 0;

	(void)state;
	dbus_put_str(&body, "word");
	dbus_put_u32(&body, 42);
	dbus_put_call(&out, &call, 5);
	buf_adds(&out, "the next message");
	/* Until the last byte is there, it is not whole. */
	for (size_t len = 0; len < out.len - strlen("the next message"); len++)
		assert_int_equal(dbus_parse(out.data, len, &m, &err), 0);
	assert_int_equal(dbus_parse(out.data, out.len, &m, &err), out.len - strlen("the next message"));
	assert_int_equal(m.type, DBUS_CALL);
	assert_string_equal(m.interface, "org.example.I");
	assert_string_equal(m.member, "Do");
	assert_string_equal(m.signature, "su");
	c = (struct dbus_cursor){ .data = m.body, .len = m.body_len };
	assert_true(dbus_get_str(&c, &text) && dbus_get_u32(&c, &n));
	assert_string_equal(text, "word");
	assert_int_equal(n, 42);
	assert_false(dbus_get_u32(&c, &n));
}

static void broken_messages_are_refused(void **state)
{
	cleanup_buf struct buf out = BUF_INIT;
	const struct dbus_call call = { .path = "/a", .interface = "i", .member = "m" };
	struct dbus_message m;
	uint32_t huge = 1u << 30;

	(void)state;
	dbus_put_call(&out, &call, 1);
	out.data[3] = 2; /* version */
	assert_int_equal(dbus_parse(out.data, out.len, &m, &err), -ERR_CORRUPT);
	out.data[3] = 1;
	memcpy(out.data + 4, &huge, sizeof(huge)); /* body */
	assert_int_equal(dbus_parse(out.data, out.len, &m, &err), -ERR_LIMIT);
}

/* Whatever the bytes are, nothing outside of them is read (run with a sanitizer). */
static void any_bytes_end_well(void **state)
{
	cleanup_buf struct buf body = BUF_INIT, out = BUF_INIT;
	const struct dbus_call call = {
		.path = "/a", .interface = "i.j", .member = "m", .signature = "s", .body = &body
	};
	unsigned int seed = 1;

	(void)state;
	dbus_put_str(&body, "text");
	dbus_put_call(&out, &call, 1);
	for (int i = 0; i < 20000; i++) {
		cleanup_free char *copy = mem_dup(out.data, out.len);
		struct dbus_message m;

		for (int k = 0; k < 3; k++)
			copy[(size_t)rand_r(&seed) % out.len] = (char)rand_r(&seed);
		if (dbus_parse(copy, out.len, &m, &err) > 0) {
			struct dbus_cursor c = { .data = m.body, .len = m.body_len };
			const char *text = "";

			(void)!dbus_get_str(&c, &text);
			assert_true(strlen(text) <= out.len && strlen(m.member) <= out.len);
		}
	}
}

/* ---- properties ---- */

static const char *props_text(const struct cgroup_resources *r, bool is_v2, unsigned int version)
{
	CLEANUP(systemd_props_done) struct systemd_props p = SYSTEMD_PROPS_INIT;
	static char text[4096];
	size_t n = 0;

	if (systemd_props_of(r, is_v2, version, &p, &err) < 0)
		return err_kind_name(err.kind);
	text[0] = '\0';
	for (size_t i = 0; i < p.n; i++) {
		const struct systemd_prop *x = &p.v[i];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=", x->name);
		if (x->kind == PROP_U64 && x->number == UINT64_MAX)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "infinity");
		else if (x->kind == PROP_U64 || x->kind == PROP_BOOL)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%llu",
					      (unsigned long long)x->number);
		else if (x->kind == PROP_TEXT)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", buf_str(&x->bytes));
		for (size_t k = 0; x->kind == PROP_BYTES && k < x->bytes.len; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x",
					      (unsigned char)x->bytes.data[k]);
		for (size_t k = 0; k < x->words.n; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", k ? " " : "",
					      x->words.v[k]);
		n += (size_t)snprintf(text + n, sizeof(text) - n, ";");
	}
	return text;
}

#define RES(...) (&(struct cgroup_resources){ __VA_ARGS__ })

static void limits_as_properties(void **state)
{
	const struct cgroup_resources *r =
		RES(.has_memory_limit = true, .memory_limit = 1000, .has_memory_swap = true,
		    .memory_swap = 1500, .has_memory_reservation = true, .memory_reservation = 7,
		    .has_cpu_shares = true, .cpu_shares = 1024, .has_pids_limit = true, .pids_limit = 9);

	(void)state;
	assert_string_equal(props_text(r, true, 252),
			    "MemoryMax=1000;MemoryLow=7;MemorySwapMax=500;CPUWeight=100;TasksMax=9;");
	assert_string_equal(props_text(r, false, 252), "MemoryLimit=1000;CPUShares=1024;TasksMax=9;");
	assert_string_equal(props_text(RES(.has_memory_limit = true, .memory_limit = -1), true, 252),
			    "MemoryMax=infinity;MemorySwapMax=infinity;");
	assert_string_equal(props_text(RES(.has_pids_limit = true, .pids_limit = -1), true, 252),
			    "TasksMax=infinity;");
	assert_string_equal(props_text(RES(.has_pids_limit = true), true, 252), "TasksMax=1;");
}

static void quotas_are_percents(void **state)
{
	struct cgroup_resources r = {
		.has_cpu_quota = true, .cpu_quota = 12345, .has_cpu_period = true, .cpu_period = 50000
	};

	(void)state;
	assert_string_equal(props_text(&r, true, 252), "CPUQuotaPeriodUSec=50000;CPUQuotaPerSecUSec=250000;");
	systemd_round_quota(&r);
	assert_int_equal(r.cpu_quota, 12500);
	assert_string_equal(props_text(&r, true, 252), "CPUQuotaPeriodUSec=50000;CPUQuotaPerSecUSec=250000;");
	r.cpu_quota = -1;
	systemd_round_quota(&r);
	assert_int_equal(r.cpu_quota, -1);
	assert_string_equal(props_text(&r, true, 252),
			    "CPUQuotaPeriodUSec=50000;CPUQuotaPerSecUSec=infinity;");
	assert_string_equal(props_text(RES(.has_cpu_quota = true, .cpu_quota = 100000), true, 252),
			    "CPUQuotaPerSecUSec=1000000;");
}

static void idle_is_a_matter_of_the_version(void **state)
{
	const struct cgroup_resources *r =
		RES(.has_cpu_idle = true, .cpu_idle = 1, .has_cpu_shares = true, .cpu_shares = 5);

	(void)state;
	assert_string_equal(props_text(r, true, 252), "CPUWeight=0;");
	assert_string_equal(props_text(r, true, 251), "");
	assert_true(systemd_wants_version(r));
	assert_false(systemd_wants_version(RES(.has_cpu_shares = true, .cpu_shares = 5)));
}

static void sets_are_bits(void **state)
{
	(void)state;
	assert_string_equal(props_text(RES(.cpuset_cpus = "0-2,9", .cpuset_mems = "0"), true, 252),
			    "AllowedCPUs=0702;AllowedMemoryNodes=01;");
	assert_string_equal(props_text(RES(.cpuset_cpus = "100000"), true, 252), "");
}

static void devices_as_far_as_systemd_has_words(void **state)
{
	const struct cgroup_device list[] = { { false, 'a', "rwm", -1, -1 },
					      { true, 'c', "m", -1, -1 },
					      { true, 'c', "rw", 136, -1 },
					      { true, 'b', "r", 8, 0 } };
	const struct cgroup_device all[] = { { true, 'a', "rwm", -1, -1 } };
	const struct cgroup_device hole[] = { { true, 'c', "rw", 1, -1 }, { false, 'c', "rw", 1, 3 } };
	const struct cgroup_device minor[] = { { true, 'c', "rw", -1, 3 } };

	(void)state;
	assert_string_equal(
		props_text(RES(.devices = list, .device_count = 4), true, 252),
		"DeviceAllow=;DevicePolicy=strict;DeviceAllow=char-* m char-136 rwm /dev/block/8:0 r;");
	assert_string_equal(props_text(RES(.devices = all, .device_count = 1), true, 252),
			    "DeviceAllow=;DevicePolicy=auto;");
	assert_string_equal(props_text(RES(.devices = hole, .device_count = 2), true, 252),
			    "DeviceAllow=;DevicePolicy=auto;");
	assert_string_equal(props_text(RES(.devices = minor, .device_count = 1), true, 252),
			    "DeviceAllow=;DevicePolicy=auto;");
	assert_string_equal(props_text(RES(0), true, 252), "");
}

static void unified_keys_that_systemd_knows(void **state)
{
	const struct cgroup_unified u[] = { { "memory.high", "5" },	   { "memory.max", "max" },
					    { "cpu.max", "20000 100000" }, { "cpu.weight", "7" },
					    { "pids.max", "0" },	   { "cpuset.cpus", "1" },
					    { "io.weight", "default 9" } };
	const struct cgroup_unified bad = { "memory.max", "much" };

	(void)state;
	assert_string_equal(
		props_text(RES(.unified = u, .unified_count = ARRAY_LEN(u)), true, 252),
		"MemoryHigh=5;MemoryMax=infinity;CPUQuotaPeriodUSec=100000;CPUQuotaPerSecUSec=200000;"
		"CPUWeight=7;TasksMax=1;AllowedCPUs=02;");
	assert_string_equal(props_text(RES(.unified = &bad, .unified_count = 1), true, 252), "invalid");
}

static void rates_of_block_devices(void **state)
{
	const struct cgroup_blkio b[] = { { BLKIO_READ_BPS, 8, 0, 5 },
					  { BLKIO_WRITE_IOPS, 8, 16, 0 },
					  { BLKIO_READ_BPS, 8, 16, 6 } };

	(void)state;
	assert_string_equal(props_text(RES(.blkio = b, .blkio_count = 3), true, 252),
			    "IOReadBandwidthMax=/dev/block/8:0 5 /dev/block/8:16 6;"
			    "IOWriteIOPSMax=/dev/block/8:16 18446744073709551615;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_aligned),
		cmocka_unit_test(the_padding_before_the_first_item_does_not_count),
		cmocka_unit_test(a_call_is_read_back),
		cmocka_unit_test(broken_messages_are_refused),
		cmocka_unit_test(any_bytes_end_well),
		cmocka_unit_test(limits_as_properties),
		cmocka_unit_test(quotas_are_percents),
		cmocka_unit_test(idle_is_a_matter_of_the_version),
		cmocka_unit_test(sets_are_bits),
		cmocka_unit_test(devices_as_far_as_systemd_has_words),
		cmocka_unit_test(unified_keys_that_systemd_knows),
		cmocka_unit_test(rates_of_block_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
