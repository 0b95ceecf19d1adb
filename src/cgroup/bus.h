/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/cgroup: a connection to systemd, directly or through the D-Bus daemon. For the time of one task; nothing
 * is kept. */
#ifndef HULL_CGROUP_BUS_H
#define HULL_CGROUP_BUS_H

#include "base/cleanup.h"
#include "cgroup/dbus.h"

struct bus {
	int fd;
	bool is_direct; /* systemd itself is at the other end */
	bool is_user;	/* the systemd of the user, not of the machine */
	uint32_t serial;
	int64_t deadline;
	struct buf in;
	size_t used; /* of it: the message that was read last */
	/* Jobs of systemd that ended while we waited for something else: the last. */
	char ended_job[256], ended_result[32];
};
#define BUS_INIT ((struct bus){ .fd = -1 })
void bus_done(struct bus *b);
DEFINE_CLEANUP_VALUE(struct bus, bus_done)

/* Is it the user's systemd that this process talks to? */
bool bus_is_user(void);

/* To systemd of the machine, or of the user for who is not root of the host. All that follows ends within timeout_ms
 * of this call.
 * Fails: UNAVAILABLE (nobody is there), TIMEOUT, DENIED, CORRUPT */
int bus_open(struct bus *b, int timeout_ms, struct error *e) MUST_USE;

/* A method of systemd's manager object, and its answer, which is good until the next call.
 * Fails: EXISTS, NOT_FOUND, INVALID, DENIED by the error's name, else UNAVAILABLE; TIMEOUT, CORRUPT */
int bus_call(struct bus *b, const char *interface, const char *member, const char *signature,
	     const struct buf *body, struct dbus_message *ret_reply, struct error *e) MUST_USE;
#define BUS_MANAGER "org.freedesktop.systemd1.Manager"

/* Wait until systemd tells that this job (an object path) ended, and how.
 * Fails: UNAVAILABLE (it did not end well), TIMEOUT */
int bus_wait_job(struct bus *b, const char *job, struct error *e) MUST_USE;

#endif
