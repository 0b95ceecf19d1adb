// SPDX-License-Identifier: Apache-2.0
#include "oci/net_devices.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/caps.h"
#include "sys/ns.h"
#include "sys/vchild.h"

void net_devices_done(struct net_devices *d)
{
	for (size_t i = 0; i < d->n; i++)
		buf_done(&d->v[i].addresses);
	free(d->v);
	if (d->host_ns >= 0)
		close(d->host_ns);
	if (d->host_sock >= 0)
		close(d->host_sock);
	if (d->own_sock >= 0)
		close(d->own_sock);
	*d = NET_DEVICES_INIT;
}

static int find_one(struct net_devices *d, const struct oci_net_device *asked, struct error *e)
{
	struct net_device *one = &d->v[d->n++];
	int r;

	one->name = str_is_empty(asked->name) ? asked->host_name : asked->name;
	r = netdev_find(d->host_sock, asked->host_name, &one->host, e);
	if (r >= 0)
		r = netdev_addresses(d->host_sock, one->host.index, &one->addresses, e);
	return r < 0 ? err_ctx(e, "linux.netDevices: \"%s\"", asked->host_name) : 0;
}

int net_devices_find(const struct oci_linux *l, struct net_devices *ret, struct error *e)
{
	CLEANUP(net_devices_done) struct net_devices d = NET_DEVICES_INIT;
	int r;

	if (!l->net_devices.n)
		return 0;
	if (!caps_have(CAP_NET_ADMIN))
		return err_new(e, ERR_DENIED,
			       "linux.netDevices: moving a network interface needs CAP_NET_ADMIN");
	d.v = mem_array(l->net_devices.n, sizeof(*d.v));
	r = ns_open_own(CLONE_NEWNET, &d.host_ns, e);
	if (r >= 0)
		r = netdev_socket(&d.host_sock, e);
	for (size_t i = 0; i < l->net_devices.n && r >= 0; i++)
		r = find_one(&d, &l->net_devices.v[i], e);
	if (r < 0)
		return r;
	*ret = d;
	d = NET_DEVICES_INIT;
	return 0;
}

/* ---- there -------------------------------------------------------------------------------------- */

struct opening {
	int netns_fd;
	int *ret_sock;
};

/* In a vchild, whose sockets are ours too. */
static int open_inside(void *arg, struct error *e)
{
	const struct opening *o = arg;

	if (setns(o->netns_fd, CLONE_NEWNET) < 0)
		return err_sysk(e, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
				"enter the container's network namespace");
	return netdev_socket(o->ret_sock, e);
}

static bool is_in(const struct buf *devices, int index)
{
	const struct netdev *v = (const void *)devices->data;

	for (size_t i = 0; i < devices->len / sizeof(*v); i++)
		if (v[i].index == index)
			return true;
	return false;
}

/* An index changes on the way when it is taken there, and a name with "%d" is the kernel's to choose: what is new is the
 * one that came. */
static int find_new(int sock, const struct buf *before, int *ret_index, struct error *e)
{
	cleanup_buf struct buf after = BUF_INIT;
	const struct netdev *v;
	int r = netdev_list(sock, &after, e);

	if (r < 0)
		return r;
	v = (const void *)after.data;
	for (size_t i = 0; i < after.len / sizeof(*v); i++) {
		if (is_in(before, v[i].index))
			continue;
		*ret_index = v[i].index;
		return 0;
	}
	return err_new(e, ERR_STATE, "it went into the network namespace, and is not there");
}

static void restore_on_host(struct net_devices *d, const struct net_device *one)
{
	struct error ignored = ERROR_INIT;

	if (one->host.is_up && netdev_set_up(d->host_sock, one->host.index, true, &ignored) < 0)
		return;
	(void)!netdev_add_addresses(d->host_sock, one->host.index, &one->addresses, true, &ignored);
}

/* Down first: an interface that others of the host use should not change under their hands. The kernel moves and then
 * renames: what fails with the name is there already (net_devices_return() has to know). */
static int move_one(struct net_devices *d, struct net_device *one, int netns_fd, struct error *e)
{
	bool keeps_name = str_eq(one->name, one->host.name);
	cleanup_buf struct buf before = BUF_INIT;
	int r = netdev_list(d->own_sock, &before, e);

	if (r >= 0)
		r = netdev_set_up(d->host_sock, one->host.index, false, e);
	if (r >= 0)
		r = netdev_move(d->host_sock, one->host.index, netns_fd, one->name, e);
	if (r < 0) {
		if (find_new(d->own_sock, &before, &one->index, NULL) < 0)
			restore_on_host(d, one);
		return r;
	}
	r = find_new(d->own_sock, &before, &one->index, e);
	if (r >= 0)
		r = netdev_add_addresses(d->own_sock, one->index, &one->addresses, keeps_name, e);
	return r < 0 ? r : netdev_set_up(d->own_sock, one->index, true, e);
}

int net_devices_move(struct net_devices *d, int netns_fd, struct error *e)
{
	struct opening opening = { netns_fd, &d->own_sock };
	bool is_own = false;
	int r;

	if (!d->n)
		return 0;
	r = ns_is_same(d->host_ns, netns_fd, &is_own, e);
	if (r >= 0 && is_own)
		return err_new(
			e, ERR_INVALID,
			"linux.netDevices: the container's network namespace is the one that they are in");
	if (r >= 0)
		r = vchild_run(open_inside, &opening, e);
	if (r < 0)
		return err_ctx(e, "linux.netDevices");
	for (size_t i = 0; i < d->n; i++) {
		struct net_device *one = &d->v[i];

		r = move_one(d, one, netns_fd, e);
		if (r < 0)
			return err_ctx(e, "linux.netDevices: \"%s\" as \"%s\" in the container",
				       one->host.name, one->name);
	}
	return 0;
}

/* ---- and back ----------------------------------------------------------------------------------- */

static int return_one(struct net_devices *d, struct net_device *one, struct error *e)
{
	struct netdev now = { 0 };
	int r = netdev_set_up(d->own_sock, one->index, false, e);

	if (r >= 0)
		r = netdev_move(d->own_sock, one->index, d->host_ns, one->host.name, e);
	if (r < 0)
		return r;
	one->index = 0;
	r = netdev_find(d->host_sock, one->host.name, &now, e);
	if (r >= 0)
		r = netdev_add_addresses(d->host_sock, now.index, &one->addresses, true, e);
	if (r >= 0 && one->host.is_up)
		r = netdev_set_up(d->host_sock, now.index, true, e);
	return r;
}

void net_devices_return(struct net_devices *d)
{
	for (size_t i = d->n; i-- > 0;) {
		struct error e = ERROR_INIT;

		if (d->v[i].index && return_one(d, &d->v[i], &e) < 0)
			log_warn("give network interface \"%s\" back: %s", d->v[i].host.name, err_msg(&e));
	}
}
