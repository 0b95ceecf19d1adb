/* SPDX-License-Identifier: Apache-2.0 */
/* hull completion: scripts for shells that complete commands, options, their values and the ids of containers. All of
 * their knowledge is written out here from the tables; only ids are asked for when they are needed. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "hull/hull.h"

/* What can stand for a value, by its placeholder in the tables. */
enum value_kind { VALUE_OTHER, VALUE_FILE, VALUE_DIR, VALUE_CONTAINER, VALUE_SIGNAL, VALUE_WORDS };

static bool is_words(const char *text)
{
	if (!strchr(text, '|'))
		return false;
	for (; *text; text++)
		if (!islower((unsigned char)*text) && !strchr("|-", *text))
			return false;
	return true;
}

static enum value_kind kind_of(const char *placeholder)
{
	static const struct {
		const char *placeholder;
		enum value_kind kind;
	} known[] = { { "FILE", VALUE_FILE },		{ "SOCKET", VALUE_FILE },
		      { "PROGRAM", VALUE_FILE },	{ "DIR", VALUE_DIR },
		      { "CONTAINER", VALUE_CONTAINER }, { "SIGNAL", VALUE_SIGNAL },
		      { "[SIGNAL]", VALUE_SIGNAL } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(placeholder, known[i].placeholder))
			return known[i].kind;
	return is_words(placeholder) ? VALUE_WORDS : VALUE_OTHER;
}

/* "auto|true|false" as "auto true false". */
static void print_words(const char *placeholder)
{
	for (const char *p = placeholder; *p; p++)
		putchar(*p == '|' ? ' ' : *p);
}

static bool takes_value(const struct option_word *w)
{
	return w->value != NULL;
}

static void print_signals(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		if (sigabbrev_np(sig))
			printf("%s%s", sig > 1 ? " " : "", sigabbrev_np(sig));
}

/* The placeholder of the n-th argument of a command, in a buffer of the caller's; NULL behind the last. The last is
 * repeated when it says so ("ARGUMENT..."). */
static const char *argument(const struct command *c, size_t n, struct strv *words)
{
	strv_done(words);
	strv_split(words, c->arguments ? c->arguments : "", " ");
	return n < words->n ? words->v[n] : NULL;
}

/* ---- bash ---------------------------------------------------------------------------------------------------- */

static void bash_options(const char *command, const struct option_word *words)
{
	printf("\t'%s') echo '", command);
	for (const struct option_word *w = words; w && w->name; w++) {
		printf("--%s ", w->name);
		if (w->letter)
			printf("-%c ", w->letter);
	}
	puts("--help -h' ;;");
}

static void bash_kind(const char *placeholder)
{
	static const char *const names[] = { "other", "file", "dir", "container", "signal", "words" };
	enum value_kind kind = kind_of(placeholder);

	printf("echo '%s", names[kind]);
	if (kind == VALUE_WORDS) {
		putchar(' ');
		print_words(placeholder);
	}
	puts("' ;;");
}

static void bash_values(const char *command, const struct option_word *words)
{
	for (const struct option_word *w = words; w && w->name; w++) {
		if (!takes_value(w))
			continue;
		printf("\t'%s --%s' | '%s -%s'", command, w->name, command, w->name);
		if (w->letter)
			printf(" | '%s -%c'", command, w->letter);
		fputs(") ", stdout);
		bash_kind(w->value);
	}
}

static void bash_arguments(const struct command *c)
{
	cleanup_strv struct strv words = STRV_INIT;
	const char *a;

	for (size_t n = 0; (a = argument(c, n, &words)); n++) {
		printf("\t'%s %zu') ", c->name, n);
		bash_kind(a);
	}
}

static const char bash_tail[] =
	"# Words that begin with $1, of the kind in $2\n"
	"_hull_offer()\n"
	"{\n"
	"\tlocal cur=$1 kind=${2%% *}\n"
	"\n"
	"\tcase $kind in\n"
	"\tfile) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
	"\tdir) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
	"\tcontainer) mapfile -t COMPREPLY < <(compgen -W \"$(\"${COMP_WORDS[0]}\" \"${root[@]}\" list -q "
	"2>/dev/null)\" -- \"$cur\") ;;\n"
	"\tsignal) mapfile -t COMPREPLY < <(compgen -W \"$_hull_signals\" -- \"$cur\") ;;\n"
	"\twords) mapfile -t COMPREPLY < <(compgen -W \"${2#words}\" -- \"$cur\") ;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"_hull()\n"
	"{\n"
	"\tlocal i word kind command='' arguments=0 root=() cur=${COMP_WORDS[COMP_CWORD]}\n"
	"\n"
	"\tCOMPREPLY=()\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif [[ $word == -?* ]] && ! { [[ $_hull_end_at_argument == *\" $command \"* ]] && ((arguments)); "
	"}; "
	"then\n"
	"\t\t\tkind=$(_hull_value \"$command $word\")\n"
	"\t\t\t[[ $kind ]] || continue\n"
	"\t\t\t# bash makes three words of --root=DIR\n"
	"\t\t\t[[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))\n"
	"\t\t\t((i++))\n"
	"\t\t\tif ((i >= COMP_CWORD)); then\n"
	"\t\t\t\t[[ $cur == '=' ]] && cur=''\n"
	"\t\t\t\t_hull_offer \"$cur\" \"$kind\"\n"
	"\t\t\t\treturn\n"
	"\t\t\tfi\n"
	"\t\t\t[[ $command || $word != --root ]] || root=(--root \"${COMP_WORDS[i]}\")\n"
	"\t\telif [[ ! $command ]]; then\n"
	"\t\t\tcommand=$word\n"
	"\t\telse\n"
	"\t\t\t((arguments++))\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tif [[ $cur == -* ]] && ! { [[ $_hull_end_at_argument == *\" $command \"* ]] && ((arguments)); }; "
	"then\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$(_hull_options \"$command\")\" -- \"$cur\")\n"
	"\telif [[ ! $command ]]; then\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$_hull_commands\" -- \"$cur\")\n"
	"\telse\n"
	"\t\t_hull_offer \"$cur\" \"$(_hull_argument \"$command $arguments\")\"\n"
	"\tfi\n"
	"}\n"
	"\n"
	"complete -F _hull hull\n";

static void complete_bash(void)
{
	fputs("# Completion of hull for bash: source <(hull completion bash)\n\n_hull_commands='", stdout);
	for (const struct command *const *c = hull_commands; *c; c++)
		printf("%s%s", c == hull_commands ? "" : " ", (*c)->name);
	fputs("'\n_hull_signals='", stdout);
	print_signals();
	fputs("'\n_hull_end_at_argument=' ", stdout);
	for (const struct command *const *c = hull_commands; *c; c++)
		if ((*c)->ends_at_argument)
			printf("%s ", (*c)->name);
	fputs("'\n\n# The options of a command\n_hull_options()\n{\n\tcase $1 in\n", stdout);
	bash_options("", hull_options);
	for (const struct command *const *c = hull_commands; *c; c++)
		bash_options((*c)->name, (*c)->options);
	fputs("\tesac\n}\n\n# What an option takes: nothing is printed for a flag\n_hull_value()\n{\n\tcase "
	      "$1 in\n",
	      stdout);
	bash_values("", hull_options);
	for (const struct command *const *c = hull_commands; *c; c++)
		bash_values((*c)->name, (*c)->options);
	fputs("\tesac\n}\n\n# What the n-th argument of a command is\n_hull_argument()\n{\n\tcase $1 in\n",
	      stdout);
	for (const struct command *const *c = hull_commands; *c; c++)
		bash_arguments(*c);
	fputs("\tesac\n}\n\n", stdout);
	fputs(bash_tail, stdout);
}

/* ---- zsh ----------------------------------------------------------------------------------------------------- */

/* In single quotes, and with what _arguments gives a meaning escaped. */
static void zsh_text(const char *text)
{
	for (; *text; text++) {
		if (*text == '\'') {
			fputs("'\\''", stdout);
			continue;
		}
		if (strchr("[]:\\", *text))
			putchar('\\');
		putchar(*text);
	}
}

static void zsh_action(const char *placeholder)
{
	static const char *const actions[] = { " ", "_files", "_directories", "_hull_containers" };
	enum value_kind kind = kind_of(placeholder);

	putchar(':');
	zsh_text(placeholder);
	putchar(':');
	if (kind != VALUE_WORDS && kind != VALUE_SIGNAL) {
		fputs(actions[kind], stdout);
		return;
	}
	putchar('(');
	if (kind == VALUE_WORDS)
		print_words(placeholder);
	else
		print_signals();
	putchar(')');
}

static void zsh_option(const char *dashes, const char *name, const struct option_word *w)
{
	bool is_long = dashes[1];

	/* A list's option comes often. */
	printf("\t\t\t'%s%s%s%s[", w->kind == OPTION_LIST ? "*" : "", dashes, name,
	       is_long && takes_value(w) ? "=" : "");
	zsh_text(w->help);
	putchar(']');
	if (takes_value(w))
		zsh_action(w->value);
	fputs("' \\\n", stdout);
}

static void zsh_options(const struct option_word *words)
{
	for (const struct option_word *w = words; w && w->name; w++) {
		char letter[2] = { w->letter, '\0' };

		if (w->letter)
			zsh_option("-", letter, w);
		zsh_option("--", w->name, w);
	}
	fputs("\t\t\t'(-)'{-h,--help}'[show this]'", stdout);
}

static void zsh_command(const struct command *c)
{
	cleanup_strv struct strv words = STRV_INIT;
	const char *a;

	printf("\t\t%s)\n\t\t\t_arguments -s \\\n", c->name);
	zsh_options(c->options);
	for (size_t n = 0; (a = argument(c, n, &words)); n++) {
		printf(" \\\n\t\t\t'%s", c->most == ARGUMENTS_ANY && n ? "*" : "");
		if (c->most == ARGUMENTS_ANY && n) {
			/* Another program's command line. */
			fputs("::ARGUMENT:_normal'", stdout);
			break;
		}
		printf("%zu", n + 1);
		zsh_action(a);
		putchar('\'');
	}
	puts("\n\t\t\t;;");
}

static void complete_zsh(void)
{
	fputs("#compdef hull\n"
	      "# Completion of hull for zsh: source <(hull completion zsh)\n\n"
	      "_hull_containers()\n{\n"
	      "\tlocal -a ids root\n\n"
	      "\t(( ${+opt_args[--root]} )) && root=(--root \"${opt_args[--root]}\")\n"
	      "\t(( $#hull_root )) && root=(--root \"$hull_root\")\n"
	      "\tids=(${(f)\"$(hull $root list -q 2>/dev/null)\"})\n"
	      "\tcompadd -a ids\n}\n\n"
	      "_hull()\n{\n"
	      "\tlocal curcontext=\"$curcontext\" state hull_root\n"
	      "\tlocal -a line\n"
	      "\tlocal -A opt_args\n\n"
	      "\t_arguments -C \\\n",
	      stdout);
	zsh_options(hull_options);
	fputs(" \\\n\t\t\t'1:COMMAND:->command' \\\n\t\t\t'*::ARGUMENT:->argument'\n"
	      "\thull_root=${opt_args[--root]}\n"
	      "\tcase $state in\n\tcommand)\n\t\tlocal -a commands\n\t\tcommands=(\n",
	      stdout);
	for (const struct command *const *c = hull_commands; *c; c++) {
		printf("\t\t\t'%s:", (*c)->name);
		zsh_text((*c)->summary);
		puts("'");
	}
	fputs("\t\t)\n\t\t_describe command commands\n\t\t;;\n\targument)\n\t\tcase $words[1] in\n", stdout);
	for (const struct command *const *c = hull_commands; *c; c++)
		zsh_command(*c);
	fputs("\t\tesac\n\t\t;;\n\tesac\n}\n\n"
	      "if [ \"$funcstack[1]\" = _hull ]; then\n\t_hull \"$@\"\nelse\n\tcompdef _hull hull\nfi\n",
	      stdout);
}

/* ---- fish ---------------------------------------------------------------------------------------------------- */

static void fish_text(const char *text)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('\'');
}

static void fish_value(const char *placeholder)
{
	switch (kind_of(placeholder)) {
	case VALUE_FILE:
		fputs(" -F", stdout);
		return;
	case VALUE_DIR:
		fputs(" -a '(__fish_complete_directories)'", stdout);
		return;
	case VALUE_CONTAINER:
		fputs(" -a '(__hull_containers)'", stdout);
		return;
	case VALUE_SIGNAL:
		fputs(" -a '", stdout);
		print_signals();
		putchar('\'');
		return;
	case VALUE_WORDS:
		fputs(" -a '", stdout);
		print_words(placeholder);
		putchar('\'');
		return;
	case VALUE_OTHER:
		return;
	}
}

static void fish_options(const char *condition, const struct option_word *words)
{
	for (const struct option_word *w = words; w && w->name; w++) {
		printf("complete -c hull -n '%s' -l %s", condition, w->name);
		if (w->letter)
			printf(" -s %c", w->letter);
		if (takes_value(w)) {
			/* -r: it takes one; -x: which is no file. */
			fputs(kind_of(w->value) == VALUE_FILE ? " -r" : " -x", stdout);
			fish_value(w->value);
		}
		fputs(" -d ", stdout);
		fish_text(w->help);
		putchar('\n');
	}
}

static void fish_command(const struct command *c)
{
	cleanup_free char *condition = str_fmt("__fish_seen_subcommand_from %s", c->name);
	cleanup_strv struct strv words = STRV_INIT;
	const char *a;

	printf("complete -c hull -n __hull_needs_command -a %s -d ", c->name);
	fish_text(c->summary);
	putchar('\n');
	fish_options(condition, c->options);
	for (size_t n = 0; (a = argument(c, n, &words)); n++) {
		if (kind_of(a) == VALUE_OTHER)
			continue;
		printf("complete -c hull -n '%s; and test (__hull_arguments) -eq %zu'", condition, n);
		fish_value(a);
		putchar('\n');
	}
}

static void complete_fish(void)
{
	fputs("# Completion of hull for fish: hull completion fish | source\n\n"
	      "set -g __hull_commands",
	      stdout);
	for (const struct command *const *c = hull_commands; *c; c++)
		printf(" %s", (*c)->name);
	fputs("\n\n"
	      "function __hull_needs_command\n"
	      "\tnot __fish_seen_subcommand_from $__hull_commands\n"
	      "end\n\n"
	      "# How many words that are no options stand behind the command.\n"
	      "function __hull_arguments\n"
	      "\tset -l n -1\n"
	      "\tfor word in (commandline -opc)[2..-1]\n"
	      "\t\tif test $n -ge 0; or contains -- $word $__hull_commands\n"
	      "\t\t\tstring match -q -- '-*' $word; or set n (math $n + 1)\n"
	      "\t\tend\n"
	      "\tend\n"
	      "\techo $n\n"
	      "end\n\n"
	      "function __hull_containers\n"
	      "\tset -l words (commandline -opc)\n"
	      "\tset -l root\n"
	      "\tset -l at (contains -i -- --root $words); and set root --root $words[(math $at + 1)]\n"
	      "\thull $root list -q 2>/dev/null\n"
	      "end\n\n"
	      "complete -c hull -f\n"
	      "complete -c hull -s h -l help -d 'show this'\n",
	      stdout);
	fish_options("__hull_needs_command", hull_options);
	for (const struct command *const *c = hull_commands; *c; c++)
		fish_command(*c);
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int completion_run(struct hull *h, void *options, char **args, struct error *e)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = { { "bash", complete_bash }, { "zsh", complete_zsh }, { "fish", complete_fish } };

	(void)h;
	(void)options;
	for (size_t i = 0; i < ARRAY_LEN(shells); i++)
		if (str_eq(args[0], shells[i].name)) {
			shells[i].print();
			return 0;
		}
	return err_new(e, ERR_INVALID, "unknown shell \"%s\" (bash, zsh and fish are known)", args[0]);
}

const struct command command_completion = {
	.name = "completion",
	.arguments = "bash|zsh|fish",
	.summary = "write what makes a shell complete hull's command line",
	.details = "bash: source <(hull completion bash)\n"
		   "zsh:  source <(hull completion zsh)\n"
		   "fish: hull completion fish | source\n",
	.least = 1,
	.most = 1,
	.run = completion_run,
};
