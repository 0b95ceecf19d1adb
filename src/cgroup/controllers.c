/* SPDX-License-Identifier: Apache-2.0 */
/* What a directory needs before it can have children with limits, or processes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cgroup/handle.h"
#include "sys/cgroupfs.h"

/* Does this directory itself, not the root of all, hold processes? The kernel would say EBUSY for most controllers,
 * but take cpu, cpuset and pids: then it becomes a "threaded domain", and no process can enter a child. */
static bool has_processes(int dfd)
{
	char first[16];
	int fd;
	ssize_t n;

	if (faccessat(dfd, "cgroup.type", F_OK, 0) < 0)
		return false;
	fd = openat(dfd, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, first, sizeof(first));
	close(fd);
	return n > 0;
}

/* Which of the host's words is this; 0 for one that we have no name for. */
static uint32_t bit_of(const char *word)
{
	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
		if (str_eq(cgroup_v2_name(c), word))
			return 1u << c;
	return 0;
}

uint32_t cgroup_enable_controllers(int dfd, int *ret_sys)
{
	char available[512], enabled[512], line[600] = "";
	cleanup_strv struct strv words = STRV_INIT;
	uint32_t on = 0, missing = 0;
	size_t n = 0;

	*ret_sys = 0;
	if (cgroupfs_read(dfd, "cgroup.controllers", available, sizeof(available)) < 0 ||
	    cgroupfs_read(dfd, "cgroup.subtree_control", enabled, sizeof(enabled)) < 0) {
		*ret_sys = errno;
		return 0;
	}
	strv_split(&words, available, " ");
	for (size_t i = 0; i < words.n; i++) {
		if (cgroupfs_has_word(enabled, words.v[i])) {
			on |= bit_of(words.v[i]);
			continue;
		}
		missing |= bit_of(words.v[i]);
		n += (size_t)snprintf(line + n, sizeof(line) - n, "+%s ", words.v[i]);
	}
	if (n == 0)
		return on;
	if (has_processes(dfd)) {
		*ret_sys = EBUSY;
		return on;
	}
	if (cgroupfs_write(dfd, "cgroup.subtree_control", line) == 0)
		return on | missing;
	*ret_sys = errno;
	if (errno == EBUSY)
		return on;
	/* All or nothing for one write; a single controller may be the one that cannot be had. */
	for (size_t i = 0; i < words.n; i++) {
		snprintf(line, sizeof(line), "+%s", words.v[i]);
		if (!cgroupfs_has_word(enabled, words.v[i]) &&
		    cgroupfs_write(dfd, "cgroup.subtree_control", line) == 0)
			on |= bit_of(words.v[i]);
	}
	return on;
}

int cgroup_fill_cpuset(int parent_dfd, int dfd, const char **ret_file)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char mine[4096], parents[4096];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		*ret_file = files[i];
		if (cgroupfs_read(dfd, files[i], mine, sizeof(mine)) < 0)
			return -1;
		if (mine[0])
			continue;
		if (cgroupfs_read(parent_dfd, files[i], parents, sizeof(parents)) < 0 ||
		    cgroupfs_write(dfd, files[i], parents) < 0)
			return -1;
	}
	return 0;
}
