/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "hull/hull.h"

static const struct option_word *find_word(const struct option_word *words, size_t count, const char *name,
					   size_t n)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(words[i].name) == n && strncmp(words[i].name, name, n) == 0)
			return &words[i];
		if (n == 1 && words[i].letter == name[0])
			return &words[i];
	}
	return NULL;
}

static int set_flag(const struct option_word *w, const char *value, struct error *e)
{
	if (!value || str_eq(value, "true") || str_eq(value, "1"))
		*w->flag = true;
	else if (str_eq(value, "false") || str_eq(value, "0"))
		*w->flag = false;
	else
		return err_new(e, ERR_INVALID, "option --%s takes true or false, not \"%s\"", w->name, value);
	return 0;
}

/* Returns how many words were used: 1 or 2. */
static int take_one(const char *word, const char *next, const struct option_word *words, size_t count,
		    struct error *e)
{
	const char *name = word + 1 + (word[1] == '-'), *equals = strchr(name, '=');
	const struct option_word *w =
		find_word(words, count, name, equals ? (size_t)(equals - name) : strlen(name));
	const char *value = equals ? equals + 1 : NULL;
	int used = 1, r;

	if (!w)
		return err_new(e, ERR_INVALID, "unknown option \"%s\"", word);
	if (w->flag) {
		r = set_flag(w, value, e);
		return r < 0 ? r : 1;
	}
	if (!value) {
		value = next;
		used = 2;
	}
	if (!value)
		return err_new(e, ERR_INVALID, "option --%s needs a value", w->name);
	if (w->values)
		strv_add(w->values, value);
	else
		*w->value = value;
	return used;
}

int options_take(int argc, char **argv, const struct option_word *words, size_t count, int before,
		 struct error *e)
{
	int kept = 0, i = 1;

	while (i < argc) {
		int used;

		if (kept >= before && before > 0)
			break;
		if (str_eq(argv[i], "--")) {
			i++;
			break;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[++kept] = argv[i++];
			continue;
		}
		used = take_one(argv[i], i + 1 < argc ? argv[i + 1] : NULL, words, count, e);
		if (used < 0)
			return used;
		i += used;
	}
	while (i < argc)
		argv[++kept] = argv[i++];
	argv[kept + 1] = NULL;
	return kept;
}

int options_number(const char *text, const char *what, int *ret, struct error *e)
{
	uint32_t n;

	if (str_to_u32(text, &n, NULL) < 0 || n > INT_MAX)
		return err_new(e, ERR_INVALID, "%s \"%s\" is no number", what, text);
	*ret = (int)n;
	return 0;
}
