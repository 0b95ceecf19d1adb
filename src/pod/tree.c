/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "pod/monitor.h"

struct entry {
	pid_t pid, parent, session;
	bool is_ours;
};

/* /proc/PID/stat: "pid (comm) state ppid pgrp session ..."; comm may hold anything, so from its last ')'. */
static bool read_stat(const char *pid, struct entry *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[64];
	const char *p;
	int parent, session;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (file_read(AT_FDCWD, path, 4096, &b, NULL) < 0)
		return false;
	p = strrchr(buf_str(&b), ')');
	if (!p || sscanf(p + 1, " %*c %d %*d %d", &parent, &session) != 2)
		return false;
	*ret = (struct entry){ .pid = atoi(pid), .parent = parent, .session = session };
	return true;
}

static size_t read_all(struct entry **ret)
{
	DIR *dir = opendir("/proc");
	struct entry *v = NULL;
	size_t n = 0, cap = 0;
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 256;
			v = mem_regrow(v, cap, sizeof(*v));
		}
		if (read_stat(d->d_name, &v[n]))
			n++;
	}
	if (dir)
		closedir(dir);
	*ret = v;
	return n;
}

static bool is_below(const struct entry *v, size_t n, const struct entry *x, pid_t root)
{
	if (x->pid == root || x->session == root)
		return true;
	for (size_t i = 0; i < n; i++)
		if (v[i].is_ours && v[i].pid == x->parent)
			return true;
	return false;
}

/* Mark until nothing is added: parents may stand behind their children. */
static void mark(struct entry *v, size_t n, pid_t root)
{
	bool has_more = true;

	while (has_more) {
		has_more = false;
		for (size_t i = 0; i < n; i++)
			if (!v[i].is_ours && is_below(v, n, &v[i], root))
				has_more = v[i].is_ours = true;
	}
}

void tree_kill(pid_t root)
{
	/* The root is last: once it is gone its children are nobody's. What forked meanwhile is found in
	 * the next round. */
	for (int round = 0; round < 3; round++) {
		struct entry *v;
		size_t n = read_all(&v);

		mark(v, n, root);
		for (size_t i = 0; i < n; i++)
			if (v[i].is_ours && v[i].pid != root)
				kill(v[i].pid, SIGKILL);
		free(v);
	}
	kill(root, SIGKILL);
}
