/* SPDX-License-Identifier: Apache-2.0 */
#define HULL_BASE_ERROR_C
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT_END (sizeof(((struct error *)0)->text) - 1)

_Static_assert(sizeof(struct error) <= 4096, "an error is written in one piece (PIPE_BUF)");

static const char *const kind_names[ERR_KIND_COUNT] = {
	[ERR_NONE] = "none",	       [ERR_SYS] = "system",	       [ERR_INVALID] = "invalid",
	[ERR_NOT_FOUND] = "not-found", [ERR_EXISTS] = "exists",	       [ERR_STATE] = "state",
	[ERR_LIMIT] = "limit",	       [ERR_DENIED] = "denied",	       [ERR_UNSUPPORTED] = "unsupported",
	[ERR_TIMEOUT] = "timeout",     [ERR_CANCELED] = "canceled",    [ERR_UNAVAILABLE] = "unavailable",
	[ERR_CORRUPT] = "corrupt",     [ERR_AUTH] = "unauthenticated", [ERR_INTERNAL] = "internal",
};

const char *err_kind_name(enum err_kind kind)
{
	if ((unsigned)kind >= ERR_KIND_COUNT)
		return "unknown";
	return kind_names[kind];
}

void err_clear(struct error *e)
{
	if (!e)
		return;
	e->kind = ERR_NONE;
	e->start = TEXT_END;
	e->sys = 0;
	e->lost = 0;
	e->text[TEXT_END] = '\0';
}

/* Put n bytes before the message. What does not fit is cut at its front: the words nearest to the
 * cause are worth most. */
static void prepend(struct error *e, const char *s, size_t n)
{
	size_t room = e->start;

	if (n > room) {
		e->lost += (uint32_t)(n - room);
		s += n - room;
		n = room;
	}
	e->start = (uint16_t)(e->start - n);
	memcpy(e->text + e->start, s, n);
}

/* Format into a bounded piece; newlines and control bytes of foreign text must not break a log line. */
PRINTF(3, 0) static size_t format(char *out, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(out, size, fmt, ap);
	size_t len;

	if (n < 0)
		n = 0;
	len = (size_t)n < size ? (size_t)n : size - 1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = ' ';
	return len;
}

PRINTF(4, 0) static int set(struct error *e, enum err_kind kind, int sys, const char *fmt, va_list ap)
{
	char piece[sizeof(e->text)];

	if (!e)
		return -(int)kind;
	err_clear(e);
	e->kind = (uint16_t)kind;
	e->sys = sys;
	if (sys) {
		const char *why = strerrordesc_np(sys);

		if (why)
			prepend(e, why, strlen(why));
		else
			prepend(e, "unknown errno", strlen("unknown errno"));
		prepend(e, ": ", 2);
	}
	prepend(e, piece, format(piece, sizeof(piece), fmt, ap));
	return -(int)kind;
}

int err_new(struct error *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = set(e, kind, 0, fmt, ap);
	va_end(ap);
	return r;
}

int err_sys(struct error *e, const char *fmt, ...)
{
	int sys = errno;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = set(e, ERR_SYS, sys, fmt, ap);
	va_end(ap);
	return r;
}

int err_sysk(struct error *e, enum err_kind kind, int sys, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = set(e, kind, sys, fmt, ap);
	va_end(ap);
	return r;
}

int err_ctx(struct error *e, const char *fmt, ...)
{
	char piece[sizeof(e->text)];
	va_list ap;

	if (!e)
		return -ERR_INTERNAL;
	va_start(ap, fmt);
	prepend(e, ": ", 2);
	prepend(e, piece, format(piece, sizeof(piece), fmt, ap));
	va_end(ap);
	return e->kind ? -(int)e->kind : -ERR_INTERNAL;
}

int err_hint(struct error *e, const char *fmt, ...)
{
	char piece[sizeof(e->text)], whole[2 * sizeof(e->text)];
	size_t n, len;
	va_list ap;

	if (!e)
		return -ERR_INTERNAL;
	va_start(ap, fmt);
	n = format(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	len = TEXT_END - e->start;
	memcpy(whole, e->text + e->start, len);
	memcpy(whole + len, " (", 2);
	memcpy(whole + len + 2, piece, n);
	whole[len + 2 + n] = ')';
	len += n + 3;
	if (len > TEXT_END) {
		e->lost += (uint32_t)(n + 3);
		return -(int)e->kind;
	}
	e->start = TEXT_END;
	prepend(e, whole, len);
	return -(int)e->kind;
}

int err_kind(struct error *e, enum err_kind kind)
{
	if (e)
		e->kind = (uint16_t)kind;
	return -(int)kind;
}

const char *err_msg(const struct error *e)
{
	if (!e || e->start > TEXT_END)
		return "";
	return e->text + e->start;
}

int err_import(struct error *e)
{
	if (e->kind == ERR_NONE || e->kind >= ERR_KIND_COUNT || e->start > TEXT_END ||
	    e->text[TEXT_END] != '\0' || strlen(e->text + e->start) != TEXT_END - e->start)
		return err_new(e, ERR_CORRUPT, "an error report of another process is malformed");
	return 0;
}
