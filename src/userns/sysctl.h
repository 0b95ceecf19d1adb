/* SPDX-License-Identifier: Apache-2.0 */
/* Sysctls of a pod: a typed list, checked against the namespaces that the pod has of its own, and
 * written from inside them. No string here ever becomes an option or an argument (CVE-2022-0811). */
#ifndef HULL_USERNS_SYSCTL_H
#define HULL_USERNS_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "userns/idmap.h"

struct sysctl_item {
	const char *name, *value; /* borrowed */
};

/* Which namespaces the pod has of its own. */
struct sysctl_scope {
	bool user, net, ipc, uts;
};

#define SYSCTL_NAME_MAX 255
#define SYSCTL_VALUE_MAX 1024

/* Check one item. Allowed are
 *	net.*							with an own network namespace
 *	kernel.shm*, kernel.msg*, kernel.sem* of ipc_namespaces(7), fs.mqueue.*	with an own ipc namespace
 *	kernel.domainname					with an own uts namespace
 *	user.*							with an own user namespace
 * A name is parts joined by '.'; a '/' inside a part stands for a '.' of an interface name, as
 * Kubernetes writes it (net.ipv4.conf.eth0/100.rp_filter).
 * Fails: INVALID  the name is empty, too long, has an empty part, one that would read "." or "..", or a
 *                 byte outside [A-Za-z0-9_./-]; the value is too long or has a '+' or a control byte
 *        DENIED   the sysctl is not one of a namespace, or the pod shares that namespace with the host:
 *                 the message says which */
int sysctl_check(const char *name, const char *value, const struct sysctl_scope *own,
		 struct error *e) MUST_USE;

/* The path below /proc/sys. name has passed sysctl_check(). */
void sysctl_path(const char *name, char out[SYSCTL_NAME_MAX + 1]);

/* Write one, in the namespaces of the calling thread; makes no allocation.
 * Fails: NOT_FOUND (this kernel, or a namespace that is not the initial one, has none such),
 *        DENIED, INVALID (the kernel refused the value), SYS. */
int sysctl_write(const struct sysctl_item *item, struct error *e) MUST_USE;

/* The value of net.ipv4.ping_group_range (icmp(7)) that lets the groups of a pod send echo requests
 * without CAP_NET_RAW: the longest run of gids from the lowest mapped one that is unbroken on both
 * sides (the kernel compares host gids), at most 2147483647, which is the kernel's bound. gids NULL is
 * a pod without a user namespace: "0 2147483647". Pure. To be written from inside the user namespace.
 * Fails: INVALID (an empty map, or one whose lowest gid is past the bound). */
#define SYSCTL_PING_GROUP_RANGE "net.ipv4.ping_group_range"
#define SYSCTL_PING_RANGE_SIZE 24
int sysctl_ping_group_range(const struct idmap *gids, char out[SYSCTL_PING_RANGE_SIZE],
			    struct error *e) MUST_USE;
/* "0": every port is open to every user of the pod. */
#define SYSCTL_UNPRIVILEGED_PORT_START "net.ipv4.ip_unprivileged_port_start"

#endif
