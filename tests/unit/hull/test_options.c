/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines, row by row: what is left as arguments, and what the options set. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "hull/hull.h"

struct fields {
	bool flag, other;
	enum option_switch toggle;
	const char *text;
	int number;
	struct strv list;
};

static const struct option_word words[] = {
	{ "flag", 'f', OPTION(struct fields, flag), NULL, "" },
	{ "other", 'o', OPTION(struct fields, other), NULL, "" },
	{ "toggle", 0, OPTION(struct fields, toggle), NULL, "" },
	{ "text", 't', OPTION(struct fields, text), "TEXT", "" },
	{ "number", 'n', OPTION(struct fields, number), "N", "" },
	{ "list", 'l', OPTION(struct fields, list), "ITEM", "" },
	OPTIONS_END,
};

/* All that came of it, in one line: flags by letter, values, then the arguments. */
static void show(const struct fields *f, char **args, struct buf *out)
{
	static const char *const toggles[] = { "", " toggle", " no-toggle" };

	buf_addf(out, "%s%s%s", f->flag ? " f" : "", f->other ? " o" : "", toggles[f->toggle]);
	if (f->text)
		buf_addf(out, " text=%s", f->text);
	if (f->number)
		buf_addf(out, " number=%d", f->number);
	for (size_t i = 0; i < f->list.n; i++)
		buf_addf(out, " list=%s", f->list.v[i]);
	buf_adds(out, " :");
	for (; *args; args++)
		buf_addf(out, " %s", *args);
}

static int take(const char *line, bool ends_at_argument, struct buf *out, bool *help, struct error *e)
{
	cleanup_strv struct strv line_words = STRV_INIT;
	cleanup_free char **argv = NULL;
	struct fields fields = { 0 };
	int n;

	strv_add(&line_words, "command");
	strv_split(&line_words, line, " ");
	argv = mem_dup(line_words.v, (line_words.n + 1) * sizeof(*argv));
	n = options_take((int)line_words.n, argv, words, ends_at_argument, &fields, help, e);
	if (n >= 0) {
		show(&fields, argv + 1, out);
		assert_null(argv[n + 1]);
	}
	options_done(words, &fields);
	return n;
}

static void lines_are_read_as_go_reads_them(void **state)
{
	static const struct {
		const char *line, *meaning;
	} rows[] = {
		{ "", " :" },
		{ "id", " : id" },
		{ "--flag id", " f : id" },
		{ "-flag id", " f : id" },
		{ "-f id", " f : id" },
		{ "--f id", " f : id" },
		{ "id --flag", " f : id" },
		{ "id -f more", " f : id more" },
		{ "--flag=true", " f :" },
		{ "--flag=T", " f :" },
		{ "--flag=1", " f :" },
		{ "--flag --flag=false", " :" },
		{ "--flag --flag=0", " :" },
		{ "-fo id", " f o : id" },
		{ "--toggle", " toggle :" },
		{ "--toggle=false", " no-toggle :" },
		{ "--text a id", " text=a : id" },
		{ "--text=a id", " text=a : id" },
		{ "-text=a id", " text=a : id" },
		{ "-t a id", " text=a : id" },
		{ "-t=a id", " text=a : id" },
		{ "id -t a", " text=a : id" },
		{ "--text=a=b", " text=a=b :" },
		{ "--text= id", " text= : id" },
		{ "--text --flag id", " text=--flag : id" },
		{ "--text a --text b", " text=b :" },
		{ "--number 3", " number=3 :" },
		{ "--number=-1", " number=-1 :" },
		{ "--number -1", " number=-1 :" },
		{ "-n 0x10", " number=16 :" },
		{ "-n 010", " number=8 :" },
		{ "-l a -l b --list=c", " list=a list=b list=c :" },
		{ "-- --flag", " : --flag" },
		{ "id -- --flag -t", " : id --flag -t" },
		{ "- id", " : - id" },
		{ "--text -- id", " text=-- : id" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf out = BUF_INIT;
		struct error e = ERROR_INIT;
		bool help = false;

		if (take(rows[i].line, false, &out, &help, &e) < 0)
			fail_msg("\"%s\": %s", rows[i].line, err_msg(&e));
		if (!str_eq(buf_str(&out), rows[i].meaning))
			fail_msg("\"%s\" gave \"%s\"", rows[i].line, buf_str(&out));
		assert_false(help);
	}
}

static void wrong_lines_name_the_word(void **state)
{
	static const struct {
		const char *line, *text;
	} rows[] = {
		{ "--nonsense", "\"--nonsense\"" },
		{ "id --nonsense", "\"--nonsense\"" },
		{ "-x", "\"-x\"" },
		{ "-fx", "\"-fx\"" },
		{ "-ft", "\"-ft\"" }, /* -t takes a value */
		{ "---flag", "\"---flag\"" },
		{ "--=x", "\"--=x\"" },
		{ "-9", "\"-9\"" },
		{ "--text", "flag needs an argument: --text" },
		{ "id -t", "flag needs an argument: --text" },
		{ "--flag=maybe", "\"maybe\"" },
		{ "--flag=", "--flag" },
		{ "--toggle=x", "--toggle" },
		{ "--number x", "\"x\"" },
		{ "--number 1x", "\"1x\"" },
		{ "--number=", "--number" },
		{ "--number 2147483648", "\"2147483648\"" },
		{ "--number -2147483649", "\"-2147483649\"" },
		{ "--number 99999999999999999999", "--number" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf out = BUF_INIT;
		struct error e = ERROR_INIT;
		bool help = false;
		int r = take(rows[i].line, false, &out, &help, &e);

		if (r != -ERR_INVALID || !strstr(err_msg(&e), rows[i].text))
			fail_msg("\"%s\": %d \"%s\" \"%s\"", rows[i].line, r, err_msg(&e), buf_str(&out));
	}
}

static void another_programs_words_are_left_alone(void **state)
{
	static const struct {
		const char *line, *meaning;
	} rows[] = {
		{ "-f id ls -l --nonsense", " f : id ls -l --nonsense" },
		{ "id --flag", " : id --flag" },
		{ "id -- --flag", " : id -- --flag" },
		{ "-- id --flag", " : id --flag" },
		{ "-t a id -t b", " text=a : id -t b" },
		{ "id --help", " : id --help" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf out = BUF_INIT;
		struct error e = ERROR_INIT;
		bool help = false;

		assert_true(take(rows[i].line, true, &out, &help, &e) >= 0);
		assert_string_equal(buf_str(&out), rows[i].meaning);
		assert_false(help);
	}
}

static void help_is_known_everywhere(void **state)
{
	static const char *const lines[] = { "--help", "-h", "-help", "id --help", "--flag -h id" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		cleanup_buf struct buf out = BUF_INIT;
		struct error e = ERROR_INIT;
		bool help = false;

		assert_true(take(lines[i], false, &out, &help, &e) >= 0);
		assert_true(help);
	}
}

/* The tables themselves: what --help and completion take for granted. */
static void tables_are_sound(void **state)
{
	size_t count = 0;

	(void)state;
	for (const struct command *const *c = hull_commands; *c; c++, count++) {
		uint64_t letters = 0;

		assert_non_null((*c)->run);
		assert_non_null((*c)->summary);
		assert_ptr_equal(command_find((*c)->name), *c);
		assert_true((*c)->least <= (*c)->most);
		assert_true(c == hull_commands || strcmp(c[-1]->name, (*c)->name) < 0);
		for (const struct option_word *w = (*c)->options; w && w->name; w++) {
			bool is_flag = w->kind == OPTION_FLAG || w->kind == OPTION_SWITCH;

			assert_true(w->offset < (*c)->options_size);
			assert_int_equal(is_flag, w->value == NULL);
			assert_true(w->help && *w->help);
			assert_false(str_eq(w->name, "help") || w->letter == 'h');
			if (w->letter)
				assert_false(letters & (1ull << (w->letter - '@')));
			letters |= w->letter ? 1ull << (w->letter - '@') : 0;
		}
	}
	assert_true(count >= 13);
	assert_null(command_find("nonsense"));
	assert_null(command_find(""));
}

static void signals_have_many_names(void **state)
{
	static const struct {
		const char *text;
		int sig;
	} rows[] = {
		{ "9", 9 },
		{ "0", 0 },
		{ "64", 64 },
		{ "KILL", SIGKILL },
		{ "SIGKILL", SIGKILL },
		{ "kill", SIGKILL },
		{ "sigterm", SIGTERM },
		{ "Hup", SIGHUP },
		{ "USR2", SIGUSR2 },
		{ "SIGIO", SIGIO },
		{ "POLL", SIGPOLL },
		{ "CLD", SIGCHLD },
		{ "IOT", SIGABRT },
		{ "STKFLT", SIGSTKFLT },
		{ "RTMIN", 34 },
		{ "SIGRTMIN+3", 37 },
		{ "rtmax", 64 },
		{ "RTMAX-2", 62 },
		{ "RTMIN+30", 64 },
	};
	static const char *const wrong[] = { "FOO",	"SIG",
					     "65",	"-9",
					     "9x",	"RTMIN+31",
					     "RTMAX+1", "RTMIN-1",
					     "RTMIN3",	"SIGSIGKILL",
					     "KILLX",	"RTMAX-31",
					     " 9",	"a-name-that-is-far-too-long" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error e = ERROR_INIT;
		int sig = -1;

		if (signal_parse(rows[i].text, &sig, &e) < 0 || sig != rows[i].sig)
			fail_msg("%s is %d: %s", rows[i].text, sig, err_msg(&e));
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct error e = ERROR_INIT;
		int sig = -1;

		if (signal_parse(wrong[i], &sig, &e) != -ERR_INVALID)
			fail_msg("%s is signal %d", wrong[i], sig);
		assert_int_equal(sig, -1);
		assert_non_null(strstr(err_msg(&e), "unknown signal"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read_as_go_reads_them),
		cmocka_unit_test(wrong_lines_name_the_word),
		cmocka_unit_test(another_programs_words_are_left_alone),
		cmocka_unit_test(help_is_known_everywhere),
		cmocka_unit_test(tables_are_sound),
		cmocka_unit_test(signals_have_many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
