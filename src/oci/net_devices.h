/* SPDX-License-Identifier: Apache-2.0 */
/* linux.netDevices: interfaces of the runtime's network namespace that go into the container's, with their permanent
 * addresses of global scope, and up. They are not fetched back when the container ends: the kernel gives physical ones
 * to the initial namespace, and virtual ones end with theirs (config-linux.md, "Namespace Lifecycle"). But as long as
 * the container is being made, what fails gives them back as they were. */
#ifndef HULL_OCI_NET_DEVICES_H
#define HULL_OCI_NET_DEVICES_H

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/spec.h"
#include "sys/netdev.h"

struct net_device {
	const char *name; /* in the container */
	struct netdev host;
	struct buf addresses;
	int index; /* in the container, once it is there; 0 before */
};

struct net_devices {
	struct net_device *v;
	size_t n;
	int host_ns, host_sock, own_sock; /* -1 */
};
#define NET_DEVICES_INIT ((struct net_devices){ .host_ns = -1, .host_sock = -1, .own_sock = -1 })
void net_devices_done(struct net_devices *d);
DEFINE_CLEANUP_VALUE(struct net_devices, net_devices_done)

/* Before anything is made: are they there? Strings are the spec's.
 * Fails: NOT_FOUND, DENIED, SYS. */
int net_devices_find(const struct oci_linux *l, struct net_devices *ret, struct error *e) MUST_USE;
/* All or none. Fails: EXISTS (its name is taken in there), DENIED, INVALID (the namespace is our own), SYS. */
int net_devices_move(struct net_devices *d, int netns_fd, struct error *e) MUST_USE;
/* Those that were moved come back, with their names, addresses and state; what fails is logged. */
void net_devices_return(struct net_devices *d);

#endif
