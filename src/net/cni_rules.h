/* SPDX-License-Identifier: Apache-2.0 */
/* Masquerading and forwarding of the built-in network. */
#ifndef HULL_NET_CNI_RULES_H
#define HULL_NET_CNI_RULES_H

#include <stdbool.h>

#include "base/buf.h"
#include "net/cni_internal.h"

/* Whether iptables (ip6tables for an IPv6 subnet) is installed; without it there are no rules. */
bool rules_are_possible(struct cni *c);

/* Make sure that the rules are there; remembered for a while. Fails: UNAVAILABLE (what iptables said), TIMEOUT,
 * CANCELED, SYS. */
int rules_ensure(struct cni *c, const struct cni_call *call, struct error *e) MUST_USE;

/* The input of iptables-restore(8) --noflush: our chains anew, and the jumps to them that are missing. Pure. */
void rules_text(const char *bridge, const char *subnet, bool has_nat_jump, bool has_filter_jump,
		struct buf *text);

#endif
