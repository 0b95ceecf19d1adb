/* SPDX-License-Identifier: Apache-2.0 */
/* One at a time on an attachment, also across a kill of hulld. A plugin dies with us (PR_SET_PDEATHSIG),
 * but not what it has started: an IPAM plugin that is just taking an address would do so after the DEL of
 * our successor, and leak it.
 *
 * The lock is flock(2) on the namespace's own file: there is nothing to make, to name or to remove. Its
 * descriptor is inherited by the plugins (fd 3) and all that they start, so the lock is free when the last of
 * them has ended. Something that a plugin leaves running on purpose would hold it for ever; therefore the
 * wait has an end, and then we go on without. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "base/clock.h"
#include "net/cni_internal.h"

#define LOCK_WAIT_MS 10000
#define LOCK_POLL_MS 10

static bool is_canceled(const struct cni_call *call, int wait_ms)
{
	struct pollfd cancel = { .fd = call->cancel_fd, .events = POLLIN };

	return poll(&cancel, 1, wait_ms) > 0;
}

void attachment_lock(struct attachment *a, const struct cni_call *call)
{
	cleanup_close int fd = open(a->netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int64_t give_up_ns = deadline_in_ms(LOCK_WAIT_MS);

	if (call->deadline_ns && call->deadline_ns < give_up_ns)
		give_up_ns = call->deadline_ns;
	/* A namespace that is gone has no plugin at work in it. */
	while (fd >= 0) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			a->lock_fd = take_fd(fd);
			return;
		}
		if (errno != EWOULDBLOCK || clock_mono_ns() >= give_up_ns || is_canceled(call, LOCK_POLL_MS))
			return;
	}
}
