/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "base/mem.h"
#include "base/str.h"

void mountinfo_done(struct mountinfo *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].point);
		free(m->v[i].type);
	}
	free(m->v);
	*m = MOUNTINFO_INIT;
}

static bool is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7';
}

/* proc(5): space, tab, newline and backslash in a path are \040 and so on. In place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && is_octal(s + 1)) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS ...] - TYPE ... */
static bool parse_line(const char *line, struct mountinfo_entry *ret)
{
	cleanup_strv struct strv words = STRV_INIT;
	unsigned int major, minor;
	size_t dash = 6;

	strv_split(&words, line, " ");
	while (dash < words.n && !str_eq(words.v[dash], "-"))
		dash++;
	if (dash + 1 >= words.n || sscanf(words.v[2], "%u:%u", &major, &minor) != 2)
		return false;
	*ret = (struct mountinfo_entry){
		.id = atoi(words.v[0]),
		.parent = atoi(words.v[1]),
		.dev = makedev(major, minor),
		.point = str_dup(words.v[4]),
		.type = str_dup(words.v[dash + 1]),
	};
	unescape(ret->point);
	return true;
}

void mountinfo_parse(struct mountinfo *m, const char *text)
{
	cleanup_strv struct strv lines = STRV_INIT;

	strv_split(&lines, text, "\n");
	m->v = mem_array(lines.n + 1, sizeof(*m->v));
	for (size_t i = 0; i < lines.n; i++)
		if (parse_line(lines.v[i], &m->v[m->n]))
			m->n++;
}

const struct mountinfo_entry *mountinfo_find(const struct mountinfo *m, int id)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].id == id)
			return &m->v[i];
	return NULL;
}
