/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers use of a call; apart from the table, so that it links without the handlers. */
#include "cri/service.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"

const char *cri_method_name(const struct cri_method *m)
{
	return strrchr(m->path, '/') + 1;
}

bool call_is_missed(const struct call *call)
{
	return call_check(call, NULL) < 0 ||
	       (call->deadline_ns && call->deadline_ns - clock_mono_ns() < CALL_ALMOST_MISSED_NS);
}

int call_check(const struct call *call, struct error *e)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };

	if (call->cancel_fd >= 0 && poll(&p, 1, 0) > 0)
		return err_new(e, ERR_CANCELED, "the client gave up %s", call->method);
	if (call->deadline_ns && clock_mono_ns() >= call->deadline_ns)
		return err_new(e, ERR_TIMEOUT, "the deadline of %s passed", call->method);
	return 0;
}

int call_send(struct call *call, const void *message, struct error *e)
{
	if (!call->send)
		return err_new(e, ERR_INTERNAL, "%s is not a streaming method", call->method);
	return call->send(call, message, e);
}
