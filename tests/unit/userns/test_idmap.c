/* SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

static int parse(struct idmap *map, const char *text, struct error *e)
{
	*map = IDMAP_INIT;
	return idmap_parse(map, text, strlen(text), e);
}

static void the_text_of_the_kernel_is_read(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap map;

	(void)state;
	assert_ok(parse(&map, "         0     100000      65536\n     65536          7          1\n", &e));
	assert_int_equal(map.n, 2);
	assert_int_equal(map.x[0].container_id, 0);
	assert_int_equal(map.x[0].host_id, 100000);
	assert_int_equal(map.x[0].length, 65536);
	assert_int_equal(map.x[1].host_id, 7);
	assert_ok(parse(&map, "0\t4170514432 65536", &e));
	assert_int_equal(map.x[0].host_id, 4170514432U);
	assert_ok(parse(&map, "", &e));
	assert_int_equal(map.n, 0);
	assert_ok(parse(&map, "\n  \n0 0 1\n\n", &e));
	assert_int_equal(map.n, 1);
}

static void an_error_names_the_line_and_both_ids(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *says[3];
	} rows[] = {
		{ "0 100000 10\n5 200000 10\n",
		  -ERR_EXISTS,
		  { "line 2: ", "container id 5 to host id 200000", "on the container side" } },
		{ "0 100000 10\n10 100009 10\n",
		  -ERR_EXISTS,
		  { "line 2: ", "container id 0 to host id 100000, length 10", "on the host side" } },
		{ "0 100000 0\n", -ERR_INVALID, { "line 1: ", "host id 100000", "length is 0" } },
		{ "1 4294967290 10\n", -ERR_INVALID, { "line 1: ", "host id 4294967290", "the host side" } },
		{ "4294967295 1 1\n",
		  -ERR_INVALID,
		  { "line 1: ", "container id 4294967295", "the container side" } },
		{ "\n0 1 4294967296\n", -ERR_INVALID, { "line 2: ", "the length", "4294967295" } },
		{ "0 1 99999999999999999999999999\n", -ERR_INVALID, { "the length", "line 1", "" } },
		{ "0 1\n", -ERR_INVALID, { "line 1: ", "the length is missing", "" } },
		{ "0 -1 1\n", -ERR_INVALID, { "line 1: ", "the host id", "" } },
		{ "0 1 1 1\n", -ERR_INVALID, { "line 1: ", "more than three fields", "" } },
		{ "0 1x 1\n", -ERR_INVALID, { "line 1: ", "the host id", "" } },
		{ "0 1 0x10\n", -ERR_INVALID, { "line 1: ", "the length", "" } },
	};
	struct idmap map;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error e = ERROR_INIT;

		assert_int_equal(parse(&map, rows[i].text, &e), rows[i].r);
		assert_int_equal(map.n, 0);
		for (size_t j = 0; j < 3; j++)
			assert_says(&e, rows[i].says[j]);
	}
}

static void a_nul_byte_is_refused(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap map = IDMAP_INIT;

	(void)state;
	assert_int_equal(idmap_parse(&map, "0 1 1\0\n", 7, &e), -ERR_INVALID);
}

static void all_ids_but_the_last_can_be_mapped(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap map = IDMAP_INIT;
	uint32_t id;

	(void)state;
	assert_ok(idmap_add(&map, (struct idmap_extent){ 0, 0, UINT32_MAX }, &e));
	assert_true(idmap_is_identity(&map));
	assert_ok(idmap_to_host(&map, UINT32_MAX - 1, &id, &e));
	assert_int_equal(id, UINT32_MAX - 1);
	assert_int_equal(idmap_to_host(&map, UINT32_MAX, &id, &e), -ERR_NOT_FOUND);
	map = IDMAP_INIT;
	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 1, 0, UINT32_MAX }, &e), -ERR_INVALID);
	assert_ok(idmap_add(&map, (struct idmap_extent){ UINT32_MAX - 1, UINT32_MAX - 1, 1 }, &e));
}

static void neighbours_are_no_overlap(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap map = IDMAP_INIT;

	(void)state;
	assert_ok(idmap_add(&map, (struct idmap_extent){ 10, 1000, 10 }, &e));
	assert_ok(idmap_add(&map, (struct idmap_extent){ 0, 1010, 10 }, &e));
	assert_ok(idmap_add(&map, (struct idmap_extent){ 20, 990, 10 }, &e));
	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 29, 5000, 1 }, &e), -ERR_EXISTS);
	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 5000, 989, 2 }, &e), -ERR_EXISTS);
	assert_int_equal(map.n, 3);
}

static void a_map_has_at_most_340_extents(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap map = IDMAP_INIT;

	(void)state;
	for (uint32_t i = 0; i < 340; i++)
		assert_ok(idmap_add(&map, (struct idmap_extent){ i, 2 * i, 1 }, &e));
	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 340, 680, 1 }, &e), -ERR_LIMIT);
	assert_ok(idmap_check(&map, true, "uid", &e));
}

static void ids_translate_both_ways(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap map;
	uint32_t id;

	(void)state;
	assert_ok(parse(&map, "0 4170514432 65536\n65536 1000 1\n", &e));
	assert_ok(idmap_to_host(&map, 65535, &id, &e));
	assert_int_equal(id, 4170579967U);
	assert_ok(idmap_to_host(&map, 65536, &id, &e));
	assert_int_equal(id, 1000);
	assert_ok(idmap_to_container(&map, 4170514432U, &id, &e));
	assert_int_equal(id, 0);
	assert_int_equal(idmap_to_host(&map, 65537, &id, &e), -ERR_NOT_FOUND);
	assert_says(&e, "65537");
	assert_int_equal(idmap_to_container(&map, 0, &id, &e), -ERR_NOT_FOUND);
	assert_int_equal(id, 0);
}

static void a_pod_needs_container_id_0(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap map;

	(void)state;
	assert_ok(parse(&map, "1 100000 10\n", &e));
	assert_ok(idmap_check(&map, false, "uid", &e));
	assert_int_equal(idmap_check(&map, true, "uid", &e), -ERR_INVALID);
	assert_says(&e, "uid map: container id 0 is not mapped");
	assert_int_equal(idmap_check(&IDMAP_INIT, false, "gid", &e), -ERR_INVALID);
	map = (struct idmap){ .x = { { 0, 10, 5 }, { 5, 14, 5 } }, .n = 2 };
	assert_int_equal(idmap_check(&map, true, "gid", &e), -ERR_EXISTS);
	assert_says(&e, "gid map: extent 2: ");
	map.n = IDMAP_MAX + 1;
	assert_int_equal(idmap_check(&map, true, "gid", &e), -ERR_LIMIT);
}

static void maps_are_equal_however_they_are_cut(void **state)
{
	struct error e = ERROR_INIT;
	struct idmap a, b;

	(void)state;
	assert_ok(parse(&a, "0 100 20\n", &e));
	assert_ok(parse(&b, "10 110 10\n0 100 10\n", &e));
	assert_true(idmap_equal(&a, &b));
	assert_ok(parse(&b, "10 111 10\n0 100 10\n", &e));
	assert_false(idmap_equal(&a, &b));
	assert_ok(parse(&b, "0 100 19\n", &e));
	assert_false(idmap_equal(&a, &b));
	assert_ok(parse(&b, "0 0 2147483648\n2147483648 2147483648 2147483647\n", &e));
	assert_true(idmap_is_identity(&b));
	assert_true(idmap_equal(&IDMAP_INIT, &IDMAP_INIT));
	assert_false(idmap_is_identity(&IDMAP_INIT));
}

static void what_is_formatted_parses_to_the_same(void **state)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct error e = ERROR_INIT;
	struct idmap a, b;

	(void)state;
	assert_ok(parse(&a, "0 4170514432 65536\n70000 5 1", &e));
	idmap_format(&a, &text);
	assert_string_equal(buf_str(&text), "0 4170514432 65536\n70000 5 1\n");
	assert_ok(parse(&b, buf_str(&text), &e));
	assert_true(idmap_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_of_the_kernel_is_read),
		cmocka_unit_test(an_error_names_the_line_and_both_ids),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(all_ids_but_the_last_can_be_mapped),
		cmocka_unit_test(neighbours_are_no_overlap),
		cmocka_unit_test(a_map_has_at_most_340_extents),
		cmocka_unit_test(ids_translate_both_ways),
		cmocka_unit_test(a_pod_needs_container_id_0),
		cmocka_unit_test(maps_are_equal_however_they_are_cut),
		cmocka_unit_test(what_is_formatted_parses_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
