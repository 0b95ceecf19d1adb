// SPDX-License-Identifier: Apache-2.0
/* Options of commands over getopt_long(3). They end at the first argument, so that what follows in
 * "exec web ls -l" is the program's. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ctl/ctl.h"

#define OPTIONS_MAX 16
enum { LONG_ONLY = 256 };

int ctl_usage(const struct ctl *c, const char *fmt, ...)
{
	va_list args;

	if (fmt) {
		va_start(args, fmt);
		fputs("hullctl: ", stderr);
		vfprintf(stderr, fmt, args);
		fputc('\n', stderr);
		va_end(args);
	}
	fprintf(fmt ? stderr : stdout, "usage: hullctl %s%s%s\n\n%s.\n", c->command->name,
		*c->command->args ? " " : "", c->command->args, c->command->summary);
	if (c->command->help)
		fprintf(fmt ? stderr : stdout, "\n%s", c->command->help);
	return CTL_USAGE;
}

static int set(const struct ctl *c, const struct ctl_option *o, const char *text)
{
	struct error e = ERROR_INIT;

	switch (o->kind) {
	case CTL_FLAG:
		*(bool *)o->value = true;
		return 0;
	case CTL_TEXT:
		*(const char **)o->value = text;
		return 0;
	case CTL_NUMBER:
		if (str_to_i64(text, o->value, &e) == 0)
			return 0;
		return ctl_usage(c, "--%s: %s", o->name, err_msg(&e));
	}
	return 0;
}

int ctl_options(const struct ctl *c, int argc, char **argv, const struct ctl_option *options, size_t count)
{
	struct option longs[OPTIONS_MAX + 1] = { 0 };
	char shorts[2 * OPTIONS_MAX + 2] = "+", *s = shorts + 1;
	int ch;

	for (size_t i = 0; i < count && i < OPTIONS_MAX; i++) {
		bool has_arg = options[i].kind != CTL_FLAG;

		longs[i] = (struct option){ options[i].name, has_arg, NULL, LONG_ONLY + (int)i };
		if (options[i].letter) {
			*s++ = options[i].letter;
			if (has_arg)
				*s++ = ':';
		}
	}
	optind = 0; /* glibc: start anew */
	opterr = 0;
	while ((ch = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct ctl_option *o = NULL;

		for (size_t i = 0; i < count && !o; i++)
			if (ch == LONG_ONLY + (int)i || (options[i].letter && ch == options[i].letter))
				o = &options[i];
		if (!o) {
			ctl_usage(c, "%s: unknown option, or one without its value", argv[optind - 1]);
			return -1;
		}
		if (set(c, o, optarg) != 0)
			return -1;
	}
	return optind;
}
