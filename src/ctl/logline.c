// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/logline.h"

/* The next word of *at, which ends at a space; *at moves behind that. */
static bool word(const char **at, const char *end, const char **ret, size_t *ret_len)
{
	const char *space = memchr(*at, ' ', (size_t)(end - *at));

	if (!space || space == *at)
		return false;
	*ret = *at;
	*ret_len = (size_t)(space - *at);
	*at = space + 1;
	return true;
}

bool logline_parse(const char *data, size_t len, struct logline *ret)
{
	const char *at = data, *end = data + len, *stream, *tag;
	size_t stream_len, tag_len;

	if (!word(&at, end, &ret->time, &ret->time_len) || !word(&at, end, &stream, &stream_len))
		return false;
	if (stream_len != 6 || (memcmp(stream, "stdout", 6) != 0 && memcmp(stream, "stderr", 6) != 0))
		return false;
	if (!word(&at, end, &tag, &tag_len))
		return false;
	ret->is_stderr = stream[3] == 'e';
	/* Tags may get more parts, separated by colons; the first says whether it is partial. */
	ret->is_partial = tag[0] == 'P';
	if ((tag[0] != 'P' && tag[0] != 'F') || (tag_len > 1 && tag[1] != ':'))
		return false;
	ret->text = at;
	ret->len = (size_t)(end - at);
	return true;
}

void logtail_init(struct logtail *t, size_t lines)
{
	*t = (struct logtail){ .lines = lines, .starts = mem_array(lines ? lines : 1, sizeof(uint64_t)) };
}

void logtail_record(struct logtail *t, uint64_t offset, bool is_partial)
{
	if (!t->is_inside && t->lines)
		t->starts[t->count++ % t->lines] = offset;
	t->is_inside = is_partial;
}

uint64_t logtail_start(const struct logtail *t, uint64_t end)
{
	if (t->lines == 0 || t->count == 0)
		return end;
	return t->starts[t->count > t->lines ? t->count % t->lines : 0];
}

void logtail_done(struct logtail *t)
{
	free(t->starts);
	*t = (struct logtail){ 0 };
}
