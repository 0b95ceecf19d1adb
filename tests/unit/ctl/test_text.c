/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "ctl/logline.h"
#include "ctl/pbjson.h"
#include "ctl/pull.h"
#include "ctl/quantity.h"
#include "ctl/table.h"
#include "ctl/text.h"

static void ages_are_in_the_largest_unit_of_which_there_are_two(void **state)
{
	static const struct {
		int64_t seconds;
		const char *want;
	} cases[] = {
		{ 1, "1 second" },	{ 59, "59 seconds" }, { 60, "60 seconds" },
		{ 119, "119 seconds" }, { 120, "2 minutes" }, { 7199, "119 minutes" },
		{ 7200, "2 hours" },	{ 172800, "2 days" }, { 0, "0 seconds" },
	};
	cleanup_arena struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(text_duration(&a, cases[i].seconds * NS_PER_S), cases[i].want);
	assert_string_equal(text_age(&a, 200 * NS_PER_S, 20 * NS_PER_S), "3 minutes ago");
	assert_string_equal(text_age(&a, 200 * NS_PER_S, 200 * NS_PER_S), "just now");
	assert_string_equal(text_age(&a, 100 * NS_PER_S, 200 * NS_PER_S), "just now");
	assert_string_equal(text_age(&a, 100 * NS_PER_S, 0), "-");
}

static void sizes_have_three_digits(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;

	(void)state;
	assert_string_equal(text_bytes(&a, 0), "0 B");
	assert_string_equal(text_bytes(&a, 999), "999 B");
	assert_string_equal(text_bytes(&a, 1000), "1.00 kB");
	assert_string_equal(text_bytes(&a, 1031856), "1.03 MB");
	assert_string_equal(text_bytes(&a, 99960), "100 kB");
	assert_string_equal(text_bytes(&a, UINT64_MAX), "18.4 EB");
}

static void image_names_are_as_a_person_writes_them(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;

	(void)state;
	assert_string_equal(text_image(&a, "docker.io/library/busybox:1.36"), "busybox:1.36");
	assert_string_equal(text_image(&a, "docker.io/grafana/loki:3"), "grafana/loki:3");
	assert_string_equal(text_image(&a, "registry.k8s.io/pause:3.10"), "registry.k8s.io/pause:3.10");
	assert_string_equal(text_image(&a, "sha256:0123456789abcdef"), "0123456789ab");
	assert_string_equal(text_image(&a, "a.b/c@sha256:0123456789abcdef"), "a.b/c@sha256:0123456789ab");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;

	(void)state;
	assert_string_equal(text_clean(&a, "a\033[2Jb\nc\x7f"), "a?[2Jb?c?");
	assert_string_equal(text_clean(&a, "x\xc2\x9b"
					   "31m\u00e9"),
			    "x??31m\u00e9");
}

static void text_is_cut_by_characters(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;

	(void)state;
	assert_string_equal(text_cut(&a, "\u00e9\u00e9\u00e9", 3), "\u00e9\u00e9\u00e9");
	assert_string_equal(text_cut(&a, "\u00e9\u00e9\u00e9\u00e9", 3), "\u00e9\u00e9\u2026");
	assert_string_equal(text_cut(&a, "abc", 1), "\u2026");
	assert_string_equal(text_cut(&a, "abc", 0), "");
}

static void a_table_fits_the_width_by_its_widest_columns(void **state)
{
	static const char *const heads[] = { "ID", "NAME", "IMAGE", NULL };
	cleanup_arena struct arena a = ARENA_INIT;
	cleanup_buf struct buf wide = BUF_INIT, narrow = BUF_INIT;
	struct table t;

	(void)state;
	table_init(&t, &a, heads);
	TABLE_ADD(&t, "1234", "web", "registry.example/a/very/long/name/of/an/image:1.0");
	TABLE_ADD(&t, "5", "", "x");
	table_format(&t, 0, &wide);
	assert_string_equal(buf_str(&wide),
			    "ID     NAME   IMAGE\n"
			    "1234   web    registry.example/a/very/long/name/of/an/image:1.0\n"
			    "5      -      x\n");
	table_format(&t, 30, &narrow);
	assert_string_equal(buf_str(&narrow), "ID     NAME   IMAGE\n"
					      "1234   web    registry.exampl\u2026\n"
					      "5      -      x\n");
}

static void quantities_are_exact_and_rounded_up(void **state)
{
	static const struct {
		const char *text;
		uint32_t scale;
		int64_t want;
	} cases[] = {
		{ "500m", 1000, 500 },
		{ "1", 1000, 1000 },
		{ "1.5", 1000, 1500 },
		{ "0.1", 1000, 100 },
		{ "100u", 1000, 1 },
		{ "0", 1000, 0 },
		{ "128Mi", 1, 134217728 },
		{ "1.5Gi", 1, 1610612736 },
		{ "1e3", 1, 1000 },
		{ "12E2", 1, 1200 },
		{ "1E", 1, 1000000000000000000 },
		{ "100m", 1, 1 },
		{ "1k", 1, 1000 },
		{ "7.99Ei", 1, 9211842821808707339 },
		{ ".5", 1000, 500 },
		{ "2.", 1, 2 },
		{ "0.000000000000000001", 1, 1 },
		{ "+4", 1, 4 },
		{ "25e-1", 1000, 2500 },
	};
	struct error e = ERROR_INIT;
	int64_t got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		got = -1;
		if (quantity_parse(cases[i].text, cases[i].scale, &got, &e) < 0)
			fail_msg("%s: %s", cases[i].text, err_msg(&e));
		if (got != cases[i].want)
			fail_msg("%s: %lld", cases[i].text, (long long)got);
	}
}

static void what_is_no_quantity_is_refused(void **state)
{
	static const char *const bad[] = { "",
					   "x",
					   "1x",
					   "-1",
					   "1 Mi",
					   "Mi",
					   ".",
					   "1.2.3",
					   "1e",
					   "1ee3",
					   "1mi",
					   "1Mi1",
					   "1234567890123456789",
					   "1e19",
					   "0x10" };
	static const char *const large[] = { "8Ei", "9223372036854775808m1", "10E", "99999P" };
	struct error e = ERROR_INIT;
	int64_t got = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(quantity_parse(bad[i], 1, &got, &e), -ERR_INVALID);
	assert_int_equal(quantity_parse(large[0], 1, &got, &e), -ERR_LIMIT);
	assert_int_equal(quantity_parse(large[1], 1, &got, &e), -ERR_INVALID);
	assert_int_equal(quantity_parse(large[2], 1, &got, &e), -ERR_LIMIT);
	assert_int_equal(quantity_parse(large[3], 1000, &got, &e), -ERR_LIMIT);
	assert_int_equal(got, 7);
}

static bool parse(const char *text, struct logline *l)
{
	return logline_parse(text, strlen(text), l);
}

static void log_records_are_taken_apart(void **state)
{
	struct logline l;

	(void)state;
	assert_true(parse("2026-01-02T03:04:05.000000006Z stderr P some text", &l));
	assert_true(l.is_stderr && l.is_partial);
	assert_int_equal(l.len, strlen("some text"));
	assert_memory_equal(l.text, "some text", l.len);
	assert_int_equal(l.time_len, 30);
	assert_true(parse("T stdout F ", &l));
	assert_false(l.is_stderr || l.is_partial);
	assert_int_equal(l.len, 0);
	assert_true(parse("T stdout F:x y", &l));
	assert_false(parse("T stdout F", &l));
	assert_false(parse("T stdfoo F x", &l));
	assert_false(parse("T stdout X x", &l));
	assert_false(parse("T  stdout F x", &l));
	assert_false(parse("", &l));
}

static void the_tail_begins_with_a_whole_line(void **state)
{
	struct logtail t;

	(void)state;
	logtail_init(&t, 2);
	assert_int_equal(logtail_start(&t, 99), 99);
	logtail_record(&t, 0, false);
	assert_int_equal(logtail_start(&t, 99), 0);
	logtail_record(&t, 10, true); /* one line in three parts */
	logtail_record(&t, 20, true);
	logtail_record(&t, 30, false);
	logtail_record(&t, 40, false);
	assert_int_equal(logtail_start(&t, 99), 10);
	logtail_record(&t, 50, true); /* not yet whole: it counts */
	assert_int_equal(logtail_start(&t, 99), 40);
	logtail_done(&t);
	logtail_init(&t, 0);
	logtail_record(&t, 0, false);
	assert_int_equal(logtail_start(&t, 5), 5);
	logtail_done(&t);
}

static void messages_become_json_as_protobuf_maps_them(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	PB(ContainerStatus) *s = PB_NEW(&a, PB(ContainerStatus), runtime__v1__container_status);
	PB(ContainerStatus__LabelsEntry) *label =
		PB_NEW(&a, PB(ContainerStatus__LabelsEntry), runtime__v1__container_status__labels_entry);
	PB(ContainerStatus__LabelsEntry) *labels[] = { label };
	struct json_object *doc, *v;

	(void)state;
	s->id = (char *)"x";
	s->created_at = INT64_MIN;
	s->exit_code = -1;
	s->state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
	label->key = (char *)"a.b/c";
	label->value = (char *)"\"";
	s->labels = labels;
	s->n_labels = 1;
	doc = pbjson_of(s);
	assert_string_equal(json_object_get_string(json_object_object_get(doc, "createdAt")),
			    "-9223372036854775808");
	assert_int_equal(json_object_get_int(json_object_object_get(doc, "exitCode")), -1);
	assert_string_equal(json_object_get_string(json_object_object_get(doc, "state")),
			    "CONTAINER_RUNNING");
	assert_string_equal(json_object_get_string(
				    json_object_object_get(json_object_object_get(doc, "labels"), "a.b/c")),
			    "\"");
	assert_false(json_object_object_get_ex(doc, "image", &v));
	assert_true(json_object_object_get_ex(doc, "mounts", &v) && json_object_array_length(v) == 0);
	json_free(doc);
}

static void bytes_become_base64(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "\xff\xfe", "//4=" }
	};
	cleanup_arena struct arena a = ARENA_INIT;
	PB(ExecSyncResponse) *m = PB_NEW(&a, PB(ExecSyncResponse), runtime__v1__exec_sync_response);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_object *doc;

		m->stdout.data = (uint8_t *)cases[i].in;
		m->stdout.len = strlen(cases[i].in);
		doc = pbjson_of(m);
		assert_string_equal(json_object_get_string(json_object_object_get(doc, "stdout")),
				    cases[i].want);
		json_free(doc);
	}
}

static void progress_shows_only_what_is_known(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct pull_progress *p = arena_alloc(&a, sizeof(*p));
	Hull__V1__PullImageProgress m;

	(void)state;
	p->image = "docker.io/library/busybox:1";
	assert_string_equal(pull_progress_line(&a, p, 2 * NS_PER_S, 80),
			    "busybox:1 asking the registry, 2 seconds");
	pb_init(&hull__v1__pull_image_progress__descriptor, &m);
	m.phase = HULL__V1__PULL_PHASE__PULL_FETCH;
	m.layer = 1;
	m.layer_count = 2;
	m.done_bytes = 500000;
	m.total_bytes = 1000000;
	pull_progress_take(p, &m);
	assert_string_equal(pull_progress_line(&a, p, 0, 75),
			    "busybox:1 [==========>         ] 500 kB / 1.00 MB, 0 of 2 layers, 0 seconds");
	assert_string_equal(pull_progress_line(&a, p, 0, 20), "busybox:1 500 kB / \u2026");
	m.phase = HULL__V1__PULL_PHASE__PULL_LAYER_DONE;
	pull_progress_take(p, &m);
	pull_progress_take(p, &m);
	assert_int_equal(p->layers_done, 1);
	m.layer = PULL_LAYERS_MAX;
	pull_progress_take(p, &m);
	assert_int_equal(p->layers_done, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ages_are_in_the_largest_unit_of_which_there_are_two),
		cmocka_unit_test(sizes_have_three_digits),
		cmocka_unit_test(image_names_are_as_a_person_writes_them),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(text_is_cut_by_characters),
		cmocka_unit_test(a_table_fits_the_width_by_its_widest_columns),
		cmocka_unit_test(quantities_are_exact_and_rounded_up),
		cmocka_unit_test(what_is_no_quantity_is_refused),
		cmocka_unit_test(log_records_are_taken_apart),
		cmocka_unit_test(the_tail_begins_with_a_whole_line),
		cmocka_unit_test(messages_become_json_as_protobuf_maps_them),
		cmocka_unit_test(bytes_become_base64),
		cmocka_unit_test(progress_shows_only_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
