/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oom_lend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

int oom_lend_begin(const struct oci_process *p, struct oom_lend *ret, struct error *e)
{
	cleanup_close int fd = -1;
	char text[16], saved[16] = "";
	int n;

	if (!p->oom_score_adj.is_set)
		return 0;
	fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (fd < 0 || read(fd, saved, sizeof(saved) - 1) < 0)
		return err_sys(e, "open our own oom_score_adj");
	saved[strcspn(saved, "\n")] = '\0';
	n = snprintf(text, sizeof(text), "%d", p->oom_score_adj.v);
	if (pwrite(fd, text, (size_t)n, 0) == n) {
		*ret = (struct oom_lend){ .fd = take_fd(fd) };
		memcpy(ret->saved, saved, sizeof(saved));
		return 0;
	}
	if (errno != EACCES)
		return err_sys(e, "set oom_score_adj to %s", text);
	log_warn("process.oomScoreAdj: left at %s: %s is lower and needs CAP_SYS_RESOURCE", saved, text);
	return 0;
}

void oom_lend_end(struct oom_lend *l)
{
	if (l->fd < 0)
		return;
	if (pwrite(l->fd, l->saved, strlen(l->saved), 0) < 0)
		log_warn("set our own oom_score_adj back to %s: %s", l->saved, strerror(errno));
	close(l->fd);
	l->fd = -1;
}
