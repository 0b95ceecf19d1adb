// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/text.h"

const char *text_duration(struct arena *a, int64_t ns)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {
		{ 365 * 86400, "year" }, { 30 * 86400, "month" }, { 7 * 86400, "week" }, { 86400, "day" },
		{ 3600, "hour" },	 { 60, "minute" },	  { 1, "second" },
	};
	int64_t s = ns / NS_PER_S;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t n = s / units[i].seconds;

		/* "100 seconds" says more than "1 minute": a unit is used from two of it on. */
		if (n >= 2 || (n == 1 && i == ARRAY_LEN(units) - 1))
			return arena_fmt(a, "%" PRId64 " %s%s", n, units[i].name, n == 1 ? "" : "s");
	}
	return "0 seconds";
}

const char *text_age(struct arena *a, int64_t now_ns, int64_t then_ns)
{
	if (then_ns <= 0)
		return "-";
	if (now_ns - then_ns < NS_PER_S)
		return "just now";
	return arena_fmt(a, "%s ago", text_duration(a, now_ns - then_ns));
}

const char *text_bytes(struct arena *a, uint64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double n = (double)bytes;
	size_t i = 0;

	while (n >= 999.5 && i < ARRAY_LEN(units) - 1) {
		n /= 1000;
		i++;
	}
	return arena_fmt(a, "%.*f %s", i == 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2, n, units[i]);
}

const char *text_short_id(struct arena *a, const char *id)
{
	if (str_starts(id, "sha256:"))
		id += strlen("sha256:");
	return arena_strn(a, id, strnlen(id, 12));
}

const char *text_image(struct arena *a, const char *ref)
{
	const char *at;

	if (str_starts(ref, "sha256:"))
		return text_short_id(a, ref);
	if (str_starts(ref, "docker.io/library/"))
		ref += strlen("docker.io/library/");
	else if (str_starts(ref, "docker.io/"))
		ref += strlen("docker.io/");
	at = strstr(ref, "@sha256:");
	if (at)
		return arena_strn(a, ref, (size_t)(at - ref) + strlen("@sha256:") + strnlen(at + 8, 12));
	return ref;
}

const char *text_clean(struct arena *a, const char *text)
{
	char *copy = arena_str(a, text);

	for (char *p = copy; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	/* C1 controls, U+0080 to U+009F, are 0xc2 0x80..0x9f in UTF-8. */
	for (char *p = copy; p[0] && p[1]; p++)
		if ((unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0)
			p[0] = p[1] = '?';
	return copy;
}

/* The first byte of a character, and not a continuation. */
static bool is_first_byte(char ch)
{
	return ((unsigned char)ch & 0xc0) != 0x80;
}

size_t text_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += is_first_byte(*text);
	return n;
}

const char *text_cut(struct arena *a, const char *text, size_t width)
{
	const char *p = text;
	size_t n = 0;

	if (text_width(text) <= width)
		return text;
	if (width == 0)
		return "";
	for (; *p; p++) {
		if (is_first_byte(*p) && n++ == width - 1)
			break;
	}
	return arena_fmt(a, "%.*s\u2026", (int)(p - text), text);
}
