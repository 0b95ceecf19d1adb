/* SPDX-License-Identifier: Apache-2.0 */
/* One request, one answer, on a socket of its own. rtnetlink(7), netlink(7). */
#include "sys/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A request for one link, named by IFLA_IFNAME (index 0: by name). */
struct link_request {
	struct nlmsghdr head;
	struct ifinfomsg info;
	struct rtattr name_attr;
	char name[IFNAMSIZ];
};

_Static_assert(sizeof(struct link_request) == NLMSG_LENGTH(sizeof(struct ifinfomsg)) + RTA_SPACE(IFNAMSIZ),
	       "the attribute follows the header without a gap");

/* What comes back: an error (0 is the acknowledgement), or the link. A link with all its attributes is
 * below 2 KiB; more is cut off and not needed. */
union answer {
	struct nlmsghdr head;
	char bytes[4096];
};

static int make_request(struct link_request *req, uint16_t type, const char *name, struct error *e)
{
	size_t len = strlen(name);

	if (len == 0 || len >= IFNAMSIZ)
		return err_new(e, ERR_INVALID, "\"%s\" is no name of a network interface: 1 to %d bytes",
			       name, IFNAMSIZ - 1);
	*req = (struct link_request){
		.head = { .nlmsg_len = sizeof(*req),
			  .nlmsg_type = type,
			  .nlmsg_flags = NLM_F_REQUEST,
			  .nlmsg_seq = 1 },
		.info = { .ifi_family = AF_UNSPEC },
		.name_attr = { .rta_type = IFLA_IFNAME, .rta_len = (unsigned short)RTA_LENGTH(len + 1) },
	};
	memcpy(req->name, name, len + 1);
	return 0;
}

static int exchange(const struct link_request *req, union answer *ret, struct error *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK }, from = { 0 };
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	cleanup_close int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n;

	if (sock < 0)
		return err_sys(e, "open a netlink socket");
	if (sendto(sock, req, sizeof(*req), 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return err_sys(e, "send to netlink");
	do
		n = recvmsg(sock, &msg, 0);
	while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0)); /* only the kernel may answer */
	if (n < 0)
		return err_sys(e, "receive from netlink");
	if ((size_t)n < sizeof(struct nlmsghdr) || ret->head.nlmsg_seq != req->head.nlmsg_seq)
		return err_new(e, ERR_CORRUPT, "netlink answered %zd bytes that are no answer", n);
	if (ret->head.nlmsg_type == NLMSG_ERROR) {
		int sys = -((struct nlmsgerr *)NLMSG_DATA(&ret->head))->error;
		enum err_kind kind = sys == ENODEV ? ERR_NOT_FOUND : sys == EPERM ? ERR_DENIED : ERR_SYS;

		return sys ? err_sysk(e, kind, sys, "netlink") : 0;
	}
	if ((size_t)n < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
		return err_new(e, ERR_CORRUPT, "netlink answered only %zd bytes", n);
	return 0;
}

int netlink_link_up(const char *name, struct error *e)
{
	struct link_request req;
	union answer answer;
	int r = make_request(&req, RTM_NEWLINK, name, e);

	if (r < 0)
		return r;
	req.head.nlmsg_flags |= NLM_F_ACK;
	req.info.ifi_flags = IFF_UP;
	req.info.ifi_change = IFF_UP;
	if (exchange(&req, &answer, e) < 0)
		return err_ctx(e, "bring network interface \"%s\" up", name);
	return 0;
}

int netlink_link_is_up(const char *name, bool *ret_up, struct error *e)
{
	struct link_request req;
	union answer answer;
	int r = make_request(&req, RTM_GETLINK, name, e);

	if (r < 0)
		return r;
	if (exchange(&req, &answer, e) < 0)
		return err_ctx(e, "look at network interface \"%s\"", name);
	*ret_up = ((struct ifinfomsg *)NLMSG_DATA(&answer.head))->ifi_flags & IFF_UP;
	return 0;
}
