/* SPDX-License-Identifier: Apache-2.0 */
#include "hull/options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const struct option_word *find_name(const struct option_word *words, const char *name, size_t n)
{
	for (const struct option_word *w = words; w && w->name; w++)
		if ((strlen(w->name) == n && strncmp(w->name, name, n) == 0) ||
		    (n == 1 && w->letter == name[0]))
			return w;
	return NULL;
}

static bool takes_value(const struct option_word *w)
{
	return w->kind != OPTION_FLAG && w->kind != OPTION_SWITCH;
}

/* The words that Go's strconv.ParseBool knows. */
static int set_flag(const struct option_word *w, const char *value, bool *flag, struct error *e)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!value || str_eq(value, yes[i])) {
			*flag = true;
			return 0;
		}
		if (str_eq(value, no[i])) {
			*flag = false;
			return 0;
		}
	}
	return err_new(e, ERR_INVALID, "option --%s takes true or false, not \"%s\"", w->name, value);
}

static int set_value(const struct option_word *w, const char *value, void *fields, struct error *e)
{
	void *field = (char *)fields + w->offset;
	bool is_on = false;
	int r;

	switch (w->kind) {
	case OPTION_TEXT:
		*(const char **)field = value;
		return 0;
	case OPTION_LIST:
		strv_add(field, value);
		return 0;
	case OPTION_NUMBER:
		r = options_number(value ? value : "", "value", field, e);
		return r < 0 ? err_ctx(e, "option --%s", w->name) : 0;
	case OPTION_FLAG:
		return set_flag(w, value, field, e);
	case OPTION_SWITCH:
		r = set_flag(w, value, &is_on, e);
		*(enum option_switch *)field = is_on ? SWITCH_ON : SWITCH_OFF;
		return r;
	}
	return 0;
}

/* "-dt": the flags -d and -t. Nothing is set unless all of the letters are such. */
static bool take_letters(const char *letters, const struct option_word *words, void *fields)
{
	for (const char *l = letters; *l; l++) {
		const struct option_word *w = find_name(words, l, 1);

		if (!w || takes_value(w))
			return false;
	}
	for (const char *l = letters; *l; l++)
		(void)!set_value(find_name(words, l, 1), NULL, fields, NULL);
	return true;
}

static bool is_help(const char *name, size_t n)
{
	return (n == 1 && name[0] == 'h') || (n == 4 && strncmp(name, "help", 4) == 0);
}

/* Returns how many words were used: 1 or 2. */
static int take_one(const char *word, const char *next, const struct option_word *words, void *fields,
		    bool *ret_help, struct error *e)
{
	const char *name = word + 1 + (word[1] == '-'), *equals = strchr(name, '=');
	size_t n = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_word *w = n ? find_name(words, name, n) : NULL;
	const char *value = equals ? equals + 1 : NULL;
	int used = 1, r;

	if (!w && is_help(name, n)) {
		*ret_help = true;
		return 1;
	}
	if (!w && word[1] != '-' && !equals && take_letters(name, words, fields))
		return 1;
	if (!w)
		return err_new(e, ERR_INVALID, "unknown option \"%.200s\"", word);
	if (takes_value(w) && !value) {
		value = next;
		used = 2;
		/* The words of Go's flag package, by which podman finds out which options are known. */
		if (!value)
			return err_new(e, ERR_INVALID, "flag needs an argument: --%s", w->name);
	}
	r = set_value(w, value, fields, e);
	return r < 0 ? r : used;
}

int options_take(int argc, char **argv, const struct option_word *words, bool ends_at_argument, void *fields,
		 bool *ret_help, struct error *e)
{
	int kept = 0, i = 1;

	while (i < argc && !(ends_at_argument && kept)) {
		int used;

		if (str_eq(argv[i], "--")) {
			i++;
			break;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[++kept] = argv[i++];
			continue;
		}
		used = take_one(argv[i], argv[i + 1], words, fields, ret_help, e);
		if (used < 0)
			return used;
		i += used;
	}
	while (i < argc)
		argv[++kept] = argv[i++];
	argv[kept + 1] = NULL;
	return kept;
}

void options_done(const struct option_word *words, void *fields)
{
	for (const struct option_word *w = words; w && w->name; w++)
		if (w->kind == OPTION_LIST)
			strv_done((struct strv *)((char *)fields + w->offset));
}

int options_number(const char *text, const char *what, int *ret, struct error *e)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 0);
	if (errno || end == text || *end || n < INT_MIN || n > INT_MAX)
		return err_new(e, ERR_INVALID, "%s \"%.100s\" is no number", what, text);
	*ret = (int)n;
	return 0;
}
