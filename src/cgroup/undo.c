/* SPDX-License-Identifier: Apache-2.0 */
/* What takes a write back. Most files hold one value, which is written as it was read. Those with a line a device
 * take one device at a time: its line as it was or, when it had none, the words that mean "no limit". */
#include <string.h>

#include "base/str.h"
#include "cgroup/plan.h"
#include "sys/cgroupfs.h"

/* The line of text that begins with this word; the caller frees it. NULL: none. */
static char *line_of(const char *text, const char *word, size_t len)
{
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		if (n > len && strncmp(line, word, len) == 0 && line[len] == ' ')
			return str_ndup(line, n);
		line += n + (line[n] == '\n');
	}
	return NULL;
}

/* "No limit" for one device in the files that have a line for each. */
static const char *reset_of(const char *file)
{
	static const struct {
		const char *prefix, *words;
	} resets[] = {
		{ "io.max", "rbps=max wbps=max riops=max wiops=max" },
		{ "io.weight", "default" },
		{ "io.bfq.weight", "default" },
		{ "blkio.", "0" },
		{ "rdma.max", "hca_handle=max hca_object=max" },
		{ "net_prio.ifpriomap", "0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(resets); i++)
		if (str_starts(file, resets[i].prefix))
			return resets[i].words;
	return NULL;
}

static char *undo_line(const struct cgroup_write *w, const char *old, size_t word)
{
	char *line = line_of(old, w->value, word);
	const char *reset = reset_of(w->file);

	if (line || !reset)
		return line;
	return str_fmt("%.*s %s", (int)word, w->value, reset);
}

char *cgroup_undo_value(const struct cgroup_write *w, const char *old)
{
	size_t word = strcspn(w->value, " ");
	cleanup_free char *line = NULL;
	uint64_t n;

	if (str_eq(w->file, "memory.oom_control"))
		return cgroupfs_keyed(old, "oom_kill_disable", &n) ? str_fmt("%d", n != 0) : NULL;
	if (w->value[word] && !str_eq(w->file, "cpu.max"))
		return undo_line(w, old, word);
	/* The value for all devices that have none of their own. */
	line = line_of(old, "default", strlen("default"));
	if (line)
		return str_dup(line + strlen("default "));
	/* An empty write(2) does not reach the kernel. */
	if (!*old)
		return str_dup("\n");
	return strchr(old, '\n') ? NULL : str_dup(old);
}
