/* SPDX-License-Identifier: Apache-2.0 */
/* --help, from the tables. */
#include <stdio.h>

#include "hull/hull.h"

#define TEXT_COLUMN 30

static void print_row(FILE *out, const char *left, const char *text)
{
	int n = fprintf(out, "  %s", left);

	if (n > TEXT_COLUMN - 2)
		n = fprintf(out, "\n") - 1;
	fprintf(out, "%*s%s\n", TEXT_COLUMN - n, "", text);
}

static void print_options(FILE *out, const struct option_word *words)
{
	fputs("\noptions:\n", out);
	for (const struct option_word *w = words; w && w->name; w++) {
		cleanup_buf struct buf left = BUF_INIT;

		if (w->letter)
			buf_addf(&left, "-%c, --%s", w->letter, w->name);
		else
			buf_addf(&left, "    --%s", w->name);
		if (w->value)
			buf_addf(&left, " %s", w->value);
		print_row(out, buf_str(&left), w->help);
	}
	print_row(out, "-h, --help", "show this");
}

static void print_usage(FILE *out, const struct command *c)
{
	fprintf(out, "usage: hull %s [options]%s%s\n", c->name, c->arguments ? " " : "",
		c->arguments ? c->arguments : "");
}

void help_command(const struct command *c)
{
	printf("hull %s - %s\n\n", c->name, c->summary);
	print_usage(stdout, c);
	if (c->details)
		printf("\n%s", c->details);
	print_options(stdout, c->options);
}

void help_hull(void)
{
	puts("hull - an OCI runtime with runc's command line\n\n"
	     "usage: hull [options] COMMAND [options] [arguments]\n\n"
	     "commands:");
	for (const struct command *const *c = hull_commands; *c; c++)
		print_row(stdout, (*c)->name, (*c)->summary);
	puts("\n\"hull COMMAND --help\" or \"hull help COMMAND\" tells more of a command");
	print_options(stdout, hull_options);
}

void help_usage(const struct command *c)
{
	if (c)
		print_usage(stderr, c);
	else
		fputs("usage: hull [options] COMMAND [options] [arguments]\n", stderr);
	fprintf(stderr, "\"hull%s%s --help\" tells more\n", c ? " " : "", c ? c->name : "");
}
