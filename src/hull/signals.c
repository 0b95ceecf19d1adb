/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by name. */
#include <ctype.h>
#include <signal.h>
#include <string.h>

#include "hull/hull.h"

/* Names that sigabbrev_np(3) does not give, since others have their numbers. */
static const struct {
	const char *name;
	int number;
} aliases[] = { { "IOT", SIGIOT }, { "CLD", SIGCHLD }, { "IO", SIGIO }, { "UNUSED", SIGSYS } };

/* "RTMIN", "RTMIN+3", "RTMAX-2", with the C library's SIGRTMIN, as kill(1) has it. 0: none. */
static int parse_realtime(const char *name)
{
	bool from_least = str_starts(name, "RTMIN");
	uint32_t n = 0;

	if (!from_least && !str_starts(name, "RTMAX"))
		return 0;
	if (name[5] && (name[5] != (from_least ? '+' : '-') || str_to_u32(name + 6, &n, NULL) < 0))
		return 0;
	if (n > (uint32_t)(SIGRTMAX - SIGRTMIN))
		return 0;
	return from_least ? SIGRTMIN + (int)n : SIGRTMAX - (int)n;
}

static int parse_name(const char *name)
{
	for (int sig = 1; sig < NSIG; sig++)
		if (str_eq(sigabbrev_np(sig), name))
			return sig;
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (str_eq(aliases[i].name, name))
			return aliases[i].number;
	return parse_realtime(name);
}

int signal_parse(const char *text, int *ret, struct error *e)
{
	char upper[16];
	uint32_t number;
	size_t n = 0;
	int sig;

	if (str_to_u32(text, &number, NULL) == 0 && number < NSIG) {
		*ret = (int)number;
		return 0;
	}
	if (strlen(text) >= sizeof(upper))
		return err_new(e, ERR_INVALID, "unknown signal \"%.100s\"", text);
	for (; text[n]; n++)
		upper[n] = (char)toupper((unsigned char)text[n]);
	upper[n] = '\0';
	sig = parse_name(str_starts(upper, "SIG") ? upper + 3 : upper);
	if (!sig)
		return err_new(e, ERR_INVALID, "unknown signal \"%s\"", text);
	*ret = sig;
	return 0;
}
