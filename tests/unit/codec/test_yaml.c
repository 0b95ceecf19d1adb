/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "codec/yaml_tree.h"

static int parse(const char *text, struct arena *a, struct yaml_node **ret, struct error *e)
{
	return yaml_parse("f.yaml", text, strlen(text), a, ret, e);
}

static void refused(const char *text, const char *want)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct error e = ERROR_INIT;
	struct yaml_node *n;

	if (parse(text, &a, &n, &e) >= 0)
		fail_msg("accepted: %s", text);
	if (!strstr(err_msg(&e), want))
		fail_msg("\"%s\" lacks \"%s\"", err_msg(&e), want);
}

static void documents_become_a_tree_with_lines(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct error e = ERROR_INIT;
	struct yaml_node *n;
	const struct yaml_node *list;

	(void)state;
	assert_int_equal(parse("# words\na: 1\nb:\n- x\n- 'y'\n---\nc: null\n", &a, &n, &e), 0);
	assert_int_equal(n->kind, YAML_MAPPING);
	assert_int_equal(n->count, 2);
	list = yaml_get(n, "b");
	assert_int_equal(list->kind, YAML_SEQUENCE);
	assert_int_equal(list->first->next->line, 5);
	assert_true(list->first->next->is_quoted);
	assert_true(yaml_is_null(yaml_get(n->next, "c")));
	assert_null(n->next->next);
	assert_int_equal(parse("", &a, &n, &e), 0);
	assert_null(n);
}

static void aliases_are_copies(void **state)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct error e = ERROR_INIT;
	struct yaml_node *n;

	(void)state;
	assert_int_equal(parse("a: &x {k: v}\nb: *x\nc: w\n", &a, &n, &e), 0);
	assert_string_equal(yaml_get(yaml_get(n, "b"), "k")->text, "v");
	assert_string_equal(yaml_get(n, "c")->text, "w");
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
	(void)state;
	refused("a: 1\nb: 2\na: 3\n", "f.yaml:3: key \"a\" is there twice (before in line 1)");
	refused("a: [1\n", "f.yaml:");
	refused("? [1]\n: 2\n", "f.yaml:1: a key is not a scalar");
	refused("a: *no\n", "f.yaml:1: unknown alias \"no\"");
	refused("a: &x [*x]\n", "f.yaml:1: alias \"x\" inside itself");
	refused("a: !!python/object x\n", "f.yaml:1: unknown tag");
	refused("a: !mine x\n", "f.yaml:1: unknown tag \"!mine\"");
	refused("a: \"x\\0y\"\n", "f.yaml:1: a NUL character");
	refused("a: \xff\n", "f.yaml");
}

static void depth_and_growth_are_bounded(void **state)
{
	char deep[200], bomb[1024];
	size_t n;

	(void)state;
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	refused(deep, "nested more than 32 deep");
	n = (size_t)snprintf(bomb, sizeof(bomb), "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++)
		n += (size_t)snprintf(bomb + n, sizeof(bomb) - n,
				      "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
				      i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	refused(bomb, "more than 65536 values");
}

struct target {
	char *name, *word;
	bool flag;
	uint32_t number;
	struct strv list;
	uint32_t inner;
};

static const char *const words[] = { "red", "green", NULL };
static const struct yaml_field inner[] = {
	{ .key = "n", .set = yaml_set_u32, .offset = offsetof(struct target, inner) },
	{ .key = NULL },
};
static const struct yaml_field schema[] = {
	{ .key = "name", .set = yaml_set_str, .offset = offsetof(struct target, name) },
	{ .key = "word", .set = yaml_set_word, .offset = offsetof(struct target, word), .words = words },
	{ .key = "flag", .set = yaml_set_bool, .offset = offsetof(struct target, flag) },
	{ .key = "number",
	  .set = yaml_set_u32,
	  .offset = offsetof(struct target, number),
	  .min = 2,
	  .max = 9 },
	{ .key = "list", .set = yaml_set_strv, .offset = offsetof(struct target, list) },
	{ .key = "inner", .set = yaml_set_fields, .fields = inner },
	{ .key = NULL },
};

static int fill(const char *text, struct target *t, struct error *e)
{
	cleanup_arena struct arena a = ARENA_INIT;
	struct yaml_node *n = NULL;

	assert_int_equal(parse(text, &a, &n, e), 0);
	return yaml_fill(n, schema, t, e);
}

static void target_done(struct target *t)
{
	free(t->name);
	free(t->word);
	strv_done(&t->list);
}

static void a_schema_fills_its_target(void **state)
{
	struct target t = { .number = 5 };
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(
		fill("name: 123\nword: green\nflag: true\nlist: [a, 'b']\ninner: {n: 4294967295}\nnumber:\n",
		     &t, &e),
		0);
	assert_string_equal(t.name, "123");
	assert_string_equal(t.word, "green");
	assert_true(t.flag);
	assert_int_equal(t.number, 5);
	assert_int_equal(t.list.n, 2);
	assert_true(t.inner == UINT32_MAX);
	target_done(&t);
}

static void a_schema_refuses_by_line_and_key(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "name: x\nnmae: y\n",
		  "f.yaml:2: unknown key \"nmae\" (known are name, word, flag, number, list, inner)" },
		{ "word: blue\n", "f.yaml:1: word: \"blue\" is none of red, green" },
		{ "flag: yes\n", "f.yaml:1: flag: \"yes\" is neither true nor false" },
		{ "flag: 'true'\n", "f.yaml:1: flag:" },
		{ "number: 10\n", "f.yaml:1: number: 10 is not from 2 to 9" },
		{ "number: 0x5\n", "f.yaml:1: number: \"0x5\" is not a whole number" },
		{ "number: 99999999999999999999\n", "f.yaml:1: number:" },
		{ "list: x\n", "f.yaml:1: list: is a single value, not a list" },
		{ "list: [[x]]\n", "f.yaml:1: is a list, not a single value" },
		{ "inner: {n: -1}\n", "f.yaml:1: n: -1 is not from 0" },
		{ "- a\n", "f.yaml:1: is a list, not a mapping" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target t = { 0 };
		struct error e = ERROR_INIT;

		assert_int_equal(fill(cases[i].text, &t, &e), -ERR_INVALID);
		if (!strstr(err_msg(&e), cases[i].want))
			fail_msg("\"%s\" lacks \"%s\"", err_msg(&e), cases[i].want);
		target_done(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_become_a_tree_with_lines),
		cmocka_unit_test(aliases_are_copies),
		cmocka_unit_test(what_is_wrong_is_named_with_its_line),
		cmocka_unit_test(depth_and_growth_are_bounded),
		cmocka_unit_test(a_schema_fills_its_target),
		cmocka_unit_test(a_schema_refuses_by_line_and_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
