/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by name and number. CRI numbers them in the order of their names (SIGNAL_SIGKILL is 13,
 * SIGNAL_SIGTERM 23), not as Linux does. */
#include "cri/container.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int number;
} signals[] = {
	/* index + 1 is CRI's number */
	{ "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "BUS", SIGBUS },	   { "CHLD", SIGCHLD },
	{ "CLD", SIGCHLD },  { "CONT", SIGCONT }, { "FPE", SIGFPE },	   { "HUP", SIGHUP },
	{ "ILL", SIGILL },   { "INT", SIGINT },	  { "IO", SIGIO },	   { "IOT", SIGABRT },
	{ "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "POLL", SIGPOLL },	   { "PROF", SIGPROF },
	{ "PWR", SIGPWR },   { "QUIT", SIGQUIT }, { "SEGV", SIGSEGV },	   { "STKFLT", SIGSTKFLT },
	{ "STOP", SIGSTOP }, { "SYS", SIGSYS },	  { "TERM", SIGTERM },	   { "TRAP", SIGTRAP },
	{ "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },	   { "URG", SIGURG },
	{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "VTALRM", SIGVTALRM }, { "WINCH", SIGWINCH },
	{ "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
};
#define NAMED ((unsigned)ARRAY_LEN(signals)) /* 34; then RTMIN + 0..15, RTMAX - 14..0 */
_Static_assert(ARRAY_LEN(signals) + 1 == RUNTIME__V1__SIGNAL__SIGNAL_SIGRTMIN, "CRI's table of signals");

/* Numbers of the kernel as containers see them; glibc keeps the first two for itself. */
#define RT_MIN 34
#define RT_MAX 64

int signal_from_cri(unsigned cri_signal)
{
	if (cri_signal == 0 || cri_signal > RUNTIME__V1__SIGNAL__SIGNAL_SIGRTMAX)
		return 0;
	if (cri_signal <= NAMED)
		return signals[cri_signal - 1].number;
	return RT_MIN + (int)(cri_signal - NAMED - 1);
}

unsigned signal_to_cri(int signal)
{
	if (signal >= RT_MIN && signal <= RT_MAX)
		return NAMED + 1 + (unsigned)(signal - RT_MIN);
	for (unsigned i = 0; i < NAMED; i++)
		if (signals[i].number == signal)
			return i + 1;
	return RUNTIME__V1__SIGNAL__SIGNAL_RUNTIME_DEFAULT;
}

static bool parse_realtime(const char *name, int *ret)
{
	unsigned offset = 0;
	int used = 0;

	if (strcasecmp(name, "RTMIN") == 0)
		*ret = RT_MIN;
	else if (strcasecmp(name, "RTMAX") == 0)
		*ret = RT_MAX;
	else if (strncasecmp(name, "RTMIN+", 6) == 0 && sscanf(name + 6, "%2u%n", &offset, &used) == 1 &&
		 name[6 + used] == '\0' && offset <= RT_MAX - RT_MIN)
		*ret = RT_MIN + (int)offset;
	else if (strncasecmp(name, "RTMAX-", 6) == 0 && sscanf(name + 6, "%2u%n", &offset, &used) == 1 &&
		 name[6 + used] == '\0' && offset <= RT_MAX - RT_MIN)
		*ret = RT_MAX - (int)offset;
	else
		return false;
	return true;
}

int signal_parse(const char *text, int *ret_signal, struct error *e)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint32_t number;

	for (unsigned i = 0; i < NAMED; i++)
		if (strcasecmp(name, signals[i].name) == 0) {
			*ret_signal = signals[i].number;
			return 0;
		}
	if (parse_realtime(name, ret_signal))
		return 0;
	if (str_to_u32(text, &number, NULL) == 0 && number >= 1 && number <= RT_MAX) {
		*ret_signal = (int)number;
		return 0;
	}
	return err_new(e, ERR_INVALID, "signal \"%.32s\" is unknown", text);
}
