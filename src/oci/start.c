/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of the gate at which a container's init waits (init.c). */
#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "oci/runtime.h"
#include "oci/setup.h"
#include "oci/sync.h"

void oci_keep(int start_fd)
{
	sync_send_byte(start_fd, SYNC_GO);
}

int setup_give_listener(const struct oci_listener *listener, pid_t pid, int fd, struct error *e)
{
	if (!listener || !listener->give)
		return err_new(e, ERR_UNSUPPORTED,
			       "SCMP_ACT_NOTIFY: nobody here passes seccomp listeners on");
	return listener->give(listener->arg, pid, fd, e);
}

static int is_gone(bool has_talked, struct error *e)
{
	err_new(e, ERR_STATE, "the container's init is gone");
	if (e && !has_talked)
		e->sys = ECONNRESET;
	return -ERR_STATE;
}

int oci_start(int start_fd, const struct oci_listener *listener, struct error *e)
{
	bool is_executing = false, has_talked = false;

	sync_send_byte(start_fd, SYNC_START);
	for (;;) {
		enum report_kind kind;
		cleanup_close int fd = -1;
		int r = sync_receive(start_fd, &kind, &fd, e);

		has_talked |= r < 0 || kind != REPORT_END;
		if (r < 0)
			return r;
		if (kind == REPORT_LISTENER) {
			r = setup_give_listener(listener, 0, fd, e);
			if (r < 0)
				return r;
			sync_send_byte(start_fd, SYNC_GO);
		} else if (kind == REPORT_EXEC)
			is_executing = true;
		else if (kind == REPORT_END)
			return is_executing ? 0 : is_gone(has_talked, e);
	}
}
