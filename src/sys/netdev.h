/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces that change their network namespace, by rtnetlink(7). A socket belongs to the namespace in which
 * it was made, for good: what is done with it is done there. */
#ifndef HULL_SYS_NETDEV_H
#define HULL_SYS_NETDEV_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct netdev {
	int index;
	bool is_up;
	char name[IFNAMSIZ];
};

/* What dev_valid_name() of the kernel says, for names that may have one "%d" in them. */
bool netdev_is_name(const char *name);

/* Of the calling thread's namespace; close-on-exec. Fails: SYS. */
int netdev_socket(int *ret_sock, struct error *e) MUST_USE;

/* Fails: NOT_FOUND, SYS. */
int netdev_find(int sock, const char *name, struct netdev *ret, struct error *e) MUST_USE;
/* All of them, as struct netdev's appended to ret. Fails: SYS. */
int netdev_list(int sock, struct buf *ret_devices, struct error *e) MUST_USE;

/* The permanent addresses of global scope, of every family, as messages for netdev_add_addresses(). Fails: SYS. */
int netdev_addresses(int sock, int index, struct buf *ret_addresses, struct error *e) MUST_USE;
/* Those that are there already are fine. keep_labels: the interface has the name that it had. Fails: SYS. */
int netdev_add_addresses(int sock, int index, const struct buf *addresses, bool keep_labels,
			 struct error *e) MUST_USE;

/* IFF_UP on or off. Fails: SYS. */
int netdev_set_up(int sock, int index, bool is_up, struct error *e) MUST_USE;

/* Into another namespace and under another name (the same, or with "%d" for a number that is free there) at once.
 * Addresses stay behind and are gone. Fails: EXISTS (the name is taken there), DENIED, SYS (EINVAL: an interface that
 * cannot leave its namespace). */
int netdev_move(int sock, int index, int netns_fd, const char *name, struct error *e) MUST_USE;

#endif
