// SPDX-License-Identifier: Apache-2.0
#include "sys/netdev.h"

#include <ctype.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define ANSWER_BYTES 32768 /* what the kernel fills at most in one piece of a dump */

bool netdev_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= IFNAMSIZ || str_eq(name, ".") || str_eq(name, ".."))
		return false;
	for (const char *c = name; *c; c++)
		if (*c == '/' || *c == ':' || isspace((unsigned char)*c))
			return false;
	return true;
}

int netdev_socket(int *ret_sock, struct error *e)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (sock < 0)
		return err_sys(e, "open a netlink socket");
	*ret_sock = sock;
	return 0;
}

/* ---- requests ----------------------------------------------------------------------------------- */

struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
	};
	char attributes[512];
};

static void begin(struct request *r, uint16_t type, uint16_t flags, size_t body)
{
	memset(r, 0, sizeof(*r));
	r->head = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)NLMSG_LENGTH(body),
		.nlmsg_type = type,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
		.nlmsg_seq = 1,
	};
}

/* What is added is small and bounded: names, numbers, addresses. */
static void add(struct request *r, uint16_t type, const void *data, size_t len)
{
	char *at = (char *)r + NLMSG_ALIGN(r->head.nlmsg_len);
	struct rtattr head = { .rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type };

	if (at + RTA_SPACE(len) > (char *)(r + 1))
		return;
	memcpy(at, &head, sizeof(head));
	memcpy(at + RTA_LENGTH(0), data, len);
	r->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_LENGTH(len));
}

/* Called for each message of the answer. */
typedef void (*take_fn)(const struct nlmsghdr *m, void *arg);

/* Ends with an acknowledgement, an error, or the end of a dump. Returns 0 or an errno, negative. */
static int read_piece(int sock, take_fn take, void *arg, bool *ret_end)
{
	static char bytes[ANSWER_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	ssize_t n;
	size_t left;

	do
		n = recvmsg(sock, &msg, 0);
	while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0)); /* only the kernel may answer */
	if (n < 0)
		return -errno;
	left = (size_t)n;
	for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)bytes; NLMSG_OK(m, left);
	     m = NLMSG_NEXT(m, left)) {
		*ret_end = m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR;
		if (m->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(m))->error;
		if (*ret_end)
			return 0;
		if (take)
			take(m, arg);
	}
	return 0;
}

static int exchange(int sock, const struct request *r, take_fn take, void *arg)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	bool is_end = false;
	int sys = 0;

	if (sendto(sock, r, r->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	while (!is_end && sys == 0)
		sys = read_piece(sock, take, arg, &is_end);
	return sys;
}

static int failed(int sys, struct error *e, const char *what)
{
	enum err_kind kind = sys == -EEXIST ? ERR_EXISTS : sys == -EPERM ? ERR_DENIED : ERR_SYS;

	return err_sysk(e, kind, -sys, "%s", what);
}

static const struct rtattr *find(const struct nlmsghdr *m, size_t body, uint16_t type)
{
	size_t left = m->nlmsg_len - NLMSG_LENGTH(body);
	const char *at = (const char *)NLMSG_DATA(m) + NLMSG_ALIGN(body);

	for (const struct rtattr *a = (const void *)at; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == type)
			return a;
	return NULL;
}

/* ---- links -------------------------------------------------------------------------------------- */

static void take_link(const struct nlmsghdr *m, void *arg)
{
	const struct ifinfomsg *info = NLMSG_DATA(m);
	const struct rtattr *name;
	struct netdev d = { 0 };

	if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	name = find(m, sizeof(*info), IFLA_IFNAME);
	d.index = info->ifi_index;
	d.is_up = info->ifi_flags & IFF_UP;
	if (name)
		strncpy(d.name, RTA_DATA(name), IFNAMSIZ - 1);
	buf_add(arg, &d, sizeof(d));
}

int netdev_list(int sock, struct buf *ret_devices, struct error *e)
{
	struct request r;
	int sys;

	begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof(r.link));
	sys = exchange(sock, &r, take_link, ret_devices);
	return sys ? failed(sys, e, "list the network interfaces") : 0;
}

int netdev_find(int sock, const char *name, struct netdev *ret, struct error *e)
{
	cleanup_buf struct buf found = BUF_INIT;
	struct request r;
	int sys;

	begin(&r, RTM_GETLINK, NLM_F_ACK, sizeof(r.link));
	add(&r, IFLA_IFNAME, name, strlen(name) + 1);
	sys = exchange(sock, &r, take_link, &found);
	if (sys == -ENODEV || (!sys && found.len < sizeof(*ret)))
		return err_new(e, ERR_NOT_FOUND, "there is no network interface \"%s\"", name);
	if (sys)
		return failed(sys, e, "look for a network interface");
	memcpy(ret, found.data, sizeof(*ret));
	return 0;
}

int netdev_set_up(int sock, int index, bool is_up, struct error *e)
{
	struct request r;
	int sys;

	begin(&r, RTM_NEWLINK, NLM_F_ACK, sizeof(r.link));
	r.link.ifi_index = index;
	r.link.ifi_flags = is_up ? IFF_UP : 0;
	r.link.ifi_change = IFF_UP;
	sys = exchange(sock, &r, NULL, NULL);
	return sys ? failed(sys, e, is_up ? "bring it up" : "bring it down") : 0;
}

int netdev_move(int sock, int index, int netns_fd, const char *name, struct error *e)
{
	struct request r;
	int sys;

	begin(&r, RTM_NEWLINK, NLM_F_ACK, sizeof(r.link));
	r.link.ifi_index = index;
	add(&r, IFLA_IFNAME, name, strlen(name) + 1);
	add(&r, IFLA_NET_NS_FD, &netns_fd, sizeof(netns_fd));
	sys = exchange(sock, &r, NULL, NULL);
	return sys ? failed(sys, e, "move it to another network namespace") : 0;
}

/* ---- addresses ---------------------------------------------------------------------------------- */

struct address_search {
	int index;
	struct buf *found; /* the messages, one behind the other, aligned */
};

static uint32_t address_flags(const struct nlmsghdr *m)
{
	const struct ifaddrmsg *a = NLMSG_DATA(m);
	const struct rtattr *wide = find(m, sizeof(*a), IFA_FLAGS);
	uint32_t flags = a->ifa_flags;

	if (wide && RTA_PAYLOAD(wide) >= sizeof(flags))
		memcpy(&flags, RTA_DATA(wide), sizeof(flags));
	return flags;
}

static void take_address(const struct nlmsghdr *m, void *arg)
{
	static const char padding[NLMSG_ALIGNTO];
	const struct address_search *s = arg;
	const struct ifaddrmsg *a = NLMSG_DATA(m);

	if (m->nlmsg_type != RTM_NEWADDR || m->nlmsg_len < NLMSG_LENGTH(sizeof(*a)) ||
	    (int)a->ifa_index != s->index || a->ifa_scope != RT_SCOPE_UNIVERSE ||
	    !(address_flags(m) & IFA_F_PERMANENT))
		return;
	buf_add(s->found, m, m->nlmsg_len);
	buf_add(s->found, padding, NLMSG_ALIGN(m->nlmsg_len) - m->nlmsg_len);
}

int netdev_addresses(int sock, int index, struct buf *ret_addresses, struct error *e)
{
	struct address_search search = { index, ret_addresses };
	struct request r;
	int sys;

	begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof(r.address));
	sys = exchange(sock, &r, take_address, &search);
	return sys ? failed(sys, e, "list its addresses") : 0;
}

static int add_address(int sock, int index, const struct nlmsghdr *m, bool keep_label)
{
	static const uint16_t kept[] = { IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST, IFA_RT_PRIORITY, IFA_LABEL };
	/* The others are for the kernel to set. */
	uint32_t flags = address_flags(m) &
			 (IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN);
	struct request r;

	begin(&r, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(r.address));
	memcpy(&r.address, NLMSG_DATA(m), sizeof(r.address));
	r.address.ifa_index = (unsigned int)index;
	r.address.ifa_flags = 0;
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		const struct rtattr *a = find(m, sizeof(r.address), kept[i]);

		if (a && (kept[i] != IFA_LABEL || keep_label))
			add(&r, kept[i], RTA_DATA(a), RTA_PAYLOAD(a));
	}
	add(&r, IFA_FLAGS, &flags, sizeof(flags));
	return exchange(sock, &r, NULL, NULL);
}

int netdev_add_addresses(int sock, int index, const struct buf *addresses, bool keep_labels, struct error *e)
{
	const char *at = addresses->data, *end = at + addresses->len;

	while (at < end) {
		const struct nlmsghdr *m = (const void *)at;
		int sys = add_address(sock, index, m, keep_labels);

		if (sys && sys != -EEXIST)
			return failed(sys, e, "give it its addresses again");
		at += NLMSG_ALIGN(m->nlmsg_len);
	}
	return 0;
}
