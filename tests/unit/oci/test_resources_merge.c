/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "oci/resources_merge.h"

static struct error err;

static struct json_object *parse(const char *text)
{
	struct json_object *o = NULL;

	if (json_parse_object(text, strlen(text), 0, &o, &err) < 0)
		fail_msg("%s: %s", text, err_msg(&err));
	return o;
}

static void assert_json(struct json_object *o, const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;

	json_text(o, false, &b);
	assert_string_equal(buf_str(&b), text);
}

static void assert_normalized(const char *change, const char *text)
{
	cleanup_json struct json_object *o = parse(change);

	resources_normalize(o);
	assert_json(o, text);
}

static void zeros_that_mean_nothing_go(void **state)
{
	(void)state;
	assert_normalized(
		"{\"memory\":{\"limit\":0,\"swap\":5},\"cpu\":{\"shares\":0,\"cpus\":\"\",\"mems\":\"0\"}}",
		"{\"memory\":{\"swap\":5},\"cpu\":{\"mems\":\"0\"}}");
	assert_normalized("{\"pids\":{\"limit\":0},\"cpu\":{\"idle\":0,\"burst\":0}}",
			  "{\"pids\":{\"limit\":0},\"cpu\":{\"idle\":0,\"burst\":0}}");
	assert_normalized("{\"devices\":[{\"allow\":true}],\"memory\":null,\"cpu\":{\"quota\":null}}",
			  "{\"memory\":null,\"cpu\":{}}");
}

static void assert_merged(const char *old, const char *change, const char *text)
{
	cleanup_json struct json_object *a = parse(old), *b = parse(change);

	resources_merge(a, b);
	assert_json(a, text);
}

static void values_replace_those_of_the_same_name(void **state)
{
	(void)state;
	assert_merged("{\"cpu\":{\"shares\":1,\"quota\":2}}", "{\"cpu\":{\"quota\":3,\"period\":4}}",
		      "{\"cpu\":{\"shares\":1,\"quota\":3,\"period\":4}}");
	assert_merged("{}", "{\"pids\":{\"limit\":5}}", "{\"pids\":{\"limit\":5}}");
	assert_merged("{\"pids\":{\"limit\":5}}", "{\"pids\":null}", "{\"pids\":{\"limit\":5}}");
	assert_merged("{\"unified\":{\"a.b\":\"1\"}}", "{\"unified\":{\"a.c\":\"2\",\"a.b\":\"3\"}}",
		      "{\"unified\":{\"a.b\":\"3\",\"a.c\":\"2\"}}");
}

static void entries_of_lists_are_known_by_their_device(void **state)
{
	(void)state;
	assert_merged("{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1},"
		      "{\"major\":8,\"minor\":1,\"rate\":2}]}}",
		      "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":1,\"rate\":3},"
		      "{\"major\":9,\"minor\":0,\"rate\":4}]}}",
		      "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1},"
		      "{\"major\":8,\"minor\":1,\"rate\":3},{\"major\":9,\"minor\":0,\"rate\":4}]}}");
	assert_merged(
		"{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":1}]}}",
		"{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0,\"leafWeight\":2}]}}",
		"{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":1,\"leafWeight\":2}]}}");
	assert_merged("{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":1}]}",
		      "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":2}]}",
		      "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":2}]}");
}

static void assert_applied(const char *old, const char *change, const char *text)
{
	cleanup_json struct json_object *a = parse(old), *b = parse(change), *apply = NULL;

	resources_merge(a, b);
	apply = resources_to_apply(a, b);
	assert_json(apply, text);
	/* The change itself is left as it was. */
	assert_json(b, change);
}

static void what_depends_on_a_change_is_said_again(void **state)
{
	static const char memory[] = "{\"memory\":{\"limit\":5,\"swap\":9},\"cpu\":{\"shares\":7}}";

	(void)state;
	assert_applied(memory, "{\"memory\":{\"limit\":6}}", "{\"memory\":{\"limit\":6,\"swap\":9}}");
	assert_applied(memory, "{\"memory\":{\"limit\":-1}}", "{\"memory\":{\"limit\":-1}}");
	assert_applied(memory, "{\"memory\":{\"swap\":10}}", "{\"memory\":{\"swap\":10,\"limit\":5}}");
	assert_applied("{\"cpu\":{\"quota\":1,\"period\":2}}", "{\"cpu\":{\"quota\":3}}",
		       "{\"cpu\":{\"quota\":3,\"period\":2}}");
	assert_applied("{\"cpu\":{\"quota\":1,\"period\":2}}", "{\"cpu\":{\"period\":4}}",
		       "{\"cpu\":{\"period\":4,\"quota\":1}}");
	assert_applied(memory, "{\"cpu\":{\"idle\":0}}", "{\"cpu\":{\"idle\":0,\"shares\":7}}");
	assert_applied("{\"cpu\":{\"idle\":1}}", "{\"cpu\":{\"shares\":3}}",
		       "{\"cpu\":{\"shares\":3,\"idle\":1}}");
	assert_applied(memory, "{\"pids\":{\"limit\":1}}", "{\"pids\":{\"limit\":1}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_that_mean_nothing_go),
		cmocka_unit_test(values_replace_those_of_the_same_name),
		cmocka_unit_test(entries_of_lists_are_known_by_their_device),
		cmocka_unit_test(what_depends_on_a_change_is_said_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
