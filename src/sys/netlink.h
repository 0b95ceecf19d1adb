/* SPDX-License-Identifier: Apache-2.0 */
/* The few rtnetlink(7) requests that hull makes itself, without a library. They act on the network
 * namespace of the calling thread, and make no allocation (usable after pidfd_clone()). */
#ifndef HULL_SYS_NETLINK_H
#define HULL_SYS_NETLINK_H

#include <stdbool.h>

#include "base/error.h"

/* Bring an interface up (IFF_UP), by name. Idempotent. Needs CAP_NET_ADMIN.
 * Fails: INVALID (a name of 0 or more than 15 bytes), NOT_FOUND (no such interface), DENIED, SYS. */
int netlink_link_up(const char *name, struct error *e) MUST_USE;

/* Whether the interface is up. Fails: as netlink_link_up(). */
int netlink_link_is_up(const char *name, bool *ret_up, struct error *e) MUST_USE;

#endif
