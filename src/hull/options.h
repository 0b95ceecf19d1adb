/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and their options as tables: from the same rows come what a command line may say, --help and the
 * completion of shells; a test holds the man pages against them.
 *
 * Words are read as runc's library (urfave/cli over Go's flag package) reads them: "-b DIR", "--bundle DIR",
 * "--bundle=DIR", "-bundle DIR", "--detach", "--detach=true". */
#ifndef HULL_HULL_OPTIONS_H
#define HULL_HULL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

enum option_kind {
	OPTION_FLAG,   /* bool */
	OPTION_SWITCH, /* enum option_switch: a flag of which it counts whether it was given */
	OPTION_TEXT,   /* const char *, borrowed from argv; the last one counts */
	OPTION_NUMBER, /* int; "0x10" and "-1" too */
	OPTION_LIST,   /* struct strv: may come often */
};

enum option_switch { SWITCH_UNSET, SWITCH_ON, SWITCH_OFF };

struct option_word {
	const char *name; /* long, without dashes; NULL ends a table */
	char letter;	  /* short, or 0 */
	enum option_kind kind;
	size_t offset;	   /* of the field that it fills */
	const char *value; /* what stands for its value in --help: "DIR"; NULL for flags */
	const char *help;
};

/* The field that an option fills; its type says the kind:
 *	{ "bundle", 'b', OPTION(struct create_options, bundle), "DIR", "where config.json is" }, */
#define OPTION(type, field) \
	_Generic(((type *)0)->field,         \
		bool: OPTION_FLAG,           \
		enum option_switch: OPTION_SWITCH, \
		const char *: OPTION_TEXT,   \
		int: OPTION_NUMBER,          \
		struct strv: OPTION_LIST),   \
	offsetof(type, field)
#define OPTIONS_END          \
	{                    \
		.name = NULL \
	}

/* Take the options out of argv[1 ..] into the struct at fields; what remains are the arguments, from argv[1] on, with
 * a NULL behind them: returns their count. With ends_at_argument, all from the first argument on are arguments (they
 * are another program's command line). "--" ends the options too.
 * --help is known everywhere: *ret_help.
 * Fails: INVALID, naming the word. */
int options_take(int argc, char **argv, const struct option_word *words, bool ends_at_argument, void *fields,
		 bool *ret_help, struct error *e) MUST_USE;
/* Free the lists. */
void options_done(const struct option_word *words, void *fields);

/* A whole number that fits an int, as an option or an argument has it. Fails: INVALID, naming what and the text. */
int options_number(const char *text, const char *what, int *ret, struct error *e) MUST_USE;

struct hull;

#define ARGUMENTS_ANY 255

struct command {
	const char *name;
	const char *arguments;		   /* behind the options in a usage line: "CONTAINER [SIGNAL]" */
	const char *summary;		   /* for the list of commands; no capital, no full stop */
	const char *details;		   /* more for --help, or NULL: whole lines */
	const struct option_word *options; /* NULL: none */
	size_t options_size;		   /* of the struct that they fill; it is zeroed before */
	unsigned char least, most;	   /* how many arguments it takes */
	bool ends_at_argument;		   /* see options_take() */
	bool enters_containers;		   /* it makes processes in them, so the program seals itself first */
	unsigned char failed;		   /* exit status when it fails; 0 means 1 */
	/* args is NULL-terminated, within the bounds above. Returns the exit status of the program; negative is
	 * -kind, with *e to be reported. */
	int (*run)(struct hull *h, void *options, char **args, struct error *e);
};

/* All commands, by name; ends with NULL. */
extern const struct command *const hull_commands[];
extern const struct option_word hull_options[]; /* before the command: the fields of struct hull */
const struct command *command_find(const char *name);

#endif
